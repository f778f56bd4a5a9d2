//! A socket's life: who it is, the full state or what was missed, then every message, until one side leaves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use trade_actors::domain::ids::ConnectionId;
use trade_actors::domain::push::{Body, Push};
use trade_actors::domain::user::UserState;
use trade_actors::engine::Engine;
use trade_actors::hub::{Attached, CloseReason, HubMsg, Next, Outbox, SocketId};
use trade_actors::ports::market::Market;

use super::Socket;
use super::client::{Message, Proof, SYMBOLS_MAX, read};
use crate::auth::{Principal, Scope};
use crate::web::edge::Edge;
use crate::web::wire::{Portfolio, PortfolioUpdate, Position, User, envelope, is_fill, render, state_sync};

/// How often we ask whether the client is there.
const PING_EVERY: Duration = Duration::from_secs(25);
/// How long it may take to answer.
const PONG_MAX: Duration = Duration::from_secs(8);
/// How long a write may take.
const WRITE_MAX: Duration = Duration::from_secs(5);
/// How long the client may take to answer our goodbye.
const CLOSE_MAX: Duration = Duration::from_secs(1);
/// Messages written at once before the socket is flushed.
const BURST: usize = 64;
/// Close code: log in again.
const UNAUTHORIZED: u16 = 4401;

/// Why a session ends.
enum End {
    /// The client cannot be reached any more.
    Gone,
    /// The client said goodbye.
    Goodbye,
    /// We close, with this code and these words.
    Close(u16, &'static str),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error {
            Error::Capacity(_) => Self::Close(1009, "message too long"),
            Error::Protocol(_) | Error::Utf8(_) => Self::Close(1002, "protocol error"),
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Io(_)
            | Error::Tls(_)
            | Error::WriteBufferFull(_)
            | Error::AttackAttempt
            | Error::Url(_)
            | Error::Http(_)
            | Error::HttpFormat(_) => Self::Gone,
        }
    }
}

impl From<CloseReason> for End {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Overflow => Self::Close(1013, "too slow; resume with since"),
            CloseReason::GoingAway => Self::Close(1001, "going away"),
            CloseReason::Unauthorized => Self::Close(UNAUTHORIZED, "log in again"),
        }
    }
}

struct Session<'a> {
    edge: &'a Edge,
    engine: &'a Engine,
    socket: Socket,
    principal: Principal,
    outbox: Arc<Outbox>,
    /// The user's count of numbered messages as this client has it.
    seq: u64,
    /// Numbered messages up to here are in what the client already has.
    known: u64,
    /// When the socket was attached; what happened before was late for other reasons.
    attached_at: chrono::DateTime<chrono::Utc>,
    /// Until when the client must have answered.
    pong_due: Option<Instant>,
    /// The markets of the user's accounts, as far as they were needed.
    markets: BTreeMap<ConnectionId, Arc<dyn Market>>,
}

/// Lives a socket's life.
pub(super) async fn run(edge: &Edge, socket: Socket, principal: Principal, since: Option<u64>) {
    let Some(engine) = edge.web.engine.get() else { return };
    let attached_at = engine.clock().now();
    let Ok(Attached { socket: id, outbox, resumed }) = engine.attach(principal.user, since).await else {
        close(socket, 1013, "not ready; try again").await;
        return;
    };
    let _detached = Detach { engine, id };
    let mut session = Session {
        edge,
        engine,
        socket,
        principal,
        outbox,
        seq: 0,
        known: 0,
        attached_at,
        pong_due: None,
        markets: BTreeMap::new(),
    };
    let end = match session.greet(since.filter(|_| resumed)).await {
        Ok(()) => session.converse().await,
        Err(end) => end,
    };
    match end {
        End::Gone => {}
        End::Goodbye => answer_goodbye(session.socket).await,
        End::Close(code, why) => close(session.socket, code, why).await,
    }
}

/// Tells the hub that a socket is gone, however its session ends.
struct Detach<'a> {
    engine: &'a Engine,
    id: SocketId,
}

impl Drop for Detach<'_> {
    fn drop(&mut self) {
        self.engine.hub(HubMsg::Detach(self.id));
    }
}

#[derive(Serialize)]
struct Authorized<'a> {
    user: User<'a>,
    resumed: bool,
    ping_interval_s: u64,
}

#[derive(Serialize)]
struct Complaint<'a> {
    code: &'a str,
    message: &'a str,
}

impl Session<'_> {
    /// Says who the client is; then all there is, or, for one that comes back, what is not numbered.
    async fn greet(&mut self, resumed_after: Option<u64>) -> Result<(), End> {
        let (edge, engine) = (self.edge, self.engine);
        let views = engine.views();
        let unavailable = |error: &dyn std::fmt::Display| {
            tracing::warn!(%error, "a socket could not be given its state");
            End::Close(1013, "not ready; try again")
        };
        views.settled().await.map_err(|error| unavailable(&error))?;
        let user = views.user(self.principal.user).map_err(|error| unavailable(&error))?;
        let Some(user) = user else { return Err(End::Close(UNAUTHORIZED, "log in again")) };
        let now = engine.clock().now();
        let resumed = resumed_after.is_some();
        let who = Authorized { user: User::of(&user), resumed, ping_interval_s: PING_EVERY.as_secs() };
        let hello = envelope("connection.authorized", user.pushed, now, &who);
        let state = match resumed_after {
            None => {
                self.known = user.pushed;
                state_sync(engine, &user, &edge.web.keys, &edge.base_url, now)
                    .map_err(|error| unavailable(&error))?
            }
            Some(since) => {
                self.known = since;
                envelope("portfolio.updated", since, now, &totals(engine, &user, now))
            }
        };
        self.seq = self.known;
        self.feed(hello).await?;
        self.feed(state).await?;
        self.flush().await
    }

    async fn converse(&mut self) -> End {
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut revoked = self.edge.web.auth.revocations();
        let outbox = Arc::clone(&self.outbox);
        loop {
            let pong_due = self.pong_due.unwrap_or_else(|| Instant::now() + PING_EVERY * 2);
            let step = tokio::select! {
                next = outbox.next() => self.pass_on(next).await,
                frame = self.socket.next() => self.hear(frame).await,
                _ = pings.tick() => self.ping().await,
                () = sleep_until(pong_due), if self.pong_due.is_some() => Err(End::Gone),
                changed = revoked.changed() => {
                    if changed.is_ok() { self.check() } else { Err(End::Close(1001, "going away")) }
                }
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Writes a message and those waiting behind it, then flushes once.
    async fn pass_on(&mut self, first: Next) -> Result<(), End> {
        let mut fills = Vec::new();
        let mut next = Some(first);
        let mut end = None;
        for _ in 0..BURST {
            match next.take() {
                Some(Next::Send(push)) => self.send(&push, &mut fills).await?,
                Some(Next::Renew) => self.renew().await?,
                Some(Next::Close(reason)) => {
                    end = Some(reason.into());
                    break;
                }
                None => break,
            }
            next = self.outbox.take();
        }
        // The burst's last look may have taken one more.
        match next {
            Some(Next::Send(push)) => self.send(&push, &mut fills).await?,
            Some(Next::Renew) => self.renew().await?,
            Some(Next::Close(reason)) => end = Some(reason.into()),
            None => {}
        }
        self.flush().await?;
        self.stamp(&fills);
        end.map_or(Ok(()), Err)
    }

    async fn send(&mut self, push: &Arc<Push>, fills: &mut Vec<Arc<Push>>) -> Result<(), End> {
        if push.body.is_numbered() {
            if push.seq <= self.known {
                return Ok(());
            }
            self.seq = push.seq;
        }
        let price = if let Body::Position { position, .. } = &push.body {
            let market = self.market_at(position.connection);
            market.and_then(|market| Some(market.quote(position.symbol)?.price))
        } else {
            None
        };
        let text = render(push, self.seq, price);
        if is_fill(&push.body).is_some() && push.at >= self.attached_at {
            fills.push(Arc::clone(push));
        }
        self.feed(text).await
    }

    /// Returns an account's market. An account never changes its broker, so it is looked up once.
    fn market_at(&mut self, connection: ConnectionId) -> Option<Arc<dyn Market>> {
        if !self.markets.contains_key(&connection) {
            let user = self.engine.views().glance(self.principal.user).ok().flatten()?;
            let known = user.connections.iter().map(|known| (known.id, self.engine.market_at(&known.broker)));
            self.markets.extend(known);
        }
        self.markets.get(&connection).cloned()
    }

    /// Says all there is again, now that the user trades elsewhere, and follows the prices there.
    async fn renew(&mut self) -> Result<(), End> {
        let (edge, engine) = (self.edge, self.engine);
        let settled = engine.views().settled().await.and_then(|()| engine.views().user(self.principal.user));
        let now = engine.clock().now();
        let synced = settled.and_then(|user| {
            let Some(user) = user else { return Ok(None) };
            let text = state_sync(engine, &user, &edge.web.keys, &edge.base_url, now)?;
            Ok(Some((user, text)))
        });
        let Ok(Some((user, state))) = synced else { return Err(End::Close(1013, "not ready; try again")) };
        let market = engine.market_of(&user);
        self.outbox.wanted().into_iter().for_each(|symbol| market.watch(symbol));
        self.known = user.pushed;
        self.seq = self.known;
        self.feed(state).await
    }

    /// Remembers when fills were on a screen.
    fn stamp(&self, fills: &[Arc<Push>]) {
        let now = self.engine.clock().stamp();
        for push in fills {
            let Some(order) = is_fill(&push.body) else { continue };
            if !self.edge.pushed.record(order, now) {
                continue;
            }
            if let Body::Trade { order, .. } = &push.body
                && let Some(filled) = order.stages.filled
            {
                self.edge.meters.pushed(Duration::from_micros(now.since(filled)));
            }
        }
    }

    async fn hear(&mut self, frame: Option<Result<Frame, Error>>) -> Result<(), End> {
        let Some(frame) = frame else { return Err(End::Gone) };
        self.pong_due = None;
        match frame? {
            Frame::Text(text) => self.obey(text.as_str()).await,
            Frame::Binary(_) => Err(End::Close(1003, "text only")),
            Frame::Close(_) => Err(End::Goodbye),
            // The library answers pings; flushing sends its answer.
            Frame::Ping(_) => self.flush().await,
            Frame::Pong(_) | Frame::Frame(_) => Ok(()),
        }
    }

    async fn obey(&mut self, text: &str) -> Result<(), End> {
        let message = match read(text) {
            Ok(message) => message,
            Err((code, why)) => return self.complain(code, &why).await,
        };
        match message {
            Message::Subscribe(symbols) => {
                let user = self.engine.views().glance(self.principal.user).ok().flatten();
                let may_show = |user: &Arc<UserState>| {
                    symbols.iter().all(|symbol| self.engine.untraded(user, *symbol).is_none())
                };
                let Some(user) = user.filter(may_show) else {
                    return self.complain("INVALID_SYMBOL", "one of the symbols is not traded here").await;
                };
                if self.outbox.subscriptions() + symbols.len() > SYMBOLS_MAX {
                    return self.complain("TOO_MANY_SYMBOLS", "at most 100 symbols on one socket").await;
                }
                let market = self.engine.market_of(&user);
                symbols.iter().for_each(|symbol| market.watch(*symbol));
                self.outbox.subscribe(symbols);
                Ok(())
            }
            Message::Unsubscribe(symbols) => {
                self.outbox.unsubscribe(symbols);
                Ok(())
            }
            Message::Ping => self.say("pong", &serde_json::json!({})).await,
            Message::Reauth(proof) => self.reauth(proof).await,
        }
    }

    async fn reauth(&mut self, proof: Proof) -> Result<(), End> {
        let auth = &self.edge.web.auth;
        let again = match proof {
            Proof::Ticket(ticket) => auth.redeem(&ticket),
            Proof::Token(token) => auth.bearer(&token),
        };
        match again {
            Some(principal) if principal.user == self.principal.user && principal.may(Scope::Read) => {
                self.principal = principal;
                self.say("connection.authorized", &serde_json::json!({ "resumed": true })).await
            }
            Some(_) | None => Err(End::Close(UNAUTHORIZED, "log in again")),
        }
    }

    async fn ping(&mut self) -> Result<(), End> {
        self.check()?;
        self.pong_due = Some(Instant::now() + PONG_MAX);
        self.write(Frame::Ping(bytes::Bytes::new())).await?;
        self.flush().await
    }

    /// Ends the session when what the client once proved holds no more.
    fn check(&self) -> Result<(), End> {
        if self.edge.web.auth.still_holds(&self.principal) {
            Ok(())
        } else {
            Err(End::Close(UNAUTHORIZED, "log in again"))
        }
    }

    async fn complain(&mut self, code: &str, message: &str) -> Result<(), End> {
        self.say("connection.error", &Complaint { code, message }).await
    }

    async fn say(&mut self, kind: &str, data: &impl Serialize) -> Result<(), End> {
        let text = envelope(kind, self.seq, self.engine.clock().now(), data);
        self.feed(text).await?;
        self.flush().await
    }

    async fn feed(&mut self, text: String) -> Result<(), End> {
        self.write(Frame::Text(text.into())).await
    }

    async fn write(&mut self, frame: Frame) -> Result<(), End> {
        timeout(WRITE_MAX, self.socket.feed(frame)).await.map_err(|_| End::Gone)?.map_err(End::from)
    }

    async fn flush(&mut self) -> Result<(), End> {
        timeout(WRITE_MAX, self.socket.flush()).await.map_err(|_| End::Gone)?.map_err(End::from)
    }
}

/// Returns the totals and positions at the latest prices.
fn totals<'a>(
    engine: &Engine,
    user: &'a UserState,
    now: chrono::DateTime<chrono::Utc>,
) -> PortfolioUpdate<'a> {
    PortfolioUpdate { portfolio: Portfolio::now(user, engine, now), positions: Position::all(user, engine) }
}

/// Says goodbye and waits a moment for the client's.
async fn close(mut socket: Socket, code: u16, why: &'static str) {
    let frame = CloseFrame { code: CloseCode::from(code), reason: why.into() };
    let goodbye = async {
        socket.close(Some(frame)).await?;
        drain(&mut socket).await
    };
    if !matches!(timeout(CLOSE_MAX, goodbye).await, Ok(Ok(()))) {
        tracing::debug!(code, "a socket closed without the client's goodbye");
    }
}

/// Sends the answer to a goodbye, which the library made.
async fn answer_goodbye(mut socket: Socket) {
    if !matches!(timeout(CLOSE_MAX, drain(&mut socket)).await, Ok(Ok(()))) {
        tracing::debug!("a client left without waiting for our goodbye");
    }
}

/// Reads, and sends what the library has to say, until the connection is closed.
async fn drain(socket: &mut Socket) -> Result<(), Error> {
    while let Some(frame) = socket.next().await {
        frame?;
    }
    Ok(())
}
