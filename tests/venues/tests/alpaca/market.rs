//! When the market is open, what that means to orders, and what prices it shows.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use venues::clock::Hours;
use venues::feed::Price;

use crate::support::{Venue, d, limit, market};

async fn status(venue: &Venue, name: &str) -> String {
    let path = format!("/v2/orders:by_client_order_id?client_order_id={name}");
    venue.get(&path).await.json()["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_clock_is_the_one_that_was_set() {
    let venue = Venue::start().await;
    assert_eq!(venue.get("/v2/clock").await.json()["is_open"], true);
    venue.world().set_hours(Hours::Nyse);
    venue.world().set_now("2024-06-06T13:29:00Z".parse().unwrap());
    let reply = venue.get("/v2/clock").await;
    let clock = reply.json();
    assert_eq!(
        (&clock["is_open"], &clock["next_open"]),
        (&json!(false), &json!("2024-06-06T09:30:00-04:00"))
    );
    assert_eq!(clock["next_close"], "2024-06-06T16:00:00-04:00");
    assert!(clock["timestamp"].as_str().unwrap().starts_with("2024-06-06T09:29:0"), "{clock}");
    assert!(reply.header("date").unwrap().starts_with("Thu, 06 Jun 2024 13:29:0"), "{reply:?}");
    venue.world().set_clock_offset(TimeDelta::minutes(-10));
    venue.world().set_hours(Hours::Closed { next_open: None, next_close: None });
    let clock = venue.get("/v2/clock").await.json();
    let shown: DateTime<Utc> = clock["timestamp"].as_str().unwrap().parse().unwrap();
    let ours = venue.world().look(|state| state.clock.now());
    assert!((ours - shown) < TimeDelta::seconds(5) && clock["is_open"] == false);
}

#[tokio::test]
async fn the_calendar_is_new_yorks() {
    let venue = Venue::start().await;
    let days = venue.get("/v2/calendar?start=2024-07-03&end=2024-07-05").await.json();
    let early = json!({"date": "2024-07-03", "open": "09:30", "close": "13:00", "session_open": "0400",
        "session_close": "2000", "settlement_date": "2024-07-05"});
    assert_eq!((days.as_array().unwrap().len(), &days[0]), (2, &early));
    assert_eq!((&days[1]["date"], &days[1]["settlement_date"]), (&json!("2024-07-05"), &json!("2024-07-08")));
    venue.get("/v2/calendar?start=today").await.refuses(422, 42210000, "invalid start");
    venue.get("/v2/calendar?start=2024-07-05&end=2024-07-03").await.refuses(
        422,
        42210000,
        "end must be after",
    );
}

#[tokio::test]
async fn orders_wait_for_the_opening() {
    let venue = Venue::start().await;
    venue.world().set_hours(Hours::Closed { next_open: None, next_close: None });
    let mut stream = venue.listen().await;
    let taken = venue.place(&market("buy", "1", "waits")).await;
    assert_eq!(taken["status"], "accepted");
    let path = format!("/v2/orders/{}", taken["id"].as_str().unwrap());
    let change = venue.patch(&path, &json!({"qty": "2"})).await;
    change.refuses(422, 42210000, "unable to replace order, order is in \"accepted\" state");
    venue.place(&limit("buy", "1", "1", "ends")).await;
    venue.world().set_hours(Hours::AlwaysOpen);
    assert_eq!(status(&venue, "waits").await, "filled");
    venue.world().set_hours(Hours::Closed { next_open: None, next_close: None });
    assert_eq!(status(&venue, "ends").await, "expired");
    let mut told = Vec::new();
    for _ in 0..6 {
        told.push(stream.update().await);
    }
    let told: Vec<_> = told.iter().map(|(event, name)| format!("{name} {event}")).collect();
    assert_eq!(
        told,
        ["waits accepted", "ends accepted", "waits new", "ends new", "waits fill", "ends expired"]
    );
}

#[tokio::test]
async fn the_market_opens_and_closes_by_itself() {
    let venue = Venue::start().await;
    venue.world().set_hours(Hours::Nyse);
    venue.world().set_now("2024-06-06T13:29:59.5Z".parse().unwrap());
    let mut stream = venue.listen().await;
    venue.place(&market("buy", "1", "waits")).await;
    for event in ["accepted", "new", "fill"] {
        assert_eq!(stream.update().await.0, event, "nobody asked, and time went on");
    }
}

#[tokio::test]
async fn early_and_late_orders_trade_early_and_late() {
    let venue = Venue::start().await;
    venue.world().set_hours(Hours::Nyse);
    venue.world().set_now("2024-06-06T21:00:00Z".parse().unwrap());
    let mut late = limit("buy", "1", "200", "late");
    late["extended_hours"] = json!(true);
    venue.place(&late).await;
    venue.place(&limit("buy", "1", "200", "tomorrow")).await;
    assert_eq!(
        (status(&venue, "late").await, status(&venue, "tomorrow").await),
        ("filled".to_owned(), "accepted".to_owned())
    );
}

#[tokio::test]
async fn a_halt_takes_orders_and_trades_none() {
    let venue = Venue::start().await;
    venue.world().set_halted("AAPL", true);
    venue.place(&market("buy", "1", "halted")).await;
    assert_eq!(status(&venue, "halted").await, "new");
    venue.world().set_halted("AAPL", false);
    assert_eq!(status(&venue, "halted").await, "filled");
}

#[tokio::test]
async fn quotes_are_numbers() {
    let venue = Venue::start().await;
    let one = venue.get("/v2/stocks/AAPL/quotes/latest?feed=iex").await.json();
    assert_eq!(
        (&one["symbol"], &one["quote"]["bp"], &one["quote"]["ap"]),
        (&json!("AAPL"), &json!(190.5), &json!(190.52))
    );
    venue.world().set_price(&Price::flat("BRK.B", d("455.1")));
    let many = venue.get("/v2/stocks/quotes/latest?symbols=AAPL,BRK.B,NONE&feed=iex").await.json();
    let known: Vec<&String> = many["quotes"].as_object().unwrap().keys().collect();
    assert_eq!(known, ["AAPL", "BRK.B"]);
    assert_eq!(many["quotes"]["BRK.B"]["ap"], json!(455.1));
    let sip = venue.get("/v2/stocks/AAPL/quotes/latest?feed=sip").await;
    sip.refuses(422, 42210000, "subscription does not permit querying recent SIP data");
    assert_eq!(venue.get("/v2/stocks/NONE/quotes/latest").await.status, 404);
    assert_eq!(venue.get("/v2/stocks/quotes/latest").await.status, 400);
}

#[tokio::test]
async fn assets_are_listed() {
    let venue = Venue::start().await;
    let asset = venue.get("/v2/assets/AAPL").await.json();
    let flags = ["tradable", "marginable", "shortable", "easy_to_borrow", "fractionable"];
    assert!(flags.iter().all(|flag| asset[flag] == true));
    assert_eq!((&asset["class"], &asset["status"]), (&json!("us_equity"), &json!("active")));
    assert_eq!(
        venue.get("/v2/assets?status=active&asset_class=us_equity").await.json(),
        Value::Array(vec![asset])
    );
    assert_eq!(venue.get("/v2/assets?asset_class=crypto").await.json(), json!([]));
    assert_eq!(venue.get("/v2/assets?status=inactive").await.json(), json!([]));
}
