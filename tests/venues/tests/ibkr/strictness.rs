//! What the gateway refuses, the simulated one refuses.

use reqwest::Method;
use serde_json::{Value, json};
use venues::account::AccountChange;
use venues::feed::Price;
use venues::world::Instrument;

use crate::support::{AAPL, Venue, bracket, d, limit, market, with};

async fn refuses_each(venue: &Venue, cases: Vec<(Value, u16, &str)>) {
    for (body, status, words) in cases {
        let reply = venue.submit(std::slice::from_ref(&body)).await;
        println!("{body} -> {}", reply.text);
        reply.refuses(status, words);
    }
    assert_eq!(venue.world().orders(None), [], "what is refused leaves nothing");
}

#[tokio::test]
async fn fields_are_there_known_and_of_their_type() {
    let venue = Venue::start().await;
    let case = |changes: Value, status: u16, words| (with(market("BUY", 1, "a"), changes), status, words);
    refuses_each(
        &venue,
        vec![
            case(json!({"conid": null}), 400, "conid is required"),
            case(json!({"conid": AAPL.to_string()}), 400, "invalid request body"),
            case(json!({"conidex": format!("{AAPL}@SMART")}), 400, "only one of conid and conidex"),
            case(json!({"conid": 1}), 200, "Contract not found: 1"),
            case(json!({"secType": "1:STK"}), 400, "secType is not valid"),
            case(json!({"orderType": null}), 400, "orderType is required"),
            case(json!({"orderType": "MARKET"}), 400, "orderType is not valid: MARKET"),
            case(json!({"orderType": "MIDPRICE"}), 200, "MIDPRICE is not supported"),
            case(json!({"side": null}), 400, "side is required"),
            case(json!({"side": "buy"}), 400, "side is not valid: buy"),
            case(json!({"tif": null}), 400, "tif is required"),
            case(json!({"tif": "day"}), 400, "tif is not valid: day"),
            case(json!({"tif": "OVT"}), 200, "OVT is not supported"),
            case(json!({"quantity": null}), 400, "quantity is required"),
            case(json!({"quantity": "1"}), 400, "invalid request body"),
            case(json!({"quantity": 0}), 200, "greater than zero"),
            case(json!({"quantity": -1}), 200, "greater than zero"),
            case(json!({"quantity": 0.5}), 200, "minimum size variation"),
            case(json!({"cashQty": 100}), 400, "only one of quantity and cashQty"),
            case(json!({"quantity": null, "cashQty": 100}), 200, "greater than zero"),
            case(json!({"acctId": "DU2"}), 400, "accountId is not valid: DU2"),
            case(json!({"symbol": "AAPL"}), 400, "invalid request body"),
            case(json!({"cOID": 1}), 400, "invalid request body"),
            case(json!({"outsideRTH": "true"}), 400, "invalid request body"),
            case(json!({"allOrNone": true}), 200, "not supported"),
            case(json!({"cOID": null, "parentId": "nobody"}), 200, "parent order not found"),
            case(json!({"parentId": "nobody"}), 200, "takes no cOID"),
        ],
    )
    .await;
    venue.submit(&[]).await.refuses(400, "orders is required");
    venue
        .post("/iserver/account/DU1/orders", &market("BUY", 1, "a"))
        .await
        .refuses(400, "invalid request body");
    let conidex = with(market("BUY", 1, "a"), json!({"conid": null, "conidex": format!("{AAPL}@NASDAQ")}));
    venue.place(&conidex).await;
}

#[tokio::test]
async fn prices_fit_their_order_and_the_tick() {
    let venue = Venue::start().await;
    let case = |changes: Value, status: u16, words| (with(market("BUY", 1, "a"), changes), status, words);
    let tick = "minimum price variation";
    refuses_each(
        &venue,
        vec![
            case(json!({"price": 1}), 400, "is not taken for MKT"),
            case(json!({"orderType": "LMT"}), 400, "price is required for LMT"),
            case(json!({"orderType": "LMT", "price": "190"}), 400, "invalid request body"),
            case(json!({"orderType": "LMT", "price": 190.001}), 200, tick),
            case(json!({"orderType": "LMT", "price": -1}), 200, tick),
            case(json!({"orderType": "LMT", "price": 190, "auxPrice": 1}), 400, "is not taken for LMT"),
            case(json!({"orderType": "STP"}), 400, "price is required for STP"),
            case(json!({"orderType": "STP", "price": 191, "outsideRTH": true}), 200, "Outside RTH"),
            case(json!({"orderType": "STOP_LIMIT", "price": 191}), 400, "auxPrice is required"),
            case(json!({"orderType": "TRAIL"}), 400, "trailingAmt is required"),
            case(json!({"orderType": "TRAIL", "trailingAmt": 1}), 400, "trailingType is required"),
            case(
                json!({"orderType": "TRAIL", "trailingAmt": 1, "trailingType": "x"}),
                400,
                "trailingType is not",
            ),
            case(
                json!({"orderType": "TRAIL", "trailingAmt": 0, "trailingType": "%"}),
                400,
                "trailingAmt is not",
            ),
        ],
    )
    .await;
    venue.world().set_price(&Price::flat("PENNY", d("0.1234")));
    let cheap = json!({"conid": venues::ibkr::conid("PENNY"), "price": 0.1235});
    venue.place(&with(limit("BUY", 1, 1.0, "cheap"), cheap)).await;
}

#[tokio::test]
async fn fractions_are_for_those_who_may() {
    let venue = Venue::start().await;
    let half = |name: &str| with(market("BUY", 1, name), json!({"quantity": 0.5}));
    venue.submit(&[half("a")]).await.refuses(200, "minimum size variation");
    venue.admin(Method::POST, "/ibkr/gateways/DU1/account", &json!({"fractions": true})).await.ok();
    assert_eq!(venue.get("/iserver/accounts").await.ok()["acctProps"]["DU1"]["supportsFractions"], true);
    let id = venue.place(&half("a")).await;
    assert_eq!(venue.state(&id).await["cum_fill"], "0.5");
    let short = with(market("SELL", 1, "b"), json!({"quantity": 1.7}));
    venue.submit(&[short]).await.refuses(200, "cannot be sold short");
}

#[tokio::test]
async fn contracts_are_listed_tradable_and_there_to_borrow() {
    let venue = Venue::start().await;
    let list = |symbol: &str, change: fn(&mut Instrument)| {
        let mut instrument = Instrument::new(symbol);
        change(&mut instrument);
        venue.world().list(instrument);
        venue.world().set_price(&Price::flat(symbol, d("10")));
    };
    list("OLD", |it| it.active = false);
    list("SHUT", |it| it.tradable = false);
    list("HARD", |it| it.shortable = false);
    let of =
        |symbol: &str, side: &str| with(market(side, 1, "a"), json!({"conid": venues::ibkr::conid(symbol)}));
    refuses_each(
        &venue,
        vec![
            (of("OLD", "BUY"), 200, "Contract not found"),
            (of("SHUT", "BUY"), 200, "No trading permissions"),
            (of("HARD", "SELL"), 200, "not available for short sale"),
        ],
    )
    .await;
    let blocked = AccountChange { trading_blocked: Some(true), ..AccountChange::default() };
    venue.world().change_account("DU1", &blocked).unwrap();
    venue.submit(&[market("BUY", 1, "a")]).await.refuses(200, "No trading permissions");
}

#[tokio::test]
async fn families_are_whole() {
    let venue = Venue::start().await;
    let mut orders = bracket("b");
    orders[2]["parentId"] = json!("other");
    venue.submit(&orders).await.refuses(200, "parent order not found");
    let mut orders = bracket("b");
    orders.push(orders[1].clone());
    venue.submit(&orders).await.refuses(200, "too many attached orders");
    let mut orders = bracket("b");
    orders[0].as_object_mut().unwrap().remove("cOID");
    venue.submit(&orders).await.refuses(200, "parent order not found");
    venue
        .submit(&[limit("BUY", 1, 190.0, "c"), limit("BUY", 1, 190.0, "c")])
        .await
        .refuses(200, "already registered");
    assert_eq!(venue.world().orders(None), []);
    let mut orders = bracket("b");
    orders[1]["side"] = json!("BUY");
    assert_eq!(venue.submit(&orders).await.ok()[1]["order_status"], "Failed");
}

#[tokio::test]
async fn requests_say_who_sends_them_and_what() {
    let venue = Venue::start().await;
    let url = format!("{}/iserver/accounts", venue.url);
    let nameless = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(nameless.get(&url).send().await.unwrap().status().as_u16(), 403);
    let named = nameless.post(format!("{}/iserver/account/DU1/orders", venue.url)).header("user-agent", "x");
    assert_eq!(named.body("{}").send().await.unwrap().status().as_u16(), 415);
    assert_eq!(venue.get("/nothing").await.status, 404);
    assert_eq!(venue.get("/iserver/account/DU1/orders").await.status, 404);
    let outside = venue.url.replace("/v1/api", "/v2/orders");
    assert_eq!(venue.send(Method::GET, &outside, None).await.unwrap().status, 404);
}
