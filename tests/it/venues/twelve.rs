//! The same twelve signals at every venue, through the whole program: the right order, or the right refusal.

use rust_decimal::Decimal;
use serde_json::{Value, json};
use trade_actors::domain::order::Mode;
use venues::account::{AccountKind, AccountSpec};
use venues::book::{Kind, Order, Side};
use venues::feed;
use venues::table::{Running, venue};
use venues::world::Options;

use super::desk::{Place, dec};
use crate::support::{Api, TestApp, docs, wait_for, wait_or_say, wait_until};

/// A signal, by its name in the table.
struct Signal {
    name: &'static str,
    body: fn() -> Value,
    /// What it comes to: how its trade stands then, and what the venue has of it.
    comes_to: Comes,
}

enum Comes {
    /// An order that was filled.
    Filled(Side, &'static str),
    /// An order that rests there; or, where the venue has no such order, a refusal that names it.
    Rests(Side, fn(Kind) -> bool),
    /// A filled entry with its stop.
    Protected(&'static str, &'static str),
    /// Nothing is held any longer, and nothing rests.
    Flat,
    /// A refusal under this code; nothing was sent.
    Refused(&'static str),
}

fn signals() -> Vec<Signal> {
    use Comes as C;
    let signal = |name, body, comes_to| Signal { name, body, comes_to };
    vec![
        signal("market buy", || json!({"action": "buy", "quantity": "0.1"}), C::Filled(Side::Buy, "0.1")),
        signal(
            "limit buy",
            || json!({"action": "buy", "quantity": "0.01", "orderType": "limit", "price": 58_000}),
            C::Rests(Side::Buy, |kind| kind == Kind::Limit { limit: dec("58000") }),
        ),
        signal(
            "stop sell",
            || json!({"action": "sell", "quantity": "0.01", "orderType": "stop", "stopPrice": 57_000}),
            C::Rests(Side::Sell, |kind| kind == Kind::Stop { stop: dec("57000") }),
        ),
        signal(
            "stop-limit sell",
            || json!({"action": "sell", "quantity": "0.01", "orderType": "stop_limit", "stopPrice": 57_000, "price": 56_900}),
            C::Rests(Side::Sell, |kind| kind == Kind::StopLimit { stop: dec("57000"), limit: dec("56900") }),
        ),
        signal(
            "trailing sell",
            || json!({"action": "sell", "quantity": "0.01", "orderType": "trailing_stop", "trailPercent": 5}),
            C::Rests(Side::Sell, |kind| matches!(kind, Kind::TrailingStop { .. })),
        ),
        signal(
            "market sell",
            || json!({"action": "sell", "quantity": "0.02"}),
            C::Filled(Side::Sell, "0.02"),
        ),
        signal(
            "bracket",
            || json!({"action": "buy", "quantity": "0.02", "stopLoss": 57_000, "takeProfit": 66_000}),
            C::Protected("0.02", "57000"),
        ),
        signal("close", || json!({"action": "close"}), C::Flat),
        signal(
            "fraction",
            || json!({"action": "buy", "quantity": "0.01234"}),
            C::Filled(Side::Buy, "0.01234"),
        ),
        signal("below minimum", || json!({"action": "buy", "quantity": "0.000001"}), C::Refused("")),
        signal(
            "unknown symbol",
            || json!({"action": "buy", "quantity": "0.01", "ticker": "NOSUCH/XYZ"}),
            C::Refused("INVALID_SYMBOL"),
        ),
        signal(
            "insufficient funds",
            || json!({"action": "buy", "quantity": "5"}),
            C::Refused("INSUFFICIENT_FUNDS"),
        ),
    ]
}

/// One person whose signals go to a simulated venue.
struct Person {
    place: Place,
    venue: Running,
    api: Api,
    _program: TestApp,
}

impl Person {
    async fn arrive(place: Place) -> Self {
        let entry = venue(place.name).unwrap();
        let (key, secret) = place.key;
        let spec = AccountSpec {
            kind: AccountKind::Spot,
            settlement: place.money.to_owned(),
            ..AccountSpec::new(key, secret, Decimal::from(100_000))
        };
        let options = Options { accounts: vec![spec], ..(entry.options)() };
        let venue = (entry.start)(options).await.unwrap();
        venue.world().set_price(&feed::Price::flat(place.coin, Decimal::from(60_000)));
        let urls = venue.urls().clone();
        let program = TestApp::configured(|config| (place.lead)(&urls, &mut config.brokers)).await;
        let api = program.owner();
        let limits = json!({"position_max_pct": "100"});
        let changed = api.request(reqwest::Method::PUT, "/api/v1/risk").json(&limits);
        crate::support::api::send(changed).await.unwrap().expect(200);
        let mode = place.mode.as_str();
        let keys = json!({"broker": place.name, "mode": mode, "key_id": key, "secret": secret});
        let made = api.post("/api/v1/brokers", &keys).await.expect(201);
        let path = format!("/api/v1/brokers/{}/default", made["id"].as_str().unwrap());
        api.post(&path, &json!({})).await.expect(200);
        if place.mode == Mode::Live {
            let path = format!("/api/v1/brokers/{}/live", made["id"].as_str().unwrap());
            let words = json!({"on": true, "confirm": "trade real money"});
            let switched = api.request(reqwest::Method::PUT, &path).json(&words);
            crate::support::api::send(switched).await.unwrap().expect(200);
        }
        wait_for("the session at the venue", || async {
            let all = api.all("/api/v1/brokers").await;
            all.into_iter().find(|known| known["id"] == made["id"] && known["connected"] == true)
        })
        .await;
        Self { place, venue, api, _program: program }
    }

    fn orders(&self) -> Vec<Order> {
        self.venue.world().orders(Some(self.place.key.0))
    }

    fn held(&self) -> Decimal {
        let account = self.venue.world().account(self.place.key.0);
        account.map_or(Decimal::ZERO, |account| account.qty(self.place.coin))
    }

    /// Says a signal, and returns its cell of the table.
    async fn says(&self, signal: &Signal) -> String {
        let mut body = (signal.body)();
        let fields = body.as_object_mut().unwrap();
        fields.insert("id".to_owned(), json!(signal.name));
        fields.entry("ticker").or_insert_with(|| json!(self.place.coin));
        let before = self.orders().len();
        let answer = self.api.signal(&body).await;
        if let (422, Comes::Refused(code)) = (answer.status, &signal.comes_to) {
            answer.assert_problem(422, code);
            assert_eq!(self.orders().len(), before, "{}: nothing was sent", signal.name);
            return format!("refused: {code}");
        }
        let taken = answer.expect(202);
        let id = taken["signal_id"].as_str().unwrap();
        match &signal.comes_to {
            Comes::Filled(side, quantity) => {
                self.api.settled(id, "filled").await;
                let order = self.newest(before);
                assert_eq!((order.ticket.side, order.filled_qty), (*side, dec(quantity)), "{}", signal.name);
                "filled".to_owned()
            }
            Comes::Rests(side, is_it) => self.rests(id, before, *side, *is_it).await,
            Comes::Protected(quantity, stop) => self.protected(id, before, quantity, stop).await,
            Comes::Flat => {
                self.api.settled(id, "filled").await;
                let dust = dec("0.0001");
                wait_until("nothing to be held", || async { self.held() < dust }).await;
                wait_until("nothing to rest", || async {
                    self.orders().iter().all(|order| !order.status.is_open())
                })
                .await;
                let positions = self.api.all("/api/v1/positions").await;
                assert!(positions.is_empty(), "{positions:?}");
                "flat".to_owned()
            }
            Comes::Refused(code) => {
                let trade = self.api.settled(id, "rejected").await;
                assert_eq!(self.orders().len(), before, "{}: nothing was sent", signal.name);
                let said = trade["code"].as_str().unwrap_or_default();
                assert!(code.is_empty() || said == *code, "{trade}");
                assert!(trade["reason"].as_str().is_some_and(|reason| reason.len() > 20), "{trade}");
                format!("refused: {said}")
            }
        }
    }

    /// The order that a signal became.
    fn newest(&self, before: usize) -> Order {
        let orders = self.orders();
        assert_eq!(orders.len(), before + 1, "one signal is one order: {orders:?}");
        orders[before].clone()
    }

    /// Waits until the order rests, takes it back, and returns its cell; or the refusal's.
    async fn rests(&self, signal: &str, before: usize, side: Side, is_it: fn(Kind) -> bool) -> String {
        let trade = wait_or_say("the order to rest or to be refused", || async {
            match self.api.trade_of(signal).await {
                Some(trade) if ["submitted", "rejected"].contains(&trade["status"].as_str().unwrap()) => {
                    Ok(trade)
                }
                other => Err(format!(", but it is {other:?}")),
            }
        })
        .await;
        if trade["status"] == "rejected" {
            assert_eq!(self.orders().len(), before, "nothing was sent");
            assert!(trade["reason"].as_str().unwrap().contains("Nothing was sent."), "{trade}");
            return "refused by name".to_owned();
        }
        let order = self.newest(before);
        assert!(order.ticket.side == side && is_it(order.ticket.kind), "{order:?}");
        let path = format!("/api/v1/trades/{}/cancel", trade["id"].as_str().unwrap());
        let asked = self.api.post(&path, &json!({})).await;
        assert!((200..300).contains(&asked.status), "{}", asked.text);
        self.api.settled(signal, "cancelled").await;
        "rests".to_owned()
    }

    /// Waits for the entry and its stop, which rests at the venue or is watched here.
    async fn protected(&self, signal: &str, before: usize, quantity: &str, stop: &str) -> String {
        self.api.settled(signal, "filled").await;
        assert_eq!(self.orders()[before].filled_qty, dec(quantity));
        wait_or_say("the position to be protected", || async {
            let positions = self.api.all("/api/v1/positions").await;
            let at = |held: &Value| held["stop_loss"].as_str().map(dec);
            if positions.iter().any(|held| at(held) == Some(dec(stop))) {
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
            orders.iter().any(|order| order.status.is_open() && order.ticket.kind.stop() == Some(dec(stop)))
        };
        // As long as a stop may take to rest at a venue.
        for _ in 0..40 {
            if at_venue() {
                return "stop at the venue".to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        "stop watched here".to_owned()
    }
}

/// Returns the cells of one venue, in the order of the signals.
pub(super) async fn row(place: Place) -> Vec<String> {
    let person = Person::arrive(place).await;
    let mut cells = Vec::new();
    for signal in signals() {
        cells.push(person.says(&signal).await);
    }
    cells
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_signals_become_the_right_orders_at_every_venue() {
    let places = [super::binance::PLACE, super::bybit::PLACE, super::coinbase::PLACE];
    let mut table = String::from("| signal |");
    let mut rows: Vec<String> = signals().iter().map(|signal| format!("| {} |", signal.name)).collect();
    for place in places {
        table.push_str(&format!(" {} |", place.name));
        for (row, cell) in rows.iter_mut().zip(Box::pin(row(place)).await) {
            row.push_str(&format!(" {cell} |"));
        }
    }
    let rule = "|---".repeat(places.len() + 1);
    let table = format!("{table}\n{rule}|\n{}\n", rows.join("\n"));
    println!("{table}");
    docs::write("docs/brokers.md", "twelve signals", &table);
}
