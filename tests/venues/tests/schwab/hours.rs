//! When what trades: orders wait for their session and end with it, and the hours are told.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use venues::clock::Hours;
use venues::feed::Price;

use crate::support::{SOON, Venue, d, limit, market, with};

/// Makes it this time by New York's calendar. Tokens of before are too old or too young then.
async fn at(venue: &mut Venue, now: &str) {
    venue.world().set_hours(Hours::Nyse);
    venue.world().set_now(now.parse::<DateTime<Utc>>().unwrap());
    (venue.access, venue.refresh) = venue.log_in("K").await;
}

async fn status(venue: &Venue, id: i64) -> Value {
    venue.order(id).await["status"].clone()
}

#[tokio::test]
async fn an_order_outside_hours_waits_for_them() {
    let mut venue = Venue::start().await;
    at(&mut venue, "2024-06-08T12:00:00Z").await;
    let id = venue.place(&market("BUY", 1)).await;
    assert_eq!(status(&venue, id).await, "PENDING_ACTIVATION");
    let replaced = venue.replace(id, &limit("BUY", 2, 190.52)).await.id();
    assert_eq!(status(&venue, replaced).await, "PENDING_ACTIVATION");
    at(&mut venue, "2024-06-10T13:29:50Z").await;
    assert_eq!(status(&venue, replaced).await, "PENDING_ACTIVATION");
    at(&mut venue, "2024-06-10T13:30:01Z").await;
    assert_eq!(status(&venue, replaced).await, "FILLED");
}

#[tokio::test]
async fn sessions_are_kept() {
    let mut venue = Venue::start().await;
    at(&mut venue, "2024-06-10T15:00:00Z").await;
    let session = |session: &str| with(limit("BUY", 1, 150.0), json!({"session": session}));
    let mut ids = Vec::new();
    for name in ["NORMAL", "AM", "PM", "SEAMLESS"] {
        ids.push(venue.place(&session(name)).await);
    }
    let all = async |venue: &Venue| {
        let mut all = Vec::new();
        for id in &ids {
            all.push(status(venue, *id).await.as_str().unwrap().to_owned());
        }
        all
    };
    let waits = "PENDING_ACTIVATION";
    assert_eq!(all(&venue).await, ["WORKING", waits, waits, "WORKING"]);
    at(&mut venue, "2024-06-10T20:00:01Z").await;
    assert_eq!(all(&venue).await, ["EXPIRED", waits, "WORKING", "WORKING"]);
    at(&mut venue, "2024-06-11T00:00:01Z").await;
    assert_eq!(all(&venue).await, ["EXPIRED", waits, "EXPIRED", "EXPIRED"]);
    at(&mut venue, "2024-06-11T10:59:00Z").await;
    assert_eq!(all(&venue).await[1], waits, "before seven nothing trades");
    at(&mut venue, "2024-06-11T11:00:01Z").await;
    assert_eq!(all(&venue).await[1], "WORKING");
    at(&mut venue, "2024-06-11T13:30:01Z").await;
    venue.world().set_price(&Price::flat("AAPL", d("140")));
    assert_eq!(all(&venue).await[1], "EXPIRED");
}

#[tokio::test]
async fn durations_end() {
    let mut venue = Venue::start().await;
    at(&mut venue, "2024-06-10T15:00:00Z").await;
    let mut ids = Vec::new();
    for duration in ["DAY", "END_OF_WEEK", "END_OF_MONTH", "GOOD_TILL_CANCEL"] {
        ids.push(venue.place(&with(limit("BUY", 1, 150.0), json!({"duration": duration}))).await);
    }
    for (now, left) in [
        ("2024-06-10T19:59:00Z", 4),
        ("2024-06-11T12:00:00Z", 3),
        ("2024-06-14T23:59:00Z", 3),
        ("2024-06-15T00:01:00Z", 2),
        ("2024-06-29T00:01:00Z", 1),
        ("2024-12-06T15:00:00Z", 1),
        ("2024-12-07T15:01:00Z", 0),
    ] {
        at(&mut venue, now).await;
        let mut open = 0;
        for id in &ids {
            open += usize::from(status(&venue, *id).await != "EXPIRED");
        }
        assert_eq!(open, left, "{now}");
    }
    at(&mut venue, "2024-06-12T15:00:00Z").await;
    for (duration, price, end) in [
        ("IMMEDIATE_OR_CANCEL", 150.0, "CANCELED"),
        ("FILL_OR_KILL", 150.0, "CANCELED"),
        ("IMMEDIATE_OR_CANCEL", 190.52, "FILLED"),
    ] {
        let id = venue.place(&with(limit("BUY", 1, price), json!({"duration": duration}))).await;
        assert_eq!(status(&venue, id).await, end);
    }
}

#[tokio::test]
async fn an_order_wakes_by_itself() {
    let mut venue = Venue::start().await;
    at(&mut venue, "2024-06-11T10:59:00Z").await;
    let id = venue.place(&with(limit("BUY", 1, 200.0), json!({"session": "SEAMLESS"}))).await;
    assert_eq!(status(&venue, id).await, "PENDING_ACTIVATION");
    venue.world().set_now("2024-06-11T10:59:59.800Z".parse().unwrap());
    let start = std::time::Instant::now();
    let number = venue.schwab.order_of(id).unwrap().id;
    let open = || venue.world().look(|state| state.book.order(number).unwrap().status.is_open());
    while open() {
        assert!(start.elapsed() < SOON);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(status(&venue, id).await, "FILLED");
}

#[tokio::test]
async fn hours_are_those_of_the_day() {
    let mut venue = Venue::start().await;
    at(&mut venue, "2024-06-06T13:46:03Z").await;
    let hours = async |query: &str| venue.get(&format!("/marketdata/v1/markets{query}")).await.json();
    let span = |start: &str, end: &str| json!([{"start": start, "end": end}]);
    let open = json!({"equity": {"EQ": {
        "date": "2024-06-06", "marketType": "EQUITY", "product": "EQ", "productName": "equity", "isOpen": true,
        "sessionHours": {
            "preMarket": span("2024-06-06T07:00:00-04:00", "2024-06-06T09:30:00-04:00"),
            "regularMarket": span("2024-06-06T09:30:00-04:00", "2024-06-06T16:00:00-04:00"),
            "postMarket": span("2024-06-06T16:00:00-04:00", "2024-06-06T20:00:00-04:00"),
        },
    }}});
    assert_eq!(hours("?markets=equity").await, open);
    assert_eq!(hours("/equity").await, open);
    assert_eq!(hours("/equity?date=2024-06-06").await, open);
    let closed = json!({"equity": {"equity": {
        "date": "2024-06-08", "marketType": "EQUITY", "product": "equity", "isOpen": false,
    }}});
    assert_eq!(hours("?markets=equity&date=2024-06-08").await, closed);
    let early = hours("/equity?date=2024-07-03").await;
    let regular = &early["equity"]["EQ"]["sessionHours"]["regularMarket"][0];
    assert_eq!(regular["end"], "2024-07-03T13:00:00-04:00");
    at(&mut venue, "2024-06-08T12:00:00Z").await;
    let hours = async |query: &str| venue.get(&format!("/marketdata/v1/markets{query}")).await;
    assert_eq!(hours("?markets=equity,bond").await.json()["bond"]["bond"]["isOpen"], json!(false));
    for wrong in ["", "?markets=", "?markets=stocks", "?markets=equity&date=06/06/2024", "/crypto"] {
        let reply = hours(wrong).await;
        assert_eq!((reply.status, &reply.json()["errors"][0]["status"]), (400, &json!("400")), "{wrong}");
    }
}
