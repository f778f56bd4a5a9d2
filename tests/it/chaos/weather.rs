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
use venues::world::World;

use super::compare::Place;
use super::people::Good;
use super::{Run, Size};
use crate::support::Chance;

/// Largest position in per cent of equity that the engine may take, and what prices may add to it afterwards.
const LARGEST_PCT: i64 = 10;
const PRICES_ADD_PCT: i64 = 15;

/// Where which requests go to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Routes {
    /// Any that goes wrong.
    pub(super) any: &'static str,
    /// Those that place orders.
    pub(super) orders: &'static str,
    /// Those that cancel them.
    pub(super) cancels: &'static str,
}

/// Where the weather is.
#[derive(Clone, Debug)]
pub(super) struct Sky {
    pub(super) world: Arc<World>,
    pub(super) routes: Routes,
    pub(super) goods: &'static [Good],
    /// Decimals of a price.
    pub(super) price_dp: u32,
    /// Whether it takes no names of ours, so that none can be taken.
    pub(super) is_nameless: bool,
    /// The accounts' numbers by their names there.
    pub(super) numbers: BTreeMap<String, usize>,
}

/// Returns something that goes wrong with orders, or with any request.
fn fault(sky: &Sky, chance: &mut Chance) -> (&'static str, Rule) {
    let Routes { any, orders, cancels } = sky.routes;
    let when = if chance.below(2) == 0 { When::Before } else { When::After };
    let status = *chance.pick(&[500, 503, 504]);
    let (name, rule) = match chance.below(12) {
        0 => ("delay", Rule::on(any, Action::Pass).delayed(50 + chance.below(600))),
        1 => {
            ("429", Rule::on(any, Action::Status { status: 429, when: When::Before, retry_after_s: Some(1) }))
        }
        2 => ("5xx", Rule::on(any, Action::Status { status, when, retry_after_s: None })),
        3 | 4 => ("5xx to an order", Rule::on(orders, Action::Status { status, when, retry_after_s: None })),
        5 => ("reset", Rule::on(any, Action::Reset { when })),
        6 => ("reset of an order", Rule::on(orders, Action::Reset { when })),
        7 => ("silence", Rule::on(orders, Action::Silence { when })),
        8 => ("garbled 200", Rule::on(orders, Action::Garble)),
        9 => ("rejected after it was accepted", Rule::on(orders, Action::Reject)),
        10 if sky.is_nameless => {
            ("no id of a new order", Rule::on(orders, Action::LoseHeader { name: "location".to_owned() }))
        }
        10 => ("duplicate id", Rule::on(orders, Action::Duplicate)),
        _ => ("cancel without an answer", Rule::on(cancels, Action::Reset { when })),
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
fn change(sky: &Sky, chance: &mut Chance, names: &mut Vec<&'static str>, fired: &mut BTreeMap<String, u64>) {
    let world = &sky.world;
    for (name, counted) in names.drain(..).zip(world.faults()) {
        *fired.entry(name.to_owned()).or_default() += u64::from(counted.fired);
    }
    world.clear_faults();
    for _ in 0..2 + chance.below(3) {
        let (name, rule) = fault(sky, chance);
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
fn move_price(sky: &Sky, chance: &mut Chance) {
    let Good { symbol, price: start, .. } = *chance.pick(sky.goods);
    let start = Decimal::from(start);
    let last = sky.world.look(|state| state.book.feed().quote(symbol).unwrap().last);
    let step = Decimal::from(chance.below(151)) - Decimal::from(75);
    let far = start * Decimal::new(6, 2);
    let price = (last + last * step / Decimal::from(10_000)).clamp(start - far, start + far);
    let price = price.round_dp(sky.price_dp);
    sky.world.set_price(&Price::flat(symbol, price));
}

/// Takes note of positions larger than they may be.
fn too_large(sky: &Sky, peaks: &mut BTreeMap<Place, String>) {
    let most = Decimal::from(LARGEST_PCT * (100 + PRICES_ADD_PCT)) / Decimal::from(10_000);
    sky.world.look(|state| {
        for (name, account) in state.book.accounts() {
            let Some(number) = sky.numbers.get(name) else { continue };
            let equity = account.equity(state.book.feed());
            for (symbol, holding) in &account.holdings {
                let last = state.book.feed().quote(symbol).map(|quote| quote.last).unwrap_or_default();
                let value = (holding.qty * last).abs();
                if value > equity * most {
                    let told = format!("{} units are {value} of {equity}", holding.qty);
                    peaks.entry((*number, symbol.clone())).or_insert(told);
                }
            }
        }
    });
}

/// Has things go wrong until the run is over, then ends it all. Returns positions that were too large, and how often
/// which fault applied.
pub(super) async fn storm(
    sky: Sky,
    run: Arc<Run>,
    size: Size,
    mut chance: Chance,
) -> (BTreeMap<Place, String>, BTreeMap<String, u64>) {
    let started = Instant::now();
    let every = size.lasts / u32::try_from(size.drops + 1).unwrap();
    let mut next = Duration::ZERO;
    let (mut names, mut fired, mut peaks) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    let mut drops = 0;
    while !run.over.load(Ordering::Relaxed) {
        if started.elapsed() >= next {
            change(&sky, &mut chance, &mut names, &mut fired);
            next = started.elapsed() + Duration::from_millis(500 + chance.below(2_000));
        }
        if drops < size.drops && started.elapsed() >= every * u32::try_from(drops + 1).unwrap() {
            // Streams end at once, and whoever asks anything in the next moment is hung up on.
            sky.world.clear_faults();
            names.clear();
            sky.world.add_fault(Rule::on("*", Action::Reset { when: When::Before }));
            sky.world.drop_streams(None);
            tokio::time::sleep(Duration::from_millis(300)).await;
            drops += 1;
            run.drops.fetch_add(1, Ordering::Relaxed);
            next = Duration::ZERO;
        }
        move_price(&sky, &mut chance);
        too_large(&sky, &mut peaks);
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    sky.world.clear_faults();
    sky.world.set_fill_mode(None, FillMode::AtOnce);
    sky.world.set_cancel_takes(0);
    (peaks, fired)
}
