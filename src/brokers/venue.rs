//! What all venues have in common, so that each adds only its own words.
//!
//! ```text
//! Venue (its words)  ->  Way (one account's requests)  ->  Account (the engine's port)
//!                                                      ->  VenueMarket (prices, instruments)
//! ```
//!
//! A venue signs, asks, reads and judges. Whose turn it is, which clock counts, what was sent and what was not, when a
//! stream is opened again and who is told: that is the same for all, and is here.

pub mod account;
pub mod bearer;
pub mod call;
pub mod house;
pub mod mac;
pub mod market;
pub mod number;
pub mod orders;
pub mod pairs;
pub mod pem;
pub mod streams;
pub mod turn;
pub mod verdict;
pub mod way;

use std::fmt::{self, Debug};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use reqwest::Url;
use reqwest::header::HeaderMap;
use rust_decimal::Decimal;
use trade_actors::domain::calendar::MarketStatus;
use trade_actors::domain::ids::ClientOrderId;
use trade_actors::domain::instrument::{Instrument, Symbol};
use trade_actors::domain::money::Price;
use trade_actors::domain::order::Ticket;
use trade_actors::domain::portfolio::Quote;
use trade_actors::domain::report::OrderReport;
use trade_actors::domain::signal::{OrderKind, Side};
use trade_actors::ports::broker::{Placed, Promises};

use self::bearer::Bearer;
use self::call::{Call, Moment, Signed};
use self::verdict::Verdict;
use self::way::Way;
use super::About;
use super::bucket::Allowance;
use super::credentials::Auth;
use super::http::Reply;

/// How long a request usually waits for its turn.
pub const TURN: Duration = Duration::from_secs(5);

/// What a venue answers in time.
pub type Asked<'a, T> = BoxFuture<'a, Result<T, Verdict>>;

/// Whose requests an allowance counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Each account's by itself.
    Account,
    /// All that come from this machine.
    Address,
}

/// One of the counts that a venue keeps of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// How much it allows.
    pub allowance: Allowance,
    /// Of whom.
    pub scope: Scope,
}

/// When a venue trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hours {
    /// Always.
    Always,
    /// As the exchanges in New York.
    NewYork,
}

impl Hours {
    /// Returns whether orders are taken.
    #[must_use]
    pub fn status(self, now: DateTime<Utc>) -> MarketStatus {
        match self {
            Self::Always => MarketStatus::Open,
            Self::NewYork => trade_actors::domain::calendar::nyse(now),
        }
    }
}

/// What does not change about a venue.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// What it is called, and how one gets in.
    pub about: &'static About,
    /// The counts that it keeps; a [`Call`] says which of them it adds to.
    pub lanes: &'static [Lane],
    /// When it trades.
    pub hours: Hours,
    /// What it promises of orders and their ids.
    pub promises: Promises,
    /// Whether requests of one key must arrive in the order in which they were numbered.
    pub is_serial: bool,
    /// Whether it refuses requests of another time than its own, so that its clock is to be followed.
    pub checks_time: bool,
    /// Whether prices and instruments are shown to anybody.
    pub is_open: bool,
    /// Whether it keeps fees of what is bought, so that executions are to be asked for.
    pub keeps_fees: bool,
    /// Most symbols whose prices one stream tells.
    pub streamed_max: usize,
    /// Longest silence of a stream; past it the stream is opened again.
    pub silence: Duration,
}

/// Who an account is, and what its credentials allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What the venue knows the account by; always the same for one account.
    pub account: String,
}

/// What is held in one symbol.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// In what.
    pub symbol: Symbol,
    /// How much: long above zero, short below.
    pub net: Decimal,
    /// At what average price, where the venue tells.
    pub average: Option<Price>,
}

/// What an account holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holdings {
    /// Money, with what open orders hold back of it.
    pub cash: Decimal,
    /// Money that no order holds back.
    pub free: Decimal,
    /// All it is worth; absent: cash, and what it holds at the last prices.
    pub equity: Option<Decimal>,
    /// Most that may be spent once no order of ours holds anything back; absent: the larger of cash and what is free.
    pub most: Option<Decimal>,
    /// What it holds.
    pub units: Vec<Unit>,
}

/// How a stream is opened.
#[derive(Clone)]
pub struct Opening {
    /// Where.
    pub url: Url,
    /// Headers of the first request; secret ones are marked so.
    pub headers: HeaderMap,
    /// What is said first, one frame each.
    pub greeting: Vec<String>,
    /// Whether it tells all from the moment that it is open, without a word that it does.
    pub is_ready: bool,
    /// A request that keeps it open, and how often it is sent.
    pub renewal: Option<(Duration, Call)>,
}

impl fmt::Debug for Opening {
    /// Shows nothing of what is said: it may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

impl Opening {
    /// Returns a stream that is opened without a word.
    #[must_use]
    pub fn at(url: Url) -> Self {
        Self { url, headers: HeaderMap::new(), greeting: Vec::new(), is_ready: false, renewal: None }
    }

    /// Adds what is said first.
    #[must_use]
    pub fn saying(mut self, frame: impl ToString) -> Self {
        self.greeting.push(frame.to_string());
        self
    }

    /// Takes it as ready once it is open.
    #[must_use]
    pub const fn ready(mut self) -> Self {
        self.is_ready = true;
        self
    }

    /// Keeps it open by a request, sent every so often.
    #[must_use]
    pub fn renewed(mut self, every: Duration, call: Call) -> Self {
        self.renewal = Some((every, call));
        self
    }
}

/// What a frame of an account's stream says.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// The stream is open: what happens from now on is told.
    Ready,
    /// News of an order.
    Report(Box<OrderReport>),
    /// Something happened to an order that only a look-up tells.
    Changed(ClientOrderId),
    /// Something happened that only a question tells.
    Gap,
    /// The credentials are refused.
    Refused,
    /// The stream is of no more use, and why.
    Over(String),
    /// To be said back.
    Reply(String),
}

/// What a frame of the stream of prices says.
#[derive(Clone, Debug, PartialEq)]
pub enum Tick {
    /// Best prices, and the last one where it is told.
    Best {
        /// Of what.
        symbol: Symbol,
        /// The highest offer to buy.
        bid: Decimal,
        /// The lowest offer to sell.
        ask: Decimal,
        /// The last trade.
        last: Option<Decimal>,
    },
    /// The stream is of no more use, and why.
    Over(String),
    /// To be said back.
    Reply(String),
}

/// The state of one opened stream, for venues whose frames follow from one another.
#[derive(Debug, Default)]
pub struct Ear {
    /// The number of the last frame.
    pub number: Option<u64>,
    /// What is known of orders and symbols by their ids there.
    pub known: std::collections::BTreeMap<String, serde_json::Value>,
}

/// One venue's words.
pub trait Venue: Debug + Send + Sync + 'static {
    /// Returns what does not change about it.
    fn facts(&self) -> &'static Facts;

    /// Returns whether it may run on this machine, with a certificate that it signed itself.
    fn may_be_here(&self) -> bool {
        false
    }

    /// Puts a request into its final form; `None`: it cannot be made with such credentials.
    fn sign(&self, auth: Option<&Auth>, call: &Call, moment: &Moment) -> Option<Signed>;

    /// Asks for the token that every signed request carries for a while; `None`: the credentials sign by themselves.
    fn bearer<'a>(&'a self, _: &'a Way) -> Asked<'a, Option<Bearer>> {
        Box::pin(async { Ok(None) })
    }

    /// Says what a whole reply means, where that is not success.
    ///
    /// # Errors
    /// When it is no success.
    fn judge(&self, call: &Call, reply: &Reply) -> Result<(), Verdict>;

    /// Returns how long a request may wait for its turn before it counts as not sent: as long as its lane needs to have
    /// room for a few, and no longer than what it asks for is of use.
    fn patience(&self, _: &Call) -> Duration {
        TURN
    }

    /// Returns how long an account is to be left alone after a reply, whatever it asks; `None`: it is not locked out.
    fn locked_out(&self, _: &Reply) -> Option<Duration> {
        None
    }

    /// Asks for the venue's time; `None`: it tells none.
    fn time<'a>(&'a self, way: &'a Way) -> Asked<'a, Option<DateTime<Utc>>>;

    /// Asks until when the account can be traded at unless its owner does something; `None`: no end is known.
    fn ends<'a>(&'a self, _: &'a Way) -> Asked<'a, Option<DateTime<Utc>>> {
        Box::pin(async { Ok(None) })
    }

    /// Asks who the account is, and refuses credentials that cannot trade or can do more than that.
    fn identify<'a>(&'a self, way: &'a Way) -> Asked<'a, Identity>;

    /// Asks what the account holds.
    fn holdings<'a>(&'a self, way: &'a Way) -> Asked<'a, Holdings>;

    /// Places an order.
    fn place<'a>(&'a self, way: &'a Way, ticket: &'a Ticket) -> Asked<'a, OrderReport>;

    /// Asks to cancel an order. One that ended or was never there is [`Verdict::Ended`] or [`Verdict::Missing`].
    fn cancel<'a>(&'a self, way: &'a Way, order: &'a Placed) -> Asked<'a, ()>;

    /// Looks an order up, with its executions; `None`: the venue does not show it.
    fn look_up<'a>(&'a self, way: &'a Way, order: &'a Placed) -> Asked<'a, Option<OrderReport>>;

    /// Asks for all open orders that carry an id of ours.
    fn open_orders<'a>(&'a self, way: &'a Way) -> Asked<'a, Vec<OrderReport>>;

    /// Returns whether an order holds back money until it is done. Where nothing is sold short, purchases alone do.
    fn holds_back(&self, ticket: &Ticket) -> bool {
        ticket.side == Side::Buy
    }

    /// Returns whether the venue can hold such an order by itself.
    fn holds(&self, symbol: Symbol, kind: OrderKind) -> bool;

    /// Asks for all that is traded.
    fn instruments<'a>(&'a self, way: &'a Way) -> Asked<'a, Vec<Instrument>>;

    /// Returns whether it lists nothing, so that each symbol is asked for when somebody first wants to know it.
    fn lists_nothing(&self) -> bool {
        false
    }

    /// Asks for one symbol, of venues that list nothing; `None`: it is not traded.
    fn instrument<'a>(&'a self, _way: &'a Way, _symbol: Symbol) -> Asked<'a, Option<Instrument>> {
        Box::pin(async { Ok(None) })
    }

    /// Asks for prices; a symbol that has none is left out.
    fn quotes<'a>(&'a self, way: &'a Way, symbols: &'a [Symbol]) -> Asked<'a, Vec<Quote>>;

    /// Returns how the stream of an account's orders is opened.
    fn updates<'a>(&'a self, way: &'a Way) -> Asked<'a, Opening>;

    /// Reads a frame of that stream.
    fn hear(&self, ear: &mut Ear, frame: &str, now: DateTime<Utc>) -> Vec<Heard>;

    /// Returns what keeps that stream alive, where its own pings are not enough.
    fn keep_alive(&self) -> Option<String> {
        None
    }

    /// Returns how the stream of prices is opened; `None`: there is none, and prices are asked for.
    fn prices<'a>(&'a self, way: &'a Way) -> Asked<'a, Option<Opening>>;

    /// Returns what to say so that prices of symbols are told, or no longer.
    fn wish(&self, symbols: &[Symbol], is_wanted: bool) -> Vec<String>;

    /// Reads a frame of the stream of prices.
    fn read_prices(&self, ear: &mut Ear, frame: &str) -> Vec<Tick>;
}
