//! Contracts, hours and prices.

use serde_json::json;
use venues::clock::Hours;
use venues::feed::Price;
use venues::world::Instrument;

use crate::support::{AAPL, Venue, d};

#[tokio::test]
async fn symbols_are_numbers_and_only_one_listing_is_american() {
    let venue = Venue::start().await;
    venue.world().set_price(&Price::flat("BRK.B", d("400")));
    venue.world().list(Instrument { active: false, ..Instrument::new("OLD") });
    let stocks = venue.get("/trsrv/stocks?symbols=AAPL,BRK%20B,NONE,OLD").await.ok();
    let contracts = stocks["AAPL"][0]["contracts"].as_array().unwrap();
    let american: Vec<_> = contracts.iter().filter(|contract| contract["isUS"] == true).collect();
    assert_eq!((contracts.len(), american.len(), &american[0]["conid"]), (2, 1, &json!(AAPL)));
    assert_eq!(stocks["BRK B"][0]["assetClass"], "STK");
    assert_eq!((&stocks["NONE"], stocks.get("OLD")), (&json!([]), None));
    let found = venue.get("/iserver/secdef/search?symbol=AAPL&secType=STK").await.ok();
    assert_eq!((&found[0]["conid"], &found[0]["symbol"]), (&json!(AAPL.to_string()), &json!("AAPL")));
    venue.get("/iserver/secdef/search?symbol=NONE").await.refuses(200, "No symbol found");
    let rules = venue.post("/iserver/contract/rules", &json!({"conid": AAPL, "isBuy": true})).await.ok();
    assert_eq!((&rules["increment"], &rules["sizeIncrement"]), (&json!(0.01), &json!(1)));
    assert_eq!(rules["fraqTypes"], json!([]));
    let abroad = contracts.iter().find(|contract| contract["isUS"] == false).unwrap();
    let order =
        json!({"conid": abroad["conid"], "orderType": "MKT", "side": "BUY", "quantity": 1, "tif": "DAY"});
    venue.submit(&[order]).await.refuses(200, "Contract not found");
}

#[tokio::test]
async fn hours_are_in_the_schedule() {
    let venue = Venue::start().await;
    let path = format!("/contract/trading-schedule?conid={AAPL}");
    let span = |schedule: &serde_json::Value, day: &str, kind: &str| {
        let hours = &schedule["schedules"][day][kind][0];
        (hours["opening"].as_i64().unwrap(), hours["closing"].as_i64().unwrap())
    };
    let open = venue.get(&path).await.ok();
    let now = venue.world().look(|state| state.clock.now()).timestamp();
    let is_open = |schedule: &serde_json::Value, now: i64| {
        let days = schedule["schedules"].as_object().unwrap();
        days.keys().any(|day| {
            let (opens, closes) = span(schedule, day, "liquid_hours");
            opens <= now && now < closes
        })
    };
    assert!(is_open(&open, now));
    venue.world().set_hours(Hours::Closed { next_open: None, next_close: None });
    assert!(!is_open(&venue.get(&path).await.ok(), now));
    venue.world().set_hours(Hours::Nyse);
    venue.world().set_now("2024-06-06T12:00:00-04:00".parse().unwrap());
    venue.ibkr.log_in("DU1");
    let schedule = venue.get(&path).await.ok();
    assert_eq!(schedule["exchange_time_zone"], "US/Eastern");
    assert_eq!(span(&schedule, "20240606", "liquid_hours"), (1_717_680_600, 1_717_704_000));
    assert_eq!(span(&schedule, "20240606", "extended_hours"), (1_717_660_800, 1_717_718_400));
    assert_eq!(schedule["schedules"].get("20240608"), None, "a Saturday");
}

#[tokio::test]
async fn a_first_look_at_a_price_shows_nothing() {
    let venue = Venue::start().await;
    let path = format!("/iserver/marketdata/snapshot?conids={AAPL}&fields=31,84,86,88,85,6509");
    assert_eq!(venue.get(&path).await.ok(), json!([{"conid": AAPL, "conidEx": AAPL.to_string()}]));
    let quote = venue.get(&path).await.ok()[0].clone();
    assert_eq!(
        (&quote["31"], &quote["84"], &quote["86"]),
        (&json!("190.51"), &json!("190.50"), &json!("190.52"))
    );
    assert_eq!((&quote["6509"], quote.get("7059")), (&json!("RpB"), None));
    let unsubscribe = json!({"conid": AAPL});
    venue.post("/iserver/marketdata/unsubscribe", &unsubscribe).await.ok();
    venue.post("/iserver/marketdata/unsubscribe", &unsubscribe).await.refuses(500, "unknown");
    assert_eq!(venue.get(&path).await.ok()[0].get("31"), None);
}

#[tokio::test]
async fn a_last_price_says_what_it_is() {
    let venue = Venue::start().await;
    let path = format!("/iserver/marketdata/snapshot?conids={AAPL}&fields=31,6509");
    venue.get(&path).await.ok();
    venue.world().set_halted("AAPL", true);
    assert_eq!(venue.get(&path).await.ok()[0]["31"], "H190.51");
    venue.world().set_halted("AAPL", false);
    venue.world().set_hours(Hours::Closed { next_open: None, next_close: None });
    let closed = venue.get(&path).await.ok()[0].clone();
    assert_eq!((&closed["31"], &closed["6509"]), (&json!("C190.51"), &json!("ZpB")));
    venue.world().set_hours(Hours::AlwaysOpen);
    venue.ibkr.manage(|gateways, _| gateways.availability.insert("AAPL".to_owned(), 'N'));
    let blind = venue.get(&path).await.ok()[0].clone();
    assert_eq!((blind.get("31"), &blind["6509"]), (None, &json!("NpB")));
}
