//! Risk limits, and how much of them is used.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use trade_actors::domain::money::{LARGEST, Money, Percent};
use trade_actors::domain::risk::Limits as DomainLimits;
use trade_actors::domain::user::UserState;
use utoipa::ToSchema;

use crate::web::body::Number;
use crate::web::call::{Answer, Call, ok};
use crate::web::problem::Problem;
use crate::web::wire::{Limits, Portfolio, Position};

/// Limits and their use.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Risk {
    limits: Limits,
    usage: Usage,
}

/// How much of the limits is used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Usage {
    /// Cash and positions at the latest prices.
    equity: Decimal,
    /// Gain or loss since the day's opening.
    day_pnl: Decimal,
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
}

/// Shows the limits and how much of them is used.
pub(crate) async fn show(call: Call) -> Result<Answer, Problem> {
    let account = call.account().await?;
    ok(&risk(&call, &account, &account.limits)?)
}

/// Changes limits.
pub(crate) async fn change(call: Call) -> Result<Answer, Problem> {
    let change: LimitsChange = call.json()?;
    let account = call.account().await?;
    let limits = change.applied_to(account.limits.clone())?;
    call.engine()?.set_limits(account.id, limits.clone(), call.head.caller()).await?;
    ok(&risk(&call, &account, &limits)?)
}

fn risk(call: &Call, account: &UserState, limits: &DomainLimits) -> Result<Risk, Problem> {
    let engine = call.engine()?;
    let portfolio = Portfolio::now(account, engine.market(), engine.clock().now());
    let values = Position::all(account, engine.market()).into_iter().filter_map(|held| held.market_value);
    let largest = values.map(|value| value.abs()).max().unwrap_or_default();
    let share =
        largest.saturating_mul(Decimal::ONE_HUNDRED).checked_div(portfolio.equity).unwrap_or_default();
    let usage = Usage {
        equity: portfolio.equity,
        day_pnl: portfolio.day_pnl,
        reserved: account.working.values().map(|working| working.reserved()).sum::<Money>().get().normalize(),
        open_orders: account.working.len(),
        open_positions: account.positions.len(),
        largest_position_pct: share.round_dp(4).normalize(),
    };
    Ok(Risk { limits: Limits::of(limits), usage })
}

impl LimitsChange {
    fn applied_to(self, mut limits: DomainLimits) -> Result<DomainLimits, Problem> {
        if let Some(Number(pct)) = self.position_max_pct {
            limits.position_max_pct = Percent::new(between("position_max_pct", pct, Decimal::ONE_HUNDRED)?);
        }
        if let Some(Number(notional)) = self.order_max_notional {
            limits.order_max_notional = Money::new(between("order_max_notional", notional, LARGEST)?);
        }
        if let Some(Number(pct)) = self.price_band_pct {
            limits.price_band_pct = Percent::new(between("price_band_pct", pct, Decimal::ONE_HUNDRED)?);
        }
        if let Some(count) = self.orders_per_minute {
            limits.orders_per_minute = within("orders_per_minute", count, 100_000)?;
        }
        if let Some(seconds) = self.signal_max_age_s {
            limits.signal_max_age_s = within("signal_max_age_s", seconds, 86_400)?;
        }
        if let Some(seconds) = self.balance_max_age_s {
            limits.balance_max_age_s = within("balance_max_age_s", seconds, 86_400)?;
        }
        Ok(limits)
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

fn within(name: &str, value: u32, most: u32) -> Result<u32, Problem> {
    if (1..=most).contains(&value) {
        return Ok(value);
    }
    Err(Problem::invalid(
        &format!("/{name}"),
        format!("{name} must be from 1 to {most}; nothing was changed"),
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
    fn a_limit_that_limits_nothing_is_refused() {
        for body in [
            r#"{"position_max_pct":"100.01"}"#,
            r#"{"position_max_pct":0}"#,
            r#"{"order_max_notional":"-1"}"#,
            r#"{"orders_per_minute":0}"#,
            r#"{"signal_max_age_s":86401}"#,
        ] {
            assert_eq!(changed(body).unwrap_err().status, 422, "{body}");
        }
    }
}
