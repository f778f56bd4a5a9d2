//! Everything goes wrong at once: fifty people trade at a venue that delays, refuses, forgets, repeats and hangs up,
//! while the program is killed fifty times. At the end nothing is lost, doubled, past a limit or unprotected.
//!
//! `TE_SEED` repeats what is said, what goes wrong and when the program is killed, though not which thread is faster.
//! A run is a quarter of the size, `TE_CHAOS_FULL=1` all of it, and `TE_CHAOS_HOURS=n` makes it last;
//! `TE_CHAOS_USERS`, `TE_CHAOS_SIGNALS` and `TE_CHAOS_KILLS` change its size.

mod compare;
mod everywhere;
mod people;
mod read;
mod weather;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::support::venue::{Venue, connect};
use crate::support::{Api, Chance, Server, Setup, docs};
use compare::{Sides, Told};
use people::{Account, Good, Manner, Person};
use weather::{Routes, Sky};

/// What is traded at Alpaca.
const SHARES: [Good; 4] = [
    Good { symbol: "AAPL", price: 200, unit: (1, 0) },
    Good { symbol: "MSFT", price: 400, unit: (1, 0) },
    Good { symbol: "TSLA", price: 250, unit: (1, 0) },
    Good { symbol: "NVDA", price: 120, unit: (1, 0) },
];
const ALPACA: Manner =
    Manner { goods: &SHARES, price_dp: 2, lot: (0, 0), least: (0, 0), holds_stops: true, is_nameless: false };
/// The ways to it.
const ALPACA_ROUTES: Routes =
    Routes { any: "* /v2/*", orders: "POST /v2/orders", cancels: "DELETE /v2/orders*" };
/// What cannot be understood, or not be traded.
const NONSENSE: [&str; 2] = [
    r#"{ "ticker": "AAPL", "action": "dance" }"#,
    r#"{ "ticker": "NOSUCH", "action": "buy", "quantity": 1 }"#,
];
/// How long clients insist; a kill, a slow start and a refusal may all be in the way.
const GIVE_UP: Duration = Duration::from_secs(120);
/// How long everything may take to come to rest: a lost order is searched for ten seconds, and the wait between two
/// attempts grows to a minute.
const REST: Duration = Duration::from_secs(150);

/// How much of it there is.
#[derive(Clone, Copy, Debug)]
struct Size {
    users: usize,
    signals: usize,
    kills: usize,
    drops: usize,
    lasts: Duration,
}

impl Size {
    /// Returns the size that the environment asks for: of a part, or of all of it; each is how many users, signals, kills
    /// and cuts of streams there are, in how many seconds.
    fn wanted(part: [usize; 5], all: [usize; 5]) -> Self {
        let number = |name: &str| {
            let said = std::env::vars().find(|(known, _)| known == name);
            said.map(|(_, text)| text.parse::<usize>().unwrap())
        };
        let hours = number("TE_CHAOS_HOURS");
        let full = number("TE_CHAOS_FULL").is_some() || hours.is_some();
        let [users, signals, kills, drops, seconds] = if full { all } else { part };
        let times = hours.map_or(1, |hours| hours * 12);
        Self {
            users: number("TE_CHAOS_USERS").unwrap_or(users),
            signals: number("TE_CHAOS_SIGNALS").unwrap_or(signals * times),
            kills: number("TE_CHAOS_KILLS").unwrap_or(kills * times),
            drops: drops * times,
            lasts: Duration::from_secs(hours.map_or(seconds, |hours| hours * 3_600) as u64),
        }
    }
}

/// What the tasks have in common.
#[derive(Debug, Default)]
struct Run {
    /// Signals that were answered.
    answered: AtomicUsize,
    /// Deliveries of them, repeats among them.
    deliveries: AtomicUsize,
    repeats: AtomicUsize,
    nonsense: AtomicUsize,
    drops: AtomicUsize,
    over: AtomicBool,
}

/// Returns the body of a person's next alert, the account it is for, and how much it says.
fn alert<'a>(
    person: &'a Person,
    number: usize,
    chance: &mut Chance,
) -> (Value, &'a Account, Option<Decimal>) {
    let account = person.choose(chance);
    let Good { symbol, unit, .. } = *chance.pick(account.goods());
    let unit = Decimal::new(unit.0, unit.1);
    let id = format!("u{}-{number}", person.number);
    let mut body = json!({ "id": id, "ticker": symbol });
    if let Some(via) = person.via(account) {
        body["via"] = json!(via);
    }
    match chance.below(100) {
        0..=4 => {
            let quantity = unit * Decimal::from(90_000);
            (body["action"], body["quantity"]) = (json!("buy"), json!(quantity));
            (body, account, Some(quantity))
        }
        5..=30 => {
            body["action"] = json!("close");
            (body, account, None)
        }
        draw => {
            let drawn = 1 + chance.below(5);
            // Where the venue takes no names, no two orders within a minute are to look the same.
            let units = if account.manner.is_nameless { 1 + number as u64 % 24 } else { drawn };
            let quantity = unit * Decimal::from(units);
            let action = if draw % 3 == 0 { "sell" } else { "buy" };
            (body["action"], body["quantity"]) = (json!(action), json!(quantity));
            let last = account.last(symbol);
            if action == "buy" && draw % 4 == 0 {
                let dp = account.manner.price_dp;
                body["stopLoss"] = json!((last * Decimal::new(985, 3)).round_dp(dp));
                body["takeProfit"] = json!((last * Decimal::new(1_015, 3)).round_dp(dp));
            }
            (body, account, Some(quantity))
        }
    }
}

/// Posts one alert until it is answered, as often as it takes.
async fn post(api: &Api, body: &Value, run: &Run) -> (u16, String) {
    let fail = |why: String| -> ! {
        run.over.store(true, Ordering::Relaxed);
        panic!("{body}: {why}")
    };
    let started = Instant::now();
    loop {
        run.deliveries.fetch_add(1, Ordering::Relaxed);
        match api.try_signal(body).await {
            Ok(answer) if matches!(answer.status, 200 | 202) => {
                return (answer.status, answer.str("signal_id").to_owned());
            }
            Ok(answer) if matches!(answer.status, 429 | 503) => {}
            Ok(answer) => fail(format!("{} {}", answer.status, answer.text)),
            Err(_) => {}
        }
        if started.elapsed() > GIVE_UP {
            fail("no answer".to_owned());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Sends one person's share of the alerts, evenly over the time, and returns every signal they were told of.
async fn client(
    person: Person,
    run: Arc<Run>,
    share: usize,
    lasts: Duration,
    mut chance: Chance,
) -> Vec<Told> {
    let pause = millis(lasts) / share as u64;
    let started = Instant::now();
    let mut told = Vec::with_capacity(share);
    for number in 0..share {
        let due = Duration::from_millis(pause * number as u64 + chance.below(pause));
        tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
        let (body, account, quantity) = alert(&person, number, &mut chance);
        let (_, signal) = post(&person.api, &body, &run).await;
        if chance.below(20) == 0 {
            let (status, again) = post(&person.api, &body, &run).await;
            assert_eq!((status, &again), (200, &signal), "a repeat is the same signal");
            run.repeats.fetch_add(1, Ordering::Relaxed);
        }
        let nonsense = *chance.pick(&NONSENSE);
        if chance.below(25) == 0
            && let Ok(answer) = person.api.try_signal(&serde_json::from_str(nonsense).unwrap()).await
            && !matches!(answer.status, 429 | 503)
        {
            if answer.status == 422 {
                assert!(!answer.str("detail").is_empty(), "{}", answer.text);
                run.nonsense.fetch_add(1, Ordering::Relaxed);
            } else {
                // Right after a start the venue's list is not known yet: taken like any other, and denied later.
                let (signal, quantity) = (answer.str("signal_id").to_owned(), Some(Decimal::ONE));
                let account = person.usual("NOSUCH").number;
                told.push(Told { account, signal, quantity, body: nonsense.to_owned() });
            }
        }
        told.push(Told { account: account.number, signal, quantity, body: body.to_string() });
        run.answered.fetch_add(1, Ordering::Relaxed);
    }
    told
}

/// Returns the key of a person's account at the venue.
fn key(person: usize) -> String {
    format!("PKCHAOS{person:05}")
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap()
}

/// Makes the people and connects each to an account of their own.
async fn people(server: &Server, venue: &Venue, keys: &[String]) -> Vec<Person> {
    let mut people = Vec::with_capacity(keys.len());
    for (number, (api, key)) in server.owner().users(keys.len()).await.into_iter().zip(keys).enumerate() {
        let made = connect(&api, key).await;
        let account = Account {
            number,
            connection: made["id"].as_str().unwrap().to_owned(),
            name: key.clone(),
            broker: "alpaca",
            manner: ALPACA,
            world: Arc::clone(venue.world()),
        };
        people.push(Person { number, api, accounts: vec![account], by_class: false });
    }
    people
}

/// Kills the program at random moments, evenly over the signals, and starts it again at once.
async fn kill_all_the_time(server: &mut Server, run: &Run, size: Size, chance: &mut Chance) -> usize {
    let started = Instant::now();
    let every = size.lasts / u32::try_from(size.kills.max(1)).unwrap();
    let mut kills = 0;
    for kill in 0..size.kills {
        let due = every * u32::try_from(kill).unwrap() + Duration::from_millis(chance.below(millis(every)));
        while started.elapsed() < due {
            if run.over.load(Ordering::Relaxed) {
                return kills;
            }
            tokio::time::sleep(Duration::from_micros(500 + chance.below(5_000))).await;
        }
        server.kill9();
        server.start_again().await;
        kills += 1;
    }
    kills
}

/// Waits until nothing is under way; returns how long that took, and whether it came to that.
async fn rest(people: &[Person], within: Duration) -> (Duration, bool) {
    let started = Instant::now();
    let mut left: Vec<&Person> = people.iter().collect();
    let mut quiet = 0;
    while started.elapsed() < within {
        let mut busy = Vec::new();
        for person in left {
            if !is_at_rest(person).await {
                busy.push(person);
            }
        }
        if busy.is_empty() {
            quiet += 1;
            if quiet == 2 {
                return (started.elapsed(), true);
            }
            // Once more for all: what one had may have moved while others were looked at.
            busy = people.iter().collect();
        } else {
            quiet = 0;
        }
        left = busy;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    (started.elapsed(), false)
}

async fn is_at_rest(person: &Person) -> bool {
    let is_covered = |account: &Account| {
        account.goods().iter().all(|good| {
            let wanted =
                if account.manner.holds_stops { account.held(good.symbol).abs() } else { Decimal::ZERO };
            wanted == account.stopped(good.symbol) || account.is_too_small(good.symbol)
        })
    };
    let covered = person.accounts.iter().all(is_covered);
    let done = |trade: &Value| {
        ["filled", "cancelled", "rejected", "expired", "failed"].iter().any(|end| trade["status"] == *end)
            || (trade["purpose"] == "protection" && trade["status"] == "submitted")
    };
    covered && person.api.trades().await.iter().all(done)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_loses_nothing_doubles_nothing_and_leaves_nothing_unprotected() {
    // A quarter of the full size in less than a minute.
    let size = Size::wanted([16, 1_250, 12, 4, 50], [50, 5_000, 50, 10, 150]);
    let mut chance = Chance::new();
    let keys: Vec<String> = (0..size.users).map(key).collect();
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let venue = Arc::new(Venue::open_with(&names, Some(chance.below(u64::MAX))).await);
    for good in SHARES {
        venue.price(good.symbol, good.price);
    }
    let setup = venue.setup(Setup::new()).fixed_port().set("risk.stop_loss_pct", 2);
    // The venue's own pace is not what this is about; the bucket is there, and wide.
    let mut server = setup.set("brokers.alpaca.requests_per_minute", 1_200).start().await;
    let began = Instant::now();
    let people = people(&server, &venue, &keys).await;
    println!("{} people are connected after {:?}", people.len(), began.elapsed());

    let began = Instant::now();
    let run = Arc::new(Run::default());
    let sky = Sky {
        world: Arc::clone(venue.world()),
        routes: ALPACA_ROUTES,
        goods: &SHARES,
        price_dp: ALPACA.price_dp,
        is_nameless: ALPACA.is_nameless,
        numbers: keys.iter().cloned().zip(0..).collect(),
    };
    let storm = tokio::spawn(weather::storm(sky, Arc::clone(&run), size, chance.fork()));
    let clients: Vec<_> = people
        .iter()
        .map(|person| {
            let (run, share) = (Arc::clone(&run), size.signals / size.users);
            tokio::spawn(client(person.clone(), run, share, size.lasts, chance.fork()))
        })
        .collect();
    let kills = kill_all_the_time(&mut server, &run, size, &mut chance).await;
    let mut told = Vec::with_capacity(size.signals);
    for client in clients {
        told.extend(client.await.unwrap());
    }
    let lasted = began.elapsed();
    run.over.store(true, Ordering::Relaxed);
    let (peaks, fired) = storm.await.unwrap();
    println!("{} signals in {lasted:?}; now it may come to rest", told.len());

    let (rested, at_rest) = rest(&people, REST).await;
    let feed = read::feed(&people).await;
    server.stop().await;
    server.assert_log_is_whole();
    let sides = Sides { told, peaks, feed, ..read::sides(&server.data, &people) };
    let verdict = sides.judge();
    println!("{}", summary(&sides, &run, kills, lasted, rested, &fired));
    println!("{}", verdict.text());
    assert!(at_rest, "not at rest after {rested:?}\n{}", verdict.text());
    assert!(verdict.is_clean(), "{}", verdict.text());
    assert!(kills >= size.kills && run.drops.load(Ordering::Relaxed) >= size.drops);
    let summary = summary(&sides, &run, kills, lasted, rested, &fired);
    if size.signals < 5_000 {
        return;
    }
    docs::write(
        "docs/RELIABILITY.md",
        "chaos run",
        &format!("| what | how many |\n|---|---|\n{summary}{}", verdict.text()),
    );
}

/// Says what there was.
fn summary(
    sides: &Sides,
    run: &Run,
    kills: usize,
    lasted: Duration,
    rested: Duration,
    fired: &BTreeMap<String, u64>,
) -> String {
    let of_signals = || sides.ours.values().filter(|order| order.of_signal);
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for order in of_signals() {
        let end = if order.denied { "denied".to_owned() } else { format!("{:?}", order.status) };
        *ends.entry(end.to_lowercase()).or_default() += 1;
    }
    let protective = sides.ours.values().filter(|order| order.protects).count();
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    let mut text = format!(
        "| signals taken | {} |\n| deliveries | {} |\n| repeats answered with the same id | {} |\n\
         | nonsense refused | {} |\n| SIGKILLs | {kills} |\n| times all streams were cut | {} |\n",
        sides.told.len(),
        count(&run.deliveries),
        count(&run.repeats),
        count(&run.nonsense),
        count(&run.drops),
    );
    let rows = ends.iter().map(|(end, count)| (format!("orders of signals: {end}"), *count as u64));
    let faults = fired.iter().map(|(fault, count)| (format!("fault: {fault}"), *count));
    let more = [
        ("protective orders".to_owned(), protective as u64),
        ("other orders that leave a position".to_owned(), {
            sides.ours.values().filter(|order| !order.of_signal && !order.protects).count() as u64
        }),
        ("orders at the venue".to_owned(), sides.theirs.len() as u64),
        ("open positions at the end".to_owned(), sides.held_there.len() as u64),
        ("seconds".to_owned(), lasted.as_secs()),
        ("seconds to rest".to_owned(), rested.as_secs()),
    ];
    for (what, count) in rows.chain(faults).chain(more) {
        text.push_str(&format!("| {what} | {count} |\n"));
    }
    text
}
