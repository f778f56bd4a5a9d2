//! Streams: opened, greeted, kept alive, and opened again when they end. They replay nothing, so every opening of an
//! account's says that something may be missed.

use std::collections::BTreeSet;
use std::sync::Weak;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};

use trade_actors::domain::ids::ConnectionId;
use trade_actors::domain::instrument::Symbol;
use trade_actors::domain::restart::backoff_from;
use trade_actors::ports::broker::{BrokerError, Told};

use super::account::Account;
use super::market::VenueMarket;
use super::verdict::Verdict;
use super::way::Way;
use super::{Ear, Heard, Opening};
use crate::brokers::dial::{Socket, Unopened, open_with};

/// How often the other end is asked whether it is there.
const PING: Duration = Duration::from_secs(15);
/// How long a stream may take until it is ready.
const GREETING: Duration = Duration::from_secs(10);
/// How long a frame may take to be written.
const WRITE: Duration = Duration::from_secs(5);
/// Pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Pause after the stream was refused: the credentials have to be replaced.
const REFUSED: Duration = Duration::from_secs(30);
/// How long newly watched symbols are collected before they are asked for.
const GATHER: Duration = Duration::from_millis(100);
/// Symbols that one wish names.
const WISHES: usize = 10;

/// The HTTP status of a handshake whose credentials are refused.
const UNAUTHORIZED: u16 = 401;

/// Why a stream ended.
#[derive(Debug)]
enum Ended {
    /// It broke, or never opened.
    Broken(String),
    /// Its credentials are refused.
    Unauthorized,
    /// Nobody reads it any longer.
    Unread,
}

impl From<String> for Ended {
    fn from(why: String) -> Self {
        Self::Broken(why)
    }
}

impl From<Verdict> for Ended {
    fn from(verdict: Verdict) -> Self {
        if verdict.is_of_credentials() { Self::Unauthorized } else { Self::Broken(format!("{verdict:?}")) }
    }
}

impl Ended {
    /// Returns how long to wait before the stream is opened again, after so many failures before this one.
    fn pause(&self, failures: u32) -> Duration {
        match self {
            Self::Broken(_) | Self::Unread => backoff_from(FIRST_PAUSE, failures),
            Self::Unauthorized => REFUSED,
        }
    }
}

/// Reads an account's stream for as long as the account is there.
pub(super) async fn follow(account: Weak<Account>, connection: ConnectionId) {
    let mut failures = 0;
    loop {
        let Some(held) = account.upgrade() else { return };
        let (way, broker) = (held.way(), held.name());
        drop(held);
        let ended = match way {
            Ok(way) => Box::pin(listen(&way, &account, &mut failures)).await,
            Err(BrokerError::Refused(_)) => Ended::Unauthorized,
            Err(
                error @ (BrokerError::NotReceived { .. }
                | BrokerError::HeldBack { .. }
                | BrokerError::Unknown(_)
                | BrokerError::Taken(_)),
            ) => Ended::Broken(error.to_string()),
        };
        match &ended {
            Ended::Broken(why) => {
                tracing::info!(connection.id = %connection, broker, %why, "the stream of order news ended");
            }
            Ended::Unauthorized => {
                tracing::warn!(connection.id = %connection, broker, "the stream of order news is refused");
                if let Some(account) = account.upgrade() {
                    account.suspect();
                }
            }
            Ended::Unread => return,
        }
        let wait = ended.pause(failures);
        failures = failures.saturating_add(1);
        sleep(wait).await;
    }
}

/// Opens an account's stream and reads it to its end.
async fn listen(way: &Way, account: &Weak<Account>, failures: &mut u32) -> Ended {
    let opening = match Box::pin(way.venue().updates(way)).await {
        Ok(opening) => opening,
        Err(verdict) => return verdict.into(),
    };
    let (mut is_ready, renewal) = (opening.is_ready, opening.renewal.clone());
    let mut line = match Line::open(way, opening).await {
        Ok(line) => line,
        Err(ended) => {
            if matches!(ended, Ended::Unauthorized) {
                doubt(way).await;
            }
            return ended;
        }
    };
    if is_ready {
        let Some(account) = account.upgrade() else { return Ended::Unread };
        *failures = 0;
        account.tell(Told::Resumed);
    }
    let mut ear = Ear::default();
    let began = Instant::now();
    let mut renewed = began;
    loop {
        if let Some((every, call)) = &renewal
            && renewed.elapsed() >= *every
        {
            if let Err(verdict) = Box::pin(way.ask(call.clone())).await {
                return verdict.into();
            }
            renewed = Instant::now();
        }
        let frame = match line.next(way).await {
            Ok(frame) => frame,
            Err(ended) => return ended,
        };
        if !is_ready && began.elapsed() > GREETING {
            return Ended::Broken("it was not ready in time".to_owned());
        }
        let Some(frame) = frame else { continue };
        let Some(account) = account.upgrade() else { return Ended::Unread };
        for heard in way.venue().hear(&mut ear, &frame, way.now()) {
            match heard {
                Heard::Ready => {
                    (is_ready, *failures) = (true, 0);
                    account.tell(Told::Resumed);
                }
                Heard::Report(report) => account.hear(*report),
                Heard::Changed(order) => account.look_again(order),
                Heard::Gap => account.tell(Told::Resumed),
                Heard::Refused => {
                    way.distrust().await;
                    return Ended::Unauthorized;
                }
                Heard::Over(why) => return Ended::Broken(why),
                Heard::Reply(frame) => {
                    if let Err(ended) = line.say(frame).await {
                        return ended;
                    }
                }
            }
        }
    }
}

/// Finds out what may be wrong with the handshake of a stream that was refused: its token, or the time that it told.
async fn doubt(way: &Way) {
    way.distrust().await;
    if way.venue().facts().checks_time
        && let Err(verdict) = Box::pin(way.follow_time()).await
    {
        tracing::debug!(?verdict, "the venue's time is not known");
    }
}

/// Reads the stream of prices for as long as the market is there, while anything is watched and anybody is connected.
pub(super) async fn follow_prices(market: Weak<VenueMarket>, mut wanted: watch::Receiver<()>) {
    let mut failures = 0;
    loop {
        wanted.mark_unchanged();
        let Some(held) = market.upgrade() else { return };
        let broker = held.facts().about.name;
        let Some(way) = held.way().filter(|_| !held.to_stream().is_empty()) else {
            drop(held);
            if wanted.changed().await.is_err() {
                return;
            }
            continue;
        };
        drop(held);
        let ended = match Box::pin(way.venue().prices(&way)).await {
            Ok(Some(opening)) => Box::pin(read(&way, opening, &market, &mut wanted, &mut failures)).await,
            // There is none: what is watched is asked for.
            Ok(None) => return,
            Err(verdict) => verdict.into(),
        };
        if let Some(market) = market.upgrade() {
            market.board().set_streamed(BTreeSet::new());
            if matches!(ended, Ended::Unauthorized) {
                market.pass_on();
            }
        }
        let wait = ended.pause(failures);
        tracing::info!(broker, ?ended, "the stream of prices ended");
        failures = failures.saturating_add(1);
        sleep(wait).await;
    }
}

/// Opens the stream of prices and reads it to its end.
async fn read(
    way: &Way,
    opening: Opening,
    market: &Weak<VenueMarket>,
    wanted: &mut watch::Receiver<()>,
    failures: &mut u32,
) -> Ended {
    let mut line = match Line::open(way, opening).await {
        Ok(line) => line,
        Err(ended) => return ended,
    };
    let mut ear = Ear::default();
    let mut wished = BTreeSet::new();
    loop {
        let Some(wishes) = market.upgrade().map(|market| market.to_stream()) else { return Ended::Unread };
        if let Err(ended) = wish(way, &mut line, wishes, &mut wished).await {
            return ended;
        }
        let frame = tokio::select! {
            frame = line.next(way) => match frame {
                Ok(frame) => frame,
                Err(ended) => return ended,
            },
            changed = wanted.changed() => {
                if changed.is_err() {
                    return Ended::Unread;
                }
                sleep(GATHER).await;
                None
            }
        };
        let Some(frame) = frame else { continue };
        let Some(market) = market.upgrade() else { return Ended::Unread };
        for tick in way.venue().read_prices(&mut ear, &frame) {
            *failures = 0;
            match market.take(tick) {
                Ok(Some(reply)) => {
                    if let Err(ended) = line.say(reply).await {
                        return ended;
                    }
                }
                Ok(None) => market.board().set_streamed(wished.clone()),
                Err(why) => return Ended::Broken(why),
            }
        }
    }
}

/// Asks for the symbols that are wanted, and no longer for those that are not.
async fn wish(
    way: &Way,
    line: &mut Line,
    wanted: BTreeSet<Symbol>,
    wished: &mut BTreeSet<Symbol>,
) -> Result<(), Ended> {
    let gone: Vec<_> = wished.difference(&wanted).copied().collect();
    let new: Vec<_> = wanted.difference(wished).copied().collect();
    for (is_wanted, symbols) in [(false, gone), (true, new)] {
        for chunk in symbols.chunks(WISHES) {
            for frame in way.venue().wish(chunk, is_wanted) {
                line.say(frame).await?;
            }
        }
    }
    *wished = wanted;
    Ok(())
}

/// An open stream that is kept alive.
#[derive(Debug)]
struct Line {
    socket: Socket,
    ping: tokio::time::Interval,
    heard: Instant,
}

impl Line {
    /// Opens a stream and says what is to be said first.
    async fn open(way: &Way, opening: Opening) -> Result<Self, Ended> {
        let says_who = !opening.headers.is_empty();
        let opened = open_with(&opening.url, opening.headers, way.client().tls()).await;
        let socket = opened.map_err(|error| match error {
            Unopened::Answered(UNAUTHORIZED) if says_who => Ended::Unauthorized,
            Unopened::Answered(_) | Unopened::Failed(_) => Ended::Broken(error.to_string()),
        })?;
        // A silence that is to be noticed sooner is looked for sooner.
        let pace = PING.min(way.venue().facts().silence);
        let mut ping = interval_at(Instant::now() + pace, pace);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut line = Self { socket, ping, heard: Instant::now() };
        for frame in opening.greeting {
            line.say(frame).await?;
        }
        Ok(line)
    }

    async fn say(&mut self, frame: String) -> Result<(), Ended> {
        self.write(Message::text(frame)).await
    }

    async fn write(&mut self, message: Message) -> Result<(), Ended> {
        match timeout(WRITE, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Ended::Broken(error.to_string())),
            Err(_) => Err(Ended::Broken("a frame could not be written in time".to_owned())),
        }
    }

    /// Waits for the next frame of text; `None`: there was none for a while, and all is well.
    async fn next(&mut self, way: &Way) -> Result<Option<Utf8Bytes>, Ended> {
        tokio::select! {
            message = self.socket.next() => {
                self.heard = Instant::now();
                match message {
                    Some(Ok(Message::Text(text))) => Ok(Some(text)),
                    Some(Ok(Message::Binary(bytes))) => Ok(Utf8Bytes::try_from(bytes).ok()),
                    Some(Ok(Message::Close(_))) => Err(Ended::Broken("closed by the other end".to_owned())),
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(None),
                    Some(Err(error)) => Err(Ended::Broken(error.to_string())),
                    None => Err(Ended::Broken("closed".to_owned())),
                }
            }
            _ = self.ping.tick() => {
                if self.heard.elapsed() > way.venue().facts().silence {
                    return Err(Ended::Broken("silent for too long".to_owned()));
                }
                match way.venue().keep_alive() {
                    Some(frame) => self.say(frame).await?,
                    None => self.write(Message::Ping(Bytes::new())).await?,
                }
                Ok(None)
            }
        }
    }
}
