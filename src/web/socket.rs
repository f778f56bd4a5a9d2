//! `/ws`: who may open a socket, and the upgrade with small buffers (6 KB a socket instead of 136).

mod client;
mod session;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use warp::http::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use warp::http::{HeaderMap, Response, StatusCode};

use super::call::{Answer, Head};
use super::edge::Edge;
use super::guard;
use super::problem::Problem;
use crate::auth::{Principal, Scope};

/// Longest message from a client, in bytes.
const MESSAGE_MAX: usize = 16 << 10;
/// How long the bytes of the answer may take to reach the client.
const UPGRADE_MAX: Duration = Duration::from_secs(5);

/// A socket as the session uses it.
type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Answers a request for a socket: 101 and a session, or why not.
///
/// # Errors
/// 401, 403 or 400, before anything is upgraded.
pub(super) fn open(edge: &Arc<Edge>, head: &Head, upgrade: Option<OnUpgrade>) -> Result<Answer, Problem> {
    if !guard::origin_is_ours(edge, &head.headers) {
        return Err(Problem::forbidden("FOREIGN_ORIGIN", "this page may not open a socket here"));
    }
    let key = handshake_key(&head.headers)?;
    let upgrade = upgrade.ok_or_else(not_a_handshake)?;
    edge.engine()?;
    let principal = identify(edge, head)?;
    let since = match head.query("since") {
        Some(text) => {
            Some(text.parse().map_err(|_| Problem::invalid("/since", "since must be a whole number"))?)
        }
        None => None,
    };
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|error| Problem::internal(&error))?;
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    let shared = Arc::clone(edge);
    edge.tasks.spawn(async move {
        match tokio::time::timeout(UPGRADE_MAX, upgrade).await {
            Ok(Ok(upgraded)) => {
                let socket = socket(upgraded).await;
                session::run(&shared, socket, principal, since).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "a socket was not opened"),
            Err(_) => tracing::debug!("a socket was not opened in time"),
        }
    });
    Ok(answer)
}

async fn socket(upgraded: Upgraded) -> Socket {
    let config = WebSocketConfig::default()
        .read_buffer_size(512)
        .write_buffer_size(4 << 10)
        .max_write_buffer_size(1 << 20)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await
}

/// Says who opens the socket: by a ticket once, or by a token, for scripts.
fn identify(edge: &Edge, head: &Head) -> Result<Principal, Problem> {
    let principal = match (head.query("ticket"), head.query("token")) {
        (Some(ticket), None) => edge.web.auth.redeem(&ticket),
        (None, Some(token)) => edge.web.auth.bearer(&token),
        (Some(_), Some(_)) | (None, None) => None,
    };
    principal.filter(|principal| principal.may(Scope::Read)).ok_or_else(|| {
        let detail =
            "a fresh ticket of POST /api/v1/ws-ticket is needed as ?ticket=…, or an API token as ?token=…";
        Problem { detail: detail.to_owned(), ..Problem::unauthorized() }
    })
}

fn handshake_key(headers: &HeaderMap) -> Result<&str, Problem> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let asks = text(UPGRADE).is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"));
    let connection = text(CONNECTION).unwrap_or_default();
    let connects = connection.split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    if !asks || !connects || text(SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(not_a_handshake());
    }
    // 16 bytes in base64.
    text(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24).ok_or_else(not_a_handshake)
}

fn not_a_handshake() -> Problem {
    let detail = "this address opens WebSockets (version 13) only";
    Problem::new(StatusCode::UPGRADE_REQUIRED, "UPGRADE_REQUIRED", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let name = |name| warp::http::HeaderName::from_static(name);
        pairs.iter().map(|(key, value)| (name(key), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_a_whole_handshake_is_taken() {
        let whole = [
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        assert_eq!(handshake_key(&headers(&whole)).unwrap(), "dGhlIHNhbXBsZSBub25jZQ==");
        for missing in 0..whole.len() {
            let mut part = whole.to_vec();
            part.remove(missing);
            assert_eq!(handshake_key(&headers(&part)).unwrap_err().status, 426);
        }
        let mut old = whole;
        old[2].1 = "8";
        assert!(handshake_key(&headers(&old)).is_err());
    }

    #[test]
    fn the_accept_key_is_that_of_rfc_6455() {
        assert_eq!(derive_accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
