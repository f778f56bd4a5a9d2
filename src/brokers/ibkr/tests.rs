//! The gateway's words, as the documentation and recorded traffic have them.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::Value;

use trade_actors::domain::money::{Percent, Price, Quantity};
use trade_actors::domain::order::{Ticket, TimeInForce};
use trade_actors::domain::report::{OrderReport, RefusalCode, ReportedState};
use trade_actors::domain::signal::{OrderKind, Side, Trail};

use super::errors::{self, Said};
use super::*;
use crate::brokers::sample;

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn price(text: &str) -> Price {
    Price::new(dec(text)).unwrap()
}

fn order(kind: OrderKind) -> Ticket {
    let quantity = Quantity::new(dec("10")).unwrap();
    Ticket { symbol: "AAPL".parse().unwrap(), quantity, kind, ..sample::ticket() }
}

/// Thursday, the sixth of June 2024, 14:00 in New York.
fn open_hours() -> DateTime<Utc> {
    "2024-06-06T18:00:00Z".parse().unwrap()
}

fn words(ticket: &Ticket) -> String {
    let order = map::new_order(ticket, 265_598, "DU123").unwrap();
    serde_json::to_string(&order).unwrap().replace(&ticket.id.to_string(), "ID")
}

#[test]
fn every_kind_of_order_is_written_as_documented_with_numbers_that_are_numbers() {
    let (trigger, limit) = (price("180.50"), price("180"));
    let begin = r#"{"acctId":"DU123","conid":265598,"secType":"265598:STK","cOID":"ID","orderType":"#;
    for (kind, name, end) in [
        (OrderKind::Market, "MKT", ""),
        (OrderKind::Limit { limit }, "LMT", r#","price":180"#),
        (OrderKind::Stop { trigger }, "STP", r#","price":180.5"#),
        (OrderKind::StopLimit { trigger, limit }, "STOP_LIMIT", r#","price":180,"auxPrice":180.5"#),
        (
            OrderKind::TrailingStop { trail: Trail::Percent(Percent::new(dec("1.5"))) },
            "TRAIL",
            r#","trailingType":"%","trailingAmt":1.5"#,
        ),
        (
            OrderKind::TrailingStop { trail: Trail::Amount(price("3")) },
            "TRAIL",
            r#","trailingType":"amt","trailingAmt":3"#,
        ),
    ] {
        let ticket = Ticket { time_in_force: TimeInForce::Gtc, side: Side::Buy, ..order(kind) };
        let expected = format!(r#"{begin}"{name}","side":"BUY","tif":"GTC","quantity":10{end}}}"#);
        assert_eq!(words(&ticket), expected);
    }
    let late = Ticket { extended_hours: true, ..order(OrderKind::Limit { limit }) };
    assert!(words(&late).ends_with(r#""outsideRTH":true}"#));
    let late = Ticket { extended_hours: true, ..order(OrderKind::Stop { trigger }) };
    assert!(!words(&late).contains("outsideRTH"), "it is refused for a stop");
}

#[test]
fn what_it_has_not_is_refused_by_name() {
    let oco = OrderKind::Oco { limit: price("2"), trigger: price("1") };
    let half = Ticket { quantity: Quantity::new(dec("0.5")).unwrap(), ..order(OrderKind::Market) };
    let at_once = Ticket { time_in_force: TimeInForce::Fok, ..order(OrderKind::Market) };
    for ticket in [order(oco), half, at_once] {
        let Err(Verdict::Refused(refusal)) = map::new_order(&ticket, 1, "DU1") else { panic!("{ticket:?}") };
        assert!(refusal.message.contains("Nothing was sent."), "{}", refusal.message);
    }
    let venue = Ibkr::default();
    assert!(!venue.holds("AAPL".parse().unwrap(), oco));
    assert!(venue.holds("AAPL".parse().unwrap(), OrderKind::Stop { trigger: price("1") }));
}

#[test]
fn only_questions_that_are_known_are_answered_with_yes() {
    let ids = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let entry = Ticket { reduces: false, ..order(OrderKind::Market) };
    let exit = Ticket { reduces: true, ..entry.clone() };
    assert!(map::may_confirm(&ids("o163 o10151"), &entry));
    for asked in ["o383", "o354", "o163 o451"] {
        assert!(!map::may_confirm(&ids(asked), &entry), "{asked}");
        assert!(map::may_confirm(&ids(asked), &exit), "{asked}: nobody is kept in a position");
    }
    for asked in ["o999", "p12", "o163 o999"] {
        assert!(!map::may_confirm(&ids(asked), &exit), "{asked}");
    }
    assert!(!map::may_confirm(&[], &exit));
}

#[test]
fn the_listing_in_the_united_states_is_traded() {
    let told = r#"[{"name":"APPLE INC","assetClass":"STK","contracts":[{"conid":38708077,"exchange":"MEXI","isUS":false},
        {"conid":265598,"exchange":"NASDAQ","isUS":true}]}]"#;
    let companies: Vec<wire::Stock> = serde_json::from_str(told).unwrap();
    assert_eq!(map::conid(&companies), Some(265_598));
    assert_eq!(map::conid(&[]), None);
    assert_eq!(map::theirs("BRK.B".parse().unwrap()).as_deref(), Some("BRK B"));
    assert_eq!(map::ours("BRK B"), Some("BRK.B".parse().unwrap()));
    assert_eq!(map::theirs("BTC/USD".parse().unwrap()), None);
}

#[test]
fn prices_are_text_with_marks_and_delayed_ones_are_none() {
    let read = |json: &str| {
        let told: wire::Snapshot = serde_json::from_str(json).unwrap();
        map::price("AAPL".parse().unwrap(), &told, open_hours()).map(|quote| quote.price.to_string())
    };
    let line =
        r#"{"conid":265598,"_updated":1717681563000,"6509":"RpB","31":"190.51","84":"190.50","86":"190.52"}"#;
    assert_eq!(read(line).as_deref(), Some("190.51"));
    assert_eq!(read(&line.replace("RpB", "DPB")), None);
    assert_eq!(read(&line.replace("RpB", "NpB")), None);
    assert_eq!(read(r#"{"conid":265598,"conidEx":"265598"}"#), None, "it only begins to be known");
    assert_eq!(read(r#"{"conid":1,"6509":"ZB","31":"C1,190.51"}"#).as_deref(), Some("1190.51"));
}

fn said(method: Method, path: &str, status: u16, body: &str) -> Result<(), Said> {
    let headers = reqwest::header::HeaderMap::new();
    let reply = Reply { status, headers, body: body.as_bytes().to_vec() };
    errors::read(&Call::new(method, path), reply).map(drop)
}

fn of_order(status: u16, body: &str) -> Verdict {
    match said(Method::POST, "/iserver/account/DU1/orders", status, body) {
        Err(Said::No(verdict)) => verdict,
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn an_error_about_an_order_is_final_only_where_that_is_documented() {
    use RefusalCode as C;
    for (status, error, expected) in [
        (200, "We cannot accept an order at the limit price of 1.00", C::OrderRejected),
        (
            200,
            "YOUR ORDER IS NOT ACCEPTED. Your Available Funds are insufficient to cover",
            C::InsufficientFunds,
        ),
        (200, "Equity with Loan Value [1 USD] is less than the Initial Margin [2 USD]", C::InsufficientFunds),
        (400, "No trading permissions.", C::OrderRejected),
    ] {
        let verdict = of_order(status, &format!(r#"{{"error":"{error}"}}"#));
        let Verdict::Refused(refusal) = verdict else { panic!("{error}: {verdict:?}") };
        assert_eq!(refusal.code, expected, "{error}");
        assert!(refusal.message.contains("Nothing was bought or sold."), "{}", refusal.message);
    }
    let taken = r#"{"error":"Order couldn't be submitted: Local order ID=svc-1 is already registered."}"#;
    assert_eq!((of_order(200, taken), of_order(400, taken)), (Verdict::Exists, Verdict::Exists));
    for status in [400, 503] {
        let gone = of_order(status, r#"{"error":"reply id not found: '07a13a5a'"}"#);
        assert!(matches!(gone, Verdict::Unsent { .. }), "{gone:?}");
    }
    for (status, body) in [
        (401, r#"{"error":"not authenticated","statusCode":401}"#),
        (500, r#"{"error":"Internal Server Error"}"#),
        (503, "<html>"),
        (200, r#"{"error":"request timed out"}"#),
        (400, ""),
    ] {
        assert!(matches!(of_order(status, body), Verdict::Lost(_)), "{status} {body}");
    }
    let no_bridge = r#"{"error":"Bad Request: no bridge","statusCode":400}"#;
    assert_eq!(said(Method::POST, "/iserver/account/DU1/orders", 400, no_bridge), Err(Said::NoSession));
    assert_eq!(said(Method::POST, "/iserver/account/DU1/orders", 200, r#"[{"order_id":"1"}]"#), Ok(()));
}

#[test]
fn an_error_about_a_question_is_told_by_its_words() {
    let of_one = "/iserver/account/order/status/1";
    assert_eq!(said(Method::GET, of_one, 503, ""), Err(Said::No(Verdict::Missing)), "too old to be told");
    let missing = r#"{"error":"OrderID 1 doesn't exist"}"#;
    assert_eq!(
        said(Method::DELETE, "/iserver/account/DU1/order/1", 200, missing),
        Err(Said::No(Verdict::Missing))
    );
    assert_eq!(
        said(Method::GET, "/iserver/account/orders", 500, r#"{"error":"Please query /accounts first"}"#),
        Err(Said::NoSession)
    );
    let Err(Said::No(gone)) = said(Method::GET, "/iserver/accounts", 401, "") else { panic!() };
    assert!(gone.is_of_credentials());
    let lost = said(Method::GET, "/iserver/account/orders", 503, "");
    assert!(matches!(lost, Err(Said::No(Verdict::Lost(_)))), "it proves nothing");
    assert_eq!(said(Method::POST, "/iserver/account/DU1/orders/whatif", 200, r#"{"error":null}"#), Ok(()));
}

#[test]
fn a_status_is_read_with_what_else_is_known() {
    let at = open_hours();
    let closed = at + TimeDelta::hours(8);
    let of = |status: &str, is_day, at, by_us| map::stands(status, status, is_day, at, by_us);
    let so = |state| Stands::So(state);
    for status in ["PendingSubmit", "PreSubmitted", "Submitted", "PendingCancel", "PreCancelled", "New word"]
    {
        assert_eq!(of(status, true, at, false), so(ReportedState::Open), "{status}");
    }
    assert_eq!(of("Filled", true, at, false), so(ReportedState::Filled));
    assert_eq!(of("Cancelled", true, at, false), so(ReportedState::Canceled));
    assert_eq!(of("Cancelled", true, closed, false), so(ReportedState::Expired), "its day is over");
    assert_eq!(of("Cancelled", true, closed, true), so(ReportedState::Canceled));
    assert_eq!(of("Cancelled", false, closed, false), so(ReportedState::Canceled));
    assert_eq!(of("Inactive", true, at, false), Stands::Perhaps);
    assert_eq!(map::stands("Inactive", "Pending Submit", true, at, false), so(ReportedState::Open));
}

#[test]
fn an_inactive_order_is_refused_in_the_words_of_its_state() {
    let ticket = order(OrderKind::Market);
    let told = r#"{"order_id":987654,"conid":265598,"symbol":"AAPL","side":"B","total_size":"10.0","cum_fill":"0.0",
        "order_status":"Inactive","order_status_description":"Available Funds are insufficient","average_price":"","tif":"DAY"}"#;
    let told: wire::One = serde_json::from_str(told).unwrap();
    let report = map::one(&told, ticket.id, false, open_hours());
    let ReportedState::Rejected(refusal) = report.state else { panic!("{:?}", report.state) };
    assert_eq!((refusal.code, report.broker_order.as_str()), (RefusalCode::InsufficientFunds, "987654"));
    assert!(refusal.message.contains("Available Funds are insufficient"), "{}", refusal.message);
}

#[test]
fn what_traded_on_an_earlier_day_is_found_by_its_executions() {
    let ticket = order(OrderKind::Market);
    let told = r#"[{"execution_id":"0000e0d5.1","order_ref":"ID","order_id":987654,"symbol":"AAPL","side":"B","size":4.0,
        "price":"190.50","commission":"1.0","trade_time_r":1717681563000,"conid":265598,"account":"DU123"},
        {"execution_id":"0000e0d5.2","order_ref":"ID","order_id":987654,"size":6,"price":190.6,"commission":"1.0"},
        {"execution_id":"x","order_ref":"other","order_id":1,"size":6,"price":190.6}]"#;
    let told: Vec<wire::Trade> = serde_json::from_str(&told.replace("ID", &ticket.id.to_string())).unwrap();
    let report = map::from_trades(&ticket, &told, open_hours()).unwrap();
    assert_eq!((report.state, report.fills.len()), (ReportedState::Filled, 2));
    assert_eq!(report.done.unwrap().price, Some(price("190.56")));
    let part = map::from_trades(&ticket, &told[..1], open_hours()).unwrap();
    assert_ne!(part.state, ReportedState::Filled);
    assert_eq!(map::from_trades(&ticket, &told[2..], open_hours()), None);
}

/// Feeds frames to a stream's reader, and returns what was heard.
fn hear(ear: &mut Ear, frames: &[Value]) -> Vec<Heard> {
    let venue = Ibkr::default();
    frames.iter().flat_map(|frame| venue.hear(ear, &frame.to_string(), open_hours())).collect()
}

fn reports(heard: &[Heard]) -> Vec<&OrderReport> {
    fn report(heard: &Heard) -> Option<&OrderReport> {
        if let Heard::Report(report) = heard { Some(report) } else { None }
    }
    heard.iter().filter_map(report).collect()
}

#[test]
fn sparse_news_are_put_together_and_executions_counted_once() {
    let id = order(OrderKind::Market).id.to_string();
    let mut ear = Ear::default();
    let sor = |news: Value| json!({"topic": "sor", "args": [news]});
    let trade = |execution: &str, size: f64, commission: Option<&str>| {
        let mut news = json!({"execution_id": execution, "order_ref": id, "order_id": 987654, "symbol": "AAPL",
            "side": "B", "size": size, "price": "190.50", "trade_time_r": 1_717_681_563_000_i64});
        if let Some(commission) = commission {
            news["commission"] = json!(commission);
        }
        json!({"topic": "str", "args": [news]})
    };
    let new =
        sor(json!({"acct": "DU1", "conid": 1, "orderId": 987654, "order_ref": id, "status": "Submitted",
        "filledQuantity": 0.0, "totalSize": 10.0, "timeInForce": "CLOSE"}));
    let heard = hear(&mut ear, &[new]);
    assert_eq!(reports(&heard)[0].state, ReportedState::Open);
    // The total comes first, then the execution, then its commission: told once, with all of it.
    let part = sor(
        json!({"acct": "DU1", "conid": 1, "orderId": 987654, "filledQuantity": 4.0, "avgPrice": "190.5"}),
    );
    assert_eq!(hear(&mut ear, &[part, trade("e1", 4.0, None)]), []);
    let heard = hear(&mut ear, &[trade("e1", 4.0, Some("1.0")), trade("e1", 4.0, Some("1.0"))]);
    let told = reports(&heard);
    assert_eq!((heard.len(), told[0].fills.len()), (1, 1));
    assert_eq!((told[0].fills[0].fee.get(), told[0].done.unwrap().quantity.get()), (dec("1.0"), dec("4.0")));
    // The execution first.
    let rest = sor(
        json!({"acct": "DU1", "orderId": 987654, "status": "Filled", "filledQuantity": 10.0, "avgPrice": 190.5}),
    );
    let heard = hear(&mut ear, &[trade("e2", 6.0, Some("1.0")), rest]);
    let told = reports(&heard);
    assert_eq!((told.len(), &told[0].state, told[0].fills.len()), (1, &ReportedState::Filled, 2));
}

#[test]
fn a_total_whose_executions_do_not_come_is_told_by_the_next_heartbeat() {
    let id = order(OrderKind::Market).id.to_string();
    let mut ear = Ear::default();
    let filled = json!({"topic": "sor", "args": [{"orderId": 5, "order_ref": id, "status": "Filled",
        "filledQuantity": 10.0, "avgPrice": "190.5"}]});
    assert_eq!(hear(&mut ear, &[filled]), []);
    let beat = json!({"topic": "system", "hb": 1_717_681_563_000_i64});
    let heard = hear(&mut ear, &[beat.clone(), beat]);
    let told = reports(&heard);
    assert_eq!((told.len(), told[0].fills.len(), told[0].done.unwrap().quantity.get()), (1, 0, dec("10")));
}

#[test]
fn the_stream_says_how_its_session_stands() {
    let mut ear = Ear::default();
    let status = |authenticated: bool| json!({"topic": "sts", "args": {"authenticated": authenticated, "competing": false}});
    assert_eq!(
        hear(&mut ear, &[json!({"topic": "system", "success": "user"}), status(true)]),
        [Heard::Ready]
    );
    assert!(matches!(hear(&mut ear, &[status(false)])[..], [Heard::Over(_)]));
    assert!(matches!(hear(&mut ear, &[json!({"message": "waiting for session"})])[..], [Heard::Over(_)]));
    let refused = json!({"error": "no bridge", "code": 400, "topic": "sor"});
    assert!(matches!(hear(&mut ear, &[refused])[..], [Heard::Over(_)]));
    let inactive = json!({"topic": "sor", "args": [{"orderId": 5, "order_ref": order(OrderKind::Market).id.to_string(),
        "status": "Inactive", "order_ccp_status": "Inactive", "filledQuantity": 0.0}]});
    assert_eq!(hear(&mut ear, &[inactive]), [Heard::Gap], "its own state says why");
    let others =
        json!({"topic": "sor", "args": [{"orderId": 6, "order_ref": "by-hand", "status": "Filled"}]});
    assert_eq!(hear(&mut ear, &[others]), []);
}
