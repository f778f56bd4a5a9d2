//! Charles Schwab.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::TimeDelta;
use trade_actors::domain::order::{Mode, Ticket};
use trade_actors::domain::report::{RefusalCode, ReportedState};
use trade_actors::domain::signal::{OrderKind, Side};
use trade_actors::ports::broker::{BrokerError, IdScope, Placed};
use trade_executor::brokers::credentials::Auth;
use trade_executor::config::Secret;
use venues::account::AccountChange;
use venues::faults::{Action, Rule, When};
use venues::journal::{Entry, Note};
use venues::table::Running;

use super::desk::{Desk, dec, keeps_its_promises, refused, refuses_in_standard_codes};
use super::place::{Place, url};

pub(crate) const PLACE: Place = Place {
    name: "schwab",
    mode: Mode::Live,
    money: "USD",
    coin: "AAPL",
    per_coin: 100,
    key: ("SCHWABCLIENT", "unused"),
    lead: |urls, config| {
        let url = url(urls, "url");
        let schwab = &mut config.schwab;
        (schwab.app_key, schwab.app_secret) = (Some(Secret::from("app")), Some(Secret::from("hush")));
        schwab.live_url = format!("{url}/trader/v1");
        schwab.data_url = format!("{url}/marketdata/v1");
        schwab.login_url = format!("{url}/v1/oauth");
        // What the tests ask in seconds, a person asks in minutes.
        schwab.requests_per_minute = 10_000;
    },
    orders: "POST /trader/v1/accounts/*/orders",
};
const TOKENS: &str = "POST /v1/oauth/token";

/// Logs the person of an account in for the application, as a browser does; returns what the program is given of it.
pub(super) async fn log_in(venue: &Running, account: &str) -> Auth {
    venue.world().add_oauth_client("app", "hush");
    venue.world().set_rate_limit(None);
    let url = venue.urls()["url"].as_str().unwrap().to_owned();
    let back = "https://127.0.0.1";
    let http =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let page = format!(
        "{url}/v1/oauth/authorize?response_type=code&client_id=app&redirect_uri={back}&account={account}"
    );
    let sent_back = http.get(page).send().await.unwrap();
    let code =
        sent_back.headers()["location"].to_str().unwrap().strip_prefix("https://127.0.0.1?code=").unwrap();
    let code = code.split_once('&').unwrap().0;
    let reply = http
        .post(format!("{url}/v1/oauth/token"))
        .header("authorization", format!("Basic {}", BASE64_STANDARD.encode("app:hush")))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("grant_type=authorization_code&code={code}&redirect_uri={back}"))
        .send();
    let given: serde_json::Value = reply.await.unwrap().json().await.unwrap();
    Auth::Login { refresh_token: given["refresh_token"].as_str().unwrap().into() }
}

/// Returns how often something was asked for.
fn asked(desk: &Desk, what: &str) -> usize {
    let is_it = |entry: &&Entry| match &entry.note {
        Note::Received { method, path } => format!("{method} {path}") == what,
        _ => false,
    };
    desk.world().journal(0).iter().filter(is_it).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_its_promises() {
    keeps_its_promises(PLACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_refuses_in_standard_codes() {
    refuses_in_standard_codes(PLACE, "NOPE", "0.00001").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_tried_out() {
    let desk = Desk::open(PLACE).await;
    let number = desk.probe_with(AccountChange::default()).await.unwrap();
    assert_eq!(number.len(), 8, "{number}");
    let blocked = AccountChange { trading_blocked: Some(true), ..AccountChange::default() };
    let (_, why) = refused(desk.probe_with(blocked).await);
    assert!(why.contains("trade"), "{why}");
    let revoked =
        AccountChange { trading_blocked: Some(false), revoked: Some(true), ..AccountChange::default() };
    let (code, why) = refused(desk.probe_with(revoked).await);
    assert_eq!(code, RefusalCode::AuthFailed);
    assert!(why.contains("log in at Schwab again"), "{why}");
    assert_eq!(refused(desk.broker.connect().await).0, RefusalCode::AuthFailed);
}

/// The first of many requests asks for a token, and all others wait for it; one that ended early is asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn one_token_is_asked_for_at_a_time_and_another_once_it_is_refused() {
    let desk = Desk::open(PLACE).await;
    let before = asked(&desk, TOKENS);
    let asks = (0..8).map(|_| desk.broker.balance());
    for answer in futures_util::future::join_all(asks).await {
        assert_eq!(answer.unwrap().cash.get(), dec("100000"));
    }
    assert_eq!(asked(&desk, TOKENS), before + 1);
    // The venue's clock runs ahead of ours: the token has ended there, and not here.
    desk.world().set_clock_offset(TimeDelta::minutes(31));
    let ticket = desk.rest("0.01");
    assert_eq!(desk.broker.submit(ticket).await.unwrap().state, ReportedState::Open);
    assert_eq!((asked(&desk, TOKENS), desk.book().len()), (before + 2, 1));
}

/// Without a token nothing is sent, so that the order may be sent again.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_no_token_was_given_for_was_not_sent() {
    let desk = Desk::open(PLACE).await;
    let lost = Action::Status { status: 503, retry_after_s: None, when: When::Before };
    desk.world().add_fault(Rule::on(TOKENS, lost).times(1));
    let ticket = desk.buy("0.01");
    let answer = desk.broker.submit(ticket.clone()).await;
    assert!(matches!(answer, Err(BrokerError::NotReceived { .. })), "{answer:?}");
    assert_eq!(desk.book(), []);
    desk.broker.submit(ticket.clone()).await.unwrap();
    desk.filled(&ticket).await;
    assert_eq!(desk.book().len(), 1);
}

/// A repeat would be a second order, so that there is none.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_a_second_time_by_itself() {
    let desk = Desk::listening(PLACE).await;
    assert_eq!(desk.broker.promises().ids, IdScope::Absent);
    let ticket = desk.rest("0.01");
    let first = desk.broker.submit(ticket.clone()).await.unwrap();
    let again = desk.broker.submit(ticket).await.unwrap();
    assert_eq!((desk.book().len(), again.broker_order), (1, first.broker_order));
    // Nor is one whose answer was lost.
    let lost = desk.rest("0.02");
    desk.fail_orders(Action::Reset { when: When::After });
    for _ in 0..2 {
        let answer = desk.broker.submit(lost.clone()).await;
        assert!(matches!(answer, Err(BrokerError::Unknown(_))), "{answer:?}");
    }
    assert_eq!(desk.book().len(), 2);
}

/// Which of two equal orders is the lost one, nobody can know: none is taken for it.
#[tokio::test(flavor = "multi_thread")]
async fn of_several_orders_that_could_be_the_lost_one_none_is_taken_for_it() {
    let mut desk = Desk::listening(PLACE).await;
    let (one, other) = (desk.rest("0.01"), desk.rest("0.01"));
    for ticket in [&one, &other] {
        desk.fail_orders(Action::Reset { when: When::After });
        let answer = desk.broker.submit(ticket.clone()).await;
        assert!(matches!(answer, Err(BrokerError::Unknown(_))), "{answer:?}");
    }
    assert_eq!(desk.book().len(), 2);
    for _ in 0..2 {
        let answer = desk.look_up(&one).await;
        let Err(BrokerError::Unknown(why)) = answer else { panic!("{answer:?}") };
        assert!(why.contains("2 orders that could be this one"), "{why}");
        // It is the same after a start, which remembers neither.
        desk.restart();
    }
    assert_eq!(desk.broker.open_orders().await.unwrap(), []);
}

/// Orders that a person enters there are not ours, however they look.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_found_by_all_that_it_is_and_only_once() {
    let desk = Desk::listening(PLACE).await;
    let lost = desk.rest("0.03");
    desk.fail_orders(Action::Reset { when: When::After });
    desk.broker.submit(lost.clone()).await.unwrap_err();
    // Another quantity, another price: neither is taken for it.
    for other in
        [desk.rest("0.02"), desk.ticket(Side::Buy, "0.03", OrderKind::Limit { limit: PLACE.price("51000") })]
    {
        assert_eq!(desk.look_up(&other).await.unwrap(), None);
    }
    let found = desk.look_up(&lost).await.unwrap().unwrap();
    assert_eq!(found.state, ReportedState::Open);
    // It is ours now, and no second one of ours can be it.
    let open = desk.broker.open_orders().await.unwrap();
    assert_eq!(open.iter().map(|report| report.order).collect::<Vec<_>>(), [lost.id]);
    assert_eq!(desk.look_up(&desk.rest("0.03")).await.unwrap(), None);
    let late = desk.placed(&desk.rest("0.03"));
    let late = Placed { created_at: late.created_at + TimeDelta::minutes(5), ..late };
    assert_eq!(desk.broker.order(late).await.unwrap(), None, "it was entered before that was decided");
}

/// An answer may lack the id: then the order is known by what it is, and never sent again.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_id_is_not_told_is_found_at_once() {
    let desk = Desk::listening(PLACE).await;
    let ticket = desk.rest("0.01");
    desk.fail_orders(Action::LoseHeader { name: "location".to_owned() });
    let report = desk.broker.submit(ticket.clone()).await.unwrap();
    assert_eq!((report.order, report.state, desk.book().len()), (ticket.id, ReportedState::Open, 1));
    desk.cancel(&ticket).await.unwrap();
    desk.reported(&ticket, &ReportedState::Canceled).await;
}

/// Shares that are not held are sold short, if the account may; what covers them buys them back.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sold_short_is_bought_back() {
    let desk = Desk::listening(PLACE).await;
    let short = Ticket { reduces: false, ..desk.ticket(Side::Sell, "0.1", OrderKind::Market) };
    desk.broker.submit(short.clone()).await.unwrap();
    desk.filled(&short).await;
    let positions = desk.broker.positions().await.unwrap();
    assert_eq!(positions.iter().map(|held| held.net.get()).collect::<Vec<_>>(), [dec("-10")]);
    let cover = Ticket { reduces: true, ..desk.buy("0.1") };
    desk.broker.submit(cover.clone()).await.unwrap();
    desk.filled(&cover).await;
    assert_eq!(desk.broker.positions().await.unwrap(), []);
}
