//! One trade in full: what the signal said, what was decided, each attempt to send it, each fill, and how fast it was.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use trade_actors::domain::feed::SignalEntry;
use trade_actors::domain::order::{self, Order, OrderStep};
use trade_actors::domain::risk::Decision;
use trade_actors::domain::signal::Level;
use trade_actors::domain::stages::{Stages, Stamp};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Fill, Trade, moment};

/// A trade with all that is known of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TradeDetail<'a> {
    /// The trade.
    #[serde(flatten)]
    pub(crate) trade: Trade<'a>,
    /// What the signal said; null for a stop, a target or an exit, which follow from a position.
    pub(crate) signal: Option<Said<'a>>,
    /// What was to be done, once the risk rules had decided.
    pub(crate) intent: Intent<'a>,
    /// Each attempt to hand the order to the broker, oldest first; empty: it never got that far.
    pub(crate) attempts: Vec<Attempt>,
    /// Each execution, oldest first.
    pub(crate) fills: Vec<Fill<'a>>,
    /// When each stage was passed, in microseconds after the signal was received.
    pub(crate) stages: BTreeMap<&'static str, u64>,
    /// How long each stage took, in microseconds since the one passed before it.
    pub(crate) latencies: BTreeMap<&'static str, u64>,
    /// All that happened, oldest first.
    pub(crate) history: Vec<HistoryLine<'a>>,
    /// The numbers of the risk decision.
    #[schema(value_type = Object)]
    pub(crate) decision: &'a Decision,
}

/// What a signal said, before any rule was asked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Said<'a> {
    /// The signal's id.
    pub(crate) id: Uuid,
    /// From which source.
    pub(crate) source: Uuid,
    /// By which door: `tradingview` or `manual`.
    #[schema(example = "tradingview")]
    pub(crate) origin: &'static str,
    /// When its last byte was read.
    pub(crate) received_at: DateTime<Utc>,
    /// In what.
    #[schema(example = "AAPL")]
    pub(crate) symbol: &'a str,
    /// `buy`, `sell` or `close`.
    #[schema(example = "buy")]
    pub(crate) action: &'static str,
    /// How much; null when the risk settings size the order.
    pub(crate) quantity: Option<Decimal>,
    /// How.
    #[schema(example = "market")]
    pub(crate) order_type: &'static str,
    /// Worst price, if one was named.
    pub(crate) limit_price: Option<Decimal>,
    /// Price that wakes the order, if one was named.
    pub(crate) stop_price: Option<Decimal>,
    /// Where it says to leave with a loss.
    #[schema(value_type = Option<Object>)]
    pub(crate) stop_loss: Option<&'a Level>,
    /// Where it says to leave with a profit, in order.
    #[schema(value_type = Vec<Object>)]
    pub(crate) take_profits: &'a [Level],
    /// Which account it names; null: the default one.
    pub(crate) account: Option<Uuid>,
    /// The body, shortened, secrets masked.
    pub(crate) excerpt: &'a str,
}

/// An order as it was, or was to be, sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Intent<'a> {
    /// When it was decided and durable.
    pub(crate) decided_at: DateTime<Utc>,
    /// `buy` or `sell`.
    #[schema(example = "buy")]
    pub(crate) side: &'static str,
    /// How much.
    pub(crate) quantity: Decimal,
    /// How.
    #[schema(example = "market")]
    pub(crate) order_type: &'static str,
    /// Worst price, if one was set.
    pub(crate) limit_price: Option<Decimal>,
    /// Price that wakes the order, if one was set.
    pub(crate) stop_price: Option<Decimal>,
    /// `day`, `gtc`, `ioc` or `fok`.
    #[schema(example = "day")]
    pub(crate) time_in_force: &'static str,
    /// Whether it may execute before and after the regular session.
    pub(crate) extended_hours: bool,
    /// Whether it may only reduce a position.
    pub(crate) reduces: bool,
    /// Where the position is to be left with a loss.
    #[schema(value_type = Option<Object>)]
    pub(crate) stop_loss: Option<&'a Level>,
    /// Where the position is to be left with a profit, in order.
    #[schema(value_type = Vec<Object>)]
    pub(crate) take_profits: &'a [Level],
}

/// One attempt to hand an order to its broker.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Attempt {
    /// Which it is; the first is 1.
    pub(crate) number: u32,
    /// When the order was handed over; null where the engine ended before that was recorded.
    pub(crate) sent_at: Option<DateTime<Utc>>,
    /// When the answer came, or what came instead of one; null as `sent_at`.
    pub(crate) answered_at: Option<DateTime<Utc>>,
    /// From one to the other, in microseconds.
    pub(crate) latency_us: Option<u64>,
    /// `accepted`, `rejected`, `not_received` (it provably never arrived), `unknown` (the answer was lost, and the broker
    /// is being asked), `found` (the answer was lost, and the broker has the order) or `not_found` (it has not).
    #[schema(example = "accepted")]
    pub(crate) outcome: &'static str,
    /// Stable code of a refusal.
    pub(crate) code: Option<String>,
    /// The answer, in words.
    pub(crate) detail: String,
    /// When the fate of an attempt without an answer was known.
    pub(crate) settled_at: Option<DateTime<Utc>>,
}

/// A line of a trade's history.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryLine<'a> {
    /// When.
    pub(crate) at: DateTime<Utc>,
    /// What happened.
    pub(crate) event: &'a str,
    /// In words.
    pub(crate) detail: &'a str,
}

impl<'a> TradeDetail<'a> {
    /// Words an order with its flight recorder; `pushed` is when its fill was first on a screen.
    #[must_use]
    pub(crate) fn of(order: &'a Order, signal: Option<&'a SignalEntry>, pushed: Option<Stamp>) -> Self {
        let lines = order.history.iter();
        let history = lines
            .clone()
            .map(|line| HistoryLine { at: line.at, event: &line.event, detail: &line.detail })
            .collect();
        let fills = lines.filter_map(|line| match &line.step {
            Some(OrderStep::Filled { fill }) => Some(Fill::of(fill)),
            Some(_) | None => None,
        });
        let passed = passed(&order.stages, pushed);
        let trade = Trade::of(order);
        Self {
            signal: signal.filter(|_| trade.signal_id.is_some()).map(Said::of),
            trade,
            intent: Intent::of(order),
            attempts: order::attempts(&order.history).into_iter().map(Attempt::of).collect(),
            fills: fills.collect(),
            stages: offsets(&passed, order.stages.received),
            latencies: latencies(passed),
            history,
            decision: &order.decision,
        }
    }
}

impl<'a> Said<'a> {
    fn of(entry: &'a SignalEntry) -> Self {
        let said = &entry.signal.instruction;
        Self {
            id: entry.signal.id.uuid(),
            source: entry.signal.source.uuid(),
            origin: entry.signal.origin.as_str(),
            received_at: moment(entry.signal.received_at),
            symbol: said.symbol.as_str(),
            action: said.action.as_str(),
            quantity: said.quantity.map(|quantity| quantity.get().normalize()),
            order_type: said.kind.as_str(),
            limit_price: said.kind.limit().map(|price| price.get().normalize()),
            stop_price: said.kind.trigger().map(|price| price.get().normalize()),
            stop_loss: said.stop_loss.as_ref(),
            take_profits: &said.take_profits,
            account: said.account.map(|account| account.uuid()),
            excerpt: &entry.excerpt,
        }
    }
}

impl<'a> Intent<'a> {
    fn of(order: &'a Order) -> Self {
        let ticket = &order.ticket;
        Self {
            decided_at: moment(order.created_at),
            side: ticket.side.as_str(),
            quantity: ticket.quantity.get().normalize(),
            order_type: ticket.kind.as_str(),
            limit_price: ticket.kind.limit().map(|price| price.get().normalize()),
            stop_price: ticket.kind.trigger().map(|price| price.get().normalize()),
            time_in_force: ticket.time_in_force.as_str(),
            extended_hours: ticket.extended_hours,
            reduces: ticket.reduces,
            stop_loss: ticket.stop_loss.as_ref(),
            take_profits: &ticket.take_profits,
        }
    }
}

impl Attempt {
    fn of(attempt: order::Attempt) -> Self {
        Self {
            number: attempt.number,
            sent_at: attempt.sent_at.map(moment),
            answered_at: attempt.answered_at.map(moment),
            latency_us: attempt.latency_us,
            outcome: attempt.outcome.as_str(),
            code: attempt.code,
            detail: attempt.detail,
            settled_at: attempt.settled_at.map(moment),
        }
    }
}

fn passed(stages: &Stages, pushed: Option<Stamp>) -> Vec<(&'static str, Stamp)> {
    stages.passed().chain(pushed.map(|at| ("pushed", at))).collect()
}

fn offsets(passed: &[(&'static str, Stamp)], received: Option<Stamp>) -> BTreeMap<&'static str, u64> {
    let start = received.or_else(|| passed.iter().map(|(_, at)| *at).min());
    passed.iter().filter_map(|(name, at)| start.map(|start| (*name, at.since(start)))).collect()
}

/// Returns how long each stage took. A fill can overtake the answer to its order, so time decides what went before.
fn latencies(mut passed: Vec<(&'static str, Stamp)>) -> BTreeMap<&'static str, u64> {
    passed.sort_by_key(|(_, at)| *at);
    let before = passed.clone();
    before.iter().zip(passed.iter().skip(1)).map(|((_, from), (name, to))| (*name, to.since(*from))).collect()
}

#[cfg(test)]
mod tests {
    use trade_actors::domain::ids::{BrokerOrderId, SignalId, SourceId};
    use trade_actors::domain::order::HistoryLine as Line;
    use trade_actors::domain::signal::{Action, DeliveryKey, Instruction, Origin, Signal};

    use super::super::trade::tests::{at, fill, order, price, quantity};
    use super::*;

    fn line(second: i64, event: &str, step: Option<OrderStep>, stages: Stages) -> Line {
        Line { seq: 7, at: at(second), event: event.to_owned(), detail: String::new(), step, stages }
    }

    fn entry(order: &Order) -> SignalEntry {
        let instruction = Instruction {
            action: Action::Buy,
            symbol: order.ticket.symbol,
            quantity: Some(quantity("12.0")),
            kind: order.ticket.kind,
            reference: None,
            stop_loss: Some(Level::At(price("165"))),
            take_profits: Vec::new(),
            via: None,
            leverage: None,
            account: None,
        };
        let signal = Signal {
            id: SignalId::new(Uuid::from_u128(3)),
            source: SourceId::new(Uuid::from_u128(5)),
            origin: Origin::Tradingview,
            received_at: at(0),
            delivery: DeliveryKey::Named(1),
            instruction,
        };
        let excerpt = "{}".to_owned();
        SignalEntry { signal, owner: order.ticket.user, seq: 6, recipients: 1, decided: 1, excerpt }
    }

    /// An order that was taken and filled in part, as it is shown beside what every list shows of it.
    fn shown() -> serde_json::Value {
        let mut order = order();
        let start = Stamp(at(0).timestamp_micros().unsigned_abs());
        let stamp = |after| Some(Stamp(start.0 + after));
        let sent = Stages { sent: stamp(400), acknowledged: stamp(2_900), ..Stages::default() };
        order.stages = Stages { received: Some(start), decided: stamp(250), ..sent };
        let accepted = OrderStep::Accepted { broker_order: BrokerOrderId::new("b-1") };
        order.history = vec![
            line(0, "ORDER_CREATED", None, Stages::default()),
            line(1, "ORDER_SUBMITTED", Some(accepted), sent),
            line(1, "TRADE_EXECUTED", Some(OrderStep::Filled { fill: fill() }), Stages::default()),
        ];
        let entry = entry(&order);
        let detail = TradeDetail::of(&order, Some(&entry), stamp(9_000));
        let mut shown = serde_json::to_value(detail).unwrap();
        let fields = serde_json::to_value(Trade::of(&order)).unwrap();
        for field in fields.as_object().unwrap().keys() {
            assert_eq!(shown.as_object_mut().unwrap().remove(field).as_ref(), fields.get(field), "{field}");
        }
        shown
    }

    fn parts(names: &[&str]) -> serde_json::Value {
        let shown = shown();
        names.iter().map(|name| ((*name).to_owned(), shown[*name].clone())).collect()
    }

    #[test]
    fn a_trade_in_full_tells_what_was_said_and_what_was_decided() {
        insta::assert_json_snapshot!(parts(&["signal", "intent", "decision"]), @r#"
        {
          "decision": {
            "requested": "12"
          },
          "intent": {
            "decided_at": "2026-01-05T14:30:00Z",
            "extended_hours": false,
            "limit_price": "175",
            "order_type": "stop_limit",
            "quantity": "10",
            "reduces": false,
            "side": "buy",
            "stop_loss": null,
            "stop_price": "170.5",
            "take_profits": [],
            "time_in_force": "day"
          },
          "signal": {
            "account": null,
            "action": "buy",
            "excerpt": "{}",
            "id": "00000000-0000-0000-0000-000000000003",
            "limit_price": "175",
            "order_type": "stop_limit",
            "origin": "tradingview",
            "quantity": "12",
            "received_at": "2026-01-05T14:30:00Z",
            "source": "00000000-0000-0000-0000-000000000005",
            "stop_loss": {
              "at": "165"
            },
            "stop_price": "170.5",
            "symbol": "AAPL",
            "take_profits": []
          }
        }
        "#);
    }

    #[test]
    fn a_trade_in_full_tells_what_was_done_and_how_fast() {
        let done = parts(&["attempts", "fills", "history", "latencies", "stages"]);
        insta::assert_json_snapshot!(done, @r#"
        {
          "attempts": [
            {
              "answered_at": "2026-01-05T14:30:00.002Z",
              "code": null,
              "detail": "",
              "latency_us": 2500,
              "number": 1,
              "outcome": "accepted",
              "sent_at": "2026-01-05T14:30:00Z",
              "settled_at": null
            }
          ],
          "fills": [
            {
              "at": "2026-01-05T14:30:01Z",
              "execution_id": "e-1",
              "fee": "0",
              "fee_quantity": "0",
              "price": "175.2",
              "quantity": "4"
            }
          ],
          "history": [
            {
              "at": "2026-01-05T14:30:00Z",
              "detail": "",
              "event": "ORDER_CREATED"
            },
            {
              "at": "2026-01-05T14:30:01Z",
              "detail": "",
              "event": "ORDER_SUBMITTED"
            },
            {
              "at": "2026-01-05T14:30:01Z",
              "detail": "",
              "event": "TRADE_EXECUTED"
            }
          ],
          "latencies": {
            "acknowledged": 2500,
            "decided": 250,
            "pushed": 6100,
            "sent": 150
          },
          "stages": {
            "acknowledged": 2900,
            "decided": 250,
            "pushed": 9000,
            "received": 0,
            "sent": 400
          }
        }
        "#);
        assert_eq!(shown().as_object().unwrap().len(), 8, "nothing else is shown");
    }

    #[test]
    fn a_stop_shows_no_signal_though_its_position_had_one() {
        let mut order = order();
        order.ticket.purpose = order::Purpose::Protection { target: None };
        let entry = entry(&order);
        assert!(TradeDetail::of(&order, Some(&entry), None).signal.is_none());
    }

    #[test]
    fn a_fill_that_overtook_its_answer_is_timed_from_the_sending() {
        let stamp = |at| Some(Stamp(at));
        let stages = Stages {
            received: stamp(1),
            sent: stamp(10),
            filled: stamp(15),
            acknowledged: stamp(22),
            ..Stages::default()
        };
        let took = latencies(passed(&stages, None));
        assert_eq!(took, BTreeMap::from([("sent", 9), ("filled", 5), ("acknowledged", 7)]));
    }
}
