//! The socket's messages: each [`Push`] under its outside name, in its envelope.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use trade_actors::domain::event::Scope;
use trade_actors::domain::ids::ClientOrderId;
use trade_actors::domain::money::Price;
use trade_actors::domain::push::{Body, Notification, PositionKind, Push, TradeKind};
use uuid::Uuid;

use super::people::cause_word;
use super::{Fill, Portfolio, PortfolioUpdate, Position, Quote, Signal, Trade, moment};

/// Version of the envelope.
const VERSION: u8 = 1;

#[derive(Serialize)]
struct Envelope<'a, T> {
    v: u8,
    seq: u64,
    ts: DateTime<Utc>,
    #[serde(rename = "type")]
    kind: &'a str,
    data: T,
}

#[derive(Serialize)]
struct TradeData<'a> {
    #[serde(flatten)]
    trade: Trade<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fill: Option<Fill<'a>>,
}

#[derive(Serialize)]
struct RiskData<'a> {
    scope: &'a str,
    by: &'a str,
    reason: &'a str,
    at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trade_id: Option<Uuid>,
}

#[derive(Serialize)]
struct NotificationData<'a> {
    #[serde(flatten)]
    notification: &'a Notification,
    at: DateTime<Utc>,
}

#[derive(Serialize)]
struct BalanceData {
    connection_id: Uuid,
    cash: Decimal,
    equity: Decimal,
    buying_power: Decimal,
    as_of: DateTime<Utc>,
}

/// Puts data into an envelope.
#[must_use]
pub(crate) fn envelope(kind: &str, seq: u64, ts: DateTime<Utc>, data: &impl Serialize) -> String {
    let envelope = Envelope { v: VERSION, seq, ts: moment(ts), kind, data };
    serde_json::to_string(&envelope).unwrap_or_else(|error| {
        tracing::error!(%error, kind, "a message could not be rendered");
        format!(r#"{{"v":{VERSION},"seq":{seq},"type":"connection.error","data":{{"code":"INTERNAL"}}}}"#)
    })
}

/// Renders a message; `seq` is the user's count as this socket has it, `price` that of a position which tells none.
#[must_use]
pub(crate) fn render(push: &Push, seq: u64, price: Option<Price>) -> String {
    let (kind, at) = (kind(&push.body), moment(push.at));
    let send = |data: &dyn erased::Data| data.envelope(kind, seq, at);
    match &push.body {
        Body::Trade { order, fill, .. } => {
            send(&TradeData { trade: Trade::of(order), fill: fill.as_ref().map(Fill::of) })
        }
        Body::Position { position, .. } => send(&Position::of(position, price)),
        Body::Signal { row, .. } => send(&Signal::of(row)),
        Body::Trading { scope, by, reason, cause, until, .. } => send(&RiskData {
            scope: word(*scope),
            by,
            reason,
            at,
            cause: cause.map(cause_word),
            until: *until,
            message: None,
            trade_id: None,
        }),
        Body::Resized { order, message } => send(&RiskData {
            scope: word(Scope::User),
            by: "risk",
            reason: message,
            at,
            cause: None,
            until: None,
            message: Some(message),
            trade_id: Some(order.ticket.id.uuid()),
        }),
        Body::Notification(notification) => send(&NotificationData { notification, at }),
        Body::Balance { connection, balance } => send(&BalanceData {
            connection_id: connection.uuid(),
            cash: balance.cash.get().normalize(),
            equity: balance.equity.get().normalize(),
            buying_power: balance.buying_power.get().normalize(),
            as_of: moment(balance.at),
        }),
        Body::Portfolio { summary, positions } => send(&PortfolioUpdate {
            portfolio: Portfolio::of(summary, at),
            positions: positions.iter().map(Position::shown).collect(),
        }),
        Body::Quote(quote) => send(&Quote::of(quote)),
    }
}

/// Returns the order whose fill a message tells of.
#[must_use]
pub(crate) fn is_fill(body: &Body) -> Option<ClientOrderId> {
    match body {
        Body::Trade { kind: TradeKind::Filled | TradeKind::Partial, order, .. } => Some(order.ticket.id),
        Body::Trade { .. }
        | Body::Position { .. }
        | Body::Signal { .. }
        | Body::Trading { .. }
        | Body::Resized { .. }
        | Body::Notification(_)
        | Body::Balance { .. }
        | Body::Portfolio { .. }
        | Body::Quote(_) => None,
    }
}

/// Returns a message's outside name.
#[must_use]
const fn kind(body: &Body) -> &'static str {
    match body {
        Body::Trade { kind, .. } => match kind {
            TradeKind::Created => "trade.created",
            TradeKind::Submitted => "trade.submitted",
            TradeKind::Partial => "trade.partial",
            TradeKind::Filled => "trade.filled",
            TradeKind::Cancelled => "trade.cancelled",
            TradeKind::Rejected => "trade.rejected",
            TradeKind::Failed => "trade.failed",
            TradeKind::Updated => "trade.updated",
        },
        Body::Position { kind, .. } => match kind {
            PositionKind::Opened => "portfolio.position.opened",
            PositionKind::Closed => "portfolio.position.closed",
            PositionKind::Modified => "portfolio.position.modified",
        },
        Body::Signal { rejected: true, .. } => "signal.rejected",
        Body::Signal { rejected: false, .. } => "signal.received",
        Body::Trading { halted: true, .. } => "risk.halted",
        Body::Trading { halted: false, .. } => "risk.resumed",
        Body::Resized { .. } => "risk.resized",
        Body::Notification(_) => "notification",
        Body::Balance { .. } => "portfolio.balance",
        Body::Portfolio { .. } => "portfolio.updated",
        Body::Quote(_) => "market.quote",
    }
}

const fn word(scope: Scope) -> &'static str {
    match scope {
        Scope::User => "user",
        Scope::Global => "global",
    }
}

/// Lets one closure put any of our shapes into an envelope.
mod erased {
    use chrono::{DateTime, Utc};
    use serde::Serialize;

    pub(super) trait Data {
        fn envelope(&self, kind: &str, seq: u64, at: DateTime<Utc>) -> String;
    }

    impl<T: Serialize> Data for T {
        fn envelope(&self, kind: &str, seq: u64, at: DateTime<Utc>) -> String {
            super::envelope(kind, seq, at, self)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use trade_actors::domain::event::HaltCause;
    use trade_actors::domain::feed::Outcome;
    use trade_actors::domain::ids::{ConnectionId, UserId};
    use trade_actors::domain::money::{Money, Net};
    use trade_actors::domain::position;
    use trade_actors::domain::push::NotificationLevel;

    use super::super::signal::tests::row;
    use super::super::trade::tests::{at, dec, fill, order};
    use super::*;

    fn said(body: Body) -> serde_json::Value {
        let push = Push { user: UserId::new(Uuid::nil()), seq: 7, at: at(2), body };
        serde_json::from_str(&render(&push, 7, None)).unwrap()
    }

    #[test]
    fn a_fill_is_the_whole_trade_and_the_execution() {
        let body = Body::Trade { kind: TradeKind::Partial, order: Arc::new(order()), fill: Some(fill()) };
        assert_eq!(is_fill(&body), Some(order().ticket.id));
        let said = said(body);
        assert_eq!(
            (&said["v"], &said["seq"], &said["type"]),
            (&1.into(), &7.into(), &"trade.partial".into())
        );
        assert_eq!(said["ts"], "2026-01-05T14:30:02Z");
        assert_eq!(said["data"]["status"], "partial_fill");
        insta::assert_json_snapshot!(said["data"]["fill"], @r#"
        {
          "at": "2026-01-05T14:30:01Z",
          "execution_id": "e-1",
          "fee": "0",
          "fee_quantity": "0",
          "price": "175.2",
          "quantity": "4"
        }
        "#);
    }

    #[test]
    fn a_halt_says_who_stopped_what_and_why() {
        let body = Body::Trading {
            halted: true,
            scope: Scope::Global,
            by: "Ada".to_owned(),
            reason: "news".to_owned(),
            cause: Some(HaltCause::Person),
            until: None,
        };
        insta::assert_json_snapshot!(said(body), @r#"
        {
          "data": {
            "at": "2026-01-05T14:30:02Z",
            "by": "Ada",
            "cause": "person",
            "reason": "news",
            "scope": "global"
          },
          "seq": 7,
          "ts": "2026-01-05T14:30:02Z",
          "type": "risk.halted",
          "v": 1
        }
        "#);
    }

    #[test]
    fn a_notification_is_flat_and_a_closed_position_keeps_its_profit() {
        let level = NotificationLevel::Warning;
        let note = Notification { level, title: "T".to_owned(), message: "M".to_owned() };
        let said_note = said(Body::Notification(note));
        assert_eq!(said_note["data"]["level"], "warning");
        assert_eq!(said_note["data"]["title"], "T");

        let closed = position::Position {
            connection: ConnectionId::new(Uuid::nil()),
            symbol: "AAPL".parse().unwrap(),
            net: Net::FLAT,
            cost: Money::ZERO,
            realized: Money::new(dec("120.50")),
            opened_at: at(0),
        };
        let body =
            Body::Position { kind: PositionKind::Closed, position: closed, realized: Money::new(dec("20")) };
        let said = said(body);
        assert_eq!(
            (&said["type"], &said["data"]["realized_pnl"]),
            (&"portfolio.position.closed".into(), &"120.5".into())
        );
        assert_eq!(said["data"]["quantity"], "0");
    }

    #[test]
    fn a_signal_is_told_without_its_body() {
        let said = said(Body::Signal { row: Arc::new(row(Outcome::Pending)), rejected: false });
        assert_eq!((&said["type"], &said["data"]["outcome"]), (&"signal.received".into(), &"pending".into()));
        assert!(said["data"].get("excerpt").is_none());
    }
}
