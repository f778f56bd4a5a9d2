//! Orders, what they come to, and what is shown of them.

use serde_json::json;

use crate::support::{PAIR, Venue, d, limit, market};

#[tokio::test]
async fn the_market_is_shown_under_its_own_names() {
    let venue = Venue::start().await;
    let pairs = venue.look("AssetPairs").await.good();
    let btc = &pairs["XXBTZUSD"];
    assert_eq!(
        [&btc["altname"], &btc["wsname"], &btc["base"], &btc["quote"], &btc["tick_size"], &btc["ordermin"]],
        ["XBTUSD", "XBT/USD", "XXBT", "ZUSD", "0.1", "0.00005"]
    );
    assert_eq!((&btc["pair_decimals"], &btc["lot_decimals"]), (&json!(1), &json!(8)));
    let ticker = venue.look("Ticker?pair=XBTUSD").await.good();
    assert_eq!(ticker["XXBTZUSD"]["a"], json!(["60010.0", "100", "100.000"]));
    venue.look("Ticker?pair=NOPE").await.refuses("EQuery:Unknown asset pair");
    let status = venue.look("SystemStatus").await.good();
    assert_eq!(status["status"], "online");
}

#[tokio::test]
async fn a_market_order_trades_and_pays_in_money() {
    let venue = Venue::start().await;
    let txid = venue.place(&market("buy", "0.1", "a")).await;
    assert_eq!(txid, "O00000-00000-000001");
    let order = venue.shown(&txid).await;
    assert_eq!(
        [
            &order["status"],
            &order["vol_exec"],
            &order["cost"],
            &order["fee"],
            &order["price"],
            &order["cl_ord_id"]
        ],
        ["closed", "0.10000000", "6001.00000", "15.00250", "60010.0", "a"]
    );
    let trade = order["trades"][0].as_str().unwrap();
    let trades = venue.call("QueryTrades", &format!("txid={trade}")).await.good();
    let shown = &trades[trade];
    assert_eq!(
        [&shown["ordertxid"], &shown["pair"], &shown["vol"], &shown["fee"]],
        [&json!(txid), &json!("XXBTZUSD"), &json!("0.10000000"), &json!("15.00250")]
    );
    let balances = venue.call("BalanceEx", "").await.good();
    assert_eq!(balances["ZUSD"], json!({"balance": "93983.99750000", "hold_trade": "0.00000000"}));
    assert_eq!(balances["XXBT"]["balance"], "1.10000000");
}

#[tokio::test]
async fn every_kind_waits_for_its_price_and_is_described() {
    let venue = Venue::start().await;
    for (params, words) in [
        ("ordertype=limit&price=61000", "limit 61000.0"),
        ("ordertype=stop-loss&price=59000&trigger=last", "stop loss 59000.0"),
        ("ordertype=stop-loss-limit&price=59000&price2=58900", "stop loss 59000.0 -> limit 58900.0"),
        ("ordertype=take-profit&price=61000", "take profit 61000.0"),
        ("ordertype=trailing-stop&price=%2B500", "trailing stop +500"),
        ("ordertype=trailing-stop&price=%2B1.5%25", "trailing stop +1.5%"),
        ("ordertype=trailing-stop-limit&price=%2B500&price2=-10", "trailing stop +500 -> limit -10"),
    ] {
        let made = venue.order(&format!("type=sell&volume=0.01&{params}")).await.good();
        assert_eq!(made["descr"]["order"], format!("sell 0.01000000 XBTUSD @ {words}"));
        let txid = made["txid"][0].as_str().unwrap();
        assert_eq!(venue.shown(txid).await["status"], "open", "{params}");
    }
    assert_eq!(venue.call("OpenOrders", "").await.good()["open"].as_object().unwrap().len(), 7);
}

#[tokio::test]
async fn an_order_is_open_then_closed_under_its_name() {
    let venue = Venue::start().await;
    let txid = venue.place(&limit("buy", "0.01", "50000", "mine")).await;
    let open = venue.call("OpenOrders", "cl_ord_id=mine").await.good();
    assert_eq!(open["open"][&txid]["vol"], "0.01000000");
    assert_eq!(venue.call("OpenOrders", "cl_ord_id=other").await.good()["open"], json!({}));
    assert_eq!(venue.call("OpenOrders", "userref=5").await.good()["open"], json!({}));
    venue.call("CancelOrder", &format!("txid={txid}")).await.good();
    assert_eq!(venue.call("OpenOrders", "cl_ord_id=mine").await.good()["open"], json!({}));
    let closed = venue.call("ClosedOrders", "cl_ord_id=mine").await.good();
    assert_eq!(closed["count"], 1);
    assert_eq!(
        (&closed["closed"][&txid]["status"], &closed["closed"][&txid]["reason"]),
        (&json!("canceled"), &json!("User requested"))
    );
    venue.call("QueryOrders", "txid=O00000-00000-000009").await.refuses("EOrder:Unknown order");
}

#[tokio::test]
async fn what_trades_at_once_or_not_at_all_is_canceled() {
    let venue = Venue::start().await;
    let txid = venue.place(&format!("{}&timeinforce=IOC", limit("buy", "0.01", "60000", "a"))).await;
    let order = venue.shown(&txid).await;
    assert_eq!((&order["status"], &order["vol_exec"]), (&json!("canceled"), &json!("0.00000000")));
    assert_eq!(venue.world().account("K").unwrap().qty(PAIR), d("1"));
}
