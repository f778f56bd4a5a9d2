//! The same with people at all venues at once, some of them at two: each venue has weather of its own.
//!
//! `TE_CHAOS_HOURS` may be six at most: shares are traded for no longer in a day.

mod towns;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rust_decimal::Decimal;
use trade_actors::domain::order::OrderStatus;
use venues::feed::Price;

use super::compare::{Sides, Verdict};
use super::people::{Account, Person};
use super::{Run, Size, client, kill_all_the_time, read, rest, weather};
use crate::support::{Chance, Server, docs, wait_or_say};
use towns::{Town, settle};

/// How long everything may take to come to rest: where an id says nothing, or lists are shown now and then only, a lost
/// order is searched for longer than at Alpaca.
const REST: Duration = Duration::from_secs(200);

/// What happened at a venue.
struct Report<'a> {
    town: &'a Town,
    accounts: BTreeSet<usize>,
    users: usize,
    fired: u64,
    sides: Sides,
    verdict: Verdict,
}

impl Report<'_> {
    /// Returns how often orders of signals came to which end, and why.
    fn ends(&self) -> BTreeMap<String, usize> {
        let mut ends = BTreeMap::new();
        for order in self.sides.ours.values().filter(|order| order.of_signal) {
            let why: String = order.reason.chars().take(60).collect();
            *ends.entry(format!("{:?} {why}", order.status)).or_default() += 1;
        }
        ends
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "not clean yet: see docs/RELIABILITY.md"]
async fn users_of_all_venues_lose_nothing_and_double_nothing_while_everything_goes_wrong() {
    let size = Size::wanted([18, 360, 4, 3, 80], [45, 1_800, 20, 8, 240]);
    let mut chance = Chance::new();
    let began = Instant::now();
    let (mut server, towns, people) = settle(size.users, &mut chance).await;
    println!("{} people are connected after {:?}", people.len(), began.elapsed());

    let began = Instant::now();
    let run = Arc::new(Run::default());
    let storms: Vec<_> = towns
        .iter()
        .map(|town| tokio::spawn(weather::storm(town.sky(&people), Arc::clone(&run), size, chance.fork())))
        .collect();
    let clients: Vec<_> = people
        .iter()
        .map(|person| {
            let share = share(person, size);
            tokio::spawn(client(person.clone(), Arc::clone(&run), share, size.lasts, chance.fork()))
        })
        .collect();
    let kills = kill_all_the_time(&mut server, &run, size, &mut chance).await;
    let mut told = Vec::with_capacity(size.signals);
    for client in clients {
        told.extend(client.await.unwrap());
    }
    let lasted = began.elapsed();
    run.over.store(true, Ordering::Relaxed);
    let (mut peaks, mut fired) = (BTreeMap::new(), Vec::new());
    for storm in storms {
        let (larger, faults) = storm.await.unwrap();
        peaks.extend(larger);
        fired.push(faults);
    }
    println!("{} signals in {lasted:?}; now it may come to rest", told.len());

    let (rested, at_rest) = rest(&people, REST).await;
    let feed = read::feed(&people).await;
    server.stop().await;
    server.assert_log_is_whole();
    let sides = Sides { told, peaks, feed, ..read::sides(&server.data, &people) };
    let verdict = sides.judge();
    let reports: Vec<_> =
        towns.iter().zip(&fired).map(|(town, fired)| report(town, fired, &people, &sides)).collect();
    let table = table(&reports, &verdict, kills);
    for report in &reports {
        println!("{}: {:?}", report.town.site.place.name, report.ends());
    }
    println!("{table}\n{fired:#?}\n{lasted:?}, at rest after {rested:?}\n{}", verdict.text());
    assert!(at_rest, "not at rest after {rested:?}\n{}", verdict.text());
    assert!(verdict.is_clean(), "{}", verdict.text());
    for report in &reports {
        let Report { town, verdict, fired, sides, .. } = report;
        let name = town.site.place.name;
        assert!(verdict.is_clean(), "{name}: {}", verdict.text());
        assert!(*fired > 0 && !sides.theirs.is_empty(), "{name}: nothing happened there");
    }
    assert!(kills >= size.kills && run.drops.load(Ordering::Relaxed) >= size.drops * towns.len());
    differences_are_found(&reports);
    what_is_watched_is_left(&mut server, &people).await;
    docs::write("docs/RELIABILITY.md", "chaos run everywhere", &table);
}

/// Returns how many signals a person sends. A gateway of Interactive Brokers takes few requests, from all that use it.
fn share(person: &Person, size: Size) -> usize {
    let is_slow = person.accounts.iter().any(|account| account.broker == "ibkr");
    (size.signals / size.users / if is_slow { 3 } else { 1 }).max(1)
}

fn report<'a>(town: &'a Town, fired: &BTreeMap<String, u64>, people: &[Person], all: &Sides) -> Report<'a> {
    let here = |account: &&Account| account.broker == town.site.place.name;
    let accounts: BTreeSet<_> = people
        .iter()
        .flat_map(|person| &person.accounts)
        .filter(here)
        .map(|account| account.number)
        .collect();
    let sides = all.at(&accounts);
    let users = people.iter().filter(|person| person.accounts.iter().any(|account| here(&account))).count();
    Report { town, users, fired: fired.values().sum(), verdict: sides.judge(), sides, accounts }
}

/// Returns the table of the run, a line a venue.
fn table(reports: &[Report<'_>], all: &Verdict, kills: usize) -> String {
    let promises: Vec<_> = all.0.iter().map(|(promise, _)| *promise).collect();
    let mut text = format!(
        "| venue | users | signals | orders at the venue | faults | SIGKILLs | {} |\n|---|{}\n",
        promises.join(" | "),
        "---|".repeat(5 + promises.len())
    );
    let mut sums = [0; 3];
    for report in reports {
        let counts =
            [report.sides.told.len(), report.sides.theirs.len(), usize::try_from(report.fired).unwrap()];
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
        let wrong: Vec<_> =
            promises.iter().map(|promise| report.verdict.count(promise).to_string()).collect();
        let [signals, orders, faults] = counts;
        text.push_str(&format!(
            "| {} | {} | {signals} | {orders} | {faults} | {kills} | {} |\n",
            report.town.site.place.name,
            report.users,
            wrong.join(" | ")
        ));
    }
    let wrong: Vec<_> = promises.iter().map(|promise| all.count(promise).to_string()).collect();
    let [signals, orders, faults] = sums;
    text.push_str(&format!(
        "| all | | {signals} | {orders} | {faults} | {kills} | {} |\n",
        wrong.join(" | ")
    ));
    text
}

/// A way to spoil what a venue's run came to, and the promise that it breaks.
type Plant = (&'static str, fn(&mut Sides));

/// Shows of what really happened that no venue's difference would have been missed.
fn differences_are_found(reports: &[Report<'_>]) {
    let plants: [Plant; 5] = [
        ("orders duplicated", |sides| sides.theirs.push(sides.theirs[an_entry(sides)].clone())),
        ("orders duplicated", |sides| {
            let mut second = sides.theirs[an_entry(sides)].clone();
            second.id = "one that nobody decided on".to_owned();
            sides.theirs.push(second);
        }),
        ("orders lost", |sides| drop(sides.theirs.remove(an_entry(sides)))),
        ("orders lost", |sides| {
            let id = sides.theirs[an_entry(sides)].id.clone();
            sides.ours.remove(&id);
        }),
        ("positions differing", |sides| {
            let at = an_entry(sides);
            sides.theirs[at].filled += Decimal::ONE;
        }),
    ];
    for report in reports {
        for (number, (promise, plant)) in plants.iter().enumerate() {
            let mut sides = report.sides.clone();
            plant(&mut sides);
            let found = sides.judge().count(promise);
            assert!(found > 0, "plant {number} at {}: {promise}", report.town.site.place.name);
        }
        assert!(!report.accounts.is_empty());
    }
}

/// Returns which of the venue's orders did what a signal said.
fn an_entry(sides: &Sides) -> usize {
    let is_one = |id: &str| {
        sides.ours.get(id).is_some_and(|order| order.of_signal && order.status == OrderStatus::Filled)
    };
    sides.theirs.iter().position(|order| is_one(&order.id)).unwrap()
}

/// Has prices fall where stops do not rest at the venue: the program, started once more, is to leave what it watches.
async fn what_is_watched_is_left(server: &mut Server, people: &[Person]) {
    server.start_again().await;
    let accounts = people.iter().flat_map(|person| &person.accounts);
    let watched: Vec<_> = accounts.filter(|account| !account.manner.holds_stops).collect();
    for account in &watched {
        for good in account.goods() {
            let fallen = Decimal::from(good.price) * Decimal::new(85, 2);
            account.world.set_price(&Price::flat(good.symbol, fallen));
        }
    }
    let left = watched.iter().map(|account| async move {
        for good in account.goods() {
            wait_or_say(&format!("{} of {} to be left", good.symbol, account.name), || async {
                let held = account.held(good.symbol);
                if held.is_zero() || account.is_too_small(good.symbol) {
                    Ok(())
                } else {
                    Err(format!(": {held} is held"))
                }
            })
            .await;
        }
    });
    join_all(left).await;
    server.stop().await;
}
