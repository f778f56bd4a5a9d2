//! Money, positions and prices.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use trade_actors::domain::money::Price;
use trade_actors::domain::portfolio::{self, Summary};
use trade_actors::domain::position;
use trade_actors::domain::protection::Protection;
use trade_actors::domain::push::Shown;
use trade_actors::domain::signal::Trail;
use trade_actors::domain::user::UserState;
use trade_actors::engine::Engine;
use utoipa::ToSchema;
use uuid::Uuid;

use super::moment;

/// A user's money at a glance.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Portfolio {
    /// Cash.
    pub(crate) cash: Decimal,
    /// Cash and positions at the latest prices.
    pub(crate) equity: Decimal,
    /// What new orders may cost.
    pub(crate) buying_power: Decimal,
    /// Positions at the latest prices.
    pub(crate) positions_value: Decimal,
    /// Equity less the day's opening equity.
    pub(crate) day_pnl: Decimal,
    /// What the open positions would gain if closed now.
    pub(crate) unrealized_pnl: Decimal,
    /// What the closed parts gained.
    pub(crate) realized_pnl: Decimal,
    /// Always `USD`.
    pub(crate) currency: &'static str,
    /// When this was added up.
    pub(crate) as_of: DateTime<Utc>,
}

/// A position.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Position<'a> {
    /// In what.
    #[schema(example = "AAPL")]
    pub(crate) symbol: &'a str,
    /// How much, without sign.
    pub(crate) quantity: Decimal,
    /// `long` or `short`.
    #[schema(example = "long")]
    pub(crate) side: &'static str,
    /// Average price of what is open.
    pub(crate) average_price: Option<Decimal>,
    /// Latest price.
    pub(crate) price: Option<Decimal>,
    /// What it is worth now; negative when short.
    pub(crate) market_value: Option<Decimal>,
    /// What it would gain if closed now.
    pub(crate) unrealized_pnl: Option<Decimal>,
    /// The same in per cent of what it cost.
    pub(crate) unrealized_pnl_pct: Option<Decimal>,
    /// What its closed parts gained.
    pub(crate) realized_pnl: Decimal,
    /// When it was opened.
    pub(crate) opened_at: DateTime<Utc>,
    /// The account that holds it.
    pub(crate) connection_id: Uuid,
    /// What protects it, where that is told.
    #[serde(flatten)]
    pub(crate) guard: Option<Guard<'a>>,
}

/// What protects a position.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Guard<'a> {
    /// At which broker it is held.
    pub(crate) broker: &'a str,
    /// Price at which it is left with a loss.
    pub(crate) stop_loss: Option<Decimal>,
    /// How far the stop follows the best price, in the account's currency.
    pub(crate) trail_amount: Option<Decimal>,
    /// The same in per cent.
    pub(crate) trail_percent: Option<Decimal>,
    /// Prices at which equal parts are left with a profit.
    pub(crate) take_profits: Vec<Decimal>,
    /// Why it is being closed, if it is.
    pub(crate) closing: Option<&'a str>,
}

impl<'a> Guard<'a> {
    fn of(broker: &'a str, protection: Option<&'a Protection>) -> Self {
        let (trail_amount, trail_percent) = match protection.and_then(|protection| protection.trail) {
            Some(Trail::Amount(far)) => (Some(far.get().normalize()), None),
            Some(Trail::Percent(far)) => (None, Some(far.get().normalize())),
            None => (None, None),
        };
        let targets = protection.map(|protection| protection.targets.as_slice()).unwrap_or_default();
        Self {
            broker,
            stop_loss: protection.and_then(|protection| protection.stop).map(|price| price.get().normalize()),
            trail_amount,
            trail_percent,
            take_profits: targets.iter().map(|target| target.price.get().normalize()).collect(),
            closing: protection.and_then(|protection| protection.leave.as_deref()),
        }
    }
}

/// The portfolio with its positions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PortfolioUpdate<'a> {
    /// The totals.
    pub(crate) portfolio: Portfolio,
    /// The open positions.
    pub(crate) positions: Vec<Position<'a>>,
}

/// A price.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Quote<'a> {
    /// Of what.
    #[schema(example = "AAPL")]
    pub(crate) symbol: &'a str,
    /// Last price.
    pub(crate) price: Decimal,
    /// Best price a seller gets.
    pub(crate) bid: Decimal,
    /// Best price a buyer pays.
    pub(crate) ask: Decimal,
    /// Change since the day's opening, in per cent.
    pub(crate) change_pct: Decimal,
    /// When.
    pub(crate) at: DateTime<Utc>,
}

impl Portfolio {
    /// Words the totals.
    #[must_use]
    pub(crate) fn of(summary: &Summary, as_of: DateTime<Utc>) -> Self {
        Self {
            cash: summary.cash.get().normalize(),
            equity: summary.equity.get().normalize(),
            buying_power: summary.buying_power.get().normalize(),
            positions_value: summary.positions_value.get().normalize(),
            day_pnl: summary.day_pnl.get().normalize(),
            unrealized_pnl: summary.unrealized.get().normalize(),
            realized_pnl: summary.realized.get().normalize(),
            currency: "USD",
            as_of: moment(as_of),
        }
    }

    /// Adds a user's default account up at the latest prices of its broker.
    #[must_use]
    pub(crate) fn now(user: &UserState, engine: &Engine, now: DateTime<Utc>) -> Self {
        let market = engine.market_of(user);
        Self::of(&user.summary(now, |symbol| Some(market.quote(symbol)?.price)), now)
    }
}

impl<'a> Position<'a> {
    /// Words a position at a price.
    #[must_use]
    pub(crate) fn of(held: &'a position::Position, price: Option<Price>) -> Self {
        let unrealized = price.map(|price| held.unrealized(price).get().normalize());
        let share = |gain: Decimal| gain.checked_div(held.cost.get().abs());
        Self {
            symbol: held.symbol.as_str(),
            quantity: held.net.size().get().normalize(),
            side: if held.net.is_short() { "short" } else { "long" },
            average_price: held.avg_px().map(|price| price.get().normalize()),
            price: price.map(|price| price.get().normalize()),
            market_value: price.map(|price| held.net.value(price).get().normalize()),
            unrealized_pnl: unrealized,
            unrealized_pnl_pct: unrealized
                .and_then(share)
                .map(|share| share.saturating_mul(Decimal::ONE_HUNDRED).round_dp(4).normalize()),
            realized_pnl: held.realized.get().normalize(),
            opened_at: moment(held.opened_at),
            connection_id: held.connection.uuid(),
            guard: None,
        }
    }

    /// Words a position with what protects it.
    #[must_use]
    pub(crate) fn with(held: &'a position::Position, price: Option<Price>, user: &'a UserState) -> Self {
        let known = user.connections.iter().find(|known| known.id == held.connection);
        let broker = known.map_or("", |known| known.broker.as_str());
        let guard = Guard::of(broker, user.protection(held.connection, held.symbol));
        Self { guard: Some(guard), ..Self::of(held, price) }
    }

    /// Words a position as a push shows it.
    #[must_use]
    pub(crate) fn shown(shown: &'a Shown) -> Self {
        let guard = Guard::of(&shown.broker, shown.protection.as_ref());
        Self { guard: Some(guard), ..Self::of(&shown.position, shown.price) }
    }

    /// Words a user's open positions, each at the latest price of its own broker.
    #[must_use]
    pub(crate) fn all(user: &'a UserState, engine: &Engine) -> Vec<Self> {
        let price = |held: &position::Position| engine.price(user, held.connection, held.symbol);
        user.positions.iter().map(|held| Self::with(held, price(held), user)).collect()
    }
}

impl<'a> Quote<'a> {
    /// Words a price.
    #[must_use]
    pub(crate) fn of(quote: &'a portfolio::Quote) -> Self {
        Self {
            symbol: quote.symbol.as_str(),
            price: quote.price.get().normalize(),
            bid: quote.bid.get().normalize(),
            ask: quote.ask.get().normalize(),
            change_pct: quote.change_pct.get().round_dp(4).normalize(),
            at: moment(quote.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use trade_actors::domain::ids::ConnectionId;
    use trade_actors::domain::money::{Money, Net};
    use uuid::Uuid;

    use super::super::trade::tests::{at, dec, price};
    use super::*;

    pub(crate) fn short() -> position::Position {
        position::Position {
            connection: ConnectionId::new(Uuid::from_u128(2)),
            symbol: "BTC/USDT".parse().unwrap(),
            net: Net::new(dec("-0.5")),
            cost: Money::new(dec("-30000")),
            realized: Money::new(dec("12.50")),
            opened_at: at(0),
        }
    }

    #[test]
    fn a_short_position_gains_when_the_price_falls() {
        insta::assert_json_snapshot!(Position::of(&short(), Some(price("59000"))), @r#"
        {
          "symbol": "BTC/USDT",
          "quantity": "0.5",
          "side": "short",
          "average_price": "60000",
          "price": "59000",
          "market_value": "-29500",
          "unrealized_pnl": "500",
          "unrealized_pnl_pct": "1.6667",
          "realized_pnl": "12.5",
          "opened_at": "2026-01-05T14:30:00Z",
          "connection_id": "00000000-0000-0000-0000-000000000002"
        }
        "#);
    }

    #[test]
    fn a_position_without_a_price_claims_no_value() {
        let held = short();
        let said = Position::of(&held, None);
        assert_eq!((said.price, said.market_value, said.unrealized_pnl), (None, None, None));
    }
}
