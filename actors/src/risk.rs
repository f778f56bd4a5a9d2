//! The rules' shell: takes the picture, asks [`review`], holds buying power back until the order is recorded.

mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::arrival::Arrival;
use crate::domain::calendar::MarketStatus;
use crate::domain::event::Event;
use crate::domain::ids::{ClientOrderId, ConnectionId, SourceId};
use crate::domain::instrument::Symbol;
use crate::domain::intent::Intent;
use crate::domain::money::{Money, Net, Price};
use crate::domain::portfolio::Balance;
use crate::domain::risk::{DenialCode, Snapshot, review};
use crate::domain::stages::Stamp;
use crate::domain::user::{Connection, UserState, Working};
use crate::execution::{ExecutionMsg, Verdict};
use crate::fault;
use crate::user::lines::Lines;
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
    /// A position has a new price.
    Marked(ConnectionId, Symbol, Price),
    /// Time to look at equity.
    Look,
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
    recent: VecDeque<(Stamp, SourceId)>,
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
        let known = user.default_connection().and_then(|account| user.balances.get(&account.id));
        let watch = Watch::new(known.map(|balance| balance.cash));
        let mut state = RiskState { lines, user, approved: BTreeMap::new(), recent: VecDeque::new(), watch };
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
                state.review(arrival, again);
            }
            RiskMsg::Balance(connection, balance) => state.balance(&me, connection, balance),
            RiskMsg::Facts(events) => {
                state.fold(&events);
                state.count(&me, &events);
            }
            RiskMsg::Marked(connection, symbol, price) => state.marked(&me, connection, symbol, price),
            RiskMsg::Look => state.look(),
            RiskMsg::Tick => state.tick(&me),
            RiskMsg::Release(order) => {
                state.approved.remove(&order);
            }
        }
        Ok(())
    }
}

impl RiskState {
    fn review(&mut self, arrival: Arc<Arrival>, again: bool) {
        let Some(connection) = self.user.default_connection().cloned() else { return };
        self.forget_old_orders();
        let shared = &self.lines.shared;
        let global_halt = shared.halt.reason();
        let symbol = arrival.signal.instruction.symbol;
        let now = shared.clock.now();
        // Told before the verdict, so that the first order after a halt finds it ended.
        self.end_halt(now);
        let source = arrival.signal.source;
        let (limits, source_limits) = self.user.limits_for(source);
        let instrument = shared.market.instrument(symbol);
        let (reserved, pending) = self.held_back(&connection, symbol);
        let seen = Snapshot {
            now,
            received_at: arrival.signal.received_at,
            connection: &connection,
            trading: self.user.trading_at(now),
            global_halt: global_halt.as_deref(),
            suspended: self.user.suspended.as_deref(),
            plan: self.user.plan,
            limits: &limits,
            instrument,
            quote: shared.market.quote(symbol),
            market: instrument
                .map_or(MarketStatus::Open, |instrument| shared.market.status(&instrument, now)),
            balance: self.user.balances.get(&connection.id).map(|balance| **balance),
            reserved,
            position: self.user.position(connection.id, symbol).map_or(Net::FLAT, |held| held.net),
            pending,
            recent_orders: count(self.recent.len()),
            source_limits,
            recent_from_source: count(self.recent.iter().filter(|(_, from)| *from == source).count()),
            day: self.standing(now),
        };
        let draft = Intent::draft(self.user.id, &arrival.signal, &seen);
        let sized = draft.clone().size(&arrival.signal, &seen);
        let outcome =
            sized.and_then(|intent| review(intent, &seen)).map_err(|denial| (denial, Box::new(draft)));
        let decided = shared.clock.stamp();
        if let Ok(approved) = &outcome {
            let Intent { ticket, decision } = approved.intent();
            if let Some(working) = Working::of(ticket, decision) {
                self.approved.insert(ticket.id, working);
            }
            self.recent.push_back((decided, source));
        }
        let lost = matches!(&outcome, Err((denial, _)) if denial.code == DenialCode::DailyLoss || denial.code == DenialCode::UnderReview);
        let verdict = Verdict { outcome, broker: connection.broker, mode: connection.mode, decided };
        self.lines.execution.tell(ExecutionMsg::Decided(arrival, Box::new(verdict), again));
        if lost {
            self.look();
        }
    }

    /// Returns what open and approved orders hold back at an account, and what they will do to a position.
    fn held_back(&self, connection: &Connection, symbol: Symbol) -> (Money, Net) {
        let (mut reserved, mut pending) = (Money::ZERO, Net::FLAT);
        // An order that is recorded is in `working`; until that is told, in `approved`: never in both sums.
        let unrecorded = self.approved.iter().filter(|(id, _)| !self.user.working.contains_key(id));
        for (_, working) in self.user.working.iter().chain(unrecorded) {
            if working.connection == connection.id {
                reserved += working.reserved();
                if working.symbol == symbol {
                    pending = pending + working.leaves;
                }
            }
        }
        (reserved, pending)
    }

    fn fold(&mut self, events: &[Arc<Event>]) {
        let now = self.lines.shared.clock.now();
        for event in events {
            self.user.apply(event, now);
            if let Event::OrderCreated { ticket, .. } | Event::OrderDenied { ticket, .. } = &**event {
                self.approved.remove(&ticket.id);
            }
        }
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
