//! The trading day: when it begins, what was lost in it, and what that calls for (US-001.5, US-006.3, US-006.5).

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use super::Limits;
use crate::domain::event::HaltCause;
use crate::domain::money::{Money, Percent};

/// From which part of the daily limit on, in per cent, trading pauses: the way out costs something too.
const NEAR_PCT: Decimal = Decimal::from_parts(97, 0, 0, false, 0);

/// Returns the trading day of a moment: the date on which it began.
#[must_use]
pub fn day_of(at: DateTime<Utc>, starts_min: u32) -> NaiveDate {
    at.checked_sub_signed(TimeDelta::minutes(i64::from(starts_min))).unwrap_or(at).date_naive()
}

/// Returns when the trading day of a moment ends, which is when the next one begins.
#[must_use]
pub fn day_ends(at: DateTime<Utc>, starts_min: u32) -> DateTime<Utc> {
    let next = day_of(at, starts_min).checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX);
    let midnight = next.and_time(NaiveTime::MIN).and_utc();
    midnight.checked_add_signed(TimeDelta::minutes(i64::from(starts_min))).unwrap_or(midnight)
}

/// How a day stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Equity at the day's opening; what was deposited since is in it, what was withdrawn is not.
    pub opening: Money,
    /// Equity now.
    pub equity: Money,
    /// The strictest halt that losses have called for today.
    pub breached: Option<HaltCause>,
}

impl Standing {
    /// Returns what the day has brought so far; negative: a loss.
    #[must_use]
    pub fn pnl(&self) -> Money {
        self.equity - self.opening
    }

    /// Returns the day's profit in per cent of its opening equity, cut to two places, never rounded up to a limit.
    #[must_use]
    pub fn pnl_pct(&self) -> Option<Percent> {
        let share = self.pnl().get().saturating_mul(Decimal::ONE_HUNDRED).checked_div(self.opening.get())?;
        Some(Percent::new(cut(share).normalize()))
    }

    fn loss(&self) -> Money {
        self.opening - self.equity
    }
}

/// What the day's loss calls for, from mild to strict.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing new.
    Fine,
    /// Trading stops until the next day, and positions are left.
    DailyLoss {
        /// What the user reads.
        message: String,
        /// When trading goes on.
        until: DateTime<Utc>,
    },
    /// Everything is sold, and only an operator lets trading go on.
    Breaker {
        /// What the user reads.
        message: String,
    },
}

/// The numbers that limits came to for one decision; kept with the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// Largest position in one symbol, in per cent of equity.
    pub position_max_pct: Percent,
    /// Largest value of one order.
    pub order_max_notional: Money,
    /// Most orders in one minute.
    pub orders_per_minute: u32,
    /// Largest loss of the day, as an amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_loss: Option<Money>,
    /// Loss of the day at which the circuit breaker trips, as an amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Money>,
}

impl InForce {
    /// Works limits out for a day that opened with `opening`.
    #[must_use]
    pub fn of(limits: &Limits, opening: Option<Money>) -> Self {
        Self {
            position_max_pct: limits.position_max_pct,
            order_max_notional: limits.order_max_notional,
            orders_per_minute: limits.orders_per_minute,
            daily_loss: daily_limit(limits, opening).map(|limit| limit.amount),
            breaker: opening.and_then(|opening| share(opening, limits.breaker_pct)),
        }
    }
}

/// The daily limit that a loss comes to first.
struct DailyLimit {
    amount: Money,
    /// Whether it was set in per cent.
    relative: bool,
}

fn daily_limit(limits: &Limits, opening: Option<Money>) -> Option<DailyLimit> {
    let relative = opening
        .and_then(|opening| share(opening, limits.daily_loss_pct))
        .map(|amount| DailyLimit { amount, relative: true });
    let absolute = Some(limits.daily_loss_amount)
        .filter(|amount| *amount > Money::ZERO)
        .map(|amount| DailyLimit { amount, relative: false });
    relative.into_iter().chain(absolute).min_by_key(|limit| limit.amount)
}

/// Returns what `pct` of the opening equity comes to, if that limits anything.
fn share(opening: Money, pct: Percent) -> Option<Money> {
    Some(opening.part(pct)).filter(|amount| *amount > Money::ZERO)
}

/// Judges a day by its loss. What it called for today already is not called for again.
#[must_use]
pub fn judge(limits: &Limits, day: &Standing, now: DateTime<Utc>) -> Verdict {
    let loss = day.loss();
    if loss <= Money::ZERO || day.breached == Some(HaltCause::CircuitBreaker) {
        return Verdict::Fine;
    }
    if share(day.opening, limits.breaker_pct).is_some_and(|limit| loss >= limit) {
        let pct = limits.breaker_pct.get().normalize();
        let message =
            format!("Emergency circuit breaker triggered (-{pct}%). Account under review. Contact support.");
        return Verdict::Breaker { message };
    }
    if day.breached == Some(HaltCause::DailyLoss) {
        return Verdict::Fine;
    }
    let Some(limit) = daily_limit(limits, Some(day.opening)) else { return Verdict::Fine };
    let near = loss.get().saturating_mul(Decimal::ONE_HUNDRED) >= limit.amount.get().saturating_mul(NEAR_PCT);
    if !near {
        return Verdict::Fine;
    }
    let until = day_ends(now, limits.day_starts_min);
    Verdict::DailyLoss { message: words(limits, day, &limit, now, until), until }
}

fn words(
    limits: &Limits,
    day: &Standing,
    limit: &DailyLimit,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> String {
    let most = if limit.relative {
        format!("-{}%", limits.daily_loss_pct.get().normalize())
    } else {
        (-limit.amount).dollars()
    };
    let when = if until.date_naive() == now.date_naive() { "today" } else { "tomorrow" };
    let clock = until.format("%H:%M UTC");
    if day.loss() >= limit.amount {
        return match limits.day_starts_min {
            0 => format!("Daily loss limit reached ({most}). Trading disabled until {when}."),
            _ => format!("Daily loss limit reached ({most}). Trading disabled until {when} {clock}."),
        };
    }
    let lost = if limit.relative {
        day.pnl_pct().map_or_else(String::new, |pct| format!("{pct}%"))
    } else {
        Money::new(cut(day.pnl().get())).dollars()
    };
    format!("Daily loss limit approaching ({lost} of {most}). Trading paused until {when} {clock}")
}

/// Cuts a number to two places: a loss that is not at its limit must not read as if it were.
fn cut(number: Decimal) -> Decimal {
    number.round_dp_with_strategy(2, RoundingStrategy::ToZero)
}

#[cfg(test)]
mod tests;
