//! How brokers are reached: one set of TLS settings, and no way to an address inside our own network.

pub mod here;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderMap;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

/// How long one address may take to answer.
const CONNECT: Duration = Duration::from_secs(4);
/// How long a WebSocket may take to be open, from the look-up of its host on.
const OPEN: Duration = Duration::from_secs(10);
/// Largest message of a stream, in bytes.
const MESSAGE_MAX: usize = 1 << 20;

/// Why a WebSocket is not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// The other end answered the handshake with this HTTP status.
    Answered(u16),
    /// It was not reached, not in time, or did not speak the protocol; in words for the log.
    Failed(String),
}

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(status) => write!(f, "the handshake was answered with HTTP status {status}"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl From<WsError> for Unopened {
    fn from(error: WsError) -> Self {
        if let WsError::Http(reply) = &error {
            return Self::Answered(reply.status().as_u16());
        }
        Self::Failed(error.to_string())
    }
}

impl From<String> for Unopened {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// A WebSocket to a broker.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Returns TLS settings with the certificate authorities built in: an image need not bring its own.
///
/// # Errors
/// When the provider of cryptography takes no version of the protocol, which is a fault of the build.
pub fn tls() -> Result<ClientConfig, rustls::Error> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Returns whether a setting may name such an address: encrypted, or on this machine.
#[must_use]
pub fn is_reachable(url: &str, encrypted: &str, plain: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let is_local = is_local(&url);
    let is_public = match url.host_str().map(|host| host.trim_matches(['[', ']']).parse::<IpAddr>()) {
        Some(Ok(address)) => is_public(address),
        Some(Err(_)) => true,
        None => false,
    };
    let scheme = url.scheme();
    (scheme == encrypted && (is_local || is_public) || scheme == plain && is_local)
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

/// Returns whether an address that another machine named may be connected to: encrypted and not of this machine, unless
/// that other one is this machine too.
#[must_use]
pub fn is_reachable_from(url: &Url, encrypted: &str, plain: &str, named_by: &Url) -> bool {
    is_reachable(url.as_str(), encrypted, plain) && (!is_local(url) || is_local(named_by))
}

/// Returns whether an address is on this machine, by its text.
fn is_local(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

/// Returns whether an address is one of the internet's, not of a network of ours.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    let is_special = first == 0
        || first >= 240
        || (first == 192 && second == 0 && third == 0)
        || (first == 198 && (second == 18 || second == 19));
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || is_shared
        || is_special)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Global unicast only; of it neither Teredo, 6to4 nor documentation, which all can hide another address.
    (0x2000..0x4000).contains(&first)
        && !(first == 0x2001 && (second == 0 || second == 0xdb8))
        && first != 0x2002
}

/// Looks a host up once, and returns those of its addresses that may be connected to.
///
/// # Errors
/// When there is none.
async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let host = host.trim_matches(['[', ']']);
    let literal = host.parse::<IpAddr>().is_ok();
    let found = tokio::net::lookup_host((host, port)).await?;
    // An address that the operator wrote down is meant; a name that leads inside is not.
    let meant = |address: &SocketAddr| {
        let ip = address.ip();
        if literal || host == "localhost" { is_public(ip) || ip.is_loopback() } else { is_public(ip) }
    };
    let allowed: Vec<_> = found.filter(meant).collect();
    if allowed.is_empty() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the host has no public address"));
    }
    Ok(allowed)
}

/// Looks hosts up for the HTTP client.
#[derive(Clone, Copy, Debug)]
pub struct PublicHosts;

impl Resolve for PublicHosts {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = addresses(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Opens a WebSocket.
///
/// # Errors
/// When it is not open in time, in words for the log.
pub async fn open(url: &Url, tls: Arc<ClientConfig>) -> Result<Socket, String> {
    open_with(url, HeaderMap::new(), tls).await.map_err(|error| error.to_string())
}

/// Opens a WebSocket with headers of the caller's.
///
/// # Errors
/// When it is not open in time, or the other end refuses to open it.
pub async fn open_with(url: &Url, headers: HeaderMap, tls: Arc<ClientConfig>) -> Result<Socket, Unopened> {
    let opening = Box::pin(async {
        let lacks = |what: &str| Unopened::Failed(format!("the address names no {what}"));
        let host = url.host_str().ok_or_else(|| lacks("host"))?;
        let port = url.port_or_known_default().ok_or_else(|| lacks("port"))?;
        let stream = connect(&addresses(host, port).await.map_err(|error| error.to_string())?).await?;
        let limits = WebSocketConfig::default()
            .read_buffer_size(16 << 10)
            .max_message_size(Some(MESSAGE_MAX))
            .max_frame_size(Some(MESSAGE_MAX));
        let connector = Some(Connector::Rustls(tls));
        let mut request = url.as_str().into_client_request()?;
        request.headers_mut().extend(headers);
        let (socket, _) = client_async_tls_with_config(request, stream, Some(limits), connector).await?;
        Ok(socket)
    });
    let late = |_| Err(Unopened::Failed("not open in time".to_owned()));
    tokio::time::timeout(OPEN, opening).await.unwrap_or_else(late)
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut problem = String::new();
    for address in addresses {
        match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(|error| error.to_string())?;
                return Ok(stream);
            }
            Ok(Err(error)) => problem = error.to_string(),
            Err(_) => "no answer".clone_into(&mut problem),
        }
    }
    Err(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_are_not_public() {
        for inside in [
            "10.0.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.0.8",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "::ffff:10.0.0.1",
            "::ffff:8.8.8.8",
            "ff02::1",
            "2002:7f00:1::",
            "2001:db8::1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["8.8.8.8", "35.194.70.10", "100.128.0.1", "172.32.0.1", "2606:4700::1111"] {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn a_setting_names_an_encrypted_address_or_one_on_this_machine() {
        let good = |url| is_reachable(url, "https", "http");
        for url in [
            "https://api.alpaca.markets",
            "https://api.alpaca.markets/",
            "http://127.0.0.1:9000",
            "http://localhost:1",
            "http://[::1]:5/base",
            "https://8.8.8.8",
        ] {
            assert!(good(url), "{url}");
        }
        for url in [
            "http://api.alpaca.markets",
            "https://10.0.0.1",
            "http://192.168.0.1",
            "https://user:pw@api.alpaca.markets",
            "https://api.alpaca.markets?x=1",
            "ftp://127.0.0.1",
            "wss://api.alpaca.markets",
            "",
            "api.alpaca.markets",
        ] {
            assert!(!good(url), "{url}");
        }
        assert!(is_reachable("wss://stream.data.alpaca.markets", "wss", "ws"));
    }

    #[test]
    fn only_this_machine_may_name_an_address_on_this_machine() {
        let url = |text: &str| -> Url { text.parse().unwrap() };
        let (far, near) = (url("https://api.schwabapi.com/trader/v1"), url("http://127.0.0.1:9000"));
        let goes = |text, from| is_reachable_from(&url(text), "wss", "ws", from);
        assert!(goes("wss://streamer-api.schwab.com/ws", &far));
        assert!(goes("ws://127.0.0.1:9001/ws", &near));
        for inside in [
            "ws://127.0.0.1:9001/ws",
            "wss://localhost/ws",
            "wss://10.0.0.1/ws",
            "ws://streamer-api.schwab.com/ws",
        ] {
            assert!(!goes(inside, &far), "{inside}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_followed() {
        assert!(addresses("localhost", 1).await.is_ok());
        assert!(addresses("127.0.0.1", 1).await.is_ok());
        assert!(addresses("10.1.2.3", 1).await.is_err());
    }

    #[test]
    fn tls_can_be_set_up() {
        assert!(tls().unwrap().alpn_protocols.is_empty());
    }
}
