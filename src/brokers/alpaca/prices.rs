//! The stream of prices: the symbols last asked for, as many as Alpaca gives for nothing.

use std::collections::BTreeSet;
use std::sync::Weak;
use std::time::Duration;

use futures_util::StreamExt;
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use trade_actors::domain::instrument::Symbol;
use trade_actors::domain::money::Price;

use super::market::AlpacaMarket;
use super::session::Session;
use super::updates::{Ended, text, write};
use super::{NAME, wire};
use crate::brokers::credentials::Auth;
use crate::brokers::dial::{Socket, open};

/// Symbols that the free plan streams.
const STREAMED_MAX: usize = 30;
/// How long an answer to the greeting may take.
const GREETING: Duration = Duration::from_secs(10);
/// How often the other end is asked whether it is there.
const PING: Duration = Duration::from_secs(15);
/// Longest silence; past it the stream is opened again.
const SILENCE: Duration = Duration::from_secs(45);
/// How long newly watched symbols are collected before they are asked for.
const GATHER: Duration = Duration::from_millis(100);

/// Reads the stream for as long as the market is there, while anything is watched and anybody is connected.
pub(super) async fn follow(market: Weak<AlpacaMarket>, mut wanted: watch::Receiver<()>) {
    let mut failures = 0;
    loop {
        wanted.mark_unchanged();
        let session = match market.upgrade() {
            Some(market) => market.session().filter(|_| !market.board().to_stream(1).is_empty()),
            None => return,
        };
        let Some(session) = session else {
            if wanted.changed().await.is_err() {
                return;
            }
            continue;
        };
        let ended = Box::pin(read(&session, &market, &mut wanted, &mut failures)).await;
        if let Some(market) = market.upgrade() {
            market.board().set_streamed(BTreeSet::new());
            if matches!(ended, Ended::Unauthorized) {
                market.pass_on();
            }
        }
        let wait = ended.pause(failures);
        match ended {
            Ended::Broken(why) => tracing::info!(broker = NAME, %why, "the stream of prices ended"),
            Ended::Unauthorized => {
                tracing::warn!(
                    broker = NAME,
                    "the stream of prices is refused; prices are asked for instead"
                );
            }
        }
        failures = failures.saturating_add(1);
        sleep(wait).await;
    }
}

/// Opens the stream and reads it to its end.
async fn read(
    session: &Session,
    market: &Weak<AlpacaMarket>,
    wanted: &mut watch::Receiver<()>,
    failures: &mut u32,
) -> Ended {
    let mut socket = match greet(session).await {
        Ok(socket) => socket,
        Err(ended) => return ended,
    };
    *failures = 0;
    let mut wished = BTreeSet::new();
    let mut ping = interval_at(Instant::now() + PING, PING);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        let Some(wishes) = market.upgrade().map(|market| market.board().to_stream(STREAMED_MAX)) else {
            return Ended::Broken("nobody reads it".to_owned());
        };
        if let Err(ended) = wish(&mut socket, wishes, &mut wished).await {
            return ended;
        }
        tokio::select! {
            message = socket.next() => {
                heard = Instant::now();
                let message = match message {
                    Some(Ok(message)) => message,
                    Some(Err(error)) => return Ended::Broken(error.to_string()),
                    None => return Ended::Broken("closed".to_owned()),
                };
                if let Some(ended) = market.upgrade().and_then(|market| take(&message, &market)) {
                    return ended;
                }
            }
            changed = wanted.changed() => {
                if changed.is_err() {
                    return Ended::Broken("nobody reads it".to_owned());
                }
                sleep(GATHER).await;
            }
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE {
                    return Ended::Broken("silent for too long".to_owned());
                }
                if let Err(ended) = write(&mut socket, Message::Ping(Bytes::new())).await {
                    return ended;
                }
            }
        }
    }
}

/// Asks for the symbols that are wanted, and no longer for those that are not.
async fn wish(
    socket: &mut Socket,
    wanted: BTreeSet<Symbol>,
    wished: &mut BTreeSet<Symbol>,
) -> Result<(), Ended> {
    let gone: Vec<_> = wished.difference(&wanted).copied().collect();
    let new: Vec<_> = wanted.difference(wished).copied().collect();
    for (action, symbols) in [("unsubscribe", gone), ("subscribe", new)] {
        if symbols.is_empty() {
            continue;
        }
        // Halts apart: a plan without them refuses the whole message.
        let prices = json!({"action": action, "quotes": symbols, "trades": symbols});
        let halts = json!({"action": action, "statuses": symbols});
        for wish in [prices, halts] {
            write(socket, Message::text(wish.to_string())).await?;
        }
    }
    *wished = wanted;
    Ok(())
}

/// Takes what a message holds; returns an end if it is one.
fn take(message: &Message, market: &AlpacaMarket) -> Option<Ended> {
    let Some(text) = text(message) else {
        return message.is_close().then(|| Ended::Broken("closed by Alpaca".to_owned()));
    };
    let Ok(ticks) = wire::Tick::all(&text) else {
        tracing::debug!(broker = NAME, "a message on the stream of prices cannot be read");
        return None;
    };
    ticks.into_iter().find_map(|tick| apply(tick, market))
}

fn apply(tick: wire::Tick, market: &AlpacaMarket) -> Option<Ended> {
    let named = |symbol: &String| symbol.parse::<Symbol>().ok();
    match tick {
        wire::Tick::Quote(of, best) => market.show(named(&of.symbol)?, &best),
        wire::Tick::Trade(of, trade) => {
            market.board().traded(named(&of.symbol)?, Price::new(trade.p.0).ok()?, trade.t);
        }
        wire::Tick::Status(of, status) => {
            // H and 2: halted; P: paused. T, 3, 5 and the rest: quoted or traded again.
            market.board().halt(named(&of.symbol)?, matches!(status.sc.as_str(), "H" | "2" | "P"));
        }
        wire::Tick::Subscription(now) => {
            market.board().set_streamed(now.quotes.iter().filter_map(named).collect());
        }
        wire::Tick::Error(wire::Error { code, msg }) => {
            tracing::debug!(broker = NAME, code, %msg, "Alpaca refused a wish on the stream of prices");
            // A wish that is not understood, too many symbols, no subscription: what is streamed goes on.
            return (!matches!(code, 400 | 405 | 409)).then_some(Ended::Unauthorized);
        }
        wire::Tick::Success(_) | wire::Tick::Other => {}
    }
    None
}

/// Opens the stream and says who we are.
async fn greet(session: &Session) -> Result<Socket, Ended> {
    let mut socket = open(&session.hosts().data_stream, session.client().tls()).await?;
    said(&mut socket, "connected").await?;
    let (key, secret) = match session.credentials() {
        Auth::ApiKey { key_id, secret } => (key_id.expose_secret(), secret.expose_secret()),
        Auth::OAuth { access_token } => ("oauth", access_token.expose_secret()),
        Auth::Login { .. } | Auth::Account { .. } => return Err(Ended::Unauthorized),
    };
    let who = json!({"action": "auth", "key": key, "secret": secret});
    write(&mut socket, Message::text(who.to_string())).await?;
    said(&mut socket, "authenticated").await?;
    Ok(socket)
}

/// Waits for a word of the greeting.
async fn said(socket: &mut Socket, word: &str) -> Result<(), Ended> {
    let waiting = async {
        while let Some(message) = socket.next().await {
            let message = message.map_err(|error| error.to_string())?;
            let ticks = text(&message).and_then(|text| wire::Tick::all(&text).ok());
            for tick in ticks.into_iter().flatten() {
                match tick {
                    wire::Tick::Success(said) if said.msg == word => return Ok(()),
                    wire::Tick::Error(wire::Error { code, msg }) => {
                        tracing::warn!(broker = NAME, code, %msg, "Alpaca refused the stream of prices");
                        return Err(Ended::Unauthorized);
                    }
                    wire::Tick::Success(_)
                    | wire::Tick::Subscription(_)
                    | wire::Tick::Quote(..)
                    | wire::Tick::Trade(..)
                    | wire::Tick::Status(..)
                    | wire::Tick::Other => {}
                }
            }
        }
        Err(Ended::Broken("closed during the greeting".to_owned()))
    };
    timeout(GREETING, waiting)
        .await
        .unwrap_or_else(|_| Err(Ended::Broken("no answer to the greeting".to_owned())))
}
