use reqwest::header::HeaderMap;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use trade_actors::domain::money::{Percent, Price, Quantity};
use trade_actors::domain::order::TimeInForce;
use trade_actors::domain::signal::{Side, Trail};

use super::*;
use crate::brokers::sample;
use crate::config::Secret;

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn price(text: &str) -> Price {
    Price::new(dec(text)).unwrap()
}

fn order(kind: OrderKind) -> Ticket {
    Ticket { kind, ..sample::ticket() }
}

fn another(leg: u16) -> ClientOrderId {
    let Ticket { user, connection, signal, .. } = sample::ticket();
    ClientOrderId::derive(user, connection, signal, leg)
}

fn time(text: &str) -> DateTime<Utc> {
    wire::time(text).unwrap()
}

#[test]
fn a_token_is_asked_for_with_the_application_and_all_else_is_sent_as_it_is() {
    let application = Application { key: Secret::from("app"), secret: Secret::from("hush") };
    let auth = Auth::Login { refresh_token: "a+b/c@".into() };
    let call = Call::post("/token").logging_in();
    let sent = sign::request(Some(&application), Some(&auth), &call).unwrap();
    assert_eq!(sent.body.as_slice(), b"grant_type=refresh_token&refresh_token=a%2Bb%2Fc%40");
    // base64("app:hush")
    assert_eq!(sent.headers["authorization"].to_str().unwrap(), "Basic YXBwOmh1c2g=");
    assert!(sent.headers["authorization"].is_sensitive());
    assert_eq!(sent.headers["content-type"], "application/x-www-form-urlencoded");
    assert!(sign::request(None, Some(&auth), &call).is_none());
    let asked = sign::request(None, Some(&auth), &Call::get("/quotes").with("symbols", "A,B")).unwrap();
    assert_eq!((asked.target.as_str(), asked.headers.len()), ("/quotes?symbols=A%2CB", 0));
    assert!(sign::request(None, Some(&Auth::OAuth { access_token: "t".into() }), &call).is_none());
}

#[test]
fn classes_of_shares_have_a_dot_here_and_a_slash_there() {
    let brk: Symbol = "BRK.B".parse().unwrap();
    assert_eq!(map::theirs(brk).as_deref(), Some("BRK/B"));
    assert_eq!(map::ours("BRK/B"), Some(brk));
    assert_eq!(map::theirs("BTC/USDT".parse().unwrap()), None);
}

#[test]
fn every_kind_of_order_is_written_as_schwab_documents_it() {
    let trigger = price("180.50");
    for (kind, expected) in [
        (OrderKind::Market, json!({"orderType": "MARKET", "duration": "DAY"})),
        (OrderKind::Limit { limit: price("190.50") }, json!({"orderType": "LIMIT", "price": "190.5"})),
        (OrderKind::Stop { trigger }, json!({"orderType": "STOP", "stopPrice": "180.5"})),
        (
            OrderKind::StopLimit { trigger, limit: price("180") },
            json!({"orderType": "STOP_LIMIT", "price": "180", "stopPrice": "180.5"}),
        ),
        (
            OrderKind::TrailingStop { trail: Trail::Percent(Percent::new(dec("5"))) },
            json!({"orderType": "TRAILING_STOP", "stopPriceLinkType": "PERCENT", "stopPriceOffset": "5",
                "stopPriceLinkBasis": "LAST", "stopType": "STANDARD"}),
        ),
        (
            OrderKind::TrailingStop { trail: Trail::Amount(price("2.5")) },
            json!({"orderType": "TRAILING_STOP", "stopPriceLinkType": "VALUE", "stopPriceOffset": "2.5",
                "stopPriceLinkBasis": "LAST", "stopType": "STANDARD"}),
        ),
    ] {
        let ticket = Ticket { time_in_force: TimeInForce::Gtc, ..order(kind) };
        let mut whole = json!({
            "session": "NORMAL",
            "duration": "GOOD_TILL_CANCEL",
            "orderStrategyType": "SINGLE",
            "orderLegCollection": [{
                "instruction": "BUY",
                "quantity": "10",
                "instrument": {"symbol": "AAPL", "assetType": "EQUITY"},
            }],
        });
        for (name, value) in expected.as_object().unwrap() {
            whole[name] = value.clone();
        }
        assert_eq!(map::words(&ticket).unwrap().json(), whole);
    }
}

#[test]
fn what_an_order_does_to_a_position_and_when_it_trades_is_said() {
    let said = |ticket: &Ticket, pointer: &str| -> Value {
        map::words(ticket).unwrap().json().pointer(pointer).unwrap().clone()
    };
    let ticket = order(OrderKind::Limit { limit: price("190") });
    for (side, reduces, expected) in [
        (Side::Buy, false, "BUY"),
        (Side::Buy, true, "BUY_TO_COVER"),
        (Side::Sell, true, "SELL"),
        (Side::Sell, false, "SELL_SHORT"),
    ] {
        let ticket = Ticket { side, reduces, ..ticket.clone() };
        assert_eq!(said(&ticket, "/orderLegCollection/0/instruction"), expected);
    }
    assert_eq!(said(&Ticket { extended_hours: true, ..ticket.clone() }, "/session"), "SEAMLESS");
    for (time_in_force, expected) in [
        (TimeInForce::Day, "DAY"),
        (TimeInForce::Ioc, "IMMEDIATE_OR_CANCEL"),
        (TimeInForce::Fok, "FILL_OR_KILL"),
    ] {
        assert_eq!(said(&Ticket { time_in_force, ..ticket.clone() }, "/duration"), expected);
    }
}

#[test]
fn what_schwab_has_not_is_refused_by_name() {
    let half = Quantity::new(dec("0.5")).unwrap();
    let pair = OrderKind::Oco { limit: price("200"), trigger: price("180") };
    for ticket in [
        order(pair),
        Ticket { quantity: half, ..order(OrderKind::Market) },
        Ticket { extended_hours: true, ..order(OrderKind::Market) },
    ] {
        let Err(Verdict::Refused(refusal)) = map::words(&ticket) else { panic!("{ticket:?}") };
        assert!(refusal.message.contains("Nothing was sent."), "{}", refusal.message);
    }
    let coin = Ticket { symbol: "BTC/USDT".parse().unwrap(), ..order(OrderKind::Market) };
    let Err(Verdict::Refused(refusal)) = map::words(&coin) else { panic!("{coin:?}") };
    assert_eq!(refusal.code, RefusalCode::InvalidSymbol);
}

/// The example of the documentation, with a cancel among what happened.
const SHOWN: &str = r#"{"session":"NORMAL","duration":"DAY","orderType":"LIMIT","quantity":10.0,"filledQuantity":4.0,
    "remainingQuantity":6.0,"price":190.5,"orderLegCollection":[{"legId":1,"instrument":{"assetType":"EQUITY","cusip":
    "037833100","symbol":"AAPL"},"instruction":"BUY","positionEffect":"OPENING","quantity":10.0}],"orderStrategyType":
    "SINGLE","orderId":1000123,"cancelable":true,"editable":true,"status":"WORKING","enteredTime":
    "2024-06-06T13:46:03+0000","tag":"API","accountNumber":12345678,"orderActivityCollection":[{"activityType":"EXECUTION",
    "activityId":900,"executionType":"FILL","quantity":4.0,"orderRemainingQuantity":6.0,"executionLegs":[{"legId":1,
    "quantity":3.0,"price":190.49,"time":"2024-06-06T13:46:05+0000"},{"legId":2,"quantity":1.0,"price":190.45,"time":
    "2024-06-06T13:46:05.250+0000"}]},{"activityType":"EXECUTION","activityId":901,"executionType":"CANCELED","quantity":
    6.0,"executionLegs":[{"legId":1,"quantity":6.0,"price":0.0}]}]}"#;

fn shown(status: &str) -> wire::Order {
    serde_json::from_str(&SHOWN.replace("WORKING", status)).unwrap()
}

#[test]
fn an_order_tells_its_trades_to_the_last_digit() {
    let ours = sample::ticket().id;
    let report = map::report(&shown("WORKING"), ours, DateTime::UNIX_EPOCH);
    assert_eq!((report.order, report.broker_order.as_str()), (ours, "1000123"));
    let fills: Vec<_> = report
        .fills
        .iter()
        .map(|fill| (fill.execution.as_str(), fill.quantity.get(), fill.price.get(), fill.fee.get()))
        .collect();
    assert_eq!(
        fills,
        [
            ("900-1", dec("3"), dec("190.49"), Decimal::ZERO),
            ("900-2", dec("1"), dec("190.45"), Decimal::ZERO)
        ]
    );
    assert_eq!(report.fills[1].at, time("2024-06-06T13:46:05.250Z"));
    let done = report.done.unwrap();
    assert_eq!((done.quantity.get(), done.price), (dec("4"), Some(price("190.48"))));
    // Trades that are not shown yet have no price.
    let behind: wire::Order =
        serde_json::from_str(&SHOWN.replace("\"filledQuantity\":4.0", "\"filledQuantity\":5.0")).unwrap();
    let done = map::report(&behind, ours, DateTime::UNIX_EPOCH).done.unwrap();
    assert_eq!((done.quantity.get(), done.price), (dec("5"), None));
}

#[test]
fn states_are_read_and_what_is_new_leaves_an_order_open() {
    let state = |status: &str| map::report(&shown(status), sample::ticket().id, DateTime::UNIX_EPOCH).state;
    for open in [
        "NEW",
        "PENDING_ACTIVATION",
        "QUEUED",
        "AWAITING_STOP_CONDITION",
        "PENDING_CANCEL",
        "UNKNOWN",
        "FRESH",
    ] {
        assert_eq!(state(open), ReportedState::Open, "{open}");
    }
    for (word, expected) in [
        ("FILLED", ReportedState::Filled),
        ("CANCELED", ReportedState::Canceled),
        ("REPLACED", ReportedState::Canceled),
        ("EXPIRED", ReportedState::Expired),
    ] {
        assert_eq!(state(word), expected);
    }
    let rejected = |why: &str| {
        let order = wire::Order { status_description: Some(why.to_owned()), ..shown("REJECTED") };
        match map::report(&order, sample::ticket().id, DateTime::UNIX_EPOCH).state {
            ReportedState::Rejected(refusal) => refusal.code,
            other => panic!("{other:?}"),
        }
    };
    let funds = "You do not have enough available cash/buying power for this order.";
    assert_eq!(rejected(funds), RefusalCode::InsufficientFunds);
    assert_eq!(rejected("This order may result in an oversold position."), RefusalCode::OrderRejected);
}

#[test]
fn an_order_is_known_again_by_all_that_it_is() {
    let ticket = order(OrderKind::Limit { limit: price("190.50") });
    let since = time("2024-06-06T13:46:03.900Z");
    let fits = |ticket: &Ticket, text: &str| {
        map::words(ticket).unwrap().fits(&serde_json::from_str(text).unwrap(), since)
    };
    assert!(fits(&ticket, SHOWN));
    for (is, other) in [
        ("\"AAPL\"", "\"MSFT\""),
        ("\"BUY\"", "\"SELL\""),
        ("\"OPENING\",\"quantity\":10.0", "\"OPENING\",\"quantity\":11.0"),
        ("\"price\":190.5,", "\"price\":190.51,"),
        ("\"price\":190.5,", ""),
        ("\"LIMIT\"", "\"LIMIT_ON_CLOSE\""),
        ("\"DAY\"", "\"GOOD_TILL_CANCEL\""),
        ("13:46:03+0000", "13:46:02+0000"),
        ("\"enteredTime\"", "\"time\""),
    ] {
        let changed = SHOWN.replace(is, other);
        assert!(changed != SHOWN && !fits(&ticket, &changed), "{is} {other}");
    }
    let stop = order(OrderKind::Stop { trigger: price("190.50") });
    assert!(!fits(&stop, SHOWN));
    assert!(fits(
        &stop,
        &SHOWN.replace("\"LIMIT\"", "\"STOP\"").replace("\"price\":190.5,", "\"stopPrice\":190.50,")
    ));
}

#[test]
fn no_order_there_is_two_of_ours() {
    let ledger = Ledger::default();
    let (one, two) = (another(1), another(2));
    let words = map::words(&sample::ticket()).unwrap();
    let now = DateTime::UNIX_EPOCH;
    let begin = |ours| ledger.begin("A", ours, words.clone(), now);
    assert_eq!((begin(one), begin(one)), (Before::Unsent, Before::InDoubt));
    assert!(!ledger.has_twin("A", one, &words, now));
    assert_eq!(begin(two), Before::Unsent);
    assert!(ledger.has_twin("A", one, &words, now), "which of them is found, nobody knows");
    assert!(!ledger.has_twin("A", one, &words, now + SKEW), "that was long ago");
    ledger.undo("A", two);
    assert!(!ledger.has_twin("A", one, &words, now));
    assert!(ledger.claim("A", 7, one, now) && ledger.claim("A", 7, one, now));
    assert!(!ledger.claim("A", 7, two, now));
    assert_eq!(
        (ledger.theirs("A", one), ledger.theirs("B", one), begin(one)),
        (Some(7), None, Before::There(7))
    );
    assert_eq!(ledger.open_since("A"), Some(now));
    ledger.note("A", 7, false);
    assert_eq!(ledger.open_since("A"), None);
}

#[test]
fn accounts_that_borrow_and_those_that_do_not_are_read() {
    let read = |balances: &str, positions: &str| {
        let text = format!(r#"{{"type":"MARGIN","currentBalances":{balances}{positions}}}"#);
        map::holdings(&serde_json::from_str(&text).unwrap())
    };
    let positions = r#","positions":[
        {"shortQuantity":0.0,"longQuantity":10.0,"averagePrice":190.1,"instrument":{"assetType":"EQUITY","symbol":"AAPL"}},
        {"shortQuantity":3.0,"longQuantity":0.0,"instrument":{"assetType":"COLLECTIVE_INVESTMENT","symbol":"SPY"}},
        {"shortQuantity":0.0,"longQuantity":1.0,"instrument":{"assetType":"OPTION","symbol":"AAPL  240621C00200000"}}]"#;
    let margin =
        r#"{"cashBalance":25000.5,"liquidationValue":26010.1,"buyingPower":50000.0,"isInCall":false}"#;
    let held = read(margin, positions).unwrap();
    assert_eq!((held.cash, held.free, held.equity), (dec("25000.5"), dec("50000"), Some(dec("26010.1"))));
    let units: Vec<_> =
        held.units.iter().map(|unit| (unit.symbol.to_string(), unit.net, unit.average)).collect();
    assert_eq!(
        units,
        [("AAPL".to_owned(), dec("10"), Some(price("190.1"))), ("SPY".to_owned(), dec("-3"), None)]
    );
    let cash = r#"{"totalCash":900.0,"cashAvailableForTrading":800.0,"liquidationValue":1000.0}"#;
    let held = read(cash, "").unwrap();
    assert_eq!((held.cash, held.free, held.units.len()), (dec("900"), dec("800"), 0));
    assert!(read("{}", "").is_none());
}

#[test]
fn only_prices_of_now_are_prices() {
    let quotes = r#"{"AAPL":{"assetMainType":"EQUITY","realtime":true,"quote":{"bidPrice":190.5,"askPrice":190.52,
        "lastPrice":190.51}},"OLD":{"assetMainType":"EQUITY","realtime":false,"quote":{"bidPrice":1,"askPrice":2}},
        "NIGHT":{"assetMainType":"EQUITY","realtime":true,"quote":{"bidPrice":0.0,"askPrice":0.0,"lastPrice":0.52}},
        "FUND":{"assetMainType":"MUTUAL_FUND","quote":{}},"errors":{"invalidSymbols":["ZZZZ"]}}"#;
    let all: wire::Quotes = serde_json::from_str(quotes).unwrap();
    let prices: Vec<_> = map::quoted(&all)
        .map(|(symbol, told)| {
            let quote = map::price(symbol, &told, DateTime::UNIX_EPOCH);
            let rules = map::instrument(symbol, &told).unwrap();
            (
                symbol.to_string(),
                quote.map(|quote| (quote.bid.get(), quote.ask.get(), quote.price.get())),
                rules.tick,
            )
        })
        .collect();
    assert_eq!(
        prices,
        [
            ("AAPL".to_owned(), Some((dec("190.5"), dec("190.52"), dec("190.51"))), price("0.01")),
            ("NIGHT".to_owned(), Some((dec("0.52"), dec("0.52"), dec("0.52"))), price("0.0001")),
            ("OLD".to_owned(), None, price("0.01")),
        ]
    );
}

#[test]
fn errors_are_told_apart_by_what_may_be_done_next() {
    let of = |call: &Call, status: u16, body: &str| {
        let reply = Reply { status, headers: HeaderMap::new(), body: body.as_bytes().to_vec() };
        errors::judge(call, &reply).unwrap_err()
    };
    let refused = |verdict: Verdict| match verdict {
        Verdict::Refused(refusal) => (refusal.code, refusal.message),
        other => panic!("{other:?}"),
    };
    let (place, ask) = (Call::post("/orders"), Call::get("/orders/1"));
    let (cancel, login) = (Call::new(Method::DELETE, "/orders/1"), Call::post("/token").logging_in());
    let dead = r#"{"error":"unsupported_token_type","error_description":"400 Bad Request: refresh_token_authentication_error"}"#;
    let gateway =
        r#"{"errors":[{"id":"1","status":"401","title":"Unauthorized","detail":"Client not authorized"}]}"#;
    for (call, status, body) in [
        (&login, 400, dead),
        (&place, 401, gateway),
        (&ask, 403, "<html>Access Denied</html>"),
        (&login, 401, ""),
    ] {
        let (code, why) = refused(of(call, status, body));
        assert_eq!(code, RefusalCode::AuthFailed);
        assert!(why.contains("log in at Schwab again"), "{why}");
    }
    let (_, why) = refused(of(&login, 401, r#"{"error":"invalid_client"}"#));
    assert!(why.contains("operator"), "{why}");
    let symbol = r#"{"message":"A validation error occurred.","errors":["Invalid symbol: ZZZZ"]}"#;
    let (code, why) = refused(of(&place, 400, symbol));
    assert!(code == RefusalCode::InvalidSymbol && why.contains("Invalid symbol: ZZZZ"), "{why}");
    let other = r#"{"message":"requestedDestination is not allowed","errors":[]}"#;
    assert_eq!(refused(of(&place, 400, other)).0, RefusalCode::OrderRejected);
    assert_eq!(of(&ask, 404, r#"{"message":"Order not found"}"#), Verdict::Missing);
    assert_eq!(of(&cancel, 404, ""), Verdict::Missing);
    assert_eq!(of(&cancel, 400, r#"{"message":"too late"}"#), Verdict::Ended);
    assert_eq!(of(&place, 429, ""), Verdict::Slow(Duration::from_secs(60)));
    for (status, body) in [
        (500, "<html>Whitelabel</html>"),
        (503, ""),
        (400, "<html>"),
        (400, r#"{"message":"request timed out"}"#),
        (408, ""),
    ] {
        assert!(matches!(of(&place, status, body), Verdict::Lost(_)), "{status} {body}");
    }
}

#[test]
fn the_streamer_is_logged_in_to_first_and_its_news_are_reasons_to_look() {
    let ours = sample::ticket().id;
    let mut ear = Ear::default();
    let mut hear = |frame: &str| {
        let customer = |correl: &str| (correl == "corr").then(|| "cust".to_owned());
        stream::hear(&mut ear, frame, customer, |account, id| {
            (account == "12345678" && id == 1_000_123).then_some(ours)
        })
    };
    let answer = |service: &str, command: &str, code: i64| {
        json!({"response": [{"service": service, "command": command, "requestid": "1", "SchwabClientCorrelId": "corr",
            "timestamp": 1_717_681_563_000_i64, "content": {"code": code, "msg": "said"}}]})
        .to_string()
    };
    let [Heard::Reply(subscription)] = &hear(&answer("ADMIN", "LOGIN", 0))[..] else { panic!() };
    let said: Value = serde_json::from_str(subscription).unwrap();
    let request = &said["requests"][0];
    assert_eq!((&request["service"], &request["command"]), (&json!("ACCT_ACTIVITY"), &json!("SUBS")));
    assert_eq!(
        (&request["SchwabClientCustomerId"], &request["SchwabClientCorrelId"]),
        (&json!("cust"), &json!("corr"))
    );
    assert_eq!(hear(&answer("ADMIN", "LOGIN", 3)), [Heard::Refused]);
    assert_eq!(hear(&answer("ACCT_ACTIVITY", "SUBS", 0)), [Heard::Ready]);
    assert!(matches!(hear(&answer("ACCT_ACTIVITY", "SUBS", 22))[..], [Heard::Over(_)]));
    assert_eq!(hear(r#"{"notify":[{"heartbeat":"1717681563000"}]}"#), []);
    let closed =
        r#"{"notify":[{"service":"ADMIN","timestamp":1,"content":{"code":12,"msg":"another connection"}}]}"#;
    assert!(matches!(hear(closed)[..], [Heard::Over(_)]));

    let mut news = |seq: u64, account: &str, what: &str, payload: &str| {
        let entry = json!({"seq": seq, "key": "orders", "1": account, "2": what, "3": payload});
        hear(
            &json!({"data": [{"service": "ACCT_ACTIVITY", "command": "SUBS", "content": [entry]}]})
                .to_string(),
        )
    };
    let payload = r#"{"SchwabOrderID":"1000123","AccountNumber":"12345678","BaseEvent":{"EventType":"OrderFillCompleted"}}"#;
    assert_eq!(news(0, "12345678", "SUBSCRIBED", ""), []);
    assert_eq!(news(1, "12345678", "OrderAccepted", payload), []);
    assert_eq!(news(2, "12345678", "OrderFillCompleted", payload), [Heard::Changed(ours)]);
    assert_eq!(news(2, "12345678", "OrderFillCompleted", payload), [], "it was told before");
    assert_eq!(news(3, "12345678", "SomethingNew", payload), [Heard::Changed(ours)]);
    assert_eq!(news(4, "87654321", "OrderFillCompleted", payload), [], "somebody else's");
    assert_eq!(news(5, "12345678", "OrderFillCompleted", "not json"), [Heard::Gap]);
    assert_eq!(hear("not json"), [Heard::Gap]);
}

#[test]
fn the_token_of_a_stream_is_not_shown() {
    let streamer = wire::Streamer {
        streamer_socket_url: "wss://streamer-api.schwab.com/ws".to_owned(),
        schwab_client_customer_id: "cust".to_owned(),
        schwab_client_correl_id: "corr".to_owned(),
        schwab_client_channel: "N9".to_owned(),
        schwab_client_function_id: "APIAPP".to_owned(),
    };
    let opening =
        stream::opening(streamer.streamer_socket_url.parse().unwrap(), &streamer, &"hunter2".into());
    assert!(opening.greeting[0].contains(r#""Authorization":"hunter2""#), "{}", opening.greeting[0]);
    assert!(!format!("{opening:?}").contains("hunter2"));
}
