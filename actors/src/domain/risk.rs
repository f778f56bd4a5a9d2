//! The risk rules, in their order (`DESIGN` 5). Only [`review`] makes an [`Approved`], only that can be submitted.

mod buying_power;
mod daily_loss;
pub mod day;
mod fat_finger;
mod freshness;
mod halted;
mod live;
mod market_open;
mod plan;
mod position_size;
mod tradable;

pub use halted::Halts;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::calendar::MarketStatus;
use super::event::HaltCause;
use super::instrument::Instrument;
use super::intent::Intent;
use super::money::{Money, Net, Percent, Price, Quantity};
use super::portfolio::{Balance, Quote};
use super::report::Refusal;
use super::user::{Connection, Plan, Trading};

/// A user's limits. Percentages are of equity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest position in one symbol, in per cent of equity (FR-005).
    pub position_max_pct: Percent,
    /// Largest value of one order; above it an order is a slip of the finger.
    pub order_max_notional: Money,
    /// Furthest a limit or trigger may be from the market, in per cent of the last price.
    pub price_band_pct: Percent,
    /// Most orders in one minute.
    pub orders_per_minute: u32,
    /// Oldest a signal may be when it is decided, in seconds.
    pub signal_max_age_s: u32,
    /// Oldest a balance may be for a new entry, in seconds.
    pub balance_max_age_s: u32,
    /// Distance of the stop-loss that every entry without one gets, in per cent of its price; zero: none (FR-007).
    pub stop_loss_pct: Percent,
    /// Largest loss of a day, in per cent of the day's opening equity; zero: no such limit (FR-006).
    pub daily_loss_pct: Percent,
    /// Largest loss of a day, as an amount; zero: no such limit.
    pub daily_loss_amount: Money,
    /// Loss within a day at which everything is sold and the account is locked, in per cent of the day's opening
    /// equity; zero: no such limit (US-006.5).
    pub breaker_pct: Percent,
    /// When a trading day begins, in minutes after 00:00 UTC.
    pub day_starts_min: u32,
    /// How long the rest of a partly filled order may stay open, in seconds.
    pub partial_fill_timeout_s: u32,
    /// Within how many seconds signals on one symbol are merged; zero: never.
    pub merge_window_s: u32,
    /// Whether orders may execute before and after the regular session.
    pub extended_hours: bool,
    /// Furthest a price may have moved while an order waited for its market, in per cent.
    pub queue_drift_pct: Percent,
    /// Longest an order waits for its market, in hours.
    pub queue_max_age_h: u32,
    /// What is done about a position whose stop the broker does not take.
    pub unprotected: Unprotected,
}

/// What is done about a position whose stop the broker does not take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unprotected {
    /// We watch the price ourselves, and go on asking the broker.
    #[default]
    Emulate,
    /// We only go on asking the broker, and tell the user.
    Retry,
    /// The position is closed.
    Flatten,
}

/// Limits for the signals of one source, beside the user's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceLimits {
    /// Largest position in one symbol, in per cent of equity.
    pub position_max_pct: Option<Percent>,
    /// Largest value of one order.
    pub order_max_notional: Option<Money>,
    /// Most orders in one minute.
    pub orders_per_minute: Option<u32>,
}

impl SourceLimits {
    /// Returns whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Limits {
    /// Returns the stricter of these and a source's. The source's rate is counted by itself, and is not in it.
    #[must_use]
    pub fn within(mut self, source: &SourceLimits) -> Self {
        self.position_max_pct =
            source.position_max_pct.unwrap_or(self.position_max_pct).min(self.position_max_pct);
        self.order_max_notional =
            source.order_max_notional.unwrap_or(self.order_max_notional).min(self.order_max_notional);
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            position_max_pct: Percent::new(Decimal::TEN),
            order_max_notional: Money::new(Decimal::from_parts(1_000_000, 0, 0, false, 0)),
            price_band_pct: Percent::new(Decimal::TEN),
            orders_per_minute: 3_000,
            signal_max_age_s: 30,
            balance_max_age_s: 60,
            stop_loss_pct: Percent::new(Decimal::TWO),
            daily_loss_pct: Percent::new(Decimal::from_parts(5, 0, 0, false, 0)),
            daily_loss_amount: Money::ZERO,
            breaker_pct: Percent::new(Decimal::from_parts(8, 0, 0, false, 0)),
            day_starts_min: 0,
            partial_fill_timeout_s: 300,
            merge_window_s: 5,
            extended_hours: false,
            queue_drift_pct: Percent::new(Decimal::from_parts(3, 0, 0, false, 0)),
            queue_max_age_h: 96,
            unprotected: Unprotected::Emulate,
        }
    }
}

/// All that the rules look at: a picture of one account at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot<'a> {
    /// The moment.
    pub now: DateTime<Utc>,
    /// When the signal came in.
    pub received_at: DateTime<Utc>,
    /// The account.
    pub connection: &'a Connection,
    /// Whether the user stopped trading.
    pub trading: &'a Trading,
    /// Why everybody's trading is stopped, if it is.
    pub global_halt: Option<&'a str>,
    /// Why the user's actors are stopped, if they are.
    pub suspended: Option<&'a str>,
    /// The person's own halt, while one that losses called for stands in its place.
    pub own_halt: Option<&'a Trading>,
    /// What the user pays for.
    pub plan: Plan,
    /// The user's limits.
    pub limits: &'a Limits,
    /// The symbol's rules; absent: it is not traded here.
    pub instrument: Option<Instrument>,
    /// The symbol's price.
    pub quote: Option<Quote>,
    /// Why the broker did not tell the price, where it refuses to deal with the account at all.
    pub locked_out: Option<&'a Refusal>,
    /// Whether its market is open.
    pub market: MarketStatus,
    /// The account's balance, as the broker last told.
    pub balance: Option<Balance>,
    /// What orders not yet in the balance hold back.
    pub reserved: Money,
    /// The position in the symbol.
    pub position: Net,
    /// What working orders will add to it.
    pub pending: Net,
    /// Orders decided in the last minute.
    pub recent_orders: u32,
    /// What the signal's source may do at most, beside what is in `limits` already.
    pub source_limits: Option<&'a SourceLimits>,
    /// Orders of that source decided in the last minute.
    pub recent_from_source: u32,
    /// How the account's day stands; absent until its opening equity is known.
    pub day: Option<day::Standing>,
    /// How the day stands at all of the person's accounts with such money together; absent where there is one.
    pub together: Option<day::Standing>,
}

impl Snapshot<'_> {
    /// Returns the price an order is judged at: the worst it names, else the market's.
    #[must_use]
    pub fn judged_price(&self, intent: &Intent) -> Option<Price> {
        use super::signal::Side;
        let market = self.quote.map(|quote| match intent.ticket.side {
            Side::Buy => quote.ask,
            Side::Sell => quote.bid,
        });
        let named = intent.ticket.kind.limit().or(intent.ticket.kind.trigger());
        match intent.ticket.side {
            Side::Buy => named.or(market),
            // A sale at a limit may well execute above it: the exposure is at the better price.
            Side::Sell => named.into_iter().chain(market).max(),
        }
    }

    /// Returns the position that an order of `side` adds to at worst: working orders may or may not be done.
    ///
    /// A resting close must not make room for a new entry, nor a resting entry make a sale look like an exit.
    #[must_use]
    pub fn worst_position(&self, side: super::signal::Side) -> Net {
        use super::signal::Side;
        let expected = self.expected_position();
        match side {
            Side::Buy => self.position.max(expected),
            Side::Sell => self.position.min(expected),
        }
    }

    /// Returns the numbers that the limits come to.
    #[must_use]
    pub fn in_force(&self) -> day::InForce {
        let mut limits = day::InForce::of(self.limits, self.day.map(|day| day.opening));
        let of_source = self.source_limits.and_then(|source| source.orders_per_minute);
        limits.orders_per_minute = of_source.unwrap_or(u32::MAX).min(limits.orders_per_minute);
        limits
    }

    /// Returns the position once all working orders are done.
    #[must_use]
    pub fn expected_position(&self) -> Net {
        self.position + self.pending
    }
}

/// Why an intent was denied: a stable code and what the user reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Denial {
    /// The rule's code.
    pub code: DenialCode,
    /// What happened, what was not done, what to do.
    pub message: String,
}

impl Denial {
    /// Words a denial.
    #[must_use]
    pub fn new(code: DenialCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Words the denial to a user whose trading the engine has suspended for `reason`.
    #[must_use]
    pub fn suspended(reason: &str) -> Self {
        let message = format!(
            "Trading for this account is suspended: {reason}. Nothing was sent. Ask the operator to resume it."
        );
        Self::new(DenialCode::Suspended, message)
    }

    /// Returns whether it was losses that denied it.
    #[must_use]
    pub fn is_for_losses(&self) -> bool {
        matches!(self.code, DenialCode::DailyLoss | DenialCode::UnderReview)
    }
}

macro_rules! denial_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Stable codes of denials.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum DenialCode {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl DenialCode {
            /// Every code, for metrics that start at zero.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the stable code.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

denial_codes! {
    /// The signal is too old to be acted on.
    Stale = "SIGNAL_EXPIRED",
    /// Trading is stopped.
    Halted = "TRADING_HALTED",
    /// The user's actors failed too often.
    Suspended = "USER_SUSPENDED",
    /// The plan does not allow it.
    Plan = "PLAN_LIMIT",
    /// Trading with real money is not switched on for the account.
    LiveOff = "LIVE_TRADING_OFF",
    /// The symbol is not traded at this account.
    InvalidSymbol = "INVALID_SYMBOL",
    /// No price is known.
    NoPrice = "NO_PRICE",
    /// The broker does not accept the account's credentials.
    AuthFailed = "AUTH_FAILED",
    /// Above the order or price limits.
    FatFinger = "FAT_FINGER",
    /// Too many orders in a minute.
    OrderRate = "ORDER_RATE",
    /// Not enough buying power.
    InsufficientFunds = "INSUFFICIENT_FUNDS",
    /// The account's balance is not known or too old.
    BalanceUnknown = "BALANCE_UNKNOWN",
    /// The position limit leaves no room.
    PositionLimit = "POSITION_LIMIT",
    /// There is nothing to close.
    NoPosition = "NO_POSITION",
    /// The order is below the venue's minimum.
    BelowMinimum = "BELOW_MINIMUM",
    /// A stop or a target that is not possible for the position.
    BadLevel = "BAD_LEVEL",
    /// What was asked for is not supported yet.
    Unsupported = "UNSUPPORTED",
    /// It contradicts a signal of a moment ago.
    Conflict = "CONFLICTING_SIGNAL",
    /// The price has gone too far while the order waited.
    PriceMoved = "PRICE_MOVED",
    /// The broker could not be reached in time.
    BrokerOffline = "BROKER_UNAVAILABLE",
    /// No broker account is connected.
    NoConnection = "NO_BROKER",
    /// The day's loss has come to its limit.
    DailyLoss = "DAILY_LOSS_LIMIT",
    /// The circuit breaker locked the account.
    UnderReview = "ACCOUNT_UNDER_REVIEW",
}

impl DenialCode {
    /// Returns the code of what a halt denies.
    #[must_use]
    pub const fn of(cause: HaltCause) -> Self {
        match cause {
            HaltCause::Person => Self::Halted,
            HaltCause::DailyLoss => Self::DailyLoss,
            HaltCause::CircuitBreaker => Self::UnderReview,
        }
    }
}

/// The numbers a decision used; kept with the order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Quantity asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<Quantity>,
    /// Price the order was judged at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Equity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equity: Option<Money>,
    /// Buying power less what was reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<Money>,
    /// What open orders held back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<Money>,
    /// The position in the symbol before, working orders included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Net>,
    /// Equity at the day's opening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day_opening: Option<Money>,
    /// What the day had brought so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day_pnl: Option<Money>,
    /// The limits in force: the user's, or a source's where they are stricter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Box<day::InForce>>,
    /// What the rules changed, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// An intent that passed every rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Approved {
    intent: Intent,
}

impl Approved {
    /// Returns what was approved.
    #[must_use]
    pub fn into_intent(self) -> Intent {
        self.intent
    }

    /// Returns what was approved.
    #[must_use]
    pub const fn intent(&self) -> &Intent {
        &self.intent
    }
}

/// A rule passes an intent on, shrinks it, or denies it.
pub type Rule = fn(Intent, &Snapshot<'_>) -> Result<Intent, Denial>;

/// The rules in their order.
pub const RULES: &[Rule] = &[
    freshness::rule,
    halted::rule,
    plan::rule,
    live::rule,
    market_open::rule,
    tradable::rule,
    fat_finger::rule,
    buying_power::rule,
    position_size::rule,
    daily_loss::rule,
];

/// Puts an intent before every rule.
///
/// # Errors
/// The first rule's denial.
pub fn review(intent: Intent, seen: &Snapshot<'_>) -> Result<Approved, Denial> {
    RULES.iter().try_fold(intent, |intent, rule| rule(intent, seen)).map(|intent| Approved { intent })
}

#[cfg(test)]
mod tests;
