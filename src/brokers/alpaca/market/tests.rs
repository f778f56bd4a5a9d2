use serde_json::json;
use trade_actors::domain::stages::Stamp;

use super::*;
use crate::brokers::board::{PACE, WATCHED_MAX};
use tokio::time::Instant;

/// A clock that is set by hand.
#[derive(Debug)]
struct Hand(Mutex<DateTime<Utc>>);

impl Clock for Hand {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }

    fn stamp(&self) -> Stamp {
        Stamp(0)
    }
}

impl Hand {
    fn wait(&self, seconds: i64) {
        *self.0.lock().unwrap() += TimeDelta::seconds(seconds);
    }
}

fn market() -> (Arc<Hand>, Arc<AlpacaMarket>) {
    // A Wednesday, 11:00 in New York.
    let clock = Arc::new(Hand(Mutex::new("2025-01-15T16:00:00Z".parse().unwrap())));
    let market = AlpacaMarket::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let asset = json!({"class": "us_equity", "symbol": "AAPL", "status": "active", "tradable": true,
        "fractionable": true});
    let rules = map::instrument(&serde_json::from_value(asset).unwrap()).unwrap();
    market.board.list([rules], clock.now());
    (clock, market)
}

fn aapl() -> Symbol {
    "AAPL".parse().unwrap()
}

fn price(text: &str) -> Price {
    Price::new(text.parse().unwrap()).unwrap()
}

fn best(bid: f64, ask: f64) -> wire::BestPrices {
    serde_json::from_value(json!({"t": "2025-01-15T16:00:00Z", "bp": bid, "ap": ask})).unwrap()
}

#[tokio::test]
async fn the_feed_tells_the_latest_of_each_symbol_once() {
    let (_, market) = market();
    let mut feed = market.feed();
    market.show(aapl(), &best(190.0, 190.02));
    assert_eq!(feed.next().await.iter().map(|quote| quote.price).collect::<Vec<_>>(), [price("190.01")]);
    market.show(aapl(), &best(191.0, 191.02));
    market.board.traded(aapl(), price("191.5"), market.clock.now());
    market.show(aapl(), &best(192.0, 192.02));
    let told = feed.next().await;
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].bid, told[0].price, told[0].ask), (price("192"), price("191.5"), price("192.02")));
    // The same again is no news.
    market.show(aapl(), &best(192.0, 192.02));
    assert_eq!(market.board.take_fresh(), []);
}

#[tokio::test]
async fn a_price_after_a_silence_is_told_at_once_and_the_next_ones_together() {
    let (_, market) = market();
    let mut feed = market.feed();
    let shown = async { market.show(aapl(), &best(190.0, 190.02)) };
    let (told, ()) = tokio::join!(timeout(PACE / 2, feed.next()), shown);
    assert_eq!(told.unwrap().len(), 1, "it does not wait for others");
    let began = Instant::now();
    market.show(aapl(), &best(191.0, 191.02));
    assert_eq!(feed.next().await.first().map(|quote| quote.bid), Some(price("191")));
    assert!(began.elapsed() >= PACE / 2, "a crowd of prices is told ten times a second");
}

#[test]
fn a_halt_lasts_until_it_is_lifted_something_trades_or_its_word_is_old() {
    let (clock, market) = market();
    let rules = market.instrument(aapl()).unwrap();
    let status = || market.status(&rules, clock.now());
    assert_eq!(status(), MarketStatus::Open);
    market.board.halt(aapl(), true);
    assert_eq!(status(), MarketStatus::Halted);
    market.board.halt(aapl(), false);
    assert_eq!(status(), MarketStatus::Open);
    market.board.halt(aapl(), true);
    market.board.traded(aapl(), price("190"), clock.now());
    assert_eq!(status(), MarketStatus::Open);
    market.halt_for_now(aapl());
    assert_eq!(status(), MarketStatus::Halted);
    clock.wait(301);
    assert_eq!(status(), MarketStatus::Open);
}

#[test]
fn the_symbols_asked_for_last_are_streamed_and_the_rest_are_asked_for() {
    let (clock, market) = market();
    market.board.list([], clock.now());
    let name = |nth: u8| -> Symbol {
        format!("S{}{}", char::from(b'A' + nth / 26), char::from(b'A' + nth % 26)).parse().unwrap()
    };
    for nth in 0..40 {
        market.watch(name(nth));
    }
    market.watch(name(0));
    let streamed = market.board.to_stream(30);
    assert_eq!(streamed.len(), 30);
    assert!(streamed.contains(&name(0)) && streamed.contains(&name(39)));
    assert!(!streamed.contains(&name(1)) && !streamed.contains(&name(10)) && streamed.contains(&name(11)));
    for symbol in &streamed {
        market.board.traded(*symbol, price("10"), clock.now());
    }
    market.board.set_streamed(streamed.clone());
    assert_eq!(
        market.board.to_poll(clock.now()).len(),
        40,
        "what changed just before they were streamed was not told"
    );
    for symbol in &streamed {
        market.board.traded(*symbol, price("11"), clock.now());
    }
    market.board.set_streamed(streamed);
    assert_eq!(market.board.to_poll(clock.now()), (1..=10).map(name).collect::<Vec<_>>());
    // What has not changed for a while is asked for, too.
    clock.wait(21);
    assert_eq!(market.board.to_poll(clock.now()).len(), 40);
}

#[test]
fn what_is_not_traded_here_is_not_watched() {
    let (clock, market) = market();
    for name in ["NOPE", "BTC/USDT"] {
        market.watch(name.parse().unwrap());
    }
    market.watch(aapl());
    assert_eq!(market.board.to_stream(30).into_iter().collect::<Vec<_>>(), [aapl()]);
    market.board.list([], clock.now());
    for nth in 0..WATCHED_MAX + 5 {
        let letter = |nth: usize| char::from(b'A' + u8::try_from(nth % 26).unwrap());
        let name = format!("{}{}{}", letter(nth), letter(nth / 26), letter(nth / 676));
        market.watch(name.parse().unwrap());
    }
    assert_eq!(market.board.to_stream(usize::MAX).len(), WATCHED_MAX);
    assert!(!market.board.to_stream(usize::MAX).contains(&aapl()), "the oldest gives way");
}

#[test]
fn an_answer_older_than_what_is_known_changes_nothing() {
    let (clock, market) = market();
    market.board.traded(aapl(), price("190"), clock.now());
    let quote = market.quote(aapl()).unwrap();
    market
        .board
        .answered(Quote { price: price("180"), at: clock.now() - TimeDelta::seconds(1), ..quote }, true);
    assert_eq!(market.quote(aapl()).unwrap().price, price("190"));
    market
        .board
        .answered(Quote { price: price("181"), at: clock.now() + TimeDelta::seconds(1), ..quote }, true);
    assert_eq!(market.quote(aapl()).unwrap().price, price("181"));
}
