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

use crate::domain::ids::UserId;
use crate::domain::portfolio::Quote;
use crate::domain::push::{Body, Push};
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
        /// The last numbered message the client has.
        since: Option<u64>,
        /// Gets the queue.
        reply: RpcReplyPort<Attached>,
    },
    /// A socket is gone.
    Detach(SocketId),
    /// Messages that follow from the log, in order.
    Publish(Vec<Push>),
    /// A message of which only the latest counts.
    Latest(Push),
    /// New prices.
    Quotes(Arc<[Quote]>),
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
            HubMsg::Attach { user, since, reply } => {
                let attached = state.attach(user, since);
                let socket = attached.socket;
                if reply.send(attached).is_err() {
                    state.detach(socket);
                }
            }
            HubMsg::Detach(socket) => state.detach(socket),
            HubMsg::Publish(pushes) => pushes.into_iter().for_each(|push| state.publish(push)),
            HubMsg::Latest(push) => state.latest(push),
            HubMsg::Quotes(quotes) => state.quotes(&quotes),
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
    fn attach(&mut self, user: UserId, since: Option<u64>) -> Attached {
        self.args.watched.set(user, true);
        self.next += 1;
        let socket = SocketId(self.next);
        let outbox = Arc::new(Outbox::default());
        let watch = self.users.entry(user).or_default();
        watch.left = None;
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

    fn quotes(&mut self, quotes: &[Quote]) {
        let at = self.args.clock.now();
        #[expect(clippy::iter_over_hash_type, reason = "sockets are independent of each other")]
        for (user, watch) in &mut self.users {
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
    use uuid::Uuid;

    use super::*;
    use crate::ports::clock::SystemClock;

    #[tokio::test]
    async fn sockets_are_told_however_the_hub_ends() {
        for kill in [true, false] {
            let args = HubArgs { watched: Arc::default(), clock: Arc::new(SystemClock::new()) };
            let (hub, ended) = Actor::spawn(None, Hub, args).await.unwrap();
            let user = UserId::new(Uuid::nil());
            let attached = ractor::call!(hub, |reply| HubMsg::Attach { user, since: None, reply }).unwrap();
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
