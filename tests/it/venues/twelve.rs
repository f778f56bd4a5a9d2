//! The same twelve signals at every venue, through the whole program: the right order, or the right refusal.
//!
//! They are spoken of in coins of 60,000. Where shares are traded instead, a hundred of them stand for a coin, at a
//! hundredth of its price.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures_util::future::join_all;
use rust_decimal::Decimal;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use trade_actors::domain::order::Mode;
use trade_actors::ports::clock::{Clock, SystemClock};
use trade_executor::brokers::credentials::Auth;
use trade_executor::config::BrokersConfig;
use venues::book::{Kind, Order, Side};
use venues::feed;
use venues::table::{Running, venue};
use venues::world::Options;

use super::desk::dec;
use super::place::Place;
use crate::support::{Api, TestApp, TestClock, docs, wait_for, wait_or_say, wait_until};

/// A time at which New York trades.
const OPEN: &str = "2026-11-24T15:00:00Z";

/// A signal, by its name in the table.
struct Signal {
    name: &'static str,
    body: fn(&Place) -> Value,
    /// What it comes to: how its trade stands then, and what the venue has of it.
    comes_to: Comes,
}

enum Comes {
    /// An order for so much of a coin that was filled.
    Filled(Side, &'static str),
    /// An order for what the venue's step leaves of so much of a coin, that was filled; a refusal, where that is nothing.
    Rounded(fn(&Place) -> &'static str),
    /// An order that rests there; or, where the venue has no such order, a refusal that names it.
    Rests(Side, fn(&Place, Kind) -> bool),
    /// A filled entry of so much of a coin, with a stop where a coin has this price.
    Protected(&'static str, &'static str),
    /// Nothing is held any longer, and nothing rests.
    Flat,
    /// A refusal under the code; the venue has no order.
    Refused(fn(&Place) -> &'static str),
}

/// Words a signal for so much of a coin, with prices of a coin by their fields.
fn order(place: &Place, action: &str, coins: &str, prices: &[(&str, &str)]) -> Value {
    let mut body = json!({"action": action, "quantity": place.units(coins).normalize().to_string()});
    for (field, of_coin) in prices {
        body[*field] = json!(at(place, of_coin).to_string());
    }
    body
}

/// Words a signal for an order of a type.
fn typed(place: &Place, action: &str, kind: &str, prices: &[(&str, &str)]) -> Value {
    let mut body = order(place, action, "0.01", prices);
    body["orderType"] = json!(kind);
    body
}

/// Returns the price of a unit where a coin has this one.
fn at(place: &Place, of_coin: &str) -> Decimal {
    place.price(of_coin).get().normalize()
}

/// Returns the code under which too little is refused: where the least is a number of coins, the venue alone knows it.
fn too_little(place: &Place) -> &'static str {
    if place.name == "gemini" { "ORDER_REJECTED" } else { "BELOW_MINIMUM" }
}

/// Returns whether parts of a unit are traded.
fn has_parts(place: &Place) -> bool {
    !matches!(place.name, "ibkr" | "schwab")
}

/// Returns a quantity of a coin that is finer than some venues' steps: a part of a share, where there are none.
fn fraction(place: &Place) -> &'static str {
    if has_parts(place) { "0.01234" } else { "0.005" }
}

fn signals() -> Vec<Signal> {
    use Comes as C;
    let signal = |name, body, comes_to| Signal { name, body, comes_to };
    vec![
        signal("market buy", |place| order(place, "buy", "0.1", &[]), C::Filled(Side::Buy, "0.1")),
        signal(
            "limit buy",
            |place| typed(place, "buy", "limit", &[("price", "58000")]),
            C::Rests(Side::Buy, |place, kind| kind == Kind::Limit { limit: at(place, "58000") }),
        ),
        signal(
            "stop sell",
            |place| typed(place, "sell", "stop", &[("stopPrice", "57000")]),
            C::Rests(Side::Sell, |place, kind| kind == Kind::Stop { stop: at(place, "57000") }),
        ),
        signal(
            "stop-limit sell",
            |place| typed(place, "sell", "stop_limit", &[("stopPrice", "57000"), ("price", "56900")]),
            C::Rests(Side::Sell, |place, kind| {
                kind == Kind::StopLimit { stop: at(place, "57000"), limit: at(place, "56900") }
            }),
        ),
        signal(
            "trailing sell",
            |place| {
                let mut body = typed(place, "sell", "trailing_stop", &[]);
                body["trailPercent"] = json!(5);
                body
            },
            C::Rests(Side::Sell, |_, kind| matches!(kind, Kind::TrailingStop { .. })),
        ),
        signal("market sell", |place| order(place, "sell", "0.02", &[]), C::Filled(Side::Sell, "0.02")),
        signal(
            "bracket",
            |place| order(place, "buy", "0.02", &[("stopLoss", "57000"), ("takeProfit", "66000")]),
            C::Protected("0.02", "57000"),
        ),
        signal("close", |_| json!({"action": "close"}), C::Flat),
        signal("fraction", |place| order(place, "buy", fraction(place), &[]), C::Rounded(fraction)),
        signal("below minimum", |place| order(place, "buy", "0.000001", &[]), C::Refused(too_little)),
        signal(
            "unknown symbol",
            |place| {
                let mut body = order(place, "buy", "0.01", &[]);
                body["ticker"] = json!(if place.deals_in_shares() { "NOSUCH" } else { "NOSUCH/XYZ" });
                body
            },
            C::Refused(|_| "INVALID_SYMBOL"),
        ),
        signal(
            "insufficient funds",
            |place| order(place, "buy", "5", &[]),
            C::Refused(|_| "INSUFFICIENT_FUNDS"),
        ),
    ]
}

/// What is changed about a place, its simulator and the program before somebody arrives.
pub(super) type Settings = fn(&Place, &Running, &mut BrokersConfig);

/// One person whose signals go to a simulated venue.
pub(super) struct Person {
    place: Place,
    pub(super) venue: Running,
    pub(super) api: Api,
    _program: TestApp,
}

impl Person {
    /// Has somebody arrive whose account is connected to the program, which has settings of its own. The caller keeps
    /// other tests' programs out.
    pub(super) async fn arrive(place: Place, settings: Settings) -> Self {
        let entry = venue(place.name).unwrap();
        let options = Options { accounts: vec![place.account()], ..(entry.options)() };
        let venue = (entry.start)(options).await.unwrap();
        venue.world().set_price(&feed::Price::flat(place.coin, at(&place, "60000")));
        let clock = if place.deals_in_shares() { TestClock::at(OPEN) } else { TestClock::right() };
        let ahead = clock.now() - SystemClock::new().now();
        venue.world().set_clock_offset(if place.deals_in_shares() { ahead } else { TimeDelta::zero() });
        let program = TestApp::among_others(&clock, |config| {
            (place.lead)(venue.urls(), &mut config.brokers);
            settings(&place, &venue, &mut config.brokers);
        })
        .await;
        let person = Self { place, venue, api: program.owner(), _program: program };
        person.connect().await;
        person
    }

    /// Connects the account, and makes it the one that signals go to.
    async fn connect(&self) {
        let limits = json!({"position_max_pct": "100"});
        let changed = self.api.request(reqwest::Method::PUT, "/api/v1/risk").json(&limits);
        crate::support::api::send(changed).await.unwrap().expect(200);
        let mut keys = match self.place.auth(&self.venue).await {
            Auth::ApiKey { key_id, secret } => {
                json!({"key_id": key_id.expose_secret(), "secret": secret.expose_secret()})
            }
            Auth::OAuth { access_token } => json!({"access_token": access_token.expose_secret()}),
            Auth::Login { refresh_token } => json!({"refresh_token": refresh_token.expose_secret()}),
            Auth::Account { account } => json!({"account": account.expose_secret()}),
        };
        keys["broker"] = json!(self.place.name);
        keys["mode"] = json!(self.place.mode.as_str());
        let made = self.api.post("/api/v1/brokers", &keys).await.expect(201);
        let path = format!("/api/v1/brokers/{}/default", made["id"].as_str().unwrap());
        self.api.post(&path, &json!({})).await.expect(200);
        if self.place.mode == Mode::Live {
            let path = format!("/api/v1/brokers/{}/live", made["id"].as_str().unwrap());
            let words = json!({"on": true, "confirm": "trade real money"});
            let switched = self.api.request(reqwest::Method::PUT, &path).json(&words);
            crate::support::api::send(switched).await.unwrap().expect(200);
        }
        wait_for(&format!("the session at {}", self.place.name), || async {
            let all = self.api.all("/api/v1/brokers").await;
            all.into_iter().find(|known| known["id"] == made["id"] && known["connected"] == true)
        })
        .await;
    }

    fn orders(&self) -> Vec<Order> {
        self.venue.world().orders(Some(self.place.key.0))
    }

    fn held(&self) -> Decimal {
        let account = self.venue.world().account(self.place.key.0);
        account.map_or(Decimal::ZERO, |account| account.qty(self.place.coin))
    }

    /// Returns the step in which the venue trades, as it says itself. Brokers of shares say none: they trade whole ones, or
    /// parts of any size.
    fn lot(&self) -> Option<Decimal> {
        let listed = self.venue.world().look(|state| state.instruments.get(self.place.coin).cloned());
        listed.unwrap().increments.qty_step.or((!has_parts(&self.place)).then_some(Decimal::ONE))
    }

    /// Returns how many units an order for so much of a coin is for: never more than was said.
    fn rounded(&self, coins: &str) -> Decimal {
        let units = self.place.units(coins);
        self.lot().map_or(units, |lot| (units / lot).floor() * lot)
    }

    /// Says a signal, and returns its cell of the table.
    async fn says(&self, signal: &Signal) -> String {
        let what = format!("{} at {}", signal.name, self.place.name);
        let mut body = (signal.body)(&self.place);
        let fields = body.as_object_mut().unwrap();
        fields.insert("id".to_owned(), json!(signal.name));
        fields.entry("ticker").or_insert_with(|| json!(self.place.coin));
        let before = self.orders().len();
        let answer = self.api.signal(&body).await;
        if let (422, Comes::Refused(code)) = (answer.status, &signal.comes_to) {
            let code = code(&self.place);
            answer.assert_problem(422, code);
            assert_eq!(self.orders().len(), before, "{what}: nothing was sent");
            return format!("refused: {code}");
        }
        let taken = answer.expect(202);
        let id = taken["signal_id"].as_str().unwrap();
        match &signal.comes_to {
            Comes::Filled(side, coins) => {
                self.filled(&what, id, before, (*side, self.place.units(coins))).await
            }
            Comes::Rounded(coins) => {
                let (said, left) = (self.place.units(coins(&self.place)), self.rounded(coins(&self.place)));
                if left.is_zero() {
                    return self.refused(&what, id, before, "BELOW_MINIMUM").await;
                }
                let cell = self.filled(&what, id, before, (Side::Buy, left)).await;
                if left == said { cell } else { format!("{cell}: {}", left.normalize()) }
            }
            Comes::Rests(side, is_it) => self.rests(&what, id, before, *side, *is_it).await,
            Comes::Protected(coins, stop) => self.protected(&what, id, before, coins, stop).await,
            Comes::Flat => self.flat(&what, id).await,
            Comes::Refused(code) => self.refused(&what, id, before, code(&self.place)).await,
        }
    }

    /// Waits until the signal's order has ended so, and returns its trade.
    async fn ended(&self, what: &str, signal: &str, status: &str) -> Value {
        wait_or_say(&format!("{what} to be {status}"), || async {
            match self.api.trade_of(signal).await {
                Some(trade) if trade["status"] == status => Ok(trade),
                other => Err(format!(", but it is {other:?}")),
            }
        })
        .await
    }

    async fn filled(&self, what: &str, signal: &str, before: usize, done: (Side, Decimal)) -> String {
        self.ended(what, signal, "filled").await;
        let order = self.newest(what, before);
        assert_eq!((order.ticket.side, order.filled_qty), done, "{what}");
        "filled".to_owned()
    }

    async fn refused(&self, what: &str, signal: &str, before: usize, code: &str) -> String {
        let trade = self.ended(what, signal, "rejected").await;
        assert_eq!(self.orders().len(), before, "{what}: the venue has no order");
        assert_eq!(trade["code"], code, "{what}: {trade}");
        assert!(trade["reason"].as_str().is_some_and(|reason| reason.len() > 20), "{trade}");
        format!("refused: {code}")
    }

    async fn flat(&self, what: &str, signal: &str) -> String {
        self.ended(what, signal, "filled").await;
        // Nor is anything sold short.
        let dust = dec("0.0001");
        wait_until(&format!("{what}: nothing to be held"), || async { self.held().abs() < dust }).await;
        wait_until(&format!("{what}: nothing to rest"), || async {
            self.orders().iter().all(|order| !order.status.is_open())
        })
        .await;
        let positions = self.api.all("/api/v1/positions").await;
        assert!(positions.is_empty(), "{what}: {positions:?}");
        "flat".to_owned()
    }

    /// The order that a signal became.
    fn newest(&self, what: &str, before: usize) -> Order {
        let orders = self.orders();
        assert_eq!(orders.len(), before + 1, "{what}: one signal is one order: {orders:?}");
        orders[before].clone()
    }

    /// Waits until the order rests, takes it back, and returns its cell; or the refusal's.
    async fn rests(
        &self,
        what: &str,
        signal: &str,
        before: usize,
        side: Side,
        is_it: fn(&Place, Kind) -> bool,
    ) -> String {
        let trade = wait_or_say(&format!("{what} to rest or to be refused"), || async {
            match self.api.trade_of(signal).await {
                Some(trade) if ["submitted", "rejected"].contains(&trade["status"].as_str().unwrap()) => {
                    Ok(trade)
                }
                other => Err(format!(", but it is {other:?}")),
            }
        })
        .await;
        if trade["status"] == "rejected" {
            assert_eq!(self.orders().len(), before, "{what}: nothing was sent");
            assert!(trade["reason"].as_str().unwrap().contains("Nothing was sent."), "{trade}");
            return "refused by name".to_owned();
        }
        let order = self.newest(what, before);
        assert!(order.ticket.side == side && is_it(&self.place, order.ticket.kind), "{order:?}");
        let path = format!("/api/v1/trades/{}/cancel", trade["id"].as_str().unwrap());
        let asked = self.api.post(&path, &json!({})).await;
        assert!((200..300).contains(&asked.status), "{what}: {}", asked.text);
        self.ended(what, signal, "cancelled").await;
        "rests".to_owned()
    }

    /// Waits for the entry and its stop, which rests at the venue or is watched here.
    async fn protected(&self, what: &str, signal: &str, before: usize, coins: &str, stop: &str) -> String {
        self.ended(what, signal, "filled").await;
        assert_eq!(self.orders()[before].filled_qty, self.place.units(coins), "{what}");
        let stop = at(&self.place, stop);
        wait_or_say(&format!("the position of {what} to be protected"), || async {
            let positions = self.api.all("/api/v1/positions").await;
            let level = |held: &Value| held["stop_loss"].as_str().map(dec);
            if positions.iter().any(|held| level(held) == Some(stop)) {
                return Ok(());
            }
            Err(format!(
                ": {positions:?}; {:?}",
                self.orders().iter().filter(|order| order.status.is_open()).collect::<Vec<_>>()
            ))
        })
        .await;
        let at_venue = || {
            let orders = self.orders();
            orders.iter().any(|order| order.status.is_open() && order.ticket.kind.stop() == Some(stop))
        };
        // As long as a stop may take to rest at a venue.
        for _ in 0..40 {
            if at_venue() {
                return "stop at the venue".to_owned();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        "stop watched here".to_owned()
    }

    /// Returns the cells of this venue, in the order of the signals.
    async fn column(&self) -> Vec<String> {
        let mut cells = Vec::new();
        for signal in signals() {
            cells.push(self.says(&signal).await);
        }
        cells
    }

    /// Buys at the market, and waits until it is done.
    pub(super) async fn buys(&self) {
        let signal = &signals()[0];
        assert_eq!(self.says(signal).await, "filled");
    }

    /// Closes the position; returns how long it took until nothing was held at the venue.
    pub(super) async fn leaves(&self) -> Duration {
        let began = Instant::now();
        let body = json!({"id": "leaves", "action": "close", "ticker": self.place.coin});
        self.api.signal(&body).await.expect(202);
        wait_until("nothing to be held", || async { self.held().abs() < dec("0.0001") }).await;
        began.elapsed()
    }

    /// Closes the position, and waits until nothing is held and that is known.
    pub(super) async fn closes(&self) {
        let signals = signals();
        let close = signals.iter().find(|signal| matches!(signal.comes_to, Comes::Flat)).unwrap();
        assert_eq!(self.says(close).await, "flat");
    }
}

/// Has accounts be of the tier that may ask the most.
fn table(place: &Place, venue: &Running, config: &mut BrokersConfig) {
    if place.name == super::kraken::PLACE.name {
        config.kraken.tier = "pro".to_owned();
        super::kraken::promote(venue);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_signals_become_the_right_orders_at_every_venue() {
    let places = [
        super::alpaca::PLACE,
        super::binance::PLACE,
        super::binance_usdm::PLACE,
        super::bybit::PLACE,
        super::coinbase::PLACE,
        super::gemini::PLACE,
        Place { per_coin: 100, ..super::ibkr::PLACE },
        super::kraken::PLACE,
        super::schwab::PLACE,
    ];
    let _alone = TestApp::alone().await;
    let columns = join_all(places.map(|place| {
        tokio::spawn(async move { Box::pin(Person::arrive(place, table)).await.column().await })
    }))
    .await;
    let mut head = String::from("| signal |");
    let mut rows: Vec<String> = signals().iter().map(|signal| format!("| {} |", signal.name)).collect();
    for (place, column) in places.iter().zip(columns) {
        head.push_str(&format!(" {} |", place.name));
        for (row, cell) in rows.iter_mut().zip(column.unwrap()) {
            row.push_str(&format!(" {cell} |"));
        }
    }
    let rule = "|---".repeat(places.len() + 1);
    let table = format!("{head}\n{rule}|\n{}\n", rows.join("\n"));
    println!("{table}");
    docs::write("docs/brokers.md", "twelve signals", &table);
}
