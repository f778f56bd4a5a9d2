//! Alpaca's trading interface: who asks, and everything that is not an order or a position.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::America::New_York;
use hyper::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::errors::Error;
use super::wire::{self, Ids};
use super::{data, orders, positions};
use crate::book::Session;
use crate::clock::{TradingDay, days_after};
use crate::http::{Answer, Request};
use crate::world::State;

/// The proof of identity that came with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Key and secret.
    Key(String, String),
    /// A bearer token.
    Token(String),
}

impl Proof {
    /// Returns what a request brought.
    pub(super) fn of(request: &Request) -> Option<Self> {
        if let (Some(key), Some(secret)) =
            (request.header("apca-api-key-id"), request.header("apca-api-secret-key"))
        {
            return Some(Self::Key(key.to_owned(), secret.to_owned()));
        }
        let (scheme, rest) = request.header("authorization")?.split_once(' ')?;
        match scheme {
            "Bearer" => Some(Self::Token(rest.to_owned())),
            "Basic" => {
                let pair = String::from_utf8(BASE64.decode(rest).ok()?).ok()?;
                let (key, secret) = pair.split_once(':')?;
                Some(Self::Key(key.to_owned(), secret.to_owned()))
            }
            _ => None,
        }
    }

    /// Returns the account it claims to be of, right or wrong.
    pub(super) fn claims<'a>(&self, state: &'a State) -> Option<&'a str> {
        match self {
            Self::Key(key, _) => state.directory.owner_of_key(key),
            Self::Token(token) => state.directory.owner_of_token(token),
        }
    }

    /// Returns the account it lets in.
    pub(super) fn opens<'a>(&self, state: &'a State) -> Option<&'a str> {
        match self {
            Self::Key(key, secret) => state.directory.let_in_by_key(key, secret),
            Self::Token(token) => state.directory.let_in_by_token(token),
        }
    }
}

/// One request of one account that was let in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) ids: Ids,
    pub(super) now: DateTime<Utc>,
    pub(super) account: &'a str,
    pub(super) request: &'a Request,
}

impl Call<'_> {
    /// Returns whether a query parameter says `true`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Error> {
        match self.request.param(name).as_deref() {
            None | Some("" | "false" | "False") => Ok(false),
            Some("true" | "True") => Ok(true),
            Some(other) => Err(Error::invalid(format!("invalid {name}: {other}"))),
        }
    }

    /// Returns a query parameter as a time: RFC 3339, or a date.
    pub(super) fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, Error> {
        let Some(text) = self.request.param(name) else { return Ok(None) };
        let moment = DateTime::parse_from_rfc3339(&text).map(|time| time.to_utc()).ok();
        let day = || text.parse::<NaiveDate>().ok().map(|day| day.and_time(chrono::NaiveTime::MIN).and_utc());
        moment.or_else(day).map(Some).ok_or_else(|| Error::invalid(format!("invalid {name}: {text}")))
    }

    /// Returns a query parameter as a count from one up to a largest.
    pub(super) fn count(&self, name: &str, default: usize, most: usize) -> Result<usize, Error> {
        let Some(text) = self.request.param(name) else { return Ok(default) };
        let count = text.parse().ok().filter(|count| (1..=most).contains(count));
        count.ok_or_else(|| Error::invalid(format!("{name} must be between 1 and {most}")))
    }

    /// Returns whether the oldest come first; the newest do by default.
    pub(super) fn ascending(&self) -> Result<bool, Error> {
        match self.request.param("direction").as_deref() {
            None | Some("desc") => Ok(false),
            Some("asc") => Ok(true),
            Some(other) => Err(Error::invalid(format!("invalid direction: {other}"))),
        }
    }
}

/// Answers a request of an account that was let in.
pub(super) fn answer(state: &mut State, call: Call<'_>) -> Result<Answer, Error> {
    let segments = call.request.segments();
    match (&call.request.method, segments.as_slice()) {
        (&Method::GET, ["v2", "account"]) => account(state, call),
        (&Method::GET, ["v2", "clock"]) => Ok(clock(state, call)),
        (&Method::GET, ["v2", "calendar"]) => calendar(call),
        (&Method::GET, ["v2", "assets"]) => assets(state, call),
        (&Method::GET, ["v2", "assets", symbol]) => asset(state, symbol),
        (&Method::GET, ["v2", "account", "activities"]) => activities(state, call, None),
        (&Method::GET, ["v2", "account", "activities", kind]) => activities(state, call, Some(kind)),
        (_, ["v2", "orders", ..] | ["v2", "orders:by_client_order_id"]) => orders::answer(state, call),
        (_, ["v2", "positions", ..]) => positions::answer(state, call),
        (&Method::GET, ["v2", "stocks", ..]) => data::answer(state, call),
        _ => Err(Error::not_found("endpoint not found")),
    }
}

fn account(state: &State, call: Call<'_>) -> Result<Answer, Error> {
    let owned = state.book.account(call.account).ok_or_else(Error::unauthorized)?;
    let standing = state.directory.standing(call.account).ok_or_else(Error::unauthorized)?;
    let (long, short) = owned.market_values(state.book.feed());
    let equity = owned.equity(state.book.feed());
    let buying_power = state.book.buying_power(call.account);
    let text = |amount: Decimal| amount.normalize().to_string();
    let cash_only = owned.cash.min(buying_power).max(Decimal::ZERO);
    let margin = (long - short).checked_div(owned.multiplier).unwrap_or_default().round_dp(4);
    Ok(Answer::json(
        200,
        &json!({
            "id": Ids::account(call.account),
            "account_number": format!("PA{:08X}", Ids::account(call.account).as_u64_pair().1 & 0xffff_ffff),
            "status": standing.status,
            "crypto_status": "INACTIVE",
            "currency": "USD",
            "cash": text(owned.cash),
            "equity": text(equity),
            "last_equity": text(equity),
            "portfolio_value": text(equity),
            "buying_power": text(buying_power),
            "regt_buying_power": text(buying_power),
            "daytrading_buying_power": "0",
            "non_marginable_buying_power": text(cash_only),
            "initial_margin": text(margin),
            "maintenance_margin": text(margin),
            "last_maintenance_margin": text(margin),
            "long_market_value": text(long),
            "short_market_value": text(short),
            "multiplier": text(owned.multiplier),
            "accrued_fees": "0",
            "sma": "0",
            "pattern_day_trader": false,
            "daytrade_count": 0,
            "trading_blocked": standing.trading_blocked,
            "transfers_blocked": false,
            "account_blocked": standing.account_blocked,
            "trade_suspended_by_user": standing.trade_suspended_by_user,
            "shorting_enabled": standing.shorting_enabled,
            "created_at": "2024-01-02T14:30:00Z",
        }),
    ))
}

fn clock(state: &State, call: Call<'_>) -> Answer {
    let local = |time: DateTime<Utc>| time.with_timezone(&New_York).to_rfc3339();
    let (open, close) = state.clock.next(call.now);
    Answer::json(
        200,
        &json!({
            "timestamp": local(call.now),
            "is_open": state.clock.session(call.now) == Session::Regular,
            "next_open": local(open),
            "next_close": local(close),
        }),
    )
}

fn calendar(call: Call<'_>) -> Result<Answer, Error> {
    let day = |name: &str| -> Result<Option<NaiveDate>, Error> {
        Ok(call.time(name)?.map(|time| time.date_naive()))
    };
    let today = call.now.with_timezone(&New_York).date_naive();
    let first = day("start")?.unwrap_or_else(|| today - TimeDelta::days(365));
    let last = day("end")?.unwrap_or_else(|| today + TimeDelta::days(365));
    if last < first || last - first > TimeDelta::days(366 * 60) {
        return Err(Error::invalid("end must be after start"));
    }
    let days = days_after(first - Days::new(1)).take_while(|day| day.date <= last);
    Ok(Answer::json(200, &days.map(|day| shown_day(&day)).collect::<Vec<_>>()))
}

fn shown_day(day: &TradingDay) -> Value {
    json!({
        "date": day.date,
        "open": "09:30",
        "close": day.close.format("%H:%M").to_string(),
        "session_open": "0400",
        "session_close": "2000",
        "settlement_date": day.settles(),
    })
}

fn assets(state: &State, call: Call<'_>) -> Result<Answer, Error> {
    let status = call.request.param("status");
    let active = match status.as_deref() {
        None | Some("" | "all") => None,
        Some("active") => Some(true),
        Some("inactive") => Some(false),
        Some(other) => return Err(Error::invalid(format!("invalid status: {other}"))),
    };
    let class = call.request.param("asset_class");
    let ours = class.is_none_or(|class| class == "us_equity");
    let all = state.instruments.values();
    let wanted = all.filter(|asset| ours && active.is_none_or(|active| asset.active == active));
    Ok(Answer::json(200, &wanted.map(wire::asset).collect::<Vec<_>>()))
}

fn asset(state: &State, name: &str) -> Result<Answer, Error> {
    let by_id = || state.instruments.values().find(|asset| Ids::asset(&asset.symbol).to_string() == name);
    let found = state.instruments.get(name).or_else(by_id);
    let found = found.ok_or_else(|| Error::not_found(format!("asset not found for {name}")))?;
    Ok(Answer::json(200, &wire::asset(found)))
}

fn activities(state: &State, call: Call<'_>, kind: Option<&str>) -> Result<Answer, Error> {
    let kinds = kind.map(str::to_owned).or_else(|| call.request.param("activity_types"));
    if kinds.is_some_and(|kinds| !kinds.split(',').any(|kind| kind == "FILL")) {
        return Ok(Answer::json(200, &json!([])));
    }
    let (after, until) = (call.time("after")?, call.time("until")?);
    let size = call.count("page_size", 100, 100)?;
    let mine = |id| state.book.order(id).filter(|order| order.ticket.account == call.account);
    let trades = state.book.trades().iter().filter(|trade| {
        after.is_none_or(|after| trade.at > after) && until.is_none_or(|until| trade.at < until)
    });
    let mut trades: Vec<_> =
        trades.filter_map(|trade| mine(trade.order).map(|order| (trade, order))).collect();
    if !call.ascending()? {
        trades.reverse();
    }
    if let Some(token) = call.request.param("page_token") {
        let last = trades.iter().position(|(trade, _)| wire::activity_id(call.ids, trade) == token);
        let last = last.ok_or_else(|| Error::invalid("invalid page_token"))?;
        trades.drain(..=last);
    }
    let page = trades.iter().take(size);
    let page = page.map(|(trade, order)| wire::activity(call.ids, trade, order));
    Ok(Answer::json(200, &page.collect::<Vec<_>>()))
}
