//! Orders trade, end and are found as at the real venue.

use reqwest::Method;
use serde_json::{Value, json};
use venues::book::{FillMode, Status};

use crate::support::{PAIR, Venue, d, limit, market};

#[tokio::test]
async fn the_answer_says_as_much_as_is_asked() {
    let venue = Venue::start().await;
    let full = venue.place(&market("BUY", "0.1", "full")).await;
    for (name, value) in [
        ("symbol", json!("BTCUSDT")),
        ("orderListId", json!(-1)),
        ("clientOrderId", json!("full")),
        ("price", json!("0.00000000")),
        ("origQty", json!("0.10000000")),
        ("executedQty", json!("0.10000000")),
        ("origQuoteOrderQty", json!("0.00000000")),
        ("cummulativeQuoteQty", json!("6001.00000000")),
        ("status", json!("FILLED")),
        ("timeInForce", json!("GTC")),
        ("type", json!("MARKET")),
        ("side", json!("BUY")),
    ] {
        assert_eq!(full[name], value, "{name}");
    }
    let fill = json!([{"price": "60010.00000000", "qty": "0.10000000", "commission": "0.00010000",
        "commissionAsset": "BTC", "tradeId": 1}]);
    assert_eq!(full["fills"], fill);
    assert_eq!(venue.balance("BTC").await, ("1.0999".to_owned(), "0".to_owned()));

    let ack = venue.place(&format!("{}&newOrderRespType=ACK", market("SELL", "0.1", "ack"))).await;
    let mut names: Vec<&String> = ack.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["clientOrderId", "orderId", "orderListId", "symbol", "transactTime"]);
    let result = venue.place(&format!("{}&newOrderRespType=RESULT", market("SELL", "0.1", "result"))).await;
    assert_eq!((&result["status"], &result["fills"]), (&json!("FILLED"), &Value::Null));
    let stop = venue.place("side=SELL&type=STOP_LOSS&quantity=0.1&stopPrice=59000").await;
    assert_eq!(stop["status"], Value::Null, "a stop is only acknowledged");
    let order = venue.named("result").await;
    assert_eq!(
        (&order["orderId"], &order["cummulativeQuoteQty"]),
        (&result["orderId"], &json!("6000.00000000"))
    );
    assert_eq!((&order["stopPrice"], &order["isWorking"]), (&json!("0.00000000"), &json!(true)));
}

#[tokio::test]
async fn money_buys_whole_steps() {
    let venue = Venue::start().await;
    let bought = venue.place("side=BUY&type=MARKET&quoteOrderQty=1000").await;
    assert_eq!(
        (&bought["executedQty"], &bought["origQuoteOrderQty"]),
        (&json!("0.01666000"), &json!("1000.00000000"))
    );
    assert_eq!(bought["cummulativeQuoteQty"], "999.76660000");
    let sold = venue.place("side=SELL&type=MARKET&quoteOrderQty=600").await;
    assert_eq!((&sold["executedQty"], &sold["status"]), (&json!("0.01000000"), &json!("FILLED")));
}

#[tokio::test]
async fn open_orders_lock_and_cancels_free() {
    let venue = Venue::start().await;
    let buy = venue.place(&limit("BUY", "0.1", "59000", "buy")).await;
    let sell = venue.place(&limit("SELL", "0.4", "61000", "sell")).await;
    assert_eq!(venue.balance("USDT").await, ("94100".to_owned(), "5900".to_owned()));
    assert_eq!(venue.balance("BTC").await, ("0.6".to_owned(), "0.4".to_owned()));
    let open = venue.get("/api/v3/openOrders", "symbol=BTCUSDT").await.good();
    assert_eq!((&open[0]["orderId"], &open[1]["orderId"]), (&buy["orderId"], &sell["orderId"]));
    assert_eq!(venue.get("/api/v3/openOrders", "").await.good(), open);
    let canceled = venue.cancel("origClientOrderId=buy&newClientOrderId=no-more").await.good();
    assert_eq!(
        (&canceled["origClientOrderId"], &canceled["clientOrderId"]),
        (&json!("buy"), &json!("no-more"))
    );
    assert_eq!((&canceled["status"], &canceled["orderId"]), (&json!("CANCELED"), &buy["orderId"]));
    let rest = venue.call(Method::DELETE, "/api/v3/openOrders", "symbol=BTCUSDT").await.good();
    assert_eq!((&rest[0]["origClientOrderId"], &rest[0]["status"]), (&json!("sell"), &json!("CANCELED")));
    assert_eq!(venue.balance("BTC").await, ("1".to_owned(), "0".to_owned()));
    let omitted = venue.get("/api/v3/account", "omitZeroBalances=true").await.good();
    assert_eq!(omitted["balances"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_name_is_free_again_when_its_order_is_over() {
    let venue = Venue::start().await;
    let first = venue.place(&market("BUY", "0.01", "again")).await;
    let second = venue.place(&limit("BUY", "0.01", "59000", "again")).await;
    assert_ne!(first["orderId"], second["orderId"], "a blind repeat trades twice");
    venue.order(&market("BUY", "0.01", "again")).await.refuses(400, -2010, "Duplicate order sent.");
    assert_eq!(venue.named("again").await["orderId"], second["orderId"], "the last of that name");
    let by_number = venue.get("/api/v3/order", &format!("symbol=BTCUSDT&orderId={}", first["orderId"])).await;
    assert_eq!(by_number.good()["status"], "FILLED");
}

#[tokio::test]
async fn what_cannot_trade_at_once_expires() {
    let venue = Venue::start().await;
    let away = |tif: &str| format!("side=BUY&type=LIMIT&timeInForce={tif}&quantity=0.1&price=59000");
    let ioc = venue.place(&away("IOC")).await;
    assert_eq!(
        (&ioc["status"], &ioc["expiryReason"]),
        (&json!("EXPIRED"), &json!("UNFILLED_IOC_QUANTITY_EXPIRED"))
    );
    let fok = venue.place(&away("FOK")).await;
    assert_eq!(
        (&fok["status"], &fok["expiryReason"]),
        (&json!("EXPIRED"), &json!("UNFILLED_FOK_ORDER_EXPIRED"))
    );
    venue.world().set_fill_mode(None, FillMode::Parts { parts: 4, every_ms: 60_000 });
    let part = venue
        .place("side=BUY&type=LIMIT&timeInForce=IOC&quantity=0.1&price=60010&newClientOrderId=part")
        .await;
    assert_eq!((&part["status"], &part["executedQty"]), (&json!("EXPIRED"), &json!("0.02500000")));
}

#[tokio::test]
async fn stops_and_gains_wake_and_trailing_ones_follow() {
    let venue = Venue::start().await;
    let place = |params: &'static str| venue.place(params);
    place("side=SELL&type=STOP_LOSS&quantity=0.1&stopPrice=59000&newClientOrderId=loss").await;
    place("side=SELL&type=TAKE_PROFIT&quantity=0.1&stopPrice=61000&newClientOrderId=gain").await;
    place("side=SELL&type=STOP_LOSS&quantity=0.1&trailingDelta=500&newClientOrderId=trail").await;
    place("side=SELL&type=TAKE_PROFIT_LIMIT&timeInForce=GTC&quantity=0.1&price=60900&stopPrice=62000&trailingDelta=100&newClientOrderId=late").await;
    let trail = venue.named("trail").await;
    assert_eq!(
        (&trail["type"], &trail["trailingDelta"], &trail["isWorking"]),
        (&json!("STOP_LOSS"), &json!(500), &json!(false))
    );
    let late = venue.named("late").await;
    assert_eq!(
        (&late["type"], &late["trailingTime"], &late["stopPrice"]),
        (&json!("TAKE_PROFIT_LIMIT"), &json!(-1), &json!("62000.00000000"))
    );
    venue.price("61000", "61010");
    let status = async |name: &str| venue.named(name).await["status"].as_str().unwrap().to_owned();
    assert_eq!(status("gain").await, "FILLED");
    venue.price("62000", "62010");
    assert_ne!(venue.named("late").await["trailingTime"], json!(-1));
    venue.price("61380", "61390");
    assert_eq!(
        venue.named("late").await["cummulativeQuoteQty"],
        "6138.00000000",
        "a hundredth below the best"
    );
    assert_eq!(status("trail").await, "NEW");
    venue.price("58900", "58910");
    assert_eq!((status("trail").await, status("loss").await), ("FILLED".to_owned(), "FILLED".to_owned()));
}

#[tokio::test]
async fn of_two_orders_one_ends_the_other() {
    let venue = Venue::start().await;
    let params = "symbol=BTCUSDT&side=SELL&quantity=0.5&listClientOrderId=both&aboveType=LIMIT_MAKER&abovePrice=61000\
        &aboveClientOrderId=gain&belowType=STOP_LOSS_LIMIT&belowStopPrice=59000&belowPrice=58900\
        &belowTimeInForce=GTC&belowClientOrderId=loss";
    let oco = || venue.call(Method::POST, "/api/v3/orderList/oco", params);
    let taken = oco().await.good();
    let shown: Vec<&Value> = ["contingencyType", "listStatusType", "listOrderStatus", "listClientOrderId"]
        .map(|name| &taken[name])
        .into();
    assert_eq!(shown, ["OCO", "EXEC_STARTED", "EXECUTING", "both"]);
    let reports = taken["orderReports"].as_array().unwrap();
    assert_eq!((&reports[0]["type"], &reports[0]["stopPrice"]), (&json!("LIMIT_MAKER"), &Value::Null));
    assert_eq!(
        (&reports[1]["type"], &reports[1]["stopPrice"]),
        (&json!("STOP_LOSS_LIMIT"), &json!("59000.00000000"))
    );
    assert!(reports.iter().all(|report| report["orderListId"] == taken["orderListId"]));
    assert_eq!(venue.balance("BTC").await, ("0.5".to_owned(), "0.5".to_owned()), "locked once");
    oco().await.refuses(400, -2010, "Duplicate order sent.");

    venue.price("58950", "58960");
    assert_eq!(venue.named("gain").await["status"], "EXPIRED");
    assert_eq!(venue.named("gain").await["expiryReason"], "OCO_TRIGGER");
    assert_eq!(venue.named("loss").await["status"], "FILLED");
    let list = venue.get("/api/v3/orderList", "origClientOrderId=both").await.good();
    assert_eq!((&list["orderListId"], &list["listStatusType"]), (&taken["orderListId"], &json!("ALL_DONE")));

    venue.price("60000", "60010");
    let second = oco().await.good();
    let number = &second["orderListId"];
    let canceled = venue.cancel("origClientOrderId=loss").await.good();
    assert_eq!((&canceled["orderListId"], &canceled["listOrderStatus"]), (number, &json!("ALL_DONE")));
    assert!(canceled["orderReports"].as_array().unwrap().iter().all(|report| report["status"] == "CANCELED"));
    let third = oco().await.good();
    let delete = async |params: String| venue.call(Method::DELETE, "/api/v3/orderList", &params).await;
    let number = &third["orderListId"];
    assert_eq!(
        delete(format!("symbol=BTCUSDT&orderListId={number}")).await.good()["listStatusType"],
        "ALL_DONE"
    );
    let gone = delete("symbol=BTCUSDT&listClientOrderId=both".to_owned()).await;
    gone.refuses(400, -2011, "Unknown order list sent.");
    let nobody = venue.get("/api/v3/orderList", "orderListId=99").await;
    nobody.refuses(400, -2013, "Order list does not exist.");
}

#[tokio::test]
async fn trades_are_told_page_by_page() {
    let venue = Venue::start().await;
    venue.world().set_fill_mode(None, FillMode::Manual);
    let id = venue.place(&limit("BUY", "0.3", "59000", "parts")).await["orderId"].clone();
    let order = venue.world().order("K", "parts").unwrap().id;
    for price in ["58990", "58980", "58970"] {
        venue.world().fill(order, Some(d("0.1")), d(price)).unwrap();
    }
    let shown = venue.named("parts").await;
    assert_eq!(
        (&shown["status"], &shown["cummulativeQuoteQty"]),
        (&json!("FILLED"), &json!("17694.00000000"))
    );
    let trades = async |params: &str| {
        let all = venue.get("/api/v3/myTrades", &format!("symbol=BTCUSDT{params}")).await.good();
        all.as_array().unwrap().clone()
    };
    let all = trades("").await;
    let first = &all[0];
    assert_eq!(
        (&first["id"], &first["orderId"], &first["price"]),
        (&json!(1), &id, &json!("58990.00000000"))
    );
    assert_eq!((&first["commission"], &first["commissionAsset"]), (&json!("0.00010000"), &json!("BTC")));
    assert_eq!(
        (&first["quoteQty"], &first["isBuyer"], &first["isMaker"]),
        (&json!("5899.00000000"), &json!(true), &json!(true))
    );
    let ids =
        |trades: Vec<Value>| trades.iter().map(|trade| trade["id"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(ids(trades("&limit=2").await), [2, 3], "the last ones");
    assert_eq!(ids(trades("&fromId=1&limit=2").await), [1, 2]);
    assert_eq!(ids(trades(&format!("&orderId={id}&fromId=3")).await), [3]);
    assert_eq!(ids(trades(&format!("&startTime={}", venue.now() + 60_000)).await), [0; 0]);
    let long = venue.get("/api/v3/myTrades", "symbol=BTCUSDT&startTime=0&endTime=86400001").await;
    long.refuses(400, -1127, "More than 24 hours between startTime and endTime.");
    let every = venue.get("/api/v3/allOrders", "symbol=BTCUSDT").await.good();
    assert_eq!(every[0]["clientOrderId"], "parts");
}

#[tokio::test]
async fn everybody_may_know_the_time_and_the_prices() {
    let venue = Venue::start().await;
    assert_eq!(venue.look("/api/v3/ping").await.good(), json!({}));
    let time = venue.look("/api/v3/time").await.good()["serverTime"].as_i64().unwrap();
    assert!((time - venue.now()).abs() < 2000);
    let ticker = json!({"symbol": "BTCUSDT", "bidPrice": "60000.00000000", "bidQty": "100.00000000",
        "askPrice": "60010.00000000", "askQty": "100.00000000"});
    assert_eq!(venue.look("/api/v3/ticker/bookTicker?symbol=BTCUSDT").await.good(), ticker);
    assert_eq!(
        venue.look("/api/v3/ticker/bookTicker?symbols=%5B%22BTCUSDT%22%5D").await.good(),
        json!([ticker])
    );
    let price = venue.look("/api/v3/ticker/price").await.good();
    assert_eq!(price, json!([{"symbol": "BTCUSDT", "price": "60000.00000000"}]));
    let unknown = venue.look("/api/v3/ticker/bookTicker?symbol=ETHUSDT").await;
    unknown.refuses(400, -1121, "Invalid symbol.");
}

#[tokio::test]
async fn what_the_venue_ends_is_ended() {
    let venue = Venue::start().await;
    for (name, end, shown) in [
        ("e", Status::Expired, "EXPIRED"),
        ("r", Status::Rejected, "REJECTED"),
        ("c", Status::Canceled, "CANCELED"),
    ] {
        venue.place(&limit("BUY", "0.01", "59000", name)).await;
        let id = venue.world().order("K", name).unwrap().id;
        venue.world().end(id, end).unwrap();
        assert_eq!(venue.named(name).await["status"], shown);
    }
    assert_eq!(venue.world().account("K").unwrap().qty(PAIR), d("1"));
}
