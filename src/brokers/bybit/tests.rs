use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::SecretString;
use trade_actors::domain::money::{Percent, Price, Quantity};
use trade_actors::domain::order::TimeInForce;
use trade_actors::domain::signal::{Side, Trail};

use super::*;
use crate::brokers::sample;

const KEY: &str = "KEYEXAMPLE0001";
const SECRET: &str = "NOT_A_REAL_SECRET_0123456789";

fn auth(secret: &str) -> Auth {
    Auth::ApiKey { key_id: KEY.into(), secret: SecretString::from(secret.to_owned()) }
}

fn moment(millis: i64) -> Moment {
    let at = DateTime::from_timestamp_millis(millis).unwrap();
    Moment { at, nonce: 1, host: "api.bybit.com".to_owned() }
}

fn dec(text: &str) -> rust_decimal::Decimal {
    text.parse().unwrap()
}

fn price(text: &str) -> Price {
    Price::new(dec(text)).unwrap()
}

/// Computed by hand, for Bybit's own examples come without their secret.
#[test]
fn the_known_signatures_hold() {
    let header = |signed: &Signed, name: &str| signed.headers[name].to_str().unwrap().to_owned();
    let question = Call::get("/v5/market/tickers").with("category", "linear").with("symbol", "BTCUSDT");
    let signed = sign::request(Some(&auth(SECRET)), &question, &moment(1_658_384_314_791)).unwrap();
    assert_eq!(
        header(&signed, "x-bapi-sign"),
        "03feb0541f403522a7f716725862e8dbe7ff8eb97a5d8fe50a8766c35c4e626c"
    );
    assert_eq!(signed.target, "/v5/market/tickers?category=linear&symbol=BTCUSDT");
    assert_eq!(signed.body.len(), 0);
    assert_eq!(header(&signed, "x-bapi-timestamp"), "1658384314791");
    assert_eq!(header(&signed, "x-bapi-recv-window"), "5000");
    assert_eq!(header(&signed, "x-bapi-api-key"), KEY);

    let body = r#"{"category":"spot","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.01","price":"28000","timeInForce":"GTC","orderLinkId":"o-1"}"#;
    let order = Call { json: Some(body.to_owned()), ..Call::post("/v5/order/create") };
    let signed = sign::request(Some(&auth(SECRET)), &order, &moment(1_658_385_579_423)).unwrap();
    assert_eq!(
        header(&signed, "x-bapi-sign"),
        "863528a5a713e304af20996ff684c8e1c882482c71765bbcff8dd96e42a1986f"
    );
    assert_eq!((signed.target.as_str(), signed.body.as_slice()), ("/v5/order/create", body.as_bytes()));
    assert_eq!(header(&signed, "content-type"), "application/json");

    let greeting = sign::greeting(Some(&auth(SECRET)), 1_662_350_400_000).unwrap();
    assert_eq!(
        greeting.to_string(),
        format!(
            r#"{{"args":["{KEY}",1662350400000,"22b889e3c9c782c75d6f3b21488f48ec09d19ef5c45fedd83a23c8fbe5b0c258"],"op":"auth"}}"#
        )
    );
}

#[test]
fn other_credentials_sign_nothing() {
    let call = Call::get("/v5/user/query-api");
    for other in [Auth::OAuth { access_token: "t".into() }, auth("-----BEGIN RSA PRIVATE KEY-----\nMIIC\n")] {
        assert!(sign::request(Some(&other), &call, &moment(0)).is_none());
        assert!(sign::greeting(Some(&other), 0).is_none());
    }
    assert!(sign::greeting(None, 0).is_none());
    assert!(sign::request(None, &call, &moment(0)).unwrap().headers.is_empty());
}

fn order(kind: OrderKind) -> Ticket {
    let quantity = Quantity::new(dec("0.0100")).unwrap();
    Ticket { symbol: "BTC/USDT".parse().unwrap(), quantity, kind, ..sample::ticket() }
}

fn words(ticket: &Ticket) -> serde_json::Value {
    serde_json::from_str(&map::new_order(ticket, "BTCUSDT").unwrap().json.unwrap()).unwrap()
}

#[test]
fn every_kind_of_order_is_written_as_bybit_documents_it() {
    let trigger = price("59000");
    let limit = OrderKind::Limit { limit: price("60000.5") };
    for (kind, own) in [
        (OrderKind::Market, json!({"orderType": "Market", "marketUnit": "baseCoin"})),
        (limit, json!({"orderType": "Limit", "price": "60000.5", "timeInForce": "GTC"})),
        (
            OrderKind::Stop { trigger },
            json!({"orderType": "Market", "marketUnit": "baseCoin", "triggerPrice": "59000",
                "orderFilter": "tpslOrder"}),
        ),
        (
            OrderKind::StopLimit { trigger, limit: price("58900") },
            json!({"orderType": "Limit", "price": "58900", "timeInForce": "GTC", "triggerPrice": "59000",
                "orderFilter": "tpslOrder"}),
        ),
    ] {
        let ticket = order(kind);
        let mut all = json!({"category": "spot", "symbol": "BTCUSDT", "side": "Buy", "qty": "0.01",
            "orderLinkId": ticket.id.to_string()});
        all.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        assert_eq!(words(&ticket), all, "{kind:?}");
        assert!(Bybit { settlement: "USDT".to_owned() }.holds(ticket.symbol, kind));
    }
    let at_once = Ticket { time_in_force: TimeInForce::Fok, side: Side::Sell, ..order(limit) };
    assert_eq!((&words(&at_once)["side"], &words(&at_once)["timeInForce"]), (&json!("Sell"), &json!("FOK")));
}

#[test]
fn what_bybit_has_not_is_refused_by_name_and_not_held() {
    let venue = Bybit { settlement: "USDT".to_owned() };
    for (kind, name) in [
        (OrderKind::TrailingStop { trail: Trail::Amount(price("5")) }, "trailing stop"),
        (OrderKind::TrailingStop { trail: Trail::Percent(Percent::new(dec("1"))) }, "trailing stop"),
        (OrderKind::Oco { limit: price("2"), trigger: price("1") }, "pair of orders"),
    ] {
        let Err(Verdict::Refused(refusal)) = map::new_order(&order(kind), "BTCUSDT") else {
            panic!("{kind:?} was not refused");
        };
        assert!(refusal.message.contains("Nothing was sent."), "{}", refusal.message);
        assert!(refusal.message.contains(name), "{}", refusal.message);
        assert!(!venue.holds("BTC/USDT".parse().unwrap(), kind));
    }
}

#[test]
fn keys_that_may_do_more_or_less_than_trade_are_told_why() {
    let key = |text: &str| map::unfit(&serde_json::from_str(text).unwrap());
    let good = r#"{"readOnly":0,"permissions":{"Spot":["SpotTrade"],"ContractTrade":[],"Wallet":[]},"uta":1,"userID":7}"#;
    assert_eq!(key(good), None);
    for (was, is, why) in [
        (r#""Wallet":[]"#, r#""Wallet":["AccountTransfer","Withdraw"]"#, "withdraw"),
        (r#""Wallet":[]"#, r#""Wallet":["AccountTransfer"]"#, "Wallet: AccountTransfer"),
        (r#""readOnly":0"#, r#""readOnly":1"#, "may not trade"),
        (r#"["SpotTrade"]"#, "[]", "may not trade"),
        (r#""uta":1"#, r#""uta":0"#, "no unified one"),
    ] {
        let said = key(&good.replace(was, is)).unwrap();
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn rules_of_a_symbol_are_read() {
    let row = r#"{"symbol":"BTCUSDT","baseCoin":"BTC","quoteCoin":"USDT","status":"Trading","priceFilter":{"tickSize":
        "0.010"},"lotSizeFilter":{"basePrecision":"0.0000010","quotePrecision":"0.0000001","minOrderAmt":"5",
        "maxLimitOrderQty":"83","maxMarketOrderQty":"41"}}"#;
    let row: wire::Listed = serde_json::from_str(row).unwrap();
    let rules = map::instrument(&row, "USDT").unwrap();
    assert_eq!(
        (rules.tick.to_string(), rules.lot.to_string(), rules.min_notional.get().to_string(), rules.tradable),
        ("0.01".to_owned(), "0.000001".to_owned(), "5".to_owned(), true)
    );
    assert!(map::instrument(&row, "EUR").is_none());
    assert!(
        !map::instrument(&wire::Listed { status: "PreLaunch".to_owned(), ..row }, "USDT").unwrap().tradable
    );
}

#[test]
fn money_that_orders_hold_back_is_not_free_and_dollars_are_not_counted() {
    let told = r#"{"list":[{"accountType":"UNIFIED","totalEquity":"10000.1","totalAvailableBalance":"9000","coin":[
        {"coin":"USDT","equity":"5000","walletBalance":"5000","locked":"240","usdValue":"5000","availableToWithdraw":""},
        {"coin":"BTC","walletBalance":"0.1","locked":"0","usdValue":"6000"},
        {"coin":"ETH","walletBalance":"0","locked":"0"}]}]}"#;
    let told: wire::List<wire::Wallet> = serde_json::from_str(told).unwrap();
    let holdings = map::holdings(&told.list, "USDT");
    assert_eq!((holdings.cash, holdings.free, holdings.equity), (dec("5000"), dec("4760"), None));
    let units: Vec<_> = holdings.units.iter().map(|unit| (unit.symbol.to_string(), unit.net)).collect();
    assert_eq!(units, [("BTC/USDT".to_owned(), dec("0.1"))]);
}

const ORDER: &str = r#"{"category":"spot","orderId":"1321052653536515584","orderLinkId":"ID","symbol":"BTCUSDT","side":
    "Buy","orderType":"Limit","price":"60000","qty":"0.01","orderStatus":"PartiallyFilled","avgPrice":"60000",
    "cumExecQty":"0.004","cumExecValue":"240","leavesQty":"0.006","cumExecFee":"0.000004","timeInForce":"GTC",
    "rejectReason":"EC_NoError","cancelType":"UNKNOWN","triggerPrice":"","stopOrderType":"","createdTime":
    "1767225600100","updatedTime":"1767225600120"}"#;
const EXECUTION: &str = r#"{"category":"spot","symbol":"BTCUSDT","orderId":"1321052653536515584","orderLinkId":"ID",
    "execId":"x1","execPrice":"60000","execQty":"0.004","execValue":"240","execFee":"0.000004","feeCurrency":"BTC","side":
    "Buy","isMaker":false,"execType":"Trade","execTime":"1767225600119","seq":5}"#;

fn with_name(text: &str) -> String {
    text.replace(r#""ID""#, &format!("\"{}\"", sample::ticket().id))
}

#[test]
fn an_answer_only_says_that_the_order_arrived() {
    let ticket = order(OrderKind::Market);
    let told = format!(r#"{{"orderId":"1321052653536515584","orderLinkId":"{}"}}"#, ticket.id);
    let report = map::taken(&serde_json::from_str(&told).unwrap(), ticket.id).unwrap();
    assert_eq!((report.order, report.broker_order.as_str()), (ticket.id, "1321052653536515584"));
    assert_eq!((report.state, report.fills, report.done), (ReportedState::Open, vec![], None));
    let other = serde_json::from_str(r#"{"orderId":"1","orderLinkId":"o-1"}"#).unwrap();
    assert!(matches!(map::taken(&other, ticket.id), Err(Verdict::Lost(_))), "it is another order");
}

#[test]
fn an_order_stands_as_its_executions_say() {
    let found = |text: &str| serde_json::from_str::<wire::Order>(&with_name(text)).unwrap();
    let execution: wire::Execution = serde_json::from_str(&with_name(EXECUTION)).unwrap();
    let report = map::report(&found(ORDER), std::slice::from_ref(&execution), "USDT").unwrap();
    assert_eq!(report.state, ReportedState::Open);
    let [fill] = report.fills.as_slice() else { panic!("{report:?}") };
    assert_eq!(
        (fill.execution.as_str(), fill.quantity.get(), fill.price, fill.kept.get(), fill.fee.get()),
        ("x1", dec("0.004"), price("60000"), dec("0.000004"), dec("0"))
    );
    let canceled = ORDER.replace("PartiallyFilled", "PartiallyFilledCanceled");
    let report = map::report(&found(&canceled), &[execution], "USDT").unwrap();
    assert_eq!(report.state, ReportedState::Canceled);
    let early = map::report(&found(&canceled), &[], "USDT").unwrap();
    assert_eq!(early.state, ReportedState::Open, "its executions are not shown yet");
    for (status, expected) in [
        ("New", ReportedState::Open),
        ("Untriggered", ReportedState::Open),
        ("Triggered", ReportedState::Open),
        ("SomethingNew", ReportedState::Open),
        ("Filled", ReportedState::Filled),
        ("Cancelled", ReportedState::Canceled),
        ("Deactivated", ReportedState::Canceled),
    ] {
        assert_eq!(map::state(&found(&ORDER.replace("PartiallyFilled", status))), expected, "{status}");
    }
    let rejected = ORDER.replace("PartiallyFilled", "Rejected").replace("EC_NoError", "EC_NoEnoughQtyToFill");
    let ReportedState::Rejected(refusal) = map::state(&found(&rejected)) else {
        panic!("it is not rejected")
    };
    assert!(refusal.message.contains("EC_NoEnoughQtyToFill"), "{}", refusal.message);
    let others: wire::Order = serde_json::from_str(ORDER).unwrap();
    assert_eq!(
        (map::report(&others, &[], "USDT"), map::is_ours(&others)),
        (None, false),
        "somebody else placed it"
    );
}

#[test]
fn a_fee_without_a_name_is_in_what_was_received_and_what_is_no_trade_is_no_fill() {
    let read = |text: String| -> Vec<Heard> {
        let frame = format!(r#"{{"topic":"execution","data":[{}]}}"#, with_name(&text));
        map::heard(&mut Ear::default(), &frame, "USDT")
    };
    let fill = |text: String| match read(text).pop() {
        Some(Heard::Report(report)) => report.fills[0].clone(),
        other => panic!("{other:?}"),
    };
    let unnamed = EXECUTION.replace(r#""BTC","side""#, r#""","side""#);
    assert_eq!(fill(unnamed.clone()).kept.get(), dec("0.000004"));
    let sold = fill(unnamed.replace("Buy", "Sell").replace("0.000004", "0.24"));
    assert_eq!((sold.fee.get(), sold.kept.get()), (dec("0.24"), dec("0")));
    assert_eq!(read(EXECUTION.replace("Trade", "Funding")), []);
    assert_eq!(read(EXECUTION.replace(r#""category":"spot""#, r#""category":"linear""#)), []);
}

#[test]
fn the_stream_tells_executions_and_ends_and_no_end_before_its_executions() {
    let mut ear = Ear::default();
    let mut hear = |topic: &str, row: &str| {
        let frame = format!(r#"{{"topic":"{topic}","creationTime":1,"data":[{}]}}"#, with_name(row));
        map::heard(&mut ear, &frame, "USDT")
    };
    let report = |heard: Vec<Heard>| match heard.as_slice() {
        [Heard::Report(report)] => OrderReport::clone(report),
        other => panic!("{other:?}"),
    };
    let canceled = ORDER.replace("PartiallyFilled", "PartiallyFilledCanceled");
    assert_eq!(hear("order", &canceled), [Heard::Gap], "an execution was missed");
    assert_eq!(report(hear("execution", EXECUTION)).fills.len(), 1);
    assert_eq!(report(hear("execution", EXECUTION)).fills.len(), 1, "told again, it has the same id");
    let more = canceled.replace("0.004", "0.008");
    assert_eq!(hear("order", &more), [Heard::Gap], "what is told twice is one");
    report(hear("execution", EXECUTION));
    assert_eq!(report(hear("order", &canceled)).state, ReportedState::Canceled);
    // Filled, and its execution right after.
    let filled = ORDER.replace("PartiallyFilled", "Filled");
    let told = report(hear("order", &filled));
    assert_eq!((told.state, told.fills.len(), told.done), (ReportedState::Filled, 0, None));
    assert_eq!(report(hear("execution", EXECUTION)).fills.len(), 1);
    let repeat = ORDER.replace("PartiallyFilled", "Rejected").replace("EC_NoError", "EC_DuplicatedClOrdID");
    assert_eq!(hear("order", &repeat), [], "the name is the first one's");
    assert_eq!(hear("order", &filled.replace("spot", "linear")), []);
    assert_eq!(hear("order", &filled.replace(r#""ID""#, r#""web_1""#)), [], "somebody else's order");
    drop(report(hear("order", &filled)));
    report(hear("execution", EXECUTION));
    assert_eq!(ear.known.len(), 0, "what is over is forgotten");
}

#[test]
fn the_stream_is_opened_step_by_step() {
    let hear = |frame: &str| map::heard(&mut Ear::default(), frame, "USDT");
    let subscribe = r#"{"args":["order","execution"],"op":"subscribe"}"#.to_owned();
    let auth = r#"{"success":true,"ret_msg":"","op":"auth","conn_id":"c1"}"#;
    assert_eq!(hear(auth), [Heard::Reply(subscribe)]);
    assert_eq!(hear(r#"{"success":true,"ret_msg":"","op":"subscribe"}"#), [Heard::Ready]);
    assert_eq!(
        hear(r#"{"success":false,"ret_msg":"error:API key is invalid.","op":"auth"}"#),
        [Heard::Refused]
    );
    let late = r#"{"success":false,"ret_msg":"Params Error: request expired","op":"auth"}"#;
    assert!(matches!(hear(late)[..], [Heard::Over(_)]));
    assert!(matches!(hear(r#"{"success":false,"ret_msg":"no","op":"subscribe"}"#)[..], [Heard::Over(_)]));
    assert_eq!(hear(r#"{"op":"pong","args":["1767225600123"]}"#), []);
    assert_eq!(hear(r#"{"topic":"wallet","data":[{}]}"#), []);
    assert_eq!(hear(r#"{"topic":"order","data":[{"orderId":5}]}"#), [Heard::Gap]);
    assert_eq!(hear("not json"), [Heard::Gap]);
}

#[test]
fn errors_are_told_apart_by_what_may_be_done_next() {
    use RefusalCode as C;
    let of = |status: u16, body: &str| {
        let reply = Reply { status, headers: HeaderMap::new(), body: body.as_bytes().to_vec() };
        errors::judge(&Call::get("/"), &reply)
    };
    let code = |code: i64, said: &str| {
        of(200, &format!(r#"{{"retCode":{code},"retMsg":"{said}","result":{{}},"time":1767225600123}}"#))
    };
    for (number, expected) in [
        (10_003, C::AuthFailed),
        (10_004, C::AuthFailed),
        (10_005, C::AuthFailed),
        (10_010, C::AuthFailed),
        (33_004, C::AuthFailed),
        (10_024, C::AuthFailed),
        (170_121, C::InvalidSymbol),
        (10_029, C::InvalidSymbol),
        (170_131, C::InsufficientFunds),
        (110_007, C::InsufficientFunds),
        (170_140, C::OrderRejected),
        (170_136, C::OrderRejected),
        (10_001, C::OrderRejected),
    ] {
        let Err(Verdict::Refused(refusal)) = code(number, "no") else { panic!("{number} is no refusal") };
        assert_eq!(refusal.code, expected, "{number}");
    }
    let Err(Verdict::Refused(refusal)) = code(10_001, "Not supported symbols") else {
        panic!("it is no refusal")
    };
    assert_eq!(refusal.code, C::InvalidSymbol);
    let Err(Verdict::Halted(refusal)) = code(170_151, "closed") else { panic!("it is not halted") };
    assert_eq!(refusal.code, C::MarketClosed);
    for (number, expected) in [
        (10_002, Verdict::Skewed),
        (170_141, Verdict::Exists),
        (110_072, Verdict::Exists),
        (10_014, Verdict::Exists),
        (170_213, Verdict::Missing),
        (110_001, Verdict::Missing),
        (170_142, Verdict::Ended),
        (110_010, Verdict::Ended),
        (10_006, Verdict::Slow(Duration::from_secs(5))),
    ] {
        assert_eq!(code(number, "x"), Err(expected), "{number}");
    }
    assert_eq!(code(0, "OK"), Ok(()));
    for unclear in [429, 10_000, 10_016, 10_019, 170_146, 170_147, 999_999] {
        assert!(matches!(code(unclear, "x"), Err(Verdict::Lost(_))), "{unclear}");
    }
    for (status, body) in [(500, ""), (503, "{}"), (200, "<html>"), (200, "{}"), (404, "")] {
        assert!(matches!(of(status, body), Err(Verdict::Lost(_))), "{status} {body}");
    }
    assert_eq!(of(403, "access too frequent"), Err(Verdict::Slow(Duration::from_secs(600))));
    for status in [401, 403] {
        assert!(of(status, "").unwrap_err().is_of_credentials(), "{status}");
    }
}

#[test]
fn a_pause_is_as_long_as_bybit_says() {
    let of = |status: u16, name: &'static str, value: &str| {
        let headers = HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_str(value).unwrap())]);
        let body =
            br#"{"retCode":10006,"retMsg":"Too many visits!","result":{},"time":1767225600123}"#.to_vec();
        errors::judge(&Call::get("/"), &Reply { status, headers, body })
    };
    let slow = |ms| Err(Verdict::Slow(Duration::from_millis(ms)));
    let reset = "x-bapi-limit-reset-timestamp";
    assert_eq!(of(200, reset, "1767225600823"), slow(700));
    assert_eq!(of(200, reset, "1767225600000"), slow(5_000), "that time is over");
    assert_eq!(of(200, reset, "1867225600000"), slow(60_000), "no longer than is sensible");
    assert_eq!(of(429, "retry-after", "2"), slow(2_000));
}

#[test]
fn prices_are_read_from_whole_frames_and_from_changes() {
    let mut ear = Ear::default();
    let mut best = |kind: &str, bids: &str, asks: &str| {
        let frame = format!(
            r#"{{"topic":"orderbook.1.BTCUSDT","type":"{kind}","ts":1,"data":{{"s":"BTCUSDT","b":{bids},"a":{asks},"u":1}}}}"#
        );
        match map::tick(&mut ear, &frame, "USDT") {
            Some(Tick::Best { bid, ask, last: None, .. }) => (bid.to_string(), ask.to_string()),
            other => panic!("{other:?}"),
        }
    };
    let of = |bid: &str, ask: &str| (bid.to_owned(), ask.to_owned());
    assert_eq!(best("snapshot", r#"[["60000.1","1"]]"#, r#"[["60000.2","2"]]"#), of("60000.1", "60000.2"));
    assert_eq!(best("delta", r#"[["60000.1","0"],["60000.0","3"]]"#, "[]"), of("60000.0", "60000.2"));
    assert_eq!(best("delta", "[]", r#"[["60000.2","0"]]"#), of("60000.0", "0"));
    assert_eq!(best("snapshot", "[]", r#"[["60001","1"]]"#), of("0", "60001"));
    let refused = r#"{"success":false,"ret_msg":"Invalid symbol","op":"subscribe"}"#;
    assert_eq!(map::tick(&mut ear, refused, "USDT"), Some(Tick::Over("Invalid symbol".to_owned())));
    assert_eq!(map::tick(&mut ear, r#"{"success":true,"ret_msg":"pong","op":"ping"}"#, "USDT"), None);
}
