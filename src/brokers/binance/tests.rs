use secrecy::SecretString;
use trade_actors::domain::money::{Price, Quantity};
use trade_actors::domain::order::{Fill, TimeInForce};
use trade_actors::domain::report::ReportedState;
use trade_actors::domain::signal::Side;

use super::*;
use crate::brokers::sample;

const KEY: &str = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A";
const SECRET: &str = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";
const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIIJEYWtGBrhACmb9Dvy+qa8WEf0lQOl1s4CLIAB9m89u\n\
                   -----END PRIVATE KEY-----\n";

fn auth(secret: &str) -> Auth {
    Auth::ApiKey { key_id: KEY.into(), secret: SecretString::from(secret.to_owned()) }
}

fn moment() -> Moment {
    let at = DateTime::from_timestamp_millis(1_499_827_319_559).unwrap();
    Moment { at, nonce: 1, host: "api.binance.com".to_owned() }
}

fn dec(text: &str) -> rust_decimal::Decimal {
    text.parse().unwrap()
}

fn price(text: &str) -> Price {
    Price::new(dec(text)).unwrap()
}

/// The vectors that Binance publishes.
#[test]
fn the_published_signatures_hold() {
    let signed = |secret: &str, text: &str| sign::signature(secret, text).unwrap();
    assert_eq!(
        signed(
            SECRET,
            "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=\
             1499827319559"
        ),
        "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    );
    assert_eq!(
        signed(
            SECRET,
            "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTCquantity=1&price=0.1&recvWindow=5000&timestamp=\
             1499827319559"
        ),
        "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"
    );
    assert_eq!(
        signed(
            SECRET,
            &format!(
                "apiKey={KEY}&price=52000.00&quantity=0.01000000&recvWindow=100&side=SELL&symbol=BTCUSDT&timeInForce=GTC\
                 &timestamp=1645423376532&type=LIMIT"
            )
        ),
        "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"
    );
    assert_eq!(
        signed(PEM, "A\u{1}EXAMPLE\u{1}SPOT\u{1}1\u{1}20240627-11:17:25.223"),
        "4MHXelVVcpkdwuLbl6n73HQUXUf1dse2PCgT1DYqW9w8AVZ1RACFGM+5UdlGPrQHrgtS3CvsRURC1oj73j8gCA=="
    );
    assert_eq!(
        signed(
            PEM,
            "symbol=BTCUSDT&side=SELL&type=LIMIT&timeInForce=GTC&quantity=1&price=0.2&timestamp=1668481559918&recvWindow=\
             5000"
        ),
        "inDT086KVIP8vgUfw5sV3VTkescWztiAGlf4x8FLKHM4NInsn0c1kYVLoGMO8cyjfR6vmTku2YQE0gtfVVlfCw=="
    );
}

#[test]
fn what_is_signed_is_what_is_sent() {
    let call = Call::post("/api/v3/order").with("symbol", "BTCUSDT").with("newClientOrderId", "a b");
    let sent = sign::request(Some(&auth(SECRET)), &call, &moment()).unwrap();
    let (path, query) = sent.target.split_once('?').unwrap();
    let (signed, signature) = query.rsplit_once("&signature=").unwrap();
    assert_eq!(path, "/api/v3/order");
    assert_eq!(signed, "symbol=BTCUSDT&newClientOrderId=a%20b&recvWindow=3000&timestamp=1499827319559");
    assert_eq!(signature, sign::signature(SECRET, signed).unwrap());
    assert_eq!(sent.headers["x-mbx-apikey"], KEY);
    assert!(!format!("{sent:?}").contains(KEY));
    // A signature in base64 is encoded, too.
    let sent = sign::request(Some(&auth(PEM)), &call, &moment()).unwrap();
    assert!(sent.target.ends_with("%3D%3D"), "{}", sent.target);
    assert!(sign::request(Some(&Auth::OAuth { access_token: "t".into() }), &call, &moment()).is_none());
    assert!(sign::request(Some(&auth("-----BEGIN PRIVATE KEY-----\nMC4C\n")), &call, &moment()).is_none());
}

fn order(kind: OrderKind) -> Ticket {
    let quantity = Quantity::new(dec("0.0100")).unwrap();
    Ticket { symbol: "BTC/USDT".parse().unwrap(), quantity, kind, ..sample::ticket() }
}

fn words(ticket: &Ticket) -> String {
    let call = map::new_order(ticket, "BTCUSDT".to_owned()).unwrap();
    let id = ticket.id.to_string();
    call.encoded().replace(&id, "ID")
}

#[test]
fn every_kind_of_order_is_written_as_binance_documents_it() {
    let limit = OrderKind::Limit { limit: price("60000.5") };
    let trigger = price("59000");
    let (begin, end) =
        ("symbol=BTCUSDT&side=BUY&", "&quantity=0.01&newClientOrderId=ID&newOrderRespType=FULL");
    for (kind, middle) in [
        (OrderKind::Market, "type=MARKET"),
        (limit, "type=LIMIT&timeInForce=GTC&price=60000.5"),
        (OrderKind::Stop { trigger }, "type=STOP_LOSS&stopPrice=59000"),
        (
            OrderKind::StopLimit { trigger, limit: price("58900") },
            "type=STOP_LOSS_LIMIT&timeInForce=GTC&price=58900&stopPrice=59000",
        ),
        (
            OrderKind::TrailingStop { trail: Trail::Percent(Percent::new(dec("1.5"))) },
            "type=STOP_LOSS&trailingDelta=150",
        ),
    ] {
        assert_eq!(words(&order(kind)), format!("{begin}{middle}{end}"));
    }
    let at_once = Ticket { time_in_force: TimeInForce::Ioc, side: Side::Sell, ..order(limit) };
    assert!(words(&at_once).contains("side=SELL&type=LIMIT&timeInForce=IOC"));
}

#[test]
fn what_binance_has_not_is_refused_by_name_and_not_held() {
    let venue = Binance { settlement: "USDT".to_owned() };
    for kind in [
        OrderKind::TrailingStop { trail: Trail::Amount(price("5")) },
        OrderKind::TrailingStop { trail: Trail::Percent(Percent::new(dec("0.05"))) },
        OrderKind::TrailingStop { trail: Trail::Percent(Percent::new(dec("1.555"))) },
        OrderKind::Oco { limit: price("2"), trigger: price("1") },
    ] {
        let Err(Verdict::Refused(refusal)) = map::new_order(&order(kind), "BTCUSDT".to_owned()) else {
            panic!("{kind:?} was not refused");
        };
        assert!(refusal.message.contains("Nothing was sent."), "{}", refusal.message);
        assert!(!venue.holds("BTC/USDT".parse().unwrap(), kind));
    }
}

#[test]
fn rules_of_a_symbol_are_read() {
    let row = r#"{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[
        {"filterType":"PRICE_FILTER","minPrice":"0.01","maxPrice":"1000000.00","tickSize":"0.01000000"},
        {"filterType":"LOT_SIZE","minQty":"0.00001000","maxQty":"9000.0","stepSize":"0.00001000"},
        {"filterType":"NOTIONAL","minNotional":"5.00000000","applyMinToMarket":true}]}"#;
    let row: wire::Listed = serde_json::from_str(row).unwrap();
    let rules = map::instrument(&row, "USDT").unwrap();
    assert_eq!(
        (rules.tick.to_string(), rules.lot.to_string(), rules.min_notional.get().to_string(), rules.tradable),
        ("0.01".to_owned(), "0.00001".to_owned(), "5".to_owned(), true)
    );
    assert!(map::instrument(&row, "EUR").is_none());
    assert!(!map::instrument(&wire::Listed { status: "HALT".to_owned(), ..row }, "USDT").unwrap().tradable);
}

const ANSWER: &str = r#"{"symbol":"BTCUSDT","orderId":81234,"orderListId":-1,"clientOrderId":"ID","transactTime":
    1767225600123,"price":"60000.00","origQty":"0.010","executedQty":"0.004","cummulativeQuoteQty":"240.00","status":
    "PARTIALLY_FILLED","timeInForce":"GTC","type":"LIMIT","side":"BUY","fills":[{"price":"60000.00","qty":"0.004",
    "commission":"0.000004","commissionAsset":"BTC","tradeId":77}]}"#;

#[test]
fn an_answer_tells_what_is_done_and_what_was_kept() {
    let ticket = order(OrderKind::Market);
    let told: wire::Order = serde_json::from_str(&ANSWER.replace("ID", &ticket.id.to_string())).unwrap();
    let report = map::report(&told, ticket.id, &told.fills, &ticket, "USDT", DateTime::UNIX_EPOCH).unwrap();
    assert_eq!((report.order, report.broker_order.as_str()), (ticket.id, "81234"));
    assert_eq!(report.state, ReportedState::Open);
    let Fill { execution, quantity, price: paid, kept, .. } = &report.fills[0];
    assert_eq!(
        (execution.as_str(), quantity.get(), *paid, kept.get()),
        ("77", dec("0.004"), price("60000.00"), dec("0.000004"))
    );
    assert_eq!(report.done.unwrap().price, Some(price("60000")));
    let other: wire::Order = serde_json::from_str(ANSWER).unwrap();
    let lost = map::report(&other, ticket.id, &[], &ticket, "USDT", DateTime::UNIX_EPOCH);
    assert!(matches!(lost, Err(Verdict::Lost(_))), "it is another order");
    assert_eq!(map::standing(&other, DateTime::UNIX_EPOCH), None, "somebody else placed it");
}

const EVENT: &str = r#"{"subscriptionId":0,"event":{"e":"executionReport","E":1767225600200,"s":"BTCUSDT","c":"ID","C":"",
    "S":"SELL","o":"LIMIT","f":"GTC","q":"0.010","p":"60000.00","x":"TRADE","X":"PARTIALLY_FILLED","r":"NONE","i":81234,
    "l":"0.004","z":"0.004","L":"60000.00","n":"0.24","N":"USDT","T":1767225600199,"t":77,"m":false,"Z":"240.00"}}"#;

#[test]
fn the_stream_tells_fills_cancels_and_its_own_end() {
    let id = order(OrderKind::Market).id.to_string();
    let hear = |frame: &str| map::heard(&frame.replace("ID", &id), "USDT");
    let report = |frame: &str| match hear(frame).pop() {
        Some(Heard::Report(report)) => *report,
        other => panic!("{other:?}"),
    };
    let filled = report(EVENT);
    assert_eq!((filled.fills.len(), filled.fills[0].fee.get()), (1, dec("0.24")));
    assert_eq!(filled.done.unwrap().quantity.get(), dec("0.004"));
    let cancel = EVENT
        .replace(r#""c":"ID","C":"""#, r#""c":"cancel-1","C":"ID""#)
        .replace(r#""x":"TRADE","X":"PARTIALLY_FILLED""#, r#""x":"CANCELED","X":"CANCELED""#)
        .replace(r#""t":77"#, r#""t":-1"#)
        .replace(r#""n":"0.24","N":"USDT""#, r#""n":"0","N":null"#);
    let canceled = report(&cancel);
    assert_eq!(
        (canceled.order.to_string(), &canceled.state, canceled.fills.len()),
        (id.clone(), &ReportedState::Canceled, 0)
    );
    assert_eq!(hear(r#"{"id":"orders","status":200,"result":{"subscriptionId":0}}"#), [Heard::Ready]);
    let refused = r#"{"id":"orders","status":400,"error":{"code":-1022,"msg":"Signature for this request is not valid."}}"#;
    assert_eq!(hear(refused), [Heard::Refused]);
    assert!(matches!(
        hear(r#"{"subscriptionId":0,"event":{"e":"eventStreamTerminated","E":1}}"#)[..],
        [Heard::Over(_)]
    ));
    assert_eq!(hear("not json"), [Heard::Gap]);
    assert_eq!(hear(r#"{"subscriptionId":0,"event":{"e":"outboundAccountPosition","B":[]}}"#), []);
    assert_eq!(map::heard(&EVENT.replace("ID", "web_1"), "USDT"), [], "somebody else's order");
}

#[test]
fn errors_are_told_apart_by_what_may_be_done_next() {
    use RefusalCode as C;
    let of = |status: u16, body: &str| {
        let reply =
            Reply { status, headers: reqwest::header::HeaderMap::new(), body: body.as_bytes().to_vec() };
        errors::judge(&reply).unwrap_err()
    };
    let code = |body: &str| match of(400, body) {
        Verdict::Refused(refusal) | Verdict::Halted(refusal) => refusal.code,
        other @ (Verdict::Unsent { .. }
        | Verdict::Held { .. }
        | Verdict::Lost(_)
        | Verdict::Slow(_)
        | Verdict::Skewed
        | Verdict::Exists
        | Verdict::Missing
        | Verdict::Ended) => panic!("{body}: {other:?}"),
    };
    for (body, expected) in [
        (
            r#"{"code":-2010,"msg":"Account has insufficient balance for requested action."}"#,
            C::InsufficientFunds,
        ),
        (r#"{"code":-2010,"msg":"Market is closed."}"#, C::MarketClosed),
        (r#"{"code":-2010,"msg":"Order would immediately match and take."}"#, C::OrderRejected),
        (r#"{"code":-1013,"msg":"Filter failure: NOTIONAL"}"#, C::OrderRejected),
        (r#"{"code":-1111,"msg":"Parameter 'quantity' has too much precision."}"#, C::OrderRejected),
        (r#"{"code":-1121,"msg":"Invalid symbol."}"#, C::InvalidSymbol),
        (r#"{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}"#, C::AuthFailed),
        (r#"{"code":-1022,"msg":"Signature for this request is not valid."}"#, C::AuthFailed),
    ] {
        assert_eq!(code(body), expected, "{body}");
    }
    assert_eq!(of(400, r#"{"code":-2010,"msg":"Duplicate order sent."}"#), Verdict::Exists);
    assert_eq!(of(400, r#"{"code":-2013,"msg":"Order does not exist."}"#), Verdict::Missing);
    assert_eq!(
        of(400, r#"{"code":-1021,"msg":"Timestamp for this request is outside of the recvWindow."}"#),
        Verdict::Skewed
    );
    assert_eq!(of(429, ""), Verdict::Slow(Duration::from_secs(60)));
    for (status, body) in [
        (503, ""),
        (400, r#"{"code":-1007,"msg":"Timeout waiting for response from backend server."}"#),
        (400, r#"{"code":-9999,"msg":"something new"}"#),
        (400, "<html>"),
    ] {
        assert!(matches!(of(status, body), Verdict::Lost(_)), "{status} {body}");
    }
}

#[test]
fn a_price_is_read_from_the_stream() {
    let tick = map::tick(r#"{"u":1,"s":"BTCUSDT","b":"60000.10","B":"1","a":"60000.20","A":"2"}"#, "USDT");
    let symbol = "BTC/USDT".parse().unwrap();
    assert_eq!(tick, Some(Tick::Best { symbol, bid: dec("60000.10"), ask: dec("60000.20"), last: None }));
    assert_eq!(map::tick(r#"{"result":null,"id":1}"#, "USDT"), None);
}
