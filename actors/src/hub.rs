//! Who is watching: from users to their sockets, each with a bounded queue.
//!
//! Numbered messages are never dropped: a queue that is full closes its socket, and the client resumes by `since`.
//! Prices and portfolios are conflated: the latest wins.

mod outbox;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

pub use outbox::{CloseReason, Next, Outbox};

use crate::domain::ids::{ConnectionId, UserId};
use crate::domain::portfolio::Quote;
use crate::domain::push::{Body, Push};
use crate::domain::user::UserState;
use crate::fault;
use crate::ledger::projector::Watched;
use crate::ports::clock::Clock;

/// Numbered messages kept for clients that come back.
const RING: usize = 1_000;
/// How long they are kept after the last socket is gone.
const LINGER: Duration = Duration::from_secs(120);

/// A socket's number within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(u64);

/// Where a user's signals go, and so whose prices their screens show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The broker.
    pub venue: String,
    /// The account there.
    pub account: Option<ConnectionId>,
    /// The record of the log up to which that is known.
    pub as_of: u64,
}

impl Place {
    /// Returns the place of a user as the log has them.
    #[must_use]
    pub fn of(user: &UserState) -> Self {
        let account = user.default_connection().map(|known| known.id);
        Self { venue: user.venue().to_owned(), account, as_of: user.last_seq }
    }
}

/// A socket that is attached.
#[derive(Debug)]
pub struct Attached {
    /// Its number, for [`HubMsg::Detach`].
    pub socket: SocketId,
    /// Its queue.
    pub outbox: Arc<Outbox>,
    /// Whether all messages after `since` are in the queue; otherwise the client needs a full sync.
    pub resumed: bool,
}

/// What the hub is told.
#[derive(Debug)]
pub enum HubMsg {
    /// A socket opened; `since` is the last message its client has.
    Attach {
        /// Whose.
        user: UserId,
        /// Where they trade.
        place: Place,
        /// The last numbered message the client has.
        since: Option<u64>,
        /// Gets the queue.
        reply: RpcReplyPort<Attached>,
    },
    /// A user's signals go elsewhere.
    Moved(UserId, Place),
    /// A socket is gone.
    Detach(SocketId),
    /// Messages that follow from the log, in order.
    Publish(Vec<Push>),
    /// A message of which only the latest counts.
    Latest(Push),
    /// New prices at a venue.
    Quotes(&'static str, Arc<[Quote]>),
    /// Closes every socket of a user.
    CloseUser(UserId, CloseReason),
    /// Forgets users who did not come back.
    Sweep,
}

/// The actor.
#[derive(Debug)]
pub struct Hub;

/// What the hub needs.
#[derive(Debug)]
pub struct HubArgs {
    /// Shared with the projector and the portfolios: for whom messages are worth making.
    pub watched: Arc<Watched>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// What the hub holds.
#[derive(Debug)]
pub struct HubState {
    args: HubArgs,
    users: HashMap<UserId, Watch>,
    sockets: BTreeMap<SocketId, UserId>,
    next: u64,
}

#[derive(Debug, Default)]
struct Watch {
    ring: VecDeque<Arc<Push>>,
    seq: u64,
    place: Place,
    sockets: Vec<(SocketId, Arc<Outbox>)>,
    left: Option<Instant>,
}

impl Actor for Hub {
    type Msg = HubMsg;
    type State = HubState;
    type Arguments = HubArgs;

    async fn pre_start(&self, me: ActorRef<HubMsg>, args: HubArgs) -> Result<HubState, ActorProcessingErr> {
        me.send_after(LINGER, || HubMsg::Sweep);
        Ok(HubState { args, users: HashMap::new(), sockets: BTreeMap::new(), next: 0 })
    }

    async fn handle(
        &self,
        me: ActorRef<HubMsg>,
        msg: HubMsg,
        state: &mut HubState,
    ) -> Result<(), ActorProcessingErr> {
        fault::point("hub");
        match msg {
            HubMsg::Attach { user, place, since, reply } => {
                let attached = state.attach(user, place, since);
                let socket = attached.socket;
                if reply.send(attached).is_err() {
                    state.detach(socket);
                }
            }
            HubMsg::Moved(user, place) => {
                if let Some(watch) = state.users.get_mut(&user) {
                    watch.stand_at(place);
                }
            }
            HubMsg::Detach(socket) => state.detach(socket),
            HubMsg::Publish(pushes) => pushes.into_iter().for_each(|push| state.publish(push)),
            HubMsg::Latest(push) => state.latest(push),
            HubMsg::Quotes(venue, quotes) => state.quotes(venue, &quotes),
            HubMsg::CloseUser(user, reason) => {
                if let Some(watch) = state.users.get(&user) {
                    watch.sockets.iter().for_each(|(_, outbox)| outbox.close(reason));
                }
            }
            HubMsg::Sweep => {
                state.sweep();
                me.send_after(LINGER, || HubMsg::Sweep);
            }
        }
        Ok(())
    }
}

impl Drop for HubState {
    /// However the hub ends, stopped, killed by its supervisor or in a panic: no socket waits for a word that never comes.
    fn drop(&mut self) {
        for (_, outbox) in self.users.values().flat_map(|watch| &watch.sockets) {
            outbox.close(CloseReason::GoingAway);
        }
    }
}

impl HubState {
    fn attach(&mut self, user: UserId, place: Place, since: Option<u64>) -> Attached {
        self.args.watched.set(user, true);
        self.next += 1;
        let socket = SocketId(self.next);
        let outbox = Arc::new(Outbox::default());
        let watch = self.users.entry(user).or_default();
        watch.left = None;
        watch.stand_at(place);
        let resumed = since.is_some_and(|since| watch.replay(since, &outbox));
        watch.sockets.push((socket, Arc::clone(&outbox)));
        self.sockets.insert(socket, user);
        self.gauge();
        Attached { socket, outbox, resumed }
    }

    fn detach(&mut self, socket: SocketId) {
        let Some(user) = self.sockets.remove(&socket) else { return };
        if let Some(watch) = self.users.get_mut(&user) {
            watch.sockets.retain(|(id, outbox)| {
                let gone = *id == socket;
                if gone {
                    outbox.close(CloseReason::GoingAway);
                }
                !gone
            });
            if watch.sockets.is_empty() {
                watch.left = Some(Instant::now());
            }
        }
        self.gauge();
    }

    fn publish(&mut self, push: Push) {
        let Some(watch) = self.users.get_mut(&push.user) else { return };
        let push = Arc::new(push);
        watch.seq = push.seq;
        if push.body.is_numbered() {
            if watch.ring.len() == RING {
                watch.ring.pop_front();
            }
            watch.ring.push_back(Arc::clone(&push));
        }
        watch.sockets.iter().for_each(|(_, outbox)| outbox.offer(Arc::clone(&push)));
    }

    fn latest(&mut self, mut push: Push) {
        let Some(watch) = self.users.get_mut(&push.user) else { return };
        push.seq = watch.seq;
        let push = Arc::new(push);
        watch.sockets.iter().for_each(|(_, outbox)| outbox.offer(Arc::clone(&push)));
    }

    fn quotes(&mut self, venue: &str, quotes: &[Quote]) {
        let at = self.args.clock.now();
        #[expect(clippy::iter_over_hash_type, reason = "sockets are independent of each other")]
        for (user, watch) in &mut self.users {
            if watch.place.venue != venue {
                continue;
            }
            for quote in quotes {
                let mut made = None;
                for (_, outbox) in watch.sockets.iter().filter(|(_, outbox)| outbox.wants(quote.symbol)) {
                    let push = made.get_or_insert_with(|| {
                        Arc::new(Push { user: *user, seq: watch.seq, at, body: Body::Quote(*quote) })
                    });
                    outbox.offer(Arc::clone(push));
                }
            }
        }
    }

    fn sweep(&mut self) {
        let watched = &self.args.watched;
        self.users.retain(|user, watch| {
            let keep = watch.left.is_none_or(|left| left.elapsed() < LINGER);
            if !keep {
                watched.set(*user, false);
            }
            keep
        });
    }

    fn gauge(&self) {
        let sockets = u32::try_from(self.sockets.len()).unwrap_or(u32::MAX);
        metrics::gauge!("trade_executor_ws_connections").set(f64::from(sockets));
    }
}

impl Watch {
    /// Takes over where the user trades, unless something newer is known; what is of elsewhere is not shown any more.
    fn stand_at(&mut self, place: Place) {
        if place.as_of < self.place.as_of {
            return;
        }
        let moved = place.account != self.place.account;
        self.place = place;
        if moved {
            self.sockets.iter().for_each(|(_, outbox)| outbox.renew());
        }
    }

    /// Queues all messages after `since`, if they are all still here.
    fn replay(&self, since: u64, outbox: &Outbox) -> bool {
        let (Some(first), Some(last)) = (self.ring.front(), self.ring.back()) else { return false };
        if since + 1 < first.seq || since > last.seq {
            return false;
        }
        self.ring.iter().filter(|push| push.seq > since).for_each(|push| outbox.offer_past(Arc::clone(push)));
        true
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::domain::money::{Percent, Price};
    use crate::ports::clock::SystemClock;

    fn quote(price: u32) -> Quote {
        let price = Price::new(price.into()).unwrap();
        let change_pct = Percent::new(0.into());
        let symbol = "AAPL".parse().unwrap();
        Quote { symbol, price, bid: price, ask: price, change_pct, at: DateTime::UNIX_EPOCH }
    }

    fn place(venue: &str, as_of: u64) -> Place {
        let account = Some(ConnectionId::new(Uuid::from_u128(u128::from(venue == "paper"))));
        Place { venue: venue.to_owned(), account, as_of }
    }

    /// Returns the prices that wait in a queue.
    fn prices(outbox: &Outbox) -> Vec<String> {
        let waiting = std::iter::from_fn(|| outbox.take());
        let price = |next| match next {
            Next::Send(push) => {
                let Body::Quote(quote) = &push.body else { panic!("{push:?}") };
                quote.price.to_string()
            }
            Next::Renew => "elsewhere".to_owned(),
            Next::Close(reason) => panic!("{reason:?}"),
        };
        waiting.map(price).collect()
    }

    #[tokio::test]
    async fn a_socket_hears_the_prices_of_the_place_where_its_user_trades() {
        let args = HubArgs { watched: Arc::default(), clock: Arc::new(SystemClock::new()) };
        let mut hub = HubState { args, users: HashMap::new(), sockets: BTreeMap::new(), next: 0 };
        let user = UserId::new(Uuid::nil());
        let outbox = hub.attach(user, place("paper", 3), None).outbox;
        outbox.subscribe(["AAPL".parse().unwrap()]);
        hub.quotes("alpaca", &[quote(1)]);
        hub.quotes("paper", &[quote(2)]);
        assert_eq!(prices(&outbox), ["2"]);

        hub.quotes("paper", &[quote(3)]);
        hub.users.get_mut(&user).unwrap().stand_at(place("alpaca", 5));
        hub.quotes("paper", &[quote(4)]);
        hub.quotes("alpaca", &[quote(5)]);
        assert_eq!(prices(&outbox), ["elsewhere", "5"], "what waited is of the former market");

        let second = hub.attach(user, place("paper", 4), None).outbox;
        second.subscribe(["AAPL".parse().unwrap()]);
        hub.quotes("paper", &[quote(6)]);
        hub.quotes("alpaca", &[quote(7)]);
        assert_eq!((prices(&outbox), prices(&second)), (vec!["7".to_owned()], vec!["7".to_owned()]));
    }

    #[tokio::test]
    async fn sockets_are_told_however_the_hub_ends() {
        for kill in [true, false] {
            let args = HubArgs { watched: Arc::default(), clock: Arc::new(SystemClock::new()) };
            let (hub, ended) = Actor::spawn(None, Hub, args).await.unwrap();
            let user = UserId::new(Uuid::nil());
            let place = Place::default();
            let attached =
                ractor::call!(hub, |reply| HubMsg::Attach { user, place, since: None, reply }).unwrap();
            if kill {
                hub.kill();
            } else {
                hub.stop(None);
            }
            ended.await.unwrap();
            assert!(matches!(attached.outbox.next().await, Next::Close(CloseReason::GoingAway)));
        }
    }
}
