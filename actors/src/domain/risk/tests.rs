use chrono::TimeDelta;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::event::HaltCause;
use crate::domain::ids::{ConnectionId, SignalId, SourceId, UserId};
use crate::domain::instrument::AssetClass;
use crate::domain::order::Mode;
use crate::domain::report::RefusalCode;
use crate::domain::signal::{Action, DeliveryKey, Instruction, OrderKind, Origin, Side, Signal};

mod halts;
mod live;

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn price(text: &str) -> Price {
    Price::new(dec(text)).unwrap()
}

fn quantity(text: &str) -> Quantity {
    Quantity::new(dec(text)).unwrap()
}

fn money(text: &str) -> Money {
    Money::new(dec(text))
}

/// One account and one signal, with everything in order until a test changes it.
#[derive(Clone, Debug)]
struct Case {
    connection: Connection,
    trading: Trading,
    own_halt: Option<Trading>,
    limits: Limits,
    global_halt: Option<String>,
    suspended: Option<String>,
    age_ms: i64,
    balance_age_s: i64,
    market: MarketStatus,
    plan: Plan,
    tradable: bool,
    instrument: Option<Instrument>,
    price: Option<(Price, Price, Price)>,
    locked_out: Option<Refusal>,
    equity: Option<Money>,
    buying_power: Money,
    reserved: Money,
    position: Net,
    pending: Net,
    recent_orders: u32,
    from_source: (Option<SourceLimits>, u32),
    day: Option<day::Standing>,
    signal: Signal,
}

impl Case {
    fn buy(amount: &str, at: &str, equity: &str, buying_power: &str) -> Self {
        let symbol = "AAPL".parse().unwrap();
        Self {
            connection: Connection::new(ConnectionId::new(Uuid::from_u128(2)), "paper", Mode::Paper),
            trading: Trading::Active,
            own_halt: None,
            limits: Limits::default(),
            global_halt: None,
            suspended: None,
            age_ms: 0,
            balance_age_s: 0,
            market: MarketStatus::Open,
            plan: Plan::Free,
            tradable: true,
            instrument: Some(Instrument {
                symbol,
                class: AssetClass::Equity,
                tick: price("0.01"),
                lot: quantity("1"),
                size_step: quantity("1"),
                min_notional: money("1"),
                tradable: true,
            }),
            price: Some((price(at), price(at), price(at))),
            locked_out: None,
            equity: Some(money(equity)),
            buying_power: money(buying_power),
            reserved: Money::ZERO,
            position: Net::FLAT,
            pending: Net::FLAT,
            recent_orders: 0,
            from_source: (None, 0),
            day: None,
            signal: Signal {
                id: SignalId::new(Uuid::from_u128(3)),
                source: SourceId::new(Uuid::from_u128(4)),
                origin: Origin::Tradingview,
                received_at: DateTime::UNIX_EPOCH,
                delivery: DeliveryKey::Named(1),
                instruction: Instruction {
                    action: Action::Buy,
                    symbol,
                    quantity: Quantity::new(dec(amount)).ok(),
                    kind: OrderKind::Market,
                    reference: None,
                    stop_loss: None,
                    take_profits: Vec::new(),
                    account: None,
                    via: None,
                    leverage: None,
                },
            },
        }
    }

    fn snapshot(&self) -> Snapshot<'_> {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        Snapshot {
            now,
            received_at: now - TimeDelta::milliseconds(self.age_ms),
            connection: &self.connection,
            trading: &self.trading,
            own_halt: self.own_halt.as_ref(),
            global_halt: self.global_halt.as_deref(),
            suspended: self.suspended.as_deref(),
            plan: self.plan,
            limits: &self.limits,
            instrument: self
                .instrument
                .map(|instrument| Instrument { tradable: self.tradable, ..instrument }),
            locked_out: self.locked_out.as_ref(),
            quote: self.price.map(|(last, bid, ask)| Quote {
                symbol: self.signal.instruction.symbol,
                price: last,
                bid,
                ask,
                change_pct: Percent::new(Decimal::ZERO),
                at: now,
            }),
            market: self.market,
            balance: self.equity.map(|equity| Balance {
                cash: equity,
                equity,
                buying_power: self.buying_power,
                at: now - TimeDelta::seconds(self.balance_age_s),
            }),
            reserved: self.reserved,
            position: self.position,
            pending: self.pending,
            recent_orders: self.recent_orders,
            source_limits: self.from_source.0.as_ref(),
            recent_from_source: self.from_source.1,
            day: self.day,
            together: None,
        }
    }

    fn sized(&self) -> Result<Intent, Denial> {
        let seen = self.snapshot();
        Intent::draft(UserId::new(Uuid::from_u128(1)), &self.signal, &seen).size(&self.signal, &seen)
    }

    fn review(&self) -> Result<Intent, Denial> {
        review(self.sized()?, &self.snapshot()).map(Approved::into_intent)
    }

    fn denied(&self) -> DenialCode {
        self.review().expect_err("denied").code
    }

    fn message(&self) -> String {
        self.review().expect_err("denied").message
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn selling(self) -> Self {
        self.with(|case| case.signal.instruction.action = Action::Sell)
    }

    fn closing(self) -> Self {
        self.with(|case| {
            case.signal.instruction.action = Action::Close { fraction: None, holding: None };
            case.signal.instruction.quantity = None;
        })
    }

    fn manual(self) -> Self {
        self.with(|case| case.signal.origin = Origin::Manual)
    }

    fn holding(self, net: &str) -> Self {
        self.with(|case| case.position = Net::new(dec(net)))
    }

    fn kind(self, kind: OrderKind) -> Self {
        self.with(|case| case.signal.instruction.kind = kind)
    }
}

fn fine() -> Case {
    Case::buy("5", "100", "10000", "20000")
}

fn halted(by: &str) -> Trading {
    Trading::Halted {
        by: by.to_owned(),
        reason: "lunch".to_owned(),
        at: DateTime::UNIX_EPOCH,
        cause: HaltCause::Person,
        until: None,
    }
}

#[test]
fn an_order_within_every_limit_passes_unchanged() {
    let intent = fine().review().unwrap();
    assert_eq!(intent.ticket.quantity, quantity("5"));
    assert_eq!(intent.decision.price, Some(price("100")));
    assert_eq!(intent.decision.available, Some(money("20000")));
    assert!(intent.decision.notes.is_empty());
}

#[test]
fn too_little_buying_power_is_told_with_both_amounts() {
    let case = Case::buy("200", "250", "20000", "20000");
    assert_eq!(case.denied(), DenialCode::InsufficientFunds);
    assert_eq!(case.message(), "Insufficient buying power: $20,000 available, $50,000 required");
}

#[test]
fn what_open_orders_hold_back_is_not_available() {
    let case = Case::buy("5", "100", "10000", "1000").with(|case| case.reserved = money("500"));
    assert!(case.review().is_ok());
    let case = case.with(|case| case.reserved = money("500.01"));
    assert_eq!(case.message(), "Insufficient buying power: $499.99 available, $500 required");
}

#[test]
fn a_signal_beyond_the_position_limit_is_shrunk_and_says_so() {
    let intent = Case::buy("100", "180", "10000", "20000").review().unwrap();
    assert_eq!(intent.ticket.quantity, quantity("5"));
    assert_eq!(intent.decision.requested, Some(quantity("100")));
    assert_eq!(intent.decision.notes, ["Position sized reduced to 5 shares (10% max rule)"]);
}

#[test]
fn a_person_s_order_beyond_the_position_limit_is_refused() {
    let case = Case::buy("200", "500", "25000", "50000").manual();
    assert_eq!(case.denied(), DenialCode::PositionLimit);
    assert_eq!(
        case.message(),
        "Manual orders subject to risk limits. Max position: $2,500 (10% of $25,000 equity)"
    );
}

#[test]
fn a_person_s_orders_cannot_pass_the_limit_in_slices() {
    let case = Case::buy("4", "500", "25000", "50000").manual();
    assert!(case.review().is_ok());
    assert_eq!(
        case.holding("4").message(),
        "Manual orders subject to risk limits. Max position: $2,500 (10% of $25,000 equity)"
    );
}

#[test]
fn a_position_at_its_limit_takes_nothing_more() {
    let case = Case::buy("5", "100", "10000", "20000").holding("10");
    assert_eq!(case.denied(), DenialCode::PositionLimit);
    assert_eq!(case.clone().holding("7").review().unwrap().ticket.quantity, quantity("3"));
    assert_eq!(case.selling().holding("-10").denied(), DenialCode::PositionLimit);
}

#[test]
fn working_orders_count_in_the_position() {
    let case = Case::buy("5", "100", "10000", "20000").with(|case| case.pending = Net::new(dec("8")));
    assert_eq!(case.review().unwrap().ticket.quantity, quantity("2"));
}

#[test]
fn a_resting_close_makes_no_room_for_an_entry() {
    let case = Case::buy("5", "100", "10000", "20000")
        .holding("10")
        .with(|case| case.pending = Net::new(dec("-10")));
    assert_eq!(case.denied(), DenialCode::PositionLimit);
}

#[test]
fn a_resting_entry_does_not_make_a_sale_an_exit() {
    let case = Case::buy("5", "100", "10000", "0").selling().with(|case| case.pending = Net::new(dec("5")));
    assert!(!case.sized().unwrap().ticket.reduces);
    assert_eq!(case.denied(), DenialCode::InsufficientFunds);
}

#[test]
fn a_reversal_closes_all_and_opens_what_the_limit_allows() {
    let intent = Case::buy("50", "100", "10000", "20000").selling().holding("8").review().unwrap();
    assert_eq!(intent.ticket.quantity, quantity("18"));
    assert!(!intent.ticket.reduces);
}

#[test]
fn an_order_without_a_quantity_is_sized_to_the_limit() {
    let case = Case::buy("0", "180", "10000", "20000");
    let intent = case.review().unwrap();
    assert_eq!(intent.ticket.quantity, quantity("5"));
    assert_eq!(intent.decision.notes, ["the signal names no quantity: sized to 10% of equity"]);
    let blind = case.with(|case| case.equity = None);
    assert_eq!(blind.denied(), DenialCode::BalanceUnknown);
}

#[test]
fn an_old_signal_is_not_acted_on() {
    assert!(fine().with(|case| case.age_ms = 30_000).review().is_ok());
    let case = fine().with(|case| case.age_ms = 31_000);
    assert_eq!(case.denied(), DenialCode::Stale);
    assert_eq!(
        case.message(),
        "The signal was 31 s old when it could be acted on (limit 30 s). Nothing was sent."
    );
}

#[test]
fn a_suspended_user_sends_nothing() {
    assert_eq!(
        fine().with(|case| case.suspended = Some("3 failures".to_owned())).denied(),
        DenialCode::Suspended
    );
}

#[test]
fn an_order_leaves_the_regular_session_only_where_the_user_asked_for_it() {
    let opens_at = DateTime::UNIX_EPOCH;
    let case = fine().kind(OrderKind::Limit { limit: price("100") });
    let early = case.with(|case| case.market = MarketStatus::Extended { opens_at });
    assert!(!early.review().unwrap().ticket.extended_hours);
    let asked = early.with(|case| case.limits.extended_hours = true);
    assert!(asked.review().unwrap().ticket.extended_hours);
    let at_market = asked.with(|case| case.signal.instruction.kind = OrderKind::Market);
    assert!(!at_market.review().unwrap().ticket.extended_hours);
}

#[test]
fn what_is_not_traded_here_is_refused() {
    assert_eq!(fine().with(|case| case.tradable = false).denied(), DenialCode::InvalidSymbol);
    assert_eq!(fine().with(|case| case.instrument = None).denied(), DenialCode::InvalidSymbol);
    assert_eq!(fine().with(|case| case.price = None).denied(), DenialCode::NoPrice);
}

#[test]
fn keys_that_the_broker_does_not_accept_are_the_reason_why_there_is_no_price() {
    let locked_out = Refusal { code: RefusalCode::AuthFailed, message: "wrong keys".to_owned() };
    let case = fine().with(|case| case.locked_out = Some(locked_out));
    assert!(case.review().is_ok(), "a price that is known needs no keys");
    let unpriced = case.with(|case| case.price = None);
    assert_eq!(unpriced.review().unwrap_err(), Denial::new(DenialCode::AuthFailed, "wrong keys"));
}

#[test]
fn quantities_are_rounded_down_to_lots_and_prices_must_be_on_a_tick() {
    let intent = Case::buy("5.9", "100", "10000", "20000").review().unwrap();
    assert_eq!(intent.ticket.quantity, quantity("5"));
    assert_eq!(intent.decision.notes, ["quantity rounded down to 5 (lots of 1)"]);
    assert_eq!(Case::buy("0.9", "100", "10000", "20000").denied(), DenialCode::BelowMinimum);
    assert_eq!(fine().kind(OrderKind::Limit { limit: price("99.999") }).denied(), DenialCode::FatFinger);
}

#[test]
fn a_price_far_from_the_market_is_a_slip() {
    for (named, allowed) in [("90", true), ("110", true), ("89.99", false), ("110.01", false)] {
        let limit = fine().kind(OrderKind::Limit { limit: price(named) });
        let stop = fine().kind(OrderKind::Stop { trigger: price(named) });
        assert_eq!(limit.review().is_ok(), allowed, "{named}");
        assert_eq!(stop.review().is_ok(), allowed, "{named}");
    }
}

#[test]
fn an_absurd_value_is_a_slip() {
    let case = Case::buy("10001", "100", "100000000", "200000000");
    assert_eq!(case.denied(), DenialCode::FatFinger);
    assert_eq!(
        case.message(),
        "The order is worth $1,000,100, above the limit of $1,000,000 for one order. Nothing was sent."
    );
}

#[test]
fn a_burst_of_orders_ends_at_the_limit() {
    assert!(fine().with(|case| case.recent_orders = 2_999).review().is_ok());
    assert_eq!(fine().with(|case| case.recent_orders = 3_000).denied(), DenialCode::OrderRate);
}

#[test]
fn an_old_balance_stops_entries_but_not_exits() {
    let case = fine().with(|case| case.balance_age_s = 61);
    assert_eq!(case.denied(), DenialCode::BalanceUnknown);
    assert!(case.clone().closing().holding("5").review().is_ok());
    assert!(case.selling().holding("5").review().is_ok());
}

#[test]
fn there_is_no_closing_without_a_position() {
    assert_eq!(fine().closing().denied(), DenialCode::NoPosition);
}

#[test]
fn a_sale_at_a_limit_is_judged_at_the_better_price() {
    let case = fine().selling().kind(OrderKind::Limit { limit: price("95") });
    assert_eq!(case.review().unwrap().decision.price, Some(price("100")));
    let case = fine().selling().kind(OrderKind::Limit { limit: price("105") });
    assert_eq!(case.review().unwrap().decision.price, Some(price("105")));
}

/// Each step mends the first thing that is wrong; the next rule's denial must come to light.
#[test]
fn the_rules_speak_in_their_order() {
    let mut case = Case::buy("1000000", "100", "10000", "1").holding("10");
    case.age_ms = 31_000;
    case.suspended = Some("failures".to_owned());
    case.trading = halted("owner");
    case.connection.mode = Mode::Live;
    case.tradable = false;
    case.recent_orders = u32::MAX;
    type Mend = fn(&mut Case);
    let steps: [(DenialCode, Mend); 9] = [
        (DenialCode::Stale, |case| case.age_ms = 0),
        (DenialCode::Suspended, |case| case.suspended = None),
        (DenialCode::Halted, |case| case.trading = Trading::Active),
        (DenialCode::Plan, |case| case.plan = Plan::Premium),
        (DenialCode::LiveOff, |case| case.connection.is_live_on = true),
        (DenialCode::InvalidSymbol, |case| case.tradable = true),
        (DenialCode::OrderRate, |case| case.recent_orders = 0),
        (DenialCode::FatFinger, |case| case.signal.instruction.quantity = Some(quantity("5"))),
        (DenialCode::InsufficientFunds, |case| case.buying_power = money("20000")),
    ];
    for (code, mend) in steps {
        assert_eq!(case.denied(), code);
        mend(&mut case);
    }
    assert_eq!(case.denied(), DenialCode::PositionLimit);
    assert!(case.holding("0").review().is_ok());
}

fn any_net() -> impl Strategy<Value = Net> {
    prop_oneof![Just(0_i64), -3_000_i64..3_000].prop_map(|cents| Net::new(Decimal::new(cents, 2)))
}

fn any_money() -> impl Strategy<Value = Money> {
    (-1_000_000_i64..100_000_000).prop_map(|cents| Money::new(Decimal::new(cents, 2)))
}

fn any_kind() -> impl Strategy<Value = OrderKind> {
    let near = || (1_i64..40_000).prop_map(|cents| Price::new(Decimal::new(cents, 2)).unwrap());
    prop_oneof![
        3 => Just(OrderKind::Market),
        1 => near().prop_map(|limit| OrderKind::Limit { limit }),
        1 => near().prop_map(|trigger| OrderKind::Stop { trigger }),
        1 => (near(), near()).prop_map(|(trigger, limit)| OrderKind::StopLimit { trigger, limit }),
    ]
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => Just(Action::Buy),
        3 => Just(Action::Sell),
        1 => proptest::option::of(1_i64..150).prop_map(|pct| Action::Close {
            fraction: pct.map(|pct| Percent::new(Decimal::from(pct))),
            holding: None
        }),
    ]
}

prop_compose! {
    fn any_account()(
        last in 1_i64..40_000, spread in 0_i64..200, lot_scale in 0_u32..5, min in 0_i64..5_000,
        equity in proptest::option::weighted(0.9, any_money()), power in any_money(), reserved in 0_i64..1_000_000,
        position in any_net(), pending in any_net(), age in 0_i64..80, pct in 1_i64..200,
    ) -> Case {
        let mut case = fine();
        let at = |cents: i64| Price::new(Decimal::new(cents.max(1), 2)).unwrap();
        case.price = Some((at(last), at(last - spread), at(last + spread)));
        case.instrument = case.instrument.map(|instrument| Instrument {
            lot: Quantity::new(Decimal::new(1, lot_scale)).unwrap(),
            size_step: Quantity::new(Decimal::new(1, lot_scale)).unwrap(),
            min_notional: Money::new(Decimal::new(min, 2)),
            ..instrument
        });
        case.equity = equity;
        case.buying_power = power;
        case.reserved = Money::new(Decimal::new(reserved, 2));
        case.position = position;
        case.pending = pending;
        case.balance_age_s = age;
        case.limits.position_max_pct = Percent::new(Decimal::from(pct));
        case.limits.order_max_notional = money("50000");
        case
    }
}

prop_compose! {
    fn any_case()(
        mut case in any_account(), action in any_action(), kind in any_kind(), manual: bool,
        amount in proptest::option::of(1_i64..100_000), scale in 0_u32..5,
    ) -> Case {
        case.signal.instruction.action = action;
        case.signal.instruction.kind = kind;
        case.signal.instruction.quantity =
            amount.map(|units| Quantity::new(Decimal::new(units, scale)).unwrap());
        if manual {
            case.signal.origin = Origin::Manual;
        }
        case
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Whatever is approved is within every limit there is.
    #[test]
    fn an_approved_order_exceeds_no_limit(case in any_case()) {
        let Ok(intent) = case.review() else { return Ok(()) };
        let (ticket, seen) = (&intent.ticket, case.snapshot());
        let instrument = seen.instrument.unwrap();
        let worth = intent.decision.price.unwrap().notional(ticket.quantity);
        prop_assert!(!ticket.quantity.is_zero());
        prop_assert_eq!(ticket.quantity.floor_to(instrument.lot), ticket.quantity);
        for named in ticket.kind.limit().into_iter().chain(ticket.kind.trigger()) {
            prop_assert!(named.distance_pct(seen.quote.unwrap().price) <= case.limits.price_band_pct);
        }
        if ticket.reduces {
            return Ok(());
        }
        let balance = seen.balance.unwrap();
        prop_assert!(case.balance_age_s <= 60);
        prop_assert!(worth <= balance.buying_power - seen.reserved);
        prop_assert!(worth <= case.limits.order_max_notional);
        // Working orders may or may not be done; the limit holds either way, unless it was broken before.
        let most = balance.equity.part(case.limits.position_max_pct);
        for before in [seen.position, seen.expected_position()] {
            let after = before + ticket.signed(ticket.quantity);
            let grew = after.size() > before.size();
            let value = intent.decision.price.unwrap().notional(after.size());
            prop_assert!(!grew || value <= most, "{} above {}", value, most);
        }
    }

    /// Rules only ever take away: the quantity never grows, and a person's order is never changed but for lots.
    #[test]
    fn review_never_grows_an_order(case in any_case()) {
        let (Ok(sized), Ok(approved)) = (case.sized(), case.review()) else { return Ok(()) };
        prop_assert!(approved.ticket.quantity <= sized.ticket.quantity);
        if case.signal.origin == Origin::Manual {
            let lot = case.instrument.unwrap().lot;
            prop_assert_eq!(approved.ticket.quantity, sized.ticket.quantity.floor_to(lot));
        }
        prop_assert_eq!(approved.ticket.side, sized.ticket.side);
        prop_assert_eq!(approved.ticket.kind, sized.ticket.kind);
        prop_assert_eq!(approved.ticket.id, sized.ticket.id);
    }

    /// No limit on entries stands in the way of an exit at the market.
    #[test]
    fn an_exit_is_never_held_back_by_the_limits_on_entries(mut case in any_account(), lots in 1_i64..5_000) {
        let lot = case.instrument.unwrap().lot;
        case.position = Net::new(lot.get() * Decimal::from(lots));
        case.pending = Net::FLAT;
        let intent = case.closing().review();
        prop_assert!(intent.as_ref().is_ok_and(|intent| intent.ticket.reduces), "{:?}", intent);
    }

    /// The same picture gives the same verdict.
    #[test]
    fn review_is_deterministic(case in any_case()) {
        prop_assert_eq!(case.review(), case.clone().review());
    }

    /// An exit never turns a position round.
    #[test]
    fn an_exit_never_turns_a_position_round(case in any_case()) {
        let Ok(intent) = case.review() else { return Ok(()) };
        if intent.ticket.reduces && case.pending == Net::FLAT {
            let after = case.position + intent.ticket.signed(intent.ticket.quantity);
            prop_assert!(after.is_flat() || after.is_short() == case.position.is_short());
            prop_assert_eq!(intent.ticket.side == Side::Buy, case.position.is_short());
        }
    }
}
