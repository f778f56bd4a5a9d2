//! The signal feed: what arrived, and what became of it.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use trade_actors::domain::feed::{FeedRow, Outcome};
use trade_actors::domain::ids::ClientOrderId;
use utoipa::ToSchema;
use uuid::Uuid;

use super::moment;

/// A delivery.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Signal<'a> {
    /// The signal's id; of a delivery that could not be read, its place in the log.
    pub(crate) id: String,
    /// From which source.
    pub(crate) source: Uuid,
    /// By which door: `tradingview` or `manual`.
    #[schema(example = "tradingview")]
    pub(crate) origin: &'static str,
    /// When it was received.
    pub(crate) received_at: DateTime<Utc>,
    /// In what; null when it could not be read.
    pub(crate) symbol: Option<&'a str>,
    /// `buy`, `sell`, `close` or `modify` (the stop or the targets of a position).
    pub(crate) action: Option<&'static str>,
    /// How much; null when the risk settings size the order.
    pub(crate) quantity: Option<Decimal>,
    /// How.
    pub(crate) order_type: Option<&'static str>,
    /// `pending`, `accepted`, `rejected` (denied by a rule, or ended undone at the broker) or `refused`
    /// (not understood).
    pub(crate) outcome: &'static str,
    /// Stable code of a refusal.
    pub(crate) code: Option<&'a str>,
    /// Why it was refused; of one that changed a position's stop or targets, what they are now.
    pub(crate) reason: Option<&'a str>,
    /// The order it became.
    pub(crate) order_id: Option<Uuid>,
    /// How often the same delivery came again.
    pub(crate) repeats: u32,
    /// The body, shortened, secrets masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) excerpt: Option<&'a str>,
}

impl<'a> Signal<'a> {
    /// Words a row of the feed, without the body.
    #[must_use]
    pub(crate) fn of(row: &'a FeedRow) -> Self {
        let (outcome, code, reason, order) = match &row.outcome {
            Outcome::Pending => ("pending", None, None, None),
            Outcome::Applied { detail } => ("accepted", None, Some(detail.as_str()), None),
            Outcome::Accepted { order } => ("accepted", None, None, Some(order.uuid())),
            Outcome::Rejected { order, code, reason } => {
                ("rejected", Some(code.as_str()), Some(reason.as_str()), order.map(ClientOrderId::uuid))
            }
            Outcome::Refused { code, reason } => {
                ("refused", Some(code.as_str()), Some(reason.as_str()), None)
            }
        };
        let said = row.instruction.as_ref();
        Self {
            id: row.signal.map_or_else(|| format!("refused-{}", row.seq), |signal| signal.to_string()),
            source: row.source.uuid(),
            origin: row.origin.as_str(),
            received_at: moment(row.received_at),
            symbol: said.map(|said| said.symbol.as_str()),
            action: said.map(|said| said.action.as_str()),
            quantity: said.and_then(|said| said.quantity).map(|quantity| quantity.get().normalize()),
            order_type: said.map(|said| said.kind.as_str()),
            outcome,
            code,
            reason,
            order_id: order,
            repeats: row.repeats,
            excerpt: None,
        }
    }

    /// Words a row of the feed with the body.
    #[must_use]
    pub(crate) fn with_excerpt(row: &'a FeedRow) -> Self {
        Self { excerpt: Some(&row.excerpt), ..Self::of(row) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use trade_actors::domain::ids::{ClientOrderId, SignalId, SourceId};
    use trade_actors::domain::signal::{Action, Instruction, OrderKind, Origin};

    use super::super::trade::tests::{at, quantity};
    use super::*;

    pub(crate) fn row(outcome: Outcome) -> FeedRow {
        FeedRow {
            seq: 9,
            signal: Some(SignalId::new(Uuid::from_u128(3))),
            source: SourceId::new(Uuid::from_u128(5)),
            origin: Origin::Tradingview,
            received_at: at(0),
            instruction: Some(Instruction {
                action: Action::Close { fraction: None, holding: None },
                symbol: "AAPL".parse().unwrap(),
                quantity: Some(quantity("1.50")),
                kind: OrderKind::Market,
                reference: None,
                stop_loss: None,
                take_profits: Vec::new(),
                account: None,
                via: None,
                leverage: None,
            }),
            outcome,
            repeats: 2,
            excerpt: "{}".to_owned(),
        }
    }

    #[test]
    fn a_denied_signal_says_why_and_names_its_order() {
        let order = ClientOrderId::new(Uuid::from_u128(4));
        let row = row(Outcome::Rejected {
            order: Some(order),
            code: "MARKET_CLOSED".to_owned(),
            reason: "closed".to_owned(),
        });
        insta::assert_json_snapshot!(Signal::with_excerpt(&row), @r#"
        {
          "id": "00000000-0000-0000-0000-000000000003",
          "source": "00000000-0000-0000-0000-000000000005",
          "origin": "tradingview",
          "received_at": "2026-01-05T14:30:00Z",
          "symbol": "AAPL",
          "action": "close",
          "quantity": "1.5",
          "order_type": "market",
          "outcome": "rejected",
          "code": "MARKET_CLOSED",
          "reason": "closed",
          "order_id": "00000000-0000-0000-0000-000000000004",
          "repeats": 2,
          "excerpt": "{}"
        }
        "#);
    }

    #[test]
    fn an_unreadable_delivery_has_an_id_of_its_own() {
        let refused = Outcome::Refused { code: "INVALID_JSON".to_owned(), reason: "no".to_owned() };
        let row = FeedRow { signal: None, instruction: None, ..row(refused) };
        let said = Signal::of(&row);
        assert_eq!(
            (said.id.as_str(), said.outcome, said.symbol, said.excerpt),
            ("refused-9", "refused", None, None)
        );
    }
}
