use secrecy::SecretString;
use trade_actors::domain::money::{Percent, Price, Quantity};
use trade_actors::domain::order::TimeInForce;
use trade_actors::domain::report::ReportedState;
use trade_actors::domain::signal::Side;

use super::*;
use crate::brokers::sample;

const KEY: &str = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A";
const SECRET: &str = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn price(text: &str) -> Price {
    Price::new(dec(text)).unwrap()
}

fn symbol() -> Symbol {
    "BTC/USDT".parse().unwrap()
}

fn venue() -> BinanceUsdm {
    BinanceUsdm { settlement: "USDT".to_owned(), keys: KEYS.parse().unwrap() }
}

fn order(kind: OrderKind) -> Ticket {
    let quantity = Quantity::new(dec("0.0100")).unwrap();
    Ticket { symbol: symbol(), quantity, kind, ..sample::ticket() }
}

fn words(ticket: &Ticket) -> String {
    let call = map::new_order(ticket, "BTCUSDT".to_owned()).unwrap();
    let id = ticket.id.to_string();
    assert!(id.len() <= 36 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
    format!("{} {}", call.path, call.encoded().replace(&id, "ID"))
}

#[test]
fn every_kind_of_order_is_written_as_binance_documents_it() {
    let (limit, trigger) = (price("60000.5"), price("59000.0"));
    let plain = |middle: &str| {
        format!(
            "/fapi/v1/order symbol=BTCUSDT&side=BUY&{middle}&quantity=0.01&newClientOrderId=ID&newOrderRespType=RESULT"
        )
    };
    let stop = |middle: &str| {
        format!(
            "/fapi/v1/algoOrder algoType=CONDITIONAL&workingType=CONTRACT_PRICE&symbol=BTCUSDT&side=BUY&{middle}\
             &quantity=0.01&clientAlgoId=ID"
        )
    };
    let percent = Trail::Percent(Percent::new(dec("1.50")));
    for (kind, expected) in [
        (OrderKind::Market, plain("type=MARKET")),
        (OrderKind::Limit { limit }, plain("type=LIMIT&timeInForce=GTC&price=60000.5")),
        (OrderKind::Stop { trigger }, stop("type=STOP_MARKET&triggerPrice=59000")),
        (
            OrderKind::StopLimit { trigger, limit: price("58900") },
            stop("type=STOP&triggerPrice=59000&timeInForce=GTC&price=58900"),
        ),
        (OrderKind::TrailingStop { trail: percent }, stop("type=TRAILING_STOP_MARKET&callbackRate=1.5")),
    ] {
        assert_eq!(words(&order(kind)), expected);
        assert!(venue().holds(symbol(), kind));
    }
    let ioc = TimeInForce::Ioc;
    let leaves =
        Ticket { time_in_force: ioc, side: Side::Sell, reduces: true, ..order(OrderKind::Limit { limit }) };
    let leaves = words(&leaves);
    assert!(leaves.contains("side=SELL&type=LIMIT&timeInForce=IOC"), "{leaves}");
    assert!(leaves.contains("&reduceOnly=true&"), "{leaves}");
    let protects = Ticket { side: Side::Sell, reduces: true, ..order(OrderKind::Stop { trigger }) };
    assert!(words(&protects).contains("&reduceOnly=true&"));
}

#[test]
fn what_binance_has_not_is_refused_by_name_and_not_held() {
    let by = |percent: &str| OrderKind::TrailingStop { trail: Trail::Percent(Percent::new(dec(percent))) };
    for kind in [
        OrderKind::TrailingStop { trail: Trail::Amount(price("5")) },
        by("0.05"),
        by("0.15"),
        by("10.1"),
        OrderKind::Oco { limit: price("2"), trigger: price("1") },
    ] {
        let Err(Verdict::Refused(refusal)) = map::new_order(&order(kind), "BTCUSDT".to_owned()) else {
            panic!("{kind:?} was not refused");
        };
        assert!(refusal.message.contains("Nothing was sent."), "{}", refusal.message);
        assert!(!venue().holds(symbol(), kind));
    }
    assert!(venue().holds(symbol(), by("0.1")) && venue().holds(symbol(), by("10")));
}

/// The signature is the spot market's, whose vectors are published; a key of the stream is asked for without one.
#[test]
fn requests_are_signed_and_keys_of_the_stream_are_not() {
    let auth = Auth::ApiKey { key_id: KEY.into(), secret: SecretString::from(SECRET) };
    let at = DateTime::from_timestamp_millis(1_499_827_319_559).unwrap();
    let moment = Moment { at, nonce: 1, host: "fapi.binance.com".to_owned() };
    let signed = venue().sign(Some(&auth), &Call::get("/fapi/v3/account"), &moment).unwrap();
    let (query, signature) = signed.target.split_once("&signature=").unwrap();
    assert_eq!(query, "/fapi/v3/account?recvWindow=3000&timestamp=1499827319559");
    // Computed with OpenSSL.
    assert_eq!(signature, "0e4bf6b615ab9d96569e8bff70046809955a790e533b39b6c7cf7e7cd90a66bf");
    let keyed = venue().sign(Some(&auth), &Call::post(LISTEN_KEY), &moment).unwrap();
    assert_eq!((keyed.target.as_str(), keyed.headers["x-mbx-apikey"].to_str().unwrap()), (LISTEN_KEY, KEY));
    assert!(
        venue()
            .sign(Some(&Auth::OAuth { access_token: "t".into() }), &Call::post(LISTEN_KEY), &moment)
            .is_none()
    );
}

const CONTRACT: &str = r#"{"symbol":"BTCUSDT","pair":"BTCUSDT","contractType":"PERPETUAL","status":"TRADING","baseAsset":"BTC",
    "quoteAsset":"USDT","marginAsset":"USDT","pricePrecision":2,"quantityPrecision":3,"filters":[
    {"filterType":"PRICE_FILTER","minPrice":"556.80","maxPrice":"4529764","tickSize":"0.10"},
    {"filterType":"LOT_SIZE","minQty":"0.001","maxQty":"1000","stepSize":"0.001"},
    {"filterType":"MARKET_LOT_SIZE","minQty":"0.001","maxQty":"120","stepSize":"0.001"},
    {"filterType":"MIN_NOTIONAL","notional":"100"}]}"#;

#[test]
fn only_perpetuals_of_our_margin_are_traded_by_their_filters() {
    let row: wire::Listed = serde_json::from_str(CONTRACT).unwrap();
    let rules = map::instrument(&row, "USDT").unwrap();
    assert_eq!(
        (rules.tick.to_string(), rules.lot.to_string(), rules.min_notional.get(), rules.tradable),
        ("0.1".to_owned(), "0.001".to_owned(), dec("100"), true),
        "the precision of prices is not their step"
    );
    for (old, new) in [
        ("PERPETUAL", "CURRENT_QUARTER"),
        ("PERPETUAL", "TRADIFI_PERPETUAL"),
        (r#""marginAsset":"USDT""#, r#""marginAsset":"USDC""#),
        (r#"{"symbol":"BTCUSDT""#, r#"{"symbol":"BTCUSDT_260327""#),
    ] {
        let row: wire::Listed = serde_json::from_str(&CONTRACT.replacen(old, new, 1)).unwrap();
        assert!(map::instrument(&row, "USDT").is_none(), "{new}");
    }
    let halted: wire::Listed = serde_json::from_str(&CONTRACT.replace("TRADING", "SETTLING")).unwrap();
    assert!(!map::instrument(&halted, "USDT").unwrap().tradable);
}

fn account(positions: &str) -> wire::Account {
    let text = format!(
        r#"{{"totalWalletBalance":"1000","assets":[{{"asset":"BNB","walletBalance":"3","availableBalance":"3"}},
        {{"asset":"USDT","walletBalance":"1000.00000000","availableBalance":"940.00000000"}}],"positions":[{positions}]}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn position(symbol: &str, side: &str, amount: &str, notional: &str, profit: &str) -> String {
    format!(
        r#"{{"symbol":"{symbol}","positionSide":"{side}","positionAmt":"{amount}","unrealizedProfit":"{profit}",
        "notional":"{notional}","initialMargin":"1"}}"#
    )
}

/// Cash is as if positions had been bought, so that cash and their worth are the margin balance.
#[test]
fn the_wallet_is_told_as_if_it_paid_for_positions() {
    let of = |positions: &str| map::holdings(&account(positions), "USDT").unwrap();
    let flat = of(&position("BTCUSDT", "BOTH", "0.000", "0", "0"));
    assert_eq!(
        (flat.cash, flat.free, flat.equity, flat.most),
        (dec("1000"), dec("940"), Some(dec("1000")), Some(dec("1000")))
    );
    assert_eq!(flat.units, []);
    // 0.01 at 60,000, now at 60,100.
    let long = of(&position("BTCUSDT", "BOTH", "0.010", "601.00", "1.00"));
    assert_eq!(
        (long.cash, long.equity, long.most),
        (dec("400.00"), Some(dec("1001.00")), Some(dec("400.00")))
    );
    assert_eq!((long.units[0].net, long.units[0].average), (dec("0.010"), Some(price("60000"))));
    // Sold short at 2.36, now at 2.3468: a row that Binance showed.
    let short = of(&position("WLDUSDT", "BOTH", "-849", "-1992.46079250", "11.17920750"));
    assert_eq!((short.cash, short.equity), (dec("3003.64000000"), Some(dec("1011.17920750"))));
    assert_eq!((short.units[0].net, short.units[0].average), (dec("-849"), Some(price("2.36"))));
    assert_eq!(short.most, Some(Decimal::ZERO), "more is invested already than there is");
    // A contract that ends takes margin and is none of ours; one with another margin is nothing to us.
    let others = [
        position("BTCUSDT_260327", "BOTH", "0.01", "600", "0"),
        position("BTCUSDC", "BOTH", "0.01", "600", "0"),
    ];
    let others = of(&others.join(","));
    assert_eq!((others.cash, others.most, others.units.len()), (dec("1000"), Some(dec("400")), 0));
}

#[test]
fn accounts_that_cannot_be_counted_are_refused() {
    let config = |dual, multi, trades| wire::Config {
        can_trade: trades,
        dual_side_position: dual,
        multi_assets_margin: multi,
    };
    assert_eq!(map::unfit(&config(false, false, true)), None);
    assert!(map::unfit(&config(true, false, true)).unwrap().contains("One-way Mode"));
    assert!(map::unfit(&config(false, true, true)).unwrap().contains("Single-Asset Mode"));
    assert!(map::unfit(&config(false, false, false)).unwrap().contains("may not trade"));
    let hedged = account(&position("BTCUSDT", "SHORT", "-0.010", "-600", "0"));
    let Err(Verdict::Refused(refusal)) = map::holdings(&hedged, "USDT") else { panic!("it was counted") };
    assert!(refusal.message.contains("hedge mode"), "{}", refusal.message);
}

#[test]
fn what_reduces_holds_nothing_back() {
    let short = Ticket { side: Side::Sell, ..order(OrderKind::Market) };
    assert!(venue().holds_back(&short) && venue().holds_back(&order(OrderKind::Market)));
    assert!(!venue().holds_back(&Ticket { reduces: true, ..order(OrderKind::Market) }));
}

/// The answer to a new order tells no average price: its executions do.
#[test]
fn an_answer_and_its_executions_are_one_report() {
    let ticket = order(OrderKind::Market);
    let text = r#"{"orderId":81234,"symbol":"BTCUSDT","status":"FILLED","clientOrderId":"ID","price":"0","origQty":"0.010",
        "executedQty":"0.010","cumQty":"0.010","updateTime":1767225600123}"#;
    let told: wire::Order = serde_json::from_str(&text.replace("ID", &ticket.id.to_string())).unwrap();
    let trades = r#"[{"id":77,"orderId":81234,"price":"60000.0","qty":"0.004","commission":"0.12","commissionAsset":"USDT",
        "time":1767225600120},{"id":78,"orderId":81234,"price":"60001.0","qty":"0.006","commission":"0.0002",
        "commissionAsset":"BNB","time":1767225600121}]"#;
    let trades: Vec<told::Trade> = serde_json::from_str(trades).unwrap();
    let report = map::report(&told, &trades, &ticket, "USDT", DateTime::UNIX_EPOCH);
    assert_eq!((report.state.clone(), report.broker_order.as_str()), (ReportedState::Filled, "81234"));
    let done = report.done.unwrap();
    assert_eq!((done.quantity.get(), done.price), (dec("0.010"), Some(price("60000.6"))));
    let fees: Vec<_> = report.fills.iter().map(|fill| (fill.fee.get(), fill.kept.get())).collect();
    assert_eq!(
        fees,
        [(dec("0.12"), Decimal::ZERO), (Decimal::ZERO, Decimal::ZERO)],
        "contracts are not kept"
    );
    // Executions that are not all shown yet say nothing of the average.
    assert_eq!(map::report(&told, &trades[..1], &ticket, "USDT", DateTime::UNIX_EPOCH).done, None);
    assert!(map::check_name("other", ticket.id).is_err());
}

const STOP: &str = r#"{"algoId":2146760,"clientAlgoId":"ID","algoType":"CONDITIONAL","orderType":"STOP_MARKET","symbol":"BTCUSDT",
    "side":"SELL","algoStatus":"NEW","triggerPrice":"59000","actualOrderId":"","updateTime":1767225600123}"#;

#[test]
fn a_stop_is_open_until_it_ends_or_becomes_an_order() {
    let id = order(OrderKind::Market).id;
    let read = |status: &str, became: &str| -> (wire::Algo, ReportedState) {
        let text = STOP.replace("ID", &id.to_string()).replace("\"NEW\"", &format!("\"{status}\""));
        let text = text.replace(r#""actualOrderId":"""#, &format!(r#""actualOrderId":{became}"#));
        let stop: wire::Algo = serde_json::from_str(&text).unwrap();
        let state = map::stop_report(&stop, id, DateTime::UNIX_EPOCH).state;
        (stop, state)
    };
    for (status, became, number) in [
        ("NEW", "\"\"", None),
        ("TRIGGERING", "\"\"", None),
        ("TRIGGERED", "\"8886774\"", Some(8_886_774)),
        ("FINISHED", "8886774", Some(8_886_774)),
        ("NEW", "\"0\"", None),
    ] {
        let (stop, state) = read(status, became);
        assert_eq!((stop.became(), state), (number, ReportedState::Open), "{status}");
    }
    assert_eq!(read("CANCELED", "\"\"").1, ReportedState::Canceled);
    assert_eq!(read("EXPIRED", "\"\"").1, ReportedState::Expired);
    assert!(matches!(read("REJECTED", "\"\"").1, ReportedState::Rejected(_)));
    // What it became is not shown: it is on its way there, or was forgotten, for it did nothing.
    let (ended, _) = read("FINISHED", "1");
    let at =
        |days| DateTime::from_timestamp_millis(1_767_225_600_123).unwrap() + chrono::TimeDelta::days(days);
    assert_eq!(map::stop_report(&ended, id, at(0)).state, ReportedState::Open);
    assert_eq!(map::stop_report(&ended, id, at(2)).state, ReportedState::Canceled);
    let (stop, _) = read("NEW", "\"\"");
    assert_eq!(map::standing_stop(&stop, DateTime::UNIX_EPOCH).unwrap().order, id);
    let other = wire::Algo { client_algo_id: "web_1".to_owned(), ..stop };
    assert!(map::standing_stop(&other, DateTime::UNIX_EPOCH).is_none());
}

const EVENT: &str = r#"{"e":"ORDER_TRADE_UPDATE","E":1767225600200,"T":1767225600199,"o":{"s":"BTCUSDT","c":"ID","S":"SELL",
    "o":"MARKET","f":"GTC","q":"0.010","p":"0","ap":"60000.0","sp":"0","x":"TRADE","X":"PARTIALLY_FILLED","i":81234,
    "l":"0.004","z":"0.004","L":"60000.0","n":"0.12","N":"USDT","T":1767225600199,"t":77,"R":true,"ps":"BOTH"}}"#;
const NEWS: &str = r#"{"e":"ALGO_UPDATE","T":1767225600100,"E":1767225600101,"o":{"caid":"ID","aid":2148719,"at":"CONDITIONAL",
    "o":"STOP_MARKET","s":"BTCUSDT","S":"SELL","X":"WHAT","ai":"","rm":"Reduce Only reject"}}"#;

#[test]
fn the_stream_tells_fills_stops_and_its_own_end() {
    let id = order(OrderKind::Market).id;
    let mut ear = Ear::default();
    let mut hear = |frame: &str| map::heard(&mut ear, &frame.replace("ID", &id.to_string()), "USDT");
    let report = |heard: Vec<Heard>| match &heard[..] {
        [Heard::Report(report)] => OrderReport::clone(report),
        other => panic!("{other:?}"),
    };
    let filled = report(hear(EVENT));
    assert_eq!((filled.order, filled.fills.len(), filled.fills[0].fee.get()), (id, 1, dec("0.12")));
    assert_eq!(filled.done.unwrap().price, Some(price("60000")));
    assert_eq!(hear(&EVENT.replace("ID", "autoclose-1")), [], "a liquidation is none of our orders");
    assert_eq!(report(hear(&NEWS.replace("WHAT", "NEW"))).state, ReportedState::Open);
    assert_eq!(report(hear(&NEWS.replace("WHAT", "CANCELED"))).state, ReportedState::Canceled);
    let ReportedState::Rejected(refusal) = report(hear(&NEWS.replace("WHAT", "REJECTED"))).state else {
        panic!("it is rejected")
    };
    assert!(refusal.message.contains("Reduce Only reject"), "{}", refusal.message);
    // What it became told nothing under its name: it has to be looked for.
    assert_eq!(hear(&NEWS.replace("WHAT", "TRIGGERING")), []);
    assert_eq!(hear(&NEWS.replace("WHAT", "TRIGGERED")), [Heard::Changed(id)]);
    assert_eq!(hear(&NEWS.replace("WHAT", "FINISHED")), [Heard::Gap]);
    // It told its end already.
    assert_eq!(report(hear(&EVENT.replace("PARTIALLY_FILLED", "FILLED"))).state, ReportedState::Filled);
    assert_eq!(hear(&NEWS.replace("WHAT", "FINISHED")), []);
    assert_eq!(hear(r#"{"e":"ACCOUNT_UPDATE","E":1,"T":1,"a":{"m":"FUNDING_FEE","B":[],"P":[]}}"#), []);
    let expired = r#"{"e":"listenKeyExpired","E":1767225600000,"listenKey":"x"}"#;
    assert!(matches!(hear(expired)[..], [Heard::Over(_)]));
    assert_eq!(hear("not json"), [Heard::Gap]);
}

#[test]
fn errors_are_told_apart_by_what_may_be_done_next() {
    use RefusalCode as C;
    let of = |status: u16, body: &str| {
        let headers = reqwest::header::HeaderMap::new();
        errors::judge(&Reply { status, headers, body: body.as_bytes().to_vec() }).unwrap_err()
    };
    let code = |code: i64| match of(400, &format!(r#"{{"code":{code},"msg":"Some words."}}"#)) {
        Verdict::Refused(refusal) | Verdict::Halted(refusal) => refusal.code,
        other @ (Verdict::Unsent { .. }
        | Verdict::Held { .. }
        | Verdict::Lost(_)
        | Verdict::Slow(_)
        | Verdict::Skewed
        | Verdict::Exists
        | Verdict::Missing
        | Verdict::Ended) => panic!("{code}: {other:?}"),
    };
    for (number, expected) in [
        (-2018, C::InsufficientFunds),
        (-2019, C::InsufficientFunds),
        (-2021, C::OrderRejected),
        (-2022, C::OrderRejected),
        (-4003, C::OrderRejected),
        (-4014, C::OrderRejected),
        (-4164, C::OrderRejected),
        (-4061, C::OrderRejected),
        (-4120, C::OrderRejected),
        (-4140, C::MarketClosed),
        (-1111, C::OrderRejected),
        (-1121, C::InvalidSymbol),
        (-2015, C::AuthFailed),
        (-1022, C::AuthFailed),
    ] {
        assert_eq!(code(number), expected, "{number}");
    }
    let said = |status, code: i64| of(status, &format!(r#"{{"code":{code},"msg":"x"}}"#));
    assert_eq!(said(400, -4116), Verdict::Exists);
    assert_eq!(
        (said(400, -2013), said(400, -2011), said(400, -2026)),
        (Verdict::Missing, Verdict::Missing, Verdict::Missing)
    );
    assert_eq!((said(400, -1021), said(400, -5028)), (Verdict::Skewed, Verdict::Skewed));
    assert_eq!(said(503, -1008), Verdict::throttled(Duration::from_secs(1)), "it was not taken");
    for (status, number) in [(503, -1000), (400, -1007), (400, -1006), (400, -4999), (400, -9999)] {
        assert!(matches!(said(status, number), Verdict::Lost(_)), "{status} {number}");
    }
    let Verdict::Refused(hedged) = said(400, -4061) else { panic!("it is refused") };
    assert!(hedged.message.contains("One-way Mode"), "{}", hedged.message);
}
