//! Compares what the venue saw with what was said and what the log says, once everything is at rest.
//!
//! Every comparison returns what is wrong, a line each; nothing wrong is no line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use rust_decimal::Decimal;
use trade_actors::domain::order::OrderStatus;

use super::people::whole;

/// A signal that a client was told the id of, and the account it was for.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) account: usize,
    pub(super) signal: String,
    /// How much it said; absent for a close.
    pub(super) quantity: Option<Decimal>,
    pub(super) body: String,
}

/// An order as the log tells of it.
#[derive(Clone, Debug)]
pub(super) struct Ours {
    pub(super) account: usize,
    pub(super) signal: String,
    pub(super) symbol: String,
    /// Whether it does what a signal said; else it protects or leaves a position.
    pub(super) of_signal: bool,
    pub(super) protects: bool,
    pub(super) reduces: bool,
    pub(super) denied: bool,
    pub(super) status: OrderStatus,
    pub(super) reason: String,
    pub(super) quantity: Decimal,
    pub(super) filled: Decimal,
    /// What the position would be worth after it, and what it may be worth, as they were when it was decided.
    pub(super) exposure: Option<(Decimal, Decimal)>,
    /// All of it, in words.
    pub(super) told: String,
}

/// An order at the venue.
#[derive(Clone, Debug)]
pub(super) struct Theirs {
    pub(super) account: usize,
    pub(super) id: String,
    pub(super) symbol: String,
    /// Whether another order brought it.
    pub(super) is_leg: bool,
    /// Whether it is a working stop.
    pub(super) stops: bool,
    pub(super) quantity: Decimal,
    /// How much it and its legs traded.
    pub(super) filled: Decimal,
    pub(super) told: String,
}

/// A row of the signal feed.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) outcome: String,
    pub(super) reason: String,
}

/// An account's position in a symbol.
pub(super) type Place = (usize, String);

/// All sides.
#[derive(Clone, Debug, Default)]
pub(super) struct Sides {
    pub(super) told: Vec<Told>,
    /// How many records say that a signal was received.
    pub(super) received: BTreeMap<String, usize>,
    pub(super) ours: BTreeMap<String, Ours>,
    pub(super) theirs: Vec<Theirs>,
    pub(super) held: BTreeMap<Place, Decimal>,
    pub(super) held_there: BTreeMap<Place, Decimal>,
    /// Positions whose plan has a stop.
    pub(super) planned: BTreeSet<Place>,
    pub(super) feed: BTreeMap<String, Row>,
    /// Positions that the engine took for changed by somebody else, by account.
    pub(super) drifts: Vec<(usize, String)>,
    /// Positions that were seen to be larger than the limit, with a margin for prices that moved, in words.
    pub(super) peaks: BTreeMap<Place, String>,
    /// What is less than this is no position at an account: nothing could sell it.
    pub(super) lots: BTreeMap<usize, Decimal>,
    /// Positions that are worth less than an order has to be: nothing can protect or leave them.
    pub(super) too_small: BTreeSet<Place>,
    /// Accounts at which no stop can rest: the program watches prices itself.
    pub(super) watched: BTreeSet<usize>,
}

/// What is wrong, by promise.
#[derive(Debug)]
pub(super) struct Verdict(pub(super) Vec<(&'static str, Vec<String>)>);

impl Verdict {
    pub(super) fn is_clean(&self) -> bool {
        self.0.iter().all(|(_, wrong)| wrong.is_empty())
    }

    pub(super) fn count(&self, promise: &str) -> usize {
        self.0.iter().find(|(name, _)| *name == promise).map_or(0, |(_, wrong)| wrong.len())
    }

    /// Returns the counts, then the first lines of each.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (promise, wrong) in &self.0 {
            writeln!(text, "| {promise} | {} |", wrong.len()).unwrap();
        }
        for (promise, wrong) in &self.0 {
            for line in wrong.iter().take(12) {
                writeln!(text, "{promise}: {line}").unwrap();
            }
        }
        text
    }
}

impl Sides {
    pub(super) fn judge(&self) -> Verdict {
        Verdict(vec![
            ("orders lost", self.lost()),
            ("orders duplicated", self.doubled()),
            ("orders past a limit", self.past_limit()),
            ("positions differing", self.differing()),
            ("protective orders missing", self.unprotected()),
            ("ends without a reason", self.unexplained()),
        ])
    }

    /// Returns what concerns some accounts alone.
    pub(super) fn at(&self, accounts: &BTreeSet<usize>) -> Self {
        let is_there = |account: &usize| accounts.contains(account);
        let mut part = self.clone();
        part.told.retain(|told| is_there(&told.account));
        part.ours.retain(|_, order| is_there(&order.account));
        part.theirs.retain(|order| is_there(&order.account));
        part.held.retain(|(account, _), _| is_there(account));
        part.held_there.retain(|(account, _), _| is_there(account));
        part.planned.retain(|(account, _)| is_there(account));
        part.drifts.retain(|(account, _)| is_there(account));
        part.peaks.retain(|(account, _), _| is_there(account));
        let told = part.told.iter().map(|told| told.signal.as_str());
        let signals: BTreeSet<_> =
            told.chain(part.ours.values().map(|order| order.signal.as_str())).collect();
        part.received =
            self.received.clone().into_iter().filter(|(id, _)| signals.contains(id.as_str())).collect();
        part
    }

    fn lot(&self, account: usize) -> Decimal {
        self.lots.get(&account).copied().unwrap_or_default()
    }

    /// Returns whether two amounts at an account are not the same position.
    pub(super) fn differ(&self, account: usize, one: Decimal, other: Decimal) -> bool {
        let apart = (one - other).abs();
        !apart.is_zero() && apart >= self.lot(account)
    }

    fn of(&self, signal: &str) -> impl Iterator<Item = (&String, &Ours)> {
        self.ours.iter().filter(move |(_, order)| order.of_signal && order.signal == signal)
    }

    /// A signal without a decision, or an approved order that neither reached the venue nor ended.
    fn lost(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let decided: BTreeSet<_> =
            self.ours.values().filter(|order| order.of_signal).map(|order| order.signal.as_str()).collect();
        for told in &self.told {
            if !self.received.contains_key(&told.signal) {
                wrong.push(format!(
                    "account {}: {} is not in the log: {}",
                    told.account, told.signal, told.body
                ));
            } else if !decided.contains(told.signal.as_str()) {
                wrong.push(format!(
                    "account {}: {} was never decided: {}",
                    told.account, told.signal, told.body
                ));
            }
            for (id, order) in self.of(&told.signal).filter(|(_, order)| order.account != told.account) {
                wrong.push(format!("{id} is for account {}: {}", told.account, order.told));
            }
        }
        let there: BTreeSet<_> = self.theirs.iter().map(|order| order.id.as_str()).collect();
        for (id, order) in self.ours.iter().filter(|(_, order)| !order.denied) {
            let rests = order.protects && order.status == OrderStatus::Accepted;
            if !order.status.is_final() && !rests {
                let both = self.both(&(order.account, order.symbol.clone()));
                wrong.push(format!("{id} has not come to an end: {}\n{both}", order.told));
            }
            let never_sent = !matches!(order.status, OrderStatus::Filled) && order.status.is_final();
            if !there.contains(id.as_str()) && !never_sent {
                wrong.push(format!("{id} is not at the venue: {}", order.told));
            }
        }
        wrong
    }

    /// A name used twice, an order nobody decided, two orders of one signal, or more traded than it said.
    fn doubled(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (signal, count) in self.received.iter().filter(|(_, count)| **count > 1) {
            wrong.push(format!("{signal} was taken {count} times"));
        }
        let mut seen = BTreeSet::new();
        for order in self.theirs.iter().filter(|order| !order.is_leg) {
            if !seen.insert(&order.id) {
                wrong.push(format!("two orders of one name: {}", order.told));
            }
            if !self.ours.get(&order.id).is_some_and(|known| !known.denied && known.account == order.account)
            {
                wrong.push(format!("nobody decided on {}", order.told));
            }
        }
        let mut by_signal: BTreeMap<&str, Vec<&Theirs>> = BTreeMap::new();
        for order in self.theirs.iter().filter(|order| !order.is_leg) {
            if let Some(known) = self.ours.get(&order.id).filter(|known| known.of_signal) {
                by_signal.entry(&known.signal).or_default().push(order);
            }
        }
        for told in &self.told {
            let orders = by_signal.remove(told.signal.as_str()).unwrap_or_default();
            let traded: Decimal = orders.iter().map(|order| order.filled).sum();
            if orders.len() > 1 || told.quantity.is_some_and(|said| traded > said) {
                let orders: Vec<_> = orders.iter().map(|order| &order.told).collect();
                wrong.push(format!("account {}: {} became {orders:?}", told.account, told.body));
            }
        }
        for (signal, orders) in by_signal {
            wrong.push(format!("nobody sent {signal}, of which came {} orders", orders.len()));
        }
        wrong
    }

    /// More than was decided, or a decision beyond the limit in force.
    fn past_limit(&self) -> Vec<String> {
        let mut wrong: Vec<_> = self
            .peaks
            .iter()
            .map(|(place, told)| format!("account {} {}: {told}\n{}", place.0, place.1, self.both(place)))
            .collect();
        for order in &self.theirs {
            let decided = self.ours.get(&order.id).map(|known| known.quantity);
            if decided.is_some_and(|decided| order.quantity > decided || order.filled > decided) {
                wrong.push(format!("{decided:?} was decided: {}", order.told));
            }
        }
        for (id, order) in &self.ours {
            let past = order.exposure.is_some_and(|(after, most)| after > most);
            if past && order.of_signal && !order.reduces && !order.denied {
                wrong.push(format!("{id}: {}", order.told));
            }
        }
        wrong
    }

    /// A position or a fill on which the two sides do not agree.
    fn differing(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for place in self.held.keys().chain(self.held_there.keys()).collect::<BTreeSet<_>>() {
            let amount = |side: &BTreeMap<Place, Decimal>| side.get(place).copied().unwrap_or_default();
            if self.differ(place.0, amount(&self.held), amount(&self.held_there)) {
                wrong.push(format!(
                    "account {} {}: {} by the log, {} at the venue",
                    place.0,
                    place.1,
                    amount(&self.held),
                    amount(&self.held_there)
                ));
            }
        }
        for order in self.theirs.iter().filter(|order| !order.is_leg) {
            if let Some(known) = self.ours.get(&order.id).filter(|known| known.filled != order.filled) {
                wrong.push(format!("{} filled by the log: {}; {}", known.filled, known.told, order.told));
            }
        }
        // Nobody trades past the engine here, so that what it takes for an outsider's doing is its own.
        wrong.extend(self.drifts.iter().map(|(account, told)| format!("account {account} {told}")));
        wrong
    }

    /// Returns the last orders in one place, of both sides.
    fn both(&self, place: &Place) -> String {
        let ours = self.ours.values().filter(|order| order.account == place.0 && order.symbol == place.1);
        let mut ours: Vec<_> = ours.filter(|order| !order.denied).map(|order| order.told.as_str()).collect();
        ours.sort_unstable_by_key(|told| told.split_once('[').map(|(_, steps)| steps));
        let theirs = self.theirs.iter().filter(|order| order.account == place.0 && order.symbol == place.1);
        let theirs: Vec<_> = theirs.map(|order| order.told.as_str()).collect();
        let last = |told: &[&str]| told[told.len().saturating_sub(8)..].join("\n");
        format!("by the log:\n{}\nat the venue:\n{}", last(&ours), last(&theirs))
    }

    /// A position that working stops do not cover exactly, or stops without a position.
    fn unprotected(&self) -> Vec<String> {
        let mut stopped: BTreeMap<Place, Decimal> = BTreeMap::new();
        for order in self.theirs.iter().filter(|order| order.stops) {
            *stopped.entry((order.account, order.symbol.clone())).or_default() +=
                order.quantity - order.filled;
        }
        let mut wrong = Vec::new();
        let open = self.held_there.keys().filter(|place| !self.too_small.contains(place));
        for place in open.chain(stopped.keys()).collect::<BTreeSet<_>>() {
            let held = self.held_there.get(place).copied().unwrap_or_default();
            let covered = stopped.get(place).copied().unwrap_or_default();
            let wanted = if self.watched.contains(&place.0) { Decimal::ZERO } else { held.abs() };
            if whole(wanted, self.lot(place.0)) != covered {
                let both = self.both(place);
                wrong.push(format!(
                    "account {} {}: holds {held}, stops cover {covered}\n{both}",
                    place.0, place.1
                ));
            } else if !held.is_zero() && !self.planned.contains(place) {
                wrong.push(format!("account {} {}: holds {held} without a plan", place.0, place.1));
            }
        }
        wrong
    }

    /// An order that ended undone and nobody is told why.
    fn unexplained(&self) -> Vec<String> {
        use OrderStatus as S;
        let mut wrong = Vec::new();
        for (id, order) in &self.ours {
            let undone = matches!(order.status, S::Rejected | S::Expired | S::Failed | S::Canceled);
            if undone && order.reason.trim().is_empty() {
                wrong.push(format!("{id}: {}", order.told));
            }
        }
        for told in &self.told {
            let Some(row) = self.feed.get(&told.signal) else {
                wrong.push(format!("account {}: {} is not in the feed", told.account, told.signal));
                continue;
            };
            let came_to_nothing = self.of(&told.signal).any(|(_, order)| {
                matches!(order.status, S::Rejected | S::Expired | S::Failed) && order.filled.is_zero()
            });
            let fits = match row.outcome.as_str() {
                "accepted" => !came_to_nothing,
                "rejected" => came_to_nothing && !row.reason.trim().is_empty(),
                _ => false,
            };
            if !fits {
                wrong.push(format!("account {}: {} is {row:?} in the feed", told.account, told.body));
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(signal: &str, of_signal: bool, status: OrderStatus) -> Ours {
        let filled = if status == OrderStatus::Filled { 5.into() } else { Decimal::ZERO };
        Ours {
            account: 0,
            signal: signal.to_owned(),
            symbol: "AAPL".to_owned(),
            of_signal,
            protects: !of_signal,
            reduces: !of_signal,
            denied: false,
            status,
            reason: String::new(),
            quantity: 5.into(),
            filled,
            exposure: Some((1_000.into(), 10_000.into())),
            told: String::new(),
        }
    }

    fn theirs(id: &str, stops: bool) -> Theirs {
        Theirs {
            account: 0,
            id: id.to_owned(),
            symbol: "AAPL".to_owned(),
            is_leg: false,
            stops,
            quantity: 5.into(),
            filled: if stops { Decimal::ZERO } else { 5.into() },
            told: id.to_owned(),
        }
    }

    /// Five shares bought by one signal, with their stop, and one signal denied.
    fn whole() -> Sides {
        let place = (0, "AAPL".to_owned());
        let told = |signal: &str| Told {
            account: 0,
            signal: signal.to_owned(),
            quantity: Some(5.into()),
            body: String::new(),
        };
        let row =
            |outcome: &str, reason: &str| Row { outcome: outcome.to_owned(), reason: reason.to_owned() };
        let mut denied = ours("no", true, OrderStatus::Rejected);
        denied.denied = true;
        "too large".clone_into(&mut denied.reason);
        Sides {
            told: vec![told("yes"), told("no")],
            received: [("yes".to_owned(), 1), ("no".to_owned(), 1)].into(),
            ours: [
                ("entry".to_owned(), ours("yes", true, OrderStatus::Filled)),
                ("stop".to_owned(), ours("yes", false, OrderStatus::Accepted)),
                ("denied".to_owned(), denied),
            ]
            .into(),
            theirs: vec![theirs("entry", false), theirs("stop", true)],
            held: [(place.clone(), 5.into())].into(),
            held_there: [(place.clone(), 5.into())].into(),
            planned: [place].into(),
            feed: [("yes".to_owned(), row("accepted", "")), ("no".to_owned(), row("rejected", "too large"))]
                .into(),
            ..Sides::default()
        }
    }

    /// A way to spoil what is whole, and the promise that it breaks.
    type Plant = (&'static str, fn(&mut Sides));

    #[test]
    fn chaos_comparisons_see_every_planted_difference() {
        assert!(whole().judge().is_clean(), "{}", whole().judge().text());
        let plants: [Plant; 19] = [
            ("orders lost", |sides| drop(sides.theirs.remove(0))),
            ("orders lost", |sides| sides.received.clear()),
            ("orders lost", |sides| drop(sides.ours.remove("denied"))),
            ("orders lost", |sides| sides.ours.get_mut("entry").unwrap().status = OrderStatus::Unknown),
            ("orders duplicated", |sides| sides.theirs.push(theirs("entry", false))),
            ("orders duplicated", |sides| sides.theirs.push(theirs("stranger", false))),
            ("orders duplicated", |sides| sides.theirs.push(theirs("denied", false))),
            ("orders duplicated", |sides| *sides.received.get_mut("yes").unwrap() = 2),
            ("orders duplicated", |sides| sides.told[0].quantity = Some(4.into())),
            ("orders past a limit", |sides| sides.theirs[0].quantity = 6.into()),
            ("orders past a limit", |sides| {
                sides.ours.get_mut("entry").unwrap().exposure = Some((10_001.into(), 10_000.into()));
            }),
            ("positions differing", |sides| *sides.held.values_mut().next().unwrap() += Decimal::ONE),
            ("positions differing", |sides| sides.held_there.clear()),
            ("positions differing", |sides| sides.theirs[0].filled = 4.into()),
            ("protective orders missing", |sides| drop(sides.theirs.remove(1))),
            ("protective orders missing", |sides| sides.theirs[1].quantity = 4.into()),
            ("protective orders missing", |sides| sides.planned.clear()),
            ("ends without a reason", |sides| sides.ours.get_mut("denied").unwrap().reason.clear()),
            ("ends without a reason", |sides| sides.feed.get_mut("no").unwrap().reason.clear()),
        ];
        for (number, (promise, plant)) in plants.into_iter().enumerate() {
            let mut sides = whole();
            plant(&mut sides);
            let verdict = sides.judge();
            assert!(verdict.count(promise) > 0, "plant {number}, {promise}:\n{}", verdict.text());
        }
    }
}
