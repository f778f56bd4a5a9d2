//! The laws of the book.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;
use crate::account::Account;
use crate::feed::Price;

fn at(ms: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::milliseconds(ms)
}

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn book() -> Book {
    let mut book = Book::new(Rules::default());
    book.open_account("a", Account::new(d("10000"), Decimal::TWO));
    book.set_price(at(0), &Price::spread("X", d("99"), d("100"))).unwrap();
    book
}

fn ticket(side: Side, qty: &str, kind: Kind) -> Ticket {
    Ticket {
        account: "a".to_owned(),
        client_order_id: None,
        symbol: "X".to_owned(),
        side,
        kind,
        tif: Tif::Day,
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

fn bracket(qty: &str, entry: Kind) -> Ticket {
    let loss = Some(StopLoss { stop: d("90"), limit: None });
    let exits = Exits { profit: Some(d("110")), loss };
    Ticket { class: Class::Bracket, tif: Tif::Gtc, exits, ..ticket(Side::Buy, qty, entry) }
}

fn status(book: &Book, id: OrderId) -> Status {
    book.order(id).unwrap().status
}

fn told(book: &mut Book) -> Vec<(u64, &'static str)> {
    book.take_events().iter().map(|event| (event.order.id.0, event.what.name())).collect()
}

fn price(book: &mut Book, ms: i64, price: &str) {
    book.set_price(at(ms), &Price::flat("X", d(price))).unwrap();
}

#[test]
fn market_orders_trade_at_the_other_side_of_the_spread() {
    let mut book = book();
    let id = book.place(at(1), ticket(Side::Buy, "10", Kind::Market)).unwrap();
    assert_eq!(told(&mut book), [(1, "new"), (1, "fill")]);
    assert_eq!(book.order(id).unwrap().average(), Some(d("100")));
    assert_eq!(book.account("a").unwrap().cash, d("9000"));
    book.place(at(2), ticket(Side::Sell, "10", Kind::Market)).unwrap();
    assert_eq!(book.account("a").unwrap().cash, d("9990"));
    assert!(book.account("a").unwrap().holdings.is_empty());
}

#[test]
fn a_limit_waits_for_its_price_and_takes_a_better_one() {
    let mut book = book();
    let id = book.place(at(1), ticket(Side::Buy, "10", limit("98"))).unwrap();
    assert_eq!(status(&book, id), Status::New);
    price(&mut book, 2, "98.01");
    assert_eq!(status(&book, id), Status::New);
    price(&mut book, 3, "97.5");
    assert_eq!(book.order(id).unwrap().average(), Some(d("97.5")));
}

#[test]
fn stops_sleep_until_the_last_price_wakes_them() {
    let mut book = book();
    book.place(at(1), ticket(Side::Buy, "30", Kind::Market)).unwrap();
    let stop = book.place(at(2), ticket(Side::Sell, "10", Kind::Stop { stop: d("95") })).unwrap();
    let stop_limit = Kind::StopLimit { stop: d("95"), limit: d("94") };
    let stop_limit = book.place(at(2), ticket(Side::Sell, "10", stop_limit)).unwrap();
    let trailing = Kind::TrailingStop { trail: Trail::Price(d("5")) };
    let trailing = book.place(at(2), ticket(Side::Sell, "10", trailing)).unwrap();
    price(&mut book, 3, "104");
    assert_eq!(book.order(trailing).unwrap().stop_price(), Some(d("99")));
    price(&mut book, 4, "99.01");
    assert_eq!(status(&book, trailing), Status::New);
    price(&mut book, 5, "99");
    assert_eq!(status(&book, trailing), Status::Filled);
    price(&mut book, 6, "93");
    assert_eq!(book.order(stop).unwrap().average(), Some(d("93")));
    assert_eq!(status(&book, stop_limit), Status::New, "woken, but below its limit");
    price(&mut book, 7, "96");
    assert_eq!(book.order(stop_limit).unwrap().average(), Some(d("96")), "it stays awake");
}

#[test]
fn ioc_takes_what_there_is_and_fok_all_or_nothing() {
    let mut book = book();
    let ioc = Ticket { tif: Tif::Ioc, ..ticket(Side::Buy, "10", Kind::Market) };
    let fok = Ticket { tif: Tif::Fok, ..ioc.clone() };
    let away = Ticket { kind: limit("50"), ..fok.clone() };
    book.set_fill_mode(at(1), None, FillMode::Parts { parts: 4, every_ms: 100 });
    let ioc = book.place(at(1), ioc).unwrap();
    let fok = book.place(at(1), fok).unwrap();
    let away = book.place(at(1), away).unwrap();
    assert_eq!((status(&book, ioc), book.order(ioc).unwrap().filled_qty), (Status::Canceled, d("2")));
    assert_eq!((status(&book, fok), book.order(fok).unwrap().filled_qty), (Status::Filled, d("10")));
    assert_eq!((status(&book, away), book.order(away).unwrap().filled_qty), (Status::Canceled, d("0")));
}

#[test]
fn parts_come_one_after_the_other() {
    let mut book = book();
    book.set_fill_mode(at(0), Some("X"), FillMode::Parts { parts: 3, every_ms: 100 });
    let id = book.place(at(1), ticket(Side::Buy, "10", Kind::Market)).unwrap();
    assert_eq!(book.order(id).unwrap().filled_qty, d("3"));
    assert_eq!(book.next_due(), Some(at(101)));
    book.advance(at(100));
    assert_eq!(book.order(id).unwrap().filled_qty, d("3"));
    book.advance(at(101));
    book.advance(at(102));
    assert_eq!(book.order(id).unwrap().filled_qty, d("6"));
    book.advance(at(201));
    assert_eq!(status(&book, id), Status::Filled);
    assert_eq!(book.next_due(), None);
    let rest = book.place(at(202), ticket(Side::Buy, "3", limit("100"))).unwrap();
    price(&mut book, 203, "101");
    book.advance(at(400));
    assert_eq!(
        (status(&book, rest), book.next_due()),
        (Status::PartiallyFilled, None),
        "no time is its time"
    );
    price(&mut book, 401, "100");
    assert_eq!(book.order(rest).unwrap().filled_qty, d("2"));
    let one = book.place(at(402), ticket(Side::Buy, "1", Kind::Market)).unwrap();
    assert_eq!(status(&book, one), Status::Filled, "one share has no parts");
}

#[test]
fn by_hand_an_order_fills_only_by_hand() {
    let mut book = book();
    book.set_fill_mode(at(0), None, FillMode::Manual);
    let id = book.place(at(1), ticket(Side::Buy, "10", Kind::Market)).unwrap();
    price(&mut book, 2, "1");
    assert_eq!(status(&book, id), Status::New);
    book.fill(at(3), id, Some(d("4")), d("101")).unwrap();
    assert_eq!(status(&book, id), Status::PartiallyFilled);
    assert_eq!(book.fill(at(3), id, Some(d("7")), d("101")), Err(Refusal::Unfitting));
    book.fill(at(4), id, None, d("102")).unwrap();
    assert_eq!(book.order(id).unwrap().average(), Some(d("101.6")));
    assert_eq!(book.fill(at(5), id, None, d("1")), Err(Refusal::NotOpen(Status::Filled)));
}

#[test]
fn names_are_unique_for_ever() {
    let mut book = book();
    let named = Ticket { client_order_id: Some("n".to_owned()), ..ticket(Side::Buy, "1", limit("1")) };
    let id = book.place(at(1), named.clone()).unwrap();
    book.cancel(at(2), id).unwrap();
    assert_eq!(book.place(at(3), named.clone()), Err(Refusal::DuplicateName));
    book.open_account("b", Account::new(d("1000"), Decimal::ONE));
    assert!(book.place(at(4), Ticket { account: "b".to_owned(), ..named }).is_ok());
}

#[test]
fn open_orders_take_buying_power_and_give_it_back() {
    let mut book = book();
    assert_eq!(book.buying_power("a"), d("20000"));
    let id = book.place(at(1), ticket(Side::Buy, "100", limit("90"))).unwrap();
    assert_eq!(book.buying_power("a"), d("11000"));
    let refused = book.place(at(2), ticket(Side::Buy, "125", limit("90")));
    assert_eq!(refused, Err(Refusal::BuyingPower { has: d("11000"), needs: d("11250") }));
    book.cancel(at(3), id).unwrap();
    assert_eq!(book.buying_power("a"), d("20000"));
    // A market order needs the collar on top.
    let refused = book.place(at(4), ticket(Side::Buy, "196", Kind::Market));
    assert_eq!(refused, Err(Refusal::BuyingPower { has: d("20000"), needs: d("20090") }));
}

#[test]
fn shares_are_not_promised_twice() {
    let mut book = book();
    book.place(at(1), ticket(Side::Buy, "10", Kind::Market)).unwrap();
    let first = book.place(at(2), ticket(Side::Sell, "6", limit("200"))).unwrap();
    let refused = book.place(at(3), ticket(Side::Sell, "5", Kind::Market));
    let held = Refusal::Quantity {
        requested: d("5"),
        available: d("4"),
        existing: d("10"),
        held: d("6"),
        related: vec![first],
    };
    assert_eq!(refused, Err(held));
    assert!(book.place(at(4), ticket(Side::Sell, "4", limit("200"))).is_ok());
    assert_eq!(book.held("a", "X").0, d("10"));
}

#[test]
fn two_orders_of_one_owner_do_not_meet() {
    let mut book = book();
    let buy = book.place(at(1), ticket(Side::Buy, "1", limit("98"))).unwrap();
    let crossing = book.place(at(2), ticket(Side::Sell, "1", limit("98")));
    assert_eq!(crossing, Err(Refusal::WashTrade { with: buy }));
    assert_eq!(
        book.place(at(2), ticket(Side::Sell, "1", Kind::Market)),
        Err(Refusal::WashTrade { with: buy })
    );
    assert!(book.place(at(3), ticket(Side::Sell, "1", limit("98.5"))).is_ok());
}

#[test]
fn exits_wake_when_all_of_the_entry_has_traded() {
    let mut book = book();
    book.set_fill_mode(at(0), None, FillMode::Parts { parts: 2, every_ms: 10 });
    let entry = book.place(at(1), bracket("10", Kind::Market)).unwrap();
    let legs = book.order(entry).unwrap().legs.clone();
    assert_eq!(book.order(entry).unwrap().filled_qty, d("5"));
    assert!(legs.iter().all(|leg| status(&book, *leg) == Status::Held));
    price(&mut book, 2, "111");
    assert!(legs.iter().all(|leg| status(&book, *leg) == Status::Held), "half an entry has no exit");
    price(&mut book, 3, "100");
    book.advance(at(11));
    assert_eq!(status(&book, entry), Status::Filled);
    assert!(legs.iter().all(|leg| status(&book, *leg) == Status::New));
    assert_eq!(book.held("a", "X").0, d("10"), "two exits promise the shares once");
    book.set_fill_mode(at(12), None, FillMode::AtOnce);
    price(&mut book, 13, "110");
    assert_eq!((status(&book, legs[0]), status(&book, legs[1])), (Status::Filled, Status::Canceled));
    assert!(book.account("a").unwrap().holdings.is_empty());
}

#[test]
fn exits_end_with_an_entry_that_ends_early() {
    let mut book = book();
    book.set_fill_mode(at(0), None, FillMode::Manual);
    let entry = book.place(at(1), bracket("10", limit("99"))).unwrap();
    let legs = book.order(entry).unwrap().legs.clone();
    book.fill(at(2), entry, Some(d("9")), d("99")).unwrap();
    book.cancel(at(3), entry).unwrap();
    assert_eq!(status(&book, entry), Status::Canceled);
    assert!(legs.iter().all(|leg| status(&book, *leg) == Status::Canceled));
    assert_eq!(book.account("a").unwrap().qty("X"), d("9"));
}

#[test]
fn a_part_of_one_exit_takes_a_part_of_the_other() {
    let mut book = book();
    book.place(at(1), ticket(Side::Buy, "10", Kind::Market)).unwrap();
    book.set_fill_mode(at(1), None, FillMode::Manual);
    let loss = Some(StopLoss { stop: d("90"), limit: Some(d("89")) });
    let oco = Ticket {
        class: Class::Oco,
        exits: Exits { profit: None, loss },
        ..ticket(Side::Sell, "10", limit("110"))
    };
    let gain = book.place(at(2), oco).unwrap();
    let loss = book.order(gain).unwrap().legs[0];
    book.take_events();
    book.fill(at(3), gain, Some(d("4")), d("110")).unwrap();
    assert_eq!(told(&mut book), [(2, "partial_fill"), (3, "restated")]);
    assert_eq!(book.order(loss).unwrap().leaves(), d("6"));
    assert_eq!(book.held("a", "X").0, d("6"));
    book.fill(at(4), loss, None, d("89")).unwrap();
    assert_eq!(told(&mut book), [(3, "fill"), (2, "canceled")]);
    assert!(book.account("a").unwrap().holdings.is_empty());
}

#[test]
fn one_exit_canceled_cancels_the_other() {
    let mut book = book();
    let entry = book.place(at(1), bracket("10", Kind::Market)).unwrap();
    let legs = book.order(entry).unwrap().legs.clone();
    book.cancel(at(2), legs[1]).unwrap();
    assert_eq!(status(&book, legs[0]), Status::Canceled);
    assert_eq!(book.cancel(at(3), legs[0]), Err(Refusal::NotOpen(Status::Canceled)));
}

#[test]
fn a_replacement_takes_the_place_and_what_is_left() {
    let mut book = book();
    book.set_fill_mode(at(0), None, FillMode::Manual);
    let entry = book.place(at(1), bracket("10", limit("99"))).unwrap();
    book.fill(at(2), entry, Some(d("4")), d("99")).unwrap();
    let change = Change { limit: Some(d("98")), ..Change::default() };
    let new = book.replace(at(3), entry, change).unwrap();
    let (old, now) = (book.order(entry).unwrap(), book.order(new).unwrap());
    assert_eq!((old.status, old.replaced_by, old.filled_qty), (Status::Replaced, Some(new), d("4")));
    assert_eq!((now.leaves(), now.replaces, now.legs.len()), (d("6"), Some(entry), 2));
    let legs = now.legs.clone();
    let less = Change { qty: Some(d("5")), ..Change::default() };
    let new = book.replace(at(3), new, less).unwrap();
    assert_eq!(book.order(legs[1]).unwrap().qty, Some(d("9")), "its exits are for what may be entered");
    let change = Change { limit: Some(d("98")), ..Change::default() };
    assert_eq!(book.replace(at(4), new, change), Err(Refusal::Unchanged));
    assert_eq!(book.replace(at(4), entry, Change::default()), Err(Refusal::NotOpen(Status::Replaced)));
    book.fill(at(5), new, None, d("98")).unwrap();
    assert!(legs.iter().all(|leg| status(&book, *leg) == Status::New), "its exits are the new one's");
    let more = Change { qty: Some(d("11")), ..Change::default() };
    assert_eq!(book.replace(at(6), legs[0], more), Err(Refusal::Unfitting), "an exit cannot grow");
}

#[test]
fn a_cancel_that_takes_time_loses_to_a_fill() {
    let mut book = book();
    book.set_cancel_takes(TimeDelta::milliseconds(50));
    let lost = book.place(at(1), ticket(Side::Buy, "1", limit("90"))).unwrap();
    let won = book.place(at(1), ticket(Side::Buy, "1", limit("80"))).unwrap();
    for id in [lost, won] {
        book.cancel(at(2), id).unwrap();
        assert_eq!(book.cancel(at(3), id), Err(Refusal::NotOpen(Status::PendingCancel)));
    }
    price(&mut book, 10, "85");
    assert_eq!(status(&book, lost), Status::Filled);
    assert_eq!(book.next_due(), Some(at(52)));
    book.advance(at(52));
    assert_eq!(status(&book, won), Status::Canceled);
}

#[test]
fn orders_wait_for_the_opening_and_end_with_the_day() {
    let mut book = book();
    book.set_session(at(0), Session::Closed);
    let day = book.place(at(1), ticket(Side::Buy, "1", limit("100"))).unwrap();
    let low = book.place(at(1), ticket(Side::Buy, "1", limit("50"))).unwrap();
    let gtc = book.place(at(1), Ticket { tif: Tif::Gtc, ..ticket(Side::Buy, "1", limit("50")) }).unwrap();
    let opg = Ticket { tif: Tif::Opg, ..ticket(Side::Buy, "1", limit("50")) };
    let opg = book.place(at(1), opg).unwrap();
    let early = Ticket { extended_hours: true, ..ticket(Side::Buy, "1", limit("100")) };
    let early = book.place(at(1), early).unwrap();
    let ioc = Ticket { tif: Tif::Ioc, ..ticket(Side::Buy, "1", Kind::Market) };
    let ioc = book.place(at(1), ioc).unwrap();
    assert_eq!((status(&book, day), status(&book, ioc)), (Status::Accepted, Status::Canceled));
    book.set_session(at(2), Session::Extended);
    assert_eq!((status(&book, day), status(&book, early)), (Status::Accepted, Status::Filled));
    book.set_session(at(3), Session::Regular);
    assert_eq!(status(&book, day), Status::Filled);
    assert_eq!((status(&book, low), status(&book, opg)), (Status::New, Status::Expired));
    let cls = Ticket { tif: Tif::Cls, ..ticket(Side::Buy, "1", Kind::Market) };
    let cls = book.place(at(4), cls).unwrap();
    assert_eq!(status(&book, cls), Status::New);
    book.set_session(at(5), Session::Closed);
    assert_eq!((status(&book, cls), status(&book, low)), (Status::Filled, Status::Expired));
    assert_eq!(status(&book, gtc), Status::New);
    book.advance(at(1) + TimeDelta::days(90));
    assert_eq!(status(&book, gtc), Status::Expired);
}

#[test]
fn what_is_halted_is_taken_and_does_not_trade() {
    let mut book = book();
    book.set_halted(at(1), "X", true);
    let id = book.place(at(2), ticket(Side::Buy, "1", Kind::Market)).unwrap();
    assert_eq!(status(&book, id), Status::New);
    book.set_halted(at(3), "X", false);
    assert_eq!(status(&book, id), Status::Filled);
}

#[test]
fn money_becomes_units_at_the_price_it_meets() {
    let mut book = book();
    let notional = Ticket { size: Size::Notional(d("50")), ..ticket(Side::Buy, "1", Kind::Market) };
    price(&mut book, 1, "3");
    let id = book.place(at(1), notional).unwrap();
    let order = book.order(id).unwrap();
    assert_eq!((order.status, order.filled_qty), (Status::Filled, d("16.666666666")));
    let short = Ticket { size: Size::Qty(d("17.5")), ..ticket(Side::Sell, "1", Kind::Market) };
    assert!(matches!(book.place(at(2), short), Err(Refusal::Quantity { .. })));
    book.place(at(3), ticket(Side::Sell, "16.666666666", Kind::Market)).unwrap();
    let short = ticket(Side::Sell, "0.5", Kind::Market);
    assert_eq!(book.place(at(4), short), Err(Refusal::FractionalShort));
}

#[derive(Clone, Debug)]
enum Step {
    Place(Box<Ticket>),
    Cancel(u64),
    Replace(u64, u32, i64),
    Price(i64, i64),
    Wait(u32),
    Mode(FillMode),
    Session(Session),
    Halt(bool),
    Fill(u64, u32, i64),
    Outside(Side, u32, i64),
}

fn any_kind() -> impl Strategy<Value = Kind> {
    let price = || (80_i64..120).prop_map(Decimal::from);
    prop_oneof![
        Just(Kind::Market),
        price().prop_map(|limit| Kind::Limit { limit }),
        price().prop_map(|stop| Kind::Stop { stop }),
        (price(), price()).prop_map(|(stop, limit)| Kind::StopLimit { stop, limit }),
        (1_i64..9).prop_map(|by| Kind::TrailingStop { trail: Trail::Price(by.into()) }),
    ]
}

fn any_ticket() -> impl Strategy<Value = Ticket> {
    let side = prop_oneof![Just(Side::Buy), Just(Side::Sell)];
    let tif = prop::sample::select(vec![Tif::Day, Tif::Gtc, Tif::Ioc, Tif::Fok, Tif::Opg, Tif::Cls]);
    let class = prop::sample::select(vec![Class::Simple, Class::Bracket, Class::Oco, Class::Oto]);
    let size = prop_oneof![
        (1_u32..30).prop_map(|qty| Size::Qty(qty.into())),
        (1_i64..30_000).prop_map(|qty| Size::Qty(Decimal::new(qty, 3))),
        (1_i64..3000).prop_map(|money| Size::Notional(money.into())),
    ];
    (side, any_kind(), tif, size, any::<bool>(), class, 80_i64..120, 80_i64..120).prop_map(
        |(side, kind, tif, size, extended_hours, class, profit, stop)| {
            let loss = Some(StopLoss { stop: stop.into(), limit: None });
            let exits = match class {
                Class::Simple => Exits::default(),
                Class::Oto => Exits { profit: None, loss },
                Class::Bracket | Class::Oco => Exits { profit: Some(profit.into()), loss },
            };
            let (kind, tif, size) = match (class, size) {
                (Class::Simple, size) => (kind, tif, size),
                (Class::Oco, Size::Qty(_)) => (Kind::Limit { limit: profit.into() }, Tif::Gtc, size),
                (_, Size::Qty(_)) => (kind, Tif::Gtc, size),
                (Class::Oco, Size::Notional(_)) => {
                    (Kind::Limit { limit: profit.into() }, Tif::Day, Size::Qty(Decimal::TEN))
                }
                (_, Size::Notional(_)) => (kind, Tif::Day, Size::Qty(Decimal::TEN)),
            };
            Ticket { extended_hours, class, exits, tif, size, ..ticket(side, "1", kind) }
        },
    )
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any_ticket().prop_map(|ticket| Step::Place(Box::new(ticket))),
        2 => (1_u64..40).prop_map(Step::Cancel),
        2 => (1_u64..40, 1_u32..30, 80_i64..120).prop_map(|(id, qty, price)| Step::Replace(id, qty, price)),
        6 => (80_i64..120, 0_i64..3).prop_map(|(bid, spread)| Step::Price(bid, spread)),
        3 => (0_u32..200).prop_map(Step::Wait),
        1 => prop::sample::select(vec![
            FillMode::AtOnce,
            FillMode::Parts { parts: 3, every_ms: 50 },
            FillMode::Manual
        ])
        .prop_map(Step::Mode),
        1 => prop::sample::select(vec![Session::Regular, Session::Regular, Session::Extended, Session::Closed])
            .prop_map(Step::Session),
        1 => any::<bool>().prop_map(Step::Halt),
        2 => (1_u64..40, 1_u32..9, 80_i64..120).prop_map(|(id, qty, price)| Step::Fill(id, qty, price)),
        1 => (prop_oneof![Just(Side::Buy), Just(Side::Sell)], 1_u32..9, 80_i64..120)
            .prop_map(|(side, qty, price)| Step::Outside(side, qty, price)),
    ]
}

/// What is known of the account without the book: cash and position, from trades alone.
#[derive(Default)]
struct Ledger {
    cash: Decimal,
    qty: Decimal,
}

fn take(book: &mut Book, now: DateTime<Utc>, step: Step, ledger: &mut Ledger) {
    // What a step refuses is refused whole; the laws are checked after each all the same.
    match step {
        Step::Place(ticket) => drop(book.place(now, *ticket)),
        Step::Cancel(id) => drop(book.cancel(now, OrderId(id))),
        Step::Replace(id, qty, price) => {
            let kind = book.order(OrderId(id)).map(|order| order.ticket.kind);
            let limit = kind.and_then(Kind::limit).map(|_| price.into());
            let change = Change { qty: Some(qty.into()), limit, ..Change::default() };
            drop(book.replace(now, OrderId(id), change));
        }
        Step::Price(bid, spread) => {
            let price =
                Price { last: Some(bid.into()), ..Price::spread("X", bid.into(), (bid + spread).into()) };
            book.set_price(now, &price);
        }
        Step::Wait(_) => book.advance(now),
        Step::Mode(mode) => book.set_fill_mode(now, None, mode),
        Step::Session(session) => book.set_session(now, session),
        Step::Halt(halted) => book.set_halted(now, "X", halted),
        Step::Fill(id, qty, price) => {
            drop(book.fill(now, OrderId(id), Some(qty.into()), price.into()));
        }
        Step::Outside(side, qty, price) => {
            book.trade_outside("a", "X", side, qty.into(), price.into()).unwrap();
            ledger.qty += side.signed(qty.into());
            ledger.cash -= side.signed(qty.into()) * Decimal::from(price);
        }
    }
}

fn check(
    book: &mut Book,
    ledger: &mut Ledger,
    traded: &mut BTreeMap<OrderId, Decimal>,
    asked: &mut BTreeMap<OrderId, Decimal>,
) {
    for event in book.take_events() {
        asked.entry(event.order.id).or_insert(event.order.qty.unwrap_or_default());
        let Some(execution) = event.what.execution() else { continue };
        let signed = event.order.ticket.side.signed(execution.qty);
        assert!(execution.qty > Decimal::ZERO);
        ledger.cash -= signed * execution.price;
        ledger.qty += signed;
        *traded.entry(event.order.id).or_default() += execution.qty;
    }
    let account = book.account("a").unwrap();
    assert_eq!(account.cash, ledger.cash, "cash is what trades left");
    assert_eq!(account.qty("X"), ledger.qty, "the position is what trades made");
    let (held, _) = book.held("a", "X");
    assert!(held >= Decimal::ZERO);
    for order in book.orders() {
        let filled = traded.get(&order.id).copied().unwrap_or_default();
        assert_eq!(order.filled_qty, filled, "{order:?}");
        assert!(order.leaves() >= Decimal::ZERO || order.qty.is_none(), "{order:?}");
        assert_eq!(order.status == Status::Filled, order.qty == Some(order.filled_qty), "{order:?}");
        let held = order.status == Status::Held;
        assert!(!held || (order.filled_qty.is_zero() && order.parent.is_some()), "{order:?}");
        if let Some(rival) = order.rival.and_then(|id| book.order(id)) {
            assert_eq!(order.status.is_open(), rival.status.is_open(), "{order:?} {rival:?}");
        }
    }
}

/// Returns the first order of a family: what the entry, or one exit of two, was before any replacement.
fn root<'a>(book: &'a Book, mut order: &'a Order) -> &'a Order {
    while let Some(before) = order.replaces.or(order.parent) {
        order = book.order(before).unwrap();
    }
    order
}

/// Checks that exits never trade more than was entered, nor two that rival more than one was for.
fn check_families(book: &Book, asked: &BTreeMap<OrderId, Decimal>) {
    let mut families: BTreeMap<OrderId, (Decimal, Decimal)> = BTreeMap::new();
    for order in book.orders() {
        let sums = families.entry(root(book, order).id).or_default();
        let exits = order.ticket.class == Class::Oco || order.parent.is_some();
        *(if exits { &mut sums.1 } else { &mut sums.0 }) += order.filled_qty;
    }
    for (root, (entered, exited)) in families {
        let oco = book.order(root).unwrap().ticket.class == Class::Oco;
        assert!(exited <= if oco { asked[&root] } else { entered }, "{root:?}: {exited} of {entered}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever happens, cash and position are exactly what the trades made them, no order trades more than it is
    /// for, and two exits never trade more than their entry.
    #[test]
    fn nothing_is_made_or_lost(steps in prop::collection::vec(any_step(), 1..60)) {
        let mut book = book();
        let mut ledger = Ledger { cash: d("10000"), qty: Decimal::ZERO };
        let (mut traded, mut asked) = (BTreeMap::new(), BTreeMap::new());
        let mut now = at(1);
        for step in steps {
            now += TimeDelta::milliseconds(if let Step::Wait(ms) = step { ms.into() } else { 1 });
            take(&mut book, now, step, &mut ledger);
            check(&mut book, &mut ledger, &mut traded, &mut asked);
            check_families(&book, &asked);
        }
    }

    /// The same calls make the same events.
    #[test]
    fn the_book_is_a_function(steps in prop::collection::vec(any_step(), 1..30)) {
        let run = || {
            let mut book = book();
            for (ms, step) in (1..).zip(steps.clone()) {
                take(&mut book, at(ms * 20), step, &mut Ledger::default());
            }
            book.take_events()
        };
        prop_assert_eq!(run(), run());
    }
}
