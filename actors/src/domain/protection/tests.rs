use chrono::DateTime;
use proptest::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::*;
use crate::domain::ids::ClientOrderId;
use crate::domain::money::Money;
use crate::domain::order::{OrderStatus, Purpose, Ticket};
use crate::domain::position::Position;
use crate::domain::risk::Limits;
use crate::domain::signal::{Level, OrderKind};

fn price(value: &str) -> Price {
    Price::new(value.parse().unwrap()).unwrap()
}

fn quantity(units: u32) -> Quantity {
    Quantity::at_least_zero(units.into())
}

fn signal() -> SignalId {
    SignalId::new(Uuid::from_u128(1))
}

fn id(number: usize) -> ClientOrderId {
    ClientOrderId::new(Uuid::from_u128(number as u128))
}

fn guarded(opened: u32, stop: Option<&str>, targets: &[&str]) -> Protection {
    Protection {
        stop: stop.map(price),
        targets: targets.iter().map(|at| Target { price: price(at), done: Quantity::ZERO }).collect(),
        ..Protection::new(signal(), quantity(opened))
    }
}

const HOLDS_ALL: fn(OrderKind, Quantity) -> bool = |_, _| true;

fn next(net: i64, protection: &Protection, exits: &[Exit]) -> Vec<Move> {
    converge(&View {
        net: Net::new(net.into()),
        protection: Some(protection),
        exits,
        lot: quantity(1),
        holds: &HOLDS_ALL,
        strays: &[],
        taken: Quantity::ZERO,
        may_place: true,
    })
}

fn exit(number: usize, purpose: Purpose, kind: OrderKind, leaves: u32) -> Exit {
    Exit {
        order: id(number),
        purpose,
        kind,
        status: OrderStatus::Accepted,
        leaves: quantity(leaves),
        reduces: true,
        entry_ahead: false,
        waits_for_room: false,
    }
}

fn stop(at: &str) -> OrderKind {
    OrderKind::Stop { trigger: price(at) }
}

const ALONE: Purpose = Purpose::Protection { target: None };

#[test]
fn a_new_position_gets_its_stop() {
    let place = Move::Place { quantity: quantity(10), kind: stop("245"), purpose: ALONE };
    assert_eq!(next(10, &guarded(10, Some("245"), &[]), &[]), [place]);
}

#[test]
fn a_stop_grows_with_the_position_without_a_gap() {
    let moves = next(10, &guarded(10, Some("245"), &[]), &[exit(1, ALONE, stop("245"), 4)]);
    assert_eq!(moves, [Move::Place { quantity: quantity(6), kind: stop("245"), purpose: ALONE }]);
}

#[test]
fn two_targets_share_the_position_and_the_stop_stands_beside_each() {
    let oco = |limit| OrderKind::Oco { limit: price(limit), trigger: price("90") };
    let moves = next(5, &guarded(5, Some("90"), &["110", "120"]), &[]);
    let place = |units, limit, number| Move::Place {
        quantity: quantity(units),
        kind: oco(limit),
        purpose: Purpose::Protection { target: Some(number) },
    };
    assert_eq!(moves, [place(2, "110", 0), place(3, "120", 1)]);
}

#[test]
fn a_close_waits_until_the_stop_lets_go_and_the_stop_comes_back_for_the_rest() {
    let plan = guarded(10, Some("90"), &[]);
    let resting = exit(1, ALONE, stop("90"), 10);
    let waiting = Exit {
        status: OrderStatus::Queued,
        waits_for_room: true,
        ..exit(2, Purpose::Signal, OrderKind::Market, 4)
    };
    assert_eq!(next(10, &plan, &[resting, waiting]), [Move::Cancel(id(1))]);
    let ending = Exit { status: OrderStatus::PendingCancel, ..resting };
    assert_eq!(next(10, &plan, &[ending, waiting]), []);
    assert_eq!(next(10, &plan, &[waiting]), [Move::Release(id(2), quantity(4))]);
    let sent = Exit { status: OrderStatus::Pending, ..waiting };
    let place = Move::Place { quantity: quantity(6), kind: stop("90"), purpose: ALONE };
    assert_eq!(next(10, &plan, &[sent]), [place]);
}

#[test]
fn what_was_to_leave_the_position_before_it_turned_round_is_ended() {
    let plan = guarded(2, Some("90"), &[]);
    let resting = exit(1, ALONE, stop("110"), 3);
    let unanswered = Exit { status: OrderStatus::Pending, ..exit(2, ALONE, stop("110"), 3) };
    let waiting = Exit {
        status: OrderStatus::Queued,
        waits_for_room: true,
        ..exit(3, Purpose::Signal, OrderKind::Market, 3)
    };
    let strays = [resting, unanswered, waiting];
    let moves = converge(&View {
        net: Net::new(2.into()),
        protection: Some(&plan),
        exits: &[],
        strays: &strays,
        lot: quantity(1),
        holds: &HOLDS_ALL,
        taken: Quantity::ZERO,
        may_place: true,
    });
    let protect = Move::Place { quantity: quantity(2), kind: stop("90"), purpose: ALONE };
    assert_eq!(moves, [Move::Drop(id(3)), Move::Cancel(id(1)), protect]);
}

#[test]
fn an_exit_waits_through_a_turn_for_the_older_entry_it_is_to_close() {
    let plan = guarded(1, None, &[]);
    let waiting = Exit {
        status: OrderStatus::Queued,
        waits_for_room: true,
        entry_ahead: true,
        ..exit(1, Purpose::Signal, OrderKind::Market, 1)
    };
    let moves = |net: i64, exits: &[Exit], strays: &[Exit], taken| {
        converge(&View {
            net: Net::new(net.into()),
            protection: Some(&plan),
            exits,
            strays,
            lot: quantity(1),
            holds: &HOLDS_ALL,
            taken: quantity(taken),
            may_place: true,
        })
    };
    assert_eq!(moves(-1, &[], &[waiting], 0), []);
    assert_eq!(moves(-1, &[], &[Exit { entry_ahead: false, ..waiting }], 0), [Move::Drop(id(1))]);
    // Another sale, which is no exit, may be filled with what there is: the answer is waited for.
    assert_eq!(moves(1, &[Exit { entry_ahead: false, ..waiting }], &[], 1), []);
    assert_eq!(moves(1, &[waiting], &[], 0), [Move::Release(id(1), quantity(1))]);
}

/// Bought in parts, the last of which completes the order: what was set for the position before stays.
#[test]
fn more_of_the_same_leaves_the_stop_as_it_was_set() {
    let plan = guarded(2, Some("230"), &[]);
    let more = Ticket { signal: SignalId::new(Uuid::from_u128(9)), ..ticket(Side::Buy, None) };
    let grow = |before: i64, after, known: &Protection, complete| {
        let held = held(after, 250);
        after_fill(
            &more,
            Net::new(before.into()),
            &held,
            Some(known),
            &Limits::default(),
            Price::CENT,
            complete,
        )
        .unwrap()
    };
    let part = grow(2, 4, &plan, false);
    let whole = grow(4, 7, &part, true);
    assert_eq!((whole.stop, whole.opened), (Some(price("230")), quantity(7)));
}

#[test]
fn a_target_that_the_stop_has_passed_is_dropped() {
    let plan = guarded(2, Some("230"), &["240", "260"]);
    let more = Ticket { stop_loss: Some(Level::At(price("245"))), ..ticket(Side::Buy, None) };
    let next = after_fill(
        &more,
        Net::new(2.into()),
        &held(10, 250),
        Some(&plan),
        &Limits::default(),
        Price::CENT,
        true,
    )
    .unwrap();
    let targets: Vec<_> = next.targets.iter().map(|target| target.price).collect();
    assert_eq!((next.stop, targets), (Some(price("245")), vec![price("260")]));
}

/// A stop that is filled when its position is gone already opens one the other way, which nobody asked for.
#[test]
fn what_an_exit_opens_by_coming_too_late_is_left_again() {
    let limits = Limits::default();
    let stop = Ticket { purpose: ALONE, reduces: true, ..ticket(Side::Sell, None) };
    let opened =
        after_fill(&stop, Net::new(2.into()), &held(-3, 250), None, &limits, Price::CENT, true).unwrap();
    assert!(opened.leave.is_some() && opened.opened == quantity(3), "{opened:?}");
    let out = Move::Place {
        quantity: quantity(3),
        kind: OrderKind::Market,
        purpose: Purpose::Exit { target: None },
    };
    assert_eq!(next(-3, &opened, &[]), [out]);
    // One that only makes a position smaller changes nothing.
    assert_eq!(after_fill(&stop, Net::new(5.into()), &held(2, 250), None, &limits, Price::CENT, true), None);
}

#[test]
fn a_close_that_came_right_after_its_entry_waits_for_the_entrys_fill() {
    let plan = guarded(1, None, &[]);
    let waiting = Exit {
        status: OrderStatus::Queued,
        waits_for_room: true,
        ..exit(2, Purpose::Signal, OrderKind::Market, 1)
    };
    let view = |net: i64, entry_ahead| {
        let net = Net::new(net.into());
        let exits = [Exit { entry_ahead, ..waiting }];
        converge(&View {
            net,
            protection: Some(&plan),
            exits: &exits,
            lot: quantity(1),
            holds: &HOLDS_ALL,
            strays: &[],
            taken: Quantity::ZERO,
            may_place: true,
        })
    };
    assert_eq!(view(0, true), []);
    assert_eq!(view(1, true), [Move::Release(id(2), quantity(1))]);
    assert_eq!(view(0, false), [Move::Drop(id(2))]);
}

#[test]
fn a_moved_stop_is_replaced_only_once_the_old_one_is_gone() {
    let plan = guarded(10, Some("95"), &[]);
    let old = exit(1, ALONE, stop("90"), 10);
    assert_eq!(next(10, &plan, &[old]), [Move::Cancel(id(1))]);
    assert_eq!(next(10, &plan, &[Exit { status: OrderStatus::PendingCancel, ..old }]), []);
    let place = Move::Place { quantity: quantity(10), kind: stop("95"), purpose: ALONE };
    assert_eq!(next(10, &plan, &[]), [place]);
}

#[test]
fn a_flat_position_keeps_no_exit() {
    let resting = [exit(1, ALONE, stop("90"), 10), exit(2, Purpose::Signal, OrderKind::Market, 3)];
    assert_eq!(next(0, &guarded(10, Some("90"), &[]), &resting), [Move::Cancel(id(1)), Move::Cancel(id(2))]);
}

#[test]
fn leaving_cancels_what_rests_and_then_sells_what_is_left() {
    let plan = Protection { leave: Some("daily loss".to_owned()), ..guarded(10, Some("90"), &[]) };
    let resting = exit(1, ALONE, stop("90"), 10);
    assert_eq!(next(10, &plan, &[resting]), [Move::Cancel(id(1))]);
    let purpose = Purpose::Exit { target: None };
    let sale = Move::Place { quantity: quantity(10), kind: OrderKind::Market, purpose };
    assert_eq!(next(10, &plan, &[]), [sale]);
    assert_eq!(next(10, &plan, &[exit(2, purpose, OrderKind::Market, 10)]), []);
    let rest = Move::Place { quantity: quantity(3), kind: OrderKind::Market, purpose };
    assert_eq!(next(10, &plan, &[exit(2, purpose, OrderKind::Market, 7)]), [rest]);
}

#[test]
fn what_the_broker_cannot_hold_is_left_to_us() {
    let plan = guarded(10, Some("90"), &["110"]);
    let only_stops = |kind: OrderKind, _| matches!(kind, OrderKind::Stop { .. });
    let view = View {
        net: Net::new(10.into()),
        protection: Some(&plan),
        exits: &[],
        lot: quantity(1),
        holds: &only_stops,
        strays: &[],
        taken: Quantity::ZERO,
        may_place: true,
    };
    let place = Move::Place { quantity: quantity(10), kind: stop("90"), purpose: ALONE };
    assert_eq!(converge(&view), [place]);
    assert_eq!(converge(&View { holds: &|_, _| false, ..view }), []);
}

#[test]
fn what_no_order_can_take_is_left_over() {
    let units = |text: &str| text.parse::<Decimal>().unwrap();
    let amount = |text: &str| Quantity::new(units(text)).unwrap();
    let guarded = guarded(1, Some("90"), &[]);
    let leaving = Protection { leave: Some("the stop was reached".to_owned()), ..guarded.clone() };
    let waiting = Exit {
        status: OrderStatus::Queued,
        waits_for_room: true,
        leaves: amount("0.00999"),
        ..exit(1, Purpose::Signal, OrderKind::Market, 0)
    };
    let moves = |net: &str, plan: &Protection, exits: &[Exit]| {
        converge(&View {
            net: Net::new(units(net)),
            protection: Some(plan),
            exits,
            strays: &[],
            lot: amount("0.000001"),
            holds: &HOLDS_ALL,
            taken: Quantity::ZERO,
            may_place: true,
        })
    };
    let purpose = Purpose::Exit { target: None };
    let sold = Move::Place { quantity: amount("0.002498"), kind: OrderKind::Market, purpose };
    assert_eq!(moves("0.0024985", &leaving, &[]), [sold]);
    assert_eq!(moves("0.0000005", &leaving, &[]), []);
    assert_eq!(moves("0.0024985", &guarded, &[waiting]), [Move::Release(id(1), amount("0.002498"))]);
    assert_eq!(moves("0.0000005", &guarded, &[waiting]), [Move::Drop(id(1))]);
}

#[test]
fn prices_reach_stops_before_targets_and_a_trail_only_follows() {
    let plan = guarded(10, Some("90"), &["110"]);
    let long = Net::new(10.into());
    let shares = plan.shares(quantity(10), quantity(1));
    let reached = |at| plan.reached(long, price(at), &shares);
    assert_eq!(
        (reached("100"), reached("90"), reached("111")),
        (None, Some(Reached::Stop), Some(Reached::Target(0)))
    );
    let trail =
        Protection { trail: Some(Trail::Percent(crate::domain::money::Percent::new(2.into()))), ..plan };
    assert_eq!(trail.trailed(long, price("100"), price("0.01")), Some(price("98.00")));
    assert_eq!(trail.trailed(long, price("91"), price("0.01")), None);
}

fn ticket(side: Side, stop_loss: Option<Level>) -> Ticket {
    Ticket {
        id: id(1),
        signal: signal(),
        symbol: "TSLA".parse().unwrap(),
        side,
        stop_loss,
        ..Ticket::sample()
    }
}

fn held(net: i64, avg: i64) -> Position {
    Position {
        connection: ConnectionId::new(Uuid::nil()),
        symbol: "TSLA".parse().unwrap(),
        net: Net::new(net.into()),
        cost: Money::new(Decimal::from(net * avg)),
        realized: Money::ZERO,
        opened_at: DateTime::UNIX_EPOCH,
    }
}

#[test]
fn an_entry_without_a_stop_gets_the_users_two_per_cent() {
    let limits = Limits::default();
    let long =
        after_fill(&ticket(Side::Buy, None), Net::FLAT, &held(10, 250), None, &limits, Price::CENT, true);
    assert_eq!(long.unwrap().stop, Some(price("245.00")));
    let short =
        after_fill(&ticket(Side::Sell, None), Net::FLAT, &held(-10, 250), None, &limits, Price::CENT, true);
    assert_eq!(short.unwrap().stop, Some(price("255.00")));
}

#[test]
fn a_fill_that_only_closes_changes_no_plan() {
    let plan = guarded(10, Some("245"), &[]);
    let sale = ticket(Side::Sell, None);
    let after = held(4, 250);
    let before = Net::new(10.into());
    assert_eq!(after_fill(&sale, before, &after, Some(&plan), &Limits::default(), Price::CENT, true), None);
}

/// A broker and a person who do anything, in any order.
#[derive(Clone, Debug)]
enum Happens {
    Accept(usize),
    Refuse(usize),
    Fill(usize, u32),
    CancelDone(usize),
    LoseAnswer(usize),
    Close(u32),
    Limit(u32),
    Enter(u32),
    MoveStop(u32),
    Leave,
}

fn anything() -> impl Strategy<Value = Vec<Happens>> {
    let at = 0_usize..8;
    let one = prop_oneof![
        4 => at.clone().prop_map(Happens::Accept),
        1 => at.clone().prop_map(Happens::Refuse),
        3 => (at.clone(), 1_u32..6).prop_map(|(at, units)| Happens::Fill(at, units)),
        4 => at.clone().prop_map(Happens::CancelDone),
        1 => at.prop_map(Happens::LoseAnswer),
        1 => (1_u32..12).prop_map(Happens::Close),
        1 => (1_u32..12).prop_map(Happens::Limit),
        1 => (1_u32..6).prop_map(Happens::Enter),
        1 => (80_u32..99).prop_map(Happens::MoveStop),
        1 => Just(Happens::Leave),
    ];
    prop::collection::vec(one, 0..60)
}

struct World {
    net: i64,
    plan: Protection,
    exits: Vec<Exit>,
    made: usize,
}

impl World {
    fn new(targets: &[&str]) -> Self {
        Self { net: 10, plan: guarded(10, Some("90"), targets), exits: Vec::new(), made: 100 }
    }

    fn add(&mut self, purpose: Purpose, kind: OrderKind, leaves: Quantity, waits: bool) {
        self.made += 1;
        let status = if waits { OrderStatus::Queued } else { OrderStatus::Pending };
        let made = exit(self.made, purpose, kind, 0);
        self.exits.push(Exit { status, leaves, waits_for_room: waits, ..made });
    }

    /// Takes all steps there are; returns whether that came to an end.
    fn settle(&mut self) -> bool {
        for _ in 0..50 {
            let moves = next(self.net, &self.plan, &self.exits);
            if moves.is_empty() {
                return true;
            }
            for step in moves {
                match step {
                    Move::Place { quantity, kind, purpose } => self.add(purpose, kind, quantity, false),
                    Move::Cancel(order) => self.set(order, OrderStatus::PendingCancel),
                    Move::Drop(order) => self.exits.retain(|exit| exit.order != order),
                    Move::Release(order, most) => {
                        self.set(order, OrderStatus::Pending);
                        let exit = self.exits.iter_mut().find(|exit| exit.order == order).unwrap();
                        exit.leaves = exit.leaves.min(most);
                        exit.waits_for_room = false;
                    }
                }
            }
            self.check();
        }
        false
    }

    fn set(&mut self, order: ClientOrderId, status: OrderStatus) {
        self.exits.iter_mut().find(|exit| exit.order == order).unwrap().status = status;
    }

    /// All that is out together never takes more than there is.
    fn check(&self) {
        assert!(
            live(&self.exits) <= Net::new(self.net.into()).size(),
            "{} held, {:#?} out",
            self.net,
            self.exits
        );
    }

    fn happen(&mut self, what: Happens) {
        match what {
            Happens::Accept(at) => self.answer(at, OrderStatus::Accepted),
            Happens::LoseAnswer(at) => self.answer(at, OrderStatus::Unknown),
            Happens::Refuse(at) => {
                if self.exits.get(at).is_some_and(|exit| exit.status == OrderStatus::Pending) {
                    self.exits.remove(at);
                }
            }
            Happens::Fill(at, units) => self.fill(at, units),
            Happens::CancelDone(at) => {
                if self.exits.get(at).is_some_and(|exit| exit.status == OrderStatus::PendingCancel) {
                    self.exits.remove(at);
                }
            }
            Happens::Close(units) => self.add(Purpose::Signal, OrderKind::Market, quantity(units), true),
            Happens::Limit(units) => {
                let kind = OrderKind::Limit { limit: price("150") };
                self.add(Purpose::Signal, kind, quantity(units), true);
            }
            Happens::Enter(units) if self.net > 0 && self.plan.leave.is_none() => {
                self.net += i64::from(units);
                self.plan.opened += quantity(units);
            }
            Happens::Enter(_) => {}
            Happens::MoveStop(at) => self.plan.stop = Some(price(&at.to_string())),
            Happens::Leave => self.plan.leave = Some("because".to_owned()),
        }
    }

    fn answer(&mut self, at: usize, status: OrderStatus) {
        if let Some(exit) = self.exits.get_mut(at)
            && matches!(exit.status, OrderStatus::Pending | OrderStatus::Unknown)
        {
            exit.status = status;
        }
    }

    fn fill(&mut self, at: usize, units: u32) {
        let Some(exit) = self.exits.get_mut(at).filter(|exit| exit.status != OrderStatus::Queued) else {
            return;
        };
        let filled = quantity(units).min(exit.leaves);
        exit.leaves = exit.leaves.less(filled);
        if let Some(target) = exit.purpose.target() {
            self.plan.targets[usize::from(target)].done += filled;
        }
        if exit.leaves.is_zero() {
            self.exits.remove(at);
        } else if exit.status == OrderStatus::Pending {
            exit.status = OrderStatus::PartiallyFilled;
        }
        self.net -= i64::try_from(filled.get()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever happens in whatever order: no moment has more exits out than there is to close, and once the broker
    /// has answered for everything the whole position is protected, or gone.
    #[test]
    fn a_position_is_never_closed_twice_and_ends_up_protected(
        events in anything(),
        targets in prop::sample::subsequence(vec!["110", "120", "130"], 0..=3),
    ) {
        let mut world = World::new(&targets);
        prop_assert!(world.settle());
        for event in events {
            world.happen(event);
            world.check();
            prop_assert!(world.settle());
        }
        for _ in 0..60 {
            for at in (0..world.exits.len()).rev() {
                world.happen(Happens::Accept(at));
                world.happen(Happens::CancelDone(at));
            }
            for at in (0..world.exits.len()).rev() {
                if world.exits.get(at).is_some_and(|exit| exit.kind == OrderKind::Market) {
                    world.happen(Happens::Fill(at, 1_000));
                }
            }
            prop_assert!(world.settle());
        }
        if world.plan.leave.is_some() {
            prop_assert_eq!(world.net, 0);
        }
        let by_hand: u32 = 0;
        let resting_by_hand = world.exits.iter().filter(|exit| matches!(exit.kind, OrderKind::Limit { .. }));
        let by_hand = resting_by_hand.fold(quantity(by_hand), |sum, exit| sum + exit.leaves);
        prop_assert_eq!(covered(&world.exits) + by_hand, Net::new(world.net.into()).size());
    }
}
