//! Where a request really comes from: the socket's address, or what trusted proxies say of it.

use std::net::{IpAddr, SocketAddr};

use crate::config::web::Network;

/// Returns the client's address: from the right, the first one that is not a trusted proxy.
///
/// What stands to the left of it was written by the client and says nothing.
#[must_use]
pub(crate) fn client_address(peer: IpAddr, forwarded_for: &[&str], proxies: &[Network]) -> IpAddr {
    let trusted = |address: IpAddr| proxies.iter().any(|proxy| proxy.contains(address));
    let peer = peer.to_canonical();
    if !trusted(peer) {
        return peer;
    }
    let hops = forwarded_for.iter().rev().flat_map(|line| line.rsplit(','));
    let mut last = peer;
    for hop in hops {
        let Some(address) = parse(hop.trim()) else { return last };
        last = address;
        if !trusted(address) {
            return address;
        }
    }
    last
}

/// Reads an address, with or without a port.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client(peer: &str, forwarded: &[&str], proxies: &[&str]) -> String {
        let proxies: Vec<Network> = proxies.iter().map(|text| Network::parse(text).unwrap()).collect();
        client_address(peer.parse().unwrap(), forwarded, &proxies).to_string()
    }

    #[test]
    fn nobody_is_believed_unless_configured() {
        assert_eq!(client("203.0.113.7", &["1.2.3.4"], &[]), "203.0.113.7");
        assert_eq!(client("203.0.113.7", &["1.2.3.4"], &["10.0.0.0/8"]), "203.0.113.7");
    }

    #[test]
    fn the_first_stranger_from_the_right_is_the_client() {
        let proxies = &["10.0.0.0/8", "::1"];
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 203.0.113.7"], proxies), "203.0.113.7");
        assert_eq!(client("10.0.0.1", &["6.6.6.6", "203.0.113.7, 10.0.0.2"], proxies), "203.0.113.7");
        assert_eq!(client("::1", &["203.0.113.7:5555"], proxies), "203.0.113.7");
        assert_eq!(client("::ffff:10.0.0.1", &["[2001:db8::1]:443"], proxies), "2001:db8::1");
    }

    #[test]
    fn an_unreadable_hop_ends_the_belief() {
        assert_eq!(client("10.0.0.1", &["203.0.113.7, unknown"], &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[], &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["10.0.0.9"], &["10.0.0.0/8"]), "10.0.0.9");
    }

    proptest! {
        /// Whatever a stranger writes, a stranger stays who they are.
        #[test]
        fn a_stranger_cannot_pretend(lines in prop::collection::vec(".{0,40}", 0..4)) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            prop_assert_eq!(client("203.0.113.7", &lines, &["10.0.0.0/8"]), "203.0.113.7");
        }
    }
}
