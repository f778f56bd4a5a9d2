//! Trades: an order and what became of it, in short.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use trade_actors::domain::order::{self, Order, OrderStatus};
use utoipa::ToSchema;
use uuid::Uuid;

use super::moment;

/// A trade.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Trade<'a> {
    /// Its id; also the client order id.
    pub(crate) id: Uuid,
    /// The signal that asked for it; absent for a stop, a target or an exit, which follow from a position.
    pub(crate) signal_id: Option<Uuid>,
    /// The signal that opened the position, where the order protects or leaves one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) position_signal_id: Option<Uuid>,
    /// The id told to the broker.
    pub(crate) client_order_id: Uuid,
    /// In what.
    #[schema(example = "AAPL")]
    pub(crate) symbol: &'a str,
    /// `buy` or `sell`.
    #[schema(example = "buy")]
    pub(crate) side: &'static str,
    /// `market`, `limit`, `stop`, `stop_limit`, `trailing_stop` or `oco` (a target and a stop, of which one happens).
    #[schema(example = "market")]
    pub(crate) order_type: &'static str,
    /// How much was ordered, after the risk rules.
    pub(crate) quantity: Decimal,
    /// How much is done.
    pub(crate) filled_quantity: Decimal,
    /// Worst price, if one was set.
    pub(crate) limit_price: Option<Decimal>,
    /// Price that wakes the order, if one was set.
    pub(crate) stop_price: Option<Decimal>,
    /// `day`, `gtc`, `ioc` or `fok`.
    pub(crate) time_in_force: &'static str,
    /// `signal`, `protection` (a stop or target of a position) or `exit` (a level was reached, or a limit).
    #[schema(example = "signal")]
    pub(crate) purpose: &'static str,
    /// When a queued order is looked at again, as far as that is known.
    pub(crate) queued_until: Option<DateTime<Utc>>,
    /// Average price of what is done.
    pub(crate) average_price: Option<Decimal>,
    /// `pending`, `queued`, `submitted`, `partial_fill`, `filled`, `cancelled`, `rejected`, `expired`, `failed` or
    /// `unknown`.
    #[schema(example = "filled")]
    pub(crate) status: &'static str,
    /// At which broker.
    #[schema(example = "paper")]
    pub(crate) broker: &'a str,
    /// `paper` or `live`.
    #[schema(example = "paper")]
    pub(crate) mode: &'static str,
    /// Stable code of a refusal.
    pub(crate) code: Option<&'a str>,
    /// Why it ended as it did.
    pub(crate) reason: Option<&'a str>,
    /// When it was decided.
    pub(crate) created_at: DateTime<Utc>,
    /// When it last changed.
    pub(crate) updated_at: DateTime<Utc>,
}

/// One execution.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Fill<'a> {
    /// The broker's id of it.
    pub(crate) execution_id: &'a str,
    /// How much.
    pub(crate) quantity: Decimal,
    /// At what price.
    pub(crate) price: Decimal,
    /// What the broker charged in money.
    pub(crate) fee: Decimal,
    /// How much of what was bought the broker kept as its fee.
    pub(crate) fee_quantity: Decimal,
    /// When, by the broker's clock.
    pub(crate) at: DateTime<Utc>,
}

impl<'a> Trade<'a> {
    /// Words an order.
    #[must_use]
    pub(crate) fn of(order: &'a Order) -> Self {
        let ticket = &order.ticket;
        let own = ticket.purpose == order::Purpose::Signal;
        Self {
            id: ticket.id.uuid(),
            signal_id: own.then(|| ticket.signal.uuid()),
            position_signal_id: (!own).then(|| ticket.signal.uuid()),
            client_order_id: ticket.id.uuid(),
            symbol: ticket.symbol.as_str(),
            side: ticket.side.as_str(),
            order_type: ticket.kind.as_str(),
            quantity: ticket.quantity.get().normalize(),
            filled_quantity: order.cum_qty.get().normalize(),
            limit_price: ticket.kind.limit().map(|price| price.get().normalize()),
            stop_price: ticket.kind.trigger().map(|price| price.get().normalize()),
            time_in_force: ticket.time_in_force.as_str(),
            purpose: match ticket.purpose {
                order::Purpose::Signal => "signal",
                order::Purpose::Protection { .. } => "protection",
                order::Purpose::Exit { .. } => "exit",
            },
            queued_until: order.queued.and_then(|queued| queued.until),
            average_price: order.avg_px().map(|price| price.get().normalize()),
            status: status(order),
            broker: &order.broker,
            mode: order.mode.as_str(),
            code: order.code.as_deref(),
            reason: order.reason.as_deref(),
            created_at: order.created_at,
            updated_at: order.updated_at,
        }
    }
}

impl<'a> Fill<'a> {
    /// Words an execution.
    #[must_use]
    pub(crate) fn of(fill: &'a order::Fill) -> Self {
        Self {
            execution_id: fill.execution.as_str(),
            quantity: fill.quantity.get().normalize(),
            price: fill.price.get().normalize(),
            fee: fill.fee.get().normalize(),
            fee_quantity: fill.kept.get().normalize(),
            at: moment(fill.at),
        }
    }
}

/// Returns the outside's word for where an order stands.
pub(super) fn status(order: &Order) -> &'static str {
    match order.status {
        OrderStatus::Pending => "pending",
        OrderStatus::Queued => "queued",
        OrderStatus::Unknown => "unknown",
        OrderStatus::Accepted => "submitted",
        OrderStatus::PartiallyFilled => "partial_fill",
        OrderStatus::PendingCancel if order.cum_qty.is_zero() => "submitted",
        OrderStatus::PendingCancel => "partial_fill",
        OrderStatus::Filled => "filled",
        OrderStatus::Canceled => "cancelled",
        OrderStatus::Rejected => "rejected",
        OrderStatus::Expired => "expired",
        OrderStatus::Failed => "failed",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use trade_actors::domain::ids::{ClientOrderId, ConnectionId, ExecutionId, SignalId, UserId};
    use trade_actors::domain::money::{Money, Price, Quantity};
    use trade_actors::domain::order::{Mode, Purpose, Ticket, TimeInForce};
    use trade_actors::domain::risk::Decision;
    use trade_actors::domain::signal::{OrderKind, Origin, Side};
    use trade_actors::domain::stages::{Stages, Stamp};

    use super::*;

    pub(crate) fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    pub(crate) fn price(text: &str) -> Price {
        Price::new(dec(text)).unwrap()
    }

    pub(crate) fn quantity(text: &str) -> Quantity {
        Quantity::new(dec(text)).unwrap()
    }

    pub(crate) fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_623_400 + second, 0).unwrap()
    }

    pub(crate) fn order() -> Order {
        Order {
            ticket: Ticket {
                id: ClientOrderId::new(Uuid::from_u128(4)),
                user: UserId::new(Uuid::from_u128(1)),
                signal: SignalId::new(Uuid::from_u128(3)),
                origin: Origin::Tradingview,
                connection: ConnectionId::new(Uuid::from_u128(2)),
                symbol: "AAPL".parse().unwrap(),
                side: Side::Buy,
                quantity: quantity("10"),
                kind: OrderKind::StopLimit { trigger: price("170.5"), limit: price("175.00") },
                time_in_force: TimeInForce::Day,
                extended_hours: false,
                purpose: Purpose::Signal,
                reduces: false,
                stop_loss: None,
                take_profits: Vec::new(),
            },
            broker: "paper".to_owned(),
            mode: Mode::Paper,
            decision: Decision { requested: Some(quantity("12")), ..Decision::default() },
            status: OrderStatus::PartiallyFilled,
            queued: None,
            broker_order: None,
            cum_qty: quantity("4"),
            cum_cost: Money::new(dec("700.8000")),
            executions: Vec::new(),
            code: None,
            reason: None,
            created_at: at(0),
            updated_at: at(1),
            stages: Stages { received: Some(Stamp(1_000)), decided: Some(Stamp(1_400)), ..Stages::default() },
            history: Vec::new(),
        }
    }

    pub(crate) fn fill() -> order::Fill {
        order::Fill {
            execution: ExecutionId::new("e-1"),
            quantity: quantity("4"),
            price: price("175.20"),
            fee: Money::ZERO,
            kept: Quantity::ZERO,
            at: at(1),
        }
    }

    #[test]
    fn a_trade_has_the_shape_that_clients_know() {
        let order = order();
        insta::assert_json_snapshot!(Trade::of(&order), @r#"
        {
          "id": "00000000-0000-0000-0000-000000000004",
          "signal_id": "00000000-0000-0000-0000-000000000003",
          "client_order_id": "00000000-0000-0000-0000-000000000004",
          "symbol": "AAPL",
          "side": "buy",
          "order_type": "stop_limit",
          "quantity": "10",
          "filled_quantity": "4",
          "limit_price": "175",
          "stop_price": "170.5",
          "time_in_force": "day",
          "purpose": "signal",
          "queued_until": null,
          "average_price": "175.2",
          "status": "partial_fill",
          "broker": "paper",
          "mode": "paper",
          "code": null,
          "reason": null,
          "created_at": "2026-01-05T14:30:00Z",
          "updated_at": "2026-01-05T14:30:01Z"
        }
        "#);
    }

    #[test]
    fn an_order_being_cancelled_still_works_outside() {
        let mut order = order();
        order.status = OrderStatus::PendingCancel;
        assert_eq!(status(&order), "partial_fill");
        order.cum_qty = Quantity::ZERO;
        assert_eq!(status(&order), "submitted");
    }
}
