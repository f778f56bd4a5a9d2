//! What an account's orders at Alpaca have come to: reports that never take back what was told.
//!
//! One order of ours can be several of theirs: the two legs of a pair, and orders that replaced others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use trade_actors::domain::ids::{BrokerOrderId, ClientOrderId};
use trade_actors::domain::money::{Money, Price, Quantity};
use trade_actors::domain::report::{Done, OrderReport, Refusal, RefusalCode, ReportedState};

use super::wire;

/// How many ended orders are remembered; older ones are known from their look-up alone.
const REMEMBERED: usize = 256;
/// Decimals of an average price.
const AVERAGE_DP: u32 = 10;
/// The version that ids of ours have as UUIDs; those that Alpaca makes up have another one.
const OUR_VERSION: usize = 8;

/// How one of their orders stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Working, or about to.
    Open,
    /// Done.
    Filled,
    /// Ended by a cancel.
    Canceled,
    /// Ended by its time.
    Expired,
    /// Refused after it was taken.
    Rejected,
    /// Ended because another took its place.
    Replaced,
}

impl Standing {
    /// Reads a status; a word that is not known leaves the order open, which a later look-up corrects.
    #[must_use]
    pub fn read(status: &str) -> Self {
        match status {
            "filled" => Self::Filled,
            "canceled" => Self::Canceled,
            "expired" => Self::Expired,
            "rejected" => Self::Rejected,
            "replaced" => Self::Replaced,
            _ => Self::Open,
        }
    }
}

/// What has to be asked for before an order can be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The legs of this order of theirs.
    Legs(String),
    /// The order of theirs that took another's place.
    Replacement(String),
}

/// What is known of one of ours after news of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// All of it, added up.
    pub report: OrderReport,
    /// What is not known yet; until then the order counts as open.
    pub missing: Option<Missing>,
}

/// One leg, through all its replacements.
#[derive(Clone, Debug)]
struct Leg {
    standing: Standing,
    quantity: Decimal,
    filled: Decimal,
    average: Option<Decimal>,
    /// What it holds back of buying power.
    held: Decimal,
    /// Their id of its newest order.
    newest: String,
    /// Their id of an order that took its place and is not known yet.
    successor: Option<String>,
}

/// One order of ours.
#[derive(Clone, Debug)]
struct Family {
    head: String,
    is_pair: bool,
    legs: BTreeMap<String, Leg>,
    at: Option<DateTime<Utc>>,
}

/// What an account's orders have come to.
#[derive(Debug, Default)]
pub struct Tally {
    families: BTreeMap<ClientOrderId, Family>,
    /// Their ids: whose order it is, and which leg of it.
    owners: BTreeMap<String, (ClientOrderId, String)>,
    ended: VecDeque<ClientOrderId>,
}

/// Returns our id of an order of theirs; `None`: somebody else placed it.
#[must_use]
pub fn ours(order: &wire::Order) -> Option<ClientOrderId> {
    let id: ClientOrderId = order.client_order_id.parse().ok()?;
    (id.uuid().get_version_num() == OUR_VERSION).then_some(id)
}

impl Tally {
    /// Takes news of one of their orders; `None`: it belongs to none of ours.
    pub fn take(&mut self, news: &wire::Order, now: DateTime<Utc>) -> Option<Known> {
        let (owner, leg) = match self.owners.get(&news.id) {
            Some((owner, leg)) => (*owner, leg.clone()),
            None => (ours(news)?, news.id.clone()),
        };
        let family = self.families.entry(owner).or_insert_with(|| Family {
            head: news.id.clone(),
            is_pair: false,
            legs: BTreeMap::new(),
            at: None,
        });
        family.is_pair |= news.order_class.as_deref() == Some("oco");
        family.at = family.at.max(news.updated_at).max(news.filled_at);
        for (theirs, leg) in
            std::iter::once((news, leg)).chain(news.legs.iter().flatten().map(|leg| (leg, leg.id.clone())))
        {
            let leg = self.owners.get(&theirs.id).map_or(leg, |(_, known)| known.clone());
            if let Some(successor) = &theirs.replaced_by {
                self.owners.entry(successor.clone()).or_insert_with(|| (owner, leg.clone()));
            }
            self.owners.insert(theirs.id.clone(), (owner, leg.clone()));
            family.legs.entry(leg).and_modify(|leg| leg.take(theirs)).or_insert_with(|| Leg::new(theirs));
        }
        let mut known = family.known(owner, now);
        let alone = news.id == family.head && news.legs.as_ref().is_none_or(Vec::is_empty);
        if alone && known.report.state == ReportedState::Open && family.outlived() {
            known.missing.get_or_insert_with(|| Missing::Legs(family.head.clone()));
        }
        if known.report.state != ReportedState::Open && !self.ended.contains(&owner) {
            self.ended.push_back(owner);
            self.forget_oldest();
        }
        Some(known)
    }

    fn forget_oldest(&mut self) {
        while self.ended.len() > REMEMBERED {
            if let Some(oldest) = self.ended.pop_front() {
                self.families.remove(&oldest);
                self.owners.retain(|_, (owner, _)| *owner != oldest);
            }
        }
    }

    /// Returns their id of the order to cancel when one of ours is to be.
    #[must_use]
    pub fn newest(&self, order: ClientOrderId) -> Option<String> {
        let family = self.families.get(&order)?;
        family.legs.get(&family.head).map(|leg| leg.newest.clone())
    }

    /// Returns what each open buy order of ours holds back of buying power, as far as its price is known.
    ///
    /// A market order's is not, so it counts as nothing: buying power is rather understated.
    #[must_use]
    pub fn held(&self) -> BTreeMap<ClientOrderId, Money> {
        let held = |family: &Family| family.legs.values().map(|leg| leg.held).max().unwrap_or_default();
        let all = self.families.iter().map(|(id, family)| (*id, held(family)));
        all.filter(|(_, held)| !held.is_zero()).map(|(id, held)| (id, Money::new(held))).collect()
    }

    /// Notes which of ours Alpaca listed as open: no other holds anything back.
    pub fn listed(&mut self, open: &BTreeSet<ClientOrderId>) {
        for (id, family) in &mut self.families {
            if !open.contains(id) {
                family.legs.values_mut().for_each(|leg| leg.held = Decimal::ZERO);
            }
        }
    }
}

impl Leg {
    fn new(theirs: &wire::Order) -> Self {
        let mut leg = Self {
            standing: Standing::Open,
            quantity: Decimal::ZERO,
            filled: Decimal::ZERO,
            average: None,
            held: Decimal::ZERO,
            newest: theirs.id.clone(),
            successor: None,
        };
        leg.take(theirs);
        leg
    }

    /// Takes news, which may be older than what is known: quantities never fall, and an end is an end.
    fn take(&mut self, theirs: &wire::Order) {
        let filled = theirs.filled_qty.map_or(Decimal::ZERO, |quantity| quantity.0);
        let is_stale = filled < self.filled;
        if !is_stale {
            self.filled = filled;
            self.average = theirs.filled_avg_price.map(|price| price.0).or(self.average);
        }
        self.quantity = self.quantity.max(theirs.qty.map_or(Decimal::ZERO, |quantity| quantity.0));
        match Standing::read(&theirs.status) {
            Standing::Open => {
                // The order that was waited for.
                if self.successor.as_deref() == Some(theirs.id.as_str()) {
                    self.successor = None;
                    self.standing = Standing::Open;
                    self.newest.clone_from(&theirs.id);
                }
            }
            Standing::Replaced => {
                if self.standing == Standing::Open {
                    self.standing = Standing::Replaced;
                    self.successor.clone_from(&theirs.replaced_by);
                }
            }
            ended @ (Standing::Filled | Standing::Canceled | Standing::Expired | Standing::Rejected) => {
                let is_new = matches!(self.standing, Standing::Open | Standing::Replaced);
                if is_new || !is_stale {
                    self.standing = ended;
                    self.successor = None;
                }
            }
        }
        let price = theirs.limit_price.or(theirs.stop_price).map_or(Decimal::ZERO, |price| price.0);
        let rest = (self.quantity - self.filled).max(Decimal::ZERO);
        let holds = theirs.side.as_deref() == Some("buy") && matches!(self.standing, Standing::Open);
        self.held = if holds { rest.saturating_mul(price) } else { Decimal::ZERO };
    }
}

impl Family {
    fn known(&self, order: ClientOrderId, now: DateTime<Utc>) -> Known {
        let report = OrderReport {
            order,
            broker_order: BrokerOrderId::new(self.head.clone()),
            state: self.state(),
            fills: Vec::new(),
            done: self.done(now),
            balance: None,
        };
        Known { report, missing: self.missing() }
    }

    fn missing(&self) -> Option<Missing> {
        let successor = self.legs.values().find_map(|leg| leg.successor.clone());
        if let Some(successor) = successor {
            return Some(Missing::Replacement(successor));
        }
        (self.is_pair && self.legs.len() < 2).then(|| Missing::Legs(self.head.clone()))
    }

    /// Returns whether the pair's head has ended and its leg, as far as we heard, has not.
    ///
    /// They end together, so that news of the leg is late or lost; a look-up of the head alone never brings it.
    fn outlived(&self) -> bool {
        let is_open = |leg: &Leg| leg.standing == Standing::Open;
        let head_is_over =
            self.legs.get(&self.head).is_some_and(|head| !is_open(head) && head.successor.is_none());
        self.is_pair && head_is_over && self.legs.values().any(is_open)
    }

    fn filled(&self) -> Decimal {
        self.legs.values().map(|leg| leg.filled).sum()
    }

    fn state(&self) -> ReportedState {
        let is = |wanted: Standing| self.legs.values().any(|leg| leg.standing == wanted);
        let ordered = self.legs.values().map(|leg| leg.quantity).max().unwrap_or_default();
        let filled = self.filled();
        // A fill of either leg counts; the other one is then about to be cancelled.
        let is_filled =
            if self.is_pair { !ordered.is_zero() && filled >= ordered } else { is(Standing::Filled) };
        if is_filled {
            ReportedState::Filled
        } else if self.missing().is_some() || is(Standing::Open) {
            ReportedState::Open
        } else if is(Standing::Rejected) && filled.is_zero() {
            ReportedState::Rejected(Refusal {
                code: RefusalCode::OrderRejected,
                message:
                    "Alpaca took the order and then rejected it, without saying why. Nothing was executed. \
                          Look at the order at alpaca.markets before you send it again."
                        .to_owned(),
            })
        } else if is(Standing::Expired) {
            ReportedState::Expired
        } else {
            ReportedState::Canceled
        }
    }

    fn done(&self, now: DateTime<Utc>) -> Option<Done> {
        let quantity = Quantity::new(self.filled()).ok()?;
        let cost = self
            .legs
            .values()
            .filter(|leg| !leg.filled.is_zero())
            .try_fold(Decimal::ZERO, |cost, leg| cost.checked_add(leg.filled.checked_mul(leg.average?)?));
        let average = cost.and_then(|cost| cost.checked_div(quantity.get()));
        let price = average.and_then(|average| Price::new(average.round_dp(AVERAGE_DP)).ok());
        Some(Done { quantity, price, at: self.at.unwrap_or(now) })
    }
}

#[cfg(test)]
mod tests;
