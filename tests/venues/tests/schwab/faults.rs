//! What goes wrong on purpose goes wrong in Schwab's own words.

use serde_json::json;
use venues::book::Status;
use venues::faults::{Action, Rule, When};
use venues::schwab::Schwab;
use venues::world::Options;

use crate::support::{Venue, limit, market};

#[tokio::test]
async fn an_answer_may_lose_its_place() {
    let venue = Venue::start().await;
    venue.fault(Action::LoseHeader { name: "location".to_owned() });
    let reply = venue.ask(&market("BUY", 1)).await;
    assert_eq!((reply.status, reply.header("location"), reply.text.as_str()), (201, None, ""));
    let orders = venue.list("").await;
    assert_eq!(
        (orders.len(), &orders[0]["status"]),
        (1, &json!("FILLED")),
        "the order is there all the same"
    );
    assert!(venue.ask(&market("BUY", 1)).await.header("location").is_some());
}

#[tokio::test]
async fn an_error_before_acting_leaves_nothing_and_one_after_leaves_an_order() {
    let venue = Venue::start().await;
    for (at, status) in [(0, 500), (1, 502), (2, 503), (3, 504)] {
        venue.fault(Action::status(status));
        assert_eq!(venue.ask(&limit("BUY", 1, 100.0)).await.status, status);
        assert_eq!(venue.list("").await.len(), at);
        venue.fault(Action::status_after(status));
        let reply = venue.ask(&limit("BUY", 1, 100.0)).await;
        assert_eq!((reply.status, reply.header("location")), (status, None));
        assert_eq!(venue.list("").await.len(), at + 1);
    }
    for when in [When::Before, When::After] {
        let before = venue.list("").await.len();
        venue.fault(Action::Reset { when });
        let bearer = format!("Bearer {}", venue.access);
        let path = format!("/trader/v1/accounts/{}/orders", venue.hash);
        let body = limit("BUY", 1, 100.0).to_string();
        let headers = [("authorization", bearer.as_str())];
        assert!(venue.send(reqwest::Method::POST, &path, &headers, Some(&body)).await.is_err());
        assert_eq!(venue.list("").await.len(), before + usize::from(when == When::After));
    }
}

#[tokio::test]
async fn every_trouble_has_its_own_shape() {
    let venue = Venue::start().await;
    let told = async |action: Action| {
        venue.fault(action);
        let reply = venue.ask(&market("BUY", 1)).await;
        assert!(reply.header("schwab-client-correlid").is_some());
        reply
    };
    let unauthorized = told(Action::status(401)).await.json();
    assert_eq!(unauthorized["errors"][0]["title"], "Unauthorized");
    for (status, words) in [(403, "Access Denied"), (500, "Whitelabel Error Page"), (502, "Bad Gateway")] {
        let page = told(Action::status(status)).await;
        assert_eq!((page.status, page.header("content-type")), (status, Some("text/html;charset=UTF-8")));
        assert!(page.text.contains(words), "{}", page.text);
    }
    let fault = told(Action::status(503)).await.json();
    assert!(fault["fault"]["faultstring"].is_string() && fault["fault"]["detail"]["errorcode"].is_string());
    told(Action::status(404)).await.refuses(404, "Something went wrong");
    let message = "no trading today".to_owned();
    told(Action::Refuse { status: 400, code: 0, message }).await.refuses(400, "no trading today");
    assert_eq!(
        told(Action::Status { status: 429, when: When::Before, retry_after_s: None }).await.status,
        429
    );
    assert_eq!(venue.world().orders(None), []);
}

#[tokio::test]
async fn an_order_that_was_taken_is_rejected_on_command() {
    let venue = Venue::start().await;
    venue.fault(Action::Reject);
    let id = venue.place(&market("BUY", 1)).await;
    let order = venue.order(id).await;
    assert_eq!((&order["status"], order["statusDescription"].is_string()), (&json!("REJECTED"), true));
    assert_eq!(venue.schwab.order_of(id).unwrap().status, Status::Rejected);
    let id = venue.place(&market("BUY", 1)).await;
    assert_eq!(venue.order(id).await["status"], "FILLED");
}

#[tokio::test]
async fn too_many_requests_of_an_application_are_refused() {
    let venue = Venue::with(Options { ..Schwab::options() }).await;
    for _ in 0..120 {
        assert_eq!(venue.get("/marketdata/v1/AAPL/quotes").await.status, 200);
    }
    let reply = venue.ask(&market("BUY", 1)).await;
    assert_eq!((reply.status, &reply.json()["errors"][0]["title"]), (429, &json!("Too Many Requests")));
    assert_eq!((reply.header("retry-after"), reply.header("x-ratelimit-limit")), (None, None));
    assert_eq!(venue.world().orders(None), []);
    let (access, _) = venue.log_in("K").await;
    assert_eq!(venue.with_token(&access, reqwest::Method::GET, "/trader/v1/orders").await.status, 429);
    let rate = venue.world().rate("app");
    assert_eq!((rate.most_per_minute, rate.total), (122, 122));
    let now = venue.world().look(|state| state.clock.now());
    venue.world().set_now(now + chrono::TimeDelta::seconds(61));
    assert_eq!(venue.ask(&market("BUY", 1)).await.status, 201);
}

#[tokio::test]
async fn rules_apply_to_accounts_symbols_and_the_login() {
    let venue = Venue::start().await;
    let rule = Rule::on("* /trader/v1/*", Action::status(503));
    venue.world().add_fault(rule.clone().of_account("L"));
    venue.world().add_fault(rule.of_symbol("MSFT"));
    venue.world().add_fault(Rule::on("POST /v1/oauth/token", Action::status(401)).times(1));
    assert_eq!(venue.ask(&market("BUY", 1)).await.status, 201);
    let mut other = market("BUY", 1);
    other["orderLegCollection"][0]["instrument"]["symbol"] = json!("MSFT");
    assert_eq!(venue.ask(&other).await.status, 503);
    let hash = venue.schwab.hash_of("L");
    assert_eq!(venue.get(&format!("/trader/v1/accounts/{hash}")).await.status, 404, "there is no L yet");
    venue.world().add_account(venues::account::AccountSpec::new("L", "unused", crate::support::d("1")));
    assert_eq!(venue.get(&format!("/trader/v1/accounts/{hash}")).await.status, 503);
    let form = format!("grant_type=refresh_token&refresh_token={}", venue.refresh);
    assert_eq!(venue.token(&form).await.status, 401);
    assert_eq!(venue.token(&form).await.status, 200);
}
