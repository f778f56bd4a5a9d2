//! What goes wrong at the venue, changing all the time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use venues::book::FillMode;
use venues::faults::{Action, Rule, When};
use venues::feed::Price;
use venues::streams::{Channel, StreamFaults};

use super::compare::Place;
use super::{Run, SYMBOLS, Size, person};
use crate::support::Chance;
use crate::support::venue::Venue;

/// Largest position in per cent of equity that the engine may take, and what prices may add to it afterwards.
const LARGEST_PCT: i64 = 10;
const PRICES_ADD_PCT: i64 = 15;

/// Returns something that goes wrong with orders, or with any request.
fn fault(chance: &mut Chance) -> (&'static str, Rule) {
    const ORDERS: &str = "POST /v2/orders";
    const ANY: &str = "* /v2/*";
    let when = if chance.below(2) == 0 { When::Before } else { When::After };
    let status = *chance.pick(&[500, 503, 504]);
    let (name, rule) = match chance.below(12) {
        0 => ("delay", Rule::on(ANY, Action::Pass).delayed(50 + chance.below(600))),
        1 => {
            ("429", Rule::on(ANY, Action::Status { status: 429, when: When::Before, retry_after_s: Some(1) }))
        }
        2 => ("5xx", Rule::on(ANY, Action::Status { status, when, retry_after_s: None })),
        3 | 4 => ("5xx to an order", Rule::on(ORDERS, Action::Status { status, when, retry_after_s: None })),
        5 => ("reset", Rule::on(ANY, Action::Reset { when })),
        6 => ("reset of an order", Rule::on(ORDERS, Action::Reset { when })),
        7 => ("silence", Rule::on(ORDERS, Action::Silence { when })),
        8 => ("garbled 200", Rule::on(ORDERS, Action::Garble)),
        9 => ("rejected after it was accepted", Rule::on(ORDERS, Action::Reject)),
        10 => ("duplicate id", Rule::on(ORDERS, Action::Duplicate)),
        _ => ("cancel without an answer", Rule::on("DELETE /v2/orders*", Action::Reset { when })),
    };
    (name, rule.likely(Decimal::new(i64::try_from(2 + chance.below(14)).unwrap(), 2)))
}

fn stream_faults(chance: &mut Chance) -> StreamFaults {
    let calm = StreamFaults { channel: Some(Channel::Orders), ..StreamFaults::default() };
    match chance.below(6) {
        0 => StreamFaults { duplicate: true, ..calm },
        1 => StreamFaults { window: 4, hold_ms: 300, ..calm },
        2 => StreamFaults { delay_ms: 50 + chance.below(800), ..calm },
        3 => StreamFaults { swallow: 1 + u32::try_from(chance.below(5)).unwrap(), ..calm },
        4 => StreamFaults { duplicate: true, window: 3, hold_ms: 200, delay_ms: 100, ..calm },
        _ => calm,
    }
}

/// Puts other faults in force, and counts how often the ones before applied.
fn change(
    venue: &Venue,
    chance: &mut Chance,
    names: &mut Vec<&'static str>,
    fired: &mut BTreeMap<String, u64>,
) {
    let world = venue.world();
    for (name, counted) in names.drain(..).zip(world.faults()) {
        *fired.entry(name.to_owned()).or_default() += u64::from(counted.fired);
    }
    world.clear_faults();
    for _ in 0..2 + chance.below(3) {
        let (name, rule) = fault(chance);
        names.push(name);
        world.add_fault(rule);
    }
    world.set_stream_faults(stream_faults(chance));
    let mode = match chance.below(3) {
        0 => FillMode::AtOnce,
        _ => FillMode::Parts {
            parts: 2 + u32::try_from(chance.below(3)).unwrap(),
            every_ms: 50 + u32::try_from(chance.below(400)).unwrap(),
        },
    };
    world.set_fill_mode(None, mode);
    world.set_cancel_takes(u32::try_from(chance.below(400)).unwrap());
    if chance.below(12) == 0 {
        world.refuse_streams(200 + u32::try_from(chance.below(1_500)).unwrap());
    }
}

/// Moves one price by up to three quarters of a per cent, never further than six from where it began.
fn move_price(venue: &Venue, chance: &mut Chance) {
    let (symbol, start) = *chance.pick(&SYMBOLS);
    let start = Decimal::from(start);
    let last = venue.world().look(|state| state.book.feed().quote(symbol).unwrap().last);
    let step = Decimal::from(chance.below(151)) - Decimal::from(75);
    let far = start * Decimal::new(6, 2);
    let price = (last + last * step / Decimal::from(10_000)).clamp(start - far, start + far).round_dp(2);
    venue.world().set_price(&Price::flat(symbol, price));
}

/// Takes note of positions larger than they may be.
fn too_large(venue: &Venue, peaks: &mut BTreeMap<Place, String>) {
    let most = Decimal::from(LARGEST_PCT * (100 + PRICES_ADD_PCT)) / Decimal::from(10_000);
    venue.world().look(|state| {
        for (name, account) in state.book.accounts() {
            let equity = account.equity(state.book.feed());
            for (symbol, holding) in &account.holdings {
                let last = state.book.feed().quote(symbol).map(|quote| quote.last).unwrap_or_default();
                let value = (holding.qty * last).abs();
                if value > equity * most {
                    let told = format!("{} units are {value} of {equity}", holding.qty);
                    peaks.entry((person(name), symbol.clone())).or_insert(told);
                }
            }
        }
    });
}

/// Has things go wrong until the run is over, then ends it all. Returns positions that were too large, and how often
/// which fault applied.
pub(super) async fn storm(
    venue: Arc<Venue>,
    run: Arc<Run>,
    size: Size,
    mut chance: Chance,
) -> (BTreeMap<Place, String>, BTreeMap<String, u64>) {
    let started = Instant::now();
    let every = size.lasts / u32::try_from(size.drops + 1).unwrap();
    let mut next = Duration::ZERO;
    let (mut names, mut fired, mut peaks) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    while !run.over.load(Ordering::Relaxed) {
        if started.elapsed() >= next {
            change(&venue, &mut chance, &mut names, &mut fired);
            next = started.elapsed() + Duration::from_millis(500 + chance.below(2_000));
        }
        let drops = run.drops.load(Ordering::Relaxed);
        if drops < size.drops && started.elapsed() >= every * u32::try_from(drops + 1).unwrap() {
            // Streams end at once, and whoever asks anything in the next moment is hung up on.
            venue.world().clear_faults();
            names.clear();
            venue.world().add_fault(Rule::on("*", Action::Reset { when: When::Before }));
            venue.world().drop_streams(None);
            tokio::time::sleep(Duration::from_millis(300)).await;
            run.drops.fetch_add(1, Ordering::Relaxed);
            next = Duration::ZERO;
        }
        move_price(&venue, &mut chance);
        too_large(&venue, &mut peaks);
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    venue.world().clear_faults();
    venue.world().set_fill_mode(None, FillMode::AtOnce);
    venue.world().set_cancel_takes(0);
    (peaks, fired)
}
