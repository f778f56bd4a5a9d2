use rust_decimal::Decimal;
use secrecy::SecretString;
use trade_actors::domain::money::{Percent, Price, Quantity};
use trade_actors::domain::order::TimeInForce;
use trade_actors::domain::signal::{Side, Trail};

use super::*;
use crate::brokers::sample;

/// The example that Kraken publishes.
const SECRET: &str =
    "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg==";
const NONCE: u64 = 1_616_492_376_594;

fn auth(secret: &str) -> Auth {
    Auth::ApiKey { key_id: "the-key".into(), secret: SecretString::from(secret.to_owned()) }
}

fn moment() -> Moment {
    let at = DateTime::from_timestamp_millis(1_767_225_600_123).unwrap();
    Moment { at, nonce: NONCE, host: "api.kraken.com".to_owned() }
}

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn price(text: &str) -> Price {
    Price::new(dec(text)).unwrap()
}

#[test]
fn the_published_signatures_hold() {
    let signed = |body: &str| sign::signature(SECRET, PLACE, NONCE, body).unwrap();
    assert_eq!(
        signed("nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"),
        "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
    );
    assert_eq!(
        signed(
            r#"{"nonce":"1616492376594","ordertype":"limit","pair":"XBTUSD","price":"37500","type":"buy","volume":"1.25"}"#
        ),
        "r/o+GpKxXjV/mls/r5CKLu5R+yzK5psqvQ4hXxMX1nzdxTBhV+ui82QGgPZMMitpFwCOAdPEZMmXgZxD2chJEg=="
    );
}

#[test]
fn what_is_signed_is_what_is_sent_and_orders_have_a_deadline() {
    let sent = |call: &Call| sign::request(Some(&auth(SECRET)), call, &moment()).unwrap();
    let order = sent(&Call::post(PLACE).with("price", "+1.5%"));
    let body = std::str::from_utf8(&order.body).unwrap();
    assert_eq!(body, "nonce=1616492376594&price=%2B1.5%25&deadline=2026-01-01T00%3A00%3A05.123Z");
    assert_eq!(order.target, PLACE);
    assert_eq!(order.headers["api-key"], "the-key");
    assert_eq!(order.headers["api-sign"], sign::signature(SECRET, PLACE, NONCE, body).unwrap());
    assert!(!format!("{order:?}").contains("the-key"));
    let other = sent(&private("CancelOrder").with("cl_ord_id", "x"));
    assert_eq!(other.body.as_slice(), b"nonce=1616492376594&cl_ord_id=x");
    for unusable in [auth("no base64!"), Auth::OAuth { access_token: "t".into() }] {
        assert!(sign::request(Some(&unusable), &private("BalanceEx"), &moment()).is_none());
    }
    let open = sign::request(None, &public("Ticker").with("pair", "XBTUSD"), &moment()).unwrap();
    assert_eq!((open.target.as_str(), open.body.len()), ("/0/public/Ticker?pair=XBTUSD", 0));
}

const PAIRS: &str = r#"{
    "XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD","base":"XXBT","quote":"ZUSD","pair_decimals":1,"lot_decimals":8,
        "tick_size":"0.1","ordermin":"0.00005","costmin":"0.5","status":"online"},
    "XDGUSD":{"altname":"XDGUSD","wsname":"XDG/USD","base":"XXDG","quote":"ZUSD","pair_decimals":7,"lot_decimals":8,
        "ordermin":"50","costmin":"0.5","status":"cancel_only"},
    "XXBTZEUR":{"altname":"XBTEUR","wsname":"XBT/EUR","base":"XXBT","quote":"ZEUR","pair_decimals":1,"lot_decimals":8},
    "SOLUSD":{"altname":"SOLUSD","wsname":"SOL/USD","base":"SOL","quote":"ZUSD","pair_decimals":2,"lot_decimals":8},
    "XBTUSD.d":{"altname":"XBTUSD.d","base":"XXBT","quote":"ZUSD","pair_decimals":1,"lot_decimals":8}}"#;

fn pairs() -> BTreeMap<String, wire::Pair> {
    serde_json::from_str(PAIRS).unwrap()
}

#[test]
fn names_are_read_from_the_list_of_pairs() {
    let names = Names::of(&pairs(), "USD");
    let named = |symbol: &str| names.pair(symbol.parse().unwrap()).map(|pair| pair.name.clone());
    assert_eq!(named("BTC/USD").as_deref(), Some("XBTUSD"));
    assert_eq!(named("DOGE/USD").as_deref(), Some("XDGUSD"));
    assert_eq!(named("SOL/USD").as_deref(), Some("SOLUSD"));
    assert_eq!(named("BTC/EUR"), None, "it trades against other money");
    assert_eq!(named("XBT/USD"), None, "nobody else calls it so");
    let btc = Some("BTC/USD".parse().unwrap());
    assert_eq!((names.symbol("XXBTZUSD"), names.symbol("XBTUSD")), (btc, btc));
    assert_eq!((names.symbol("XBTEUR"), names.symbol("XBTUSD.d")), (None, None));
    let assets = ["XXBT", "XXDG", "ZUSD", "ZEUR", "SOL", "ETH.F"].map(|code| names.asset(code));
    assert_eq!(assets, [Some("BTC"), Some("DOGE"), Some("USD"), Some("EUR"), Some("SOL"), None]);
}

#[test]
fn rules_of_a_pair_are_read() {
    let rules = |key: &str| map::instrument(key, &pairs()[key], "USD");
    let btc = rules("XXBTZUSD").unwrap();
    assert_eq!(
        (btc.tick.to_string(), btc.lot.get(), btc.min_notional.get(), btc.tradable),
        ("0.1".to_owned(), dec("0.00000001"), dec("0.5"), true)
    );
    assert_eq!(rules("SOLUSD").unwrap().tick, price("0.01"), "of its decimals, where no step is told");
    assert!(!rules("XDGUSD").unwrap().tradable);
    assert_eq!(rules("XXBTZEUR"), None);
}

fn order(kind: OrderKind) -> Ticket {
    let quantity = Quantity::new(dec("0.0100")).unwrap();
    Ticket { symbol: "BTC/USD".parse().unwrap(), quantity, kind, ..sample::ticket() }
}

fn words(ticket: &Ticket) -> String {
    let call = map::new_order(ticket, "XBTUSD").unwrap();
    let fields = call.fields.iter().map(|(name, value)| format!("{name}={value}"));
    fields.collect::<Vec<_>>().join("&").replace(&ticket.id.to_string(), "ID")
}

#[test]
fn every_kind_of_order_is_written_as_kraken_documents_it() {
    let limit = OrderKind::Limit { limit: price("60000.5") };
    let trigger = price("59000");
    for (kind, name, rest) in [
        (OrderKind::Market, "market", ""),
        (limit, "limit", "price=60000.5&timeinforce=GTC&"),
        (OrderKind::Stop { trigger }, "stop-loss", "price=59000&trigger=last&"),
        (
            OrderKind::StopLimit { trigger, limit: price("58900") },
            "stop-loss-limit",
            "price=59000&price2=58900&timeinforce=GTC&trigger=last&",
        ),
        (
            OrderKind::TrailingStop { trail: Trail::Percent(Percent::new(dec("1.50"))) },
            "trailing-stop",
            "price=+1.5%&trigger=last&",
        ),
        (
            OrderKind::TrailingStop { trail: Trail::Amount(price("500")) },
            "trailing-stop",
            "price=+500&trigger=last&",
        ),
    ] {
        let expected =
            format!("ordertype={name}&type=buy&pair=XBTUSD&volume=0.01&{rest}oflags=fciq&cl_ord_id=ID");
        assert_eq!(words(&order(kind)), expected);
    }
    let at_once = Ticket { time_in_force: TimeInForce::Ioc, side: Side::Sell, ..order(limit) };
    assert!(words(&at_once).contains("type=sell&") && words(&at_once).contains("timeinforce=IOC"));
}

#[test]
fn what_kraken_has_not_is_refused_by_name_and_not_held() {
    let kraken = Kraken::new("USD".to_owned(), Tier::Intermediate);
    let why = |ticket: &Ticket| match map::new_order(ticket, "XBTUSD") {
        Err(Verdict::Refused(refusal)) => refusal.message,
        other => panic!("{ticket:?}: {other:?}"),
    };
    let trail = |pct: &str| OrderKind::TrailingStop { trail: Trail::Percent(Percent::new(dec(pct))) };
    let pair = OrderKind::Oco { limit: price("2"), trigger: price("1") };
    for kind in [trail("0"), trail("100"), trail("1.555"), pair] {
        assert!(why(&order(kind)).contains("Nothing was sent."));
        assert!(!kraken.holds("BTC/USD".parse().unwrap(), kind));
    }
    let whole = Ticket { time_in_force: TimeInForce::Fok, ..order(OrderKind::Limit { limit: price("1") }) };
    assert!(why(&whole).contains("whole or not at all"));
}

#[test]
fn a_young_order_is_dear_to_cancel() {
    let costs = [-3, 0, 5, 10, 15, 45, 90, 400].map(map::cancel_cost);
    assert_eq!(costs, [4, 4, 3, 3, 2, 1, 1, 1], "half of 8, 6, 5, 4, 2 and 1, and no less than one");
}

const SHOWN: &str = r#"{"refid":null,"userref":null,"cl_ord_id":"ID","status":"open","opentm":1767225600.1234,"starttm":0,
    "expiretm":0,"descr":{"pair":"XBTUSD","type":"buy","ordertype":"limit","price":"60000.0"},"vol":"0.01000000",
    "vol_exec":"0.00400000","cost":"240.00","fee":"0.60","price":"60000.0","oflags":"fciq","reason":null,
    "trades":["TABCDE-1"]}"#;

fn shown(text: &str) -> wire::Order {
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_order_is_shown_with_what_is_done_of_it() {
    let id = order(OrderKind::Market).id;
    let trade = r#"{"ordertxid":"OABCDE","pair":"XXBTZUSD","time":1767225600.5,"type":"buy","ordertype":"limit",
        "price":"60000.0","cost":"240.0","fee":"0.6","vol":"0.004","margin":"0"}"#;
    let trade: wire::Trade = serde_json::from_str(trade).unwrap();
    let stranger = wire::Trade { ordertxid: "OTHER".to_owned(), ..trade.clone() };
    let trades = [("TABCDE-1".to_owned(), trade), ("TOTHER".to_owned(), stranger)];
    let report = map::report(id, ("OABCDE", &shown(SHOWN)), &trades, DateTime::UNIX_EPOCH);
    assert_eq!((report.order, report.broker_order.as_str()), (id, "OABCDE"));
    assert_eq!(report.state, ReportedState::Open);
    let [fill] = &report.fills[..] else { panic!("{:?}", report.fills) };
    assert_eq!(
        (fill.execution.as_str(), fill.quantity.get(), fill.fee.get(), fill.kept),
        ("TABCDE-1", dec("0.004"), dec("0.6"), Quantity::ZERO)
    );
    assert_eq!(fill.at.timestamp_millis(), 1_767_225_600_500);
    assert_eq!(report.done.unwrap().price, Some(price("60000")));
}

#[test]
fn an_end_is_what_was_done_of_an_order() {
    let id = order(OrderKind::Market).id;
    let state = |status: &str, done: &str| {
        let text = SHOWN.replace(r#""open""#, &format!("{status:?}")).replace("0.00400000", done);
        map::report(id, ("O", &shown(&text)), &[], DateTime::UNIX_EPOCH).state
    };
    assert_eq!(state("closed", "0.01"), ReportedState::Filled);
    assert_eq!(state("closed", "0.004"), ReportedState::Canceled);
    assert_eq!(state("canceled", "0"), ReportedState::Canceled);
    assert_eq!(state("expired", "0"), ReportedState::Expired);
    assert_eq!(state("pending", "0"), ReportedState::Open);
    assert_eq!(state("something new", "0"), ReportedState::Open);
}

#[test]
fn of_several_orders_of_one_id_the_last_is_meant_and_others_never() {
    let id = order(OrderKind::Market).id;
    let mine = shown(&SHOWN.replace("ID", &id.to_string()));
    let later = wire::Order { opentm: crate::brokers::venue::number::Num(dec("1767225700")), ..mine.clone() };
    let found = [("O1", later), ("O2", mine), ("O3", shown(SHOWN))];
    let found: BTreeMap<_, _> = found.into_iter().map(|(txid, order)| (txid.to_owned(), order)).collect();
    assert_eq!(last_of(found, id).unwrap().0, "O1");
    assert!(last_of([("O3".to_owned(), shown(SHOWN))].into(), id).is_none());
}

/// One stream, as far as one connection goes.
struct Stream {
    ear: Ear,
    id: String,
}

impl Stream {
    fn new() -> Self {
        Self { ear: Ear::default(), id: order(OrderKind::Market).id.to_string() }
    }

    fn hear(&mut self, frame: &str) -> Vec<Heard> {
        news::heard(&mut self.ear, &frame.replace("ID", &self.id), "USD", DateTime::UNIX_EPOCH)
    }

    fn news(&mut self, sequence: u64, data: &str) -> Vec<OrderReport> {
        let frame =
            format!(r#"{{"channel":"executions","type":"update","data":[{data}],"sequence":{sequence}}}"#);
        let report = |heard: Heard| {
            let shown = format!("{heard:?}");
            let Heard::Report(report) = heard else { panic!("{shown}") };
            *report
        };
        self.hear(&frame).into_iter().map(report).collect()
    }
}

const NEW: &str = r#"{"order_id":"OABCDE","cl_ord_id":"ID","exec_type":"pending_new","symbol":"BTC/USD","side":"buy",
    "order_type":"limit","order_status":"pending_new","order_qty":0.01,"timestamp":"2026-01-01T00:00:00.000Z"}"#;
const TRADE: &str = r#"{"order_id":"OABCDE","exec_id":"TABCDE-1","exec_type":"trade","trade_id":365573,"symbol":"BTC/USD",
    "side":"buy","order_status":"partially_filled","last_qty":0.01000000000000000001,"last_price":60000.1,"cum_qty":0.01,
    "cum_cost":600.001,"fees":[{"asset":"USD","qty":0.6},{"asset":"BTC","qty":0.0001}],
    "timestamp":"2026-01-01T00:00:01.000Z"}"#;

#[test]
fn the_stream_tells_an_order_piece_by_piece() {
    let mut stream = Stream::new();
    assert_eq!(stream.news(7, NEW)[0].state, ReportedState::Open);
    // The trade does not say whose order it is, and the end does not say how much was done.
    let [traded] = &stream.news(8, TRADE)[..] else { panic!("one report") };
    assert_eq!((traded.order.to_string(), traded.state.clone()), (stream.id.clone(), ReportedState::Open));
    let fill = &traded.fills[0];
    assert_eq!(fill.quantity.get(), dec("0.01000000000000000001"), "read to the last digit");
    assert_eq!((fill.fee.get(), fill.kept.get()), (dec("0.6"), dec("0.0001")));
    let end = r#"{"order_id":"OABCDE","exec_type":"filled","order_status":"filled","timestamp":"2026-01-01T00:00:01.000Z"}"#;
    let [ended] = &stream.news(9, end)[..] else { panic!("one report") };
    assert_eq!((&ended.state, ended.fills.len()), (&ReportedState::Filled, 0));
    let done = ended.done.unwrap();
    assert_eq!((done.quantity.get(), done.price), (dec("0.01"), Some(price("60000.1"))));
    assert!(stream.ear.known.is_empty(), "what has ended is forgotten");
    assert!(stream.news(10, end).is_empty(), "an order nobody knows");
    assert!(stream.news(11, &NEW.replace("ID", "web-1")).is_empty(), "somebody else's order");
}

#[test]
fn a_stream_that_missed_something_is_opened_again() {
    let mut stream = Stream::new();
    assert_eq!(
        stream.hear(r#"{"method":"subscribe","success":true,"result":{"channel":"executions"}}"#),
        [Heard::Ready]
    );
    stream.news(1, NEW);
    let late = r#"{"channel":"executions","type":"update","data":[],"sequence":3}"#;
    assert!(matches!(stream.hear(late)[..], [Heard::Over(_)]));
    for quiet in [r#"{"channel":"heartbeat"}"#, r#"{"method":"pong"}"#, r#"{"channel":"status","data":[{}]}"#]
    {
        assert_eq!(stream.hear(quiet), []);
    }
    assert_eq!(stream.hear("not json"), [Heard::Gap]);
    let refused = |error: &str| format!(r#"{{"method":"subscribe","success":false,"error":"{error}"}}"#);
    assert_eq!(stream.hear(&refused("EGeneral:Permission denied")), [Heard::Refused]);
    assert!(matches!(stream.hear(&refused("ESession:Invalid session"))[..], [Heard::Over(_)]));
}

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, headers: reqwest::header::HeaderMap::new(), body: body.as_bytes().to_vec() }
}

fn verdict(error: &str) -> Verdict {
    let body = json!({"error": [error], "result": {}}).to_string();
    errors::judge(&private("AddOrder"), &reply(200, &body)).unwrap_err()
}

#[test]
fn errors_are_told_apart_by_what_may_be_done_next() {
    use RefusalCode as C;
    for (error, expected) in [
        ("EAPI:Invalid key", C::AuthFailed),
        ("EAPI:Invalid signature", C::AuthFailed),
        ("EAPI:Invalid nonce", C::AuthFailed),
        ("EGeneral:Permission denied", C::AuthFailed),
        ("EGeneral:Temporary lockout", C::AuthFailed),
        ("EAuth:Account temporary disabled", C::AuthFailed),
        ("EOrder:Orders limit exceeded", C::RateLimitExceeded),
        ("EOrder:Insufficient funds", C::InsufficientFunds),
        ("EOrder:Insufficient margin", C::InsufficientFunds),
        ("EQuery:Unknown asset pair", C::InvalidSymbol),
        ("EQuery:Invalid asset pair", C::InvalidSymbol),
        ("EService:Market in cancel_only mode", C::MarketClosed),
        ("EService:Market in post_only mode", C::MarketClosed),
        ("EService:Market in limit_only mode", C::MarketClosed),
        ("EOrder:Order minimum not met", C::OrderRejected),
        ("EOrder:Cost minimum not met", C::OrderRejected),
        ("EOrder:Tick size check failed", C::OrderRejected),
        ("EOrder:Invalid price", C::OrderRejected),
        ("EOrder:Reduce only:No position exists", C::OrderRejected),
        ("EOrder:Margin allowance exceeded", C::OrderRejected),
        ("EGeneral:Invalid arguments:volume", C::OrderRejected),
    ] {
        let (Verdict::Refused(refusal) | Verdict::Halted(refusal)) = verdict(error) else {
            panic!("{error}: {:?}", verdict(error));
        };
        assert_eq!(refusal.code, expected, "{error}");
        assert!(refusal.message.contains(error), "{}", refusal.message);
    }
    assert_eq!(verdict("EGeneral:Invalid arguments:cl_ord_id not unique"), Verdict::Exists);
    assert_eq!(verdict("EOrder:Unknown order"), Verdict::Missing);
    assert_eq!(verdict("EGeneral:Invalid arguments:deadline"), Verdict::Skewed);
    for error in
        ["EAPI:Rate limit exceeded", "EOrder:Rate limit exceeded", "EOrder:Domain rate limit exceeded"]
    {
        assert_eq!(verdict(error), Verdict::Slow(Duration::from_secs(15)), "{error}");
    }
    for error in [
        "EService:Unavailable",
        "EService:Busy",
        "EService:Deadline elapsed",
        "EGeneral:Internal error",
        "ENew:nobody knows",
    ] {
        assert!(matches!(verdict(error), Verdict::Lost(_)), "{error}");
    }
}

#[test]
fn only_errors_are_failures_and_what_is_unclear_is_not_known() {
    let judge = |status: u16, body: &str| errors::judge(&private("AddOrder"), &reply(status, body));
    assert_eq!(judge(200, r#"{"error":[],"result":{}}"#), Ok(()));
    assert_eq!(judge(200, r#"{"error":["WGeneral:be careful"],"result":{}}"#), Ok(()));
    assert_eq!(judge(429, ""), Err(Verdict::Slow(Duration::from_secs(15))));
    let both = r#"{"error":["EOrder:Insufficient funds","EService:Busy"]}"#;
    for (status, body) in
        [(503, ""), (520, r#"{"error":["EOrder:Invalid price"]}"#), (404, "<html>"), (200, both)]
    {
        assert!(matches!(judge(status, body), Err(Verdict::Lost(_))), "{status} {body}");
    }
    let kraken = Kraken::new("USD".to_owned(), Tier::Intermediate);
    let locked = reply(200, r#"{"error":["EGeneral:Temporary lockout"]}"#);
    assert_eq!(kraken.locked_out(&locked), Some(Duration::from_secs(900)));
    assert_eq!(kraken.locked_out(&reply(200, r#"{"error":["EAPI:Invalid key"]}"#)), None);
}

#[test]
fn a_pause_that_kraken_tells_is_kept_by_its_clock() {
    let mut throttled = reply(200, r#"{"error":["EService:Throttled:1767225642"]}"#);
    let judge = |reply: &Reply| errors::judge(&private("BalanceEx"), reply).unwrap_err();
    assert_eq!(judge(&throttled), Verdict::Slow(Duration::from_secs(15)));
    let now = reqwest::header::HeaderValue::from_static("Thu, 01 Jan 2026 00:00:00 GMT");
    throttled.headers.insert("date", now);
    assert_eq!(judge(&throttled), Verdict::Slow(Duration::from_secs(42)));
}

#[test]
fn prices_are_read_from_the_stream_where_they_are_of_our_money() {
    let frame = |symbol: &str| {
        format!(
            r#"{{"channel":"ticker","type":"update","data":[{{"symbol":"{symbol}","bid":60000.1,"bid_qty":1,"ask":60000.2,
            "ask_qty":2,"last":60000.15,"volume":1}}]}}"#
        )
    };
    let (bid, ask, last) = (dec("60000.1"), dec("60000.2"), Some(dec("60000.15")));
    let best = Tick::Best { symbol: "BTC/USD".parse().unwrap(), bid, ask, last };
    assert_eq!(news::ticks(&frame("BTC/USD"), "USD"), [best]);
    assert_eq!(news::ticks(&frame("BTC/EUR"), "USD"), []);
    assert_eq!(news::ticks(r#"{"channel":"heartbeat"}"#, "USD"), []);
    let kraken = Kraken::new("USD".to_owned(), Tier::Intermediate);
    let wished = kraken.wish(&["BTC/USD".parse().unwrap(), "BTC/EUR".parse().unwrap()], true);
    let wished: serde_json::Value = serde_json::from_str(&wished[0]).unwrap();
    assert_eq!(
        wished,
        json!({"method": "subscribe",
            "params": {"channel": "ticker", "symbol": ["BTC/USD"], "event_trigger": "bbo"}})
    );
    assert!(kraken.wish(&["BTC/EUR".parse().unwrap()], true).is_empty());
}
