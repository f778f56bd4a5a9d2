//! A simulated Alpaca in this process: accounts by the hundred, prices set by hand, and every order it took.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use rust_decimal::Decimal;
use tokio::time::sleep;
use venues::account::AccountSpec;
use venues::alpaca::Alpaca;
use venues::book::{Order, Side};
use venues::feed::Price;
use venues::streams::Channel;
use venues::world::Options;

use crate::client::{Connection, request};
use crate::figures::Times;
use crate::floor::{Preallocated, WRITE_BYTES};
use crate::server::Setting;

/// What all keys have for a secret.
pub(crate) const SECRET: &str = "a-secret-of-the-load";
/// The account and the symbol of the floor: no server trades there.
const FLOOR_KEY: &str = "PKFLOOR";
const FLOOR_SYMBOL: &str = "FLOOR";
/// Connections over which the floor sends its orders.
const FLOOR_LANES: usize = 32;
/// How long orders may take to come in before the measurement is given up.
const TRADE_WITHIN: Duration = Duration::from_secs(180);

/// The venue.
#[derive(Debug)]
pub(crate) struct Venue {
    alpaca: Alpaca,
    /// The names of its accounts, which are their keys, in order.
    pub(crate) accounts: Vec<String>,
}

impl Venue {
    /// Opens a venue with so many accounts of 100,000 dollars.
    pub(crate) async fn open(accounts: usize) -> anyhow::Result<Self> {
        let accounts: Vec<_> = (0..accounts).map(|at| format!("PKLOAD{at:06}")).collect();
        let spec = |key: &str, cash: u32| AccountSpec::new(key, SECRET, Decimal::from(cash));
        let mut specs: Vec<_> = accounts.iter().map(|key| spec(key, 100_000)).collect();
        specs.push(spec(FLOOR_KEY, 1_000_000_000));
        let options = Options { per_minute: None, seed: Some(1), accounts: specs, ..Options::default() };
        let alpaca = Alpaca::start(options).await.context("the venue")?;
        let venue = Self { alpaca, accounts };
        venue.show(FLOOR_SYMBOL, Decimal::ONE_HUNDRED)?;
        Ok(venue)
    }

    /// Returns the settings that lead a server here, and let it ask as often as it needs.
    pub(crate) fn settings(&self) -> Vec<Setting> {
        let urls = self.alpaca.urls();
        let data_stream = urls.data_stream_url.trim_end_matches("/v2/iex").to_owned();
        vec![
            ("BROKERS__ALPACA__PAPER_URL", urls.url.clone()),
            ("BROKERS__ALPACA__LIVE_URL", urls.url.clone()),
            ("BROKERS__ALPACA__DATA_URL", urls.url),
            ("BROKERS__ALPACA__DATA_STREAM_URL", data_stream),
            ("BROKERS__ALPACA__REQUESTS_PER_MINUTE", "10000".to_owned()),
        ]
    }

    /// Sets bid, ask and last price of a symbol and returns when that was, by the venue's clock.
    pub(crate) fn show(&self, symbol: &str, price: Decimal) -> anyhow::Result<DateTime<Utc>> {
        let quote = self.alpaca.world().set_price(&Price::flat(symbol, price));
        Ok(quote.context("a price was not taken")?.at)
    }

    /// Returns how many streams of news of orders are open.
    pub(crate) fn streams(&self) -> usize {
        self.alpaca.world().listening(None, Channel::Orders)
    }

    /// Returns how many trades the venue has made.
    pub(crate) fn trades(&self) -> usize {
        self.alpaca.world().look(|state| state.book.trades().len())
    }

    /// Waits until it has made so many trades.
    pub(crate) async fn until_trades(&self, count: usize) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.trades() < count {
            ensure!(began.elapsed() < TRADE_WITHIN, "the venue made {} of {count} trades", self.trades());
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Returns the account and the symbol of the last trade.
    pub(crate) fn last_trade(&self) -> Option<(String, String)> {
        self.alpaca.world().look(|state| {
            let order = state.book.order(state.book.trades().last()?.order)?;
            Some((order.ticket.account.clone(), order.ticket.symbol.clone()))
        })
    }

    /// Returns every order of one side that is not the floor's, the oldest first.
    pub(crate) fn orders(&self, side: Side) -> Vec<Order> {
        self.alpaca.world().look(|state| {
            let all = state.book.orders();
            all.filter(|order| order.ticket.side == side && order.ticket.account != FLOOR_KEY)
                .cloned()
                .collect()
        })
    }

    /// Returns what every account holds, by account and symbol.
    pub(crate) fn holdings(&self) -> BTreeMap<(String, String), Decimal> {
        self.alpaca.world().look(|state| {
            let accounts = state.book.accounts().filter(|(name, _)| *name != FLOOR_KEY);
            let held = accounts.flat_map(|(name, account)| {
                let held = account.holdings.iter();
                held.map(|(symbol, holding)| ((name.to_owned(), symbol.clone()), holding.qty))
            });
            held.collect()
        })
    }

    /// Returns whether an order rests here that is not done.
    pub(crate) fn has_open_orders(&self) -> bool {
        self.alpaca.world().look(|state| state.book.orders().any(|order| order.status.is_open()))
    }
}

/// What it takes at least: to make records durable after a price, and to hand orders to this venue.
#[derive(Debug)]
pub(crate) struct VenueFloor {
    file: Preallocated,
    lanes: Vec<Connection>,
    order: Vec<u8>,
}

impl VenueFloor {
    /// Opens the connections.
    pub(crate) async fn open(venue: &Venue, dir: &Path) -> anyhow::Result<Self> {
        let host = venue.alpaca.urls().url.trim_start_matches("http://").parse()?;
        let keys = format!("apca-api-key-id: {FLOOR_KEY}\r\napca-api-secret-key: {SECRET}\r\n");
        let body = format!(
            r#"{{"symbol":"{FLOOR_SYMBOL}","qty":"0.5","side":"buy","type":"market","time_in_force":"day"}}"#
        );
        let order = request("POST", host, "/v2/orders", &keys, &body);
        let lanes = try_join_all((0..FLOOR_LANES).map(|_| Connection::open(host))).await?;
        Ok(Self { file: Preallocated::new(&dir.join("venue-floor"))?, lanes, order })
    }

    /// Sets a price, makes `count` records of 1 KiB durable in batches of 512, sends as many orders, and adds the time
    /// from the price to every answer.
    pub(crate) async fn react(
        &mut self,
        venue: &Venue,
        count: usize,
        times: &mut Times,
    ) -> anyhow::Result<()> {
        let lanes = self.lanes.len();
        let began = Instant::now();
        venue.show(FLOOR_SYMBOL, Decimal::ONE_HUNDRED)?;
        let mut left = count;
        while left > 0 {
            let batch = left.min(512);
            self.file.append(&vec![0xa5; batch * WRITE_BYTES])?;
            left -= batch;
        }
        let order = self.order.as_slice();
        let sent = self.lanes.iter_mut().enumerate().map(|(lane, connection)| async move {
            let mut answers = Vec::new();
            for _ in (lane..count).step_by(lanes) {
                let status = connection.exchange(order).await?;
                ensure!(status == 200, "the floor's order was answered {status}");
                answers.push(began.elapsed());
            }
            anyhow::Ok(answers)
        });
        try_join_all(sent).await?.into_iter().flatten().for_each(|time| times.add(time));
        Ok(())
    }
}
