use proptest::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::*;
use crate::domain::ids::{BrokerOrderId, ClientOrderId, ExecutionId};
use crate::domain::money::{Money, Price, Quantity};
use crate::domain::order::{Fill, Mode, OrderStatus, Ticket};
use crate::domain::risk::Decision;

fn order(quantity: u32) -> Order {
    let ticket = Ticket { quantity: Quantity::new(Decimal::from(quantity)).unwrap(), ..Ticket::sample() };
    Order::new(
        ticket,
        "paper".into(),
        Mode::Paper,
        Decision::default(),
        Stages::default(),
        None,
        DateTime::UNIX_EPOCH,
    )
}

fn fill(number: u32, quantity: u32) -> Fill {
    Fill {
        execution: ExecutionId::new(format!("e{number}")),
        quantity: Quantity::new(Decimal::from(quantity)).unwrap(),
        price: Price::new(Decimal::from(100 + number)).unwrap(),
        fee: Money::ZERO,
        kept: Quantity::ZERO,
        at: DateTime::UNIX_EPOCH,
    }
}

fn report(state: ReportedState, fills: Vec<Fill>) -> OrderReport {
    let order = ClientOrderId::new(Uuid::from_u128(7));
    OrderReport { order, broker_order: BrokerOrderId::new("b1"), state, fills, done: None, balance: None }
}

/// Carries out what a report means, as the actor does.
fn take(order: &mut Order, held: &mut Option<Position>, report: &OrderReport) -> usize {
    let now = DateTime::UNIX_EPOCH;
    let events = reported(order, held.as_ref(), None, report, Stages::default(), now);
    for event in &events {
        if let Event::OrderMoved { step, .. } = event {
            order.apply(step, now).unwrap();
        } else if let Event::PositionChanged { position, .. } = event {
            *held = Some(position.clone()).filter(|position| !position.net.is_flat());
        } else {
            panic!("unexpected {event:?}");
        }
    }
    events.len()
}

#[test]
fn an_answer_with_fills_accepts_fills_and_opens_the_position() {
    let (mut order, mut held) = (order(10), None);
    take(&mut order, &mut held, &report(ReportedState::Filled, vec![fill(1, 4), fill(2, 6)]));
    assert_eq!(order.status, OrderStatus::Filled);
    assert_eq!(held.unwrap().net.get(), Decimal::TEN);
}

#[test]
fn the_same_report_twice_adds_nothing() {
    let (mut order, mut held) = (order(10), None);
    let report = report(ReportedState::Open, vec![fill(1, 4)]);
    assert!(take(&mut order, &mut held, &report) > 0);
    assert_eq!(take(&mut order, &mut held, &report), 0);
}

#[test]
fn a_fill_can_overtake_its_acknowledgement() {
    let (mut order, mut held) = (order(10), None);
    take(&mut order, &mut held, &report(ReportedState::Open, vec![fill(1, 10)]));
    take(&mut order, &mut held, &report(ReportedState::Open, vec![]));
    assert_eq!(order.status, OrderStatus::Filled);
}

#[test]
fn a_fill_that_arrives_after_the_cancel_still_counts() {
    let (mut order, mut held) = (order(10), None);
    take(&mut order, &mut held, &report(ReportedState::Canceled, vec![]));
    take(&mut order, &mut held, &report(ReportedState::Canceled, vec![fill(1, 3)]));
    assert_eq!(order.status, OrderStatus::Canceled);
    assert_eq!(order.cum_qty.get(), Decimal::from(3));
    assert_eq!(held.unwrap().net.get(), Decimal::from(3));
}

#[test]
fn never_seen_takes_three_answers_over_ten_seconds() {
    let at = |second: i64| DateTime::UNIX_EPOCH + TimeDelta::seconds(second);
    let mut search = Search::new(at(0));
    assert!(matches!(search.unseen(true, false, at(1)), Found::AskAgain(_)), "too early to count");
    assert!(matches!(search.unseen(true, false, at(5)), Found::AskAgain(_)));
    assert!(matches!(search.unseen(false, false, at(8)), Found::AskAgain(_)), "no answer is no evidence");
    assert!(matches!(search.unseen(true, false, at(10)), Found::AskAgain(_)));
    assert_eq!(search.unseen(true, false, at(15)), Found::NeverSeen);
    assert_eq!(
        Search::new(at(0)).unseen(true, true, at(0)),
        Found::NeverSeen,
        "a book that shows orders at once"
    );
}

proptest! {
    /// However reports are repeated, shuffled and overlapped, the order ends the same and is never over-filled.
    #[test]
    fn reports_commute(quantities in proptest::collection::vec(1_u32..50, 1..8), order_of in any::<prop::sample::Index>(), repeats in 1_usize..4) {
        let total: u32 = quantities.iter().sum();
        let fills: Vec<_> = quantities.iter().zip(1..).map(|(quantity, number)| fill(number, *quantity)).collect();
        let mut reports: Vec<_> = fills.iter().map(|fill| report(ReportedState::Open, vec![fill.clone()])).collect();
        reports.push(report(ReportedState::Filled, fills));
        let rotate_by = order_of.index(reports.len());
        reports.rotate_left(rotate_by);
        let (mut order, mut held) = (order(total), None);
        for _ in 0..repeats {
            for report in &reports {
                take(&mut order, &mut held, report);
                prop_assert!(order.cum_qty <= order.ticket.quantity);
            }
        }
        prop_assert_eq!(order.status, OrderStatus::Filled);
        prop_assert_eq!(held.unwrap().net.get(), Decimal::from(total));
    }
}
