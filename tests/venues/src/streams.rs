//! Who listens, and what goes wrong with what they are told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::book::Event;
use crate::feed::Quote;

/// What a stream tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// One account's orders.
    Orders,
    /// Everybody's prices.
    Prices,
}

/// Something to tell; the venue puts it into its own words.
#[derive(Clone, Debug)]
pub enum Push {
    /// Something happened to an order.
    Order(Arc<Event>),
    /// A price changed.
    Price {
        /// Of what.
        symbol: String,
        /// To what.
        quote: Quote,
        /// How many changes there were, this one included.
        number: u64,
    },
}

/// What goes wrong with messages. A message is what one event makes, however many listen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamFaults {
    /// Only messages to this account; prices belong to none.
    pub account: Option<String>,
    /// Only messages of this kind.
    pub channel: Option<Channel>,
    /// Each message is sent twice.
    pub duplicate: bool,
    /// So many messages are held back, then sent the last first; no more than one is none.
    pub window: usize,
    /// Held-back messages are sent after so many milliseconds, however few; never if it is zero.
    pub hold_ms: u32,
    /// Each message is sent so many milliseconds late.
    pub delay_ms: u64,
    /// So many messages are sent to nobody.
    pub swallow: u32,
}

/// A message on its way to one listener.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What to tell.
    pub push: Push,
    /// Not to tell before.
    pub due: Instant,
}

/// One listener's end.
#[derive(Debug)]
pub struct Inbox {
    /// What it is told.
    pub messages: mpsc::UnboundedReceiver<Delivery>,
    /// Rings when its connection is to be cut.
    pub cut: Arc<Notify>,
    /// Its number.
    pub id: u64,
}

#[derive(Debug)]
struct Listener {
    accounts: Vec<String>,
    channels: Vec<Channel>,
    outbox: mpsc::UnboundedSender<Delivery>,
    cut: Arc<Notify>,
}

/// All listeners, and the faults in force.
#[derive(Debug, Default)]
pub struct Hub {
    listeners: BTreeMap<u64, Listener>,
    last_id: u64,
    faults: StreamFaults,
    held: Vec<(Option<String>, Push)>,
    held_since: Option<DateTime<Utc>>,
    refuses_until: Option<DateTime<Utc>>,
}

impl Hub {
    /// Adds a listener to one account's orders, to prices, or to both.
    pub fn join(&mut self, account: Option<&str>, channels: &[Channel]) -> Inbox {
        let (outbox, messages) = mpsc::unbounded_channel();
        let cut = Arc::new(Notify::new());
        self.last_id += 1;
        let accounts = account.map(str::to_owned).into_iter().collect();
        let channels = channels.to_vec();
        self.listeners.insert(self.last_id, Listener { accounts, channels, outbox, cut: Arc::clone(&cut) });
        Inbox { messages, cut, id: self.last_id }
    }

    /// Makes a listener hear an account's orders, once it has said who it is, and no other account's.
    pub fn claim(&mut self, id: u64, account: &str) {
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.accounts = vec![account.to_owned()];
        }
    }

    /// Makes a listener hear one more account's orders.
    pub fn claim_also(&mut self, id: u64, account: &str) {
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.accounts.push(account.to_owned());
        }
    }

    /// Makes a listener hear an account's orders no longer.
    pub fn disclaim(&mut self, id: u64, account: &str) {
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.accounts.retain(|claimed| claimed != account);
        }
    }

    /// Removes a listener.
    pub fn leave(&mut self, id: u64) {
        self.listeners.remove(&id);
    }

    /// Returns how many listen to a channel: for one account, or for all.
    #[must_use]
    pub fn listening(&self, account: Option<&str>, channel: Channel) -> usize {
        let all = self.listeners.values();
        all.filter(|listener| listener.channels.contains(&channel) && is_of(listener, account)).count()
    }

    /// Cuts all streams, or one account's. Returns how many.
    pub fn drop_streams(&mut self, account: Option<&str>) -> usize {
        let cut: Vec<u64> = self
            .listeners
            .iter()
            .filter(|(_, listener)| is_of(listener, account))
            .map(|(id, listener)| {
                listener.cut.notify_one();
                *id
            })
            .collect();
        self.listeners.retain(|id, _| !cut.contains(id));
        cut.len()
    }

    /// Refuses new streams until a time.
    pub fn refuse_until(&mut self, until: DateTime<Utc>) {
        self.refuses_until = Some(until);
    }

    /// Returns whether new streams are refused.
    #[must_use]
    pub fn refuses(&self, now: DateTime<Utc>) -> bool {
        self.refuses_until.is_some_and(|until| now < until)
    }

    /// Returns the faults in force.
    #[must_use]
    pub fn faults(&self) -> &StreamFaults {
        &self.faults
    }

    /// Puts other faults in force; what was held back is sent, in order.
    pub fn set_faults(&mut self, faults: StreamFaults) {
        self.release(false);
        self.faults = faults;
    }

    /// Ends all faults, refusals too.
    pub fn clear(&mut self) {
        self.set_faults(StreamFaults::default());
        self.refuses_until = None;
    }

    /// Returns when messages that are held back are due.
    #[must_use]
    pub fn next_due(&self) -> Option<DateTime<Utc>> {
        if self.faults.hold_ms == 0 {
            return None;
        }
        self.held_since.map(|since| since + TimeDelta::milliseconds(self.faults.hold_ms.into()))
    }

    /// Sends what was held back long enough.
    pub fn advance(&mut self, now: DateTime<Utc>) {
        if self.next_due().is_some_and(|due| due <= now) {
            self.release(true);
        }
    }

    /// Tells one account's listeners of its orders, or all of prices.
    pub fn publish(&mut self, now: DateTime<Utc>, account: Option<&str>, push: Push) {
        let faults = &mut self.faults;
        let concerned = faults.channel.is_none_or(|channel| channel == channel_of(&push))
            && faults.account.as_deref().is_none_or(|only| account == Some(only));
        if !concerned {
            self.send(account, &push, Duration::ZERO);
            return;
        }
        if faults.swallow > 0 {
            faults.swallow -= 1;
            return;
        }
        let copies = if faults.duplicate { 2 } else { 1 };
        let late = Duration::from_millis(faults.delay_ms);
        if faults.window > 1 {
            for _ in 0..copies {
                self.held.push((account.map(str::to_owned), push.clone()));
            }
            self.held_since.get_or_insert(now);
            if self.held.len() >= self.faults.window {
                self.release(true);
            }
            return;
        }
        for _ in 0..copies {
            self.send(account, &push, late);
        }
    }

    fn release(&mut self, backwards: bool) {
        let late = Duration::from_millis(self.faults.delay_ms);
        let mut held = std::mem::take(&mut self.held);
        self.held_since = None;
        if backwards {
            held.reverse();
        }
        for (account, push) in held {
            self.send(account.as_deref(), &push, late);
        }
    }

    fn send(&mut self, account: Option<&str>, push: &Push, late: Duration) {
        let channel = channel_of(push);
        let due = Instant::now() + late;
        self.listeners.retain(|_, listener| {
            let meant = listener.channels.contains(&channel)
                && (channel == Channel::Prices || (account.is_some() && is_of(listener, account)));
            !meant || listener.outbox.send(Delivery { push: push.clone(), due }).is_ok()
        });
    }
}

fn channel_of(push: &Push) -> Channel {
    match push {
        Push::Order(_) => Channel::Orders,
        Push::Price { .. } => Channel::Prices,
    }
}

fn is_of(listener: &Listener, account: Option<&str>) -> bool {
    account.is_none_or(|account| listener.accounts.iter().any(|claimed| claimed == account))
}
