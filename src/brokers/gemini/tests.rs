use secrecy::SecretString;
use trade_actors::domain::money::Quantity;
use trade_actors::domain::order::TimeInForce;
use trade_actors::domain::report::ReportedState;
use trade_actors::domain::signal::Trail;

use super::*;
use crate::brokers::sample;
use crate::brokers::venue::mac;

const SECRET: &str = "1234abcd";

fn auth(key: &str) -> Auth {
    Auth::ApiKey { key_id: SecretString::from(key.to_owned()), secret: SECRET.into() }
}

fn moment() -> Moment {
    Moment { at: DateTime::from_timestamp(1_700_000_000, 500).unwrap(), nonce: 7, host: String::new() }
}

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn price(text: &str) -> Price {
    Price::new(dec(text)).unwrap()
}

fn gemini() -> Gemini {
    Gemini { settlement: "USD".to_owned() }
}

fn btc() -> Symbol {
    "BTC/USD".parse().unwrap()
}

/// The vector that Gemini publishes, and two more of the same secret.
#[test]
fn the_published_signatures_hold() {
    let signed = |text: &str| sign::signature(SECRET, text);
    let pretty =
        "{\n    \"request\": \"/v1/order/status\",\n    \"nonce\": 123456,\n\n    \"order_id\": 18834\n}\n";
    assert_eq!(
        signed(pretty),
        (
            "ewogICAgInJlcXVlc3QiOiAiL3YxL29yZGVyL3N0YXR1cyIsCiAgICAibm9uY2UiOiAxMjM0NTYsCgogICAgIm9yZGVyX2lkIjogMTg4MzQK\
             fQo="
                .to_owned(),
            "337cc8b4ea692cfe65b4a85fcc9f042b2e3f702ac956fd098d600ab15705775017beae402be773ceee10719ff70d710f"
                .to_owned()
        )
    );
    let compact = sign::payload("/v1/order/status", "1000000000001", Some(r#"{"order_id":18834}"#));
    assert_eq!(
        signed(&compact),
        (
            "eyJyZXF1ZXN0IjoiL3YxL29yZGVyL3N0YXR1cyIsIm5vbmNlIjoxMDAwMDAwMDAwMDAxLCJvcmRlcl9pZCI6MTg4MzR9"
                .to_owned(),
            "54b3f0b9f8a37fa7c0688cca5706c3808938d74d6d92bc7517213d1a57758721b4863620c2eda569da975cf24ae0fe1c"
                .to_owned()
        )
    );
    let headers = sign::handshake(Some(&auth("account-mykey")), &moment()).unwrap();
    assert_eq!(headers["x-gemini-nonce"], "1700000000");
    assert_eq!(headers["x-gemini-payload"], "MTcwMDAwMDAwMA==");
    assert_eq!(
        headers["x-gemini-signature"],
        "50924a1d155e25cc9447e50c0f37153f04a769c4be129ffb82b43b32801155077ad508e2a14afa9e7af08d242f3abf94"
    );
}

#[test]
fn all_of_a_request_is_in_its_headers() {
    let call = telling("/v1/orders").with_json(&json!({"a": true}));
    let sent = sign::request(Some(&auth("account-mykey")), &call, &moment()).unwrap();
    assert_eq!((sent.target.as_str(), sent.body.len()), ("/v1/orders", 0));
    let payload = mac::unbase64(sent.headers["x-gemini-payload"].to_str().unwrap()).unwrap();
    assert_eq!(payload.as_slice(), br#"{"request":"/v1/orders","nonce":1700000000,"a":true}"#);
    assert_eq!(sent.headers["content-length"], "0");
    assert_eq!(sent.headers["content-type"], "text/plain");
    assert!(!format!("{sent:?}").contains("mykey"));
    let bare =
        sign::request(Some(&auth("k")), &telling("/v1/roles").with(sign::NONCE, 5), &moment()).unwrap();
    let payload = mac::unbase64(bare.headers["x-gemini-payload"].to_str().unwrap()).unwrap();
    assert_eq!(payload.as_slice(), br#"{"request":"/v1/roles","nonce":5}"#);
    assert!(sign::request(Some(&Auth::OAuth { access_token: "t".into() }), &call, &moment()).is_none());
}

#[test]
fn symbols_are_theirs_where_they_trade_against_our_money() {
    assert_eq!(map::theirs(btc(), "USD").as_deref(), Some("btcusd"));
    assert_eq!(map::theirs("BTC/GUSD".parse().unwrap(), "USD"), None);
    assert_eq!(map::theirs("BTC/GUSD".parse().unwrap(), "GUSD").as_deref(), Some("btcgusd"));
    let wish = gemini().wish(&[btc(), "BTC/EUR".parse().unwrap()], true);
    assert_eq!(wish, [r#"{"id":"prices","method":"subscribe","params":["btcusd@bookTicker"]}"#]);
    assert_eq!(gemini().wish(&["BTC/EUR".parse().unwrap()], false), [""; 0]);
}

fn order(kind: OrderKind) -> Ticket {
    let quantity = Quantity::new(dec("0.0100")).unwrap();
    Ticket { symbol: btc(), quantity, kind, ..sample::ticket() }
}

#[test]
fn every_kind_of_order_is_written_as_gemini_documents_it() {
    let limit = OrderKind::Limit { limit: price("60000.50") };
    let stop = OrderKind::StopLimit { trigger: price("61000"), limit: price("61100") };
    let words = |ticket: &Ticket, collar| {
        let mut words = map::new_order(ticket, "btcusd", collar).unwrap();
        for (name, value) in [
            ("client_order_id", ticket.id.to_string()),
            ("symbol", "btcusd".into()),
            ("amount", "0.01".into()),
        ] {
            assert_eq!(words.as_object_mut().unwrap().remove(name), Some(json!(value)));
        }
        words
    };
    assert_eq!(
        words(&order(limit), None),
        json!({"side": "buy", "type": "exchange limit", "price": "60000.5", "options": []})
    );
    assert_eq!(
        words(&order(stop), None),
        json!({"side": "buy", "type": "exchange stop limit", "price": "61100", "stop_price": "61000"})
    );
    let sale = Ticket { side: Side::Sell, ..order(OrderKind::Market) };
    assert_eq!(
        words(&sale, Some(price("58800"))),
        json!({"side": "sell", "type": "exchange limit", "price": "58800", "options": ["immediate-or-cancel"]})
    );
    for (duration, option) in [(TimeInForce::Ioc, "immediate-or-cancel"), (TimeInForce::Fok, "fill-or-kill")]
    {
        let ticket = Ticket { time_in_force: duration, ..order(limit) };
        assert_eq!(words(&ticket, None)["options"], json!([option]));
    }
}

#[test]
fn what_gemini_has_not_is_refused_by_name_and_not_held() {
    let stop = OrderKind::StopLimit { trigger: price("2"), limit: price("1") };
    let refused = |ticket: &Ticket| match map::new_order(ticket, "btcusd", None) {
        Err(Verdict::Refused(refusal)) => refusal.message,
        other => panic!("{other:?}"),
    };
    for (kind, name) in [
        (OrderKind::Stop { trigger: price("5") }, "no stop order that trades at any price"),
        (OrderKind::TrailingStop { trail: Trail::Amount(price("5")) }, "no trailing stop"),
        (OrderKind::TrailingStop { trail: Trail::Percent(Percent::new(dec("1"))) }, "no trailing stop"),
        (OrderKind::Oco { limit: price("2"), trigger: price("1") }, "no pair of orders"),
        (OrderKind::StopLimit { trigger: price("2"), limit: price("2") }, "no stop whose limit is the stop"),
    ] {
        let message = refused(&order(kind));
        assert!(message.contains(name) && message.contains("Nothing was sent."), "{message}");
        assert!(!gemini().holds(btc(), kind));
    }
    let at_once = Ticket { time_in_force: TimeInForce::Ioc, ..order(stop) };
    assert!(refused(&at_once).contains("no stop that ends at once"));
    for kind in [OrderKind::Market, OrderKind::Limit { limit: price("1") }, stop] {
        assert!(gemini().holds(btc(), kind));
    }
}

const DETAILS: &str = r#"{"symbol":"BTCUSD","base_currency":"BTC","quote_currency":"USD","tick_size":1E-8,
    "quote_increment":0.01,"min_order_size":"0.00001","status":"open","wrap_enabled":false,"product_type":"spot"}"#;

#[test]
fn the_tick_size_is_the_step_of_quantities() {
    let of = |text: &str| map::instrument(&serde_json::from_str(text).unwrap(), "USD");
    let rules = of(DETAILS).unwrap();
    assert_eq!(rules.symbol, btc());
    assert_eq!(
        (rules.tick.to_string(), rules.lot.to_string(), rules.size_step.to_string(), rules.tradable),
        ("0.01".to_owned(), "0.00000001".to_owned(), "0.00001".to_owned(), true)
    );
    assert!(!of(&DETAILS.replace("open", "cancel_only")).unwrap().tradable);
    assert!(of(&DETAILS.replace("open", "limit_only")).unwrap().tradable, "all our orders are");
    assert!(of(&DETAILS.replace("spot", "swap")).is_none());
    assert!(of(&DETAILS.replace(r#""USD""#, r#""GUSD""#)).is_none());
}

const ANSWER: &str = r#"{"order_id":"106817811","id":"106817811","symbol":"btcusd","exchange":"gemini",
    "avg_execution_price":"60000.00","side":"buy","type":"exchange limit","timestamp":"1767225600","timestampms":
    1767225600123,"is_live":true,"is_cancelled":false,"is_hidden":false,"was_forced":false,"executed_amount":"0.004",
    "client_order_id":"ID","options":[],"price":"60000.00","original_amount":"0.01","remaining_amount":"0.006","trades":[
    {"price":"60000.00","amount":"0.004","timestampms":1767225600124,"type":"Buy","aggressor":true,"fee_currency":"USD",
    "fee_amount":"0.96","tid":2840140956529623,"order_id":"106817811"}]}"#;

fn told(text: &str) -> Result<OrderReport, Verdict> {
    let ticket = order(OrderKind::Market);
    let told: wire::Order = serde_json::from_str(&text.replace("ID", &ticket.id.to_string())).unwrap();
    map::report(&told, &ticket, "USD", DateTime::UNIX_EPOCH)
}

#[test]
fn an_answer_tells_what_is_done_and_what_it_cost() {
    let report = told(ANSWER).unwrap();
    assert_eq!((report.broker_order.as_str(), &report.state), ("106817811", &ReportedState::Open));
    let fill = &report.fills[0];
    assert_eq!(
        (fill.execution.as_str(), fill.quantity.get(), fill.price, fill.fee.get(), fill.kept.get()),
        ("2840140956529623", dec("0.004"), price("60000.00"), dec("0.96"), dec("0"))
    );
    let done = report.done.unwrap();
    assert_eq!((done.quantity.get(), done.price), (dec("0.004"), Some(price("60000.00"))));
    let in_coins =
        ANSWER.replace(r#""fee_currency":"USD""#, r#""fee_currency":"BTC""#).replace("0.96", "0.00001");
    assert_eq!(told(&in_coins).unwrap().fills[0].kept.get(), dec("0.00001"));
    assert!(matches!(told(&ANSWER.replace("ID", "other")), Err(Verdict::Lost(_))), "it is another order");
    let other: wire::Order = serde_json::from_str(ANSWER).unwrap();
    assert_eq!(map::standing(&other, DateTime::UNIX_EPOCH), None, "somebody else placed it");
}

#[test]
fn flags_say_where_an_order_stands() {
    let over = ANSWER.replace(r#""is_live":true"#, r#""is_live":false"#);
    let state = |text: &str| told(text).unwrap().state;
    let filled = over.replace(r#""remaining_amount":"0.006""#, r#""remaining_amount":"0""#);
    assert_eq!(state(&filled), ReportedState::Filled);
    assert_eq!(
        state(&over.replace(r#""is_cancelled":false"#, r#""is_cancelled":true"#)),
        ReportedState::Canceled
    );
    assert_eq!(state(&over), ReportedState::Open, "a later look-up corrects it");
    let silent = over.replace(r#","remaining_amount":"0.006""#, "");
    assert_eq!(state(&silent), ReportedState::Open);
    let silent = silent.replace(r#""executed_amount":"0.004""#, r#""executed_amount":"0.01""#);
    assert_eq!(state(&silent), ReportedState::Filled);
}

fn hear(ear: &mut Ear, frame: &str) -> Vec<Heard> {
    let id = order(OrderKind::Market).id.to_string();
    map::heard(ear, &frame.replace("ID", &id), DateTime::UNIX_EPOCH)
}

fn reported(heard: Vec<Heard>) -> OrderReport {
    match <[Heard; 1]>::try_from(heard) {
        Ok([Heard::Report(report)]) => *report,
        other => panic!("{other:?}"),
    }
}

const EVENT: &str = r#"{"E":1767225600123000000,"s":"btcusd","i":73797746498585286,"c":"ID","S":"BUY","o":"LIMIT",
    "X":"PARTIALLY_FILLED","p":"60000.00","q":"0.01","z":"0.006","Z":"0.004","L":"60000.00","t":2840140956529623,
    "T":1767225600120000000}"#;
const REST: &str = r#"{"e":"orderUpdate","s":"btcusd","i":73797746498585286,"c":"ID","X":"FILLED","q":"0.01","Z":"0.006",
    "L":"60010.00","t":2840140956529624}"#;

#[test]
fn the_stream_tells_each_execution_and_the_sum_once() {
    let mut ear = Ear::default();
    let part = reported(hear(&mut ear, EVENT));
    assert_eq!((part.broker_order.as_str(), &part.state), ("73797746498585286", &ReportedState::Open));
    assert_eq!(
        (part.fills[0].execution.as_str(), part.fills[0].quantity.get()),
        ("2840140956529623", dec("0.004"))
    );
    assert_eq!(
        (part.done.unwrap().quantity.get(), part.done.unwrap().price),
        (dec("0.004"), Some(price("60000")))
    );
    assert_eq!(hear(&mut ear, EVENT), [], "it was told before");
    let rest = reported(hear(&mut ear, REST));
    assert_eq!((&rest.state, rest.fills[0].quantity.get()), (&ReportedState::Filled, dec("0.006")));
    assert_eq!(
        (rest.done.unwrap().quantity.get(), rest.done.unwrap().price),
        (dec("0.01"), Some(price("60006")))
    );
    assert!(ear.known.is_empty());
}

#[test]
fn what_does_not_continue_what_was_told_is_asked_for() {
    let mut ear = Ear::default();
    assert_eq!(hear(&mut ear, REST), [Heard::Gap], "the first part was never told");
    let canceled = EVENT.replace("PARTIALLY_FILLED", "CANCELED");
    assert_eq!(hear(&mut ear, &canceled), [Heard::Gap]);
    reported(hear(&mut ear, EVENT));
    let report = reported(hear(&mut ear, &canceled));
    assert_eq!((&report.state, report.fills.len()), (&ReportedState::Canceled, 0));
    assert_eq!(report.done.unwrap().quantity.get(), dec("0.004"));
    let untouched =
        r#"{"X":"CANCELED","i":1,"c":"ID","q":"0.01","z":"0.01","r":"ImmediateOrCancelWouldPost"}"#;
    assert_eq!(reported(hear(&mut ear, untouched)).state, ReportedState::Canceled);
    assert_eq!(hear(&mut ear, "not json"), [Heard::Gap]);
    assert_eq!(hear(&mut ear, r#"{"X":"OPEN","i":"text","c":"ID"}"#), [Heard::Gap]);
}

#[test]
fn the_stream_tells_refusals_and_its_own_state() {
    let mut ear = Ear::default();
    let rejected = r#"{"X":"REJECTED","i":1,"c":"ID","q":"0.01","z":"0.01","r":"InsufficientFunds"}"#;
    let ReportedState::Rejected(refusal) = reported(hear(&mut ear, rejected)).state else {
        panic!("not rejected")
    };
    assert_eq!(refusal.code, RefusalCode::InsufficientFunds);
    for word in ["NEW", "OPEN", "MODIFIED", "SOMETHING"] {
        let open = format!(r#"{{"X":"{word}","i":1,"c":"ID","q":"0.01","z":"0.01"}}"#);
        assert_eq!(reported(hear(&mut ear, &open)).state, ReportedState::Open);
    }
    assert_eq!(hear(&mut ear, &EVENT.replace("ID", "web_1")), [], "somebody else's order");
    assert_eq!(hear(&mut ear, r#"{"id":"orders","status":200,"result":{}}"#), [Heard::Ready]);
    assert_eq!(hear(&mut ear, r#"{"id":"ping","status":200,"result":{}}"#), []);
    let refused = r#"{"id":"orders","status":401,"error":{"code":-1002,"msg":"Authentication required"}}"#;
    assert_eq!(hear(&mut ear, refused), [Heard::Refused]);
    let over = r#"{"id":"orders","status":400,"error":{"code":-1,"msg":"no such stream"}}"#;
    assert_eq!(hear(&mut ear, over), [Heard::Over("no such stream".to_owned())]);
    assert_eq!(hear(&mut ear, r#"{"e":"balanceUpdate","E":1,"u":1,"B":[]}"#), []);
}

#[test]
fn errors_are_told_apart_by_what_may_be_done_next() {
    use RefusalCode as C;
    let of = |status: u16, body: &str| {
        let reply =
            Reply { status, headers: reqwest::header::HeaderMap::new(), body: body.as_bytes().to_vec() };
        errors::judge(&telling("/"), &reply).unwrap_err()
    };
    let reason = |reason: &str| json!({"result": "error", "reason": reason, "message": "words"}).to_string();
    for (word, expected) in [
        ("InvalidSignature", C::AuthFailed),
        ("InvalidApiKey", C::AuthFailed),
        ("MissingRole", C::AuthFailed),
        ("MissingApikeyHeader", C::AuthFailed),
        ("MissingPayloadHeader", C::AuthFailed),
        ("MissingSignatureHeader", C::AuthFailed),
        ("EndpointMismatch", C::AuthFailed),
        ("NoSSL", C::AuthFailed),
        ("InsufficientFunds", C::InsufficientFunds),
        ("InvalidSymbol", C::InvalidSymbol),
        ("UnknownInstrument", C::InvalidSymbol),
        ("MarketNotOpen", C::MarketClosed),
        ("InvalidPrice", C::OrderRejected),
        ("InvalidQuantity", C::OrderRejected),
        ("InvalidSide", C::OrderRejected),
        ("InvalidOrderType", C::OrderRejected),
        ("InvalidStopPrice", C::OrderRejected),
        ("LimitPriceOffTick", C::OrderRejected),
        ("InvalidTotalSpend", C::OrderRejected),
        ("InsufficientLiquidity", C::OrderRejected),
        ("ConflictingOptions", C::OrderRejected),
        ("UnsupportedOption", C::OrderRejected),
        ("ClientOrderIdTooLong", C::OrderRejected),
    ] {
        let verdict = of(400, &reason(word));
        let (Verdict::Refused(refusal) | Verdict::Halted(refusal)) = &verdict else {
            panic!("{word}: {verdict:?}")
        };
        assert_eq!(refusal.code, expected, "{word}");
        assert!(refusal.message.contains("words"), "{}", refusal.message);
        assert_eq!(matches!(verdict, Verdict::Halted(_)), word == "MarketNotOpen");
    }
    assert_eq!(of(400, &reason("InvalidNonce")), Verdict::Skewed);
    assert_eq!(of(404, &reason("OrderNotFound")), Verdict::Missing);
    assert_eq!(of(400, &reason("DuplicateOrder")), Verdict::Exists);
    assert_eq!(of(429, ""), Verdict::Slow(Duration::from_secs(10)));
    assert_eq!(of(400, &reason("RateLimit")), Verdict::Slow(Duration::from_secs(10)));
    assert!(of(403, "<html>").is_of_credentials());
    for (status, body) in [
        (503, reason("Maintenance")),
        (500, reason("System")),
        (502, String::new()),
        (408, reason("InvalidPrice")),
        (400, reason("SomethingNew")),
        (400, "<html>".to_owned()),
    ] {
        assert!(matches!(of(status, &body), Verdict::Lost(_)), "{status} {body}");
    }
}

#[test]
fn a_price_is_read_from_the_stream() {
    let frame =
        r#"{"u":1,"E":1767225600123000000,"s":"btcusd","b":"60000.10","B":"1","a":"60000.20","A":"2"}"#;
    let (bid, ask) = (dec("60000.10"), dec("60000.20"));
    assert_eq!(map::tick(frame, "USD"), Some(Tick::Best { symbol: btc(), bid, ask, last: None }));
    assert_eq!(map::tick(frame, "EUR"), None);
    assert_eq!(map::tick(r#"{"id":"prices","status":200,"result":{}}"#, "USD"), None);
}

#[test]
fn numbers_of_orders_are_read_to_the_last_digit() {
    let news: wire::News = serde_json::from_str(&EVENT.replace("ID", "x")).unwrap();
    assert_eq!(news.order_id, 73_797_746_498_585_286);
}
