//! The stream of news of an account's orders. It replays nothing, so every opening says that something may be missed.

use std::sync::Weak;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use secrecy::ExposeSecret;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};

use trade_actors::domain::ids::ConnectionId;
use trade_actors::domain::restart::backoff_from;
use trade_actors::ports::broker::{BrokerError, Told};

use super::account::AlpacaAccount;
use super::refusal::auth_failed;
use super::session::Session;
use super::wire;
use crate::brokers::credentials::Auth;
use crate::brokers::dial::{Socket, open};

/// How often the other end is asked whether it is there.
const PING: Duration = Duration::from_secs(15);
/// Longest silence; past it the stream is opened again.
const SILENCE: Duration = Duration::from_secs(45);
/// How long an answer to the greeting may take.
const GREETING: Duration = Duration::from_secs(10);
/// How long a frame may take to be written.
const WRITE: Duration = Duration::from_secs(5);
/// Pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Pause after the stream was refused: the credentials have to be replaced, or another program holds the only stream.
const REFUSED: Duration = Duration::from_secs(30);

/// Why a stream ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// It broke, or never opened.
    Broken(String),
    /// Its credentials are refused.
    Unauthorized,
}

impl Ended {
    /// Returns how long to wait before the stream is opened again, after so many failures before this one.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        match self {
            Self::Broken(_) => backoff_from(FIRST_PAUSE, failures),
            Self::Unauthorized => REFUSED,
        }
    }
}

impl From<String> for Ended {
    fn from(why: String) -> Self {
        Self::Broken(why)
    }
}

/// Reads the stream for as long as the account is there.
pub(super) async fn follow(account: Weak<AlpacaAccount>, connection: ConnectionId) {
    let mut failures = 0;
    loop {
        let Some(session) = account.upgrade().map(|account| account.session()) else { return };
        let ended = match session {
            Ok(session) => Box::pin(listen(&session, &account, &mut failures)).await,
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
                tracing::info!(connection.id = %connection, broker = "alpaca", %why, "the stream of order news ended");
            }
            Ended::Unauthorized => {
                tracing::warn!(connection.id = %connection, broker = "alpaca", "the stream of order news is refused");
                if let Some(account) = account.upgrade() {
                    account.refused(&BrokerError::Refused(auth_failed()));
                }
            }
        }
        let wait = ended.pause(failures);
        failures = failures.saturating_add(1);
        sleep(wait).await;
    }
}

/// Opens the stream and reads it to its end.
async fn listen(session: &Session, account: &Weak<AlpacaAccount>, failures: &mut u32) -> Ended {
    let mut socket = match greet(session).await {
        Ok(socket) => socket,
        Err(ended) => return ended,
    };
    *failures = 0;
    if let Some(account) = account.upgrade() {
        account.tell(Told::Resumed);
    }
    let mut ping = interval_at(Instant::now() + PING, PING);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            message = socket.next() => {
                heard = Instant::now();
                match message {
                    Some(Ok(message)) => {
                        if let Some(text) = text(&message) {
                            hear(&text, session, account).await;
                        } else if message.is_close() {
                            return Ended::Broken("closed by Alpaca".to_owned());
                        }
                    }
                    Some(Err(error)) => return Ended::Broken(error.to_string()),
                    None => return Ended::Broken("closed".to_owned()),
                }
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

/// Returns a frame's text: Alpaca sends JSON in text frames and, on paper, in binary ones.
pub(super) fn text(message: &Message) -> Option<Utf8Bytes> {
    match message {
        Message::Text(text) => Some(text.clone()),
        Message::Binary(bytes) => Utf8Bytes::try_from(bytes.clone()).ok(),
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => None,
    }
}

pub(super) async fn write(socket: &mut Socket, message: Message) -> Result<(), Ended> {
    match timeout(WRITE, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Ended::Broken(error.to_string())),
        Err(_) => Err(Ended::Broken("a frame could not be written in time".to_owned())),
    }
}

/// Opens the stream, says who we are, and asks for news of orders.
async fn greet(session: &Session) -> Result<Socket, Ended> {
    let mut socket = open(&session.hosts().updates, session.client().tls()).await?;
    let who = match session.credentials() {
        Auth::ApiKey { key_id, secret } => {
            json!({"action": "auth", "key": key_id.expose_secret(), "secret": secret.expose_secret()})
        }
        Auth::OAuth { access_token } => {
            json!({"action": "authenticate", "data": {"oauth_token": access_token.expose_secret()}})
        }
        Auth::Login { .. } | Auth::Account { .. } => return Err(Ended::Unauthorized),
    };
    write(&mut socket, Message::text(who.to_string())).await?;
    let answer = frame(&mut socket, "authorization").await?;
    let said: wire::Authorization = serde_json::from_str(answer.get())
        .map_err(|_| Ended::Broken("no answer to the greeting".to_owned()))?;
    if said.status != "authorized" {
        return Err(Ended::Unauthorized);
    }
    let wish = json!({"action": "listen", "data": {"streams": ["trade_updates"]}});
    write(&mut socket, Message::text(wish.to_string())).await?;
    frame(&mut socket, "listening").await?;
    Ok(socket)
}

/// Waits for a frame of one stream.
async fn frame(socket: &mut Socket, stream: &str) -> Result<Box<RawValue>, Ended> {
    let waiting = async {
        while let Some(message) = socket.next().await {
            let message = message.map_err(|error| error.to_string())?;
            let frame = text(&message).and_then(|text| serde_json::from_str::<wire::Frame>(&text).ok());
            if let Some(frame) = frame.filter(|frame| frame.stream == stream) {
                return Ok(frame.data);
            }
        }
        Err(Ended::Broken("closed during the greeting".to_owned()))
    };
    timeout(GREETING, waiting)
        .await
        .unwrap_or_else(|_| Err(Ended::Broken("no answer to the greeting".to_owned())))
}

/// Passes a frame on.
async fn hear(text: &str, session: &Session, account: &Weak<AlpacaAccount>) {
    let Some(account) = account.upgrade() else { return };
    let update = match serde_json::from_str::<wire::Frame>(text) {
        Ok(frame) if frame.stream == "trade_updates" => {
            serde_json::from_str::<wire::TradeUpdate>(frame.data.get()).ok()
        }
        Ok(_) => return,
        Err(_) => None,
    };
    let Some(update) = update else {
        let connection = account.connection();
        tracing::warn!(connection.id = %connection, broker = "alpaca", "a message on the stream cannot be read");
        account.tell(Told::Resumed);
        return;
    };
    let Some(order) = account.hear(&update) else { return };
    // A pair's other leg, or what replaced the order: without it the order's state is not known.
    match account.look_up(session, order).await {
        Ok(Some(report)) => account.tell(Told::Report(Box::new(report))),
        Ok(None) | Err(_) => account.tell(Told::Resumed),
    }
}

#[cfg(test)]
mod tests;
