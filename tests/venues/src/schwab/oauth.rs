//! Logins: a person's half in the browser, which says yes to everybody, and the application's, with tokens that age by
//! the venue's clock.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use rand_chacha::rand_core::Rng as _;
use serde_json::json;

use super::errors::Error;
use crate::http::{Answer, Request, encode, form};
use crate::world::State;

/// How long a code is good.
const CODE_FOR: TimeDelta = TimeDelta::seconds(30);
/// How long an access token is good.
const ACCESS_FOR: TimeDelta = TimeDelta::minutes(30);
/// How long a login is good: refreshing does not make it longer.
const LOGIN_FOR: TimeDelta = TimeDelta::days(7);

/// Who logged in, to which accounts, for which application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    /// The application.
    pub(super) app: String,
    /// The accounts, the first of which names the person.
    pub(super) accounts: Vec<String>,
}

#[derive(Clone, Debug)]
struct Granted {
    login: Login,
    until: DateTime<Utc>,
}

/// Codes and tokens that were given out.
#[derive(Debug, Default)]
pub(super) struct Logins {
    codes: BTreeMap<String, (Granted, String)>,
    access: BTreeMap<String, Granted>,
    refresh: BTreeMap<String, Granted>,
}

impl Logins {
    /// Answers `GET /v1/oauth/authorize` as if the person had logged in: sends the browser back with a code.
    ///
    /// Who that is, the parameter `account` says, which Schwab does not have: one name, or several with commas; else it
    /// is the first account. Where nobody can log in, the page on which one would is all there is. Schwab is said to
    /// send back `session` beside the code; that it also sends back `state` is decided here.
    pub(super) fn authorize(
        &mut self,
        state: &mut State,
        now: DateTime<Utc>,
        request: &Request,
    ) -> Result<Answer, Error> {
        let param = |name: &str| request.param(name).unwrap_or_default();
        if !matches!(param("response_type").as_str(), "" | "code") {
            return Err(Error::login(400, "unsupported_response_type", "response_type must be code"));
        }
        let (app, redirect_uri) = (param("client_id"), param("redirect_uri"));
        if !state.oauth_clients.contains_key(&app) {
            return Err(Error::login(401, "invalid_client", "Unauthorized"));
        }
        if redirect_uri != state.settings.text("redirect_uri") || !redirect_uri.starts_with("https://") {
            return Err(Error::login(400, "invalid_request", "Invalid redirect_uri"));
        }
        let sent_back =
            request.param("state").map(|sent| format!("&state={}", encode(&sent))).unwrap_or_default();
        if state.settings.text("consent") == "no" {
            // In the standard's words; what Schwab says is not known.
            let back = format!("{redirect_uri}?error=access_denied{sent_back}");
            return Ok(Answer::empty(302).with("location", back));
        }
        let named = request.param("account").or_else(|| state.directory.first().map(str::to_owned));
        let accounts: Vec<String> =
            named.iter().flat_map(|names| names.split(',')).map(str::to_owned).collect();
        if accounts.is_empty() || accounts.iter().any(|name| !state.directory.contains(name)) {
            return Ok(Error::page(200, "Charles Schwab", "Log in").answer());
        }
        let code = format!("C0.{}@", random(state));
        let session = random(state);
        let back = format!("{redirect_uri}?code={}&session={session}{sent_back}", encode(&code));
        let granted = Granted { login: Login { app, accounts }, until: now + CODE_FOR };
        self.codes.insert(code, (granted, redirect_uri));
        Ok(Answer::empty(302).with("location", back))
    }

    /// Answers `POST /v1/oauth/token`.
    pub(super) fn token(
        &mut self,
        state: &mut State,
        now: DateTime<Utc>,
        request: &Request,
    ) -> Result<Answer, Error> {
        let app =
            client(state, request).ok_or_else(|| Error::login(401, "invalid_client", "Unauthorized"))?;
        let fields: BTreeMap<String, String> =
            form(&String::from_utf8_lossy(&request.body)).into_iter().collect();
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        let is_form = request
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        match field("grant_type") {
            "authorization_code" if is_form => {
                let fits = |(granted, redirect_uri): &(Granted, String)| {
                    granted.login.app == app && redirect_uri == field("redirect_uri") && now < granted.until
                };
                let granted = self.codes.remove(field("code")).filter(fits);
                let (granted, _) = granted.ok_or_else(bad_code)?;
                Ok(self.begin(state, now, granted.login))
            }
            "refresh_token" if is_form => {
                let token = field("refresh_token");
                let granted = self.refresh.get(token).filter(|granted| {
                    granted.login.app == app && now < granted.until && may_come_in(state, &granted.login)
                });
                let login = granted.ok_or_else(Error::dead_refresh_token)?.login.clone();
                Ok(self.give(state, now, login, token))
            }
            _ => Err(Error::login(400, "unsupported_grant_type", "unsupported grant_type")),
        }
    }

    /// Returns whose access token it is, good or not.
    pub(super) fn known(&self, token: &str) -> Option<&Login> {
        self.access.get(token).map(|granted| &granted.login)
    }

    /// Returns whom an access token lets in.
    pub(super) fn lets_in(&self, state: &State, now: DateTime<Utc>, token: &str) -> Option<Login> {
        let granted = self.access.get(token).filter(|granted| now < granted.until)?;
        may_come_in(state, &granted.login).then(|| granted.login.clone())
    }

    /// Gives out the tokens of a new login; the same person's older ones with this application are refreshed no more.
    fn begin(&mut self, state: &mut State, now: DateTime<Utc>, login: Login) -> Answer {
        let same = |old: &Login| {
            old.app == login.app && old.accounts.iter().any(|account| login.accounts.contains(account))
        };
        self.refresh.retain(|_, old| !same(&old.login));
        let token = format!("{}@", random(state));
        self.refresh.insert(token.clone(), Granted { login: login.clone(), until: now + LOGIN_FOR });
        self.give(state, now, login, &token)
    }

    fn give(&mut self, state: &mut State, now: DateTime<Utc>, login: Login, refresh_token: &str) -> Answer {
        let token = format!("I0.{}@", random(state));
        self.access.insert(token.clone(), Granted { login, until: now + ACCESS_FOR });
        let body = json!({
            "expires_in": ACCESS_FOR.num_seconds(),
            "token_type": "Bearer",
            "scope": "api",
            "refresh_token": refresh_token,
            "access_token": token,
            "id_token": random(state),
        });
        Answer::json(200, &body)
    }
}

/// Returns the application that proved itself.
fn client(state: &State, request: &Request) -> Option<String> {
    let (scheme, rest) = request.header("authorization")?.split_once(' ')?;
    let pair = String::from_utf8(BASE64.decode(rest).ok()?).ok()?;
    let (app, secret) = pair.split_once(':')?;
    let known = state.oauth_clients.get(app)?;
    (scheme == "Basic" && known == secret).then(|| app.to_owned())
}

/// Returns whether none of a login's accounts was shut out since.
fn may_come_in(state: &State, login: &Login) -> bool {
    login.accounts.iter().all(|account| state.directory.lets_in(account))
}

fn bad_code() -> Error {
    let inner = r#"{"error_description":"Bad authorization code","error":"invalid_grant"}"#;
    Error::login(400, "unsupported_token_type", format!("400 Bad Request: \"{inner}\""))
}

fn random(state: &mut State) -> String {
    let mut bytes = [0; 24];
    state.rng.fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
