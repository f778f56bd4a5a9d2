//! Every venue there is. One more is its file and a line here.

use std::io;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::alpaca::Alpaca;
use crate::binance;
use crate::binance_usdm;
use crate::bybit;
use crate::coinbase;
use crate::gemini;
use crate::ibkr::Ibkr;
use crate::kraken;
use crate::schwab::Schwab;
use crate::server::{Server, Venue};
use crate::world::{Options, World};

/// A venue by its name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// What it is called on the command line.
    pub name: &'static str,
    /// How it is started if nobody says otherwise: its limits, the rules of its book, the steps of its prices.
    pub options: fn() -> Options,
    /// Starts it on the caller's runtime.
    pub start: fn(Options) -> BoxFuture<'static, io::Result<Running>>,
}

/// Every venue, by name.
pub const VENUES: [Entry; 9] = [
    Entry { name: "alpaca", options: Options::default, start: |options| started(Alpaca::start(options)) },
    Entry { name: "binance", options: binance::options, start: |options| started(binance::start(options)) },
    Entry {
        name: "binance-usdm",
        options: binance_usdm::options,
        start: |options| started(binance_usdm::start(options)),
    },
    Entry { name: "bybit", options: bybit::options, start: |options| started(bybit::start(options)) },
    Entry {
        name: "coinbase",
        options: coinbase::options,
        start: |options| started(coinbase::start(options)),
    },
    Entry { name: "gemini", options: gemini::options, start: |options| started(gemini::start(options)) },
    Entry { name: "ibkr", options: Options::default, start: |options| started(Ibkr::start(options)) },
    Entry { name: "kraken", options: kraken::options, start: |options| started(kraken::start(options)) },
    Entry { name: "schwab", options: Schwab::options, start: |options| started(Schwab::start(options)) },
];

fn started<T: Into<Running>>(
    venue: impl Future<Output = io::Result<T>> + Send + 'static,
) -> BoxFuture<'static, io::Result<Running>> {
    venue.map(|venue| venue.map(T::into)).boxed()
}

/// Returns the venue of a name.
#[must_use]
pub fn venue(name: &str) -> Option<Entry> {
    VENUES.into_iter().find(|entry| entry.name == name)
}

/// A running venue. Dropped, it stops.
#[derive(Debug)]
pub struct Running {
    world: Arc<World>,
    urls: Value,
    #[expect(dead_code, reason = "held so that it goes on")]
    server: Server,
}

impl Running {
    /// Starts a venue's manners in front of a world. The addresses are made of where it listens.
    ///
    /// # Errors
    ///
    /// The address is taken.
    pub async fn start(
        world: Arc<World>,
        venue: Arc<dyn Venue>,
        listen: &str,
        urls: impl FnOnce(&str) -> Value,
    ) -> io::Result<Self> {
        let server = Server::start(Arc::clone(&world), venue, listen).await?;
        let at = server.address().to_string();
        let mut urls = urls(&at);
        if let Some(urls) = urls.as_object_mut() {
            urls.insert("admin_url".to_owned(), json!(format!("http://{at}/admin")));
        }
        Ok(Self { world, urls, server })
    }

    /// Returns all that it knows, to be looked at and changed.
    #[must_use]
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Returns where to find what, as the ready file says it.
    #[must_use]
    pub fn urls(&self) -> &Value {
        &self.urls
    }

    /// Returns one of its addresses; nothing if it has none of that name.
    #[must_use]
    pub fn url(&self, name: &str) -> &str {
        self.urls.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

impl From<Alpaca> for Running {
    fn from(alpaca: Alpaca) -> Self {
        let urls = json!(alpaca.urls());
        let (world, server) = alpaca.into_parts();
        Self { world, urls, server }
    }
}

impl From<Ibkr> for Running {
    fn from(ibkr: Ibkr) -> Self {
        let urls = json!(ibkr.urls());
        let (world, server) = ibkr.into_parts();
        Self { world, urls, server }
    }
}

impl From<Schwab> for Running {
    fn from(schwab: Schwab) -> Self {
        let urls = json!(schwab.urls());
        let (world, server) = schwab.into_parts();
        Self { world, urls, server }
    }
}
