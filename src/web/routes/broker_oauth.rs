//! Broker accounts that are connected at the broker's own page: the way there, and the way back.
//!
//! Whoever comes back must be who went. What they come back with is good once and for ten minutes, and the code in the
//! address is exchanged, never kept or logged. From there on it is as if the person had brought the credentials
//! themselves: they are tried out, then sealed, then the account is recorded.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use trade_actors::domain::account::may_connect;
use trade_actors::domain::event::{Event, Fact};
use trade_actors::domain::ids::ConnectionId;
use trade_actors::domain::user::{Connection, UserState};
use utoipa::ToSchema;
use uuid::Uuid;
use warp::http::StatusCode;
use warp::http::header::{HeaderValue, RETRY_AFTER};

use super::login::is_look_ahead;
use super::sources::checked_name;
use super::{brokers, pages};
use crate::auth::Consent;
use crate::brokers::About;
use crate::brokers::consent::{Application, CODE_MAX, ExchangeError, NoPage, Verifier};
use crate::brokers::credentials::{Auth, BrokerSecret};
use crate::vault::CredentialError;
use crate::web::call::{Answer, Call, json, see_other};
use crate::web::guard;
use crate::web::problem::Problem;

/// Where brokers send browsers back to, below the address that people are given.
const BACK: &str = "/oauth/callback";
/// Longest text that is looked at as the secret that comes back.
const STATE_MAX: usize = 128;
/// After how many seconds a broker that did not answer may be asked again.
const AGAIN_S: u32 = 10;

/// A broker account to connect at the broker's own page.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewConsent {
    /// The broker's name: `alpaca` or `schwab`.
    #[schema(example = "alpaca")]
    broker: String,
    /// `paper` or `live`.
    #[schema(example = "paper")]
    mode: String,
    /// Shown name.
    #[schema(example = "My Alpaca account")]
    name: Option<String>,
}

/// Where the account's owner is to go.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConsentBegun<'a> {
    /// The broker's page, for the browser in which the owner is logged in here.
    authorize_url: &'a str,
    /// Until when they may come back.
    expires_at: DateTime<Utc>,
}

/// What became of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Connected,
    Renewed,
}

/// Begins to connect an account at the broker's own page.
pub(crate) async fn begin(call: Call) -> Result<Answer, Problem> {
    let new: NewConsent = call.json()?;
    let account = call.account().await?;
    let back = back(&call);
    let application = call.edge.web.consents.get(&new.broker, &back).map_err(no_page)?;
    let about = application.about();
    let mode = brokers::mode(&new.mode)?;
    brokers::trades_with(about, mode)?;
    let name = new.name.map(checked_name).transpose()?.unwrap_or_default();
    let wanted = Connection::new(ConnectionId::new(Uuid::new_v4()), about.name, mode);
    may_begin(&account, &wanted)?;
    let verifier = Verifier::random();
    let principal = call.principal()?.clone();
    let consent = Consent { principal, broker: about.name, mode, name, verifier: verifier.clone() };
    let (state, expires_at) = call.edge.web.auth.begin_consent(consent).ok_or_else(|| {
        let detail =
            "too many people are connecting accounts right now; nothing was begun; try again in a moment";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", detail).retry_after(AGAIN_S)
    })?;
    let page = application.page(&back, &state, mode, &verifier);
    json(StatusCode::CREATED, &ConsentBegun { authorize_url: page.as_str(), expires_at })
}

/// Connects the account whose owner comes back; what goes wrong is said on a page, for a person reads it.
pub(crate) async fn callback(mut call: Call) -> Result<Answer, Problem> {
    if is_look_ahead(&call.head) {
        // A look ahead must not use anything up.
        let detail = "this address opens in a browser's window only; nothing was used up";
        return shown(&Problem::new(StatusCode::BAD_REQUEST, "NOT_OPENED", detail));
    }
    match came_back(&mut call).await {
        Ok(Outcome::Connected) => Ok(see_other("/?broker=connected")),
        Ok(Outcome::Renewed) => Ok(see_other("/?broker=renewed")),
        Err(problem) => shown(&problem),
    }
}

async fn came_back(call: &mut Call) -> Result<Outcome, Problem> {
    // First of all, for what comes back is good once.
    call.engine()?;
    let state = call.head.query("state").filter(|state| (1..=STATE_MAX).contains(&state.len()));
    let consent = state.and_then(|state| call.edge.web.auth.end_consent(&state)).ok_or_else(unknown)?;
    let came = guard::session(&call.edge, &call.head).filter(|came| consent.is_of(came));
    call.principal = Some(came.ok_or_else(|| another(&consent))?);
    let back = back(call);
    let application = call.edge.web.consents.get(consent.broker, &back).map_err(no_page)?.clone();
    let code = code(call, application.about())?;
    let account = call.account().await?;
    let mut connection = Connection::new(ConnectionId::new(Uuid::new_v4()), consent.broker, consent.mode);
    connection.name.clone_from(&consent.name);
    // Asked again where it counts; here so that nothing is exchanged for nothing.
    may_begin(&account, &connection)?;
    let auth = exchanged(call, &application, &code, &back, &consent.verifier).await?;
    let secret = BrokerSecret { broker: consent.broker.to_owned(), mode: consent.mode, auth };
    brokers::try_out(call, &mut connection, &secret).await?;
    if let Some(known) = renewable(call, &account, &connection, &secret).await? {
        renew(call, &account, known, secret).await?;
        return Ok(Outcome::Renewed);
    }
    brokers::keep(call, &account, connection, Some(secret)).await.map(|_| Outcome::Connected)
}

/// Says whether it is worth going to the broker: to connect one more account, or to open one of them anew.
fn may_begin(account: &UserState, wanted: &Connection) -> Result<(), Problem> {
    let is_like = |known: &Connection| known.broker == wanted.broker && known.mode == wanted.mode;
    if account.connections.iter().any(is_like) {
        return Ok(());
    }
    Ok(may_connect(account, wanted)?)
}

/// Returns the connection to the same account, if its owner let this program in there the same way before: a login that
/// ended is taken up again without what is open there being left alone.
async fn renewable(
    call: &Call,
    account: &UserState,
    found: &Connection,
    secret: &BrokerSecret,
) -> Result<Option<ConnectionId>, Problem> {
    let same = |known: &&Connection| {
        known.broker == found.broker && known.mode == found.mode && known.account == found.account
    };
    let Some(known) = account.connections.iter().find(same) else { return Ok(None) };
    let (user, id, broker, kind) = (account.id, known.id, known.broker.clone(), secret.auth.kind());
    brokers::in_vault(call, move |credentials| match credentials.get(user, id, &broker) {
        Ok(before) => Ok(before.is_none_or(|before| before.auth.kind() == kind).then_some(id)),
        // What cannot be opened any more is good for nothing else.
        Err(CredentialError::Sealed(..) | CredentialError::Form(_)) => Ok(Some(id)),
        Err(error @ CredentialError::Store(_)) => Err(error),
    })
    .await
}

/// Puts new credentials in the place of those that opened an account before.
async fn renew(
    call: &Call,
    account: &UserState,
    id: ConnectionId,
    secret: BrokerSecret,
) -> Result<(), Problem> {
    let (user, broker) = (account.id, secret.broker.clone());
    let event = Event::ConnectionRenewed { connection: id };
    call.engine()?.commit(vec![Fact::by(Some(user), event, &call.head.caller())]).await?;
    brokers::in_vault(call, move |credentials| credentials.put(user, id, &secret)).await?;
    call.edge.web.prober.renewed(&broker, id);
    Ok(())
}

/// Returns where brokers send browsers back to; each has it registered.
fn back(call: &Call) -> String {
    format!("{}{BACK}", call.edge.base_url)
}

/// Returns the code that came back.
fn code(call: &Call, about: &About) -> Result<SecretString, Problem> {
    let title = about.title;
    let again = "nothing was kept or connected; begin again";
    if let Some(error) = call.head.query("error") {
        if error == "access_denied" {
            let detail = format!(
                "{title} says that you did not let this program in; nothing was kept or connected; to connect the \
                 account after all, begin again and agree there"
            );
            return Err(Problem::forbidden("ACCESS_DENIED", detail));
        }
        // Anybody can write an address: only a word of the standard's form is repeated.
        let is_word =
            |text: &str| text.len() <= 40 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let why = if is_word(&error) { format!(" ({error})") } else { String::new() };
        let detail = format!("{title} sent you back without letting this program in{why}; {again}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "NO_CODE", detail));
    }
    let code = call.head.query("code").filter(|code| (1..=CODE_MAX).contains(&code.len()));
    code.map(SecretString::from).ok_or_else(|| {
        let detail = format!("{title} sent you back without a code; {again}");
        Problem::new(StatusCode::BAD_REQUEST, "NO_CODE", detail)
    })
}

/// Exchanges a code in so much of the request's time that there is enough left to try out what it gives.
async fn exchanged(
    call: &Call,
    application: &Application,
    code: &SecretString,
    back: &str,
    verifier: &Verifier,
) -> Result<Auth, Problem> {
    let patience = call.edge.web.config.request_timeout() * 2 / 5;
    let asked = tokio::time::timeout(patience, application.exchange(code, back, verifier)).await;
    let error = match asked {
        Ok(Ok(auth)) => return Ok(auth),
        Ok(Err(error)) => error,
        Err(_) => ExchangeError::Unavailable,
    };
    let title = application.about().title;
    let unavailable = |detail: String| {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "BROKER_UNAVAILABLE", detail);
        problem.retry_after(AGAIN_S)
    };
    Err(match error {
        ExchangeError::Refused => {
            let detail = format!(
                "{title} did not take the code that your browser brought back: it was used before, or is too old; nothing \
                 was kept or connected; begin again"
            );
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "CODE_REFUSED", detail)
        }
        ExchangeError::NotKnown => {
            let detail = format!(
                "{title} does not know this program by the name, the secret and the address that the operator has set; \
                 nothing was kept or connected; ask them to compare these with what is registered there"
            );
            Problem::new(StatusCode::CONFLICT, "NOT_CONFIGURED", detail)
        }
        ExchangeError::Narrow => {
            let detail = format!(
                "what you allowed at {title} does not include trading; nothing was kept or connected; begin again and \
                 allow it"
            );
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "PERMISSION_MISSING", detail)
        }
        ExchangeError::Unavailable => unavailable(format!(
            "{title} could not be asked for a token; nothing was kept or connected; begin again in a moment"
        )),
        ExchangeError::Unreadable => unavailable(format!(
            "{title} answered in words that cannot be read when it was asked for a token; nothing was kept or connected; \
             begin again in a moment"
        )),
    })
}

fn no_page(why: NoPage) -> Problem {
    let detail = why.to_string();
    match why {
        NoPage::Unknown(_) => Problem::invalid("/broker", detail),
        NoPage::NotSet { .. } | NoPage::NotHttps(_) => {
            Problem::new(StatusCode::CONFLICT, "NOT_CONFIGURED", detail)
        }
    }
}

fn unknown() -> Problem {
    let detail = "this way back is not known: it was used before, is older than ten minutes, was not begun here, or the \
                  program was started since; nothing was kept or connected; begin again";
    Problem::new(StatusCode::BAD_REQUEST, "CONSENT_UNKNOWN", detail)
}

fn another(consent: &Consent) -> Problem {
    tracing::warn!(user.id = %consent.principal.user, broker = consent.broker, "another browser came back from a broker");
    let detail = "this browser is not logged in as who began to connect the account; nothing was kept or connected; begin \
                  again, and open the broker's page in the browser in which you are logged in here";
    Problem::forbidden("ANOTHER_BROWSER", detail)
}

/// Says what went wrong on a page.
fn shown(problem: &Problem) -> Result<Answer, Problem> {
    let (title, advice) = match problem.code {
        "ACCESS_DENIED" => ("You said no", "Nothing is traded at that account."),
        "CONSENT_UNKNOWN" | "NO_CODE" | "CODE_REFUSED" => {
            ("Not connected", "The page of the broker is open for ten minutes, and comes back once.")
        }
        "ALREADY_CONNECTED" => ("Connected already", "Nothing changed at the account that is connected."),
        "NOT_OPENED" => ("Not opened", ""),
        _ => ("Not connected", "Accounts that were connected before are as they were."),
    };
    let mut letters = problem.detail.chars();
    let detail: String =
        letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default();
    let detail = format!("{detail}.");
    let texts = [("{{title}}", title), ("{{detail}}", detail.as_str()), ("{{advice}}", advice)];
    let mut page = pages::filled("consent.html", problem.status, &texts)?;
    if let Some(seconds) = problem.retry_after_s {
        page.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    Ok(page)
}
