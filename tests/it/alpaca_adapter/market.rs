//! Prices, instruments and hours.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use trade_actors::domain::calendar::MarketStatus;
use trade_actors::ports::clock::SystemClock;
use trade_executor::brokers::House;
use venues::clock::Hours;
use venues::feed;
use venues::streams::Channel;
use venues::world::Options;

use crate::support::wait_until;

use super::desk::*;

#[tokio::test(flavor = "multi_thread")]
async fn prices_are_asked_for_and_streamed_when_watched() {
    let desk = Desk::open().await;
    let market = desk.alpaca.market();
    let mut feed = desk.alpaca.feed();
    assert_eq!((market.instrument(symbol("AAPL")), market.listed()), (None, 0), "nobody is connected");
    let quote = desk.broker.quote(symbol("AAPL")).await.unwrap().unwrap();
    assert_eq!((quote.bid, quote.price, quote.ask), (price("190"), price("190"), price("190")));
    assert_eq!(desk.broker.quote(symbol("BTC/USDT")).await.unwrap(), None);
    desk.broker.connect().await.unwrap();
    let rules = market.instrument(symbol("AAPL")).unwrap();
    assert!(rules.tradable && market.instruments().contains(&rules));
    assert_eq!(market.listed(), market.instruments().len());
    market.watch(symbol("AAPL"));
    wait_until("the price", || async { market.quote(symbol("AAPL")).is_some() }).await;
    assert_eq!(feed.venue(), "alpaca");
    let first = feed.next().await;
    assert_eq!((first.len(), first[0].price), (1, price("190")));
    wait_until("the stream", || async { desk.world().listening(Some(KEY), Channel::Prices) > 0 }).await;
    for last in ["191", "192", "193.5"] {
        desk.world().set_price(&feed::Price::flat("AAPL", dec(last)));
    }
    wait_until("the last price", || async {
        market.quote(symbol("AAPL")).is_some_and(|quote| quote.price == price("193.5"))
    })
    .await;
    let mut told = Vec::new();
    while told.last() != Some(&price("193.5")) {
        told.extend(feed.next().await.iter().map(|quote| quote.price));
    }
    assert!(told.len() <= 3, "{told:?}");
    // Below a dollar the steps are finer.
    desk.world().set_price(&feed::Price::flat("AAPL", dec("0.5")));
    wait_until("the finer step", || async {
        market.instrument(symbol("AAPL")).is_some_and(|rules| rules.tick == price("0.0001"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_beyond_what_is_streamed_are_asked_for() {
    let options = Options { per_minute: None, ..Options::default() };
    // A Wednesday, 11:00 in New York: while nothing is traded, prices are asked for less often.
    let clock = Standing("2025-01-15T16:00:00Z".parse().unwrap(), SystemClock::new());
    let desk = Desk::with(options, |_| {}, Arc::new(clock)).await;
    let names: Vec<_> = (0..40_u8)
        .map(|nth| format!("S{}{}", char::from(b'A' + nth / 26), char::from(b'A' + nth % 26)))
        .collect();
    for name in &names {
        desk.world().set_price(&feed::Price::flat(name, dec("10")));
    }
    desk.broker.connect().await.unwrap();
    let market = desk.alpaca.market();
    for name in &names {
        market.watch(symbol(name));
    }
    wait_until("the stream", || async { desk.world().listening(Some(KEY), Channel::Prices) > 0 }).await;
    for name in &names {
        desk.world().set_price(&feed::Price::flat(name, dec("11")));
    }
    wait_until("all new prices", || async {
        names.iter().all(|name| market.quote(symbol(name)).is_some_and(|quote| quote.price == price("11")))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_are_the_venue_s() {
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    // The day after Thanksgiving is short.
    let now = at("2025-11-28T19:00:00Z");
    let clock = Arc::new(Standing(now, SystemClock::new()));
    let desk = Desk::with(Options::default(), |_| {}, clock).await;
    desk.world().set_hours(Hours::Nyse);
    desk.world().set_now(now);
    desk.broker.connect().await.unwrap();
    let market = desk.alpaca.market();
    let rules = market.instrument(symbol("AAPL")).unwrap();
    let opens_at = at("2025-12-01T14:30:00Z");
    wait_until("the calendar", || async {
        market.status(&rules, now) == MarketStatus::Extended { opens_at }
    })
    .await;
    assert_eq!(market.status(&rules, at("2025-11-28T17:59:00Z")), MarketStatus::Open);
    assert_eq!(market.status(&rules, at("2025-11-30T17:59:00Z")), MarketStatus::Closed { opens_at });
}
