//! The client behind the screens: thousands of WebSockets in one thread, reading only what the measurement needs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use chrono::DateTime;
use futures_util::StreamExt;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::sleep;
use trade_actors::ports::clock::{Clock, SystemClock};

use crate::client::{Connection, find};
use crate::figures::{Runs, Times};

const SYMBOL: &str = "AAPL";
/// How many sockets are opened at a time.
const AT_A_TIME: usize = 32;

/// What the sockets saw, as one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) delay_p50_ms: f64,
    pub(crate) delay_p99_ms: f64,
    /// Median over the ticks of the time from the first socket's receipt to the last one's.
    pub(crate) spread_ms: f64,
    /// Share of the ticks that reached every socket.
    pub(crate) whole: f64,
    pub(crate) opened_per_s: f64,
    pub(crate) messages: u64,
}

/// What is known of one tick.
#[derive(Clone, Copy, Debug)]
struct Tick {
    first_us: i64,
    last_us: i64,
    count: usize,
}

/// What all sockets share.
#[derive(Debug)]
struct Record {
    clock: SystemClock,
    recording: bool,
    delays: Times,
    ticks: BTreeMap<i64, Tick>,
    closed: usize,
}

impl Record {
    fn message(&mut self, text: &[u8]) {
        if !self.recording || find(text, br#""type":"market.quote""#).is_none() {
            return;
        }
        let now_us = self.clock.now().timestamp_micros();
        let Some(sent_us) = sent_us(text) else { return };
        self.delays.add_us(u64::try_from(now_us - sent_us).unwrap_or_default());
        let tick = self.ticks.entry(sent_us).or_insert(Tick { first_us: now_us, last_us: now_us, count: 0 });
        tick.last_us = now_us;
        tick.count += 1;
    }
}

fn sent_us(text: &[u8]) -> Option<i64> {
    const KEY: &[u8] = br#""ts":""#;
    let rest = text.get(find(text, KEY)? + KEY.len()..)?;
    let time = rest.get(..find(rest, b"\"")?)?;
    let time = DateTime::parse_from_rfc3339(std::str::from_utf8(time).ok()?).ok()?;
    Some(time.timestamp_micros())
}

/// Opens the sockets, says `open`, waits for a line, watches for `seconds` and says what it saw.
pub(crate) async fn run(
    address: SocketAddr,
    tokens: &Path,
    count: usize,
    seconds: u64,
) -> anyhow::Result<()> {
    let tokens = std::fs::read_to_string(tokens)?;
    let tokens: Vec<_> = tokens.lines().take(count).map(str::to_owned).collect();
    let record = Rc::new(RefCell::new(Record {
        clock: SystemClock::new(),
        recording: false,
        delays: Times::new()?,
        ticks: BTreeMap::new(),
        closed: 0,
    }));
    let tasks = LocalSet::new();
    tasks.run_until(watch(address, tokens, seconds, &record)).await
}

async fn watch(
    address: SocketAddr,
    tokens: Vec<String>,
    seconds: u64,
    record: &Rc<RefCell<Record>>,
) -> anyhow::Result<()> {
    let count = tokens.len();
    let began = Instant::now();
    let mut opening = stream::iter(tokens).map(|token| open(address, token)).buffer_unordered(AT_A_TIME);
    let mut sockets = Vec::with_capacity(count);
    while let Some(opened) = opening.next().await {
        let (stream, early) = opened?;
        let record = Rc::clone(record);
        sockets.push(tokio::task::spawn_local(async move {
            if let Err(error) = read(stream, early, &record).await {
                eprintln!("a socket ended: {error}");
            }
            record.borrow_mut().closed += 1;
        }));
    }
    let opened_per_s = count as f64 / began.elapsed().as_secs_f64();
    println!("open");
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    // Not before the end of a tick that is on its way.
    sleep(Duration::from_millis(500)).await;
    record.borrow_mut().recording = true;
    sleep(Duration::from_secs(seconds)).await;
    sockets.iter().for_each(tokio::task::JoinHandle::abort);
    let record = record.borrow();
    if record.closed > 0 {
        bail!("{} of {count} sockets were closed", record.closed);
    }
    // The last tick may have been cut off by the end.
    let ticks: Vec<_> = record.ticks.values().rev().skip(1).collect();
    let spread = ticks.iter().map(|tick| (tick.last_us - tick.first_us) as f64 / 1e3).collect::<Runs>();
    let seen = Seen {
        delay_p50_ms: record.delays.ms(50.0),
        delay_p99_ms: record.delays.ms(99.0),
        spread_ms: spread.median(),
        whole: ticks.iter().filter(|tick| tick.count == count).count() as f64 / ticks.len().max(1) as f64,
        opened_per_s,
        messages: record.delays.len(),
    };
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

#[derive(Deserialize)]
struct Ticket {
    ticket: String,
}

/// Opens one user's socket and subscribes to the symbol.
async fn open(address: SocketAddr, token: String) -> anyhow::Result<(TcpStream, Vec<u8>)> {
    let mut connection = Connection::open(address).await?;
    let request = format!(
        "POST /api/v1/ws-ticket HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    let status = connection.exchange(request.as_bytes()).await?;
    if !(200..300).contains(&status) {
        bail!("no ticket: {status} {}", String::from_utf8_lossy(connection.body()));
    }
    let Ticket { ticket } = serde_json::from_slice(connection.body()).context("the ticket")?;
    let (mut stream, early) = connection.upgrade(&format!("/ws?ticket={ticket}"), address).await?;
    let subscribe = format!(r#"{{"type":"subscribe","data":{{"symbols":["{SYMBOL}"]}}}}"#);
    stream.write_all(&frame(0x81, subscribe.as_bytes())).await?;
    Ok((stream, early))
}

/// Makes a client's frame; a mask of zeros is a mask.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap_or(u8::MAX).min(125);
    let mut bytes = vec![first, 0x80 | length, 0, 0, 0, 0];
    bytes.extend(payload.iter().take(usize::from(length)));
    bytes
}

async fn read(mut stream: TcpStream, early: Vec<u8>, record: &RefCell<Record>) -> anyhow::Result<()> {
    let mut buffer = early;
    loop {
        while let Some((opcode, from, to)) = whole_frame(&buffer) {
            let payload = buffer.get(from..to).unwrap_or_default();
            match opcode {
                1 => record.borrow_mut().message(payload),
                8 => bail!(
                    "closed by the server: {}",
                    String::from_utf8_lossy(payload.get(2..).unwrap_or_default())
                ),
                9 => {
                    let pong = frame(0x8a, payload);
                    stream.write_all(&pong).await?;
                }
                _ => {}
            }
            buffer.drain(..to);
        }
        if buffer.is_empty() {
            // The first messages may be long; thousands of long buffers would be the client's own load.
            buffer.shrink_to(512);
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            bail!("the connection ended");
        }
    }
}

/// Returns the kind of the first frame and where its payload lies, once all of it is here.
fn whole_frame(buffer: &[u8]) -> Option<(u8, usize, usize)> {
    let (first, length) = (buffer.first()?, buffer.get(1)? & 0x7f);
    let number = |range: std::ops::Range<usize>| {
        let bytes = buffer.get(range)?;
        Some(bytes.iter().fold(0_usize, |number, byte| (number << 8) | usize::from(*byte)))
    };
    let (from, length) = match length {
        126 => (4, number(2..4)?),
        127 => (10, number(2..10)?),
        short => (2, usize::from(short)),
    };
    (buffer.len() >= from + length).then_some((first & 0x0f, from, from + length))
}
