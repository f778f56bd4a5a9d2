use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;
use crate::domain::event::Event;
use crate::domain::execution::reported;
use crate::domain::ids::BrokerOrderId;
use crate::domain::money::{Price, Quantity};
use crate::domain::order::{Mode, Ticket};
use crate::domain::report::{Done, OrderReport, RefusalCode, ReportedState};
use crate::domain::risk::Decision;
use crate::domain::stages::Stages;

const UNITS: u32 = 10;
/// No request takes longer than this to arrive, or it never does.
const LATE_MAX_S: i64 = 4;

fn units(count: u32) -> Quantity {
    Quantity::at_least_zero(count.into())
}

fn order() -> Order {
    let ticket = Ticket { quantity: units(UNITS), ..Ticket::sample() };
    let (decision, stages) = (Decision::default(), Stages::default());
    Order::new(ticket, "venue".into(), Mode::Paper, decision, stages, None, DateTime::UNIX_EPOCH)
}

/// What may happen next.
#[derive(Clone, Debug)]
enum Happens {
    /// A request arrives at the venue and is taken, and its answer is or is not lost.
    Arrive { answered: bool },
    /// A request is lost on the way; the sender cannot tell, or can.
    Vanish { provably: bool },
    /// The venue refuses a request.
    Refuse,
    /// The venue executes some units.
    Fill(u32),
    /// The venue tells of its order, perhaps of an older state.
    Tell { stale: bool },
    /// A look-up is answered, or is not.
    LookUp { answered: bool },
    /// A pause is over.
    Again,
    /// A person cancels.
    Cancel,
    /// The venue carries a cancel out.
    CancelArrives,
    /// The engine dies and comes back.
    Crash,
    /// Time passes.
    Wait(i64),
}

fn anything() -> impl Strategy<Value = Vec<Happens>> {
    let one = prop_oneof![
        4 => any::<bool>().prop_map(|answered| Happens::Arrive { answered }),
        2 => any::<bool>().prop_map(|provably| Happens::Vanish { provably }),
        1 => Just(Happens::Refuse),
        3 => (1_u32..6).prop_map(Happens::Fill),
        4 => any::<bool>().prop_map(|stale| Happens::Tell { stale }),
        5 => any::<bool>().prop_map(|answered| Happens::LookUp { answered }),
        3 => Just(Happens::Again),
        1 => Just(Happens::Cancel),
        2 => Just(Happens::CancelArrives),
        2 => Just(Happens::Crash),
        4 => (1_i64..8).prop_map(Happens::Wait),
    ];
    prop::collection::vec(one, 0..40)
}

/// An order as the venue has it.
#[derive(Clone, Debug)]
struct Booked {
    filled: u32,
    open: bool,
}

/// The engine's durable order, what it keeps in memory, the network, and the venue.
struct World {
    now: DateTime<Utc>,
    order: Order,
    failures: u32,
    search: Option<Search>,
    looking: bool,
    trying: bool,
    /// Requests on their way, and when each was sent.
    sent: Vec<DateTime<Utc>>,
    cancels: u32,
    venue: Vec<Booked>,
    told: Vec<OrderReport>,
    /// Whether the venue knows a repeat by its id.
    forever: bool,
}

impl World {
    fn new(forever: bool) -> Self {
        let mut world = Self {
            now: DateTime::UNIX_EPOCH,
            order: order(),
            failures: 0,
            search: None,
            looking: false,
            trying: false,
            sent: Vec::new(),
            cancels: 0,
            venue: Vec::new(),
            told: Vec::new(),
            forever,
        };
        world.send();
        world
    }

    fn seen(&self) -> Circumstances {
        let (now, repeats_are_safe) = (self.now, self.forever);
        Circumstances { now, repeats_are_safe, proof: false, max_age_s: 30 }
    }

    fn send(&mut self) {
        self.sent.push(self.now);
    }

    fn step(&mut self, step: &OrderStep) {
        if self.order.status.after(step, false).is_ok() {
            self.order.apply(step, self.now).unwrap();
        }
    }

    fn proceed(&mut self, next: Next) {
        match next {
            Next::Nothing => {}
            Next::Step(step) => {
                (self.failures, self.search) = (0, None);
                self.step(&step);
            }
            Next::LookUp(step, _) => {
                if let Some(step) = step {
                    self.step(&step);
                }
                self.looking = true;
            }
            Next::TryAgain(step, _) => {
                if let Some(step) = step {
                    self.step(&step);
                }
                self.trying = true;
            }
            Next::Send => {
                self.search = None;
                if self.order.status == OrderStatus::Unknown || self.failures > 0 {
                    self.step(&OrderStep::Retried { attempt: 2, reason: String::new() });
                }
                self.send();
            }
        }
    }

    fn answer(&mut self, answer: Unanswered) {
        let failures = self.failures;
        if matches!(answer, Unanswered::NotReceived { .. }) {
            self.failures += 1;
        }
        let before = Before { now: self.now, failures, ..before(0, 0) };
        let next = unanswered(&self.order, &before, answer);
        if matches!(next, Next::LookUp(..)) {
            self.search.get_or_insert_with(|| Search::new(self.now));
        }
        self.proceed(next);
    }

    fn report(&self) -> Option<OrderReport> {
        let booked = self.venue.first()?;
        let state = match (booked.open, booked.filled == UNITS) {
            (true, _) => ReportedState::Open,
            (false, true) => ReportedState::Filled,
            (false, false) => ReportedState::Canceled,
        };
        let price = (booked.filled > 0).then(|| Price::new(Decimal::ONE_HUNDRED).unwrap());
        Some(OrderReport {
            order: self.order.ticket.id,
            broker_order: BrokerOrderId::new("b"),
            state,
            fills: Vec::new(),
            done: Some(Done { quantity: units(booked.filled), price, at: self.now }),
            balance: None,
        })
    }

    fn hear(&mut self, report: &OrderReport) {
        for event in reported(&self.order, None, None, report, Stages::default(), self.now) {
            if let Event::OrderMoved { step, .. } = event {
                self.order.apply(&step, self.now).unwrap();
            }
        }
        self.search = None;
        if self.order.status == OrderStatus::PendingCancel && report.state == ReportedState::Open {
            self.cancels += 1;
        }
    }

    /// Takes a request off the network; none arrives later than it can.
    fn arriving(&mut self) -> bool {
        let now = self.now;
        self.sent.retain(|at| (now - *at).num_seconds() <= LATE_MAX_S);
        if self.sent.is_empty() {
            return false;
        }
        self.sent.remove(0);
        true
    }

    fn happen(&mut self, what: &Happens) {
        match what {
            Happens::Arrive { answered } => self.arrive(*answered),
            Happens::Vanish { provably } => {
                if self.arriving() {
                    self.answer(if *provably {
                        Unanswered::NotReceived {
                            code: RefusalCode::BrokerUnavailable,
                            retry_after: TimeDelta::zero(),
                        }
                    } else {
                        Unanswered::Lost("reset".to_owned())
                    });
                }
            }
            Happens::Refuse => {
                if self.venue.is_empty() && self.arriving() {
                    let (code, message) = (RefusalCode::OrderRejected, "no".to_owned());
                    self.answer(Unanswered::Refused(Refusal { code, message }));
                }
            }
            Happens::Fill(count) => {
                if let Some(booked) = self.venue.iter_mut().find(|booked| booked.open) {
                    booked.filled = (booked.filled + count).min(UNITS);
                    booked.open = booked.filled < UNITS;
                    self.told.extend(self.report());
                }
            }
            Happens::Tell { stale } => {
                let report = if *stale { self.told.first().cloned() } else { self.report() };
                if let Some(report) = report {
                    self.hear(&report);
                }
            }
            Happens::LookUp { answered } => {
                if std::mem::take(&mut self.looking) {
                    self.look_up(*answered);
                }
            }
            Happens::Again => {
                if std::mem::take(&mut self.trying) {
                    self.proceed(tried_again(&self.order));
                }
            }
            Happens::Cancel => self.cancel(),
            Happens::CancelArrives => {
                if self.cancels > 0 {
                    self.cancels -= 1;
                    self.venue.iter_mut().for_each(|booked| booked.open = false);
                }
            }
            Happens::Crash => self.crash(),
            Happens::Wait(seconds) => self.now += TimeDelta::seconds(*seconds),
        }
    }

    fn arrive(&mut self, answered: bool) {
        if !self.arriving() {
            return;
        }
        let repeat = self.forever && !self.venue.is_empty();
        if !repeat {
            self.venue.push(Booked { filled: 0, open: true });
        }
        match self.report().filter(|_| answered) {
            Some(report) => self.hear(&report),
            None => self.answer(Unanswered::Lost("504".to_owned())),
        }
    }

    fn look_up(&mut self, answered: bool) {
        // A venue whose ids hold only while an order is open finds no others by them, but by the id of its own.
        let open = self.venue.iter().any(|booked| booked.open);
        let shown = self.forever || open || self.order.broker_order.is_some();
        match self.report().filter(|_| answered && shown) {
            Some(report) => self.hear(&report),
            None => {
                let seen = self.seen();
                let search = self.search.get_or_insert_with(|| Search::new(self.order.created_at));
                let next = not_found(&self.order, search, answered, &seen);
                self.proceed(next);
            }
        }
    }

    fn cancel(&mut self) {
        if self.order.status.is_final() || self.order.status == OrderStatus::PendingCancel {
            return;
        }
        let answered = !matches!(self.order.status, OrderStatus::Pending | OrderStatus::Unknown);
        self.step(&OrderStep::CancelRequested { reason: "asked".to_owned() });
        if answered {
            self.cancels += 1;
        }
    }

    /// Memory is gone; what is not final is looked up.
    fn crash(&mut self) {
        (self.failures, self.search, self.trying) = (0, None, false);
        self.looking = !self.order.status.is_final();
    }

    fn check(&self) {
        assert!(self.venue.len() <= 1, "two orders at the venue for one intent: {:?}", self.venue);
        assert!(self.order.cum_qty <= self.order.ticket.quantity);
        let there = self.venue.first().map_or(0, |booked| booked.filled);
        assert!(self.order.cum_qty <= units(there), "we count more than the venue executed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Commands, answers, fills, cancels, crashes and reconciliations in any order: the order is never over-filled,
    /// there are never two at the venue for one intent, and when nothing more happens to it, it ends as the venue's did.
    #[test]
    fn one_intent_is_at_most_one_order_and_always_ends(events in anything(), forever: bool) {
        let mut world = World::new(forever);
        for event in &events {
            world.happen(event);
            world.check();
        }
        // From here on everything is answered, and a restart asks for what nobody waits for any more.
        for _ in 0..40 {
            if world.order.status.is_final() {
                break;
            }
            for event in [
                Happens::Arrive { answered: true },
                Happens::Again,
                Happens::CancelArrives,
                Happens::Fill(UNITS),
                Happens::LookUp { answered: true },
                Happens::Wait(3),
            ] {
                world.happen(&event);
                world.check();
            }
            if world.sent.is_empty() && !world.looking && !world.trying {
                world.happen(&Happens::Crash);
            }
        }
        prop_assert!(world.order.status.is_final(), "{:?} {:?}", world.order.status, world.venue);
        world.happen(&Happens::Tell { stale: false });
        let there = world.venue.first().map_or(0, |booked| booked.filled);
        prop_assert_eq!(world.order.cum_qty, units(there));
    }
}

fn before(failures: u32, waiting: usize) -> Before {
    Before { now: DateTime::UNIX_EPOCH, failures, waiting, ahead: waiting, max_age_s: 60 }
}

fn not_received(code: RefusalCode, retry_after_s: i64) -> Unanswered {
    Unanswered::NotReceived { code, retry_after: TimeDelta::seconds(retry_after_s) }
}

#[test]
fn an_order_that_is_not_taken_yet_says_why_and_how_many_wait() {
    let say = |answer, failures, waiting| {
        let next = unanswered(&order(), &before(failures, waiting), answer);
        let Next::TryAgain(Some(OrderStep::Deferred { code, reason, until }), pause) = next else {
            panic!("{next:?}")
        };
        assert_eq!(until, DateTime::UNIX_EPOCH + pause);
        (code.as_str(), reason, pause.num_seconds())
    };
    let slow = |waiting| say(not_received(RefusalCode::RateLimitExceeded, 7), 0, waiting);
    let words = "Venue rate limit: 12 orders queued, processing...".to_owned();
    assert_eq!(slow(11), ("RATE_LIMIT_EXCEEDED", words, 7));
    assert_eq!(slow(0).1, "Venue rate limit: 1 order queued, processing...");
    let away = say(not_received(RefusalCode::BrokerUnavailable, 0), 1, 0);
    let words = "Venue temporarily unavailable. The order is sent again in 2 s.".to_owned();
    assert_eq!(away, ("BROKER_UNAVAILABLE", words, 2));
}

fn held_back(wait_ms: i64, pace_ms: i64) -> Unanswered {
    Unanswered::HeldBack { wait: TimeDelta::milliseconds(wait_ms), pace: TimeDelta::milliseconds(pace_ms) }
}

#[test]
fn an_order_that_is_held_back_says_how_many_are_and_when_it_is_expected_to_be_sent() {
    let next = unanswered(&order(), &before(0, 11), held_back(400, 250));
    let code = RefusalCode::RateLimitExceeded;
    let reason = "Venue rate limit: 12 orders queued, processing... It is expected to be sent within 4 s.";
    let turn = TimeDelta::milliseconds(400 + 11 * 250);
    let until = DateTime::UNIX_EPOCH + turn;
    let step = OrderStep::Deferred { code, until, reason: reason.to_owned() };
    assert_eq!(next, Next::TryAgain(Some(step.clone()), turn));

    let mut held = order();
    held.apply(&step, DateTime::UNIX_EPOCH).unwrap();
    let first = Before { ahead: 0, ..before(0, 11) };
    let again = unanswered(&held, &first, held_back(300, 250));
    assert_eq!(again, Next::TryAgain(None, TimeDelta::milliseconds(300)), "it has said so");
    let many = unanswered(&held, &before(0, 500), held_back(300, 250));
    assert_eq!(many, Next::TryAgain(None, TimeDelta::seconds(5)), "those before it may be gone sooner");
}

#[test]
fn an_entry_is_held_back_no_longer_than_its_signal_may_be_old_and_an_exit_as_long_as_it_takes() {
    let mut held = order();
    let code = RefusalCode::RateLimitExceeded;
    let step = OrderStep::Deferred { code, until: DateTime::UNIX_EPOCH, reason: String::new() };
    held.apply(&step, DateTime::UNIX_EPOCH).unwrap();
    let at = |s| Before { now: DateTime::UNIX_EPOCH + TimeDelta::seconds(s), ..before(9, 0) };
    assert!(matches!(unanswered(&held, &at(60), held_back(300, 0)), Next::TryAgain(None, _)));
    let Next::Step(OrderStep::Failed { code: Some(code), .. }) =
        unanswered(&held, &at(61), held_back(300, 0))
    else {
        panic!("it is too old")
    };
    assert_eq!(code, RefusalCode::RateLimitExceeded);
    held.ticket.reduces = true;
    assert!(matches!(unanswered(&held, &at(3_600), held_back(300, 0)), Next::TryAgain(None, _)));
}

#[test]
fn an_order_that_is_never_taken_ends_under_the_code_of_the_last_answer() {
    for (code, words) in [
        (RefusalCode::BrokerUnavailable, "Venue temporarily unavailable. Order not submitted."),
        (
            RefusalCode::RateLimitExceeded,
            "Venue rate limit reached. Order not submitted. Send the signal again in a minute.",
        ),
    ] {
        let failed = OrderStep::Failed { code: Some(code), reason: words.to_owned() };
        assert_eq!(unanswered(&order(), &before(3, 0), not_received(code, 0)), Next::Step(failed));
    }
}

/// Looks a lost order up until it is clear that nobody has it, and returns how that ends.
fn given_up(status: OrderStatus, taken: Option<Refusal>) -> Next {
    let mut order = order();
    order.status = status;
    let mut search = Search::new(DateTime::UNIX_EPOCH);
    if let Some(refusal) = taken {
        search.says_taken(refusal);
    }
    let seen = |second| Circumstances {
        now: DateTime::UNIX_EPOCH + TimeDelta::seconds(second),
        repeats_are_safe: true,
        proof: false,
        max_age_s: 30,
    };
    for second in [6, 12] {
        assert!(matches!(not_found(&order, &mut search, true, &seen(second)), Next::LookUp(None, _)));
    }
    not_found(&order, &mut search, true, &seen(31))
}

#[test]
fn a_lost_order_that_is_too_old_to_be_sent_was_the_brokers_fault_and_one_never_sent_was_not() {
    let Next::Step(OrderStep::Expired { code, reason }) = given_up(OrderStatus::Unknown, None) else {
        panic!()
    };
    assert_eq!(code, Some(RefusalCode::BrokerUnavailable));
    assert_eq!(reason, "Venue temporarily unavailable. Order not submitted.");
    let Next::Step(OrderStep::Expired { code, reason }) = given_up(OrderStatus::Pending, None) else {
        panic!()
    };
    assert_eq!((code, reason.contains("its signal is 31 s old")), (None, true), "{reason}");
}

#[test]
fn what_the_broker_took_for_a_repeat_and_never_shows_is_refused_as_one() {
    let refusal = Refusal { code: RefusalCode::DuplicateOrder, message: "a repeat".to_owned() };
    let rejected = OrderStep::Rejected { code: "DUPLICATE_ORDER".to_owned(), reason: "a repeat".to_owned() };
    for status in [OrderStatus::Unknown, OrderStatus::PendingCancel] {
        assert_eq!(given_up(status, Some(refusal.clone())), Next::Step(rejected.clone()));
    }
}
