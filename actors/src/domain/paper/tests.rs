use std::cell::RefCell;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::calendar::MarketStatus;
use crate::domain::instrument::{AssetClass, Instrument};
use crate::domain::money::Percent;
use crate::domain::order::Ticket;
use crate::domain::portfolio::Quote;
use crate::domain::report::{Refusal, RefusalCode};
use crate::domain::signal::Trail;

fn price(text: &str) -> Price {
    Price::new(text.parse().unwrap()).unwrap()
}

fn quantity(text: &str) -> Quantity {
    Quantity::new(text.parse().unwrap()).unwrap()
}

fn money(text: &str) -> Money {
    Money::new(text.parse().unwrap())
}

fn symbol(text: &str) -> Symbol {
    text.parse().unwrap()
}

/// A market of AAPL (whole shares) and BTC/USDT (fractions), and one account.
#[derive(Debug)]
struct Desk {
    account: PaperAccount,
    trails: Trails,
    terms: Terms,
    market: MarketStatus,
    prices: RefCell<BTreeMap<Symbol, Price>>,
    spread: Decimal,
    log: Vec<Event>,
    next: u128,
}

impl Desk {
    fn new(cash: &str) -> Self {
        let connection = ConnectionId::new(Uuid::from_u128(7));
        let mut desk = Self {
            account: PaperAccount::new(connection),
            trails: Trails::default(),
            terms: Terms::default(),
            market: MarketStatus::Open,
            prices: RefCell::new(BTreeMap::new()),
            spread: Decimal::ZERO,
            log: Vec::new(),
            next: 1,
        };
        desk.set("AAPL", "100");
        desk.set("BTC/USDT", "50000");
        desk.record(Event::PaperOpened { connection, cash: money(cash) });
        desk
    }

    fn record(&mut self, event: Event) {
        self.account.apply(&event, DateTime::UNIX_EPOCH);
        self.trails.retain(&self.account);
        self.log.push(event);
    }

    fn set(&self, name: &str, to: &str) {
        self.prices.borrow_mut().insert(symbol(name), price(to));
    }

    fn listing(&self, symbol: Symbol) -> Option<Listing> {
        let last = *self.prices.borrow().get(&symbol)?;
        let crypto = symbol.as_str().contains('/');
        let instrument = Instrument {
            symbol,
            class: if crypto { AssetClass::Crypto } else { AssetClass::Equity },
            tick: price("0.01"),
            lot: quantity(if crypto { "0.00001" } else { "1" }),
            size_step: quantity(if crypto { "0.00001" } else { "1" }),
            min_notional: money("1"),
            tradable: true,
        };
        let quote = Quote {
            symbol,
            price: last,
            bid: last.moved(-self.spread, price("0.01")),
            ask: last.moved(self.spread, price("0.01")),
            change_pct: Percent::new(Decimal::ZERO),
            at: DateTime::UNIX_EPOCH,
        };
        Some(Listing { instrument, quote, market: self.market })
    }

    fn price_of(&self, symbol: Symbol) -> Option<Price> {
        self.prices.borrow().get(&symbol).copied()
    }

    fn ticket(&mut self, side: Side, name: &str, amount: &str, kind: OrderKind) -> Ticket {
        self.next += 1;
        Ticket {
            id: ClientOrderId::new(Uuid::from_u128(self.next << 64)),
            connection: self.account.connection,
            symbol: symbol(name),
            side,
            quantity: quantity(amount),
            kind,
            ..Ticket::sample()
        }
    }

    fn place(
        &mut self,
        side: Side,
        name: &str,
        amount: &str,
        kind: OrderKind,
    ) -> Result<ClientOrderId, Refusal> {
        let ticket = self.ticket(side, name, amount, kind);
        let listing = self.listing(ticket.symbol).unwrap();
        let mut trails = std::mem::take(&mut self.trails);
        let price_of = |symbol| self.price_of(symbol);
        let placed =
            self.account.place(&ticket, &listing, &price_of, &mut trails, &self.terms, DateTime::UNIX_EPOCH);
        self.trails = trails;
        self.record(placed?);
        Ok(ticket.id)
    }

    fn tick(&mut self) -> Vec<Event> {
        let mut trails = std::mem::take(&mut self.trails);
        let moves =
            self.account.tick(&mut trails, &|symbol| self.listing(symbol), &self.terms, DateTime::UNIX_EPOCH);
        self.trails = trails;
        for event in &moves {
            self.record(event.clone());
        }
        moves
    }

    fn tick_at(&mut self, name: &str, to: &str) -> Vec<Event> {
        self.set(name, to);
        self.tick()
    }

    fn balance(&self) -> Balance {
        self.account.balance(&|symbol| self.price_of(symbol), &self.terms, DateTime::UNIX_EPOCH)
    }

    fn report(&self, order: ClientOrderId) -> OrderReport {
        let about = |event: &&Event| matches!(event, Event::PaperBooked { order: id, .. } | Event::PaperMoved { order: id, .. } if *id == order);
        self.log.iter().filter(about).fold(None, |before, event| report(event, before)).unwrap()
    }

    fn fills(&self, order: ClientOrderId) -> Vec<(String, String)> {
        let told = self.report(order);
        told.fills.iter().map(|fill| (fill.quantity.to_string(), fill.price.to_string())).collect()
    }
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn a_market_order_fills_at_the_other_side_s_price_at_once() {
    let mut desk = Desk::new("10000");
    desk.spread = "0.05".parse().unwrap();
    let bought = desk.place(Side::Buy, "AAPL", "10", OrderKind::Market).unwrap();
    assert_eq!(desk.fills(bought), pairs(&[("10", "100.05")]));
    assert_eq!(desk.report(bought).state, ReportedState::Filled);
    let sold = desk.place(Side::Sell, "AAPL", "10", OrderKind::Market).unwrap();
    assert_eq!(desk.fills(sold), pairs(&[("10", "99.95")]));
    assert_eq!(desk.account.cash, money("9999.00"));
    assert!(desk.account.positions.is_empty() && desk.account.open.is_empty());
}

#[test]
fn a_limit_order_fills_at_its_limit_or_better() {
    let mut desk = Desk::new("10000");
    let crossed = desk.place(Side::Buy, "AAPL", "1", OrderKind::Limit { limit: price("101") }).unwrap();
    assert_eq!(desk.fills(crossed), pairs(&[("1", "100")]));
    let resting = desk.place(Side::Buy, "AAPL", "1", OrderKind::Limit { limit: price("95") }).unwrap();
    assert_eq!(desk.report(resting).state, ReportedState::Open);
    assert!(desk.tick_at("AAPL", "95.01").is_empty());
    assert_eq!(desk.tick_at("AAPL", "94").len(), 1);
    assert_eq!(desk.fills(resting), pairs(&[("1", "94")]));
    let sale = desk.place(Side::Sell, "AAPL", "2", OrderKind::Limit { limit: price("110") }).unwrap();
    desk.tick_at("AAPL", "111");
    assert_eq!(desk.fills(sale), pairs(&[("2", "111")]));
}

#[test]
fn a_stop_order_sleeps_until_its_trigger_trades() {
    let mut desk = Desk::new("10000");
    desk.place(Side::Buy, "AAPL", "10", OrderKind::Market).unwrap();
    let stop = desk.place(Side::Sell, "AAPL", "10", OrderKind::Stop { trigger: price("98") }).unwrap();
    assert!(desk.tick_at("AAPL", "98.01").is_empty());
    desk.tick_at("AAPL", "97.50");
    assert_eq!(desk.fills(stop), pairs(&[("10", "97.5")]));
    let above = desk.place(Side::Buy, "AAPL", "1", OrderKind::Stop { trigger: price("99") }).unwrap();
    assert!(desk.tick_at("AAPL", "98.99").is_empty());
    desk.tick_at("AAPL", "99");
    assert_eq!(desk.fills(above), pairs(&[("1", "99")]));
}

#[test]
fn a_stop_limit_order_stays_awake_over_a_restart() {
    let mut desk = Desk::new("10000");
    desk.place(Side::Buy, "AAPL", "10", OrderKind::Market).unwrap();
    let kind = OrderKind::StopLimit { trigger: price("98"), limit: price("97") };
    let order = desk.place(Side::Sell, "AAPL", "10", kind).unwrap();
    // Through the trigger and the limit at once: awake, but not at that price.
    let moves = desk.tick_at("AAPL", "96");
    assert!(
        matches!(&*moves, [Event::PaperMoved { state: ReportedState::Open, fills, .. }] if fills.is_empty())
    );
    assert!(desk.tick().is_empty(), "being awake is told once");
    desk.account = serde_json::from_str(&serde_json::to_string(&desk.account).unwrap()).unwrap();
    desk.tick_at("AAPL", "99");
    assert_eq!(desk.fills(order), pairs(&[("10", "99")]));
}

#[test]
fn a_trailing_stop_follows_the_best_price_and_never_falls_back() {
    let mut desk = Desk::new("100000");
    desk.place(Side::Buy, "AAPL", "10", OrderKind::Market).unwrap();
    let trail = Trail::Percent(Percent::new(Decimal::TEN));
    let order = desk.place(Side::Sell, "AAPL", "10", OrderKind::TrailingStop { trail }).unwrap();
    for (at, moves) in [("100", 0), ("120", 0), ("110", 0), ("108.01", 0), ("108", 1)] {
        assert_eq!(desk.tick_at("AAPL", at).len(), moves, "at {at}");
    }
    assert_eq!(desk.fills(order), pairs(&[("10", "108")]));
    let trail = Trail::Amount(price("5"));
    let short = desk.place(Side::Buy, "AAPL", "1", OrderKind::TrailingStop { trail }).unwrap();
    for (at, moves) in [("108", 0), ("100", 0), ("104.99", 0), ("105", 1)] {
        assert_eq!(desk.tick_at("AAPL", at).len(), moves, "at {at}");
    }
    assert_eq!(desk.fills(short), pairs(&[("1", "105")]));
    let trail = Trail::Amount(price("5"));
    let late = desk.place(Side::Sell, "AAPL", "1", OrderKind::TrailingStop { trail }).unwrap();
    desk.tick_at("AAPL", "99");
    assert_eq!(desk.fills(late), pairs(&[("1", "99")]), "the trail starts where the order was placed");
    assert_eq!(desk.trails, Trails::default(), "trails of ended orders are forgotten");
}

#[test]
fn little_liquidity_fills_an_order_in_parts() {
    let mut desk = Desk::new("10000");
    desk.terms.liquidity = Some(quantity("4.5"));
    let order = desk.place(Side::Buy, "AAPL", "10", OrderKind::Market).unwrap();
    assert_eq!(desk.report(order).state, ReportedState::Open);
    desk.tick_at("AAPL", "101");
    desk.tick_at("AAPL", "102");
    assert!(desk.tick().is_empty());
    assert_eq!(desk.fills(order), pairs(&[("4", "100"), ("4", "101"), ("2", "102")]));
    assert_eq!(desk.report(order).state, ReportedState::Filled);
    let ids: std::collections::BTreeSet<_> =
        desk.report(order).fills.into_iter().map(|fill| fill.execution).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn less_liquidity_than_a_lot_still_ends_every_order() {
    let mut desk = Desk::new("10000");
    desk.terms.liquidity = Some(quantity("0.1"));
    let order = desk.place(Side::Buy, "AAPL", "2", OrderKind::Market).unwrap();
    desk.tick();
    assert_eq!(desk.report(order).state, ReportedState::Filled);
}

#[test]
fn an_order_beyond_the_buying_power_is_refused_with_both_amounts() {
    let mut desk = Desk::new("10000");
    let refusal = desk.place(Side::Buy, "AAPL", "201", OrderKind::Market).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::InsufficientFunds);
    assert_eq!(refusal.message, "Insufficient buying power: $20,000 available, $20,100 required");
    desk.place(Side::Buy, "AAPL", "150", OrderKind::Market).unwrap();
    assert_eq!(desk.balance().buying_power, money("5000"));
    desk.place(Side::Buy, "AAPL", "50", OrderKind::Limit { limit: price("90") }).unwrap();
    assert_eq!(desk.balance().buying_power, money("5000"), "told before what open orders hold back");
    assert!(desk.place(Side::Buy, "AAPL", "6", OrderKind::Market).is_err());
    assert!(desk.place(Side::Sell, "AAPL", "150", OrderKind::Stop { trigger: price("95") }).is_ok());
    let refusal = desk.place(Side::Buy, "AAPL", "6", OrderKind::Market).unwrap_err();
    assert_eq!(refusal.message, "Insufficient buying power: $500 available, $600 required");
}

#[test]
fn a_short_sale_takes_buying_power_and_a_reversal_gives_the_old_exposure_back() {
    let mut desk = Desk::new("10000");
    desk.place(Side::Sell, "AAPL", "200", OrderKind::Market).unwrap();
    assert_eq!(
        desk.balance(),
        Balance {
            cash: money("30000"),
            equity: money("10000"),
            buying_power: Money::ZERO,
            at: DateTime::UNIX_EPOCH
        }
    );
    desk.place(Side::Buy, "AAPL", "400", OrderKind::Market).unwrap();
    assert_eq!(desk.account.net(symbol("AAPL")), Net::new(Decimal::from(200)));
    assert!(desk.place(Side::Sell, "AAPL", "401", OrderKind::Market).is_err());
}

#[test]
fn coins_cannot_be_sold_short() {
    let mut desk = Desk::new("100000");
    let refusal = desk.place(Side::Sell, "BTC/USDT", "0.1", OrderKind::Market).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::InsufficientFunds);
    desk.place(Side::Buy, "BTC/USDT", "0.5", OrderKind::Market).unwrap();
    desk.place(Side::Sell, "BTC/USDT", "0.3", OrderKind::Limit { limit: price("60000") }).unwrap();
    assert!(
        desk.place(Side::Sell, "BTC/USDT", "0.3", OrderKind::Market).is_err(),
        "0.3 of 0.5 are spoken for"
    );
    assert!(desk.place(Side::Sell, "BTC/USDT", "0.2", OrderKind::Market).is_ok());
}

#[test]
fn a_closed_market_refuses_market_orders_and_keeps_the_others() {
    let mut desk = Desk::new("10000");
    desk.market = MarketStatus::Closed { opens_at: DateTime::UNIX_EPOCH };
    let refusal = desk.place(Side::Buy, "AAPL", "1", OrderKind::Market).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::MarketClosed);
    let order = desk.place(Side::Buy, "AAPL", "1", OrderKind::Limit { limit: price("101") }).unwrap();
    assert!(desk.tick().is_empty());
    desk.market = MarketStatus::Open;
    desk.tick();
    assert_eq!(desk.fills(order), pairs(&[("1", "100")]));
}

#[test]
fn orders_that_do_not_fit_the_venue_are_refused() {
    let mut desk = Desk::new("10000");
    for (amount, kind) in [
        ("0.5", OrderKind::Market),
        ("1", OrderKind::Limit { limit: price("99.995") }),
        ("1", OrderKind::Stop { trigger: price("101.001") }),
    ] {
        let refusal = desk.place(Side::Buy, "AAPL", amount, kind).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::OrderRejected, "{amount} {kind:?}");
    }
    let refusal = desk.place(Side::Buy, "BTC/USDT", "0.00001", OrderKind::Market).unwrap_err();
    assert_eq!(refusal.message, "An order for BTC/USDT is worth at least $1");
}

#[test]
fn a_canceled_order_never_fills() {
    let mut desk = Desk::new("10000");
    let order = desk.place(Side::Buy, "AAPL", "10", OrderKind::Limit { limit: price("90") }).unwrap();
    let event = desk.account.cancel(order).unwrap();
    desk.record(event);
    assert_eq!(desk.report(order).state, ReportedState::Canceled);
    assert!(desk.tick_at("AAPL", "80").is_empty());
    assert_eq!(desk.account.cancel(order), None);
    assert_eq!(desk.balance().buying_power, money("20000"));
}

#[test]
fn the_same_id_is_not_booked_twice() {
    let mut desk = Desk::new("10000");
    let order = desk.place(Side::Buy, "AAPL", "1", OrderKind::Limit { limit: price("90") }).unwrap();
    desk.next -= 1;
    let refusal = desk.place(Side::Buy, "AAPL", "1", OrderKind::Limit { limit: price("90") }).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::DuplicateOrder);
    assert_eq!(broker_order_id(order).as_str(), "paper-000000000000");
}

#[derive(Clone, Debug)]
enum Deed {
    Place { buy: bool, coin: bool, units: i64, kind: u8, away: i64 },
    Move { coin: bool, to: i64 },
    Cancel { which: usize },
}

fn any_deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (any::<bool>(), any::<bool>(), 1_i64..300, 0_u8..5, -20_i64..20)
            .prop_map(|(buy, coin, units, kind, away)| Deed::Place { buy, coin, units, kind, away }),
        4 => (any::<bool>(), 50_i64..200).prop_map(|(coin, to)| Deed::Move { coin, to }),
        1 => any::<usize>().prop_map(|which| Deed::Cancel { which }),
    ]
}

fn act(desk: &mut Desk, deed: &Deed) {
    match *deed {
        Deed::Place { buy, coin, units, kind, away } => {
            let side = if buy { Side::Buy } else { Side::Sell };
            let name = if coin { "BTC/USDT" } else { "AAPL" };
            let last = desk.price_of(symbol(name)).unwrap().get();
            let near = |pct: i64| {
                Price::new((last * Decimal::from(100 + pct) / Decimal::ONE_HUNDRED).round_dp(2)).unwrap()
            };
            let kind = match kind {
                0 => OrderKind::Market,
                1 => OrderKind::Limit { limit: near(away) },
                2 => OrderKind::Stop { trigger: near(away) },
                3 => OrderKind::StopLimit { trigger: near(away), limit: near(-away) },
                _ => OrderKind::TrailingStop {
                    trail: Trail::Percent(Percent::new(Decimal::from(away.abs() + 1))),
                },
            };
            let amount = if coin { Decimal::new(units, 3) } else { Decimal::from(units) };
            desk.place(side, name, &amount.to_string(), kind).ok();
        }
        Deed::Move { coin: true, to } => {
            desk.tick_at("BTC/USDT", &(to * 500).to_string());
        }
        Deed::Move { coin: false, to } => {
            desk.tick_at("AAPL", &to.to_string());
        }
        Deed::Cancel { which } => {
            let open: Vec<_> = desk.account.open.keys().copied().collect();
            if let Some(event) =
                open.get(which % open.len().max(1)).and_then(|order| desk.account.cancel(*order))
            {
                desk.record(event);
            }
        }
    }
}

fn any_desk() -> impl Strategy<Value = (Desk, Vec<Deed>)> {
    (proptest::option::of(1_i64..200), 0_i64..50, proptest::collection::vec(any_deed(), 1..60)).prop_map(
        |(liquidity, spread, deeds)| {
            let mut desk = Desk::new("100000");
            desk.terms.liquidity = liquidity.map(|units| Quantity::new(Decimal::from(units)).unwrap());
            desk.spread = Decimal::new(spread, 2);
            (desk, deeds)
        },
    )
}

proptest! {
    /// The events alone make the account again, whether folded at once or from a stored half-way state.
    #[test]
    fn a_replay_makes_the_same_account((mut desk, deeds) in any_desk(), cut in any::<prop::sample::Index>()) {
        for deed in &deeds {
            act(&mut desk, deed);
        }
        let mut again = PaperAccount::new(desk.account.connection);
        let half = cut.index(desk.log.len());
        for (at, event) in desk.log.iter().enumerate() {
            if at == half {
                again = serde_json::from_str(&serde_json::to_string(&again).unwrap()).unwrap();
            }
            again.apply(&Event::parse(&serde_json::to_string(event).unwrap()).unwrap(), DateTime::UNIX_EPOCH);
        }
        prop_assert_eq!(again, desk.account);
    }

    /// No money appears or disappears: cash, what positions cost and what was gained always make the start.
    #[test]
    fn money_is_conserved((mut desk, deeds) in any_desk()) {
        for deed in &deeds {
            act(&mut desk, deed);
        }
        let mut orders = BTreeMap::new();
        let mut books: BTreeMap<Symbol, Position> = BTreeMap::new();
        let mut cash = Decimal::from(100_000);
        for event in &desk.log {
            if let Event::PaperBooked { order, symbol, side, .. } = event {
                orders.insert(*order, (*symbol, *side));
            }
            if let Event::PaperBooked { order, fills, .. } | Event::PaperMoved { order, fills, .. } = event {
                let (symbol, side) = orders[order];
                for fill in fills {
                    let cost = fill.price.get() * fill.quantity.get();
                    cash += if side == Side::Sell { cost } else { -cost };
                    let flat = Position::flat(desk.account.connection, symbol, fill.at);
                    let before = books.remove(&symbol).unwrap_or(flat);
                    books.insert(symbol, before.after(side, fill));
                }
            }
        }
        prop_assert_eq!(desk.account.cash, Money::new(cash));
        let cost: Money = desk.account.positions.iter().map(|position| position.cost).sum();
        let gained: Money = books.values().map(|position| position.realized).sum();
        let off = (desk.account.cash + cost - gained - money("100000")).get().abs();
        prop_assert!(off < Decimal::new(1, 9), "off by {}", off);
        for (symbol, book) in &books {
            prop_assert_eq!(desk.account.net(*symbol), book.net);
        }
    }

    /// After every deed: nothing is over-filled, what is done only grows, buying power is not negative, coins are
    /// never owed, and no execution is told twice.
    #[test]
    fn the_book_keeps_its_promises((mut desk, deeds) in any_desk()) {
        let mut done: BTreeMap<ClientOrderId, Quantity> = BTreeMap::new();
        let mut asked: BTreeMap<ClientOrderId, Quantity> = BTreeMap::new();
        for deed in &deeds {
            act(&mut desk, deed);
            prop_assert!(desk.balance().buying_power >= Money::ZERO);
            prop_assert!(!desk.account.net(symbol("BTC/USDT")).is_short());
            for event in &desk.log {
                if let Event::PaperBooked { order, quantity, .. } = event {
                    asked.insert(*order, *quantity);
                }
            }
            for (order, quantity) in &asked {
                let told = desk.report(*order);
                let filled = told.fills.iter().fold(Quantity::ZERO, |sum, fill| sum + fill.quantity);
                prop_assert!(filled <= *quantity);
                prop_assert_eq!(filled == *quantity, told.state == ReportedState::Filled);
                prop_assert_eq!(desk.account.open.contains_key(order), told.state == ReportedState::Open);
                let before = done.insert(*order, filled).unwrap_or(Quantity::ZERO);
                prop_assert!(before <= filled);
                let ids: std::collections::BTreeSet<_> = told.fills.iter().map(|fill| &fill.execution).collect();
                prop_assert_eq!(ids.len(), told.fills.len());
            }
        }
    }

    /// Whatever is booked at once costs no more than the buying power there was.
    #[test]
    fn no_order_costs_more_than_the_buying_power((mut desk, deeds) in any_desk(), units in 1_i64..5000, buy: bool) {
        for deed in &deeds {
            act(&mut desk, deed);
        }
        let (before, held) = (desk.balance().buying_power, desk.account.net(symbol("AAPL")));
        let side = if buy { Side::Buy } else { Side::Sell };
        let taken = desk.place(side, "AAPL", &units.to_string(), OrderKind::Market).is_ok();
        if taken && against(held, side).is_zero() {
            let cost = desk.price_of(symbol("AAPL")).unwrap().notional(quantity(&units.to_string()));
            // A short sale may be judged at the bid, a spread below the last price.
            let spread = Money::new(desk.spread * Decimal::from(units));
            prop_assert!(cost <= before + spread);
        }
    }
}
