//! What clients may say on a socket.

use serde::Deserialize;
use trade_actors::domain::instrument::Symbol;

/// Most symbols a socket may ask for.
pub(super) const SYMBOLS_MAX: usize = 100;

/// A client's message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Wants the prices of these.
    Subscribe(Vec<Symbol>),
    /// Does not want them any more.
    Unsubscribe(Vec<Symbol>),
    /// Wants to know whether we are there.
    Ping,
    /// Proves again who they are.
    Reauth(Proof),
}

/// How a client proves again who they are.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Proof {
    /// By a ticket.
    Ticket(String),
    /// By a token.
    Token(String),
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Data {
    Symbols { symbols: Vec<Symbol> },
    Proof(Proof),
    Other(serde::de::IgnoredAny),
}

/// Reads a message.
///
/// # Errors
/// A code and what is wrong with it.
pub(super) fn read(text: &str) -> Result<Message, (&'static str, String)> {
    let invalid = |detail: &str| ("INVALID_MESSAGE", detail.to_owned());
    let raw: Raw<'_> = serde_json::from_str(text).map_err(|error| {
        ("INVALID_MESSAGE", format!("the message is not {{\"type\":…,\"data\":…}}: {error}"))
    })?;
    let symbols = |data| match data {
        Some(Data::Symbols { symbols }) => Ok(symbols),
        Some(Data::Proof(_) | Data::Other(_)) | None => {
            Err(invalid("data must be {\"symbols\":[\"AAPL\",…]}"))
        }
    };
    match raw.kind {
        "subscribe" => symbols(raw.data).map(Message::Subscribe),
        "unsubscribe" => symbols(raw.data).map(Message::Unsubscribe),
        "ping" => Ok(Message::Ping),
        "connection.reauth" => match raw.data {
            Some(Data::Proof(proof)) => Ok(Message::Reauth(proof)),
            Some(Data::Symbols { .. } | Data::Other(_)) | None => {
                Err(invalid("data must be {\"ticket\":\"…\"} or {\"token\":\"…\"}"))
            }
        },
        _ => Err(invalid("type must be subscribe, unsubscribe, ping or connection.reauth")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_four_messages_are_understood() {
        let symbol: Symbol = "AAPL".parse().unwrap();
        let subscribe = r#"{"type":"subscribe","data":{"symbols":["aapl"]}}"#;
        assert_eq!(read(subscribe).unwrap(), Message::Subscribe(vec![symbol]));
        let unsubscribe = r#"{"v":1,"data":{"symbols":["AAPL"]},"type":"unsubscribe"}"#;
        assert_eq!(read(unsubscribe).unwrap(), Message::Unsubscribe(vec![symbol]));
        assert_eq!(read(r#"{"type":"ping"}"#).unwrap(), Message::Ping);
        assert_eq!(read(r#"{"type":"ping","data":{}}"#).unwrap(), Message::Ping);
        let reauth = r#"{"type":"connection.reauth","data":{"token":"te_x"}}"#;
        assert_eq!(read(reauth).unwrap(), Message::Reauth(Proof::Token("te_x".to_owned())));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for text in [
            "",
            "ping",
            "[]",
            r#"{"type":"buy"}"#,
            r#"{"type":"subscribe"}"#,
            r#"{"type":"subscribe","data":{"symbols":["A A"]}}"#,
            r#"{"type":"connection.reauth","data":{"symbols":[]}}"#,
        ] {
            assert_eq!(read(text).unwrap_err().0, "INVALID_MESSAGE", "{text}");
        }
    }

    proptest! {
        /// Whatever a client says is answered.
        #[test]
        fn any_text_is_answered(text in ".{0,200}") {
            prop_assert!(read(&text).is_err() || text.contains("type"));
        }
    }
}
