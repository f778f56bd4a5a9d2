//! Binance, USD-M futures.

use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use trade_actors::domain::money::Percent;
use trade_actors::domain::order::{Mode, Ticket};
use trade_actors::domain::report::{RefusalCode, ReportedState};
use trade_actors::domain::signal::{OrderKind, Side, Trail};
use trade_actors::ports::broker::{BrokerError, IdScope};
use trade_executor::brokers::credentials::Auth;
use venues::account::{AccountSpec, KeyRights};
use venues::book::{FillMode, Status};
use venues::faults::{Action, Rule, When};
use venues::feed;

use super::desk::{
    Desk, dec, executed, keeps_its_promises, price, refused, refuses_in_standard_codes, tries_credentials_out,
};
use super::place::{Place, led, url};
use crate::support::{wait_for, wait_until};

pub(crate) const PLACE: Place = Place {
    name: "binance-usdm",
    mode: Mode::Paper,
    money: "USDT",
    coin: "BTC/USDT",
    per_coin: 1,
    key: ("BINANCEKEY", "a-secret-of-the-tests"),
    lead: |urls, config| {
        // It knows what keys may do.
        config.binance.live_url = url(urls, "url");
        config.binance_usdm = led(urls, "private_url", "public_url");
    },
    orders: "POST /fapi/v1/order",
};

/// What an order that trades against money pays of it: a twentieth of a per cent.
fn fee(worth: &str) -> Decimal {
    dec(worth) * dec("0.0005")
}

fn enters(desk: &Desk, side: Side, units: &str) -> Ticket {
    Ticket { reduces: false, ..desk.ticket(side, units, OrderKind::Market) }
}

fn leaves(desk: &Desk, side: Side, units: &str, kind: OrderKind) -> Ticket {
    Ticket { reduces: true, ..desk.ticket(side, units, kind) }
}

/// Returns why an order is rejected, as the stream tells.
async fn rejected(desk: &Desk, ticket: &Ticket) -> String {
    wait_for("the rejection", || async {
        desk.reports(ticket).into_iter().find_map(|report| match report.state {
            ReportedState::Rejected(refusal) => Some(refusal.message),
            ReportedState::Open
            | ReportedState::Filled
            | ReportedState::Canceled
            | ReportedState::Expired => None,
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_its_promises() {
    keeps_its_promises(PLACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_refuses_in_standard_codes() {
    refuses_in_standard_codes(PLACE, "NOPE/USDT", "0.0001").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_tried_out() {
    tries_credentials_out(PLACE).await;
}

/// What was sold short is a position below zero; money is told as if it had been sold for money.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_position_is_entered_and_covered() {
    let desk = Desk::listening(PLACE).await;
    let sold = enters(&desk, Side::Sell, "0.1");
    let answer = desk.broker.submit(sold.clone()).await.unwrap();
    assert_eq!(answer.state, ReportedState::Filled);
    assert_eq!(answer.fills.iter().map(|fill| fill.fee.get()).sum::<Decimal>(), fee("6000"));
    desk.reported(&sold, &ReportedState::Filled).await;
    let positions = desk.broker.positions().await.unwrap();
    assert_eq!((positions[0].net.get(), positions[0].cost.get()), (dec("-0.1"), dec("-6000")));
    let balance = desk.broker.balance().await.unwrap();
    let left = dec("100000") - fee("6000");
    assert_eq!((balance.cash.get(), balance.equity.get()), (left + dec("6000"), left));
    assert_eq!(balance.buying_power.get(), left - dec("6000"));
    desk.set_price("55000");
    let balance = desk.broker.balance().await.unwrap();
    assert_eq!((balance.cash.get(), balance.equity.get()), (left + dec("6000"), left + dec("500")));
    let covered = leaves(&desk, Side::Buy, "0.1", OrderKind::Market);
    desk.broker.submit(covered.clone()).await.unwrap();
    desk.reported(&covered, &ReportedState::Filled).await;
    assert_eq!(desk.broker.positions().await.unwrap(), []);
    let balance = desk.broker.balance().await.unwrap();
    assert_eq!(balance.cash.get(), left + dec("500") - fee("5500"));
    assert_eq!((balance.equity, balance.buying_power), (balance.cash, balance.cash));
}

/// Whatever leverage is set at Binance, nothing is borrowed here.
#[tokio::test(flavor = "multi_thread")]
async fn leverage_buys_nothing() {
    let spec = AccountSpec { multiplier: Some(Decimal::TEN), ..PLACE.account() };
    let auth = Auth::ApiKey { key_id: PLACE.key.0.into(), secret: PLACE.key.1.into() };
    let desk = Desk::with(PLACE, spec, auth, &feed::Price::flat(PLACE.coin, dec("60000"))).await;
    desk.listen().await;
    desk.broker.submit(enters(&desk, Side::Buy, "1")).await.unwrap();
    let balance = desk.broker.balance().await.unwrap();
    let left = dec("100000") - fee("60000");
    assert_eq!((balance.equity.get(), balance.buying_power.get()), (left, left - dec("60000")));
    // What an order of ours holds back there is for Risk to take off, at its whole worth; a short one's too.
    let limit = OrderKind::Limit { limit: price("70000") };
    let rests = Ticket { reduces: false, ..desk.ticket(Side::Sell, "0.5", limit) };
    desk.broker.submit(rests).await.unwrap();
    assert_eq!(desk.broker.balance().await.unwrap().buying_power.get(), left - dec("60000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_modes_of_an_account_are_refused() {
    let desk = Desk::listening(PLACE).await;
    let ask = |setting: &str, on: u32| desk.world().set_setting(setting, on).unwrap();
    ask("dual_side_position", 1);
    let (_, why) = refused(desk.probe(KeyRights::default()).await);
    assert!(why.contains("hedge mode") && why.contains("One-way Mode"), "{why}");
    // An account that was switched later takes no orders, and what it holds cannot be counted.
    let (code, why) = refused(desk.broker.submit(enters(&desk, Side::Buy, "0.01")).await);
    assert!(code == RefusalCode::OrderRejected && why.contains("One-way Mode"), "{why}");
    assert_eq!(desk.book(), []);
    ask("dual_side_position", 0);
    desk.broker.submit(enters(&desk, Side::Buy, "0.01")).await.unwrap();
    ask("dual_side_position", 1);
    assert!(refused(desk.broker.positions().await).1.contains("hedge mode"));
    ask("dual_side_position", 0);
    ask("multi_assets_margin", 1);
    let (_, why) = refused(desk.probe(KeyRights::default()).await);
    assert!(why.contains("Single-Asset Mode"), "{why}");
    ask("multi_assets_margin", 0);
    desk.probe(KeyRights::default()).await.unwrap();
}

/// An order that is to reduce can do nothing else, whatever became of the position since it was decided.
#[tokio::test(flavor = "multi_thread")]
async fn an_exit_never_enters() {
    let desk = Desk::listening(PLACE).await;
    let (code, why) = refused(desk.broker.submit(leaves(&desk, Side::Sell, "0.1", OrderKind::Market)).await);
    assert!(code == RefusalCode::OrderRejected && why.contains("ReduceOnly"), "{why}");
    assert_eq!(desk.book(), []);
    desk.broker.submit(enters(&desk, Side::Buy, "0.1")).await.unwrap();
    let (_, why) = refused(desk.broker.submit(leaves(&desk, Side::Buy, "0.1", OrderKind::Market)).await);
    assert!(why.contains("ReduceOnly"), "{why}");
    let more = leaves(&desk, Side::Sell, "0.3", OrderKind::Market);
    desk.broker.submit(more.clone()).await.unwrap();
    let ended = desk.reported(&more, &ReportedState::Expired).await;
    assert_eq!((executed(&ended), desk.held()), (dec("0.1"), Decimal::ZERO));
}

/// A stop becomes an order, under its own name or another: either way its executions are told, each once.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_is_reached_is_told_of() {
    for child_names in [0_u32, 1] {
        let mut desk = Desk::listening(PLACE).await;
        desk.world().set_setting("child_names", child_names).unwrap();
        desk.broker.submit(enters(&desk, Side::Buy, "0.1")).await.unwrap();
        let stop = leaves(&desk, Side::Sell, "0.1", OrderKind::Stop { trigger: price("58000") });
        assert_eq!(desk.broker.submit(stop.clone()).await.unwrap().state, ReportedState::Open);
        let trail = Trail::Percent(Percent::new(dec("2.5")));
        let trailing = leaves(&desk, Side::Sell, "0.1", OrderKind::TrailingStop { trail });
        assert_eq!(desk.broker.submit(trailing.clone()).await.unwrap().state, ReportedState::Open);
        assert_eq!(desk.broker.open_orders().await.unwrap().len(), 2);
        desk.set_price("57900");
        let told = desk.reported(&stop, &ReportedState::Filled).await;
        assert_eq!((executed(&told), told.fills.len()), (dec("0.1"), 1), "{child_names}");
        assert_eq!(told.fills[0].fee.get(), fee("5790"));
        let found = desk.look_up(&stop).await.unwrap().unwrap();
        assert_eq!(found.fills[0].execution, told.fills[0].execution);
        // The other one was reached, too, with nothing left to close.
        assert!(rejected(&desk, &trailing).await.contains("Reduce Only reject"));
        assert_eq!(desk.held(), Decimal::ZERO);
        // A program that was started anew finds it as well.
        desk.restart();
        let found = desk.look_up(&stop).await.unwrap().unwrap();
        assert_eq!((found.state.clone(), executed(&found)), (ReportedState::Filled, dec("0.1")));
    }
}

/// What a stop became rests, and is canceled as that.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_rests_once_it_is_reached_can_be_canceled() {
    for child_names in [0_u32, 1] {
        let desk = Desk::listening(PLACE).await;
        desk.world().set_setting("child_names", child_names).unwrap();
        desk.broker.submit(enters(&desk, Side::Buy, "0.1")).await.unwrap();
        let kind = OrderKind::StopLimit { trigger: price("58000"), limit: price("58500") };
        let stop = leaves(&desk, Side::Sell, "0.1", kind);
        desk.broker.submit(stop.clone()).await.unwrap();
        desk.set_price("57900");
        wait_until("the stop to be reached", || async { desk.book()[1].triggered }).await;
        let found = desk.look_up(&stop).await.unwrap().unwrap();
        assert_eq!((found.state.clone(), executed(&found)), (ReportedState::Open, Decimal::ZERO));
        desk.cancel(&stop).await.unwrap();
        desk.cancel(&stop).await.unwrap();
        let found = desk.look_up(&stop).await.unwrap().unwrap();
        assert_eq!(found.state, ReportedState::Canceled);
        assert_eq!(desk.book()[1].status, Status::Canceled);
    }
}

/// Margin is looked at when a stop is reached: what it then may not do is told as a rejection.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_becomes_nothing_is_rejected() {
    let desk = Desk::listening(PLACE).await;
    let stop = leaves(&desk, Side::Sell, "0.1", OrderKind::Stop { trigger: price("58000") });
    assert_eq!(desk.broker.submit(stop.clone()).await.unwrap().state, ReportedState::Open);
    desk.set_price("57900");
    let told = rejected(&desk, &stop).await;
    assert!(told.contains("Reduce Only reject"), "{told}");
    let found = desk.look_up(&stop).await.unwrap().unwrap();
    assert!(matches!(found.state, ReportedState::Rejected(_)), "{found:?}");
    let reached = desk.ticket(Side::Sell, "0.1", OrderKind::Stop { trigger: price("59000") });
    let (code, why) = refused(desk.broker.submit(reached).await);
    assert!(code == RefusalCode::OrderRejected && why.contains("immediately trigger"), "{why}");
}

/// The question for the venue's time waits for its turn as every other; that wait is not its way there.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_was_waited_for_is_the_right_time() {
    let desk = Desk::listening(PLACE).await;
    desk.world().set_clock_offset(chrono::TimeDelta::seconds(40));
    // The first question is told late that its time is wrong; meanwhile the address is told to wait.
    desk.world().add_fault(Rule::on("GET /fapi/v1/order", Action::Pass).times(1).delayed(600));
    let wait = Action::Status { status: 429, retry_after_s: Some(4), when: When::Before };
    desk.world().add_fault(Rule::on("GET /fapi/v1/openAlgoOrders", wait).times(1));
    let (asked, ticket) = (Instant::now(), desk.buy("0.01"));
    let (found, held) = tokio::join!(desk.look_up(&ticket), desk.broker.open_orders());
    assert!(matches!(held, Err(BrokerError::NotReceived { .. })), "{held:?}");
    assert_eq!(found.unwrap(), None);
    assert!(asked.elapsed() > Duration::from_secs(3), "the time was asked for after {:?}", asked.elapsed());
}

/// The key of the stream ends, and with it the stream: another is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_key_ends_is_opened_again() {
    let desk = Desk::open(PLACE).await;
    desk.world().set_setting("listen_key_ms", 300_u32).unwrap();
    desk.listen().await;
    desk.world().set_setting("listen_key_ms", 3_600_000_u32).unwrap();
    desk.resumed(2).await;
    let bought = enters(&desk, Side::Buy, "0.1");
    desk.broker.submit(bought.clone()).await.unwrap();
    desk.reported(&bought, &ReportedState::Filled).await;
}

/// An id is free again once its order has ended, so that a repeat would be a second order.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_a_second_time_by_itself() {
    let desk = Desk::listening(PLACE).await;
    assert_eq!(desk.broker.promises().ids, IdScope::WhileOpen);
    let first = desk.rest("0.01");
    desk.broker.submit(first.clone()).await.unwrap();
    let again = desk.broker.submit(first).await.unwrap();
    assert_eq!((desk.book().len(), again.order), (1, desk.broker.open_orders().await.unwrap()[0].order));
    let stop = leaves(&desk, Side::Sell, "0.1", OrderKind::Stop { trigger: price("58000") });
    desk.broker.submit(stop.clone()).await.unwrap();
    let again = desk.broker.submit(stop.clone()).await.unwrap();
    assert_eq!((desk.book().len(), again.order), (2, stop.id));
}

/// A stop whose answer was lost is found by its name.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_is_lost_is_found() {
    let desk = Desk::listening(PLACE).await;
    let stop = leaves(&desk, Side::Sell, "0.1", OrderKind::Stop { trigger: price("58000") });
    let lost = Action::Reset { when: venues::faults::When::After };
    desk.world().add_fault(Rule::on("POST /fapi/v1/algoOrder", lost).times(1));
    let answer = desk.broker.submit(stop.clone()).await;
    assert!(matches!(answer, Err(BrokerError::Unknown(_))), "{answer:?}");
    let found = desk.look_up(&stop).await.unwrap().unwrap();
    assert_eq!((found.order, found.state, desk.book().len()), (stop.id, ReportedState::Open, 1));
}

/// What has too much to do has done nothing: it is asked again.
#[tokio::test(flavor = "multi_thread")]
async fn an_overloaded_venue_is_asked_again() {
    let desk = Desk::listening(PLACE).await;
    let message = "Server is currently overloaded with other requests.".to_owned();
    desk.fail_orders(Action::Refuse { status: 503, code: -1008, message });
    let ticket = enters(&desk, Side::Buy, "0.01");
    let answer = desk.broker.submit(ticket.clone()).await;
    assert!(matches!(answer, Err(BrokerError::NotReceived { .. })), "{answer:?}");
    desk.broker.submit(ticket).await.unwrap();
    assert_eq!(desk.book().len(), 1);
}

/// Without its executions an order is told as taken, and the stream tells them.
#[tokio::test(flavor = "multi_thread")]
async fn executions_that_cannot_be_asked_for_come_by_the_stream() {
    let desk = Desk::listening(PLACE).await;
    let lost = Action::Reset { when: venues::faults::When::Before };
    desk.world().add_fault(Rule::on("GET /fapi/v1/userTrades", lost).times(1));
    let bought = enters(&desk, Side::Buy, "0.1");
    let answer = desk.broker.submit(bought.clone()).await.unwrap();
    assert_eq!((answer.state, answer.done, answer.fills), (ReportedState::Open, None, Vec::new()));
    let told = desk.reported(&bought, &ReportedState::Filled).await;
    assert_eq!((executed(&told), told.fills[0].fee.get()), (dec("0.1"), fee("6000")));
}

/// Parts are told as they come, and each counts once, however it is heard of.
#[tokio::test(flavor = "multi_thread")]
async fn parts_of_an_order_count_once() {
    let desk = Desk::listening(PLACE).await;
    desk.world().set_fill_mode(None, FillMode::Parts { parts: 3, every_ms: 20 });
    let ticket = enters(&desk, Side::Sell, "0.03");
    desk.broker.submit(ticket.clone()).await.unwrap();
    let looked_up = desk.filled(&ticket).await;
    desk.reported(&ticket, &ReportedState::Filled).await;
    let mut told: Vec<_> = desk.reports(&ticket).into_iter().flat_map(|report| report.fills).collect();
    told.sort_by(|one, other| one.execution.cmp(&other.execution));
    told.dedup_by(|one, other| one.execution == other.execution);
    let mut found: Vec<_> = looked_up.fills.iter().map(|fill| fill.execution.clone()).collect();
    found.sort();
    assert_eq!(told.into_iter().map(|fill| fill.execution).collect::<Vec<_>>(), found);
    assert_eq!(found.len(), 3);
}

/// A clock that is wrong is found out and followed; nothing is sent twice for it.
#[tokio::test(flavor = "multi_thread")]
async fn another_clock_is_followed() {
    let desk = Desk::listening(PLACE).await;
    desk.world().set_clock_offset(chrono::TimeDelta::seconds(40));
    let report = desk.hold("0.01").await;
    assert_eq!((desk.book().len(), report.fills.len()), (1, 1));
}

/// Prices come by the stream; steps are those of the filters.
#[tokio::test(flavor = "multi_thread")]
async fn prices_are_streamed() {
    let desk = Desk::listening(PLACE).await;
    let (market, symbol) = (desk.house.market(), PLACE.coin.parse().unwrap());
    let rules = market.instrument(symbol).unwrap();
    assert_eq!(
        (rules.tick.get(), rules.lot.get(), rules.min_notional.get()),
        (dec("0.1"), dec("0.001"), dec("100"))
    );
    market.watch(symbol);
    wait_until("the stream of prices", || async {
        desk.world().listening(None, venues::streams::Channel::Prices) > 0
    })
    .await;
    desk.set_price("61234");
    wait_until("the price", || async {
        market.quote(symbol).is_some_and(|quote| quote.price.get() == dec("61234"))
    })
    .await;
}
