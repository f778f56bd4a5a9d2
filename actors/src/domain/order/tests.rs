use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;

const STATUSES: [OrderStatus; 11] = [
    OrderStatus::Pending,
    OrderStatus::Queued,
    OrderStatus::Unknown,
    OrderStatus::Accepted,
    OrderStatus::PartiallyFilled,
    OrderStatus::PendingCancel,
    OrderStatus::Filled,
    OrderStatus::Canceled,
    OrderStatus::Rejected,
    OrderStatus::Expired,
    OrderStatus::Failed,
];

fn quantity(units: i64) -> Quantity {
    Quantity::new(Decimal::from(units)).unwrap()
}

fn fill(execution: u32, units: i64) -> OrderStep {
    OrderStep::Filled {
        fill: Fill {
            execution: ExecutionId::new(format!("e{execution}")),
            quantity: quantity(units),
            price: Price::new(Decimal::from(100 + i64::from(execution))).unwrap(),
            fee: Money::ZERO,
            kept: Quantity::ZERO,
            at: DateTime::UNIX_EPOCH,
        },
    }
}

fn accepted() -> OrderStep {
    OrderStep::Accepted { broker_order: BrokerOrderId::new("b") }
}

fn rejected() -> OrderStep {
    OrderStep::Rejected { code: "ORDER_REJECTED".to_owned(), reason: "no".to_owned() }
}

fn order(units: i64) -> Order {
    Order {
        ticket: Ticket { quantity: quantity(units), ..Ticket::sample() },
        broker: "paper".to_owned(),
        mode: Mode::Paper,
        decision: Decision::default(),
        status: OrderStatus::Pending,
        queued: None,
        broker_order: None,
        cum_qty: Quantity::ZERO,
        cum_cost: Money::ZERO,
        executions: Vec::new(),
        code: None,
        reason: None,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
        stages: Stages::default(),
        history: Vec::new(),
    }
}

/// A step, whether it completes the order, and what each status becomes; what is missing is illegal.
struct Row {
    step: OrderStep,
    complete: bool,
    legal: Vec<(OrderStatus, OrderStatus)>,
}

impl Row {
    fn new(step: OrderStep, legal: &[(OrderStatus, OrderStatus)]) -> Self {
        Self { step, complete: false, legal: legal.to_vec() }
    }

    fn to(step: OrderStep, after: OrderStatus, from: &[OrderStatus]) -> Self {
        Self { step, complete: false, legal: from.iter().map(|from| (*from, after)).collect() }
    }
}

fn table() -> Vec<Row> {
    use OrderStatus as S;
    let reason = || "why".to_owned();
    let sent = [S::Pending, S::Unknown, S::Accepted, S::PartiallyFilled];
    let may_have_it =
        [S::Pending, S::Unknown, S::Accepted, S::PartiallyFilled, S::PendingCancel, S::Canceled, S::Expired];
    let open = [&sent[..], &[S::Queued, S::PendingCancel]].concat();
    let unfilled = [S::Pending, S::Queued, S::Unknown, S::Accepted, S::PendingCancel];
    vec![
        Row::new(
            accepted(),
            &[
                (S::Pending, S::Accepted),
                (S::Unknown, S::Accepted),
                (S::Accepted, S::Accepted),
                (S::PartiallyFilled, S::PartiallyFilled),
                (S::PendingCancel, S::PendingCancel),
            ],
        ),
        Row::new(
            fill(1, 1),
            &[
                (S::Pending, S::PartiallyFilled),
                (S::Unknown, S::PartiallyFilled),
                (S::Accepted, S::PartiallyFilled),
                (S::PartiallyFilled, S::PartiallyFilled),
                (S::PendingCancel, S::PendingCancel),
                (S::Canceled, S::Canceled),
                (S::Expired, S::Expired),
            ],
        ),
        Row { complete: true, ..Row::to(fill(1, 1), S::Filled, &may_have_it) },
        Row::to(rejected(), S::Rejected, &unfilled),
        Row::to(OrderStep::CancelRequested { reason: reason() }, S::PendingCancel, &sent),
        Row::to(OrderStep::Canceled { reason: reason() }, S::Canceled, &open),
        Row::to(OrderStep::Expired { code: None, reason: reason() }, S::Expired, &open),
        Row::to(OrderStep::OutcomeLost { reason: reason() }, S::Unknown, &[S::Pending, S::Unknown]),
        Row::to(queued(), S::Queued, &[S::Pending, S::Queued]),
        Row::to(amended(5), S::Queued, &[S::Queued]),
        Row::to(OrderStep::Released, S::Pending, &[S::Queued]),
        Row::to(deferred(), S::Pending, &[S::Pending]),
        Row::to(OrderStep::Retried { attempt: 2, reason: reason() }, S::Pending, &[S::Pending, S::Unknown]),
        Row::to(OrderStep::Failed { code: None, reason: reason() }, S::Failed, &[S::Pending, S::Queued]),
    ]
}

#[test]
fn the_legal_steps_are_these_and_no_others() {
    for Row { step, complete, legal } in table() {
        for from in STATUSES {
            let wanted = legal.iter().find(|(before, _)| *before == from).map(|(_, after)| *after);
            assert_eq!(from.after(&step, complete).ok(), wanted, "{from:?} {step:?} complete: {complete}");
        }
    }
}

fn queued() -> OrderStep {
    let until = Some(DateTime::UNIX_EPOCH);
    OrderStep::Queued { cause: QueueCause::MarketClosed, until, reason: "closed".to_owned() }
}

fn deferred() -> OrderStep {
    let (code, until) = (RefusalCode::RateLimitExceeded, DateTime::UNIX_EPOCH);
    OrderStep::Deferred { code, until, reason: "slow".to_owned() }
}

fn amended(units: i64) -> OrderStep {
    OrderStep::Amended { quantity: quantity(units), kind: OrderKind::Market, reason: "asked".to_owned() }
}

#[test]
fn an_order_can_change_only_while_it_waits() {
    let mut order = order(10);
    assert!(order.apply(&amended(5), DateTime::UNIX_EPOCH).is_err());
    for step in [queued(), amended(5)] {
        order.apply(&step, DateTime::UNIX_EPOCH).unwrap();
    }
    assert_eq!(order.queued.map(|queued| queued.cause), Some(QueueCause::MarketClosed));
    order.apply(&OrderStep::Released, DateTime::UNIX_EPOCH).unwrap();
    assert_eq!((order.ticket.quantity, order.queued), (quantity(5), None));
    assert!(order.apply(&amended(20), DateTime::UNIX_EPOCH).is_err());
}

#[test]
fn a_fill_can_overtake_its_acknowledgement() {
    let mut order = order(10);
    order.apply(&fill(1, 4), DateTime::UNIX_EPOCH).unwrap();
    order.apply(&accepted(), DateTime::UNIX_EPOCH).unwrap();
    assert_eq!(order.status, OrderStatus::PartiallyFilled);
    assert_eq!(order.broker_order, Some(BrokerOrderId::new("b")));
    order.apply(&fill(2, 6), DateTime::UNIX_EPOCH).unwrap();
    assert_eq!(order.status, OrderStatus::Filled);
    assert_eq!(order.leaves_qty(), Quantity::ZERO);
}

#[test]
fn a_fill_after_the_cancel_still_counts() {
    let mut order = order(10);
    for step in [accepted(), OrderStep::Canceled { reason: "asked".to_owned() }, fill(1, 3)] {
        order.apply(&step, DateTime::UNIX_EPOCH).unwrap();
    }
    assert_eq!((order.status, order.cum_qty), (OrderStatus::Canceled, quantity(3)));
    order.apply(&fill(2, 7), DateTime::UNIX_EPOCH).unwrap();
    assert_eq!(order.status, OrderStatus::Filled);
}

#[test]
fn the_same_execution_never_counts_twice() {
    let mut order = order(10);
    order.apply(&fill(1, 4), DateTime::UNIX_EPOCH).unwrap();
    let before = order.clone();
    assert!(order.apply(&fill(1, 4), DateTime::UNIX_EPOCH).is_err());
    assert_eq!(order, before);
}

#[test]
fn a_fill_beyond_the_order_is_refused_whole() {
    let mut order = order(10);
    order.apply(&fill(1, 8), DateTime::UNIX_EPOCH).unwrap();
    let before = order.clone();
    let refused = order.apply(&fill(2, 3), DateTime::UNIX_EPOCH).unwrap_err();
    assert_eq!(refused.from, OrderStatus::PartiallyFilled);
    assert_eq!(order, before);
}

#[test]
fn a_refusal_keeps_its_code_and_reason() {
    let mut order = order(10);
    order.apply(&rejected(), DateTime::UNIX_EPOCH).unwrap();
    assert_eq!((order.code.as_deref(), order.reason.as_deref()), (Some("ORDER_REJECTED"), Some("no")));
}

#[test]
fn the_average_price_weighs_by_quantity() {
    let mut order = order(10);
    assert_eq!(order.avg_px(), None);
    order.apply(&fill(1, 1), DateTime::UNIX_EPOCH).unwrap();
    order.apply(&fill(5, 3), DateTime::UNIX_EPOCH).unwrap();
    assert_eq!(order.avg_px(), Price::new(Decimal::from(104)).ok());
}

fn any_step() -> impl Strategy<Value = OrderStep> {
    let reason = || "why".to_owned();
    prop_oneof![
        2 => Just(accepted()),
        6 => (0_u32..12, 1_i64..8).prop_map(|(execution, units)| fill(execution, units)),
        1 => Just(rejected()),
        1 => Just(OrderStep::CancelRequested { reason: reason() }),
        1 => Just(OrderStep::Canceled { reason: reason() }),
        1 => Just(OrderStep::Expired { code: None, reason: reason() }),
        1 => Just(deferred()),
        1 => Just(OrderStep::OutcomeLost { reason: reason() }),
        1 => Just(OrderStep::Failed { code: None, reason: reason() }),
    ]
}

proptest! {
    /// Whatever a broker tells, in whatever order: never over-filled, no execution twice, the done part never
    /// shrinks, an end is an end (but for money that moved), and a refused step changes nothing.
    #[test]
    fn an_order_keeps_its_laws(steps in proptest::collection::vec(any_step(), 0..40), queued: bool) {
        let mut order = order(20);
        if queued {
            order.status = OrderStatus::Queued;
        }
        let mut seen: Vec<ExecutionId> = Vec::new();
        for step in &steps {
            let before = order.clone();
            match order.apply(step, DateTime::UNIX_EPOCH) {
                Err(refused) => {
                    prop_assert_eq!(&order, &before);
                    prop_assert_eq!(refused.from, before.status);
                }
                Ok(()) => {
                    prop_assert!(order.cum_qty >= before.cum_qty && order.cum_qty <= order.ticket.quantity);
                    if let OrderStep::Filled { fill } = step {
                        prop_assert!(!seen.contains(&fill.execution));
                        seen.push(fill.execution.clone());
                        prop_assert_eq!(order.cum_qty, before.cum_qty + fill.quantity);
                    } else {
                        prop_assert!(!before.status.is_final(), "{:?} took {:?}", before.status, step);
                    }
                    prop_assert!(order.status.is_final() || !before.status.is_final());
                }
            }
            prop_assert_eq!(order.status == OrderStatus::Filled, order.cum_qty == order.ticket.quantity);
            prop_assert_eq!(order.leaves_qty().is_zero(), order.status.is_final());
            prop_assert_eq!(&order.executions, &seen);
        }
    }

    /// Fills and the acknowledgement may come in any order; the end is the same.
    #[test]
    fn fills_and_acknowledgement_commute(
        steps in Just(vec![accepted(), fill(1, 3), fill(2, 5), fill(3, 12)]).prop_shuffle()
    ) {
        let mut order = order(20);
        for step in &steps {
            let late = order.status == OrderStatus::Filled;
            prop_assert_eq!(order.apply(step, DateTime::UNIX_EPOCH).is_err(), late);
        }
        prop_assert_eq!(order.status, OrderStatus::Filled);
        prop_assert_eq!(order.cum_cost, Money::new(Decimal::from(3 * 101 + 5 * 102 + 12 * 103)));
    }
}
