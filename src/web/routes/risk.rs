//! Risk limits, and how much of them is used.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use trade_actors::domain::money::{LARGEST, Money, Percent};
use trade_actors::domain::position::Position as Held;
use trade_actors::domain::risk::day::{InForce, day_ends};
use trade_actors::domain::risk::{Limits as DomainLimits, Unprotected};
use trade_actors::domain::user::UserState;
use utoipa::ToSchema;

use crate::web::body::Number;
use crate::web::call::{Answer, Call, ok};
use crate::web::problem::Problem;
use crate::web::wire::{Halt, Limits, Portfolio};

/// Limits and their use.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Risk<'a> {
    limits: Limits,
    usage: Usage,
    /// Whether new orders are taken; what stopped them, and until when.
    trading: Halt<'a>,
}

/// How much of the limits is used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Usage {
    /// Cash and positions at the latest prices.
    equity: Decimal,
    /// Equity at the day's opening, deposits and withdrawals since then included; null until it is known.
    day_opening: Option<Decimal>,
    /// Gain or loss since the day's opening.
    day_pnl: Decimal,
    /// The same in per cent of the day's opening equity.
    day_pnl_pct: Option<Decimal>,
    /// Loss of the day at which trading stops, as an amount; null: there is no such limit.
    daily_loss_limit: Option<Decimal>,
    /// How much of that is lost, in per cent; trading stops at 97.
    daily_loss_used_pct: Option<Decimal>,
    /// Loss of the day at which the account is locked, as an amount; null: there is no such limit.
    breaker_limit: Option<Decimal>,
    /// How much of that is lost, in per cent.
    breaker_used_pct: Option<Decimal>,
    /// When the next trading day begins.
    day_ends_at: DateTime<Utc>,
    /// What open orders hold back.
    reserved: Decimal,
    /// Orders that are not done.
    open_orders: usize,
    /// Open positions.
    open_positions: usize,
    /// The largest position, in per cent of equity.
    largest_position_pct: Decimal,
}

/// Limits to change; those absent stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsChange {
    /// Above 0, at most 100.
    #[schema(value_type = Option<String>)]
    position_max_pct: Option<Number>,
    /// Above 0.
    #[schema(value_type = Option<String>)]
    order_max_notional: Option<Number>,
    /// Above 0, at most 100.
    #[schema(value_type = Option<String>)]
    price_band_pct: Option<Number>,
    /// 1 to 100000.
    orders_per_minute: Option<u32>,
    /// 1 to 86400.
    signal_max_age_s: Option<u32>,
    /// 1 to 86400.
    balance_max_age_s: Option<u32>,
    /// From 0 (none) to 100.
    #[schema(value_type = Option<String>)]
    stop_loss_pct: Option<Number>,
    /// From 0 (no limit) to 100.
    #[schema(value_type = Option<String>)]
    daily_loss_pct: Option<Number>,
    /// 0 (no limit), or more.
    #[schema(value_type = Option<String>)]
    daily_loss_amount: Option<Number>,
    /// From 0 (no limit) to 100.
    #[schema(value_type = Option<String>)]
    breaker_pct: Option<Number>,
    /// 0 to 1439.
    day_starts_min: Option<u32>,
    /// 1 to 86400.
    partial_fill_timeout_s: Option<u32>,
    /// 0 (never) to 60.
    merge_window_s: Option<u32>,
    extended_hours: Option<bool>,
    /// Above 0, at most 100.
    #[schema(value_type = Option<String>)]
    queue_drift_pct: Option<Number>,
    /// 1 to 720.
    queue_max_age_h: Option<u32>,
    /// `emulate`, `retry` or `flatten`.
    #[schema(value_type = Option<String>, example = "emulate")]
    unprotected: Option<String>,
}

/// Shows the limits and how much of them is used.
pub(crate) async fn show(call: Call) -> Result<Answer, Problem> {
    let account = call.account().await?;
    ok(&risk(&call, &account)?)
}

/// Changes limits.
pub(crate) async fn change(call: Call) -> Result<Answer, Problem> {
    let change: LimitsChange = call.json()?;
    let account = call.account().await?;
    let limits = change.applied_to(account.limits.clone())?;
    call.engine()?.set_limits(account.id, limits, call.head.caller()).await?;
    show(call).await
}

fn risk<'a>(call: &Call, account: &'a UserState) -> Result<Risk<'a>, Problem> {
    let limits = &account.limits;
    let engine = call.engine()?;
    let now = engine.clock().now();
    let portfolio = Portfolio::now(account, engine, now);
    // Equity is the default account's, and so is what is measured by it.
    let default = account.default_connection().map(|known| known.id);
    let held = account.positions.iter().filter(|held| Some(held.connection) == default);
    let value = |held: &Held| Some(held.net.value(engine.price(account, held.connection, held.symbol)?));
    let largest = held.filter_map(value).map(|value| value.get().abs()).max().unwrap_or_default();
    let day = default.and_then(|id| account.standing(id, Money::new(portfolio.equity), now));
    let lost = day.map_or(Decimal::ZERO, |day| (-day.pnl().get()).max(Decimal::ZERO));
    let most = InForce::of(limits, day.map(|day| day.opening));
    let used = |limit: Option<Money>| limit.map(|limit| part(lost, limit.get()));
    let usage = Usage {
        equity: portfolio.equity,
        day_opening: day.map(|day| day.opening.get().normalize()),
        day_pnl: portfolio.day_pnl,
        day_pnl_pct: day.and_then(|day| day.pnl_pct()).map(Percent::get),
        daily_loss_limit: most.daily_loss.map(|limit| limit.get().normalize()),
        daily_loss_used_pct: used(most.daily_loss),
        breaker_limit: most.breaker.map(|limit| limit.get().normalize()),
        breaker_used_pct: used(most.breaker),
        day_ends_at: day_ends(now, limits.day_starts_min),
        reserved: account.working.values().map(|working| working.reserved()).sum::<Money>().get().normalize(),
        open_orders: account.working.len(),
        open_positions: account.positions.len(),
        largest_position_pct: part(largest, portfolio.equity),
    };
    Ok(Risk { limits: Limits::of(limits), usage, trading: Halt::of(account.trading_at(now)) })
}

/// Returns how much of `whole` a number is, in per cent.
fn part(number: Decimal, whole: Decimal) -> Decimal {
    let share = number.saturating_mul(Decimal::ONE_HUNDRED).checked_div(whole).unwrap_or_default();
    share.round_dp(4).normalize()
}

/// Puts a value that was given in a limit's place, once it is checked.
fn put<G, T>(
    limit: &mut T,
    given: Option<G>,
    check: impl FnOnce(G) -> Result<T, Problem>,
) -> Result<(), Problem> {
    if let Some(given) = given {
        *limit = check(given)?;
    }
    Ok(())
}

impl LimitsChange {
    fn applied_to(self, mut limits: DomainLimits) -> Result<DomainLimits, Problem> {
        let now = &mut limits;
        put(&mut now.position_max_pct, self.position_max_pct, |Number(pct)| share("position_max_pct", pct))?;
        put(&mut now.order_max_notional, self.order_max_notional, |Number(most)| {
            amount("order_max_notional", most)
        })?;
        put(&mut now.price_band_pct, self.price_band_pct, |Number(pct)| share("price_band_pct", pct))?;
        put(&mut now.orders_per_minute, self.orders_per_minute, |most| {
            within("orders_per_minute", most, 1, 100_000)
        })?;
        put(&mut now.signal_max_age_s, self.signal_max_age_s, |most| {
            within("signal_max_age_s", most, 1, 86_400)
        })?;
        put(&mut now.balance_max_age_s, self.balance_max_age_s, |most| {
            within("balance_max_age_s", most, 1, 86_400)
        })?;
        put(&mut now.stop_loss_pct, self.stop_loss_pct, |Number(pct)| share_or_none("stop_loss_pct", pct))?;
        put(&mut now.daily_loss_pct, self.daily_loss_pct, |Number(pct)| {
            share_or_none("daily_loss_pct", pct)
        })?;
        put(&mut now.daily_loss_amount, self.daily_loss_amount, |Number(most)| {
            if most.is_zero() { Ok(Money::ZERO) } else { amount("daily_loss_amount", most) }
        })?;
        put(&mut now.breaker_pct, self.breaker_pct, |Number(pct)| share_or_none("breaker_pct", pct))?;
        put(&mut now.day_starts_min, self.day_starts_min, |min| within("day_starts_min", min, 0, 1_439))?;
        put(&mut now.partial_fill_timeout_s, self.partial_fill_timeout_s, |most| {
            within("partial_fill_timeout_s", most, 1, 86_400)
        })?;
        put(&mut now.merge_window_s, self.merge_window_s, |most| within("merge_window_s", most, 0, 60))?;
        put(&mut now.extended_hours, self.extended_hours, Ok)?;
        put(&mut now.queue_drift_pct, self.queue_drift_pct, |Number(pct)| share("queue_drift_pct", pct))?;
        put(&mut now.queue_max_age_h, self.queue_max_age_h, |most| within("queue_max_age_h", most, 1, 720))?;
        put(&mut now.unprotected, self.unprotected, |word| unprotected(&word))?;
        Ok(limits)
    }
}

/// Checks per cent that limit something.
pub(super) fn share(name: &str, pct: Decimal) -> Result<Percent, Problem> {
    between(name, pct, Decimal::ONE_HUNDRED).map(Percent::new)
}

fn share_or_none(name: &str, pct: Decimal) -> Result<Percent, Problem> {
    if pct.is_zero() { Ok(Percent::new(Decimal::ZERO)) } else { share(name, pct) }
}

/// Checks an amount that limits something.
pub(super) fn amount(name: &str, most: Decimal) -> Result<Money, Problem> {
    between(name, most, LARGEST).map(Money::new)
}

fn unprotected(word: &str) -> Result<Unprotected, Problem> {
    match word {
        "emulate" => Ok(Unprotected::Emulate),
        "retry" => Ok(Unprotected::Retry),
        "flatten" => Ok(Unprotected::Flatten),
        _ => Err(Problem::invalid(
            "/unprotected",
            "unprotected must be \"emulate\", \"retry\" or \"flatten\"; nothing was changed",
        )),
    }
}

fn between(name: &str, value: Decimal, most: Decimal) -> Result<Decimal, Problem> {
    if value > Decimal::ZERO && value <= most {
        return Ok(value.normalize());
    }
    Err(Problem::invalid(
        &format!("/{name}"),
        format!("{name} must be above 0 and at most {most}; nothing was changed"),
    ))
}

/// Checks a whole number.
pub(super) fn within(name: &str, value: u32, least: u32, most: u32) -> Result<u32, Problem> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(Problem::invalid(
        &format!("/{name}"),
        format!("{name} must be from {least} to {most}; nothing was changed"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(body: &str) -> Result<DomainLimits, Problem> {
        serde_json::from_str::<LimitsChange>(body).unwrap().applied_to(DomainLimits::default())
    }

    #[test]
    fn limits_not_named_stay() {
        let limits = changed(r#"{"position_max_pct":"5.50","orders_per_minute":60}"#).unwrap();
        let expected = DomainLimits {
            position_max_pct: Percent::new(Decimal::new(55, 1)),
            orders_per_minute: 60,
            ..DomainLimits::default()
        };
        assert_eq!(limits, expected);
        assert_eq!(changed("{}").unwrap(), DomainLimits::default());
    }

    #[test]
    fn a_limit_that_may_be_absent_is_zero_then() {
        let limits = changed(
            r#"{"stop_loss_pct":0,"daily_loss_pct":0,"daily_loss_amount":"0","breaker_pct":"0","merge_window_s":0,
                "day_starts_min":810,"extended_hours":true,"unprotected":"flatten"}"#,
        );
        let zero = Percent::new(Decimal::ZERO);
        let expected = DomainLimits {
            stop_loss_pct: zero,
            daily_loss_pct: zero,
            breaker_pct: zero,
            merge_window_s: 0,
            day_starts_min: 810,
            extended_hours: true,
            unprotected: Unprotected::Flatten,
            ..DomainLimits::default()
        };
        assert_eq!(limits.unwrap(), expected);
    }

    #[test]
    fn a_limit_that_limits_nothing_is_refused() {
        for body in [
            r#"{"position_max_pct":"100.01"}"#,
            r#"{"position_max_pct":0}"#,
            r#"{"order_max_notional":"-1"}"#,
            r#"{"orders_per_minute":0}"#,
            r#"{"signal_max_age_s":86401}"#,
            r#"{"daily_loss_pct":"-1"}"#,
            r#"{"daily_loss_amount":"-0.01"}"#,
            r#"{"breaker_pct":101}"#,
            r#"{"day_starts_min":1440}"#,
            r#"{"partial_fill_timeout_s":0}"#,
            r#"{"merge_window_s":61}"#,
            r#"{"queue_drift_pct":0}"#,
            r#"{"queue_max_age_h":721}"#,
            r#"{"unprotected":"pray"}"#,
        ] {
            assert_eq!(changed(body).unwrap_err().status, 422, "{body}");
        }
    }
}
