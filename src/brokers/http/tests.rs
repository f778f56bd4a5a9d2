use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

/// Answers every connection with the same bytes, once its request's head was read.
struct Canned {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

async fn canned(answer: &'static [u8]) -> Canned {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            while !seen.windows(4).any(|end| end == b"\r\n\r\n") {
                let mut chunk = [0; 1024];
                match stream.read(&mut chunk).await {
                    Ok(count) if count > 0 => seen.extend_from_slice(&chunk[..count]),
                    _ => break,
                }
            }
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    Canned { address, _tasks: tasks }
}

async fn get(url: &str, limit: usize) -> Result<Reply, Lost> {
    get_within(Duration::from_millis(500), url, limit).await
}

async fn get_within(patience: Duration, url: &str, limit: usize) -> Result<Reply, Lost> {
    let client = Client::new(patience).unwrap();
    let url = url.parse().unwrap();
    let request = Request { method: Method::GET, url, headers: HeaderMap::new(), body: Vec::new(), limit };
    client.send(request).await
}

#[tokio::test]
async fn a_reply_is_read_with_what_it_says_of_the_rate() {
    let answer = b"HTTP/1.1 429 Slow\r\nretry-after: 3\r\nX-RateLimit-Reset: 1700000000\r\ncontent-length: 2\r\n\r\n{}";
    let venue = canned(answer).await;
    let reply = get(&format!("http://{}/x", venue.address), 2).await.unwrap();
    assert_eq!((reply.status, reply.is_good(), reply.body.as_slice()), (429, false, &b"{}"[..]));
    assert_eq!(reply.retry_after(), Some(Duration::from_secs(3)));
    assert_eq!((reply.header("x-ratelimit-reset"), reply.header("x-other")), (Some("1700000000"), None));
}

#[tokio::test]
async fn a_reply_that_is_too_long_is_given_up() {
    let venue = canned(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789").await;
    let url = format!("http://{}/x", venue.address);
    assert!(matches!(get(&url, 9).await, Err(Lost::Sent(_))));
    assert_eq!(get(&url, 10).await.unwrap().body.len(), 10);
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let venue =
        canned(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(get(&format!("http://{}/x", venue.address), 9).await.unwrap().status, 302);
}

#[tokio::test]
async fn what_breaks_after_the_connection_was_made_may_have_been_read() {
    let cases: [&'static [u8]; 4] = [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123",
        b"HTTP/1.1 200 OK\r\ncontent-len",
    ];
    for answer in cases {
        let venue = canned(answer).await;
        let lost = get(&format!("http://{}/x", venue.address), 100).await.unwrap_err();
        assert!(matches!(lost, Lost::Sent(_)), "{lost:?}");
    }
    // A listener that never accepts: the connection is made, the answer never comes.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let lost = get(&format!("http://{}/x", silent.local_addr().unwrap()), 100).await.unwrap_err();
    assert_eq!(lost, Lost::Sent("no answer in time".to_owned()));
}

#[tokio::test]
async fn what_fails_before_a_connection_is_made_was_not_sent() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let plain = canned(b"this is no TLS").await;
    for url in [
        format!("http://{gone}/x"),
        format!("https://{}/x", plain.address),
        "http://no-such-host.invalid/x".to_owned(),
    ] {
        // Half of it is for the connection: a busy machine must not run out of both at once.
        let lost = get_within(Duration::from_secs(3), &url, 5_000).await.unwrap_err();
        assert!(matches!(lost, Lost::Unsent(_)), "{url}: {lost:?}");
    }
}

#[test]
fn a_hidden_header_is_not_shown_and_holds_one_line() {
    let shown = format!("{:?}", hidden("Bearer hunter2"));
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(hidden("two\r\nlines"), None);
}
