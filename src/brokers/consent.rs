//! Accounts that their owners open at a broker's own page (OAuth 2.0): where a person is sent, and what the code that
//! they come back with is exchanged for. What a broker is not set up for is said with the settings that are missing.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use trade_actors::domain::order::Mode;
use zeroize::Zeroizing;

use super::credentials::{Auth, Kind};
use super::http::{Client, Lost, Reply, Request, SetUpError, hidden};
use super::venue::call::encoded;
use super::venue::mac;
use super::{About, alpaca, schwab};
use crate::config::{BrokersConfig, Secret};
use crate::keys::random_token;

/// Longest code that is exchanged, in bytes.
pub const CODE_MAX: usize = 2_048;
/// Largest reply of a token's place, in bytes.
const REPLY_MAX: usize = 64 << 10;
/// How many characters a verifier has: of 43 to 128, as many as anybody takes.
const VERIFIER: usize = 64;

/// What one broker's page wants, and gives.
#[derive(Clone, Copy, Debug)]
struct Manner {
    about: &'static About,
    /// The rights that are asked for; `None`: there are none to choose.
    scope: Option<&'static str>,
    /// The right without which nothing can be traded, as the reply names it.
    needed: Option<&'static str>,
    /// Whether the page is told with which money.
    tells_mode: bool,
    /// Whether the application proves itself by a header; else it does so in the form.
    by_header: bool,
    /// Whether browsers are sent back to `https` only.
    https_only: bool,
    /// The settings without which there is no page.
    settings: &'static str,
}

const ALPACA: Manner = Manner {
    about: &alpaca::ABOUT,
    scope: Some("trading data"),
    needed: Some("trading"),
    tells_mode: true,
    by_header: false,
    https_only: false,
    settings: "brokers.alpaca.client_id and brokers.alpaca.client_secret",
};

const SCHWAB: Manner = Manner {
    about: &schwab::ABOUT,
    scope: None,
    needed: None,
    tells_mode: false,
    by_header: true,
    https_only: true,
    settings: "brokers.schwab.app_key and brokers.schwab.app_secret",
};

/// Why a person cannot be sent to a broker's page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPage {
    /// The broker has none, or there is no such broker.
    #[error("broker must be one of: {0}; nothing was begun; connect other brokers with their keys")]
    Unknown(String),
    /// The operator has not registered this program there.
    #[error(
        "the operator has not set {settings}, so that nobody can be sent to {title}; nothing was begun; ask them, or \
         connect the account with what {title} gives you itself"
    )]
    NotSet {
        /// What people call the broker.
        title: &'static str,
        /// The settings that are missing.
        settings: &'static str,
    },
    /// The operator has not given this program an address that the broker sends browsers back to.
    #[error(
        "{0} sends browsers back to https addresses only, and the operator has not set server.public_url to one; \
         nothing was begun; ask them"
    )]
    NotHttps(&'static str),
}

/// Why a code was not exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeError {
    /// The broker does not take the code (any more).
    Refused,
    /// It does not take this program's own name and secret.
    NotKnown,
    /// It cannot be asked now. The code may be used up.
    Unavailable,
    /// It answered in words that cannot be read.
    Unreadable,
    /// It gave a permission that does not include trading.
    Narrow,
}

/// What proves, when a code comes back, that it was asked for here (PKCE). Never shown.
#[derive(Clone, Debug)]
pub struct Verifier(SecretString);

impl Verifier {
    /// Makes one by chance.
    #[must_use]
    pub fn random() -> Self {
        let long = Zeroizing::new(random_token() + &random_token());
        Self(long.chars().take(VERIFIER).collect::<String>().into())
    }

    fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.0.expose_secret().as_bytes()))
    }
}

/// This program, as a broker knows it.
#[derive(Clone, Debug)]
pub struct Application {
    manner: &'static Manner,
    id: String,
    secret: Secret,
    page: Url,
    tokens: Url,
    pkce: bool,
    client: Client,
}

/// The brokers that have such a page, by name; `None`: the operator has not registered this program there.
#[derive(Clone, Debug)]
pub struct Consents(BTreeMap<&'static str, (&'static Manner, Option<Application>)>);

impl Consents {
    /// Reads what is set; nothing is sent.
    ///
    /// # Errors
    /// When an address is none, or the build has no usable cryptography.
    pub fn open(config: &BrokersConfig) -> Result<Self, SetUpError> {
        let url = |text: &str, name| Url::parse(text).map_err(|_| SetUpError::Address(name));
        let client = |timeout_ms: u32| Client::new(Duration::from_millis(timeout_ms.into()));
        let theirs = &config.alpaca;
        let alpaca = match theirs.client_secret.clone() {
            Some(secret) if !theirs.client_id.is_empty() => Some(Application {
                manner: &ALPACA,
                id: theirs.client_id.clone(),
                secret,
                page: url(&theirs.authorize_url, "brokers.alpaca.authorize_url")?,
                tokens: url(&theirs.token_url, "brokers.alpaca.token_url")?,
                pkce: theirs.pkce,
                client: client(theirs.timeout_ms)?,
            }),
            Some(_) | None => None,
        };
        let theirs = &config.schwab;
        let below = |name: &str| {
            let text = format!("{}/{name}", theirs.login_url.trim_end_matches('/'));
            url(&text, "brokers.schwab.login_url")
        };
        let schwab = match theirs.app_key.clone().zip(theirs.app_secret.clone()) {
            Some((key, secret)) => Some(Application {
                manner: &SCHWAB,
                id: key.get().expose_secret().to_owned(),
                secret,
                page: below("authorize")?,
                tokens: below("token")?,
                pkce: false,
                client: client(theirs.timeout_ms)?,
            }),
            None => None,
        };
        let all = [(&ALPACA, alpaca), (&SCHWAB, schwab)];
        Ok(Self(all.into_iter().map(|(manner, set)| (manner.about.name, (manner, set))).collect()))
    }

    /// Returns this program as a broker knows it, if that one sends browsers back to `back`.
    ///
    /// # Errors
    /// When the broker has no such page, or the operator has not set it up.
    pub fn get(&self, broker: &str, back: &str) -> Result<&Application, NoPage> {
        let Some((manner, set)) = self.0.get(broker) else {
            return Err(NoPage::Unknown(self.0.keys().copied().collect::<Vec<_>>().join(", ")));
        };
        let title = manner.about.title;
        let application = set.as_ref().ok_or(NoPage::NotSet { title, settings: manner.settings })?;
        if manner.https_only && !back.starts_with("https://") {
            return Err(NoPage::NotHttps(title));
        }
        Ok(application)
    }
}

impl Application {
    /// Returns what the broker is called, and how one gets in.
    #[must_use]
    pub const fn about(&self) -> &'static About {
        self.manner.about
    }

    /// Returns the page to send a person to, who comes back to `back` with `state`.
    #[must_use]
    pub fn page(&self, back: &str, state: &str, mode: Mode, verifier: &Verifier) -> Url {
        let mut page = self.page.clone();
        let challenge = verifier.challenge();
        let mut fields = vec![
            ("response_type", "code"),
            ("client_id", self.id.as_str()),
            ("redirect_uri", back),
            ("state", state),
        ];
        fields.extend(self.manner.scope.map(|scope| ("scope", scope)));
        if self.manner.tells_mode {
            fields.push(("env", mode.as_str()));
        }
        if self.pkce {
            fields.extend([("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")]);
        }
        page.set_query(Some(&encoded(&fields)));
        page
    }

    /// Exchanges a code, once, for what opens the account.
    ///
    /// # Errors
    /// When the broker gives nothing that does. The code is used up then, or may be.
    pub async fn exchange(
        &self,
        code: &SecretString,
        back: &str,
        verifier: &Verifier,
    ) -> Result<Auth, ExchangeError> {
        let request = self.request(code, back, verifier).ok_or(ExchangeError::Refused)?;
        let broker = self.manner.about.name;
        match Box::pin(self.client.send(request)).await {
            Ok(reply) => {
                let read = self.read(reply);
                if let Err((status, why)) = &read {
                    tracing::warn!(broker, status, ?why, "a code was not exchanged");
                }
                read.map_err(|(_, why)| why)
            }
            Err(Lost::Unsent(why) | Lost::Sent(why)) => {
                tracing::warn!(broker, why, "a code was not exchanged");
                Err(ExchangeError::Unavailable)
            }
        }
    }

    fn request(&self, code: &SecretString, back: &str, verifier: &Verifier) -> Option<Request> {
        let secret = self.secret.get().expose_secret();
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code.expose_secret()),
            ("redirect_uri", back),
        ];
        if self.manner.by_header {
            let pair = Zeroizing::new(format!("{}:{secret}", self.id));
            let basic = Zeroizing::new(format!("Basic {}", mac::base64(pair.as_bytes())));
            headers.insert(AUTHORIZATION, hidden(&basic)?);
        } else {
            fields.extend([("client_id", self.id.as_str()), ("client_secret", secret)]);
        }
        if self.pkce {
            fields.push(("code_verifier", verifier.0.expose_secret()));
        }
        let body = encoded(&fields).into_bytes();
        Some(Request { method: Method::POST, url: self.tokens.clone(), headers, body, limit: REPLY_MAX })
    }

    fn read(&self, reply: Reply) -> Result<Auth, (u16, ExchangeError)> {
        let status = reply.status;
        let body = Zeroizing::new(reply.body);
        if !(200..300).contains(&status) {
            return Err((status, refusal(status, &body)));
        }
        let unreadable = (status, ExchangeError::Unreadable);
        let given: Given = serde_json::from_slice(&body).map_err(|_| unreadable)?;
        let lacks = |needed: &&str| {
            given.scope.as_ref().is_some_and(|scope| !scope.split(' ').any(|right| right == *needed))
        };
        if self.manner.needed.as_ref().is_some_and(lacks) {
            return Err((status, ExchangeError::Narrow));
        }
        let is_bearer = given.token_type.is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
        let takes = |kind| self.manner.about.ways_in.contains(&kind);
        let auth = match (given.refresh_token, given.access_token) {
            (Some(refresh_token), _) if takes(Kind::Login) => Auth::Login { refresh_token },
            (_, Some(access_token)) if takes(Kind::OAuth) => Auth::OAuth { access_token },
            (_, _) => return Err(unreadable),
        };
        if is_bearer && auth.unsendable().is_none() { Ok(auth) } else { Err(unreadable) }
    }
}

/// What a place for tokens gives.
#[derive(Deserialize)]
struct Given {
    access_token: Option<SecretString>,
    refresh_token: Option<SecretString>,
    token_type: Option<String>,
    scope: Option<String>,
}

/// Tells whose fault a refusal is.
fn refusal(status: u16, body: &[u8]) -> ExchangeError {
    let names_client = || String::from_utf8_lossy(body).contains("invalid_client");
    match status {
        401 => ExchangeError::NotKnown,
        400..=499 if names_client() => ExchangeError::NotKnown,
        408 | 425 | 429 | 500..=599 => ExchangeError::Unavailable,
        400..=499 => ExchangeError::Refused,
        _ => ExchangeError::Unreadable,
    }
}

#[cfg(test)]
mod tests;
