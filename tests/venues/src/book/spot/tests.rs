//! The laws of spot accounts: nobody spends what is not free, and every fee comes from somewhere.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::*;
use crate::book::{
    Class, Event, Exits, FillMode, Kind, Rivals, Rules, Size, Status, Terms, Tif, Trail, TrailLimit,
};
use crate::feed::Price;

const PAIR: &str = "BTC/USDT";

fn at(ms: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::milliseconds(ms)
}

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn rules(from: FeeFrom) -> Rules {
    Rules { fee: Some(Fee { pct: d("0.1"), from }), ..Rules::crypto() }
}

/// Returns a book with an account of 10,000 USDT and 1 BTC, at 99 to 100 USDT.
fn book(rules: Rules) -> Book {
    let mut book = Book::new(rules);
    let mut account = Account::spot("USDT", d("10000"));
    account.trade(PAIR, Side::Buy, Decimal::ONE, Decimal::ZERO);
    book.open_account("a", account);
    book.set_price(at(0), &Price::spread(PAIR, d("99"), d("100"))).unwrap();
    book
}

fn ticket(side: Side, qty: &str, kind: Kind) -> Ticket {
    Ticket {
        account: "a".to_owned(),
        client_order_id: None,
        symbol: PAIR.to_owned(),
        side,
        kind,
        tif: Tif::Gtc,
        size: Size::Qty(d(qty)),
        extended_hours: false,
        class: Class::Simple,
        exits: Exits::default(),
        terms: Terms::default(),
    }
}

fn limit(price: &str) -> Kind {
    Kind::Limit { limit: d(price) }
}

/// Returns free and locked cash, and free and locked units.
fn owns(book: &Book) -> [Decimal; 4] {
    let all = book.balances("a");
    let units = all.get(1).map_or((Decimal::ZERO, Decimal::ZERO), |units| (units.free, units.locked));
    [all[0].free, all[0].locked, units.0, units.1].map(|amount| amount.normalize())
}

fn amounts(texts: [&str; 4]) -> [Decimal; 4] {
    texts.map(d)
}

#[test]
fn open_orders_lock_what_they_would_spend() {
    let mut book = book(rules(FeeFrom::Received));
    let buy = book.place(at(1), ticket(Side::Buy, "10", limit("90"))).unwrap();
    let sell = book.place(at(1), ticket(Side::Sell, "0.4", limit("110"))).unwrap();
    assert_eq!(owns(&book), amounts(["9100", "900", "0.6", "0.4"]));
    assert_eq!((book.locked_cash("a"), book.buying_power("a")), (d("900"), d("9100")));
    let refused = book.place(at(2), ticket(Side::Buy, "91.01", Kind::Market));
    assert_eq!(refused, Err(Refusal::BuyingPower { has: d("9100"), needs: d("9101.00") }));
    let refused = book.place(at(2), ticket(Side::Sell, "0.7", Kind::Market));
    assert!(
        matches!(refused, Err(Refusal::Quantity { available, .. }) if available == d("0.6")),
        "{refused:?}"
    );
    book.cancel(at(3), buy).unwrap();
    book.cancel(at(3), sell).unwrap();
    assert_eq!(owns(&book), amounts(["10000", "0", "1", "0"]));
    assert_eq!(book.balances("nobody"), []);
}

#[test]
fn nothing_is_sold_short_and_nothing_borrowed() {
    let mut book = book(Rules::crypto());
    assert!(book.place(at(1), ticket(Side::Sell, "1.1", Kind::Market)).is_err());
    assert!(book.place(at(1), ticket(Side::Buy, "100.1", Kind::Market)).is_err());
    book.place(at(1), ticket(Side::Buy, "100", Kind::Market)).unwrap();
    assert_eq!(owns(&book), amounts(["0", "0", "101", "0"]));
    assert!(book.place(at(2), ticket(Side::Buy, "0.01", Kind::Market)).is_err(), "units buy nothing");
    let strange = Ticket { symbol: "BTC/EUR".to_owned(), ..ticket(Side::Buy, "0.01", limit("1")) };
    let refused = book.place(at(3), strange);
    assert_eq!(refused, Err(Refusal::BuyingPower { has: d("0"), needs: d("0.01") }), "it has no euros");
    assert_eq!(book.trade_outside("a", PAIR, Side::Sell, d("101.5"), d("1")), Err(Refusal::Unfitting));
    book.trade_outside("a", PAIR, Side::Sell, d("101"), d("1")).unwrap();
    assert_eq!(owns(&book), amounts(["101", "0", "0", "0"]));
}

#[test]
fn a_fee_comes_from_what_was_bought_or_from_cash() {
    for (from, bought, sold, taken) in [
        (FeeFrom::Received, ["9800", "0", "2.998", "0"], ["9998.801", "0", "0.998", "0"], ["BTC", "USDT"]),
        (FeeFrom::Cash, ["9799.8", "0", "3", "0"], ["9998.601", "0", "1", "0"], ["USDT", "USDT"]),
    ] {
        let mut book = book(rules(from));
        book.place(at(1), ticket(Side::Buy, "2", Kind::Market)).unwrap();
        assert_eq!(owns(&book), amounts(bought), "{from:?}");
        book.set_price(at(2), &Price::flat(PAIR, d("99.5"))).unwrap();
        book.place(at(2), ticket(Side::Sell, "2", Kind::Market)).unwrap();
        // 199 USDT, less a thousandth.
        assert_eq!(owns(&book), amounts(sold), "{from:?}");
        let fees: Vec<Charge> =
            book.trades().iter().filter_map(|trade| trade.execution.fee.clone()).collect();
        let assets: Vec<&str> = fees.iter().map(|fee| fee.asset.as_str()).collect();
        assert_eq!(assets, taken);
        assert_eq!(fees[1].amount, d("0.199"));
    }
}

#[test]
fn a_fee_in_cash_is_locked_with_the_rest() {
    let mut book = book(rules(FeeFrom::Cash));
    book.place(at(1), ticket(Side::Buy, "10", limit("90"))).unwrap();
    assert_eq!(owns(&book), amounts(["9099.1", "900.9", "1", "0"]));
    let refused = book.place(at(2), ticket(Side::Buy, "90.991", Kind::Market));
    assert!(matches!(refused, Err(Refusal::BuyingPower { .. })), "not with its fee");
}

#[test]
fn an_order_whose_money_is_gone_ends() {
    let mut book = book(Rules::crypto());
    let buy = book.place(at(1), ticket(Side::Buy, "50", limit("90"))).unwrap();
    let sell = book.place(at(1), ticket(Side::Sell, "1", limit("110"))).unwrap();
    book.trade_outside("a", PAIR, Side::Sell, d("0.5"), d("1")).unwrap();
    book.deposit("a", d("-8000"));
    assert_eq!(owns(&book), amounts(["0", "2000.5", "0", "0.5"]), "no more is locked than there is");
    assert!(matches!(book.fill(at(2), buy, None, d("90")), Err(Refusal::BuyingPower { .. })));
    book.set_price(at(3), &Price::flat(PAIR, d("90"))).unwrap();
    book.set_price(at(4), &Price::flat(PAIR, d("110"))).unwrap();
    assert_eq!((status(&book, buy), status(&book, sell)), (Status::Expired, Status::Expired));
    assert_eq!(owns(&book), amounts(["2000.5", "0", "0.5", "0"]));
}

#[test]
fn a_market_stop_pays_what_the_market_asks_if_it_can() {
    let mut book = book(Rules::crypto());
    let stop = Kind::Stop { stop: d("105") };
    let dear = book.place(at(1), ticket(Side::Buy, "60", stop)).unwrap();
    let cheap = book.place(at(1), ticket(Side::Buy, "10", stop)).unwrap();
    assert_eq!(owns(&book), amounts(["2650", "7350", "1", "0"]));
    book.set_price(at(2), &Price::flat(PAIR, d("160"))).unwrap();
    assert_eq!(
        (status(&book, dear), status(&book, cheap)),
        (Status::Expired, Status::Filled),
        "60 would cost 9600"
    );
}

#[test]
fn a_name_comes_free_with_its_order() {
    let named = Ticket { client_order_id: Some("n".to_owned()), ..ticket(Side::Buy, "1", limit("50")) };
    for (names, while_open, afterwards) in
        [(Names::ForEver, false, false), (Names::WhileOpen, false, true), (Names::Free, true, true)]
    {
        let mut book = book(Rules { names, ..Rules::crypto() });
        let first = book.place(at(1), named.clone()).unwrap();
        let second = book.place(at(2), named.clone());
        assert_eq!(second.is_ok(), while_open, "{names:?}");
        assert_eq!(book.name_is_taken("a", "n"), !while_open, "{names:?}");
        for id in std::iter::once(first).chain(second) {
            book.cancel(at(3), id).unwrap();
        }
        let third = book.place(at(4), named.clone());
        assert_eq!(third.is_ok(), afterwards, "{names:?}");
        let found = book.named("a", "n").unwrap().id;
        assert_eq!(found, third.unwrap_or(first), "the last one has the name");
        assert!(!book.name_is_taken("b", "n"));
    }
}

#[test]
fn parts_keep_to_the_steps_of_a_quantity() {
    let mut book = book(Rules::crypto());
    book.set_step(PAIR, Some(d("0.001")));
    book.set_fill_mode(at(0), None, FillMode::Parts { parts: 3, every_ms: 10 });
    let id = book.place(at(1), ticket(Side::Buy, "1", Kind::Market)).unwrap();
    assert_eq!(book.order(id).unwrap().filled_qty, d("0.333"));
    book.advance(at(11));
    book.advance(at(21));
    let parts: Vec<Decimal> = book.trades().iter().map(|trade| trade.execution.qty).collect();
    assert_eq!(parts, [d("0.333"), d("0.333"), d("0.334")]);
    book.set_fill_mode(at(22), None, FillMode::AtOnce);
    let money = Ticket { size: Size::Notional(d("33.39")), ..ticket(Side::Buy, "1", Kind::Market) };
    let id = book.place(at(23), money).unwrap();
    assert_eq!(book.order(id).unwrap().filled_qty, d("0.333"), "what buys no whole step is kept");
}

#[test]
fn who_waited_is_the_maker() {
    let mut book = book(Rules::crypto());
    let crossing = book.place(at(1), ticket(Side::Buy, "1", limit("100"))).unwrap();
    let waiting = book.place(at(1), ticket(Side::Buy, "1", limit("98"))).unwrap();
    let stop = book.place(at(1), ticket(Side::Sell, "1", Kind::Stop { stop: d("97.5") })).unwrap();
    book.set_price(at(2), &Price::flat(PAIR, d("97"))).unwrap();
    let makers: Vec<(OrderId, bool)> =
        book.trades().iter().map(|trade| (trade.order, trade.execution.maker)).collect();
    assert_eq!(makers, [(crossing, false), (waiting, true), (stop, false)]);
}

#[test]
fn what_trades_at_once_or_not_at_all_ends_as_the_venue_calls_it() {
    for ends in [Status::Canceled, Status::Expired] {
        let mut book = book(Rules { at_once_ends: ends, ..Rules::crypto() });
        let away = Ticket { tif: Tif::Ioc, ..ticket(Side::Buy, "1", limit("50")) };
        let id = book.place(at(1), away).unwrap();
        assert_eq!(book.order(id).unwrap().status, ends);
    }
}

#[test]
fn events_tell_what_is_left_of_the_two_assets() {
    let mut book = book(rules(FeeFrom::Received));
    book.place(at(1), ticket(Side::Buy, "2", limit("100"))).unwrap();
    let told: Vec<Event> = book.take_events();
    let shown = |balance: &Balance| {
        let Balance { asset, free, locked } = balance;
        format!("{asset} {} {}", free.normalize(), locked.normalize())
    };
    let seen: Vec<String> = told
        .iter()
        .map(|event| {
            let balances: Vec<String> = event.balances.iter().map(shown).collect();
            format!("{}: {}", event.what.name(), balances.join(", "))
        })
        .collect();
    assert_eq!(seen, ["new: USDT 9800 200, BTC 1 0", "fill: USDT 9800 0, BTC 2.998 0"]);
}

fn flat(book: &mut Book, ms: i64, prices: &[&str]) {
    for price in prices {
        book.set_price(at(ms), &Price::flat(PAIR, d(price))).unwrap();
    }
}

fn status(book: &Book, id: OrderId) -> Status {
    book.order(id).unwrap().status
}

#[test]
fn a_gain_wakes_from_the_other_side() {
    let mut book = book(Rules::crypto());
    let gain = |side, kind| {
        let terms = Terms { on_gain: true, ..Terms::default() };
        Ticket { terms, ..ticket(side, "0.5", kind) }
    };
    let sale = book.place(at(1), gain(Side::Sell, Kind::Stop { stop: d("110") })).unwrap();
    let limited = Kind::StopLimit { stop: d("90"), limit: d("89") };
    let purchase = book.place(at(1), gain(Side::Buy, limited)).unwrap();
    flat(&mut book, 2, &["109.9", "90.1"]);
    assert_eq!((status(&book, sale), status(&book, purchase)), (Status::New, Status::New));
    flat(&mut book, 3, &["90"]);
    assert_eq!(status(&book, purchase), Status::New, "awake, and too dear");
    assert_eq!(owns(&book), amounts(["9955.5", "44.5", "0.5", "0.5"]));
    flat(&mut book, 4, &["95", "88.5", "110.5"]);
    assert_eq!(book.order(purchase).unwrap().average(), Some(d("88.5")));
    assert_eq!(book.order(sale).unwrap().average(), Some(d("110.5")));
}

#[test]
fn a_trailing_stop_may_start_later_and_end_at_a_limit() {
    let trail = Trail::Percent(d("5"));
    let trailing = |side, terms: Terms| Ticket { terms, ..ticket(side, "1", Kind::TrailingStop { trail }) };
    // What the vendor of this kind of order tells of it: bought at 5 % above the lowest since 44,000 was reached.
    let mut book = book(Rules::crypto());
    flat(&mut book, 1, &["400"]);
    let terms = Terms {
        trails_from: Some(d("440")),
        trail_limit: Some(TrailLimit::At(d("450"))),
        ..Terms::default()
    };
    let buy = book.place(at(1), trailing(Side::Buy, terms)).unwrap();
    assert_eq!(owns(&book), amounts(["9550", "450", "1", "0"]), "the limit is what it may cost");
    flat(&mut book, 2, &["370", "439.9"]);
    assert_eq!(book.order(buy).unwrap().stop_price(), None, "it does not follow yet");
    flat(&mut book, 3, &["440", "460", "420", "440.9"]);
    assert_eq!((status(&book, buy), book.order(buy).unwrap().stop_price()), (Status::New, Some(d("441"))));
    flat(&mut book, 4, &["441"]);
    assert_eq!(book.order(buy).unwrap().average(), Some(d("441")));

    flat(&mut book, 5, &["400"]);
    let gain = Terms { on_gain: true, trails_from: Some(d("420")), ..Terms::default() };
    let gain = book.place(at(5), trailing(Side::Sell, gain)).unwrap();
    flat(&mut book, 6, &["300", "419", "420", "500", "475.1"]);
    assert_eq!(status(&book, gain), Status::New);
    flat(&mut book, 7, &["475"]);
    assert_eq!(book.order(gain).unwrap().average(), Some(d("475")));

    let terms = Terms { trail_limit: Some(TrailLimit::Off(d("-10"))), ..Terms::default() };
    let below = book.place(at(8), trailing(Side::Sell, terms)).unwrap();
    assert_eq!(book.order(below).unwrap().limit(), None, "nobody knows yet");
    flat(&mut book, 9, &["500", "460"]);
    assert_eq!((status(&book, below), book.order(below).unwrap().limit()), (Status::New, Some(d("465"))));
    flat(&mut book, 10, &["466"]);
    assert_eq!(status(&book, below), Status::Filled);
}

#[test]
fn what_is_only_to_wait_does_not_take() {
    let mut book = book(Rules::crypto());
    let waiting = |side, price: &str| {
        let terms = Terms { post_only: true, ..Terms::default() };
        Ticket { terms, ..ticket(side, "1", limit(price)) }
    };
    assert_eq!(book.place(at(1), waiting(Side::Buy, "100")), Err(Refusal::WouldTake));
    assert_eq!(book.place(at(1), waiting(Side::Sell, "99")), Err(Refusal::WouldTake));
    let buy = book.place(at(1), waiting(Side::Buy, "99.9")).unwrap();
    let sell = book.place(at(1), waiting(Side::Sell, "99.1")).unwrap();
    assert_eq!((status(&book, buy), status(&book, sell)), (Status::New, Status::New));
}

/// Returns a gain at 110 and a loss at 90 for one unit.
fn pair(side: Side) -> [Ticket; 2] {
    let (gain, stop) = match side {
        Side::Sell => ("110", "90"),
        Side::Buy => ("90", "110"),
    };
    [ticket(side, "1", limit(gain)), ticket(side, "1", Kind::Stop { stop: d(stop) })]
}

#[test]
fn of_two_rivals_the_first_that_works_is_left() {
    let rules = Rules { rivals: Rivals::Expire, ..Rules::crypto() };
    let mut book = book(rules);
    book.set_step(PAIR, Some(d("0.001")));
    book.set_fill_mode(at(0), None, FillMode::Parts { parts: 2, every_ms: 10 });
    let [gain, loss] = book.place_pair(at(1), pair(Side::Sell)).unwrap();
    assert_eq!(owns(&book), amounts(["10000", "0", "0", "1"]), "two exits promise the units once");
    assert_eq!(
        (book.order(gain).unwrap().legs.clone(), book.order(loss).unwrap().parent),
        (vec![loss], Some(gain))
    );
    flat(&mut book, 2, &["110"]);
    assert_eq!((status(&book, gain), status(&book, loss)), (Status::PartiallyFilled, Status::Expired));
    book.cancel(at(3), gain).unwrap();
    flat(&mut book, 4, &["100"]);

    let limited = Kind::StopLimit { stop: d("90"), limit: d("89.5") };
    let [gain, _] = pair(Side::Sell).map(|ticket| Ticket { size: Size::Qty(d("0.5")), ..ticket });
    let loss = Ticket { kind: limited, ..gain.clone() };
    let [gain, loss] = book.place_pair(at(5), [gain, loss]).unwrap();
    flat(&mut book, 6, &["89"]);
    assert_eq!(
        (status(&book, gain), status(&book, loss)),
        (Status::Expired, Status::New),
        "awake is at work"
    );
    book.cancel(at(7), loss).unwrap();

    flat(&mut book, 8, &["100"]);
    let [gain, loss] = book.place_pair(at(9), pair(Side::Buy)).unwrap();
    assert_eq!(book.locked_cash("a"), d("110"), "the dearer of the two");
    book.cancel_as(at(10), loss, "by me").unwrap();
    assert_eq!((status(&book, gain), status(&book, loss)), (Status::Canceled, Status::Canceled));
    assert_eq!(book.order(loss).unwrap().canceled_as.as_deref(), Some("by me"));
    assert!(book.cancel_as(at(11), loss, "again").is_err());
    assert_eq!(book.order(loss).unwrap().canceled_as.as_deref(), Some("by me"));
    assert_eq!(book.locked_cash("a"), d("0"));
}

#[test]
fn a_pair_is_taken_whole_or_not_at_all() {
    let mut book = book(Rules::crypto());
    let named = |name: &str, ticket: Ticket| Ticket { client_order_id: Some(name.to_owned()), ..ticket };
    let [gain, loss] = pair(Side::Sell);
    let same = [named("n", gain.clone()), named("n", loss.clone())];
    assert_eq!(book.place_pair(at(1), same), Err(Refusal::DuplicateName));
    let much = Ticket { size: Size::Qty(d("2")), ..loss.clone() };
    assert!(book.place_pair(at(1), [gain.clone(), much]).is_err());
    assert_eq!(book.orders().count(), 0);
    assert!(book.check(&gain).is_ok());
    assert_eq!(book.orders().count(), 0, "a check takes nothing");
    book.place_pair(at(2), [named("g", gain), named("l", loss)]).unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    Place(Side, u32, Option<i64>, bool),
    Cancel(u64),
    Price(i64),
    Wait,
    Fill(u64, i64),
    Deposit(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let side = prop_oneof![Just(Side::Buy), Just(Side::Sell)];
    prop_oneof![
        6 => (side, 1_u32..40_000, prop::option::of(80_i64..120), any::<bool>())
            .prop_map(|(side, qty, price, stop)| Step::Place(side, qty, price, stop)),
        2 => (1_u64..40).prop_map(Step::Cancel),
        5 => (80_i64..120).prop_map(Step::Price),
        2 => Just(Step::Wait),
        2 => (1_u64..40, 80_i64..120).prop_map(|(id, price)| Step::Fill(id, price)),
        1 => (-500_i64..500).prop_map(Step::Deposit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever happens, neither cash nor units fall below nothing by a trade, free and locked are all there is, and
    /// both are what trades, fees and deposits made them.
    #[test]
    fn nobody_spends_what_is_not_there(steps in prop::collection::vec(any_step(), 1..60), parts in 1_u32..4) {
        let mut book = book(rules(if parts == 1 { FeeFrom::Cash } else { FeeFrom::Received }));
        book.set_fill_mode(at(0), None, FillMode::Parts { parts, every_ms: 5 });
        let (mut paid_in, mut now) = (d("10000"), at(0));
        for step in steps {
            now += TimeDelta::milliseconds(7);
            match step {
                Step::Place(side, qty, price, stop) => {
                    let qty = Decimal::new(qty.into(), 3).to_string();
                    let kind = match (price.map(Decimal::from), stop) {
                        (None, _) => Kind::Market,
                        (Some(limit), false) => Kind::Limit { limit },
                        (Some(stop), true) => Kind::Stop { stop },
                    };
                    drop(book.place(now, ticket(side, &qty, kind)));
                }
                Step::Cancel(id) => drop(book.cancel(now, OrderId(id))),
                Step::Price(price) => {
                    book.set_price(now, &Price::flat(PAIR, price.into()));
                }
                Step::Wait => book.advance(now),
                Step::Fill(id, price) => drop(book.fill(now, OrderId(id), None, price.into())),
                Step::Deposit(amount) => {
                    let amount = Decimal::from(amount).max(-book.account("a").unwrap().cash);
                    book.deposit("a", amount);
                    paid_in += amount;
                }
            }
            let (mut cash, mut units) = (paid_in, Decimal::ONE);
            for trade in book.trades() {
                let side = book.order(trade.order).unwrap().ticket.side;
                let fee = trade.execution.fee.clone().unwrap();
                cash -= side.signed(trade.execution.qty) * trade.execution.price;
                units += side.signed(trade.execution.qty);
                *(if fee.asset == "BTC" { &mut units } else { &mut cash }) -= fee.amount;
            }
            let account = book.account("a").unwrap();
            prop_assert_eq!((account.cash, account.qty(PAIR)), (cash, units));
            prop_assert!(cash >= Decimal::ZERO && units >= Decimal::ZERO, "{} {}", cash, units);
            let [free, locked, free_units, locked_units] = owns(&book);
            prop_assert_eq!((free + locked, free_units + locked_units), (cash, units));
            prop_assert!([free, locked, free_units, locked_units].iter().all(|amount| *amount >= Decimal::ZERO));
        }
    }
}
