//! Requests go wrong as asked, over HTTP and over the socket.

use reqwest::Method;
use serde_json::json;
use venues::faults::{Action, Rule, When};

use crate::support::{Venue, limit, market};

const PLACE: &str = "POST /api/v3/order";

async fn try_place(venue: &Venue, name: &str) -> Result<crate::support::Reply, reqwest::Error> {
    let params = format!("symbol=BTCUSDT&{}", market("BUY", "0.01", name));
    venue.try_call(Method::POST, "/api/v3/order", &params).await
}

fn has(venue: &Venue, name: &str) -> bool {
    venue.world().order("K", name).is_some()
}

#[tokio::test]
async fn troubles_are_told_in_its_words() {
    let venue = Venue::start().await;
    let unknown =
        "Timeout waiting for response from backend server. Send status unknown; execution status unknown.";
    for (number, status, code, words) in [
        (1, 504, -1007, unknown),
        (2, 500, -1000, "An unknown error occurred while processing the request."),
        (3, 502, -1001, "Internal error; unable to process your request. Please try again."),
        (
            4,
            503,
            -1008,
            "Server is currently overloaded with other requests. Please try again in a few minutes.",
        ),
        (5, 429, -1003, "Too many requests queued."),
        (6, 401, -2015, "Invalid API-key, IP, or permissions for action."),
    ] {
        for when in [When::Before, When::After] {
            let action = Action::Status { status, when, retry_after_s: Some(3) };
            venue.world().add_fault(Rule::on(PLACE, action).times(1));
            let name = format!("s{number}{when:?}");
            let reply = try_place(&venue, &name).await.unwrap();
            reply.refuses(status, code, words);
            assert_eq!(reply.header("retry-after"), Some("3"));
            assert_eq!(has(&venue, &name), when == When::After, "{name}");
        }
    }
    venue.world().add_fault(Rule::on("* /api/v3/*", Action::status(403)).times(1));
    let wall = venue.look("/api/v3/time").await;
    assert_eq!(
        (wall.status, wall.header("content-type")),
        (403, Some("text/html")),
        "a firewall speaks no JSON"
    );
}

#[tokio::test]
async fn answers_are_lost_and_orders_are_not() {
    let venue = Venue::start().await;
    for (name, action, placed) in [
        ("reset", Action::Reset { when: When::Before }, false),
        ("reset-after", Action::Reset { when: When::After }, true),
        ("silence", Action::Silence { when: When::After }, true),
    ] {
        venue.world().add_fault(Rule::on(PLACE, action).of_order(name).times(1));
        assert!(try_place(&venue, name).await.is_err(), "{name}");
        assert_eq!(has(&venue, name), placed, "{name}");
    }
    venue.world().add_fault(Rule::on(PLACE, Action::Garble).times(1));
    assert!(
        serde_json::from_str::<serde_json::Value>(&try_place(&venue, "garbled").await.unwrap().text).is_err()
    );
    assert!(has(&venue, "garbled"));
    venue.world().add_fault(Rule::on(PLACE, Action::Duplicate).of_symbol("BTC/USDT").times(1));
    try_place(&venue, "twice").await.unwrap().refuses(400, -2010, "Duplicate order sent.");
    assert!(!has(&venue, "twice"));
    let words = "This symbol is restricted for this account.".to_owned();
    let refuse = Action::Refuse { status: 400, code: -2010, message: words.clone() };
    venue.world().add_fault(Rule::on(PLACE, refuse).of_account("K").times(1));
    try_place(&venue, "refused").await.unwrap().refuses(400, -2010, &words);
    let rule = Rule::on("GET /api/v3/order", Action::status(500)).of_order("garbled").times(1);
    venue.world().add_fault(rule);
    assert_eq!(venue.get("/api/v3/order", "symbol=BTCUSDT&origClientOrderId=garbled").await.status, 500);
}

#[tokio::test]
async fn what_is_taken_and_then_rejected_was_taken() {
    let venue = Venue::start().await;
    let mut stream = venue.listen().await;
    venue.world().add_fault(Rule::on(PLACE, Action::Reject).times(1));
    let taken = venue.place(&limit("BUY", "0.01", "60010", "doomed")).await;
    assert_eq!((&taken["status"], &taken["fills"]), (&json!("NEW"), &json!([])));
    assert_eq!(venue.named("doomed").await["status"], "REJECTED");
    assert_eq!(stream.report().await["x"], "NEW");
    let rejected = stream.report().await;
    assert_eq!((&rejected["x"], &rejected["X"]), (&json!("REJECTED"), &json!("REJECTED")));
    assert_eq!(venue.balance("USDT").await.0, "100000");
}

#[tokio::test]
async fn messages_go_wrong_as_requests_do() {
    let venue = Venue::start().await;
    let mut socket = venue.open("/ws-api/v3").await;
    let order = |name: &str| {
        venue.signed_message(json!({"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01",
            "newClientOrderId": name}))
    };
    let unknown = Action::Status { status: 504, when: When::After, retry_after_s: None };
    venue.world().add_fault(Rule::on("WS order.place", unknown).times(1).delayed(20));
    let lost = socket.ask("order.place", order("lost")).await;
    assert_eq!((&lost["status"], &lost["error"]["code"]), (&json!(504), &json!(-1007)));
    assert!(has(&venue, "lost"));
    venue.world().add_fault(Rule::on("WS order.place", Action::Duplicate).of_order("refused").times(1));
    assert_eq!(socket.ask("order.place", order("refused")).await["error"]["code"], json!(-2010));
    venue.world().add_fault(Rule::on("WS order.place", Action::Silence { when: When::After }).times(1));
    socket.say(&json!({"id": "s", "method": "order.place", "params": order("silent")})).await;
    socket.is_silent().await;
    assert!(has(&venue, "silent"));
    venue.world().add_fault(Rule::on("WS *", Action::Reset { when: When::Before }).times(1));
    socket.say(&json!({"id": "r", "method": "order.place", "params": order("cut")})).await;
    assert!(matches!(socket.frame().await, Some(Err(_))));
    assert!(!has(&venue, "cut"));
    let told = serde_json::to_value(venue.world().journal(0)).unwrap();
    let told = told.as_array().unwrap().iter();
    let answered: Vec<_> = told
        .filter(|entry| entry["kind"] == "answered" && entry["method"] == "WS")
        .map(|entry| (entry["status"].clone(), entry["cut"].clone(), entry["fault"].is_null()))
        .collect();
    let wanted = [
        (json!(504), json!(null), false),
        (json!(400), json!(null), false),
        (json!(null), json!("silence"), false),
        (json!(null), json!("reset"), false),
    ];
    assert_eq!(answered, wanted);
}
