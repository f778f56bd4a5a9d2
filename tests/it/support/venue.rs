//! A simulated Alpaca in this process, and the program as a child process that trades there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use venues::account::AccountSpec;
use venues::alpaca::Alpaca;
use venues::book::{Kind, Order};
use venues::faults::{Action, Rule};
use venues::feed::Price;
use venues::journal::{Entry, Note};
use venues::world::{Options, World};

use super::{Api, Server, Setup, TestApp, TestClock, wait_for, wait_until};

/// The account's key at the venue; also its name there.
pub(crate) const KEY: &str = "PKCRASHTESTS";
const SECRET: &str = "a-secret-of-the-crash-tests";

/// The venue, with accounts of 100,000 dollars and AAPL at 200.
pub(crate) struct Venue {
    pub(crate) alpaca: Alpaca,
}

impl Venue {
    /// Opens the venue with these accounts.
    pub(crate) async fn open(keys: &[&str]) -> Self {
        Self::open_with(keys, None).await
    }

    /// Opens the venue with these accounts, and with this seed for its chance.
    pub(crate) async fn open_with(keys: &[&str], seed: Option<u64>) -> Self {
        let accounts = keys.iter().map(|key| AccountSpec::new(key, SECRET, Decimal::from(100_000))).collect();
        let options = Options { per_minute: None, seed, accounts, ..Options::default() };
        let alpaca = Alpaca::start(options).await.unwrap();
        let venue = Self { alpaca };
        venue.price("AAPL", 200);
        venue
    }

    pub(crate) fn world(&self) -> &Arc<World> {
        self.alpaca.world()
    }

    /// Sets a price without a spread.
    pub(crate) fn price(&self, symbol: &str, units: i64) {
        self.world().set_price(&Price::flat(symbol, Decimal::from(units)));
    }

    /// Points the program at this venue.
    pub(crate) fn setup(&self, setup: Setup) -> Setup {
        let urls = self.alpaca.urls();
        let data_stream = urls.data_stream_url.trim_end_matches("/v2/iex").to_owned();
        setup
            .set("brokers.alpaca.paper_url", &urls.url)
            .set("brokers.alpaca.live_url", &urls.url)
            .set("brokers.alpaca.data_url", &urls.url)
            .set("brokers.alpaca.data_stream_url", data_stream)
            .set("brokers.alpaca.timeout_ms", 1_500)
    }

    /// Starts the program in this process, by the test's clock, with this venue as its Alpaca.
    pub(crate) async fn program(&self, clock: &Arc<TestClock>) -> TestApp {
        let urls = self.alpaca.urls();
        TestApp::by_clock(clock, |config| {
            let alpaca = &mut config.brokers.alpaca;
            (alpaca.paper_url, alpaca.data_url) = (urls.url.clone(), urls.url);
            alpaca.data_stream_url = urls.data_stream_url;
            alpaca.timeout_ms = 2_000;
        })
        .await
    }

    /// Opens one more account, which may invest its cash and no more.
    pub(crate) fn open_account(&self, key: &str, cash: i64) {
        let multiplier = Some(Decimal::ONE);
        self.world().add_account(AccountSpec { multiplier, ..AccountSpec::new(key, SECRET, cash.into()) });
    }

    /// Makes requests go wrong that place orders.
    pub(crate) fn fail_orders(&self, action: Action, times: Option<u32>) {
        self.world().add_fault(Rule { times, ..Rule::on("POST /v2/orders", action) });
    }

    /// Returns how many requests to place an order came in, whatever became of them.
    pub(crate) fn submissions(&self) -> usize {
        let journal = self.world().journal(0);
        let places = |entry: &&Entry| matches!(&entry.note, Note::Received { method, path } if method == "POST" && path == "/v2/orders");
        journal.iter().filter(places).count()
    }

    /// Waits until an order whose answer was lost was looked for as often as it takes, with the clock turned by so much
    /// before each look-up.
    pub(crate) async fn searched(&self, clock: &TestClock, by: TimeDelta) {
        let looked_up = || {
            let journal = self.world().journal(0);
            let looks = |entry: &&Entry| matches!(&entry.note, Note::Answered { path, .. } if path.contains("by_client_order_id"));
            journal.iter().filter(looks).count()
        };
        for _ in 0..3 {
            let before = looked_up();
            clock.turn(by);
            wait_until("a look-up", || async { looked_up() > before }).await;
            // Its answer is to be taken in at the time it came.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Returns the orders of an account, legs among them.
    pub(crate) fn orders(&self, key: &str) -> Vec<Order> {
        self.world().orders(Some(key))
    }

    /// Returns how much an account holds.
    pub(crate) fn held(&self, key: &str, symbol: &str) -> Decimal {
        self.world().account(key).map_or(Decimal::ZERO, |account| account.qty(symbol))
    }

    /// Returns how much of a position working stops would sell.
    pub(crate) fn stopped(&self, key: &str, symbol: &str) -> Decimal {
        let is_stop = |kind: Kind| kind.stop().is_some() || matches!(kind, Kind::TrailingStop { .. });
        let all = self.orders(key).into_iter();
        let stops = all.filter(|order| {
            order.ticket.symbol == symbol && order.status.is_open() && is_stop(order.ticket.kind)
        });
        stops.map(|order| order.leaves()).sum()
    }
}

/// Connects a person's account at the venue and has signals go there.
pub(crate) async fn connect(api: &Api, key: &str) -> Value {
    let keys = json!({ "broker": "alpaca", "mode": "paper", "key_id": key, "secret": SECRET });
    let made = api.post("/api/v1/brokers", &keys).await.expect(201);
    let path = format!("/api/v1/brokers/{}/default", made["id"].as_str().unwrap());
    api.post(&path, &json!({})).await.expect(200);
    wait_for("the session at the venue", || async {
        let all = api.all("/api/v1/brokers").await;
        all.into_iter().find(|known| known["id"] == made["id"] && known["connected"] == true)
    })
    .await
}

/// Copies a data directory of a program that does not run.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Starts the program on a copy of `template`.
pub(crate) async fn start_on_copy(template: &Path, setup: Setup, home: &Path) -> Server {
    copy(template, home);
    setup.data(home).start().await
}
