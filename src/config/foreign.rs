//! Keys of settings whose structs live with what they set: the paper broker and the risk rules.

use rust_decimal::Decimal;
use trade_actors::domain::money::Money;

use super::key::Key;

/// [`crate::brokers::paper::config::PaperConfig::problems`] knows the ranges.
pub(super) const PAPER: &[Key] = &[
    Key { name: "paper.seed", allowed: "a whole number from 0 up", holds: |_| true },
    Key { name: "paper.start_cash", allowed: "an amount from 0 to 1000000000000", holds: |_| true },
    Key { name: "paper.leverage", allowed: "a number from 1 to 100", holds: |_| true },
    Key { name: "paper.latency_ms", allowed: "milliseconds from 0 to 60000", holds: |_| true },
    Key { name: "paper.liquidity", allowed: "a number above 0, up to 1000000000000", holds: |_| true },
    Key { name: "paper.tick_ms", allowed: "milliseconds from 1 to 86400000", holds: |_| true },
    Key { name: "paper.always_open", allowed: "true or false", holds: |_| true },
    Key {
        name: "paper.symbols",
        allowed: "a list of tables, each with symbol, class (\"equity\" or \"crypto\") and price, and if need be \
                  tick, lot, min_notional, volatility_bp and spread_bp",
        holds: |_| true,
    },
];

/// Limits of a new user.
pub(super) const RISK: &[Key] = &[
    Key {
        name: "risk.position_max_pct",
        allowed: "per cent of equity above 0, up to 100",
        holds: |config| is_share(config.risk.position_max_pct.get()),
    },
    Key {
        name: "risk.order_max_notional",
        allowed: "an amount above 0",
        holds: |config| config.risk.order_max_notional > Money::ZERO,
    },
    Key {
        name: "risk.price_band_pct",
        allowed: "per cent of the last price above 0, up to 100",
        holds: |config| is_share(config.risk.price_band_pct.get()),
    },
    Key {
        name: "risk.orders_per_minute",
        allowed: "a whole number from 1 to 1000000",
        holds: |config| (1..=1_000_000).contains(&config.risk.orders_per_minute),
    },
    Key {
        name: "risk.signal_max_age_s",
        allowed: "a whole number of seconds from 1 to 3600",
        holds: |config| (1..=3_600).contains(&config.risk.signal_max_age_s),
    },
    Key {
        name: "risk.balance_max_age_s",
        allowed: "a whole number of seconds from 1 to 3600",
        holds: |config| (1..=3_600).contains(&config.risk.balance_max_age_s),
    },
    Key {
        name: "risk.stop_loss_pct",
        allowed: "per cent of the price from 0 (none) to 100",
        holds: |config| is_share_or_none(config.risk.stop_loss_pct.get()),
    },
    Key {
        name: "risk.daily_loss_pct",
        allowed: "per cent of the day's opening equity from 0 (no limit) to 100",
        holds: |config| is_share_or_none(config.risk.daily_loss_pct.get()),
    },
    Key {
        name: "risk.daily_loss_amount",
        allowed: "an amount, or 0 for no limit",
        holds: |config| config.risk.daily_loss_amount >= Money::ZERO,
    },
    Key {
        name: "risk.breaker_pct",
        allowed: "per cent of the day's opening equity from 0 (no limit) to 100",
        holds: |config| is_share_or_none(config.risk.breaker_pct.get()),
    },
    Key {
        name: "risk.day_starts_min",
        allowed: "minutes after 00:00 UTC from 0 to 1439",
        holds: |config| config.risk.day_starts_min < 1_440,
    },
    Key {
        name: "risk.partial_fill_timeout_s",
        allowed: "a whole number of seconds from 1 to 86400",
        holds: |config| (1..=86_400).contains(&config.risk.partial_fill_timeout_s),
    },
    Key {
        name: "risk.merge_window_s",
        allowed: "a whole number of seconds from 0 (never) to 60",
        holds: |config| config.risk.merge_window_s <= 60,
    },
    Key { name: "risk.extended_hours", allowed: "true or false", holds: |_| true },
    Key {
        name: "risk.queue_drift_pct",
        allowed: "per cent of the price above 0, up to 100",
        holds: |config| is_share(config.risk.queue_drift_pct.get()),
    },
    Key {
        name: "risk.queue_max_age_h",
        allowed: "a whole number of hours from 1 to 720",
        holds: |config| (1..=720).contains(&config.risk.queue_max_age_h),
    },
    Key { name: "risk.unprotected", allowed: "\"emulate\", \"retry\" or \"flatten\"", holds: |_| true },
];

fn is_share(pct: Decimal) -> bool {
    pct > Decimal::ZERO && pct <= Decimal::ONE_HUNDRED
}

fn is_share_or_none(pct: Decimal) -> bool {
    pct.is_zero() || is_share(pct)
}
