//! All that a running venue knows, behind one lock, and the calls by which tests change it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::account::{Account, AccountChange, AccountSpec, Credentials, Directory};
use crate::book::{Book, Event, FillMode, Order, OrderId, Refusal, Rules, Side, Status};
use crate::clock::{Hours, MarketClock};
use crate::faults::{Counted, Faults, Rule};
use crate::feed::{Price, Quote};
use crate::instrument::Increments;
pub use crate::instrument::Instrument;
use crate::journal::{Entry, Journal, Note};
use crate::limits::{Bound, Limits, Rate};
use crate::settings::Settings;
use crate::streams::{Channel, Hub, Push, StreamFaults};

/// What a venue is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 is any free one.
    pub listen: String,
    /// A file that the journal is also appended to.
    pub journal: Option<PathBuf>,
    /// What its chance begins with; chosen and shown if it is none.
    pub seed: Option<u64>,
    /// Requests a minute for each account, or whoever the venue counts; none is no limit.
    pub per_minute: Option<u32>,
    /// What else is too much, by pool.
    pub limits: BTreeMap<String, Vec<Bound>>,
    /// Whether streams speak JSON in text frames instead of binary ones.
    pub text_frames: bool,
    /// Accounts there are from the start.
    pub accounts: Vec<AccountSpec>,
    /// Applications that may ask for bearer tokens: id and secret.
    pub oauth_clients: Vec<(String, String)>,
    /// How strict its book is.
    pub rules: Rules,
    /// In which steps something is traded that is listed by its first price.
    pub increments: Increments,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            journal: None,
            seed: None,
            per_minute: Some(200),
            limits: BTreeMap::new(),
            text_frames: false,
            accounts: Vec::new(),
            oauth_clients: Vec::new(),
            rules: Rules::default(),
            increments: Increments::default(),
        }
    }
}

/// A trade by hand, past the venue's interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutsideTrade {
    /// What is traded.
    pub symbol: String,
    /// Which way.
    pub side: Side,
    /// How much.
    pub qty: Decimal,
    /// At what price.
    pub price: Decimal,
}

/// Everything behind the lock.
#[derive(Debug)]
pub struct State {
    /// Orders, cash, positions, prices.
    pub book: Book,
    /// Who may come in.
    pub directory: Directory,
    /// What can be traded.
    pub instruments: BTreeMap<String, Instrument>,
    /// What time it is.
    pub clock: MarketClock,
    /// What goes wrong with requests.
    pub faults: Faults,
    /// What was seen and done.
    pub journal: Journal,
    /// How often who may ask.
    pub limits: Limits,
    /// Who listens.
    pub hub: Hub,
    /// Applications that may ask for bearer tokens, by id, with their secrets.
    pub oauth_clients: BTreeMap<String, String>,
    /// What this venue can be told beyond the rest.
    pub settings: Settings,
    /// The venue's chance.
    pub rng: ChaCha8Rng,
    increments: Increments,
    prices: u64,
}

/// A running venue's knowledge. Shared by its server, its streams and the tests.
#[derive(Debug)]
pub struct World {
    state: Mutex<State>,
    changed: Notify,
    seed: u64,
    text_frames: bool,
}

/// Why a call of a test failed.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// There is no such account, order or symbol.
    #[error("there is no {0}")]
    Unknown(String),
    /// The book does not do it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl World {
    /// Returns a venue without a server.
    ///
    /// # Errors
    ///
    /// The journal's file cannot be opened, or there is no chance to be had.
    pub fn new(options: &Options) -> std::io::Result<Arc<Self>> {
        let seed = match options.seed {
            Some(seed) => seed,
            None => getrandom::u64().map_err(std::io::Error::other)?,
        };
        let journal = match &options.journal {
            Some(path) => Journal::at(path)?,
            None => Journal::default(),
        };
        let mut limits = Limits::default();
        limits.set_per_minute(options.per_minute);
        for (pool, bounds) in &options.limits {
            limits.set(pool, bounds.clone());
        }
        let world = Self {
            state: Mutex::new(State {
                book: Book::new(options.rules),
                directory: Directory::default(),
                instruments: BTreeMap::new(),
                clock: MarketClock::default(),
                faults: Faults::default(),
                journal,
                limits,
                hub: Hub::default(),
                oauth_clients: options.oauth_clients.iter().cloned().collect(),
                settings: Settings::default(),
                rng: ChaCha8Rng::seed_from_u64(seed),
                increments: options.increments,
                prices: 0,
            }),
            changed: Notify::new(),
            seed,
            text_frames: options.text_frames,
        };
        for account in &options.accounts {
            world.add_account(account.clone());
        }
        Ok(Arc::new(world))
    }

    /// Returns what the venue's chance began with.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns whether streams speak JSON in text frames.
    #[must_use]
    pub fn text_frames(&self) -> bool {
        self.text_frames
    }

    /// Does something to the venue at its own time; what that makes happen is noted and told before others get in.
    pub fn act<T>(&self, what: impl FnOnce(&mut State, DateTime<Utc>) -> T) -> T {
        let mut state = self.lock();
        let now = state.clock.now();
        state.follow_time(now);
        let result = what(&mut state, now);
        let now = state.clock.now();
        state.follow_time(now);
        drop(state);
        self.changed.notify_one();
        result
    }

    /// Looks at the venue without making its time go on.
    pub fn look<T>(&self, what: impl FnOnce(&State) -> T) -> T {
        what(&self.lock())
    }

    /// Follows the clock for ever: next parts of orders, late cancels, opening and closing of the market.
    pub async fn run(self: Arc<Self>) {
        /// How often the market's hours are looked at when nothing else is due.
        const LOOK: Duration = Duration::from_millis(200);
        loop {
            let wait = self.look(|state| {
                let due = state.book.next_due().into_iter().chain(state.hub.next_due()).min();
                due.map_or(LOOK, |due| (due - state.clock.now()).to_std().unwrap_or_default().min(LOOK))
            });
            tokio::select! {
                () = tokio::time::sleep(wait.max(Duration::from_millis(1))) => {
                    let mut state = self.lock();
                    let now = state.clock.now();
                    state.follow_time(now);
                }
                () = self.changed.notified() => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What tests do.
impl World {
    /// Opens an account, or puts a fresh one in the place of one of that name.
    pub fn add_account(&self, spec: AccountSpec) {
        self.act(|state, now| {
            let name = spec.name().to_owned();
            let account = Account::opened(&spec);
            let mut what = json!({"cash": spec.cash, "multiplier": account.multiplier});
            if account.is_spot() {
                what = json!({"cash": spec.cash, "settlement": spec.settlement, "holdings": spec.holdings});
            }
            state.book.open_account(&name, account);
            let credentials =
                Credentials { key_id: spec.key_id, secret: spec.secret, token: spec.token, revoked: false };
            state.directory.put(&name, credentials, spec.standing);
            let what = json!({"account_opened": what});
            state.journal.note(now, Some(&name), Note::Outside { what });
        });
    }

    /// Changes an account's credentials, standing or multiplier.
    ///
    /// # Errors
    ///
    /// There is no such account.
    pub fn change_account(&self, name: &str, change: &AccountChange) -> Result<(), WorldError> {
        self.act(|state, _| {
            if !state.directory.change(name, change) {
                return Err(WorldError::Unknown(format!("account {name}")));
            }
            if let Some(multiplier) = change.multiplier {
                state.book.set_multiplier(name, multiplier);
            }
            Ok(())
        })
    }

    /// Refuses all of an account's credentials, or no longer.
    ///
    /// # Errors
    ///
    /// There is no such account.
    pub fn revoke(&self, name: &str, revoked: bool) -> Result<(), WorldError> {
        self.change_account(name, &AccountChange { revoked: Some(revoked), ..AccountChange::default() })
    }

    /// Pays money in, or out if it is negative.
    ///
    /// # Errors
    ///
    /// There is no such account.
    pub fn deposit(&self, name: &str, amount: Decimal) -> Result<(), WorldError> {
        self.act(|state, now| {
            if !state.book.deposit(name, amount) {
                return Err(WorldError::Unknown(format!("account {name}")));
            }
            let what = json!({"deposit": amount});
            state.journal.note(now, Some(name), Note::Outside { what });
            Ok(())
        })
    }

    /// Books a trade by hand: position and cash change, and no order says why.
    ///
    /// # Errors
    ///
    /// There is no such account, or a spot account does not have that much.
    pub fn trade_outside(&self, name: &str, trade: &OutsideTrade) -> Result<(), WorldError> {
        self.act(|state, now| {
            let OutsideTrade { symbol, side, qty, price } = trade;
            match state.book.trade_outside(name, symbol, *side, *qty, *price) {
                Ok(()) => {}
                Err(Refusal::UnknownAccount) => return Err(WorldError::Unknown(format!("account {name}"))),
                Err(refusal) => return Err(refusal.into()),
            }
            let what = json!({"trade": trade});
            state.journal.note(now, Some(name), Note::Outside { what });
            Ok(())
        })
    }

    /// Lets an application ask for bearer tokens.
    pub fn add_oauth_client(&self, client_id: &str, secret: &str) {
        self.act(|state, _| state.oauth_clients.insert(client_id.to_owned(), secret.to_owned()));
    }

    /// Changes one of the venue's own settings.
    ///
    /// # Errors
    ///
    /// The venue has none of that name, or it is of another kind.
    pub fn set_setting(&self, name: &str, value: impl Into<Value>) -> Result<(), WorldError> {
        let known = self.act(|state, _| state.settings.set(name, value.into()));
        if known { Ok(()) } else { Err(WorldError::Unknown(format!("setting {name} of that kind"))) }
    }

    /// Lists an instrument, or changes one.
    pub fn list(&self, instrument: Instrument) {
        self.act(|state, _| state.list(instrument));
    }

    /// Changes a symbol's price, and lists it if it is not. Returns the quote, if there is one then.
    pub fn set_price(&self, price: &Price) -> Option<Quote> {
        self.act(|state, now| state.set_price(now, price))
    }

    /// Sets how orders fill, of one symbol or, without one, of all that have no mode of their own.
    pub fn set_fill_mode(&self, symbol: Option<&str>, mode: FillMode) {
        self.act(|state, now| state.book.set_fill_mode(now, symbol, mode));
    }

    /// Sets how many milliseconds a cancel takes to work.
    pub fn set_cancel_takes(&self, ms: u32) {
        self.act(|state, _| state.book.set_cancel_takes(TimeDelta::milliseconds(ms.into())));
    }

    /// Halts a symbol, or lets it trade again.
    pub fn set_halted(&self, symbol: &str, halted: bool) {
        self.act(|state, now| state.book.set_halted(now, symbol, halted));
    }

    /// Sets when the market is open.
    pub fn set_hours(&self, hours: Hours) {
        self.act(|state, _| state.clock.hours = hours);
    }

    /// Makes the venue believe that it is now this time.
    pub fn set_now(&self, now: DateTime<Utc>) {
        self.act(|state, _| state.clock.set_now(now));
    }

    /// Makes the venue's time run ahead of the machine's.
    pub fn set_clock_offset(&self, offset: TimeDelta) {
        self.act(|state, _| state.clock.offset = offset);
    }

    /// Trades a part of an order, or all that is left, whatever the market says.
    ///
    /// # Errors
    ///
    /// There is no such order, it is not in the market, or less than that is left.
    pub fn fill(&self, id: OrderId, qty: Option<Decimal>, price: Decimal) -> Result<(), WorldError> {
        Ok(self.act(|state, now| state.book.fill(now, id, qty, price))?)
    }

    /// Ends an order the way the venue does by itself: canceled, expired or rejected.
    ///
    /// # Errors
    ///
    /// There is no such order, it is over, or that is no end.
    pub fn end(&self, id: OrderId, end: Status) -> Result<(), WorldError> {
        Ok(self.act(|state, now| state.book.force(now, id, end))?)
    }

    /// Returns the order of this name.
    #[must_use]
    pub fn order(&self, account: &str, client_order_id: &str) -> Option<Order> {
        self.look(|state| state.book.named(account, client_order_id).cloned())
    }

    /// Returns an account's orders, or all, the oldest first.
    #[must_use]
    pub fn orders(&self, account: Option<&str>) -> Vec<Order> {
        self.look(|state| {
            let all = state.book.orders();
            all.filter(|order| account.is_none_or(|only| order.ticket.account == only)).cloned().collect()
        })
    }

    /// Returns what an account owns.
    #[must_use]
    pub fn account(&self, name: &str) -> Option<Account> {
        self.look(|state| state.book.account(name).cloned())
    }

    /// Adds a fault rule after those there are.
    pub fn add_fault(&self, rule: Rule) {
        self.act(|state, _| state.faults.add(rule));
    }

    /// Returns the fault rules and how often they applied.
    #[must_use]
    pub fn faults(&self) -> Vec<Counted> {
        self.look(|state| state.faults.rules().to_vec())
    }

    /// Ends all faults, those of streams too.
    pub fn clear_faults(&self) {
        self.act(|state, _| {
            state.faults.clear();
            state.hub.clear();
        });
    }

    /// Makes messages of streams go wrong.
    pub fn set_stream_faults(&self, faults: StreamFaults) {
        self.act(|state, _| state.hub.set_faults(faults));
    }

    /// Cuts all streams, or one account's. Returns how many.
    pub fn drop_streams(&self, account: Option<&str>) -> usize {
        self.act(|state, _| state.hub.drop_streams(account))
    }

    /// Refuses new streams for so many milliseconds.
    pub fn refuse_streams(&self, for_ms: u32) {
        self.act(|state, now| state.hub.refuse_until(now + TimeDelta::milliseconds(for_ms.into())));
    }

    /// Returns how many streams of a channel are open: those that said to be of an account, or all.
    #[must_use]
    pub fn listening(&self, account: Option<&str>, channel: Channel) -> usize {
        self.look(|state| state.hub.listening(account, channel))
    }

    /// Sets how many requests a minute an account may make, or ends the limit.
    pub fn set_rate_limit(&self, per_minute: Option<u32>) {
        self.act(|state, _| state.limits.set_per_minute(per_minute));
    }

    /// Sets what is too much in a pool of the venue's.
    pub fn set_limit(&self, pool: &str, bounds: Vec<Bound>) {
        self.act(|state, _| state.limits.set(pool, bounds));
    }

    /// Returns how often an account asked so far.
    #[must_use]
    pub fn rate(&self, account: &str) -> Rate {
        self.look(|state| state.limits.rate(account))
    }

    /// Returns all notes after a number; zero is the beginning.
    #[must_use]
    pub fn journal(&self, since: u64) -> Vec<Entry> {
        self.look(|state| state.journal.since(since).to_vec())
    }
}

impl State {
    /// Changes a symbol's price, lists it if it is not, and tells those who listen.
    pub fn set_price(&mut self, now: DateTime<Utc>, price: &Price) -> Option<Quote> {
        let quote = self.book.set_price(now, price)?;
        if !self.instruments.contains_key(&price.symbol) {
            self.list(Instrument::stepped(&price.symbol, self.increments));
        }
        self.prices += 1;
        let push = Push::Price { symbol: price.symbol.clone(), quote, number: self.prices };
        self.hub.publish(now, None, push);
        Some(quote)
    }

    fn list(&mut self, instrument: Instrument) {
        self.book.set_step(&instrument.symbol, instrument.increments.qty_step);
        self.instruments.insert(instrument.symbol.clone(), instrument);
    }

    fn follow_time(&mut self, now: DateTime<Utc>) {
        self.book.set_session(now, self.clock.session(now));
        self.book.advance(now);
        for event in self.book.take_events() {
            let account = event.order.ticket.account.clone();
            self.journal.note(event.at, Some(&account), noted(&event));
            self.hub.publish(now, Some(&account), Push::Order(Arc::new(event)));
        }
        self.hub.advance(now);
    }
}

fn noted(event: &Event) -> Note {
    Note::Order {
        event: event.what.name().to_owned(),
        execution: event.what.execution().and_then(|execution| serde_json::to_value(execution).ok()),
        order: truth(&event.order),
    }
}

/// Returns an order as the administration shows it, whatever the venue calls things.
#[must_use]
pub fn truth(order: &Order) -> Value {
    json!({
        "id": order.id,
        "account": order.ticket.account,
        "client_order_id": order.client_order_id,
        "symbol": order.ticket.symbol,
        "side": order.ticket.side,
        "status": order.status,
        "tif": order.ticket.tif,
        "class": order.ticket.class,
        "qty": order.qty,
        "filled_qty": order.filled_qty,
        "filled_avg_price": order.average(),
        "limit_price": order.ticket.kind.limit(),
        "stop_price": order.stop_price(),
        "parent": order.parent,
        "legs": order.legs,
        "replaces": order.replaces,
        "replaced_by": order.replaced_by,
        "created_at": order.created_at,
    })
}
