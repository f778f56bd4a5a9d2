//! What protects a position: stops and targets, beside closes, trims, growth and restarts.

use serde_json::{Value, json};

use crate::support::api::order;
use crate::support::{Api, Setup, TestApp, wait_for, wait_until};

/// Starts with the stop-loss that new users have.
async fn guarded() -> TestApp {
    TestApp::configured(|config| {
        config.risk.stop_loss_pct = trade_actors::domain::money::Percent::new(2.into());
        config.paper.symbols.iter_mut().for_each(|row| {
            row.spread_bp = 0;
            row.volatility_bp = 0;
        });
    })
    .await
}

fn set(app: &TestApp, symbol: &str, price: &str) {
    let price = trade_actors::domain::money::Price::new(price.parse().unwrap()).unwrap();
    assert!(app.app.market().set_price(symbol.parse().unwrap(), price));
}

/// Returns the protective orders that are out.
async fn protective(api: &Api) -> Vec<Value> {
    let open = |trade: &Value| trade["purpose"] == "protection" && trade["status"] == "submitted";
    api.trades().await.into_iter().filter(open).collect()
}

/// Waits until exactly these are out: type, quantity, stop price, limit price.
async fn until_protected(api: &Api, wanted: &[(&str, &str, Value, Value)]) {
    let wanted: Vec<_> =
        wanted.iter().map(|(kind, quantity, stop, limit)| json!([kind, quantity, stop, limit])).collect();
    let seen = |trades: &[Value]| {
        let mut seen: Vec<_> = trades
            .iter()
            .map(|trade| {
                json!([trade["order_type"], trade["quantity"], trade["stop_price"], trade["limit_price"]])
            })
            .collect();
        seen.sort_by_key(Value::to_string);
        seen
    };
    let what = format!("protection {wanted:?}");
    crate::support::wait_or_say(&what, || async {
        let now = seen(&protective(api).await);
        if now == wanted { Ok(()) } else { Err(format!(", but {now:?} are out")) }
    })
    .await;
}

async fn bought(api: &Api, id: &str, quantity: u32) -> Value {
    let signal = api.signal(&order(id, "TSLA", "buy", &quantity.to_string())).await.expect(202);
    api.settled(signal["signal_id"].as_str().unwrap(), "filled").await
}

/// Returns once the broker's book has dealt with every price set so far.
///
/// It fills an order in another symbol when it next looks at its prices. Twice, for its first look may have begun
/// before the last price was set.
async fn until_dealt_with(app: &TestApp, api: &Api) {
    for _ in 0..2 {
        set(app, "AAPL", "200");
        let order = json!({
            "symbol": "AAPL", "side": "buy", "quantity": 1, "order_type": "limit", "limit_price": "199",
        });
        let order = api.post("/api/v1/trades", &order).await.expect(201);
        let becomes = async |status: &str| {
            wait_until(&format!("the other order to be {status}"), || async {
                api.trades().await.iter().any(|trade| trade["id"] == order["id"] && trade["status"] == status)
            })
            .await;
        };
        becomes("submitted").await;
        set(app, "AAPL", "199");
        becomes("filled").await;
    }
}

async fn until_flat(api: &Api) {
    wait_until("the position to be gone", || async { api.all("/api/v1/positions").await.is_empty() }).await;
}

#[tokio::test]
async fn us_006_2_a_fill_gets_its_stop_and_the_stop_closes_the_position() {
    let app = guarded().await;
    let api = app.owner();
    set(&app, "TSLA", "250");
    bought(&api, "entry", 10).await;
    until_protected(&api, &[("stop", "10", json!("245"), Value::Null)]).await;
    set(&app, "TSLA", "245");
    until_flat(&api).await;
    let portfolio = api.portfolio().await;
    assert_eq!((&portfolio["realized_pnl"], &portfolio["cash"]), (&"-50".into(), &"99950".into()));
    assert!(protective(&api).await.is_empty());
}

#[tokio::test]
async fn a_trim_takes_the_stop_down_with_it_and_a_close_takes_it_away() {
    let app = guarded().await;
    let api = app.owner();
    set(&app, "TSLA", "250");
    bought(&api, "entry", 10).await;
    until_protected(&api, &[("stop", "10", json!("245"), Value::Null)]).await;
    let trim = json!({ "id": "trim", "ticker": "TSLA", "action": "sell", "quantity": 4 });
    let trim = api.signal(&trim).await.expect(202);
    let sold = api.settled(trim["signal_id"].as_str().unwrap(), "filled").await;
    assert_eq!(sold["filled_quantity"], "4");
    until_protected(&api, &[("stop", "6", json!("245"), Value::Null)]).await;
    let close = json!({ "id": "close", "ticker": "TSLA", "action": "close" });
    let close = api.signal(&close).await.expect(202);
    let sold = api.settled(close["signal_id"].as_str().unwrap(), "filled").await;
    assert_eq!(sold["filled_quantity"], "6");
    until_flat(&api).await;
    until_protected(&api, &[]).await;
    assert!(api.trades().await.iter().all(|trade| trade["status"] != "submitted"));
}

#[tokio::test]
async fn a_target_and_a_stop_stand_side_by_side_and_only_one_happens() {
    let app = guarded().await;
    let api = app.owner();
    set(&app, "TSLA", "250");
    let body = json!({
        "id": "entry", "ticker": "TSLA", "action": "buy", "quantity": 10, "stopLoss": 240, "takeProfit": 260,
    });
    let signal = api.signal(&body).await.expect(202);
    api.settled(signal["signal_id"].as_str().unwrap(), "filled").await;
    until_protected(&api, &[("oco", "10", json!("240"), json!("260"))]).await;
    set(&app, "TSLA", "260");
    until_flat(&api).await;
    set(&app, "TSLA", "239");
    let portfolio = api.portfolio().await;
    assert_eq!((&portfolio["realized_pnl"], &portfolio["cash"]), (&"100".into(), &"100100".into()));
    assert!(api.all("/api/v1/positions").await.is_empty());
}

#[tokio::test]
async fn more_of_the_same_is_protected_as_well() {
    let app = guarded().await;
    let api = app.owner();
    set(&app, "TSLA", "250");
    bought(&api, "one", 10).await;
    set(&app, "TSLA", "250");
    bought(&api, "two", 5).await;
    wait_for("all of it to be protected", || async {
        let out = protective(&api).await;
        let units: u32 =
            out.iter().map(|trade| trade["quantity"].as_str().unwrap().parse::<u32>().unwrap()).sum();
        (units == 15 && out.iter().all(|trade| trade["stop_price"] == "245")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stop_is_out_again_after_a_restart_or_still() {
    let mut server = Setup::new().still_market().set("risk.stop_loss_pct", 2).start().await;
    let api = server.owner();
    let signal = api.signal(&order("r", "AAPL", "buy", "10")).await.expect(202);
    api.settled(signal["signal_id"].as_str().unwrap(), "filled").await;
    server.kill9();
    server.start_again().await;
    let api = server.owner();
    until_protected(&api, &[("stop", "10", json!("196"), Value::Null)]).await;
}

async fn put(api: &Api, path: &str, body: &Value) -> crate::support::api::Answer {
    crate::support::api::send(api.request(reqwest::Method::PUT, path).json(body)).await.unwrap()
}

#[tokio::test]
async fn a_person_moves_the_stop_and_a_stop_on_the_wrong_side_is_refused() {
    let app = guarded().await;
    let api = app.owner();
    set(&app, "TSLA", "250");
    bought(&api, "entry", 10).await;
    until_protected(&api, &[("stop", "10", json!("245"), Value::Null)]).await;
    let path = "/api/v1/positions/TSLA";
    let moved =
        put(&api, path, &json!({ "stop_loss": "248", "take_profits": ["255", "260"] })).await.expect(200);
    assert_eq!((&moved["stop_loss"], &moved["take_profits"]), (&"248".into(), &json!(["255", "260"])));
    until_protected(
        &api,
        &[("oco", "5", json!("248"), json!("255")), ("oco", "5", json!("248"), json!("260"))],
    )
    .await;
    put(&api, path, &json!({ "stop_loss": "250" })).await.assert_problem(422, "INVALID_VALUE");
    put(&api, path, &json!({ "stop_loss": "248.005" })).await.assert_problem(422, "INVALID_VALUE");
    put(&api, "/api/v1/positions/AAPL", &json!({ "stop_loss": "1" })).await.assert_problem(404, "NOT_FOUND");
    set(&app, "TSLA", "255");
    until_protected(&api, &[("oco", "5", json!("248"), json!("260"))]).await;
    put(&api, path, &json!({ "break_even": true })).await.expect(200);
    until_protected(&api, &[("oco", "5", json!("250"), json!("260"))]).await;
    set(&app, "TSLA", "250");
    until_flat(&api).await;
}

/// Sends a signal that changes a position's levels, and returns what the feed says became of it.
async fn modified(api: &Api, body: &Value) -> Value {
    let signal = api.signal(body).await.expect(202);
    wait_for("the signal to be decided", || async {
        let feed = api.all("/api/v1/signals").await;
        let row = feed.into_iter().find(|row| row["id"] == signal["signal_id"])?;
        (row["outcome"] != "pending").then_some(row)
    })
    .await
}

#[tokio::test]
async fn a_signal_moves_the_stop_and_the_targets_of_what_is_held() {
    let app = guarded().await;
    let api = app.owner();
    set(&app, "TSLA", "250");
    let early =
        modified(&api, &json!({ "id": "0", "ticker": "TSLA", "action": "move_stop", "sl": 240 })).await;
    assert_eq!(early["outcome"], "rejected");
    assert_eq!(
        early["reason"],
        "No position in TSLA whose stop or targets could be changed. Nothing was changed."
    );
    bought(&api, "entry", 10).await;
    let body = json!({ "id": "1", "ticker": "TSLA", "action": "move_stop", "stopLoss": 240 });
    let moved = modified(&api, &body).await;
    assert_eq!((&moved["outcome"], &moved["reason"]), (&"accepted".into(), &"stop 240".into()));
    assert_eq!((&moved["action"], &moved["order_id"]), (&"modify".into(), &Value::Null));
    until_protected(&api, &[("stop", "10", json!("240"), Value::Null)]).await;

    set(&app, "TSLA", "260");
    let body = json!({ "id": "2", "ticker": "TSLA", "action": "modify", "stopLoss": "breakeven",
        "takeProfit": [270, 280] });
    assert_eq!(modified(&api, &body).await["reason"], "stop 250; targets 270, 280");
    until_protected(
        &api,
        &[("oco", "5", json!("250"), json!("270")), ("oco", "5", json!("250"), json!("280"))],
    )
    .await;
    let behind = modified(&api, &json!({ "id": "3", "ticker": "TSLA", "action": "movesl", "sl": 265 })).await;
    assert_eq!((&behind["outcome"], &behind["code"]), (&"rejected".into(), &"BAD_LEVEL".into()));
    assert_eq!(
        behind["reason"],
        "TSLA: the stop must be below the price, which is 260 now; nothing was changed."
    );
    assert!(behind["order_id"].is_null(), "it was to become no order: {behind}");
    // A repeat changes nothing, though the person has moved the stop meanwhile.
    put(&api, "/api/v1/positions/TSLA", &json!({ "stop_loss": "255" })).await.expect(200);
    let again = api.signal(&body).await.expect(200);
    assert_eq!(again["status"], "duplicate");
    let held = api.all("/api/v1/positions").await;
    assert_eq!(held[0]["stop_loss"], "255");
}

/// Killed before and after the change of a stop is recorded: it is made once.
#[tokio::test]
async fn a_signal_that_moves_a_stop_is_carried_out_once_whatever_crashes() {
    for place in ["execution.modify", "ledger.append", "ledger.appended", "execution.modified"] {
        let setup = Setup::new().still_market().set("risk.stop_loss_pct", 2);
        let mut server = setup.variable("TRADE_EXECUTOR_CRASH", format!("{place}:0:2")).start().await;
        let api = server.owner();
        let signal = api.signal(&order("r", "AAPL", "buy", "10")).await.expect(202);
        api.settled(signal["signal_id"].as_str().unwrap(), "filled").await;
        let body = json!({ "id": "m", "ticker": "AAPL", "action": "move_stop", "stopLoss": 190 });
        drop(api.try_signal(&body).await);
        wait_until(&format!("the crash at {place}"), || {
            let crashed = server.has_crashed();
            async move { crashed }
        })
        .await;
        server.calm();
        server.start_again().await;
        let api = server.owner();
        api.insist(&body).await;
        until_protected(&api, &[("stop", "10", json!("190"), Value::Null)]).await;
        server.stop().await;
        assert_eq!(crate::support::log::count(&server.data, "SIGNAL_APPLIED"), 1, "{place}");
    }
}

#[tokio::test]
async fn a_trailing_stop_follows_the_price_up_and_never_down() {
    let app = guarded().await;
    let api = app.owner();
    set(&app, "TSLA", "250");
    bought(&api, "entry", 10).await;
    put(&api, "/api/v1/positions/TSLA", &json!({ "trail_percent": "2" })).await.expect(200);
    until_protected(&api, &[("trailing_stop", "10", Value::Null, Value::Null)]).await;
    for price in ["260", "300", "295"] {
        set(&app, "TSLA", price);
        until_dealt_with(&app, &api).await;
    }
    set(&app, "TSLA", "293");
    wait_until("the position to be gone", || async {
        api.all("/api/v1/positions").await.iter().all(|held| held["symbol"] != "TSLA")
    })
    .await;
    assert_eq!(api.portfolio().await["realized_pnl"], "430");
}

#[tokio::test]
async fn a_person_closes_a_part_and_then_the_rest() {
    let app = guarded().await;
    let api = app.owner();
    set(&app, "TSLA", "250");
    bought(&api, "entry", 10).await;
    until_protected(&api, &[("stop", "10", json!("245"), Value::Null)]).await;
    let half = api.post("/api/v1/positions/TSLA/close", &json!({ "percent": 50 })).await.expect(201);
    assert_eq!((&half["side"], &half["quantity"]), (&"sell".into(), &"5".into()));
    until_protected(&api, &[("stop", "5", json!("245"), Value::Null)]).await;
    api.post("/api/v1/positions/TSLA/close", &json!({ "percent": 0 }))
        .await
        .assert_problem(422, "INVALID_VALUE");
    api.post("/api/v1/positions/TSLA/close", &json!({})).await.expect(201);
    until_flat(&api).await;
    api.post("/api/v1/positions/TSLA/close", &json!({})).await.assert_problem(404, "NOT_FOUND");
}
