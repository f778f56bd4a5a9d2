//! One sample and more for every format, dialect and refusal.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use trade_actors::domain::ids::SourceId;
use trade_actors::domain::signal::DeliveryKey;
use uuid::Uuid;

use crate::intake::{Identity, Reading, RefusalCode, read_webhook};

fn read(body: &str) -> Reading {
    read_webhook(body.as_bytes()).unwrap_or_else(|refusal| panic!("{body}: {refusal:?}"))
}

fn instruction(body: &str) -> Value {
    serde_json::to_value(read(body).instruction).unwrap()
}

#[track_caller]
fn reads(body: &str, expected: Value) {
    assert_eq!(instruction(body), expected, "{body}");
}

#[track_caller]
fn refuses(body: &str, code: RefusalCode, field: Option<&str>) {
    let refusal = read_webhook(body.as_bytes()).expect_err(body);
    assert_eq!((refusal.code, refusal.field.as_deref()), (code, field), "{body}: {refusal}");
}

/// Adds fields to a small valid order.
fn order(extra: Value) -> String {
    let mut body = json!({"ticker": "MSFT", "action": "buy"});
    for (key, value) in extra.as_object().unwrap() {
        body[key] = value.clone();
    }
    body.to_string()
}

fn market() -> Value {
    json!({"type": "market"})
}

#[test]
fn the_specified_fields_are_read() {
    reads(
        r#"{"ticker":"MSFT","action":"buy","quantity":12.50,"type":"limit","price":401.25,"stopLoss":395,"takeProfit":"415"}"#,
        json!({"action": "buy", "symbol": "MSFT", "quantity": "12.5", "kind": {"type": "limit", "limit": "401.25"},
            "stop_loss": {"at": "395"}, "take_profits": [{"at": "415"}]}),
    );
}

#[test]
fn a_market_order_has_a_reference_never_a_limit() {
    let expected = json!({"action": "sell", "symbol": "SOL/USDT", "kind": market(), "reference": "141.5"});
    for price in [
        r#""price":141.5"#,
        r#""close":"141.50""#,
        r#""entry_price":141.5"#,
        r#""price":141.5,"close":141.4"#,
    ] {
        reads(&format!(r#"{{"symbol":"SOLUSDT","side":"SELL",{price}}}"#), expected.clone());
    }
}

#[test]
fn every_order_type_finds_its_prices() {
    for (extra, kind) in [
        (json!({"order": "limit", "price": 400}), json!({"type": "limit", "limit": "400"})),
        (json!({"order": {"type": "limit", "price": 400}}), json!({"type": "limit", "limit": "400"})),
        (json!({"action": "open", "direction": "buy"}), json!({"type": "market"})),
        (json!({"type": "stop", "stopPrice": 410}), json!({"type": "stop", "trigger": "410"})),
        (json!({"type": "stop-loss", "price": 410}), json!({"type": "stop", "trigger": "410"})),
        (
            json!({"orderType": "STOP_LIMIT", "stopPrice": "410", "price": "411"}),
            json!({"type": "stop_limit", "trigger": "410", "limit": "411"}),
        ),
        (
            json!({"orderType": "trailing_stop", "trailPercent": 2}),
            json!({"type": "trailing_stop", "trail": {"percent": "2"}}),
        ),
        (
            json!({"pricetype": "TRAILING STOP", "trailPrice": 3.5}),
            json!({"type": "trailing_stop", "trail": {"amount": "3.5"}}),
        ),
    ] {
        assert_eq!(instruction(&order(extra))["kind"], kind);
    }
}

#[test]
fn an_explicit_limit_price_leaves_the_price_a_reference() {
    let read = instruction(&order(json!({"orderType": "limit", "price": 400, "limitPrice": 399})));
    assert_eq!((&read["kind"]["limit"], &read["reference"]), (&json!("399"), &json!("400")));
}

#[test]
fn levels_come_as_numbers_percentages_lists_and_objects() {
    for (extra, stop, targets) in [
        (
            json!({"sl": "395", "tp1": 410, "tp2": 420}),
            json!({"at": "395"}),
            json!([{"at": "410"}, {"at": "420"}]),
        ),
        (
            json!({"tp2": 420, "tp1": 410, "tp3": null, "tp4": 0}),
            Value::Null,
            json!([{"at": "410"}, {"at": "420"}]),
        ),
        (
            json!({"stop_loss": "2%", "take_profit_percent": 4}),
            json!({"distance": "2"}),
            json!([{"distance": "4"}]),
        ),
        (
            json!({"stopLoss": {"stopPrice": 390}, "takeProfit": {"limitPrice": 430}}),
            json!({"at": "390"}),
            json!([{"at": "430"}]),
        ),
        (json!({"stopLoss": {"type": "stop", "percent": 3}}), json!({"distance": "3"}), Value::Null),
        (json!({"stopLoss": {"type": "percent", "value": 3}}), json!({"distance": "3"}), Value::Null),
        (json!({"targets": [410, "420"]}), Value::Null, json!([{"at": "410"}, {"at": "420"}])),
        (json!({"takeProfits": [{"price": 410, "size": 50}]}), Value::Null, json!([{"at": "410"}])),
        (json!({"targets": {"tp1": 410, "tp2": 420}}), Value::Null, json!([{"at": "410"}, {"at": "420"}])),
        (
            json!({"long SL": 390, "short SL": 410, "long TP": 420, "short TP": 380}),
            json!({"at": "390"}),
            json!([{"at": "420"}]),
        ),
        (json!({"stopLoss": null, "takeProfit": 0}), Value::Null, Value::Null),
    ] {
        let read =
            instruction(&order(json!({"price": 400, "x": extra.to_string()})).replace("\"x\":", "\"note\":"));
        assert!(read.get("stop_loss").is_none(), "a note sets no level");
        let mut with_price = extra.clone();
        with_price["price"] = 400.into();
        let read = instruction(&order(with_price));
        let get = |name: &str| read.get(name).cloned().unwrap_or_default();
        assert_eq!((get("stop_loss"), get("take_profits")), (stop, targets), "{extra}");
    }
}

#[test]
fn flat_exit_and_close_leave_the_position() {
    let close = |holding: Value| json!({"close": {"fraction": null, "holding": holding}});
    for (extra, action) in [
        (json!({"action": "sell", "sentiment": "flat"}), close("long".into())),
        (
            json!({"action": "buy", "market_position": "flat", "prev_market_position": "short"}),
            close("short".into()),
        ),
        (json!({"action": "exit"}), close(Value::Null)),
        (json!({"action": "close", "side": "long"}), close("long".into())),
        (json!({"action": "close", "side": "sell"}), close(Value::Null)),
        (json!({"action": "exit_short"}), close("short".into())),
        (json!({"action": "sell", "close_position": "True"}), close("long".into())),
        (json!({"action": "sell", "positionSide": "LONG"}), close("long".into())),
        (
            json!({"action": "close", "quantity": "25%"}),
            json!({"close": {"fraction": "25", "holding": null}}),
        ),
        (json!({"action": "close", "percent": 100}), close(Value::Null)),
    ] {
        assert_eq!(instruction(&order(extra.clone()))["action"], action, "{extra}");
    }
    let read = instruction(&order(json!({"action": "sell", "reduce_only": true, "qty": 3, "sl": 10})));
    assert_eq!((&read["action"], &read["quantity"]), (&close("long".into()), &json!("3")));
    assert!(read.get("stop_loss").is_none(), "a closing order has no levels");
}

#[test]
fn a_strategy_object_counts_and_its_bar_does_not() {
    reads(
        r#"{"ticker":"SOLUSDT","bar":{"time":"2026-03-02T14:30:00Z","open":141.2,"close":141.5,"volume":93112},
            "strategy":{"order_action":"buy","order_contracts":25,"order_price":141.4,"market_position":"long"}}"#,
        json!({"action": "buy", "symbol": "SOL/USDT", "quantity": "25", "kind": market(), "reference": "141.4"}),
    );
    let flat =
        r#"{"ticker":"SOLUSDT","action":"buy","open":1.1,"high":2,"low":1,"close":1.5,"volume":93112}"#;
    assert!(instruction(flat).get("quantity").is_none());
    refuses(
        r#"{"ticker":"SOLUSDT","action":"buy","close":1.5,"volume":93112}"#,
        RefusalCode::BadQuantity,
        Some("/volume"),
    );
}

#[test]
fn a_message_of_the_strategy_may_be_json_itself() {
    let body = order(json!({"order_alert_message": "{\"leverage\": \"3x\", \"sl\": \"1%\"}"}));
    reads(
        &body,
        json!({"action": "buy", "symbol": "MSFT", "kind": market(), "leverage": "3", "stop_loss": {"distance": "1"}}),
    );
    let body = order(json!({"order_alert_message": "{\"action\": \"sell\"}"}));
    refuses(&body, RefusalCode::ConflictingFields, Some("/order_alert_message/action"));
    let body = order(json!({"order_alert_message": "{\"sl\": }"}));
    refuses(&body, RefusalCode::InvalidJson, Some("/order_alert_message"));
    reads(
        &order(json!({"message": "{\"action\": \"sell\"}"})),
        json!({"action": "buy", "symbol": "MSFT", "kind": market()}),
    );
}

#[test]
fn other_spellings_say_the_same() {
    let limit = json!({"action": "sell", "symbol": "SOL/USDT", "quantity": "2.5", "kind": {"type": "limit", "limit": "141.5"},
        "stop_loss": {"at": "150"}});
    reads(
        "EXCHANGE=okx\nSYMBOL=SOLUSDT\nSIGNAL=SELL\nVOLUME=2.5\nORDER_TYPE=LIMIT\nPRICE=141.5\nSTOP_LOSS=150\nTAG=a",
        limit.clone(),
    );
    reads("ticker=SOLUSDT&action=sell&qty=2.5&type=limit&price=141.5&sl=150", limit.clone());
    reads("700123,selllimit,SOLUSDT,lots=2.5,price=141.5,sl=150,risk=1", limit);
    reads(
        "BUY $MSFT 10 @market",
        json!({"action": "buy", "symbol": "MSFT", "quantity": "10", "kind": market()}),
    );
    reads(
        "CLOSE, MSFT, SIDE=SELL",
        json!({"action": {"close": {"fraction": null, "holding": "short"}}, "symbol": "MSFT", "kind": market()}),
    );
}

#[test]
fn a_bot_services_trigger_price_is_what_it_saw() {
    let body = r#"{"secret":"x","bot_uuid":"b-1","max_lag":"300","timestamp":"2026-03-02T14:30:09Z","trigger_price":"141.5",
        "tv_exchange":"BINANCE","tv_instrument":"SOLUSDT.P","action":"enter_short"}"#;
    reads(body, json!({"action": "sell", "symbol": "SOL/USDT", "kind": market(), "reference": "141.5"}));
    assert_eq!(read(body).max_lag_s, Some(300));
    refuses(
        &order(json!({"type": "market", "triggerPrice": 410})),
        RefusalCode::ConflictingFields,
        Some("/stopPrice"),
    );
}

#[test]
fn every_refusal_names_its_reason_and_field() {
    use RefusalCode as C;
    for (extra, code, field) in [
        (json!({"ticker": null}), C::MissingSymbol, Some("/ticker")),
        (json!({"ticker": 5930}), C::BadSymbol, Some("/ticker")),
        (json!({"ticker": "*"}), C::BadSymbol, Some("/ticker")),
        (json!({"ticker": "MSFT260116C00400000"}), C::OptionUnsupported, Some("/ticker")),
        (json!({"option": {"right": "call"}}), C::OptionUnsupported, Some("/option")),
        (json!({"asset_class": "options"}), C::OptionUnsupported, Some("/asset_class")),
        (json!({"order": "iceberg"}), C::BadOrderType, Some("/order")),
        (json!({"targets": vec![1; 300]}), C::BadNumber, Some("/targets")),
        (json!({"sl": "breakeven"}), C::StopWrongSide, Some("/sl")),
        (json!({"type": "limit", "price": 400, "limitPrice": 40}), C::BadNumber, None),
        (json!({"strike": 400}), C::OptionUnsupported, Some("/strike")),
        (json!({"symbol": "AMZN"}), C::ConflictingFields, None),
        (json!({"action": null}), C::MissingAction, Some("/action")),
        (json!({"action": "moon"}), C::BadAction, Some("/action")),
        (json!({"action": "cancel"}), C::BadAction, Some("/action")),
        (json!({"action": "hold"}), C::NoInstruction, None),
        (json!({"side": "sell"}), C::ConflictingFields, Some("/side")),
        (json!({"sentiment": "short"}), C::ConflictingFields, Some("/sentiment")),
        (json!({"quantity": "0"}), C::BadQuantity, Some("/quantity")),
        (json!({"quantity": -1}), C::BadQuantity, Some("/quantity")),
        (json!({"quantity": "10%"}), C::BadQuantity, Some("/quantity")),
        (json!({"quantity": 1_000_000_000_001_i64}), C::BadQuantity, Some("/quantity")),
        (json!({"quantity": [1]}), C::BadQuantity, Some("/quantity")),
        (json!({"quantity": 5, "quantityType": "percent_of_equity"}), C::BadQuantity, Some("/quantityType")),
        (json!({"amount": 5}), C::BadQuantity, Some("/amount")),
        (json!({"quantity": 5, "qty": 6}), C::ConflictingFields, None),
        (json!({"type": "iceberg"}), C::BadOrderType, Some("/type")),
        (json!({"limitPrice": 400}), C::BadOrderType, Some("/limitPrice")),
        (json!({"type": "limit", "price": 400, "stopPrice": 390}), C::ConflictingFields, Some("/stopPrice")),
        (json!({"type": "limit"}), C::MissingPrice, Some("/price")),
        (json!({"type": "limit", "price": -4}), C::BadNumber, Some("/price")),
        (json!({"type": "limit", "price": "1%"}), C::RelativePriceUnsupported, Some("/price")),
        (json!({"sl_pips": 30}), C::RelativePriceUnsupported, Some("/sl_pips")),
        (
            json!({"stopLoss": {"trailPercent": 2}}),
            C::RelativePriceUnsupported,
            Some("/stopLoss/trailPercent"),
        ),
        (json!({"stopLoss": {"price": 390, "percent": 2}}), C::ConflictingFields, None),
        (json!({"trailing_stop": 2}), C::RelativePriceUnsupported, Some("/trailing_stop")),
        (json!({"price": 400, "sl": 401}), C::StopWrongSide, Some("/stopLoss")),
        (json!({"price": 400, "tp": 399}), C::TargetWrongSide, Some("/takeProfit")),
        (json!({"sl": 401, "tp": 399}), C::StopWrongSide, Some("/stopLoss")),
        (json!({"price": 400, "sl": 39}), C::BadNumber, None),
        (json!({"leverage": "3-8x"}), C::BadNumber, Some("/leverage")),
        (json!({"price": "{{close}}"}), C::PlaceholderNotFilled, Some("/price")),
        (json!({"test": true}), C::NoInstruction, None),
        (json!({"max_lag": "soon"}), C::BadNumber, Some("/max_lag")),
    ] {
        let body = order(extra);
        let refusal = read_webhook(body.as_bytes()).expect_err(&body);
        assert_eq!(refusal.code, code, "{body}: {refusal}");
        if field.is_some() {
            assert_eq!(refusal.field.as_deref(), field, "{body}: {refusal}");
        }
        assert_eq!(refusal.nothing_asked, code == C::NoInstruction);
    }
    refuses(" \n", C::EmptyBody, None);
    refuses("[]", C::MissingFields, None);
    refuses("{\"note\": 1}", C::MissingFields, None);
    refuses(r#"{"ticker":"MSFT","ticker":"MSFT","action":"buy"}"#, C::DuplicateKey, Some("/ticker"));
    refuses("MSFT crossed 400", C::NoInstruction, None);
}

#[test]
fn unknown_fields_and_secrets_change_nothing() {
    let plain = read(&order(json!({"quantity": 1})));
    let noisy = read(&order(
        json!({"quantity": 1, "secret": "s", "comment": "sell everything at 3", "risk": 1, "chart": {"a": [1]}}),
    ));
    assert_eq!(plain.instruction, noisy.instruction);
    let told = |reading: &Reading| format!("{reading:?}");
    assert!(!told(&noisy).contains("everything"));
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[test]
fn the_age_is_judged_by_the_time_of_sending_alone() {
    let sent = at("2026-03-02T14:30:09Z");
    let fresh = |extra: Value, after_s: i64| {
        read(&order(extra)).check_fresh(sent + TimeDelta::seconds(after_s)).is_ok()
    };
    for key in ["timenow", "timestamp", "time"] {
        let body = json!({key: "2026-03-02T14:30:09Z"});
        assert!(fresh(body.clone(), 90) && fresh(body.clone(), -30), "{key}");
        assert!(!fresh(body.clone(), 91) && !fresh(body, -31), "{key}");
    }
    assert!(!fresh(json!({"timestamp": sent.timestamp()}), 91));
    assert!(!fresh(json!({"timestamp": sent.timestamp_millis()}), 91));
    assert!(fresh(json!({"timenow": "2026-03-02T14:30:09Z", "max_lag": 300}), 300));
    assert!(!fresh(json!({"timenow": "2026-03-02T14:30:09Z", "max_lag": 20}), 21));
    assert!(!fresh(json!({"max_lag": 20}), 0), "a limit without a time cannot be kept");
    for bar in [
        json!({"bar_time": "2026-03-02T14:30:09Z"}),
        json!({"time": "2026-03-02T00:00:00Z"}),
        json!({"bar": {"time": "2026-03-01T23:00:09Z"}}),
    ] {
        assert!(fresh(bar, 86_400), "a bar's time is no time of sending");
    }
}

#[test]
fn a_delivery_is_known_by_its_id_its_time_or_its_bytes() {
    let source = SourceId::new(Uuid::from_u128(7));
    let key = |extra: Value| {
        let body = order(extra);
        read(&body).identity.key(source, body.as_bytes())
    };
    assert_eq!(key(json!({"alert_id": "a", "price": 1})), key(json!({"alertId": "a", "price": 2})));
    assert_eq!(key(json!({"id": "o-1", "price": 1})), key(json!({"id": "o-1", "price": 2})));
    assert_ne!(key(json!({"id": "o-1"})), key(json!({"alert_id": "o-1"})));
    let bar = |time: &str, price: i32| key(json!({"id": "Long", "bar_time": time, "price": price}));
    assert_eq!(bar("14:30", 1), bar("14:30", 2));
    assert_ne!(bar("14:30", 1), bar("14:31", 1), "a new bar is a new order");
    assert_ne!(key(json!({"timenow": "x", "price": 1})), key(json!({"timenow": "x", "price": 2})));
    for named in [
        json!({"alert_id": "a"}),
        json!({"id": 17}),
        json!({"id": "Long", "time": "x"}),
        json!({"timenow": "x"}),
    ] {
        assert!(matches!(key(named), DeliveryKey::Named(_)));
    }
    assert!(matches!(key(json!({})), DeliveryKey::Bytes(_)));
    let other = SourceId::new(Uuid::from_u128(8));
    let body = order(json!({"alert_id": "a"}));
    assert_ne!(key(json!({"alert_id": "a"})), read(&body).identity.key(other, body.as_bytes()));
}

#[test]
fn an_id_alone_is_taken_at_its_word() {
    assert_eq!(read(&order(json!({"id": "Long"}))).identity, Identity::Id("Long".to_owned()));
    assert_eq!(read(&order(json!({"id": "trade-17"}))).identity, Identity::Id("trade-17".to_owned()));
    assert_eq!(read(&order(json!({"strategy": {"id": "trade-17"}}))).identity, Identity::Body);
}

#[test]
fn the_receipt_tells_which_field_supplied_what() {
    let reading = read(r#"{"instId":"SOL-USDT","order_action":"long","contracts":"2"}"#);
    let steps: Vec<_> =
        reading.receipt.iter().map(|step| (step.field, step.read_as.as_str(), step.from.as_str())).collect();
    assert_eq!(
        steps,
        [
            ("action", "long", "/order_action"),
            ("symbol", "SOL/USDT", "/instId"),
            ("quantity", "2", "/contracts"),
            ("position", "long", ""),
        ]
    );
}
