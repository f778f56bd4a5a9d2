//! The rules' shell: takes the picture, asks [`review`], holds buying power back until the order is recorded.

mod prices;
mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::arrival::Arrival;
use crate::domain::calendar::MarketStatus;
use crate::domain::event::Event;
use crate::domain::ids::{ClientOrderId, ConnectionId, SourceId};
use crate::domain::instrument::Symbol;
use crate::domain::intent::Intent;
use crate::domain::money::{Money, Net, Price};
use crate::domain::order::{Mode, Order};
use crate::domain::portfolio::{Balance, Quote};
use crate::domain::report::Refusal;
use crate::domain::risk::{Approved, Denial, Limits, Snapshot, SourceLimits, review};
use crate::domain::routing::{route, usual};
use crate::domain::signal::{Action, Origin};
use crate::domain::stages::Stamp;
use crate::domain::user::{Connection, UserState, Working};
use crate::domain::waiting::{Wait, Window, for_market, for_others, still_meant};
use crate::execution::{ExecutionMsg, Key, Verdict};
use crate::fault;
use crate::user::lines::Lines;
pub use prices::Waiting;
use prices::{Told, Unpriced, young};
use watch::Watch;

/// What Risk is told.
#[derive(Debug)]
pub enum RiskMsg {
    /// A signal to judge; `true`: it was handed over before.
    Review(Arc<Arrival>, bool),
    /// The broker told a balance.
    Balance(ConnectionId, Balance),
    /// Facts that were committed.
    Facts(Arc<[Arc<Event>]>),
    /// An approved order was not recorded after all.
    Release(ClientOrderId),
    /// An order that waited is about to go out: is it still allowed?
    Recheck(Box<Order>),
    /// A symbol's price, as the broker told it when asked; absent: it told none.
    Quoted(ConnectionId, Symbol, Result<Option<Quote>, Refusal>),
    /// Time to look whether a symbol's price, waited for since then, has come.
    PriceDue(Key, Stamp),
    /// Time to look again at what waits for the list of what is traded.
    Unlisted(Waiting),
    /// A position has a new price.
    Marked(ConnectionId, Symbol, Price),
    /// Time to judge the day.
    Judge,
    /// Time to look whether a halt is over.
    Tick,
}

/// The actor.
#[derive(Debug)]
pub struct Risk;

/// What Risk needs.
#[derive(Debug)]
pub struct RiskArgs {
    /// The lines to its kin.
    pub lines: Arc<Lines>,
    /// The user as the log has them.
    pub user: UserState,
}

/// What Risk holds.
#[derive(Debug)]
pub struct RiskState {
    lines: Arc<Lines>,
    user: UserState,
    /// Approved, not yet recorded: held back already, so that check and reservation are one step.
    approved: BTreeMap<ClientOrderId, Working>,
    recent: VecDeque<(Stamp, Option<SourceId>)>,
    /// What waits for its symbol's price, and since when.
    unpriced: BTreeMap<Key, Unpriced>,
    /// The last order of each symbol that others may be merged after.
    windows: BTreeMap<Key, Window>,
    watch: Watch,
}

impl Actor for Risk {
    type Msg = RiskMsg;
    type State = RiskState;
    type Arguments = RiskArgs;

    async fn pre_start(
        &self,
        me: ActorRef<RiskMsg>,
        args: RiskArgs,
    ) -> Result<RiskState, ActorProcessingErr> {
        let RiskArgs { lines, user } = args;
        let watch = Watch::new(&user);
        let mut state = RiskState {
            lines,
            user,
            approved: BTreeMap::new(),
            recent: VecDeque::new(),
            unpriced: BTreeMap::new(),
            windows: BTreeMap::new(),
            watch,
        };
        state.keep_ticking(&me);
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<RiskMsg>,
        msg: RiskMsg,
        state: &mut RiskState,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            RiskMsg::Review(arrival, again) => {
                fault::point("risk");
                state.priced(&me, Waiting::Signal(arrival, again));
            }
            RiskMsg::Balance(connection, balance) => state.balance(&me, connection, balance),
            RiskMsg::Facts(events) => state.fold(&me, &events),
            RiskMsg::Marked(connection, symbol, price) => state.marked(&me, connection, symbol, price),
            RiskMsg::Judge => state.judge(&me),
            RiskMsg::Tick => state.tick(&me),
            RiskMsg::Release(order) => {
                state.approved.remove(&order);
            }
            RiskMsg::Recheck(order) => state.priced(&me, Waiting::Order(order)),
            RiskMsg::Quoted(connection, symbol, told) => {
                state.quoted(&me, (connection, symbol), told.as_ref().map(|quote| *quote))
            }
            RiskMsg::PriceDue(key, since) => state.price_due(&me, key, since).await?,
            RiskMsg::Unlisted(waiting) => state.unlisted(&me, waiting).await?,
        }
        Ok(())
    }
}

/// What a picture is taken of.
#[derive(Clone, Copy)]
struct Place<'a> {
    connection: &'a Connection,
    symbol: Symbol,
    /// An order that is looked at again, and must not stand in its own way.
    except: Option<ClientOrderId>,
    /// From where the signal came.
    source: Option<SourceId>,
    /// The limits for its signals.
    limits: &'a Limits,
    /// What limits that source alone.
    source_limits: Option<&'a SourceLimits>,
}

impl RiskState {
    /// Judges a signal or an order that waited, once its symbol's price is known: one that nobody follows is asked for
    /// first.
    fn priced(&mut self, me: &ActorRef<RiskMsg>, waiting: Waiting) {
        let (connection, symbol) = match &waiting {
            Waiting::Signal(arrival, again) => {
                let instruction = &arrival.signal.instruction;
                if instruction.action == Action::Modify {
                    // Nothing is bought or sold: there is nothing to size, and no limit that it could exceed.
                    let modify = ExecutionMsg::Modify(Arc::clone(arrival), *again);
                    return self.lines.execution.tell(modify);
                }
                match route(&self.user, instruction) {
                    Ok(connection) => (Some(connection), instruction.symbol),
                    Err(denial) => return self.refuse(Arc::clone(arrival), *again, denial),
                }
            }
            Waiting::Order(order) => (self.account(order.ticket.connection), order.ticket.symbol),
        };
        let Some(connection) = connection else { return };
        let id = connection.id;
        let Some(market) = self.lines.shared.brokers.market(&connection.broker) else {
            return self.judge_at(me, waiting, Ok(None));
        };
        let now = self.lines.shared.clock.now();
        let Some(instrument) = market.instrument(symbol) else {
            if market.is_unsure_of(symbol) && self.may_wait(&waiting, now) {
                // What is traded there is not known yet: that is no reason to say that this is not.
                return Self::wait_for_list(me, waiting);
            }
            return self.judge_at(me, waiting, Ok(None));
        };
        let known = young(market.quote(instrument.symbol), now);
        if known.is_some() {
            return self.judge_at(me, waiting, Ok(known));
        }
        market.watch(symbol);
        self.wait_for_price(me, (id, symbol), waiting);
    }

    /// Returns whether it may wait longer for what is not known yet: a signal until it is too old.
    fn may_wait(&self, waiting: &Waiting, now: DateTime<Utc>) -> bool {
        match waiting {
            Waiting::Signal(arrival, _) => {
                let age_s = (now - arrival.signal.received_at).num_seconds();
                age_s <= i64::from(self.user.limits.signal_max_age_s)
            }
            Waiting::Order(_) => true,
        }
    }

    fn judge_at(&mut self, me: &ActorRef<RiskMsg>, waiting: Waiting, told: Told<'_>) {
        match waiting {
            Waiting::Signal(arrival, again) => self.review(me, arrival, again, told),
            Waiting::Order(order) => self.recheck(&order, told),
        }
    }

    fn account(&self, connection: ConnectionId) -> Option<&Connection> {
        self.user.connections.iter().find(|known| known.id == connection)
    }

    /// Has a signal denied that there is no account for.
    fn refuse(&self, arrival: Arc<Arrival>, again: bool, denial: Denial) {
        let usual = usual(&self.user, arrival.signal.instruction.symbol);
        let verdict = Verdict {
            outcome: Err((denial, Box::new(Intent::refused(&self.user, &arrival.signal)))),
            wait: None,
            broker: usual.map_or_else(String::new, |known| known.broker.clone()),
            mode: usual.map_or(Mode::Paper, |known| known.mode),
            decided: self.lines.shared.clock.stamp(),
        };
        self.lines.execution.tell(ExecutionMsg::Decided(arrival, Box::new(verdict), again));
    }

    fn review(&mut self, me: &ActorRef<RiskMsg>, arrival: Arc<Arrival>, again: bool, told: Told<'_>) {
        let connection = match route(&self.user, &arrival.signal.instruction) {
            Ok(connection) => connection.clone(),
            Err(denial) => return self.refuse(arrival, again, denial),
        };
        self.forget_old_orders();
        // Told before the verdict, so that the first order after a halt finds it ended.
        self.end_halt(self.lines.shared.clock.now());
        let signal = &arrival.signal;
        let source = Some(signal.source);
        let global_halt = self.lines.shared.halt.reason();
        let (limits, source_limits) = self.limits_for(source);
        let symbol = signal.instruction.symbol;
        let place = Place {
            connection: &connection,
            symbol,
            except: None,
            source,
            limits: &limits,
            source_limits: source_limits.as_ref(),
        };
        let seen = self.look(&place, signal.received_at, told, global_halt.as_deref());
        let draft = Intent::draft(self.user.id, signal, &seen);
        let sized = draft.clone().size(signal, &seen);
        let window = self.windows.get(&(connection.id, symbol)).copied();
        let outcome = sized.and_then(|intent| review(intent, &seen)).and_then(|approved| {
            let wait = self.wait(&approved, &seen, window)?;
            Ok((approved, wait))
        });
        let now = seen.now;
        let decided = self.lines.shared.clock.stamp();
        if let Ok((approved, wait)) = &outcome {
            let Intent { ticket, decision, .. } = approved.intent();
            if let Some(working) = Working::of(ticket, decision) {
                self.approved.insert(ticket.id, working);
            }
            if wait.is_none() && ticket.origin != Origin::Manual {
                let window = Window { side: ticket.side, opened_at: now };
                self.windows.insert((connection.id, ticket.symbol), window);
            }
            self.recent.push_back((decided, source));
        }
        let lost = outcome.as_ref().is_err_and(Denial::is_for_losses);
        let (outcome, wait) = match outcome {
            Ok((approved, wait)) => (Ok(approved), wait),
            Err(denial) => (Err((denial, Box::new(draft))), None),
        };
        let (broker, mode) = (connection.broker, connection.mode);
        let verdict = Verdict { outcome, wait, broker, mode, decided };
        self.lines.execution.tell(ExecutionMsg::Decided(arrival, Box::new(verdict), again));
        if lost {
            self.judge(me);
        }
    }

    /// Returns the limits for a source's signals, and those of the source alone.
    fn limits_for(&self, source: Option<SourceId>) -> (Limits, Option<SourceLimits>) {
        let known = source.and_then(|source| self.user.source_limits(source));
        match known {
            None => (self.user.limits.clone(), None),
            Some(known) => (self.user.limits.clone().within(known), Some(known.clone())),
        }
    }

    /// Returns what an approved order waits for: its market, or the end of the window in which signals are merged.
    ///
    /// A person's own order is not merged, and an order to close what is held contradicts nothing.
    fn wait(
        &self,
        approved: &Approved,
        seen: &Snapshot<'_>,
        window: Option<Window>,
    ) -> Result<Option<Wait>, Denial> {
        let ticket = &approved.intent().ticket;
        let others = if ticket.origin == Origin::Manual || approved.intent().closes {
            None
        } else {
            for_others(ticket.symbol, ticket.side, window, seen.limits.merge_window_s, seen.now)?
        };
        Ok(for_market(ticket, seen.market).or(others))
    }

    /// Reviews an order that waited, as it would go out now.
    fn recheck(&mut self, order: &Order, told: Told<'_>) {
        let ticket = &order.ticket;
        let Some(connection) = self.account(ticket.connection).cloned() else { return };
        let global_halt = self.lines.shared.halt.reason();
        let signal = self.lines.shared.views.signal(ticket.signal);
        let source = signal.ok().flatten().map(|entry| entry.signal.source);
        let (limits, source_limits) = self.limits_for(source);
        let place = Place {
            connection: &connection,
            symbol: ticket.symbol,
            except: Some(ticket.id),
            source,
            limits: &limits,
            source_limits: source_limits.as_ref(),
        };
        // Its age counts from here: how long it may wait has a limit of its own.
        let now = self.lines.shared.clock.now();
        let seen = self.look(&place, now, told, global_halt.as_deref());
        let mut intent = Intent { ticket: ticket.clone(), decision: order.decision.clone(), closes: false };
        let price = seen.judged_price(&intent);
        let decided = intent.decision.price;
        let meant = still_meant(ticket, order.created_at, decided, price, seen.limits, now);
        intent.decision.price = price.or(decided);
        let outcome = meant.and_then(|()| review(intent, &seen));
        self.lines.execution.tell(ExecutionMsg::Rechecked(ticket.id, Box::new(outcome)));
    }

    /// Takes the picture that the rules look at.
    fn look<'a>(
        &'a self,
        place: &Place<'a>,
        received_at: DateTime<Utc>,
        told: Told<'a>,
        global_halt: Option<&'a str>,
    ) -> Snapshot<'a> {
        let shared = &self.lines.shared;
        let Place { connection, symbol, source, limits, source_limits, .. } = *place;
        // Counted only where something limits it.
        let limited = source_limits.and_then(|limits| limits.orders_per_minute).and(source);
        let recent_from_source = limited
            .map_or(0, |source| count(self.recent.iter().filter(|(_, from)| *from == Some(source)).count()));
        let now = shared.clock.now();
        let market = shared.brokers.market(&connection.broker);
        let instrument = market.as_ref().and_then(|market| market.instrument(symbol));
        let (reserved, pending) = self.held_back(place);
        let status = instrument
            .and_then(|instrument| Some(market.as_ref()?.status(&instrument, now)))
            .unwrap_or(MarketStatus::Open);
        Snapshot {
            now,
            received_at,
            connection,
            trading: self.user.trading_at(now),
            own_halt: self.user.own_halt.as_deref(),
            global_halt,
            suspended: self.user.suspended.as_deref(),
            plan: self.user.plan,
            limits,
            instrument,
            quote: told.ok().flatten(),
            locked_out: told.err(),
            market: status,
            balance: self.user.balances.get(&connection.id).map(|balance| **balance),
            reserved,
            position: self.user.position(connection.id, symbol).map_or(Net::FLAT, |held| held.net),
            pending,
            recent_orders: count(self.recent.len()),
            source_limits,
            recent_from_source,
            day: self.standing(connection.id, now),
            together: self.together(connection.mode, now),
        }
    }

    /// Returns what open and approved orders hold back at an account, and what they will do to a position.
    ///
    /// A protective order does neither: it only takes off what another order may take off as well, and makes room for
    /// that. The order that is looked at again is left out.
    fn held_back(&self, place: &Place<'_>) -> (Money, Net) {
        let Place { connection, symbol, except, .. } = *place;
        let (mut reserved, mut pending) = (Money::ZERO, Net::FLAT);
        // An order that is recorded is in `working`; until that is told, in `approved`: never in both sums.
        let unrecorded = self.approved.iter().filter(|(id, _)| !self.user.working.contains_key(id));
        for (id, working) in self.user.working.iter().chain(unrecorded) {
            let counts = Some(*id) != except && !working.purpose.is_protection();
            if counts && working.connection == connection.id {
                reserved += working.reserved();
                if working.symbol == symbol {
                    pending = pending + working.leaves;
                }
            }
        }
        (reserved, pending)
    }

    fn fold(&mut self, me: &ActorRef<RiskMsg>, events: &[Arc<Event>]) {
        let now = self.lines.shared.clock.now();
        for event in events {
            let before = self.cash_at(event);
            self.user.apply(event, now);
            self.count(event, before);
            if let Event::OrderCreated { ticket, .. } | Event::OrderDenied { ticket, .. } = &**event {
                self.approved.remove(&ticket.id);
            }
        }
        self.keep_ticking(me);
        self.arm(me);
    }

    fn forget_old_orders(&mut self) {
        const MINUTE_US: u64 = 60_000_000;
        let now = self.lines.shared.clock.stamp();
        while self.recent.front().is_some_and(|(at, _)| now.since(*at) >= MINUTE_US) {
            self.recent.pop_front();
        }
    }
}

fn count(orders: usize) -> u32 {
    u32::try_from(orders).unwrap_or(u32::MAX)
}
