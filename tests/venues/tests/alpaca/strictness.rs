//! What Alpaca refuses, the simulated one refuses: with its status, its code, its words.

use reqwest::Method;
use serde_json::{Value, json};
use venues::account::{AccountChange, AccountSpec};
use venues::clock::Hours;
use venues::feed::Price;
use venues::world::Instrument;

use crate::support::{Venue, d, limit, market};

/// Returns an order with some fields changed; null takes a field away.
fn with(mut order: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("no fields") };
    for (name, value) in changes {
        if value.is_null() {
            order.as_object_mut().unwrap().remove(&name);
        } else {
            order[name] = value;
        }
    }
    order
}

async fn refuses_each(venue: &Venue, cases: Vec<(Value, u16, i64, &str)>) {
    for (body, status, code, words) in cases {
        let reply = venue.post("/v2/orders", &body).await;
        println!("{body} -> {}", reply.text);
        reply.refuses(status, code, words);
    }
    assert_eq!(venue.world().orders(None), [], "what is refused leaves nothing");
}

#[tokio::test]
async fn only_the_right_key_and_the_right_token_come_in() {
    let venue = Venue::start().await;
    let basic =
        |pair: &str| format!("Basic {}", base64::Engine::encode(&base64::prelude::BASE64_STANDARD, pair));
    let asked = |headers: Vec<(&'static str, String)>| {
        let venue = &venue;
        async move {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            venue.send(Method::GET, "/v2/account", &headers, None).await.unwrap()
        }
    };
    let key = |key: &str, secret: &str| {
        vec![("apca-api-key-id", key.to_owned()), ("apca-api-secret-key", secret.to_owned())]
    };
    let bearer = |token: &str| vec![("authorization", format!("Bearer {token}"))];
    for good in [key("K", "S"), bearer("T"), vec![("authorization", basic("K:S"))]] {
        assert_eq!(asked(good.clone()).await.status, 200, "{good:?}");
    }
    let bad = [
        vec![],
        key("K", "wrong"),
        key("unknown", "S"),
        key("", ""),
        bearer("S"),
        vec![("authorization", basic("K:wrong"))],
        vec![("apca-api-key-id", "K".to_owned())],
    ];
    for bad in bad {
        let reply = asked(bad).await;
        assert_eq!(reply.status, 401);
        assert_eq!(reply.json(), json!({"code": 40110000, "message": "request is not authorized"}));
    }
    venue.world().revoke("K", true).unwrap();
    for revoked in [key("K", "S"), bearer("T")] {
        assert_eq!(asked(revoked).await.status, 401);
    }
    venue.world().revoke("K", false).unwrap();
    let new = AccountChange { secret: Some("S2".to_owned()), ..AccountChange::default() };
    venue.world().change_account("K", &new).unwrap();
    assert_eq!(asked(key("K", "S")).await.status, 401);
    assert_eq!(asked(key("K", "S2")).await.status, 200);
}

#[tokio::test]
async fn what_is_not_an_order_is_refused() {
    let venue = Venue::start().await;
    let order = || market("buy", "1", "a");
    for body in ["", "{", "[]", "null", "\"x\"", "[\"AAPL\",\"1\"]", "{\"qty\":1,\"qty\":2}"] {
        let keys = [("apca-api-key-id", "K"), ("apca-api-secret-key", "S")];
        let reply = venue.send(Method::POST, "/v2/orders", &keys, Some(body)).await.unwrap();
        reply.refuses(400, 40010000, "request body format is invalid");
    }
    let unreadable = |changes: Value| (with(order(), changes), 400, 40010000, "body format is invalid");
    let incomplete = |field: &str, words| (with(order(), json!({ field: null })), 422, 40010001, words);
    let invalid = |changes: Value, words| (with(order(), changes), 422, 42210000, words);
    refuses_each(
        &venue,
        vec![
            unreadable(json!({"unknown": 1})),
            unreadable(json!({"qty": "ten"})),
            unreadable(json!({"qty": true})),
            unreadable(json!({"qty": "1e1"})),
            unreadable(json!({"symbol": 5})),
            unreadable(json!({"extended_hours": "yes"})),
            unreadable(json!({"take_profit": {"limit_price": "1", "more": 1}})),
            unreadable(json!({"stop_loss": {}})),
            incomplete("symbol", "symbol is required"),
            incomplete("side", "side is required"),
            incomplete("type", "type is required"),
            incomplete("time_in_force", "time_in_force is required"),
            incomplete("qty", "qty or notional is required"),
            (with(order(), json!({"notional": "5"})), 422, 40010001, "only one of qty or notional"),
            invalid(json!({"side": "BUY"}), "invalid side"),
            invalid(json!({"type": "iceberg"}), "invalid order type"),
            invalid(json!({"time_in_force": "gtd"}), "invalid time_in_force"),
            invalid(json!({"order_class": "mleg"}), "invalid order_class"),
            invalid(json!({"qty": "0"}), "qty must be > 0"),
            invalid(json!({"qty": "-1"}), "qty must be > 0"),
            invalid(json!({"qty": "1.0000000001"}), "9 decimal places"),
            invalid(json!({"qty": null, "notional": "0.99"}), "notional amount must be >= 1.00"),
            invalid(json!({"client_order_id": "x".repeat(129)}), "no more than 128 characters"),
            invalid(json!({"position_intent": "sell_to_open"}), "position intent mismatch"),
        ],
    )
    .await;
}

#[tokio::test]
async fn prices_fit_their_order_and_the_cent() {
    let venue = Venue::start().await;
    let invalid = |changes: Value, words| (with(market("buy", "1", "a"), changes), 422, 42210000, words);
    refuses_each(
        &venue,
        vec![
            invalid(json!({"limit_price": "1"}), "market orders require no limit"),
            invalid(json!({"type": "limit"}), "limit orders require a limit price"),
            invalid(json!({"type": "limit", "limit_price": "1", "stop_price": "1"}), "only limit price"),
            invalid(json!({"type": "limit", "limit_price": "190.505"}), "sub-penny increment"),
            invalid(json!({"type": "limit", "limit_price": 190.505}), "sub-penny increment"),
            invalid(json!({"type": "limit", "limit_price": "0.12345"}), "sub-penny increment"),
            invalid(json!({"type": "limit", "limit_price": "-1"}), "limit_price must be > 0"),
            invalid(json!({"type": "stop"}), "stop orders require a stop price"),
            invalid(json!({"type": "stop", "stop_price": "1.001"}), "invalid stop_price 1.001. sub-penny"),
            invalid(json!({"type": "stop_limit", "stop_price": "1"}), "both stop and limit price"),
            invalid(json!({"type": "trailing_stop"}), "one of trail_price or trail_percent"),
            invalid(
                json!({"type": "trailing_stop", "trail_price": "1", "trail_percent": "1"}),
                "only one of trail_price or trail_percent",
            ),
            invalid(
                json!({"type": "trailing_stop", "trail_price": "1", "time_in_force": "ioc"}),
                "trailing stop orders must be simple DAY or GTC",
            ),
            invalid(json!({"extended_hours": true}), "extended hours order must be DAY or GTC limit orders"),
            invalid(
                json!({"extended_hours": true, "type": "limit", "limit_price": "1", "time_in_force": "ioc"}),
                "extended hours order must be DAY or GTC limit orders",
            ),
            invalid(
                json!({"type": "stop", "stop_price": "200", "time_in_force": "opg"}),
                "invalid time_in_force",
            ),
        ],
    )
    .await;
    let cheap = with(limit("buy", "1", "0.1234", "cheap"), json!({}));
    assert_eq!(venue.place(&cheap).await["limit_price"], "0.1234");
    let number = with(market("buy", "1", "number"), json!({"type": "limit", "limit_price": 100.1, "qty": 2}));
    let taken = venue.place(&number).await;
    assert_eq!((&taken["limit_price"], &taken["qty"]), (&json!("100.1"), &json!("2")));
}

#[tokio::test]
async fn complex_orders_are_whole_and_make_sense() {
    let venue = Venue::start().await;
    let bracket = || {
        with(
            limit("buy", "1", "190", "b"),
            json!({"order_class": "bracket", "take_profit": {"limit_price": "200"},
                "stop_loss": {"stop_price": "180"}}),
        )
    };
    let invalid = |changes: Value, words| (with(bracket(), changes), 422, 42210000, words);
    refuses_each(
        &venue,
        vec![
            invalid(json!({"take_profit": null}), "bracket orders require take_profit.limit_price"),
            invalid(json!({"stop_loss": null}), "bracket orders require stop_loss.stop_price"),
            invalid(json!({"order_class": ""}), "require an order_class"),
            invalid(json!({"time_in_force": "ioc"}), "complex orders must be DAY or GTC"),
            invalid(json!({"extended_hours": true}), "extended hours order must be simple"),
            invalid(json!({"stop_loss": {"stop_price": "200"}}), "must be greater than stop_loss"),
            invalid(
                json!({"stop_loss": {"stop_price": "190"}}),
                "stop_loss.stop_price must be <= base_price - 0.01",
            ),
            invalid(
                json!({"take_profit": {"limit_price": "190"}}),
                "take_profit.limit_price must be >= base_price + 0.01",
            ),
            invalid(json!({"side": "sell"}), "must be less than stop_loss"),
            invalid(
                json!({"stop_loss": {"stop_price": "180.001"}}),
                "stop_loss.stop_price 180.001. sub-penny",
            ),
            invalid(json!({"qty": "1.5"}), "fractional orders must be simple"),
            invalid(json!({"order_class": "oto"}), "exactly one of take_profit or stop_loss"),
            invalid(
                json!({"order_class": "oco", "limit_price": null, "type": "market"}),
                "market orders require",
            ),
            invalid(json!({"order_class": "oco", "limit_price": null}), "oco orders must be exit orders"),
            invalid(json!({"order_class": "oco"}), "limit price of their take_profit"),
        ],
    )
    .await;
    assert_eq!(venue.place(&bracket()).await["legs"][1]["status"], "held");
}

#[tokio::test]
async fn symbols_are_known_tradable_and_cut_only_where_they_may_be() {
    let venue = Venue::start().await;
    let list = |symbol: &str, change: fn(&mut Instrument)| {
        let mut instrument = Instrument::new(symbol);
        change(&mut instrument);
        venue.world().list(instrument);
        venue.world().set_price(&Price::flat(symbol, d("10")));
    };
    list("OLD", |it| it.active = false);
    list("SHUT", |it| it.tradable = false);
    list("WHOLE", |it| it.fractionable = false);
    list("HARD", |it| it.shortable = false);
    let of = |symbol: &str, changes: Value| {
        with(with(market("buy", "1", "a"), json!({"symbol": symbol})), changes)
    };
    refuses_each(
        &venue,
        vec![
            (of("NONE", json!({})), 422, 42210000, "asset \"NONE\" not found"),
            (of("aapl", json!({})), 422, 42210000, "asset \"aapl\" not found"),
            (of("OLD", json!({})), 422, 42210000, "asset OLD is not active"),
            (of("SHUT", json!({})), 422, 42210000, "asset SHUT is not tradable"),
            (of("WHOLE", json!({"qty": "0.5"})), 403, 40310000, "is not fractionable"),
            (of("HARD", json!({"side": "sell"})), 422, 42210000, "cannot be sold short"),
            (of("AAPL", json!({"qty": "0.5", "time_in_force": "gtc"})), 422, 42210000, "must be DAY orders"),
            (of("AAPL", json!({"qty": "0.5", "side": "sell"})), 422, 42210000, "cannot be sold short"),
            (of("AAPL", json!({"qty": "10000"})), 403, 40310000, "insufficient buying power"),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_not_there_to_sell_is_not_sold() {
    let venue = Venue::start().await;
    venue.place(&market("buy", "10", "entry")).await;
    let first = venue.place(&limit("sell", "6", "300", "first")).await;
    let reply = venue.post("/v2/orders", &market("sell", "5", "second")).await;
    reply.refuses(403, 40310000, "insufficient qty available for order (requested: 5, available: 4)");
    let body = reply.json();
    assert_eq!((&body["available"], &body["existing_qty"]), (&json!("4"), &json!("10")));
    assert_eq!((&body["held_for_orders"], &body["symbol"]), (&json!("6"), &json!("AAPL")));
    assert_eq!(body["related_orders"], json!([first["id"]]));
    assert_eq!(venue.get("/v2/positions/AAPL").await.json()["qty_available"], "4");
    venue.post("/v2/orders", &market("buy", "1", "wash")).await.refuses(403, 40310000, "wash trade");
    let no_shorts = AccountChange { shorting_enabled: Some(false), ..AccountChange::default() };
    venue.world().change_account("K", &no_shorts).unwrap();
    venue.world().set_price(&Price::flat("MSFT", d("400")));
    let mut short = market("sell", "1", "short");
    short["symbol"] = json!("MSFT");
    venue.post("/v2/orders", &short).await.refuses(403, 40310000, "not allowed to short");
}

#[tokio::test]
async fn a_name_is_good_once() {
    let venue = Venue::start().await;
    let id = venue.place(&limit("buy", "1", "1", "once")).await["id"].clone();
    let again = limit("buy", "1", "1", "once");
    venue.post("/v2/orders", &again).await.refuses(422, 40010001, "client_order_id must be unique");
    assert_eq!(venue.delete(&format!("/v2/orders/{}", id.as_str().unwrap())).await.status, 204);
    venue.post("/v2/orders", &again).await.refuses(422, 40010001, "client_order_id must be unique");
    assert_eq!(venue.world().orders(Some("K")).len(), 1);
    venue.place(&market("buy", "1", "entry")).await;
    let exit = with(
        market("sell", "1", "exit"),
        json!({"type": "limit", "order_class": "oco", "take_profit": {"limit_price": "190"},
            "stop_loss": {"stop_price": "180"}}),
    );
    venue.place(&exit).await;
    assert_eq!(venue.get("/v2/positions").await.json(), json!([]), "it has traded");
    let words = "client_order_id must be unique";
    venue.post("/v2/orders", &exit).await.refuses(422, 40010001, words);
}

#[tokio::test]
async fn two_exits_are_of_a_position_and_on_both_sides_of_its_price() {
    let venue = Venue::start().await;
    venue.place(&market("buy", "1", "entry")).await;
    let oco = with(
        market("sell", "1", "exit"),
        json!({"type": "limit", "order_class": "oco", "take_profit": {"limit_price": "200"},
            "stop_loss": {"stop_price": "200"}}),
    );
    venue.post("/v2/orders", &oco).await.refuses(422, 42210000, "must be beyond stop_loss.stop_price");
    let buy = with(oco.clone(), json!({"side": "buy"}));
    venue.post("/v2/orders", &buy).await.refuses(422, 42210000, "oco orders must be exit orders");
    let more = with(oco, json!({"qty": "2", "stop_loss": {"stop_price": "180"}}));
    venue.post("/v2/orders", &more).await.refuses(403, 40310000, "insufficient qty available");
}

#[tokio::test]
async fn a_blocked_account_looks_but_does_not_trade() {
    let venue = Venue::start().await;
    let blocks: [fn(&mut AccountChange, bool); 4] = [
        |it, on| it.trading_blocked = Some(on),
        |it, on| it.account_blocked = Some(on),
        |it, on| it.trade_suspended_by_user = Some(on),
        |it, on| it.status = Some(if on { "ACCOUNT_UPDATED" } else { "ACTIVE" }.to_owned()),
    ];
    for (number, block) in blocks.into_iter().enumerate() {
        let mut change = AccountChange::default();
        block(&mut change, true);
        venue.world().change_account("K", &change).unwrap();
        let name = format!("blocked {number}");
        let reply = venue.post("/v2/orders", &market("buy", "1", &name)).await;
        reply.refuses(403, 40310000, "account not authorized to trade");
        assert_eq!(venue.get("/v2/account").await.status, 200);
        block(&mut change, false);
        venue.world().change_account("K", &change).unwrap();
        venue.place(&market("buy", "1", &name)).await;
    }
    let account = venue.get("/v2/account").await.json();
    assert_eq!((&account["status"], &account["trading_blocked"]), (&json!("ACTIVE"), &json!(false)));
}

#[tokio::test]
async fn auctions_have_their_hours() {
    let venue = Venue::start().await;
    venue.world().set_hours(Hours::Nyse);
    let at = |time: &str| venue.world().set_now(format!("2024-06-06T{time}-04:00").parse().unwrap());
    let auction = |tif: &str, name: &str| with(market("buy", "1", name), json!({"time_in_force": tif}));
    at("09:27:30");
    assert_eq!(venue.place(&auction("opg", "early")).await["status"], "accepted");
    at("09:28:30");
    let late = venue.post("/v2/orders", &auction("opg", "late")).await;
    late.refuses(422, 42210000, "invalid time_in_force: not accepted between 09:28 and 19:00");
    at("09:30:00");
    assert_eq!(
        venue.get("/v2/orders:by_client_order_id?client_order_id=early").await.json()["status"],
        "filled"
    );
    venue.place(&auction("cls", "closing")).await;
    at("15:50:30");
    let late = venue.post("/v2/orders", &auction("cls", "late")).await;
    late.refuses(422, 42210000, "invalid time_in_force: not accepted between 15:50 and 19:00");
    at("16:00:00");
    let closing = venue.get("/v2/orders:by_client_order_id?client_order_id=closing").await.json();
    assert_eq!(closing["status"], "filled");
    at("19:00:30");
    assert_eq!(venue.place(&auction("opg", "tomorrow")).await["status"], "accepted");
}

#[tokio::test]
async fn nothing_is_where_nothing_should_be() {
    let venue = Venue::start().await;
    venue.get("/v2/nothing").await.refuses(404, 40410000, "endpoint not found");
    venue.get("/v2/assets/NONE").await.refuses(404, 40410000, "asset not found for NONE");
    venue.get("/v2/orders/61e69015-8549-4bfd-b9c3-01e75843f47d").await.refuses(
        404,
        40410000,
        "order not found",
    );
    venue.get("/v2/orders/x").await.refuses(404, 40410000, "order not found");
    venue.delete("/v2/orders/x").await.refuses(404, 40410000, "order not found");
    let unknown = "/v2/orders:by_client_order_id?client_order_id=x";
    venue.get(unknown).await.refuses(404, 40410000, "order not found");
    venue.get("/v2/positions/AAPL").await.refuses(404, 40410000, "position does not exist");
    venue.delete("/v2/positions/AAPL").await.refuses(404, 40410000, "position does not exist");
    for wrong in
        ["status=some", "limit=501", "limit=0", "direction=up", "after=noon", "nested=1", "side=long"]
    {
        venue.get(&format!("/v2/orders?{wrong}")).await.refuses(422, 42210000, "");
    }
}

#[tokio::test]
async fn orders_are_their_owners_only() {
    let venue = Venue::start().await;
    let id = venue.place(&limit("buy", "1", "1", "mine")).await["id"].as_str().unwrap().to_owned();
    venue.world().add_account(AccountSpec::new("K2", "S2", d("1000")));
    let other = [("apca-api-key-id", "K2"), ("apca-api-secret-key", "S2")];
    for (method, path) in [
        (Method::GET, format!("/v2/orders/{id}")),
        (Method::DELETE, format!("/v2/orders/{id}")),
        (Method::GET, "/v2/orders:by_client_order_id?client_order_id=mine".to_owned()),
    ] {
        let reply = venue.send(method, &path, &other, None).await.unwrap();
        reply.refuses(404, 40410000, "order not found");
    }
    let all = venue.send(Method::GET, "/v2/orders?status=all", &other, None).await.unwrap();
    assert_eq!(all.json(), json!([]));
    let mine = limit("buy", "1", "1", "mine").to_string();
    let placed = venue.send(Method::POST, "/v2/orders", &other, Some(&mine)).await.unwrap();
    assert_eq!(placed.status, 200, "a name is unique in its account only");
}
