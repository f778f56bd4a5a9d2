//! Stops that the engine watches: from the price to the order that closes the position. And what a stop costs.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::sleep;
use trade_actors::domain::order::Purpose;

use crate::Scale;
use crate::client::{Connection, Trader};
use crate::figures::Runs;
use crate::report::{Row, Section, Target};
use crate::seed::{self, Wanted};
use crate::server::{Server, data_dir, with_many_files};
use crate::sockets::Inner;
use crate::trail::Trail;
use crate::watched::{Case, Found, Measured, Size, Spread};

/// Longest time from a price to the order of 95 in 100 positions whose stop it reached (SC-015).
const TRIGGER_MS: f64 = 2_000.0;
/// The default stop-loss, in per cent.
const STOP_LOSS_PCT: u32 = 2;
/// Time between two signals: long enough for the orders before to be done.
const PAUSE: Duration = Duration::from_millis(20);
const WARM_UP: usize = 100;

type Figure = (&'static str, fn(&Spread) -> f64);

const FIGURES: [Figure; 4] = [
    ("p50", |spread| spread.p50),
    ("p95", |spread| spread.p95),
    ("p99", |spread| spread.p99),
    ("longest", |spread| spread.longest),
];

/// Measures it.
pub(crate) async fn measure(scale: Scale) -> anyhow::Result<Section> {
    let size = Size::of(scale);
    let how = format!(
        "{} users hold half a share of each of 13 symbols at a simulated Alpaca, {} positions, with trailing stops. Alpaca takes none for \
         fractions,\nso a Position actor watches each. {} stops are reached one after another, each by a price of a symbol that all \
         users hold; then all of one symbol,\nof three symbols in turn. At least {} positions are watched meanwhile, and the other \
         symbols' prices change once a second each. Last, all that are\nleft are reached at once. Prices are taken from Alpaca's \
         stream at most ten times a second, so one waits up to 0.1 s. Time runs from the price at\nthe venue to the closing order at \
         the venue, and to its fill in the log (to the millisecond). Afterwards venue and log must show every position\nclosed exactly \
         once, and none before its stop was reached. The floor sets a price, makes as many records of 1 KiB durable in batches of \
         512\nand hands as many orders to the same venue over at most 32 connections. The venue shares the cores.",
        size.users,
        size.positions(),
        size.singles(),
        size.least_watched(),
    );
    let mut section = Section::new("stops", "Stops that the engine watches", how);
    let found = watched(scale)?;
    let watched = size.least_watched();
    rows(&mut section, &found, Case::One, &format!("one stop, {watched} or more watched"));
    rows(
        &mut section,
        &found,
        Case::Symbol,
        &format!("{} stops at once, {watched} or more watched", size.users),
    );
    let all = found.measured.iter().find(|measured| measured.case == Case::All).map_or(0, |all| all.count);
    rows(&mut section, &found, Case::All, &format!("all {all} stops at once"));
    let one = |value: f64| Runs::from_iter([value]);
    let name = "closing orders that did not reach the venue and were made anew";
    section.row(Row::new(name, "", one(found.made_anew as f64)));
    let name = "server's processor time a price told to a watched position, surveys of the accounts included";
    section.row(Row::new(name, "µs", one(found.price_us)));
    let name = format!("server's processor time a stop reached, {all} at once");
    section.row(Row::new(name, "µs", one(found.stop_us)));
    section.row(Row::new("a watched position", "KiB", one(found.position_bytes / 1024.0)));
    cost(&mut section, scale).await?;
    Ok(section)
}

/// Runs the venue and the server that trades there in a process of its own.
fn watched(scale: Scale) -> anyhow::Result<Found> {
    let mut command = with_many_files(&std::env::current_exe()?);
    command.args(["--inner", "stops", if scale.quick { "quick" } else { "full" }]);
    let mut child = Inner(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let mut said = String::new();
    BufReader::new(child.0.stdout.take().context("it says nothing")?).read_line(&mut said)?;
    // It removes its data first: killed now, it would leave them behind.
    let status = child.0.wait()?;
    ensure!(status.success(), "the watched positions were not measured ({status}); why is said above");
    serde_json::from_str(&said).context("what was found")
}

fn rows(section: &mut Section, found: &Found, case: Case, name: &str) {
    let of = |pick: &dyn Fn(&Measured) -> f64| {
        found.measured.iter().filter(|measured| measured.case == case).map(pick).collect::<Runs>()
    };
    for (percentile, figure) in FIGURES {
        let sent = of(&|measured| figure(&measured.sent));
        let row = Row::new(format!("{name}: order at the venue, {percentile}"), "ms", sent);
        let row = row.floor(of(&|measured| figure(&measured.floor)).median());
        let is_promised = percentile == "p95" && case != Case::All;
        section.row(if is_promised { row.target(Target::AtMost(TRIGGER_MS)) } else { row });
    }
    for (percentile, figure) in FIGURES {
        let recorded = of(&|measured| figure(&measured.recorded));
        section.row(Row::new(format!("{name}: fill in the log, {percentile}"), "ms", recorded));
    }
}

/// Measures a signal with and without the stop that new users have; at the paper broker, which holds it.
async fn cost(section: &mut Section, scale: Scale) -> anyhow::Result<()> {
    let (signals, repetitions) = (scale.of(1_000, 200), scale.of(5, 1));
    let (mut with, mut without) = (Runs::default(), Runs::default());
    for _ in 0..repetitions {
        without.add(signal_us(0, signals).await?);
        with.add(signal_us(STOP_LOSS_PCT, signals).await?);
    }
    let name = format!(
        "server's processor time a signal {} ms apart with the default stop of {STOP_LOSS_PCT} % (floor: without)",
        PAUSE.as_millis()
    );
    section.row(Row::new(name, "µs", with).floor(without.median()));
    Ok(())
}

/// Returns the server's processor time a signal, in microseconds; buys and sells take turns.
async fn signal_us(stop_loss_pct: u32, signals: usize) -> anyhow::Result<f64> {
    let dir = data_dir()?;
    let data = dir.path().join("data");
    let seeded = seed::fill(&data, Wanted { users: 1, followers: 1, tokens: 0, stop_loss_pct })?;
    let server = Server::start(&data, &[]).await?;
    let token = seeded.webhooks.first().map(String::as_str).unwrap_or_default();
    let mut trader = Trader::new(server.address, token, 1, "AAPL");
    let mut connection = Connection::open(server.address).await?;
    let mut before = 0.0;
    for at in 0..WARM_UP + signals {
        if at == WARM_UP {
            before = server.cpu_s()?;
        }
        let status = connection.exchange(trader.next()).await?;
        ensure!(status == 202, "a signal was answered {status}");
        sleep(PAUSE).await;
    }
    server.rest().await?;
    let used_s = server.cpu_s()? - before;
    server.stop().await?;
    let trail = Trail::read(&data)?;
    let (orders, stops) =
        (trail.count(|purpose| purpose == Purpose::Signal), trail.count(Purpose::is_protection));
    ensure!(orders == WARM_UP + signals, "{orders} orders came of {} signals", WARM_UP + signals);
    let wanted = if stop_loss_pct == 0 { 0 } else { orders / 2 };
    // On a busy machine a sale may come before its stop was placed, which then is not.
    let is_right = stops <= wanted && wanted - stops <= wanted / 20;
    ensure!(is_right, "{stops} stops were placed instead of {wanted}");
    Ok(used_s * 1e6 / signals as f64)
}
