//! What an account owns, and how old that may be.

use rust_decimal::Decimal;
use serde_json::json;
use venues::feed::Price;

use crate::support::{AAPL, Venue, d, market};

#[tokio::test]
async fn the_portfolio_shows_the_same_account_everywhere() {
    let venue = Venue::start().await;
    venue.place(&market("BUY", 10, "a")).await;
    let cash = (d("100000") - d("1905.2")).to_string().parse::<f64>().unwrap();
    let summary = venue.get("/portfolio/DU1/summary").await.ok();
    assert_eq!(summary["totalcashvalue"]["amount"], json!(cash));
    assert_eq!(summary["netliquidation"]["amount"], json!(99999.9));
    assert_eq!(summary["netliquidation"]["value"], json!(null));
    assert_eq!(summary["initmarginreq"]["amount"], json!(952.55));
    let plain = venue.get("/iserver/account/DU1/summary").await.ok();
    assert_eq!(plain["totalCashValue"], json!(cash));
    assert_eq!(plain["buyingPower"], summary["buyingpower"]["amount"]);
    let ledger = venue.get("/portfolio/DU1/ledger").await.ok();
    assert_eq!((&ledger["USD"]["cashbalance"], &ledger["BASE"]["cashbalance"]), (&json!(cash), &json!(cash)));
    assert_eq!(ledger["USD"]["stockmarketvalue"], json!(1905.1));
    assert_eq!(ledger["USD"]["unrealizedpnl"], json!(-0.1));
    let gains = venue.get("/iserver/account/pnl/partitioned").await.ok();
    assert_eq!(gains["upnl"]["DU1.Core"]["upl"], json!(-0.1));
    venue.get("/portfolio/DU2/summary").await.refuses(400, "accountId is not valid: DU2");
}

#[tokio::test]
async fn positions_are_old_until_they_are_invalidated() {
    let venue = Venue::start().await;
    assert_eq!(venue.get("/portfolio/DU1/positions/0").await.ok(), json!([]));
    venue.place(&market("SELL", 10, "a")).await;
    assert_eq!(venue.get("/portfolio/DU1/positions/0").await.ok(), json!([]));
    let fresh = venue.get("/portfolio2/DU1/positions").await.ok();
    assert_eq!((&fresh[0]["conid"], &fresh[0]["position"]), (&json!(AAPL.to_string()), &json!(-10.0)));
    assert_eq!((&fresh[0]["marketPrice"], &fresh[0]["secType"]), (&json!(190.51), &json!("STK")));
    assert_eq!(venue.poke("/portfolio/DU1/positions/invalidate").await.ok(), json!({"message": "success"}));
    let position = &venue.get("/portfolio/DU1/positions/0").await.ok()[0];
    assert_eq!((&position["conid"], &position["position"]), (&json!(AAPL), &json!(-10.0)));
    assert_eq!((&position["acctId"], &position["assetClass"]), (&json!("DU1"), &json!("STK")));
    assert_eq!((&position["avgCost"], &position["mktValue"]), (&json!(190.5), &json!(-1905.1)));
    assert_eq!(position["unrealizedPnl"], json!(-0.1));
}

#[tokio::test]
async fn positions_come_in_pages() {
    let venue = Venue::start().await;
    for number in 0..101 {
        let symbol = format!("S{number:03}");
        venue.world().set_price(&Price::flat(&symbol, Decimal::ONE));
        let order = json!({"conid": venues::ibkr::conid(&symbol), "orderType": "MKT", "side": "BUY", "quantity": 1, "tif": "DAY"});
        venue.place(&order).await;
    }
    let mut pages = Vec::new();
    for page in 0..3 {
        let page = venue.get(&format!("/portfolio/DU1/positions/{page}")).await.ok();
        pages.push(page.as_array().unwrap().len());
    }
    assert_eq!(pages, [100, 1, 0]);
}
