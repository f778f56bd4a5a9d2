//! FR-018: each standard code, asked of the whole program by a webhook and answered by a simulated Alpaca.
//!
//! Every one ends as one trade with its code and its words, on the screens as in the lists, and with exactly the orders
//! at the venue that it should leave there.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Value, json};
use venues::book::Status;
use venues::clock::Hours;
use venues::faults::{Action, When};
use venues::world::Instrument;

use crate::support::api::order;
use crate::support::venue::{KEY, Venue, connect};
use crate::support::{Api, Socket, TestApp, TestClock, wait_for, wait_until};

/// What is read where the venue does not accept the account's keys.
const LOCKED_OUT: &str = "Alpaca did not accept the credentials of this account, so nothing was sent to the market. They \
                          may have been replaced or revoked, or be those of the other mode (paper or live). Connect \
                          the account again with new ones.";

/// One person whose signals go to the simulated Alpaca.
struct Person {
    venue: Venue,
    clock: Arc<TestClock>,
    program: TestApp,
    api: Api,
    screen: Socket,
}

/// What one signal came to.
struct Ended {
    signal: String,
    trade: Value,
}

impl Person {
    async fn arrive() -> Self {
        Self::at(Venue::open(&[KEY]).await, TestClock::right()).await
    }

    async fn at(venue: Venue, clock: Arc<TestClock>) -> Self {
        let program = venue.program(&clock).await;
        let api = program.owner();
        connect(&api, KEY).await;
        let mut screen = Socket::open(&api).await;
        screen.next_of("state.sync").await;
        Self { venue, clock, program, api, screen }
    }

    async fn says(&self, body: &Value) -> String {
        self.api.signal(body).await.expect(202)["signal_id"].as_str().unwrap().to_owned()
    }

    async fn ended(&self, signal: String, status: &str) -> Ended {
        let trade = self.api.settled(&signal, status).await;
        Ended { signal, trade }
    }

    /// Sends a signal to buy AAPL, and waits until its order has this status.
    async fn buys(&self, quantity: &str, status: &str) -> Ended {
        let signal = self.says(&order("one", "AAPL", "buy", quantity)).await;
        self.ended(signal, status).await
    }

    /// Asserts that the trade, the screen and the feed say this of a signal that came to nothing.
    async fn reads(&mut self, ended: &Ended, push: &str, code: &str, reason: &str) {
        let trade = &ended.trade;
        assert_eq!((&trade["code"], &trade["reason"]), (&json!(code), &json!(reason)), "{trade}");
        assert_eq!((&trade["filled_quantity"], &trade["broker"]), (&json!("0"), &json!("alpaca")), "{trade}");
        let (id, refused) = (json!(ended.signal), json!(["rejected", code, reason, trade["id"]]));
        let in_feed = |row: &Value| json!([row["outcome"], row["code"], row["reason"], row["order_id"]]);
        let of_trade = |told: &Value| told["type"] == push && told["data"]["id"] == trade["id"];
        let of_signal = |told: &Value| told["type"] == "signal.rejected" && told["data"]["id"] == id;
        // Both follow from one event; which comes first depends on who refused.
        let mut heard = self.screen.until(|told| of_trade(told) || of_signal(told)).await;
        let first_is_trade = of_trade(heard.last().unwrap());
        heard.extend(
            self.screen.until(|told| if first_is_trade { of_signal(told) } else { of_trade(told) }).await,
        );
        let shown = &heard.iter().find(|told| of_trade(told)).unwrap()["data"];
        for field in ["status", "code", "reason"] {
            assert_eq!(shown[field], trade[field], "{field} on the screen: {shown}");
        }
        let shown = &heard.iter().find(|told| of_signal(told)).unwrap()["data"];
        assert_eq!(in_feed(shown), refused, "the feed on the screen");
        assert_eq!(in_feed(&self.fed(&ended.signal).await), refused, "the feed");
        assert_eq!(self.api.trades().await.len(), 1, "one signal is one trade");
        assert!(self.api.all("/api/v1/positions").await.is_empty());
    }

    /// Returns what the feed says of a signal.
    async fn fed(&self, signal: &str) -> Value {
        let feed = self.api.all("/api/v1/signals").await;
        feed.into_iter()
            .find(|row| row["id"] == signal)
            .unwrap_or_else(|| panic!("{signal} is not in the feed"))
    }

    /// Asserts how often the venue was asked for an order, and how many it has.
    fn left(&self, submissions: usize, orders: usize) {
        let has = self.venue.orders(KEY);
        assert_eq!((self.venue.submissions(), has.len()), (submissions, orders), "{has:?}");
    }

    async fn leave(self) {
        drop(self.screen);
        self.program.stop().await;
    }
}

/// Has the venue refuse every order in these words.
fn refuse(person: &Person, status: u16, code: i64, message: &str) {
    person.venue.fail_orders(Action::Refuse { status, code, message: message.to_owned() }, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn us_001_2_what_costs_more_than_there_is_never_reaches_the_venue() {
    let venue = Venue::open(&[]).await;
    venue.open_account(KEY, 20_000);
    let mut person = Person::at(venue, TestClock::right()).await;
    let ended = person.buys("250", "rejected").await;
    let reason = "Insufficient buying power: $20,000 available, $50,000 required";
    person.reads(&ended, "trade.rejected", "INSUFFICIENT_FUNDS", reason).await;
    person.left(0, 0);
    person.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn insufficient_funds_that_only_the_venue_knows_of() {
    let mut person = Person::arrive().await;
    person.venue.world().deposit(KEY, (-99_900).into()).unwrap();
    let ended = person.buys("10", "rejected").await;
    let reason = "Alpaca refused: insufficient buying power. Nothing was bought or sold. Lower the quantity, or free \
                  funds or shares first.";
    person.reads(&ended, "trade.rejected", "INSUFFICIENT_FUNDS", reason).await;
    person.left(1, 0);
    person.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_symbol_is_refused_at_the_door_and_one_that_was_delisted_by_the_venue() {
    let mut person = Person::arrive().await;
    let unknown = person.api.signal(&order("typo", "NOSUCH", "buy", "1")).await;
    unknown.assert_problem(422, "INVALID_SYMBOL");
    wait_for("the feed to tell of it", || async {
        let feed = person.api.all("/api/v1/signals").await;
        feed.into_iter().find(|row| row["outcome"] == "refused" && row["code"] == "INVALID_SYMBOL")
    })
    .await;
    person.left(0, 0);

    let delisted = Instrument { active: false, tradable: false, ..Instrument::new("AAPL") };
    person.venue.world().list(delisted);
    let ended = person.buys("1", "rejected").await;
    let reason = "Alpaca refused: asset AAPL is not active. Nothing was bought or sold. Check the symbol at \
                  alpaca.markets.";
    person.reads(&ended, "trade.rejected", "INVALID_SYMBOL", reason).await;
    person.left(1, 0);
    person.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn us_001_3_a_closed_market_queues_the_order_and_sends_nothing() {
    let venue = Venue::open(&[KEY]).await;
    let saturday = "2025-07-13T00:00:00Z";
    venue.world().set_now(saturday.parse().unwrap());
    venue.world().set_hours(Hours::Nyse);
    venue.price("AAPL", 200);
    let mut person = Person::at(venue, TestClock::at(saturday)).await;
    let ended = person.buys("1", "queued").await;
    assert_eq!(ended.trade["reason"], "Order queued for Monday 9:30am ET");
    assert_eq!(
        (&ended.trade["code"], &ended.trade["queued_until"]),
        (&Value::Null, &json!("2025-07-14T13:30:00Z"))
    );
    let told = person.screen.until(|told| told["type"] == "trade.updated").await;
    assert_eq!(told.last().unwrap()["data"]["reason"], ended.trade["reason"]);
    person.left(0, 0);
    person.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_that_the_venue_alone_knows_to_be_closed() {
    let mut person = Person::arrive().await;
    refuse(&person, 403, 40_310_000, "market is closed");
    let ended = person.buys("1", "rejected").await;
    let reason =
        "Alpaca refused: market is closed. Nothing was bought or sold. Send it when the market is open.";
    person.reads(&ended, "trade.rejected", "MARKET_CLOSED", reason).await;
    person.left(1, 0);
    person.leave().await;
}

fn slow_down() -> Action {
    Action::Status { status: 429, when: When::Before, retry_after_s: Some(1) }
}

#[tokio::test(flavor = "multi_thread")]
async fn us_010_3_too_many_requests_only_delay_an_order_and_the_user_reads_that() {
    let mut person = Person::arrive().await;
    person.venue.fail_orders(slow_down(), Some(2));
    let ended = person.buys("5", "filled").await;
    assert_eq!(
        (&ended.trade["code"], &ended.trade["reason"]),
        (&Value::Null, &Value::Null),
        "{}",
        ended.trade
    );
    let told = person.screen.until(|told| told["type"] == "trade.filled").await;
    let waited: Vec<_> = told
        .iter()
        .filter(|told| told["data"]["code"] == "RATE_LIMIT_EXCEEDED")
        .map(|told| (&told["type"], &told["data"]["reason"], &told["data"]["status"]))
        .collect();
    let words = json!("Alpaca rate limit: 1 order queued, processing...");
    assert_eq!(waited, [(&json!("trade.updated"), &words, &json!("pending")); 2]);
    person.left(3, 1);
    person.leave().await;
}

/// Fifteen orders may go out at once, and then four in three seconds.
#[tokio::test(flavor = "multi_thread")]
async fn us_010_3_a_burst_of_signals_is_queued_below_the_limit_and_all_of_it_is_sent() {
    const BURST: usize = 26;
    let mut person = Person::arrive().await;
    // The account is looked at meanwhile, out of the same allowance.
    let limits = json!({ "signal_max_age_s": 600 });
    let changed = person.api.request(reqwest::Method::PUT, "/api/v1/risk").json(&limits);
    crate::support::api::send(changed).await.unwrap().expect(200);
    let mut signals = Vec::new();
    for number in 0..BURST {
        signals.push(person.says(&order(&format!("n{number}"), "AAPL", "buy", "1")).await);
    }
    for signal in signals {
        person.api.settled(&signal, "filled").await;
    }
    person.left(BURST, BURST);
    let asked = person.venue.world().rate(KEY);
    assert_eq!(asked.refused, 0, "the venue was never asked too much: {asked:?}");
    let told = person.screen.until(|told| told["data"]["code"] == "RATE_LIMIT_EXCEEDED").await;
    let said = told.last().unwrap()["data"]["reason"].as_str().unwrap();
    assert!(said.starts_with("Alpaca rate limit: ") && said.contains(" queued, processing..."), "{said}");
    assert!(said.contains("It is expected to be sent within "), "{said}");
    person.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_that_does_not_end_fails_the_order_after_three_more_attempts() {
    let mut person = Person::arrive().await;
    person.venue.fail_orders(slow_down(), None);
    let ended = person.buys("5", "failed").await;
    let reason = "Alpaca rate limit reached. Order not submitted. Send the signal again in a minute.";
    person.reads(&ended, "trade.failed", "RATE_LIMIT_EXCEEDED", reason).await;
    person.left(4, 0);
    person.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_were_revoked_send_nothing_to_the_market() {
    let mut person = Person::arrive().await;
    person.venue.world().revoke(KEY, true).unwrap();
    // Not even a price is told, so that there is nothing to send.
    let ended = person.buys("1", "rejected").await;
    person.reads(&ended, "trade.rejected", "AUTH_FAILED", LOCKED_OUT).await;
    person.left(0, 0);
    person.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_may_look_and_not_trade_send_nothing_to_the_market() {
    let mut person = Person::arrive().await;
    refuse(&person, 401, 40_110_000, "request is not authorized");
    let ended = person.buys("1", "rejected").await;
    person.reads(&ended, "trade.rejected", "AUTH_FAILED", LOCKED_OUT).await;
    person.left(1, 0);
    person.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_of_an_order_that_the_venue_does_not_show_is_not_sent_again() {
    let mut person = Person::arrive().await;
    person.venue.fail_orders(Action::Duplicate, None);
    let signal = person.says(&order("one", "AAPL", "buy", "5")).await;
    person.api.settled(&signal, "unknown").await;
    // Past the age at which a signal may still be sent.
    person.venue.searched(&person.clock, TimeDelta::seconds(12)).await;
    let ended = person.ended(signal, "rejected").await;
    let reason = "Alpaca says that it has this order already, but does not show it. It was not sent again. Look at the \
                  account at alpaca.markets before you send the signal again.";
    person.reads(&ended, "trade.rejected", "DUPLICATE_ORDER", reason).await;
    person.left(1, 0);
    person.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_comes_twice_is_one_order() {
    let person = Person::arrive().await;
    let body = order("one", "AAPL", "buy", "5");
    let signal = person.says(&body).await;
    person.ended(signal.clone(), "filled").await;
    let again = person.api.signal(&body).await.expect(200);
    assert_eq!((&again["status"], &again["signal_id"]), (&json!("duplicate"), &json!(signal)));
    wait_for("the feed to count it", || async { (person.fed(&signal).await["repeats"] == 1).then_some(()) })
        .await;
    person.left(1, 1);
    person.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_the_venue_refuses_for_another_reason() {
    let mut person = Person::arrive().await;
    refuse(&person, 403, 40_310_000, "potential wash trade detected. use complex orders");
    let ended = person.buys("1", "rejected").await;
    let reason = "Alpaca refused: potential wash trade detected. use complex orders. Nothing was bought or sold. \
                  Change the order as it says before you send it again.";
    person.reads(&ended, "trade.rejected", "ORDER_REJECTED", reason).await;
    person.left(1, 0);
    person.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_the_venue_takes_and_then_rejects() {
    let mut person = Person::arrive().await;
    person.venue.fail_orders(Action::Reject, None);
    let ended = person.buys("1", "rejected").await;
    let reason = "Alpaca took the order and then rejected it, without saying why. Nothing was executed. Look at the \
                  order at alpaca.markets before you send it again.";
    person.reads(&ended, "trade.rejected", "ORDER_REJECTED", reason).await;
    person.left(1, 1);
    assert_eq!(person.venue.orders(KEY)[0].status, Status::Rejected);
    person.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn us_002_3_a_venue_that_answers_503_never_has_the_order() {
    let mut person = Person::arrive().await;
    person.venue.fail_orders(Action::status(503), None);
    let signal = person.says(&order("one", "AAPL", "buy", "5")).await;
    person.api.settled(&signal, "unknown").await;
    // Past the age at which a signal may still be sent.
    person.venue.searched(&person.clock, TimeDelta::seconds(12)).await;
    let ended = person.ended(signal, "expired").await;
    let reason = "Alpaca temporarily unavailable. Order not submitted.";
    person.reads(&ended, "trade.failed", "BROKER_UNAVAILABLE", reason).await;
    person.left(1, 0);
    person.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_venue_that_is_not_there_gets_nothing_when_it_is_back() {
    let Person { venue, clock, program, api, screen } = Person::arrive().await;
    drop(screen);
    venue.world().add_fault(venues::faults::Rule::on("*", Action::status(503)));
    let program = program.restart(|| ()).await;
    let api = program.again(&api);
    let answer = api.signal(&order("one", "AAPL", "buy", "5")).await.expect(202);
    let signal = answer["signal_id"].as_str().unwrap();
    clock.turn(TimeDelta::seconds(31));
    let trade = api.settled(signal, "rejected").await;
    assert_eq!(trade["code"], "BROKER_UNAVAILABLE");
    let reason =
        "Broker offline - order not submitted. Nothing was sent; send the signal again if you still want it.";
    assert_eq!(trade["reason"], reason);
    venue.world().clear_faults();
    wait_until("the session to be open again", || async {
        let accounts = api.all("/api/v1/brokers").await;
        accounts.iter().any(|account| account["broker"] == "alpaca" && account["connected"] == true)
    })
    .await;
    assert_eq!((venue.submissions(), venue.orders(KEY).len()), (0, 0));
    program.stop().await;
}
