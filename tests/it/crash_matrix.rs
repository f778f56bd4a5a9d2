//! Killed at every step of an order's life, whatever the broker answered: no signal is lost, none is executed twice,
//! and no position is left without its stop. What the venue saw is compared with what was accepted.
//!
//! `cargo nextest run --test it crash_matrix --no-capture` prints the table; with `TE_WRITE_DOCS=1` it is written to
//! `docs/RELIABILITY.md`.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use venues::faults::{Action, Rule, When};

use crate::support::venue::{KEY, Venue, connect, start_on_copy};
use crate::support::{Api, Server, Setup, docs};

/// A crash point: its name, where that is in the program, after how many passes, and after which signal.
type Point = (&'static str, &'static str, u32, u32);

const BUY: u32 = 1;
const CLOSE: u32 = 2;

const POINTS: [Point; 36] = [
    ("entry: received", "router.deliver", 0, BUY),
    ("entry: handed to its user", "user.signal", 0, BUY),
    ("entry: being judged", "risk", 0, BUY),
    ("entry: decided", "execution.decided", 0, BUY),
    ("entry: being written to the log", "ledger.append", 0, BUY),
    ("entry: durable, not yet told", "ledger.appended", 0, BUY),
    ("entry: committed", "execution.committed", 0, BUY),
    ("entry: about to be sent", "execution.send", 0, BUY),
    ("entry: at the connection", "broker_connection", 0, BUY),
    ("entry: accepted but unanswered", "broker_connection.answered", 0, BUY),
    ("entry: answered, not yet recorded", "execution.answered", 0, BUY),
    ("entry: first report taken", "execution.report", 0, BUY),
    ("entry: being recorded as accepted", "execution.record", 0, BUY),
    ("entry: recorded as accepted", "execution.recorded", 0, BUY),
    ("entry: fill reported", "execution.report", 1, BUY),
    ("entry: fill being recorded", "execution.record", 1, BUY),
    ("entry: fill recorded", "execution.recorded", 1, BUY),
    ("stop: being decided", "execution.protect", 0, BUY),
    ("stop: committed, not sent", "execution.send", 1, BUY),
    ("stop: at the connection", "broker_connection", 1, BUY),
    ("stop: accepted but unanswered", "broker_connection.answered", 1, BUY),
    ("stop: answered, not yet recorded", "execution.answered", 1, BUY),
    ("close: received", "router.deliver", 0, CLOSE),
    ("close: being judged", "risk", 0, CLOSE),
    ("close: decided", "execution.decided", 0, CLOSE),
    ("close: committed", "execution.committed", 0, CLOSE),
    ("close: its stop about to be cancelled", "execution.cancel", 0, CLOSE),
    ("close: cancel at the connection", "broker_connection.cancel", 0, CLOSE),
    ("close: cancel being recorded", "execution.record", 0, CLOSE),
    ("close: stop reported cancelled", "execution.report", 0, CLOSE),
    ("close: about to be released", "execution.release", 0, CLOSE),
    ("close: released, not sent", "execution.send", 0, CLOSE),
    ("close: at the connection", "broker_connection", 0, CLOSE),
    ("close: accepted but unanswered", "broker_connection.answered", 0, CLOSE),
    ("close: answered, not yet recorded", "execution.answered", 0, CLOSE),
    ("close: fill reported", "execution.report", 2, CLOSE),
];

/// What the venue does with the first order of each signal.
const ANSWERS: [&str; 6] =
    ["accept", "refuse", "504 after accept", "reset after accept", "no answer", "duplicate id"];

/// How long everything may take to come to rest: a search for a lost order takes ten seconds, and a crash may begin
/// it anew.
const REST: Duration = Duration::from_secs(90);
/// Cases at once; most of the time each waits.
const AT_ONCE: usize = 12;

fn fault(answer: &str) -> Option<Rule> {
    let action = match answer {
        "accept" => return None,
        "refuse" => {
            Action::Refuse { status: 403, code: 40_310_000, message: "insufficient buying power".to_owned() }
        }
        "504 after accept" => Action::status_after(504),
        "reset after accept" => Action::Reset { when: When::After },
        "no answer" => Action::Silence { when: When::Before },
        "duplicate id" => Action::Duplicate,
        other => panic!("no such answer: {other}"),
    };
    Some(Rule::on("POST /v2/orders", action).times(1))
}

/// What a case came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Found {
    crashed: bool,
    lost: usize,
    doubled: usize,
    unprotected: usize,
}

struct Case {
    venue: Venue,
    server: Server,
    crashed: bool,
    _home: TempDir,
}

impl Case {
    async fn start(template: &Path, setup: Setup) -> Self {
        let venue = Venue::open(&[KEY]).await;
        let home = tempfile::tempdir().unwrap();
        let setup = venue.setup(setup);
        let server = start_on_copy(template, setup, &home.path().join("data")).await;
        Self { venue, server, crashed: false, _home: home }
    }

    /// Starts the program again if it has crashed.
    async fn revive(&mut self) {
        if self.server.has_crashed() {
            self.crashed = true;
            self.server.calm();
            self.server.start_again().await;
        }
    }

    /// Sends a signal as TradingView does, again and again until it is taken, and returns its id.
    async fn signal(&mut self, body: &Value) -> String {
        let started = Instant::now();
        loop {
            self.revive().await;
            if let Ok(answer) = self.server.owner().try_signal(body).await
                && matches!(answer.status, 200 | 202)
            {
                return answer.str("signal_id").to_owned();
            }
            assert!(started.elapsed() < REST, "{body} was not taken");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nothing is under way, for as long as that may take; returns the trades then.
    async fn rest(&mut self, signals: &[String]) -> Vec<Value> {
        let started = Instant::now();
        let mut quiet = 0;
        loop {
            self.revive().await;
            let trades = trades(&self.server.owner()).await;
            let ended = trades.as_ref().is_some_and(|trades| self.is_at_rest(trades, signals));
            quiet = if ended { quiet + 1 } else { 0 };
            if quiet >= 4 || started.elapsed() > REST {
                return trades.unwrap_or_default();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn is_at_rest(&self, trades: &[Value], signals: &[String]) -> bool {
        let done = |trade: &Value| {
            ["filled", "cancelled", "rejected", "expired", "failed"].iter().any(|end| trade["status"] == *end)
                || (trade["purpose"] == "protection" && trade["status"] == "submitted")
        };
        let decided = signals.iter().all(|id| trades.iter().any(|trade| trade["signal_id"] == id.as_str()));
        decided && trades.iter().all(done) && self.exposed().is_zero()
    }

    /// Returns how much of the position has no working stop, or how much more stops would sell than there is.
    fn exposed(&self) -> Decimal {
        (self.venue.held(KEY, "AAPL") - self.venue.stopped(KEY, "AAPL")).abs()
    }

    /// Compares what the venue saw with what was accepted.
    async fn judge(&self, signals: &[String], trades: &[Value]) -> Found {
        let lost =
            signals.iter().filter(|id| !trades.iter().any(|trade| trade["signal_id"] == id.as_str())).count();
        let orders = self.venue.orders(KEY);
        let traded = |id: &Value| {
            let same = orders.iter().filter(|order| *id == order.client_order_id.as_str());
            same.map(|order| order.filled_qty).sum::<Decimal>()
        };
        let amount = |trade: &Value| trade["filled_quantity"].as_str().unwrap().parse::<Decimal>().unwrap();
        // What we say was filled and what the venue filled are the same, order by order.
        let differing = trades
            .iter()
            .filter(|trade| {
                trade["purpose"] == "signal" && traded(&trade["client_order_id"]) != amount(trade)
            })
            .count();
        let ours: Decimal = trades.iter().map(amount).sum();
        let theirs: Decimal = orders.iter().map(|order| order.filled_qty).sum();
        let held: Decimal =
            self.server.owner().all("/api/v1/positions").await.iter().fold(Decimal::ZERO, |sum, position| {
                sum + position["quantity"].as_str().unwrap().parse::<Decimal>().unwrap()
            });
        let bought: Decimal = orders
            .iter()
            .filter(|order| order.ticket.side == venues::book::Side::Buy)
            .map(|order| order.filled_qty)
            .sum();
        let doubled = [bought > Decimal::TEN, ours != theirs, held != self.venue.held(KEY, "AAPL")];
        Found {
            crashed: self.crashed,
            lost: lost + differing,
            doubled: doubled.into_iter().filter(|wrong| *wrong).count(),
            unprotected: usize::from(!self.exposed().is_zero()),
        }
    }
}

async fn trades(api: &Api) -> Option<Vec<Value>> {
    let answer =
        crate::support::api::send(api.request(reqwest::Method::GET, "/api/v1/trades?limit=100")).await;
    let answer = answer.ok().filter(|answer| answer.status == 200)?;
    Some(answer.body["items"].as_array()?.clone())
}

/// Buys ten shares and closes them again, with one crash on the way.
async fn run(template: &Path, setup: Setup, answer: &str) -> Found {
    let mut case = Case::start(template, setup).await;
    let mut signals = Vec::new();
    let mut found = Found::default();
    for (id, body) in [
        ("buy", json!({ "id": "buy", "ticker": "AAPL", "action": "buy", "quantity": 10 })),
        ("close", json!({ "id": "close", "ticker": "AAPL", "action": "close" })),
    ] {
        case.venue.world().clear_faults();
        if let Some(rule) = fault(answer) {
            case.venue.world().add_fault(rule);
        }
        signals.push(case.signal(&body).await);
        let trades = case.rest(&signals).await;
        let here = case.judge(&signals, &trades).await;
        if here.lost + here.doubled + here.unprotected > 0 {
            let said = case.server.stderr();
            println!("after {id}: {here:?} {trades:#?} {:#?}\n{said}", case.venue.orders(KEY));
        }
        found.crashed |= here.crashed;
        found.lost = found.lost.max(here.lost);
        found.doubled = found.doubled.max(here.doubled);
        found.unprotected = found.unprotected.max(here.unprotected);
    }
    found
}

fn crash_at((_, place, skip, round): Point) -> Setup {
    Setup::new().variable("TRADE_EXECUTOR_CRASH", format!("{place}:{skip}:{round}"))
}

/// Makes a data directory whose owner trades at the venue.
async fn template(home: &TempDir) -> std::path::PathBuf {
    let data = home.path().join("template");
    let venue = Venue::open(&[KEY]).await;
    // Limits are a person's own, from when they join.
    let mut server = venue.setup(Setup::new()).set("risk.stop_loss_pct", 2).data(&data).start().await;
    connect(&server.owner(), KEY).await;
    server.stop().await;
    data
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_crash_and_no_answer_loses_doubles_or_exposes_anything() {
    let home = tempfile::tempdir().unwrap();
    let template = Arc::new(template(&home).await);
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut cases = JoinSet::new();
    for (row, point) in POINTS.into_iter().enumerate() {
        for (column, answer) in ANSWERS.into_iter().enumerate() {
            if let Some((_, only)) = std::env::vars().find(|(name, _)| name == "TE_ONLY")
                && only != answer
            {
                continue;
            }
            let (template, room) = (Arc::clone(&template), Arc::clone(&room));
            cases.spawn(async move {
                let _place = room.acquire_owned().await.unwrap();
                (row, column, run(&template, crash_at(point), answer).await)
            });
        }
    }
    let mut found = vec![[Found::default(); ANSWERS.len()]; POINTS.len()];
    while let Some(case) = cases.join_next().await {
        let (row, column, one) = case.unwrap();
        found[row][column] = one;
    }
    let table = table(&found);
    println!("{table}");
    docs::write("docs/RELIABILITY.md", "crash matrix", &table);
    let wrong = |one: &Found| one.lost + one.doubled + one.unprotected > 0;
    assert!(!found.iter().flatten().any(wrong), "{table}");
    // A point that no case reaches would show nothing.
    for (row, (name, ..)) in found.iter().zip(POINTS) {
        assert!(row.iter().any(|one| one.crashed), "nothing crashed at {name:?}\n{table}");
    }
}

fn table(found: &[[Found; ANSWERS.len()]]) -> String {
    let mut text =
        format!("| killed at | {} |\n|---|{}\n", ANSWERS.join(" | "), "---|".repeat(ANSWERS.len()));
    for ((name, ..), row) in POINTS.iter().zip(found) {
        let cells = row.map(|one| {
            let reached = if one.crashed { "" } else { "not reached: " };
            format!("{reached}{}/{}/{}", one.lost, one.doubled, one.unprotected)
        });
        writeln!(text, "| {name} | {} |", cells.join(" | ")).unwrap();
    }
    let all = found.iter().flatten();
    let (crashes, lost) =
        (all.clone().filter(|one| one.crashed).count(), all.clone().map(|one| one.lost).sum::<usize>());
    let (doubled, bare) =
        (all.clone().map(|one| one.doubled).sum::<usize>(), all.map(|one| one.unprotected).sum::<usize>());
    writeln!(
        text,
        "\n{crashes} crashes in {} cases: lost {lost}, doubled {doubled}, unprotected {bare}.",
        POINTS.len() * ANSWERS.len()
    )
    .unwrap();
    text
}

/// Each check sees what it is there to see: with a safeguard switched off, it finds something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_check_of_the_matrix_fails_without_its_safeguard() {
    let home = tempfile::tempdir().unwrap();
    let template = template(&home).await;
    let without = |safeguard: &str, point: Point| crash_at(point).variable("TRADE_EXECUTOR_OFF", safeguard);
    let early = ("told before it is durable", "execution.told_too_early", 0, BUY);
    let found = run(&template, without("commit_first", early), "accept").await;
    assert!(found.crashed && found.lost > 0, "{found:?}");
    let found = run(&template, without("same_id", POINTS[9]), "accept").await;
    assert!(found.crashed && found.doubled > 0, "{found:?}");
    let found = run(&template, without("protection", POINTS[16]), "accept").await;
    assert!(found.crashed && found.unprotected > 0, "{found:?}");
}
