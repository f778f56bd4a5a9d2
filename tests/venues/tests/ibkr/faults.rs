//! What goes wrong on purpose goes wrong exactly as asked.

use serde_json::json;
use venues::book::Status;
use venues::faults::{Action, Rule, When};

use crate::support::{AAPL, SOON, Venue, limit, market};

#[tokio::test]
async fn an_error_before_acting_leaves_nothing_and_one_after_leaves_an_order() {
    let venue = Venue::start().await;
    for status in [500, 502, 503, 504] {
        let name = format!("before {status}");
        venue.fault(Action::status(status));
        venue.submit(&[market("BUY", 1, &name)]).await.refuses(status, "");
        assert!(!venue.has(&name));
        let name = format!("after {status}");
        venue.fault(Action::status_after(status));
        venue.submit(&[market("BUY", 1, &name)]).await.refuses(status, "");
        assert!(venue.has(&name));
        venue.submit(&[market("BUY", 1, &name)]).await.refuses(200, "already registered");
    }
}

#[tokio::test]
async fn an_answer_to_a_question_can_be_lost_too() {
    let venue = Venue::start().await;
    let (id, _) = venue.submit(&[limit("BUY", 1, 100.0, "a")]).await.question();
    let lost = Rule::on("POST /v1/api/iserver/reply/*", Action::Reset { when: When::After }).of_order("a");
    venue.world().add_fault(lost.times(1));
    let url = format!("{}/iserver/reply/{id}", venue.url);
    let body = json!({"confirmed": true}).to_string();
    assert!(venue.send(reqwest::Method::POST, &url, Some(&body)).await.is_err());
    assert!(venue.has("a"));
    venue.reply(&id, true).await.refuses(400, "reply id not found");
    venue.get("/iserver/account/orders?force=true").await.ok();
    let orders = venue.get("/iserver/account/orders?force=true").await.ok();
    assert_eq!(orders["orders"][0]["order_ref"], "a");
}

#[tokio::test]
async fn an_order_that_was_taken_is_inactive_later() {
    let venue = Venue::start().await;
    venue.fault(Action::Reject);
    let id = venue.place(&market("BUY", 1, "doomed")).await;
    let state = venue.state(&id).await;
    assert_eq!((&state["order_status"], &state["cum_fill"]), (&json!("Inactive"), &json!("0.0")));
    let (question, _) = venue.submit(&[limit("BUY", 1, 100.0, "asked")]).await.question();
    venue.world().add_fault(Rule::on("POST /v1/api/iserver/reply/*", Action::Reject).times(1));
    assert_eq!(venue.reply(&question, true).await.ok()[0]["order_status"], "Submitted");
    assert_eq!(venue.world().order("DU1", "asked").unwrap().status, Status::Rejected);
    venue.place(&market("BUY", 1, "next")).await;
    assert_eq!(venue.world().order("DU1", "next").unwrap().status, Status::Filled);
}

#[tokio::test]
async fn refusals_speak_the_gateways_words() {
    let venue = Venue::start().await;
    let cases = [
        (Action::status(401), 401, "not authenticated"),
        (Action::status(400), 400, "Bad Request: no bridge"),
        (Action::status(429), 429, "Too Many Requests"),
        (Action::Duplicate, 200, "is already registered"),
    ];
    for (action, status, words) in cases {
        venue.fault(action);
        venue.submit(&[market("BUY", 1, "a")]).await.refuses(status, words);
    }
    let message = "We cannot accept an order at the limit price you selected.".to_owned();
    venue.fault(Action::Refuse { status: 200, code: 0, message: message.clone() });
    assert_eq!(venue.submit(&[market("BUY", 1, "a")]).await.json(), json!({"error": message}));
    venue.fault(Action::Garble);
    let garbled = venue.submit(&[market("BUY", 1, "a")]).await;
    assert!(serde_json::from_str::<serde_json::Value>(&garbled.text).is_err());
    assert!(venue.has("a"));
}

#[tokio::test]
async fn silence_lasts() {
    let venue = Venue::start().await;
    venue.fault(Action::Silence { when: When::After });
    let quick = reqwest::Client::builder().no_proxy().user_agent("x").timeout(SOON / 20).build().unwrap();
    let body = json!({"orders": [market("BUY", 1, "a")]});
    let sent = quick.post(format!("{}/iserver/account/DU1/orders", venue.url)).json(&body).send().await;
    assert!(sent.unwrap_err().is_timeout());
    assert!(venue.has("a"));
}

#[tokio::test]
async fn rules_apply_to_what_they_name() {
    let venue = Venue::start().await;
    let id = venue.place(&limit("BUY", 1, 189.0, "unlucky")).await;
    let rule = || Rule::on("* /v1/api/*", Action::status(500));
    venue.world().add_fault(rule().of_account("DU2"));
    venue.world().add_fault(rule().of_order("unlucky"));
    venue.world().add_fault(rule().of_symbol("MSFT"));
    let state = format!("/iserver/account/order/status/{id}");
    assert_eq!(venue.get(&state).await.status, 500);
    assert_eq!(venue.delete(&format!("/iserver/account/DU1/order/{id}")).await.status, 500);
    venue.place(&market("BUY", 1, "lucky")).await;
    let msft = json!({"conid": venues::ibkr::conid("MSFT"), "isBuy": true});
    venue.world().set_price(&venues::feed::Price::flat("MSFT", crate::support::d("10")));
    assert_eq!(venue.post("/iserver/contract/rules", &msft).await.status, 500);
    let other = venue.ibkr.urls().gateway_url.replace("{account}", "DU2") + "/trsrv/stocks?symbols=AAPL";
    assert_eq!(venue.send(reqwest::Method::GET, &other, None).await.unwrap().status, 500);
    venue.post("/iserver/contract/rules", &json!({"conid": AAPL, "isBuy": true})).await.ok();
    let fired: Vec<u32> = venue.world().faults().iter().map(|counted| counted.fired).collect();
    assert_eq!(fired, [1, 2, 1]);
}
