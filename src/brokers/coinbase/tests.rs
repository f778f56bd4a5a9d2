use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use reqwest::header::HeaderMap;
use secrecy::SecretString;
use serde_json::Value;
use sha2::{Digest, Sha256};
use trade_actors::domain::money::{Percent, Price, Quantity};
use trade_actors::domain::order::TimeInForce;
use trade_actors::domain::report::ReportedState;
use trade_actors::domain::signal::{Side, Trail};

use super::*;
use crate::brokers::sample;
use crate::brokers::venue::mac;

/// The test keys of Coinbase's own SDK.
const NAME: &str = "organizations/test-organization/apiKeys/test-api-key";
const ED25519: &str =
    "k0BUni0p0vZG1BdpVjS6ogBJ7kxm630AJ2dN+tuputDOKsRAwgyrpEQLeBtS1znTmzPX6Xr2eOWpzx6nW8knkA==";
const P256: &str = "MHcCAQEEIKwf3Uox30cRWzRBOPoPOH5p0Gpb0Dt8zUKXUEM5fMkGoAoGCCqGSM49AwEHoUQDQgAEbAtpLlSZYVOwYICz+uEyxcS2\
                    9vRIujiES/gQ1DC7FV4zK4JuYE9vqDyGZQYjdXHLM7I6f/QnnOITL+dXYWBHRA==";

fn auth(secret: &str) -> Auth {
    Auth::ApiKey { key_id: NAME.into(), secret: SecretString::from(secret.to_owned()) }
}

fn sec1() -> String {
    format!("-----BEGIN EC PRIVATE KEY-----\n{P256}\n-----END EC PRIVATE KEY-----\n")
}

fn moment() -> Moment {
    let at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    Moment { at, nonce: 1, host: "api.coinbase.com".to_owned() }
}

fn dec(text: &str) -> rust_decimal::Decimal {
    text.parse().unwrap()
}

fn price(text: &str) -> Price {
    Price::new(dec(text)).unwrap()
}

fn part(token: &str, number: usize) -> Value {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(number).unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// The token that was worked out with Coinbase's test key and checked elsewhere.
#[test]
fn the_known_token_is_made_byte_for_byte() {
    let uri = "GET api.coinbase.com/api/v3/brokerage/accounts";
    let seed = mac::base64(&mac::unbase64(ED25519).unwrap()[..32]);
    let mut pkcs8 = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    pkcs8.extend_from_slice(&mac::unbase64(&seed).unwrap());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", mac::base64(&pkcs8));
    for secret in [ED25519, &seed, &pem, &pem.replace('\n', "\\n")] {
        let nonce = "00112233445566778899aabbccddeeff";
        let token = sign::token(&auth(secret), Some(uri), &moment(), nonce).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        assert_eq!(
            mac::hex(&Sha256::digest(signed.as_bytes())),
            "4b887caf6683b0895178b183ecd3948ae6265bb31b6ec6871d1a1fdbd6e528d5"
        );
        assert_eq!(
            signature,
            "VKxvz0b5LzwhWX-Fz9sB1un4A3tuMxE5h_BbeY_tyyiZjwfoH7TDfKQYpucjbLrQcAjvRpEL1hXPGIS0SB3YAA"
        );
    }
}

#[test]
fn a_token_of_the_other_kind_verifies_with_its_public_key() {
    let token = sign::token(&auth(&sec1()), None, &moment(), "ab").unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert_eq!(signature.len(), 64);
    // The public half is the last of the key.
    let der = BASE64_STANDARD.decode(P256).unwrap();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &der[der.len() - 65..]);
    assert!(public.verify(signed.as_bytes(), &signature).is_ok());
    assert!(public.verify(&signed.as_bytes()[1..], &signature).is_err());
    assert_eq!(part(&token, 0), json!({"alg": "ES256", "kid": NAME, "nonce": "ab", "typ": "JWT"}));
}

#[test]
fn every_request_has_a_token_of_its_own_that_names_it_without_its_query() {
    let call = Call::get("/api/v3/brokerage/best_bid_ask").with("product_ids", "BTC-USD");
    let bearer = |sent: &Signed| sent.headers["authorization"].to_str().unwrap().to_owned();
    let sent = |call: &Call| sign::request(Some(&auth(ED25519)), call, &moment()).unwrap();
    let (first, second) = (sent(&call), sent(&call));
    assert_eq!(first.target, "/api/v3/brokerage/best_bid_ask?product_ids=BTC-USD");
    assert_ne!(bearer(&first), bearer(&second), "each has its own nonce");
    assert!(!format!("{first:?}").contains("Bearer"));
    let token = bearer(&first);
    let token = token.strip_prefix("Bearer ").unwrap();
    assert_eq!(part(token, 0)["nonce"].as_str().unwrap().len(), 32);
    assert_eq!(
        part(token, 1),
        json!({"sub": NAME, "iss": "cdp", "nbf": 1_699_999_998, "exp": 1_700_000_118,
               "uri": "GET api.coinbase.com/api/v3/brokerage/best_bid_ask"})
    );
    let posted = sent(&Call::post(ORDERS).with_json(&json!({"a": 1})));
    assert_eq!((posted.target.as_str(), posted.body.as_slice()), (ORDERS, br#"{"a":1}"#.as_slice()));
    let jwt = sign::subscription(Some(&auth(ED25519)), &moment()).unwrap();
    assert_eq!(part(&jwt, 1).get("uri"), None);
}

#[test]
fn what_is_no_key_signs_nothing() {
    let other_half = mac::base64(&[mac::unbase64(ED25519).unwrap()[..32].to_vec(), vec![1; 32]].concat());
    for bad in ["", "hunter2", "AAAA", &other_half, "-----BEGIN EC PRIVATE KEY-----\nMHcC\n"] {
        assert!(sign::subscription(Some(&auth(bad)), &moment()).is_none(), "{bad}");
    }
    let bearer = Auth::OAuth { access_token: "t".into() };
    assert!(sign::request(Some(&bearer), &Call::get("/"), &moment()).is_none());
    assert!(sign::subscription(None, &moment()).is_none());
}

#[test]
fn symbols_are_theirs_and_ours_where_they_trade_against_our_money() {
    let btc: Symbol = "BTC/USD".parse().unwrap();
    assert_eq!(map::theirs(btc, "USD").as_deref(), Some("BTC-USD"));
    assert_eq!(map::ours("BTC-USD", "USD"), Some(btc));
    assert_eq!(map::theirs("BTC/USDC".parse().unwrap(), "USD"), None);
    for other in ["BTC-USDC", "-USD", "BTCUSD", "BIT-28FEB25-CDE"] {
        assert_eq!(map::ours(other, "USD"), None, "{other}");
    }
}

fn order(kind: OrderKind) -> Ticket {
    let quantity = Quantity::new(dec("0.0100")).unwrap();
    Ticket { symbol: "BTC/USD".parse().unwrap(), quantity, kind, ..sample::ticket() }
}

#[test]
fn every_kind_of_order_is_written_as_coinbase_documents_it() {
    let limit = OrderKind::Limit { limit: price("60000.50") };
    let stop = OrderKind::StopLimit { trigger: price("59000"), limit: price("58900") };
    let words = |ticket: &Ticket| map::new_order(ticket, "BTC-USD").unwrap();
    let plain = json!({"base_size": "0.01", "limit_price": "60000.5"});
    let waiting = json!({"base_size": "0.01", "limit_price": "60000.5", "post_only": false});
    let stopped = json!({"base_size": "0.01", "limit_price": "58900", "stop_price": "59000",
                         "stop_direction": "STOP_DIRECTION_STOP_UP"});
    for (kind, time_in_force, name, expected) in [
        (OrderKind::Market, TimeInForce::Day, "market_market_ioc", json!({"base_size": "0.01"})),
        (limit, TimeInForce::Day, "limit_limit_gtc", waiting.clone()),
        (limit, TimeInForce::Gtc, "limit_limit_gtc", waiting),
        (limit, TimeInForce::Ioc, "sor_limit_ioc", plain.clone()),
        (limit, TimeInForce::Fok, "limit_limit_fok", plain),
        (stop, TimeInForce::Gtc, "stop_limit_stop_limit_gtc", stopped),
    ] {
        let ticket = Ticket { time_in_force, ..order(kind) };
        assert_eq!(
            words(&ticket),
            json!({"client_order_id": ticket.id.to_string(), "product_id": "BTC-USD", "side": "BUY",
                   "order_configuration": {name: expected}})
        );
    }
    let sold = words(&Ticket { side: Side::Sell, ..order(stop) });
    let stop = &sold["order_configuration"]["stop_limit_stop_limit_gtc"];
    assert_eq!(
        (&sold["side"], &stop["stop_direction"]),
        (&json!("SELL"), &json!("STOP_DIRECTION_STOP_DOWN"))
    );
}

#[test]
fn what_coinbase_has_not_is_refused_by_name_and_not_held() {
    let venue = Coinbase { settlement: "USD".to_owned() };
    for (kind, name) in [
        (OrderKind::Stop { trigger: price("1") }, "stop order"),
        (OrderKind::TrailingStop { trail: Trail::Amount(price("5")) }, "trailing stop"),
        (OrderKind::TrailingStop { trail: Trail::Percent(Percent::new(dec("1"))) }, "trailing stop"),
        (OrderKind::Oco { limit: price("2"), trigger: price("1") }, "pair of orders"),
    ] {
        let Err(Verdict::Refused(refusal)) = map::new_order(&order(kind), "BTC-USD") else {
            panic!("{kind:?} was not refused");
        };
        assert!(refusal.message.contains(name), "{}", refusal.message);
        assert!(refusal.message.contains("Nothing was sent."), "{}", refusal.message);
        assert!(!venue.holds("BTC/USD".parse().unwrap(), kind));
    }
    let stop = OrderKind::StopLimit { trigger: price("1"), limit: price("1") };
    let at_once = Ticket { time_in_force: TimeInForce::Ioc, ..order(stop) };
    assert!(matches!(map::new_order(&at_once, "BTC-USD"), Err(Verdict::Refused(_))));
    for kind in [OrderKind::Market, OrderKind::Limit { limit: price("1") }, stop] {
        assert!(venue.holds("BTC/USD".parse().unwrap(), kind));
    }
    assert!(matches!(venue.theirs("BTC/EUR".parse().unwrap()), Err(Verdict::Refused(_))));
}

const PRODUCT: &str = r#"{"product_id":"BTC-USD","price":"60000.1","base_increment":"0.00000001","quote_increment":"0.01",
    "price_increment":"0.05","quote_min_size":"1","base_min_size":"0.00000001","base_max_size":"3400","status":"online",
    "is_disabled":false,"trading_disabled":false,"cancel_only":false,"limit_only":false,"post_only":false,
    "auction_mode":false,"view_only":false,"product_type":"SPOT","base_currency_id":"BTC","quote_currency_id":"USD",
    "alias":"","quote_max_size":"150000000"}"#;

#[test]
fn rules_of_a_product_are_read() {
    let read = |from: &str, to: &str| {
        let row: wire::Product = serde_json::from_str(&PRODUCT.replace(from, to)).unwrap();
        map::instrument(&row, "USD")
    };
    let rules = read("", "").unwrap();
    assert_eq!(
        (rules.tick.to_string(), rules.lot.to_string(), rules.min_notional.get().to_string(), rules.tradable),
        ("0.05".to_owned(), "0.00000001".to_owned(), "1".to_owned(), true)
    );
    let tick = read(r#""price_increment":"0.05","#, "").unwrap().tick;
    assert_eq!(tick, price("0.01"), "the step of the money where there is no other");
    assert_eq!(read(r#""SPOT""#, r#""FUTURE""#), None);
    assert_eq!(read(r#""quote_currency_id":"USD""#, r#""quote_currency_id":"USDC""#), None);
    assert!(!read(r#""online""#, r#""delisted""#).unwrap().tradable);
    for flag in [
        "is_disabled",
        "trading_disabled",
        "cancel_only",
        "limit_only",
        "post_only",
        "auction_mode",
        "view_only",
    ] {
        let limited = read(&format!(r#""{flag}":false"#), &format!(r#""{flag}":true"#)).unwrap();
        assert!(!limited.tradable, "{flag}");
    }
}

fn judge(call: &Call, status: u16, body: &str) -> Result<(), Verdict> {
    let reply = Reply { status, headers: HeaderMap::new(), body: body.as_bytes().to_vec() };
    errors::judge(call, &reply)
}

fn no(reason: &str, error: &str, preview: &str) -> String {
    json!({"success": false, "failure_reason": reason, "order_configuration": {}, "error_response":
        {"error": error, "message": "why", "error_details": "", "preview_failure_reason": preview}})
    .to_string()
}

fn code(verdict: Result<(), Verdict>) -> RefusalCode {
    match verdict.unwrap_err() {
        Verdict::Refused(refusal) | Verdict::Halted(refusal) => refusal.code,
        other @ (Verdict::Unsent { .. }
        | Verdict::Held { .. }
        | Verdict::Lost(_)
        | Verdict::Slow(_)
        | Verdict::Skewed
        | Verdict::Exists
        | Verdict::Missing
        | Verdict::Ended) => panic!("{other:?}"),
    }
}

#[test]
fn success_alone_says_that_an_order_was_taken() {
    use RefusalCode as C;
    let order = Call::post(ORDERS);
    let unknown = "UNKNOWN_FAILURE_REASON";
    let taken =
        r#"{"success":true,"failure_reason":"UNKNOWN_FAILURE_REASON","success_response":{"order_id":"a"}}"#;
    assert_eq!(judge(&order, 200, taken), Ok(()), "a reason beside a success says nothing");
    for (error, preview, expected) in [
        ("INSUFFICIENT_FUND", "PREVIEW_INSUFFICIENT_FUND", C::InsufficientFunds),
        (unknown, "PREVIEW_INSUFFICIENT_FUND", C::InsufficientFunds),
        ("INVALID_PRODUCT_ID", "", C::InvalidSymbol),
        ("ORDER_ENTRY_DISABLED", "", C::MarketClosed),
        ("INVALID_SIZE_PRECISION", "", C::OrderRejected),
        (unknown, "PREVIEW_INVALID_BASE_SIZE_TOO_SMALL", C::OrderRejected),
    ] {
        let verdict = judge(&order, 200, &no(unknown, error, preview));
        assert_eq!(code(verdict), expected, "{error} {preview}");
    }
    assert_eq!(code(judge(&order, 200, &no("INVALID_LIMIT_PRICE_POST_ONLY", "", ""))), C::OrderRejected);
    assert_eq!(judge(&order, 200, &no(unknown, "DUPLICATE_CLIENT_ORDER_ID", "")), Err(Verdict::Exists));
    for unclear in [no(unknown, unknown, ""), no("SOMETHING_NEW", "", ""), "{".to_owned(), "{}".to_owned()] {
        assert!(matches!(judge(&order, 200, &unclear), Err(Verdict::Lost(_))), "{unclear}");
    }
}

#[test]
fn errors_are_told_apart_by_what_may_be_done_next() {
    use RefusalCode as C;
    let get = Call::get("/api/v3/brokerage/orders/historical/x");
    let post = Call::post(ORDERS);
    assert_eq!(code(judge(&get, 401, "Unauthorized\n")), C::AuthFailed);
    let denied = r#"{"error":"PERMISSION_DENIED","error_details":"Missing required scopes","message":""}"#;
    assert_eq!(code(judge(&post, 403, denied)), C::AuthFailed);
    let unread = r#"{"error":"INVALID_ARGUMENT","error_details":"","message":"product_id is missing"}"#;
    assert_eq!(code(judge(&post, 400, unread)), C::OrderRejected);
    assert_eq!(
        judge(&get, 404, r#"{"error":"NOT_FOUND","message":"order not found"}"#),
        Err(Verdict::Missing)
    );
    assert_eq!(judge(&post, 429, ""), Err(Verdict::Slow(Duration::from_secs(2))));
    for (status, body) in [
        (500, ""),
        (503, "{}"),
        (404, "{}"),
        (403, "<html>"),
        (408, "{}"),
        (400, r#"{"error":"DEADLINE_EXCEEDED"}"#),
    ] {
        assert!(matches!(judge(&post, status, body), Err(Verdict::Lost(_))), "{status} {body}");
    }
    let canceled = |success, reason: &str| {
        let result = json!({"success": success, "failure_reason": reason, "order_id": "a"});
        errors::canceled(&serde_json::from_value(result).unwrap())
    };
    assert_eq!(canceled(true, "UNKNOWN_CANCEL_FAILURE_REASON"), Ok(()));
    assert_eq!(canceled(false, "UNKNOWN_CANCEL_ORDER"), Err(Verdict::Missing));
    assert_eq!(canceled(false, "INVALID_CANCEL_REQUEST"), Err(Verdict::Ended));
    assert!(matches!(canceled(false, "UNKNOWN_CANCEL_FAILURE_REASON"), Err(Verdict::Lost(_))));
}

const SHOWN: &str = r#"{"order_id":"8f0c","product_id":"BTC-USDC","side":"BUY","client_order_id":"ID","status":"OPEN",
    "time_in_force":"GOOD_UNTIL_CANCELLED","created_time":"2026-01-01T00:00:00Z","filled_size":"0.0040",
    "average_filled_price":"60000","number_of_fills":"2","filled_value":"240","pending_cancel":false,"total_fees":"1.44",
    "reject_reason":"REJECT_REASON_UNSPECIFIED","reject_message":"","order_configuration":{}}"#;

fn shown(from: &str, to: &str) -> wire::Order {
    let id = sample::ticket().id.to_string();
    serde_json::from_str(&SHOWN.replace(from, to).replace("ID\",\"status", &format!("{id}\",\"status")))
        .unwrap()
}

fn trades(text: &str) -> Vec<wire::Trade> {
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_order_is_read_with_its_executions_under_the_names_that_totals_give_them() {
    let fills = trades(
        r#"[{"trade_id":"2","order_id":"8f0c","trade_time":"2026-01-01T00:00:02Z","trade_type":"FILL","price":"60010",
             "size":"0.003","commission":"1.08","size_in_quote":false},
            {"trade_id":"9","order_id":"8f0c","trade_time":"2026-01-01T00:00:03Z","trade_type":"REVERSAL","price":"1",
             "size":"1","commission":"0","size_in_quote":false},
            {"trade_id":"1","order_id":"8f0c","trade_time":"2026-01-01T00:00:01Z","trade_type":"FILL","price":"59970",
             "size":"59.97","commission":"0.36","size_in_quote":true}]"#,
    );
    let report = map::report(&shown("", ""), fills, DateTime::UNIX_EPOCH).unwrap();
    assert_eq!((report.order, report.broker_order.as_str()), (sample::ticket().id, "8f0c"));
    assert_eq!(report.state, ReportedState::Open);
    let told: Vec<_> = report
        .fills
        .iter()
        .map(|fill| (fill.execution.as_str(), fill.quantity.get(), fill.price, fill.fee.get()))
        .collect();
    assert_eq!(
        told,
        [
            ("total-0.001", dec("0.001"), price("59970"), dec("0.36")),
            ("total-0.004", dec("0.003"), price("60010"), dec("1.08")),
        ]
    );
    let done = report.done.unwrap();
    assert_eq!((done.quantity.get(), done.price), (dec("0.004"), Some(price("60000"))));
    assert!(report.fills.iter().all(|fill| fill.kept.is_zero()), "fees are in money");
    let other = shown("ID\",\"status", "web\",\"status");
    assert!(matches!(map::report(&other, Vec::new(), DateTime::UNIX_EPOCH), Err(Verdict::Lost(_))));
    assert_eq!(map::standing(&other, DateTime::UNIX_EPOCH), None, "somebody else placed it");
    let standing = map::standing(&shown("", ""), DateTime::UNIX_EPOCH).unwrap();
    assert_eq!(
        (standing.fills[0].execution.as_str(), standing.fills[0].fee.get()),
        ("total-0.004", dec("1.44"))
    );
}

#[test]
fn every_status_is_one_of_ours() {
    let state = |status: &str| {
        map::standing(&shown("\"OPEN\"", &format!("{status:?}")), DateTime::UNIX_EPOCH).unwrap().state
    };
    for open in ["PENDING", "QUEUED", "OPEN", "CANCEL_QUEUED", "UNKNOWN_ORDER_STATUS", "SOMETHING_NEW"] {
        assert_eq!(state(open), ReportedState::Open, "{open}");
    }
    assert_eq!(state("FILLED"), ReportedState::Filled);
    assert_eq!(state("CANCELLED"), ReportedState::Canceled);
    assert_eq!(state("EXPIRED"), ReportedState::Expired);
    let failed = shown(r#""OPEN","#, r#""FAILED","#);
    let failed = wire::Order { reject_reason: "INSUFFICIENT_FUND".to_owned(), ..failed };
    let Some(ReportedState::Rejected(refusal)) =
        map::standing(&failed, DateTime::UNIX_EPOCH).map(|report| report.state)
    else {
        panic!("it was not rejected");
    };
    assert_eq!(refusal.code, RefusalCode::InsufficientFunds);
    assert!(refusal.message.contains("INSUFFICIENT_FUND"), "{}", refusal.message);
}

#[test]
fn an_answer_to_another_order_is_none() {
    let ticket = order(OrderKind::Market);
    let read = |id: &str| {
        let answer =
            json!({"success": true, "success_response": {"order_id": "8f0c", "client_order_id": id}});
        map::placed(serde_json::from_value(answer).unwrap(), &ticket)
    };
    let report = read(&ticket.id.to_string()).unwrap();
    assert_eq!(
        (report.broker_order.as_str(), report.state, report.done),
        ("8f0c", ReportedState::Open, None)
    );
    assert!(matches!(read("0b1e"), Err(Verdict::Lost(_))));
}

/// A frame of the user channel.
fn frame(number: u64, kind: &str, orders: &Value) -> String {
    json!({"channel": "user", "timestamp": "2026-01-01T00:00:05Z", "sequence_num": number,
           "events": [{"type": kind, "orders": orders}]})
    .to_string()
}

fn totals(status: &str, quantity: &str, value: &str, fees: &str) -> Value {
    json!([{"order_id": "8f0c", "client_order_id": sample::ticket().id.to_string(), "product_id": "BTC-USD",
            "order_side": "BUY", "order_type": "Limit", "status": status, "cumulative_quantity": quantity,
            "leaves_quantity": "0", "avg_price": "60000", "filled_value": value, "total_fees": fees}])
}

#[test]
fn the_stream_tells_totals_and_each_growth_of_them_is_one_execution() {
    let mut ear = Ear::default();
    let mut hear = |frame: &str| stream::heard(&mut ear, frame, DateTime::UNIX_EPOCH);
    let report = |heard: Vec<Heard>| match heard.into_iter().next_back() {
        Some(Heard::Report(report)) => *report,
        other => panic!("{other:?}"),
    };
    let subscribed = r#"{"channel":"subscriptions","timestamp":"2026-01-01T00:00:00Z","sequence_num":0,"events":
        [{"subscriptions":{"heartbeats":["heartbeats"]}}]}"#;
    assert_eq!(hear(subscribed), []);
    assert_eq!(hear(&frame(1, "snapshot", &json!([]))), [Heard::Ready]);
    let open = report(hear(&frame(2, "update", &totals("OPEN", "0", "0", "0"))));
    assert!(open.fills.is_empty() && open.state == ReportedState::Open);
    let first = report(hear(&frame(3, "update", &totals("OPEN", "0.004", "240", "1.44"))));
    let again = report(hear(&frame(4, "update", &totals("OPEN", "0.004", "240", "1.44"))));
    assert!(again.fills.is_empty());
    let late = report(hear(&frame(5, "update", &totals("OPEN", "0", "0", "0"))));
    assert!(late.fills.is_empty(), "what comes late takes nothing back");
    let last = report(hear(&frame(6, "update", &totals("FILLED", "0.01", "600.06", "3.6"))));
    assert_eq!((first.fills[0].execution.as_str(), first.fills[0].fee.get()), ("total-0.004", dec("1.44")));
    let fill = &last.fills[0];
    assert_eq!(
        (fill.execution.as_str(), fill.quantity.get(), fill.price, fill.fee.get()),
        ("total-0.01", dec("0.006"), price("60010"), dec("2.16"))
    );
    assert_eq!((last.state, last.done.unwrap().quantity.get()), (ReportedState::Filled, dec("0.01")));
    let mut others = totals("OPEN", "0", "0", "0");
    others[0]["client_order_id"] = json!("web_1");
    assert_eq!(hear(&frame(7, "update", &others)), [], "somebody else's order");
    assert_eq!(hear(&frame(8, "update", &json!([{"order_id": 1}]))), [Heard::Gap]);
}

#[test]
fn a_missed_message_ends_the_stream() {
    let heartbeat = |number: u64| {
        json!({"channel": "heartbeats", "sequence_num": number, "events": [{"heartbeat_counter": 5}]})
            .to_string()
    };
    let user = |number: u64| frame(number, "update", &json!([]));
    let is_whole = |frames: &[String]| {
        let mut ear = Ear::default();
        let mut heard = frames.iter().flat_map(|frame| stream::heard(&mut ear, frame, DateTime::UNIX_EPOCH));
        !heard.any(|heard| matches!(heard, Heard::Over(_)))
    };
    assert!(is_whole(&[heartbeat(0), user(1), heartbeat(2), user(3), user(4)]), "all are counted as one");
    assert!(
        is_whole(&[heartbeat(0), user(0), heartbeat(1), heartbeat(2), user(1)]),
        "each channel by itself"
    );
    assert!(!is_whole(&[heartbeat(0), user(1), heartbeat(3)]), "2 is missing");
    assert!(!is_whole(&[heartbeat(0), heartbeat(1), user(4)]), "2 and 3 are missing");
    assert!(!is_whole(&["not json".to_owned()]));
    let mut ear = Ear::default();
    let mut error = |message: &str| {
        let frame = json!({"type": "error", "message": message}).to_string();
        stream::heard(&mut ear, &frame, DateTime::UNIX_EPOCH)
    };
    assert_eq!(error("authentication failure"), [Heard::Refused]);
    assert_eq!(error("rate limit exceeded"), [Heard::Over("rate limit exceeded".to_owned())]);
}

#[test]
fn prices_are_read_from_the_stream_and_asked_for_by_product() {
    let venue = Coinbase { settlement: "USD".to_owned() };
    let frame = |number: u64, product: &str| {
        json!({"channel": "ticker", "sequence_num": number, "events": [{"type": "update", "tickers": [
            {"type": "ticker", "product_id": product, "price": "60000.15", "best_bid": "60000.10",
             "best_bid_quantity": "1", "best_ask": "60000.20", "best_ask_quantity": "2"}]}]})
        .to_string()
    };
    let symbol = "BTC/USD".parse().unwrap();
    let mut ear = Ear::default();
    let (bid, ask, last) = (dec("60000.10"), dec("60000.20"), Some(dec("60000.15")));
    assert_eq!(venue.read_prices(&mut ear, &frame(0, "BTC-USD")), [Tick::Best { symbol, bid, ask, last }]);
    assert_eq!(venue.read_prices(&mut ear, &frame(1, "BTC-EUR")), []);
    assert!(matches!(venue.read_prices(&mut ear, &frame(3, "BTC-USD"))[..], [Tick::Over(_)]));
    assert_eq!(
        venue.wish(&[symbol], true),
        [json!({"type": "subscribe", "channel": "ticker", "product_ids": ["BTC-USD"]}).to_string()]
    );
    assert!(venue.wish(&[symbol], false)[0].contains("\"unsubscribe\""));
}
