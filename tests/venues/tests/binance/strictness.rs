//! What the real venue refuses is refused, in its words.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;
use venues::account::{AccountChange, KeyRights};
use venues::instrument::Instrument;
use venues::signed::{Hash, Signed};

use crate::support::{Venue, d, limit, market};

const ACCOUNT: &str = "/api/v3/account";

#[tokio::test]
async fn only_who_signs_comes_in() {
    let venue = Venue::start().await;
    let good = venue.signed("");
    let get = |query: String, key: Option<&'static str>| {
        let venue = &venue;
        async move { venue.send(Method::GET, &format!("{ACCOUNT}?{query}"), key, None).await.unwrap() }
    };
    assert_eq!(get(good.clone(), Some("K")).await.status, 200);
    get(good.clone(), None).await.refuses(401, -2014, "API-key format invalid.");
    get(good.clone(), Some("no key")).await.refuses(401, -2014, "API-key format invalid.");
    let not_good = "Invalid API-key, IP, or permissions for action.";
    get(good.clone(), Some("K2")).await.refuses(401, -2015, not_good);
    let unsigned = "Signature for this request is not valid.";
    get(format!("{good}&recvWindow=5000"), Some("K")).await.refuses(400, -1022, unsigned);
    get(good.replace("signature=", "signature=0"), Some("K")).await.refuses(400, -1022, unsigned);
    let missing =
        |name: &str| format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed.");
    get(format!("timestamp={}", venue.now()), Some("K")).await.refuses(400, -1102, &missing("signature"));
    get("signature=0".to_owned(), Some("K")).await.refuses(400, -1102, &missing("timestamp"));

    let at = |ms: i64, more: &str| {
        let text = format!("timestamp={}{more}", venue.now() + ms);
        format!("{text}&signature={}", Signed::hmac(Hash::Sha256, b"S", text.as_bytes()).hex())
    };
    let late = "Timestamp for this request is outside of the recvWindow.";
    get(at(-5100, ""), Some("K")).await.refuses(400, -1021, late);
    assert_eq!(get(at(-5100, "&recvWindow=9000"), Some("K")).await.status, 200);
    let early = "Timestamp for this request was 1000ms ahead of the server's time.";
    get(at(1900, ""), Some("K")).await.refuses(400, -1021, early);
    venue.world().set_clock_offset(TimeDelta::seconds(10));
    let by_my_clock = at(-10_000, "");
    get(by_my_clock, Some("K")).await.refuses(400, -1021, late);
    assert_eq!(get(at(0, ""), Some("K")).await.status, 200, "whose clock it is by");

    venue
        .world()
        .change_account("K", &AccountChange { secret: Some("S2".to_owned()), ..AccountChange::default() })
        .unwrap();
    get(venue.signed(""), Some("K")).await.refuses(400, -1022, unsigned);
    venue.world().revoke("K", true).unwrap();
    get(venue.signed(""), Some("K")).await.refuses(401, -2015, not_good);
}

#[tokio::test]
async fn the_exact_bytes_are_signed() {
    let venue = Venue::start().await;
    let order = |name: &str| {
        format!(
            "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=59000&newClientOrderId={name}"
        )
    };
    let sign = |text: &str| Signed::hmac(Hash::Sha256, b"S", text.as_bytes()).hex();
    let post = |query: String, body: String| {
        let venue = &venue;
        async move {
            let target = format!("/api/v3/order?{query}");
            venue.send(Method::POST, &target, Some("K"), Some(&body)).await.unwrap()
        }
    };
    let now = venue.now();
    let (query, body) = (order("split"), format!("timestamp={now}&newOrderRespType=ACK"));
    let signature = sign(&format!("{query}{body}"));
    assert_eq!(
        post(query.clone(), format!("{body}&signature={signature}")).await.good()["clientOrderId"],
        "split"
    );
    let joined = sign(&format!("{query}&{body}"));
    let refused = post(query, format!("{body}&signature={joined}")).await;
    refused.refuses(400, -1022, "Signature for this request is not valid.");

    let body = format!("{}&timestamp={now}", order("in%2Dthe%2Dform"));
    let signature = sign(&body);
    let taken = post(String::new(), format!("{body}&signature={signature}")).await.good();
    assert_eq!(taken["clientOrderId"], "in-the-form", "what is encoded is signed encoded");
    let decoded = sign(&body.replace("%2D", "-"));
    let refused = post(String::new(), format!("{body}&signature={decoded}")).await;
    refused.refuses(400, -1022, "Signature for this request is not valid.");

    let query = format!("newClientOrderId=asked&timestamp={now}");
    let body = order("told");
    let signature = sign(&format!("{query}{body}"));
    let taken = post(format!("{query}&signature={signature}"), body).await.good();
    assert_eq!(taken["clientOrderId"], "asked", "the query counts before the form");
}

#[tokio::test]
async fn a_key_may_only_what_it_is_allowed() {
    let venue = Venue::start().await;
    let allow = |key: KeyRights| {
        let change = AccountChange { key: Some(key), ..AccountChange::default() };
        venue.world().change_account("K", &change).unwrap();
    };
    let not_good = "Invalid API-key, IP, or permissions for action.";
    allow(KeyRights { trade: false, withdraw: true, bound_to_ip: true, ..KeyRights::default() });
    venue.order(&market("BUY", "0.01", "no")).await.refuses(401, -2015, not_good);
    let account = venue.get(ACCOUNT, "").await.good();
    assert_eq!((&account["canTrade"], &account["canWithdraw"]), (&json!(false), &json!(true)));
    let rights = venue.get("/sapi/v1/account/apiRestrictions", "").await.good();
    for (name, is) in [
        ("ipRestrict", true),
        ("enableReading", true),
        ("enableSpotAndMarginTrading", false),
        ("enableWithdrawals", true),
        ("enableFutures", false),
    ] {
        assert_eq!(rights[name], json!(is), "{name}");
    }
    allow(KeyRights { read: false, ..KeyRights::default() });
    venue.get(ACCOUNT, "").await.refuses(401, -2015, not_good);
    venue.place(&market("BUY", "0.01", "blind")).await;
    allow(KeyRights::default());
    let blocked = AccountChange { trading_blocked: Some(true), ..AccountChange::default() };
    venue.world().change_account("K", &blocked).unwrap();
    let words = "This account may not place or cancel orders.";
    venue.order(&market("BUY", "0.01", "no")).await.refuses(400, -2010, words);
}

type Said = (i64, String);

fn said(code: i64, words: &str) -> Said {
    (code, words.to_owned())
}

fn missing(name: &str) -> Said {
    (-1102, format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."))
}

fn not_required(name: &str) -> Said {
    (-1106, format!("Parameter '{name}' sent when not required."))
}

fn illegal(name: &str, range: &str) -> Said {
    (-1100, format!("Illegal characters found in parameter '{name}'; legal range is '{range}'."))
}

async fn is_told(venue: &Venue, params: &str, (code, words): Said) {
    let reply = venue.order(params).await;
    let body = reply.json();
    assert_eq!((reply.status, &body["code"], &body["msg"]), (400, &json!(code), &json!(words)), "{params}");
}

#[tokio::test]
async fn parameters_fit_the_type() {
    let venue = Venue::start().await;
    let limit = "side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=59000";
    for (params, told) in [
        ("type=MARKET&quantity=1", missing("side")),
        ("side=LONG&type=MARKET&quantity=1", said(-1117, "Invalid side.")),
        ("side=BUY&quantity=1", missing("type")),
        ("side=BUY&type=STOP_MARKET&quantity=1", said(-1116, "Invalid orderType.")),
        ("side=BUY&type=LIMIT&quantity=1&price=1", missing("timeInForce")),
        ("side=BUY&type=LIMIT&timeInForce=DAY&quantity=1&price=1", said(-1115, "Invalid timeInForce.")),
        ("side=BUY&type=LIMIT&timeInForce=GTC&quantity=1", missing("price")),
        ("side=BUY&type=LIMIT&timeInForce=GTC&price=59000", missing("quantity")),
        (
            "side=BUY&type=MARKET",
            said(-1102, "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!"),
        ),
        (
            "side=BUY&type=MARKET&quantity=1&quoteOrderQty=1",
            said(-1128, "Combination of optional parameters invalid."),
        ),
        ("side=BUY&type=MARKET&quantity=1&price=59000", not_required("price")),
        ("side=BUY&type=MARKET&quantity=1&timeInForce=IOC", not_required("timeInForce")),
        ("side=BUY&type=LIMIT_MAKER&quantity=1&price=1&timeInForce=GTC", not_required("timeInForce")),
        (&format!("{limit}&stopPrice=1"), not_required("stopPrice")),
        (&format!("{limit}&trailingDelta=100"), not_required("trailingDelta")),
        (&format!("{limit}&quoteOrderQty=1"), not_required("quoteOrderQty")),
        (
            "side=SELL&type=STOP_LOSS&quantity=1",
            said(-1102, "Param 'stopPrice' or 'trailingDelta' must be sent, but both were empty/null!"),
        ),
    ] {
        is_told(&venue, params, told).await;
    }
    assert!(venue.world().orders(None).is_empty());
}

#[tokio::test]
async fn parameters_are_read_and_well_formed() {
    let venue = Venue::start().await;
    let number = "^([0-9]{1,20})(\\.[0-9]{1,20})?$";
    let limit = "side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=59000";
    for (params, told) in [
        ("side=BUY&type=MARKET&quantity=-1", illegal("quantity", number)),
        ("side=BUY&type=MARKET&quantity=1e1", illegal("quantity", number)),
        ("side=BUY&type=MARKET&quantity=", said(-1105, "Parameter 'quantity' was empty.")),
        (
            "side=BUY&type=MARKET&quantity=0.000000001",
            said(-1111, "Parameter 'quantity' has too much precision."),
        ),
        (
            "side=BUY&type=MARKET&quantity=1&newClientOrderId=a%20b",
            illegal("newClientOrderId", "^[a-zA-Z0-9-_]{1,36}$"),
        ),
        (
            &format!("side=BUY&type=MARKET&quantity=1&newClientOrderId={}", "n".repeat(37)),
            illegal("newClientOrderId", "^[a-zA-Z0-9-_]{1,36}$"),
        ),
        (
            "side=BUY&type=MARKET&quantity=1&side=SELL",
            said(-1101, "Duplicate values for a parameter detected."),
        ),
        (
            "side=BUY&type=MARKET&quantity=1&reduceOnly=true",
            said(-1104, "Not all sent parameters were read; read '6' parameter(s) but was sent '7'."),
        ),
        (
            "side=BUY&type=MARKET&quantity=1&newOrderRespType=ALL",
            said(-1130, "Data sent for parameter 'newOrderRespType' is not valid."),
        ),
        (&format!("{limit}&icebergQty=0.02"), said(-2010, "IcebergQty exceeds QTY.")),
        ("side=BUY&type=MARKET&quantity=1&icebergQty=0.1", not_required("icebergQty")),
        (&format!("{limit}&strategyType=5"), said(-1134, "`strategyType` was less than 1000000.")),
    ] {
        is_told(&venue, params, told).await;
    }
    let post = |params: &'static str| venue.call(Method::POST, "/api/v3/order", params);
    let order = "side=BUY&type=MARKET&quantity=1";
    post(order).await.refuses(400, -1102, &missing("symbol").1);
    let words = "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'.";
    post("symbol=BTC/USDT&side=BUY&type=MARKET&quantity=1").await.refuses(400, -1100, words);
    post("symbol=BTCEUR&side=BUY&type=MARKET&quantity=1").await.refuses(400, -1121, "Invalid symbol.");
    assert!(venue.world().orders(None).is_empty());
    assert_eq!(venue.look("/api/v3/nothing").await.status, 404);
    assert_eq!(venue.call(Method::PUT, "/api/v3/order", "").await.status, 405);
}

#[tokio::test]
async fn filters_let_through_what_exchange_info_says() {
    let venue = Venue::start().await;
    let info = venue.look("/api/v3/exchangeInfo?symbol=BTCUSDT").await.good();
    let symbol = &info["symbols"][0];
    let filter = |name: &str| {
        let all = symbol["filters"].as_array().unwrap();
        all.iter().find(|filter| filter["filterType"] == name).unwrap().clone()
    };
    assert_eq!((&symbol["symbol"], &symbol["status"]), (&json!("BTCUSDT"), &json!("TRADING")));
    assert_eq!(filter("PRICE_FILTER")["tickSize"], "0.01000000");
    let lot = filter("LOT_SIZE");
    let texts = [&lot["minQty"], &lot["maxQty"], &lot["stepSize"]].map(|text| text.as_str().unwrap());
    assert_eq!(texts, ["0.00001000", "9000.00000000", "0.00001000"]);
    assert_eq!(filter("NOTIONAL")["minNotional"], "5.00000000");
    assert_eq!(
        (&filter("TRAILING_DELTA")["minTrailingBelowDelta"], filter("MAX_NUM_ALGO_ORDERS")),
        (&json!(10), json!({"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5}))
    );

    let limit =
        |qty: &str, price: &str| format!("side=BUY&type=LIMIT&timeInForce=GTC&quantity={qty}&price={price}");
    for (params, name) in [
        (limit("0.01", "59000.001"), "PRICE_FILTER"),
        (limit("0.01", "0"), "PRICE_FILTER"),
        (limit("0.010001", "59000"), "LOT_SIZE"),
        (limit("0.000001", "59000"), "LOT_SIZE"),
        (limit("9001", "59000"), "LOT_SIZE"),
        (limit("0.00008", "59000"), "NOTIONAL"),
        (limit("0.01", "300000.01"), "PERCENT_PRICE_BY_SIDE"),
        (limit("0.01", "11999.99"), "PERCENT_PRICE_BY_SIDE"),
        ("side=BUY&type=MARKET&quantity=0.00008".to_owned(), "NOTIONAL"),
        ("side=BUY&type=MARKET&quoteOrderQty=4.99".to_owned(), "NOTIONAL"),
        ("side=SELL&type=STOP_LOSS&quantity=0.1&trailingDelta=9".to_owned(), "TRAILING_DELTA"),
        ("side=SELL&type=STOP_LOSS&quantity=0.1&trailingDelta=2001".to_owned(), "TRAILING_DELTA"),
        ("side=SELL&type=STOP_LOSS&quantity=0.1&stopPrice=50000.005".to_owned(), "PRICE_FILTER"),
        (format!("{}&icebergQty=0.0009", limit("0.01", "59000")), "ICEBERG_PARTS"),
    ] {
        venue.order(&params).await.refuses(400, -1013, &format!("Filter failure: {name}"));
    }
    venue.place(&format!("{}&icebergQty=0.001", limit("0.01", "59000"))).await;
    for stop in 0..5 {
        venue.place(&format!("side=SELL&type=STOP_LOSS&quantity=0.01&stopPrice=5000{stop}")).await;
    }
    let sixth = venue.order("side=SELL&type=STOP_LOSS&quantity=0.01&stopPrice=50005").await;
    sixth.refuses(400, -1013, "Filter failure: MAX_NUM_ALGO_ORDERS");
}

#[tokio::test]
async fn the_engine_refuses_in_its_words() {
    let venue = Venue::start().await;
    let money = "Account has insufficient balance for requested action.";
    venue.order(&market("BUY", "2", "a")).await.refuses(400, -2010, money);
    venue.order(&market("SELL", "1.1", "a")).await.refuses(400, -2010, money);
    venue.place(&limit("SELL", "0.6", "61000", "b")).await;
    venue.order(&market("SELL", "0.5", "a")).await.refuses(400, -2010, money);
    venue.order(&limit("SELL", "0.1", "61000", "b")).await.refuses(400, -2010, "Duplicate order sent.");
    let soon = "Order would trigger immediately.";
    for params in [
        "side=SELL&type=STOP_LOSS&quantity=0.1&stopPrice=60000",
        "side=BUY&type=STOP_LOSS&quantity=0.1&stopPrice=60000",
        "side=SELL&type=TAKE_PROFIT&quantity=0.1&stopPrice=60000",
        "side=BUY&type=TAKE_PROFIT_LIMIT&timeInForce=GTC&quantity=0.1&price=60000&stopPrice=60000",
    ] {
        venue.order(params).await.refuses(400, -2010, soon);
    }
    let takes = "Order would immediately match and take.";
    venue.order("side=BUY&type=LIMIT_MAKER&quantity=0.1&price=60010").await.refuses(400, -2010, takes);
    venue.place("side=BUY&type=LIMIT_MAKER&quantity=0.1&price=60009.99").await;
    let pegged = venue.order(&format!("{}&pegPriceType=PRIMARY_PEG", market("BUY", "0.1", "p"))).await;
    pegged.refuses(400, -2010, "Pegged orders are not supported for this symbol.");

    let closed = "Market is closed.";
    venue.world().set_halted("BTC/USDT", true);
    venue.order(&market("BUY", "0.1", "c")).await.refuses(400, -2010, closed);
    let status = venue.look("/api/v3/exchangeInfo").await.good()["symbols"][0]["status"].clone();
    assert_eq!(status, "HALT");
    venue.world().set_halted("BTC/USDT", false);
    let delisted = Instrument { tradable: false, ..Instrument::new("BTC/USDT") };
    venue.world().list(delisted);
    venue.order(&market("BUY", "0.1", "c")).await.refuses(400, -2010, closed);
}

#[tokio::test]
async fn what_is_not_there_is_neither_found_nor_canceled() {
    let venue = Venue::start().await;
    let get = |params: &'static str| venue.get("/api/v3/order", params);
    get("symbol=BTCUSDT&orderId=7").await.refuses(400, -2013, "Order does not exist.");
    get("symbol=BTCUSDT&origClientOrderId=x").await.refuses(400, -2013, "Order does not exist.");
    let neither = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!";
    get("symbol=BTCUSDT").await.refuses(400, -1102, neither);
    venue.cancel("origClientOrderId=x").await.refuses(400, -2011, "Unknown order sent.");
    let id = venue.place(&limit("BUY", "0.01", "50000", "mine")).await["orderId"].clone();
    let both =
        venue.get("/api/v3/order", &format!("symbol=BTCUSDT&orderId={id}&origClientOrderId=other")).await;
    both.refuses(400, -2013, "Order does not exist.");
    venue.world().set_price(&venues::feed::Price::flat("ETH/USDT", d("3000")));
    let other = venue.get("/api/v3/order", &format!("symbol=ETHUSDT&orderId={id}")).await;
    other.refuses(400, -2013, "Order does not exist.");
    let words = "Order was not canceled due to cancel restrictions.";
    let only = format!("orderId={id}&cancelRestrictions=ONLY_PARTIALLY_FILLED");
    venue.cancel(&only).await.refuses(400, -2011, words);
    venue.cancel("orderId=1&cancelRestrictions=ALL").await.refuses(400, -1145, "Invalid cancelRestrictions");
    venue.cancel(&format!("orderId={id}&cancelRestrictions=ONLY_NEW")).await.good();
    venue.cancel(&format!("orderId={id}")).await.refuses(400, -2011, "Unknown order sent.");
    let none = venue.call(Method::DELETE, "/api/v3/openOrders", "symbol=BTCUSDT").await;
    none.refuses(400, -2011, "Unknown order sent.");
}

#[tokio::test]
async fn a_test_order_is_checked_and_not_placed() {
    let venue = Venue::start().await;
    let test = async |params: String| venue.call(Method::POST, "/api/v3/order/test", &params).await;
    assert_eq!(test(format!("symbol=BTCUSDT&{}", market("BUY", "0.01", "t"))).await.good(), json!({}));
    let small = test(format!("symbol=BTCUSDT&{}", market("BUY", "0.00001", "t"))).await;
    small.refuses(400, -1013, "Filter failure: NOTIONAL");
    assert!(venue.world().orders(None).is_empty());
}

#[tokio::test]
async fn two_orders_lie_on_their_sides() {
    let venue = Venue::start().await;
    let sell = |above: &str, below: &str| format!("symbol=BTCUSDT&side=SELL&quantity=0.1&{above}&{below}");
    let buy = |above: &str, below: &str| format!("symbol=BTCUSDT&side=BUY&quantity=0.1&{above}&{below}");
    let stop_above = "aboveType=STOP_LOSS&aboveStopPrice=61000";
    let stop_below = "belowType=STOP_LOSS&belowStopPrice=59000";
    let bad = "The relationship of the prices for the orders is not correct.";
    for (params, code, words) in [
        (sell(stop_above, stop_below), -1197, "A stop loss order in a sell OCO must be below."),
        (buy(stop_above, stop_below), -1196, "A stop loss order in a buy OCO must be above."),
        (
            sell(stop_above, "belowType=LIMIT_MAKER&belowPrice=59000"),
            -1166,
            "A limit order in a sell OCO must be above.",
        ),
        (
            buy("aboveType=LIMIT_MAKER&abovePrice=61000", stop_below),
            -1165,
            "A limit order in a buy OCO must be below.",
        ),
        (
            sell("aboveType=LIMIT_MAKER&abovePrice=61000", "belowType=LIMIT_MAKER&belowPrice=59000"),
            -1168,
            "At least one OCO order must be contingent.",
        ),
        (sell("aboveType=LIMIT&abovePrice=61000", stop_below), -1158, "Order type not supported in OCO."),
        (
            sell("aboveType=LIMIT_MAKER&abovePrice=61000", "belowType=STOP_LOSS&belowStopPrice=60500"),
            -2010,
            bad,
        ),
        (
            buy("aboveType=STOP_LOSS&aboveStopPrice=59500", "belowType=LIMIT_MAKER&belowPrice=59000"),
            -2010,
            bad,
        ),
    ] {
        venue.call(Method::POST, "/api/v3/orderList/oco", &params).await.refuses(400, code, words);
    }
    assert!(venue.world().orders(None).is_empty());
}
