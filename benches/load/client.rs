//! A frugal HTTP/1.1 client: the load must cost little, for it shares the cores with what it measures.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const COUNTER: &str = "0000000000000000";

/// A kept-alive connection that sends bytes made beforehand.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    body: usize,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("the server could not be reached")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(1 << 10), body: 0 })
    }

    /// Sends a whole request and returns the answer's status once all of it is here.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
            if let Some((status, body, length)) = head(&self.buffer)?
                && self.buffer.len() >= body + length
            {
                self.body = body;
                return Ok(status);
            }
        }
    }

    /// Returns the body of the last answer.
    pub(crate) fn body(&self) -> &[u8] {
        self.buffer.get(self.body..).unwrap_or_default()
    }

    /// Asks for the connection to become a WebSocket; returns it with what came after the answer.
    pub(crate) async fn upgrade(
        mut self,
        path: &str,
        host: SocketAddr,
    ) -> anyhow::Result<(TcpStream, Vec<u8>)> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.buffer.clear();
        self.stream.write_all(request.as_bytes()).await?;
        let end = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
        };
        let answer = String::from_utf8_lossy(&self.buffer).into_owned();
        if !answer.starts_with("HTTP/1.1 101") {
            bail!("no WebSocket was opened: {answer}");
        }
        Ok((self.stream, self.buffer.split_off(end)))
    }
}

/// Returns status, start of the body and its length, once the head is here.
fn head(buffer: &[u8]) -> anyhow::Result<Option<(u16, usize, usize)>> {
    let Some(end) = find(buffer, b"\r\n\r\n") else { return Ok(None) };
    let head =
        std::str::from_utf8(buffer.get(..end).unwrap_or_default()).context("the answer's head is no text")?;
    let status =
        head.get(9..12).and_then(|status| status.parse().ok()).context("the answer has no status")?;
    let length = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let mut length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.next().and_then(|(_, value)| value.trim().parse().ok());
    Ok(Some((status, end + 4, length.context("the answer does not say how long it is")?)))
}

/// Returns where `part` begins in `whole`.
pub(crate) fn find(whole: &[u8], part: &[u8]) -> Option<usize> {
    whole.windows(part.len()).position(|window| window == part)
}

/// Makes a request; `headers` are whole lines with their ends.
pub(crate) fn request(method: &str, host: SocketAddr, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\n{headers}content-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A request to the server's API.
#[derive(Debug)]
pub(crate) struct Call {
    method: &'static str,
    path: String,
    body: String,
}

impl Call {
    /// Returns a request that posts a body.
    pub(crate) const fn post(path: String, body: String) -> Self {
        Self { method: "POST", path, body }
    }

    /// Returns a request that puts a body in another's place.
    pub(crate) const fn put(path: String, body: String) -> Self {
        Self { method: "PUT", path, body }
    }

    /// Returns a question.
    pub(crate) const fn get(path: String) -> Self {
        Self { method: "GET", path, body: String::new() }
    }

    /// Sends it as whoever has the token, and returns the answer, which must be a good one.
    pub(crate) async fn send(
        self,
        connection: &mut Connection,
        address: SocketAddr,
        token: &str,
    ) -> anyhow::Result<Value> {
        let Self { method, path, body } = &self;
        let headers = format!("authorization: Bearer {token}\r\n");
        let status = connection.exchange(&request(method, address, path, &headers, body)).await?;
        let said = String::from_utf8_lossy(connection.body());
        ensure!((200..300).contains(&status), "{method} {path} was answered {status}: {said}");
        Ok(serde_json::from_slice(connection.body())?)
    }
}

/// A request made beforehand of which only a number changes.
#[derive(Clone, Debug)]
struct Template {
    bytes: Vec<u8>,
    counter: usize,
}

impl Template {
    fn new(host: SocketAddr, token: &str, side: &str, quantity: u32, symbol: &str) -> Self {
        let body = format!(
            r#"{{"ticker":"{symbol}","action":"{side}","quantity":{quantity},"alert_id":"n{COUNTER}"}}"#
        );
        let head = format!(
            "POST /webhooks/tradingview/{token} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let bytes = [head.as_bytes(), body.as_bytes()].concat();
        let counter = find(&bytes, COUNTER.as_bytes()).unwrap_or_default();
        Self { bytes, counter }
    }

    fn with(&mut self, mut number: u64) -> &[u8] {
        let digits = self.bytes.iter_mut().skip(self.counter).take(COUNTER.len());
        for digit in digits.rev() {
            *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
            number /= 10;
        }
        &self.bytes
    }
}

/// One source's deliveries: each is new, and buys and sells take turns so that the position stays small.
#[derive(Clone, Debug)]
pub(crate) struct Trader {
    buy: Template,
    sell: Template,
    number: u64,
}

impl Trader {
    /// Trades `quantity` of `symbol` through the webhook of `token`.
    pub(crate) fn new(host: SocketAddr, token: &str, quantity: u32, symbol: &str) -> Self {
        let side = |side| Template::new(host, token, side, quantity, symbol);
        Self { buy: side("buy"), sell: side("sell"), number: 0 }
    }

    /// Goes on counting after what an earlier trader of the same source sent.
    pub(crate) fn after(mut self, number: u64) -> Self {
        self.number = number;
        self
    }

    /// Returns the next delivery.
    pub(crate) fn next(&mut self) -> &[u8] {
        self.number += 1;
        if self.number % 2 == 1 { self.buy.with(self.number) } else { self.sell.with(self.number) }
    }
}
