//! Accounts, quotes and preferences over HTTP.

use reqwest::Method;
use serde_json::{Value, json};
use venues::account::{AccountChange, AccountSpec};
use venues::book::Side;
use venues::feed::Price;
use venues::world::{Instrument, OutsideTrade};

use crate::support::{Venue, d, limit, market};

#[tokio::test]
async fn accounts_go_by_their_hash_only() {
    let venue = Venue::start().await;
    let numbers = venue.get("/trader/v1/accounts/accountNumbers").await.json();
    let number = venue.schwab.number_of("K");
    assert_eq!(numbers, json!([{"accountNumber": number, "hashValue": venue.hash}]));
    assert_eq!(venue.get(&format!("/trader/v1/accounts/{}", venue.hash)).await.status, 200);
    for wrong in [number.as_str(), "K", &"0".repeat(64)] {
        venue.get(&format!("/trader/v1/accounts/{wrong}")).await.refuses(404, "Account not found");
        let path = format!("/trader/v1/accounts/{wrong}/orders");
        venue.post(&path, &market("BUY", 1)).await.refuses(404, "Account not found");
    }
    venue.world().add_account(AccountSpec::new("L", "unused", d("5")));
    let others = format!("/trader/v1/accounts/{}", venue.schwab.hash_of("L"));
    venue.get(&others).await.refuses(404, "Account not found");
    let (both, _) = venue.log_in("K,L").await;
    assert_eq!(venue.with_token(&both, Method::GET, &others).await.status, 200);
    let all = venue.with_token(&both, Method::GET, "/trader/v1/accounts").await.json();
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(all[1]["securitiesAccount"]["currentBalances"]["cashBalance"], json!(5.0));
}

#[tokio::test]
async fn a_margin_account_has_schwabs_shape() {
    let venue = Venue::start().await;
    let path = format!("/trader/v1/accounts/{}", venue.hash);
    let empty = venue.get(&format!("{path}?fields=positions")).await.json();
    assert_eq!(empty["securitiesAccount"].get("positions"), None, "none are not an empty list");
    venue.world().set_price(&Price::flat("AAPL", d("190")));
    venue.place(&market("BUY", 10)).await;
    venue.place(&limit("BUY", 1, 100.0)).await;
    venue.world().set_price(&Price::flat("AAPL", d("191.5")));
    let bare = venue.get(&path).await.json();
    assert_eq!(bare["securitiesAccount"].get("positions"), None, "only when they are asked for");
    let whole = venue.get(&format!("{path}?fields=positions")).await;
    let account = whole.json()["securitiesAccount"].clone();
    assert_eq!(
        (&account["type"], &account["accountNumber"]),
        (&json!("MARGIN"), &json!(venue.schwab.number_of("K")))
    );
    let balances = json!({
        "cashBalance": 98100.0, "liquidationValue": 100015.0, "availableFunds": 99007.5, "buyingPower": 198015.0,
        "equity": 100015.0, "longMarketValue": 1915.0, "shortMarketValue": 0.0,
    });
    assert_eq!(account["currentBalances"], balances);
    assert!(whole.text.contains("\"cashBalance\":98100.0"), "a double is written as one: {}", whole.text);
    let position = json!({
        "shortQuantity": 0.0, "longQuantity": 10.0, "averagePrice": 190.0, "averageLongPrice": 190.0,
        "marketValue": 1915.0, "currentDayProfitLoss": 15.0, "longOpenProfitLoss": 15.0, "settledLongQuantity": 10.0,
        "instrument": {"assetType": "EQUITY", "cusip": "037833100", "symbol": "AAPL"},
    });
    assert_eq!(account["positions"], json!([position]));
    assert_eq!(whole.json()["aggregatedBalance"]["liquidationValue"], json!(100015.0));
    venue.get(&format!("{path}?fields=orders")).await.refuses(400, "invalid fields");
}

#[tokio::test]
async fn a_cash_account_has_no_buying_power() {
    let venue = Venue::start().await;
    let change = AccountChange { multiplier: Some(d("1")), ..AccountChange::default() };
    venue.world().change_account("K", &change).unwrap();
    let trade = OutsideTrade { symbol: "SPY".to_owned(), side: Side::Buy, qty: d("4"), price: d("500.25") };
    venue.world().trade_outside("K", &trade).unwrap();
    venue.world().list(Instrument { name: "S&P 500 ETF".to_owned(), ..Instrument::new("SPY") });
    let path = format!("/trader/v1/accounts/{}?fields=positions", venue.hash);
    let account = venue.get(&path).await.json()["securitiesAccount"].clone();
    assert_eq!(account["type"], "CASH");
    let balances = &account["currentBalances"];
    assert_eq!(
        (&balances["cashAvailableForTrading"], &balances["totalCash"]),
        (&json!(97999.0), &json!(97999.0))
    );
    assert_eq!(balances.get("buyingPower"), None);
    let position = &account["positions"][0];
    assert_eq!(position["instrument"]["assetType"], "COLLECTIVE_INVESTMENT");
    assert_eq!((&position["averagePrice"], &position["marketValue"]), (&json!(500.25), &json!(2001.0)));
}

#[tokio::test]
async fn a_short_position_is_told_apart() {
    let venue = Venue::start().await;
    venue.place(&market("SELL_SHORT", 3)).await;
    let path = format!("/trader/v1/accounts/{}?fields=positions", venue.hash);
    let position = venue.get(&path).await.json()["securitiesAccount"]["positions"][0].clone();
    assert_eq!((&position["shortQuantity"], &position["longQuantity"]), (&json!(3.0), &json!(0.0)));
    assert_eq!((&position["averagePrice"], &position["marketValue"]), (&json!(190.5), &json!(-571.5)));
    assert_eq!(position["settledShortQuantity"], json!(3.0));
}

#[tokio::test]
async fn quotes_are_of_what_is_known_and_say_what_is_not() {
    let venue = Venue::start().await;
    let get = async |path: &str| venue.get(&format!("/marketdata/v1{path}")).await;
    let quotes = get("/quotes?symbols=AAPL,ZZZZ&fields=quote,reference&indicative=False").await.json();
    assert_eq!(quotes["errors"], json!({"invalidSymbols": ["ZZZZ"]}));
    let apple = &quotes["AAPL"];
    let shown = [&apple["assetMainType"], &apple["quoteType"], &apple["realtime"], &apple["symbol"]];
    assert_eq!(shown, [&json!("EQUITY"), &json!("NBBO"), &json!(true), &json!("AAPL")]);
    let quote = &apple["quote"];
    let prices = ["bidPrice", "askPrice", "lastPrice", "mark"].map(|name| quote[name].as_f64().unwrap());
    assert_eq!(prices, [190.5, 190.52, 190.5, 190.5]);
    assert!(quote["quoteTime"].is_i64() && quote["securityStatus"] == "Normal", "{quote}");
    assert_eq!(apple["reference"]["cusip"], "037833100");
    assert_eq!(apple.get("fundamental"), None);
    let none = get("/quotes?symbols=ZZZZ").await;
    assert_eq!((none.status, none.json()), (200, json!({"errors": {"invalidSymbols": ["ZZZZ"]}})));
    assert_eq!(get("/AAPL/quotes").await.json()["AAPL"]["quote"]["bidPrice"], json!(190.5));
    let unknown = get("/ZZZZ/quotes").await;
    assert_eq!((unknown.status, &unknown.json()["errors"][0]["status"]), (404, &json!("404")));
    venue.world().set_halted("AAPL", true);
    assert_eq!(get("/AAPL/quotes").await.json()["AAPL"]["quote"]["securityStatus"], "Halted");
    for wrong in ["/quotes", "/quotes?symbols=AAPL&fields=all,names", "/quotes?symbols=AAPL&indicative=1"] {
        assert_eq!(get(wrong).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn preferences_say_where_the_streamer_is() {
    let venue = Venue::start().await;
    let preference = venue.get("/trader/v1/userPreference").await.json();
    let info = &preference["streamerInfo"][0];
    assert_eq!(info["streamerSocketUrl"], venue.schwab.urls().stream_url);
    assert_eq!(
        (&info["schwabClientChannel"], &info["schwabClientFunctionId"]),
        (&json!("N9"), &json!("APIAPP"))
    );
    let text = |value: &Value| !value.as_str().unwrap().is_empty();
    assert!(text(&info["schwabClientCustomerId"]) && text(&info["schwabClientCorrelId"]));
    let account = &preference["accounts"][0];
    assert_eq!(
        (&account["accountNumber"], &account["primaryAccount"]),
        (&json!(venue.schwab.number_of("K")), &json!(true))
    );
    assert!(preference["offers"].is_array());
}
