//! People and what belongs to them: sources, broker accounts, tokens, limits.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use trade_actors::domain::event::HaltCause;
use trade_actors::domain::feed;
use trade_actors::domain::ids::ConnectionId;
use trade_actors::domain::instrument::AssetClass;
use trade_actors::domain::risk;
use trade_actors::domain::user::{Connection, Role, Trading, UserState};
use trade_actors::sessions::Session;
use utoipa::ToSchema;
use uuid::Uuid;

use super::moment;
use crate::auth::{Scope, TokenInfo};
use crate::brokers::runway;
use crate::keys::MasterKey;

/// A person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct User<'a> {
    /// Their id.
    pub(crate) id: Uuid,
    /// Shown name.
    pub(crate) name: &'a str,
    /// `operator` or `user`.
    #[schema(example = "operator")]
    pub(crate) role: &'static str,
}

/// Whether new orders are taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Halt<'a> {
    /// `active` or `halted`.
    #[schema(example = "active")]
    pub(crate) state: &'static str,
    /// Who stopped it.
    pub(crate) by: Option<&'a str>,
    /// Why.
    pub(crate) reason: Option<&'a str>,
    /// When.
    pub(crate) at: Option<DateTime<Utc>>,
    /// `person`, `daily_loss` or `circuit_breaker`.
    #[schema(example = "daily_loss")]
    pub(crate) cause: Option<&'static str>,
    /// When it ends by itself; null: when somebody resumes trading.
    pub(crate) until: Option<DateTime<Utc>>,
}

/// A source of signals.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Source<'a> {
    /// Its id.
    pub(crate) id: Uuid,
    /// Shown name.
    pub(crate) name: &'a str,
    /// `tradingview` or `dashboard`.
    #[schema(example = "tradingview")]
    pub(crate) kind: &'static str,
    /// Its address; null when it has none, or is another person's.
    pub(crate) webhook_url: Option<String>,
    /// Whether it is the caller's own.
    pub(crate) own: bool,
    /// Limits for its signals, beside the caller's own; the stricter holds.
    pub(crate) limits: SourceLimits,
    /// When it was made.
    pub(crate) created_at: DateTime<Utc>,
}

/// A connection to a broker. What opens it is never shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Broker<'a> {
    /// Its id.
    pub(crate) id: Uuid,
    /// Shown name.
    #[schema(example = "Alpaca paper")]
    pub(crate) name: Cow<'a, str>,
    /// The broker's name.
    #[schema(example = "paper")]
    pub(crate) broker: &'a str,
    /// `paper` or `live`.
    #[schema(example = "paper")]
    pub(crate) mode: &'static str,
    /// Whether trading with real money is switched on; false at an account of made-up money.
    pub(crate) live_trading: bool,
    /// Whether signals go to it that name no account, and are for no kind of market with an account of its own.
    pub(crate) default: bool,
    /// The kinds of market whose signals go to it by choice: `equity`, `crypto`.
    pub(crate) routes: Vec<&'static str>,
    /// The last characters of its key's name; null when it has none.
    #[schema(example = "7Q2X")]
    pub(crate) key_hint: Option<&'a str>,
    /// Whether its session is open.
    pub(crate) connected: bool,
    /// `connected`, `connecting`, `failed`, or `asleep`: the session is closed until it is needed.
    #[schema(example = "connected")]
    pub(crate) status: &'static str,
    /// Why it is not connected.
    pub(crate) reason: Option<String>,
    /// Until when it can be traded at before its owner has to log in at the broker again; null: no end is known.
    pub(crate) can_trade_until: Option<DateTime<Utc>>,
    /// When it last told the balance.
    pub(crate) last_seen_at: Option<DateTime<Utc>>,
}

/// Which broker accounts signals go to that name none; each is the account's id.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Routes {
    /// For whatever has no account of its own below; null: no account is connected.
    default: Option<Uuid>,
    /// For shares; null: the default one.
    equity: Option<Uuid>,
    /// For coins; null: the default one.
    crypto: Option<Uuid>,
}

impl Routes {
    /// Words where a person's signals go.
    #[must_use]
    pub(crate) fn of(user: &UserState) -> Self {
        let chosen = |class| user.routes.get(&class).map(|id: &ConnectionId| id.uuid());
        Self {
            default: user.default_connection().map(|known| known.id.uuid()),
            equity: chosen(AssetClass::Equity),
            crypto: chosen(AssetClass::Crypto),
        }
    }
}

/// An API token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Token<'a> {
    /// Its id.
    pub(crate) id: &'a str,
    /// Shown name.
    pub(crate) name: &'a str,
    /// What it may do.
    pub(crate) scopes: &'a [Scope],
    /// When it was made.
    pub(crate) created_at: DateTime<Utc>,
}

/// Limits for the signals of one source; null: none beside the person's own.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourceLimits {
    /// Largest position in one symbol, in per cent of equity.
    pub(crate) position_max_pct: Option<Decimal>,
    /// Largest value of one order.
    pub(crate) order_max_notional: Option<Decimal>,
    /// Most orders in one minute.
    pub(crate) orders_per_minute: Option<u32>,
}

/// Risk limits. Percentages are of equity.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Limits {
    /// Largest position in one symbol, in per cent of equity.
    pub(crate) position_max_pct: Decimal,
    /// Largest value of one order.
    pub(crate) order_max_notional: Decimal,
    /// Furthest a limit or trigger may be from the market, in per cent of the last price.
    pub(crate) price_band_pct: Decimal,
    /// Most orders in one minute.
    pub(crate) orders_per_minute: u32,
    /// Oldest a signal may be when it is decided, in seconds.
    pub(crate) signal_max_age_s: u32,
    /// Oldest a balance may be for a new entry, in seconds.
    pub(crate) balance_max_age_s: u32,
    /// Distance of the stop-loss that an entry without one gets, in per cent of its price; 0: none.
    pub(crate) stop_loss_pct: Decimal,
    /// Largest loss of a day, in per cent of the day's opening equity; 0: no such limit.
    pub(crate) daily_loss_pct: Decimal,
    /// Largest loss of a day, as an amount; 0: no such limit.
    pub(crate) daily_loss_amount: Decimal,
    /// Loss of a day at which everything is sold and the account is locked, in per cent of the day's opening equity;
    /// 0: no such limit.
    pub(crate) breaker_pct: Decimal,
    /// When a trading day begins, in minutes after 00:00 UTC.
    pub(crate) day_starts_min: u32,
    /// How long the rest of a partly filled order may stay open, in seconds.
    pub(crate) partial_fill_timeout_s: u32,
    /// Within how many seconds signals on one symbol are merged; 0: never.
    pub(crate) merge_window_s: u32,
    /// Whether orders may execute before and after the regular session.
    pub(crate) extended_hours: bool,
    /// Furthest a price may have moved while an order waited for its market, in per cent.
    pub(crate) queue_drift_pct: Decimal,
    /// Longest an order waits for its market, in hours.
    pub(crate) queue_max_age_h: u32,
    /// What is done about a position whose stop the broker does not take: `emulate`, `retry` or `flatten`.
    #[schema(example = "emulate")]
    pub(crate) unprotected: &'static str,
}

impl<'a> User<'a> {
    /// Words a person.
    #[must_use]
    pub(crate) fn of(user: &'a UserState) -> Self {
        Self { id: user.id.uuid(), name: &user.name, role: role(user.role) }
    }
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Operator => "operator",
        Role::User => "user",
    }
}

impl<'a> Halt<'a> {
    /// Words a switch.
    #[must_use]
    pub(crate) fn of(trading: &'a Trading) -> Self {
        match trading {
            Trading::Active => {
                Self { state: "active", by: None, reason: None, at: None, cause: None, until: None }
            }
            Trading::Halted { by, reason, at, cause, until } => Self {
                state: "halted",
                by: Some(by),
                reason: Some(reason),
                at: Some(*at),
                cause: Some(cause_word(*cause)),
                until: *until,
            },
        }
    }
}

/// Returns the outside's word for what made a halt necessary.
#[must_use]
pub(super) const fn cause_word(cause: HaltCause) -> &'static str {
    match cause {
        HaltCause::Person => "person",
        HaltCause::DailyLoss => "daily_loss",
        HaltCause::CircuitBreaker => "circuit_breaker",
    }
}

impl<'a> Source<'a> {
    /// Words all sources that a person follows: their own first, then by age.
    #[must_use]
    pub(crate) fn all(
        sources: &'a mut [feed::Source],
        user: &UserState,
        keys: &MasterKey,
        base_url: &str,
    ) -> Vec<Self> {
        sources.sort_by_key(|source| {
            (source.owner != user.id, source.created_at, source.token_hash.is_none(), source.id)
        });
        sources.iter().map(|source| Self::of(source, user, keys, base_url)).collect()
    }

    /// Words a source for a person; only its owner sees its address.
    #[must_use]
    pub(crate) fn of(source: &'a feed::Source, user: &UserState, keys: &MasterKey, base_url: &str) -> Self {
        let own = source.owner == user.id;
        let address = || {
            let token = keys.webhook_token(source.id, source.version);
            format!("{base_url}/webhooks/tradingview/{token}")
        };
        Self {
            id: source.id.uuid(),
            name: &source.name,
            kind: if source.token_hash.is_some() { "tradingview" } else { "dashboard" },
            webhook_url: (own && source.token_hash.is_some()).then(address),
            own,
            limits: SourceLimits::of(user.source_limits(source.id)),
            created_at: source.created_at,
        }
    }
}

impl<'a> Broker<'a> {
    /// Words a connection of a user.
    #[must_use]
    pub(crate) fn of(connection: &'a Connection, user: &UserState, session: Option<Session>) -> Self {
        let balance = user.balances.get(&connection.id);
        let (status, reason) = match session {
            Some(Session::Open) => ("connected", None),
            Some(Session::Connecting) => ("connecting", Some("the session is being opened".to_owned())),
            Some(Session::Failed { reason }) => ("failed", Some(reason)),
            None => {
                let reason = "nothing is open there, so the session is closed; the next signal opens it";
                ("asleep", Some(reason.to_owned()))
            }
        };
        Self {
            id: connection.id.uuid(),
            name: connection.title(),
            broker: &connection.broker,
            mode: connection.mode.as_str(),
            live_trading: connection.is_live_on,
            default: user.default_connection().is_some_and(|known| known.id == connection.id),
            routes: user
                .routes
                .iter()
                .filter(|(_, id)| **id == connection.id)
                .map(|(class, _)| class.as_str())
                .collect(),
            key_hint: Some(connection.hint.as_str()).filter(|hint| !hint.is_empty()),
            connected: status == "connected",
            status,
            reason,
            can_trade_until: runway(connection).map(|runway| moment(runway.until)),
            last_seen_at: balance.map(|balance| moment(balance.at)),
        }
    }
}

impl<'a> Token<'a> {
    /// Words a token.
    #[must_use]
    pub(crate) fn of(info: &'a TokenInfo) -> Self {
        Self { id: &info.id, name: &info.name, scopes: &info.scopes, created_at: moment(info.created_at) }
    }
}

impl SourceLimits {
    /// Words a source's limits.
    #[must_use]
    pub(crate) fn of(limits: Option<&risk::SourceLimits>) -> Self {
        let limits = limits.cloned().unwrap_or_default();
        Self {
            position_max_pct: limits.position_max_pct.map(|pct| pct.get().normalize()),
            order_max_notional: limits.order_max_notional.map(|amount| amount.get().normalize()),
            orders_per_minute: limits.orders_per_minute,
        }
    }
}

impl Limits {
    /// Words limits.
    #[must_use]
    pub(crate) fn of(limits: &risk::Limits) -> Self {
        Self {
            position_max_pct: limits.position_max_pct.get().normalize(),
            order_max_notional: limits.order_max_notional.get().normalize(),
            price_band_pct: limits.price_band_pct.get().normalize(),
            orders_per_minute: limits.orders_per_minute,
            signal_max_age_s: limits.signal_max_age_s,
            balance_max_age_s: limits.balance_max_age_s,
            stop_loss_pct: limits.stop_loss_pct.get().normalize(),
            daily_loss_pct: limits.daily_loss_pct.get().normalize(),
            daily_loss_amount: limits.daily_loss_amount.get().normalize(),
            breaker_pct: limits.breaker_pct.get().normalize(),
            day_starts_min: limits.day_starts_min,
            partial_fill_timeout_s: limits.partial_fill_timeout_s,
            merge_window_s: limits.merge_window_s,
            extended_hours: limits.extended_hours,
            queue_drift_pct: limits.queue_drift_pct.get().normalize(),
            queue_max_age_h: limits.queue_max_age_h,
            unprotected: match limits.unprotected {
                risk::Unprotected::Emulate => "emulate",
                risk::Unprotected::Retry => "retry",
                risk::Unprotected::Flatten => "flatten",
            },
        }
    }
}
