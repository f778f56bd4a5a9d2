//! Broker accounts: connected once their keys are found to work, removed when nothing is open there.

use std::fmt::Write as _;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use trade_actors::arrival::Refused;
use trade_actors::domain::account::{PAPER, may_choose, may_connect, may_disconnect};
use trade_actors::domain::ids::{ConnectionId, UserId};
use trade_actors::domain::instrument::AssetClass;
use trade_actors::domain::order::Mode;
use trade_actors::domain::report::RefusalCode;
use trade_actors::domain::user::{Connection, Role, UserState};
use trade_actors::ports::broker::BrokerError;
use utoipa::ToSchema;
use uuid::Uuid;
use warp::http::StatusCode;

use super::sources::checked_name;
use crate::brokers::credentials::{Auth, BrokerSecret, Kind, SECRET_MAX};
use crate::brokers::{About, VENUES, about, probe};
use crate::keys::MasterKey;
use crate::vault::{CredentialError, Credentials};
use crate::web::call::{Answer, Call, json, nothing, ok};
use crate::web::problem::Problem;
use crate::web::wire::{Broker, Page, Routes};

/// The fields of a broker account to connect.
const FIELDS: [&str; 8] =
    ["/broker", "/mode", "/name", "/key_id", "/secret", "/access_token", "/refresh_token", "/account"];
/// After how many seconds a broker that did not answer may be asked again.
const AGAIN_S: u32 = 10;

/// A broker account to connect.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBroker {
    /// The broker's name: `alpaca`, or `paper` for one more simulated account.
    #[schema(example = "alpaca")]
    broker: String,
    /// `paper` or `live`.
    #[schema(example = "paper")]
    mode: String,
    /// Shown name.
    #[schema(example = "My Alpaca account")]
    name: Option<String>,
    /// The name of an API key, together with `secret`.
    #[schema(value_type = Option<String>)]
    key_id: Option<SecretString>,
    /// The secret of the API key.
    #[schema(value_type = Option<String>)]
    secret: Option<SecretString>,
    /// A token that was given to this program, instead of a key.
    #[schema(value_type = Option<String>)]
    access_token: Option<SecretString>,
    /// The token of a login, where a broker gives that.
    #[schema(value_type = Option<String>)]
    refresh_token: Option<SecretString>,
    /// The account's number, where the way to the broker is open already.
    #[schema(value_type = Option<String>)]
    account: Option<SecretString>,
}

/// What a person writes who wants to trade with real money.
const CONFIRMATION: &str = "trade real money";

/// Whether real money is to be traded.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LiveTrading {
    /// Whether it is to be on.
    on: bool,
    /// To switch it on: `trade real money`.
    #[schema(example = "trade real money")]
    confirm: Option<String>,
}

/// Where signals are to go. An account is named by its id; null: the default one; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoutesChange {
    /// For shares.
    #[serde(default, deserialize_with = "given")]
    equity: Option<Option<Uuid>>,
    /// For coins.
    #[serde(default, deserialize_with = "given")]
    crypto: Option<Option<Uuid>>,
}

/// Keeps null and absence apart.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Uuid>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// What is to be connected, read and found possible.
#[derive(Debug)]
struct Wanted {
    connection: Connection,
    /// Absent at the broker that is built in.
    secret: Option<BrokerSecret>,
}

/// Lists the caller's broker accounts; the first is the default.
pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let account = call.account().await?;
    let sessions = &call.engine()?.shared().sessions;
    let known = account.connections.iter();
    let items = known.map(|known| Broker::of(known, &account, sessions.of(known.id))).collect();
    ok(&Page::whole(items))
}

/// Connects a broker account.
///
/// Its keys are tried out, then sealed, then the account is recorded: there is never one without its keys.
pub(crate) async fn connect(call: Call) -> Result<Answer, Problem> {
    let new: NewBroker = call.json().map_err(unquoted)?;
    let account = call.account().await?;
    let Wanted { mut connection, secret } = new.wanted()?;
    if secret.as_ref().is_some_and(|secret| secret.auth.kind() == Kind::Account)
        && account.role != Role::Operator
    {
        let detail = "the way to this broker is open already, to whoever runs this engine; nothing was connected; ask them";
        return Err(Problem::new(StatusCode::FORBIDDEN, "OPERATOR_ONLY", detail));
    }
    // Asked again where it counts; here so that no keys are sent anywhere for nothing.
    may_connect(&account, &connection)?;
    if let Some(secret) = &secret {
        try_out(&call, &mut connection, secret).await?;
    }
    let id = keep(&call, &account, connection, secret).await?;
    shown(&call, id, StatusCode::CREATED).await
}

/// Tries credentials out, and notes by what the account they open is known.
pub(super) async fn try_out(
    call: &Call,
    connection: &mut Connection,
    secret: &BrokerSecret,
) -> Result<(), Problem> {
    let found = probed(call, secret).await?;
    connection.hint = secret.hint();
    connection.account = known_as(&call.edge.web.keys, connection, &found.account);
    Ok(())
}

/// Seals credentials that were tried out, then records their account.
pub(super) async fn keep(
    call: &Call,
    account: &UserState,
    connection: Connection,
    secret: Option<BrokerSecret>,
) -> Result<ConnectionId, Problem> {
    let engine = call.engine()?;
    let (user, id) = (account.id, connection.id);
    may_connect(account, &connection)?;
    if let Some(secret) = secret {
        in_vault(call, move |credentials| credentials.put(user, id, &secret)).await?;
    }
    if let Err(refused) = engine.connect(user, connection, call.head.caller()).await {
        // Without an answer it may be connected. If it is not, the next start removes what it would have needed.
        if refused != Refused::Unanswered {
            forget(call, user, id).await;
        }
        return Err(refused.into());
    }
    Ok(id)
}

/// Removes a broker account and its keys.
pub(crate) async fn remove(call: Call) -> Result<Answer, Problem> {
    let account = call.account().await?;
    let id: ConnectionId = call.id()?;
    may_disconnect(&account, id)?;
    call.engine()?.disconnect(account.id, id, call.head.caller()).await?;
    forget(&call, account.id, id).await;
    Ok(nothing())
}

/// Switches trading with real money on or off.
pub(crate) async fn go_live(call: Call) -> Result<Answer, Problem> {
    let wish: LiveTrading = call.json()?;
    if wish.on && wish.confirm.as_deref() != Some(CONFIRMATION) {
        let detail = format!(
            "to trade with real money, confirm must be \"{CONFIRMATION}\"; nothing was changed; orders at this account will \
             cost real money from then on"
        );
        return Err(Problem::invalid("/confirm", detail));
    }
    let (user, id) = (call.account().await?.id, call.id()?);
    call.engine()?.go_live(user, id, wish.on, call.head.caller()).await?;
    shown(&call, id, StatusCode::OK).await
}

/// Shows where signals go.
pub(crate) async fn routes(call: Call) -> Result<Answer, Problem> {
    ok(&Routes::of(&call.account().await?))
}

/// Changes where signals go.
pub(crate) async fn direct(call: Call) -> Result<Answer, Problem> {
    let change: RoutesChange = call.json()?;
    let account = call.account().await?;
    let wishes = [(AssetClass::Equity, change.equity), (AssetClass::Crypto, change.crypto)];
    let wishes: Vec<_> =
        wishes.into_iter().filter_map(|(class, wish)| Some((class, wish?.map(ConnectionId::new)))).collect();
    // All of it is possible, or nothing is changed.
    for (class, wish) in &wishes {
        if wish.is_some_and(|id| may_choose(&account, id).is_err()) {
            let detail = "there is no such broker account; nothing was changed";
            return Err(Problem::invalid(&format!("/{}", class.as_str()), detail));
        }
    }
    for (class, wish) in wishes {
        call.engine()?.direct(account.id, class, wish, call.head.caller()).await?;
    }
    call.engine()?.views().settled().await?;
    routes(call).await
}

/// Has signals go to another broker account.
pub(crate) async fn choose(call: Call) -> Result<Answer, Problem> {
    let (user, id) = (call.account().await?.id, call.id()?);
    call.engine()?.choose(user, id, call.head.caller()).await?;
    shown(&call, id, StatusCode::OK).await
}

impl NewBroker {
    fn wanted(self) -> Result<Wanted, Problem> {
        let mode = mode(&self.mode)?;
        let about = about(&self.broker);
        if about.is_none() && self.broker != PAPER {
            let names: Vec<_> = VENUES.iter().map(|row| row.about.name).collect();
            let names = names.join(", ");
            let detail = format!("broker must be one of: {PAPER}, {names}; nothing was connected");
            return Err(Problem::invalid("/broker", detail));
        }
        let mut connection = Connection::new(ConnectionId::new(Uuid::new_v4()), &self.broker, mode);
        connection.name = self.name.map(checked_name).transpose()?.unwrap_or_default();
        let given: Vec<_> = [
            ("key_id", self.key_id),
            ("secret", self.secret),
            ("access_token", self.access_token),
            ("refresh_token", self.refresh_token),
            ("account", self.account),
        ]
        .into_iter()
        .filter_map(|(name, part)| Some((name, part?)))
        .collect();
        let Some(about) = about else {
            return built_in(mode, given.is_empty()).map(|()| Wanted { connection, secret: None });
        };
        trades_with(about, mode)?;
        let auth = way_in(about, given)?;
        if let Some(part) = auth.unsendable() {
            let detail = format!(
                "{part} must be 1 to {SECRET_MAX} visible ASCII characters without blanks; nothing was connected; copy \
                 it again"
            );
            return Err(Problem::invalid(&format!("/{part}"), detail));
        }
        let secret = BrokerSecret { broker: self.broker, mode, auth };
        Ok(Wanted { connection, secret: Some(secret) })
    }
}

/// Reads with which money an account is to trade.
pub(super) fn mode(text: &str) -> Result<Mode, Problem> {
    match text {
        "paper" => Ok(Mode::Paper),
        "live" => Ok(Mode::Live),
        _ => Err(Problem::invalid("/mode", "mode must be paper or live; nothing was connected")),
    }
}

/// Says whether a broker trades with such money.
pub(super) fn trades_with(about: &About, mode: Mode) -> Result<(), Problem> {
    if about.modes.contains(&mode) {
        return Ok(());
    }
    let (title, mode) = (about.title, mode.as_str());
    let detail = format!("{title} has no {mode} trading; nothing was connected; choose the other mode");
    Err(Problem::invalid("/mode", detail))
}

/// Says whether another account of the broker that is built in can be opened.
fn built_in(mode: Mode, without_keys: bool) -> Result<(), Problem> {
    match mode {
        Mode::Live => {
            Err(Problem::invalid("/mode", "the paper broker has no real money; nothing was connected"))
        }
        Mode::Paper if !without_keys => {
            let detail = "the paper broker takes no keys; nothing was connected; leave them out";
            Err(Problem::invalid("/broker", detail))
        }
        Mode::Paper => Ok(()),
    }
}

/// Makes credentials of what was given, if that is one of the ways into the broker.
fn way_in(about: &About, given: Vec<(&'static str, SecretString)>) -> Result<Auth, Problem> {
    let names: Vec<_> = given.iter().map(|(name, _)| *name).collect();
    let fits = |kind: &&Kind| kind.parts() == names;
    if let Some(kind) = about.ways_in.iter().find(fits) {
        let parts = given.into_iter().map(|(_, part)| part).collect();
        return Auth::of(*kind, parts).ok_or_else(|| Problem::internal(&"the credentials lost a part"));
    }
    let ways: Vec<_> = about.ways_in.iter().map(|kind| kind.parts().join(" and ")).collect();
    let detail =
        format!("{} takes {}, and nothing else; nothing was connected", about.title, ways.join(", or "));
    // What is missing if something is, else what is too much.
    let wanted = about.ways_in.iter().flat_map(|kind| kind.parts());
    let takes = |name: &str| about.ways_in.iter().any(|kind| kind.parts().contains(&name));
    let too_much = names.iter().find(|name| !takes(name));
    let begun = about.ways_in.iter().find(|kind| names.iter().any(|name| kind.parts().contains(name)));
    let missing = begun.and_then(|kind| kind.parts().iter().find(|part| !names.contains(part)));
    let at = too_much.or(missing).or_else(|| names.last()).copied().or_else(|| wanted.copied().next());
    Err(Problem::invalid(&format!("/{}", at.unwrap_or("broker")), detail))
}

/// Words a body that does not fit without quoting it: a secret may stand in the wrong place.
fn unquoted(problem: Problem) -> Problem {
    if problem.code != "INVALID_VALUE" {
        return problem;
    }
    let field =
        problem.errors.into_iter().map(|error| error.pointer).find(|at| FIELDS.contains(&at.as_str()));
    let detail = "the body must have broker and mode, may have name, and has what opens the account (key_id and secret, \
                  access_token, refresh_token or account), all of them text and nothing else; nothing was connected";
    let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "INVALID_VALUE", detail);
    match field {
        Some(field) => problem.at(field),
        None => problem,
    }
}

/// Tries keys out at their broker.
async fn probed(call: &Call, secret: &BrokerSecret) -> Result<probe::Probed, Problem> {
    let web = &call.edge.web;
    let patience: Duration = web.config.request_timeout() / 2;
    let asked = tokio::time::timeout(patience, web.prober.probe(secret)).await;
    let (broker, mode) = (secret.broker.as_str(), secret.mode.as_str());
    let (these, they) = match secret.auth.kind() {
        Kind::ApiKey | Kind::Account => ("these keys", "the keys work"),
        Kind::OAuth | Kind::Login => ("this token", "the token works"),
    };
    let unavailable = || {
        let detail = format!(
            "{broker} could not be asked whether {these} can be used; nothing was kept or connected; try again in a moment"
        );
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "BROKER_UNAVAILABLE", detail);
        Err(problem.retry_after(AGAIN_S))
    };
    let error = match asked {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(error)) => error,
        Err(_) => return unavailable(),
    };
    match error {
        BrokerError::NotReceived { .. }
        | BrokerError::HeldBack { .. }
        | BrokerError::Unknown(_)
        | BrokerError::Taken(_) => {
            tracing::warn!(broker, error = secret.redact(&error.to_string()), "keys could not be tried out");
            unavailable()
        }
        BrokerError::Refused(refusal) => match refusal.code {
            RefusalCode::AuthFailed => {
                let other = if secret.mode == Mode::Paper { "live" } else { "paper" };
                let check = match secret.auth.kind() {
                    Kind::ApiKey | Kind::Account => "they are whole, not revoked, and not those of",
                    Kind::OAuth | Kind::Login => "it is whole, not revoked, and not for",
                };
                let detail = format!(
                    "{broker} did not accept {these} for {mode} trading; nothing was kept or connected; check that \
                     {check} the {other} account"
                );
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "AUTH_FAILED", detail))
            }
            RefusalCode::RateLimitExceeded | RefusalCode::BrokerUnavailable => unavailable(),
            RefusalCode::InsufficientFunds
            | RefusalCode::InvalidSymbol
            | RefusalCode::MarketClosed
            | RefusalCode::DuplicateOrder
            | RefusalCode::OrderRejected => {
                let said = secret.redact(&refusal.message);
                let detail =
                    format!("{they}, but this account may not trade; nothing was kept or connected; {said}");
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "ACCOUNT_REFUSED", detail))
            }
        },
    }
}

/// Returns what an account is known by in the log: always the same, and not the number that the broker gave it.
fn known_as(keys: &MasterKey, connection: &Connection, number: &str) -> String {
    let (broker, mode) = (&connection.broker, connection.mode.as_str());
    let derived = keys.derive(&format!("broker-account/v1/{broker}/{mode}/{number}"));
    derived.iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
        if write!(text, "{byte:02x}").is_err() {
            text.clear();
        }
        text
    })
}

/// Removes the keys of an account that is not there. What fails now, the next start does.
async fn forget(call: &Call, user: UserId, connection: ConnectionId) {
    let removed = in_vault(call, move |credentials| Ok(credentials.remove(user, connection)?)).await;
    if let Err(problem) = removed {
        tracing::error!(%connection, problem.code, "an account's keys are still sealed in the vault; the next start removes them");
    }
}

/// Runs what syncs to disk where it may block.
pub(super) async fn in_vault<T: Send + 'static>(
    call: &Call,
    work: impl FnOnce(&Credentials) -> Result<T, CredentialError> + Send + 'static,
) -> Result<T, Problem> {
    let credentials = call.edge.web.credentials.clone();
    let done = tokio::task::spawn_blocking(move || work(&credentials)).await;
    match done.map_err(|error| Problem::internal(&error))? {
        Ok(done) => Ok(done),
        Err(CredentialError::Store(error)) => Err(error.into()),
        Err(error @ (CredentialError::Sealed(..) | CredentialError::Form(_))) => {
            Err(Problem::internal(&error))
        }
    }
}

async fn shown(call: &Call, id: ConnectionId, status: StatusCode) -> Result<Answer, Problem> {
    let account: UserState = call.account().await?;
    let known = account.connections.iter().find(|known| known.id == id).ok_or_else(Problem::not_found)?;
    json(status, &Broker::of(known, &account, call.engine()?.shared().sessions.of(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(body: &str) -> Result<Wanted, Problem> {
        serde_json::from_str::<NewBroker>(body).unwrap().wanted()
    }

    #[test]
    fn keys_are_whole_and_belong_to_a_broker_that_takes_them() {
        let keys = wanted(
            r#"{"broker":"alpaca","mode":"live","key_id":"PK123456789012","secret":"s","name":"Mine"}"#,
        );
        let Wanted { connection, secret } = keys.unwrap();
        let secret = secret.unwrap();
        assert_eq!(
            (connection.name.as_str(), secret.mode, secret.hint().as_str()),
            ("Mine", Mode::Live, "9012")
        );
        assert!(wanted(r#"{"broker":"alpaca","mode":"paper","access_token":"t"}"#).is_ok());
        assert!(wanted(r#"{"broker":"paper","mode":"paper"}"#).unwrap().secret.is_none());
        for (body, pointer) in [
            (r#"{"broker":"alpaca","mode":"paper"}"#, "/key_id"),
            (r#"{"broker":"alpaca","mode":"paper","key_id":"k"}"#, "/secret"),
            (r#"{"broker":"alpaca","mode":"paper","secret":"k"}"#, "/key_id"),
            (
                r#"{"broker":"alpaca","mode":"paper","key_id":"k","secret":"s","access_token":"t"}"#,
                "/access_token",
            ),
            (r#"{"broker":"alpaca","mode":"paper","key_id":"k","secret":"s s"}"#, "/secret"),
            (r#"{"broker":"alpaca","mode":"demo","key_id":"k","secret":"s"}"#, "/mode"),
            (r#"{"broker":"kraken","mode":"paper","key_id":"k","secret":"s"}"#, "/mode"),
            (r#"{"broker":"nowhere","mode":"paper","key_id":"k","secret":"s"}"#, "/broker"),
            (r#"{"broker":"paper","mode":"live"}"#, "/mode"),
            (r#"{"broker":"paper","mode":"paper","access_token":"t"}"#, "/broker"),
            (r#"{"broker":"paper","mode":"paper","name":" x"}"#, "/name"),
        ] {
            let problem = wanted(body).unwrap_err();
            assert_eq!(
                (problem.status.as_u16(), problem.errors[0].pointer.as_str()),
                (422, pointer),
                "{body}"
            );
        }
        assert!(
            wanted(r#"{"broker":"nowhere","mode":"paper"}"#).unwrap_err().detail.contains("paper, alpaca")
        );
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_not_said_back() {
        let headers = [(warp::http::header::CONTENT_TYPE, "application/json".parse().unwrap())];
        let headers = headers.into_iter().collect();
        for (body, pointer) in [
            (r#"{"broker":"alpaca","mode":"paper","hunter2":"x"}"#, None),
            (r#"{"broker":"alpaca","mode":"paper","secret":["hunter2"]}"#, Some("/secret")),
            (r#"{"broker":"alpaca","mode":"paper","secret":424242}"#, Some("/secret")),
            (r#"{"broker":"hunter2"}"#, Some("/mode")),
            (r#""hunter2""#, None),
        ] {
            let problem =
                unquoted(crate::web::body::json::<NewBroker>(&headers, body.as_bytes()).unwrap_err());
            let said = format!("{problem:?}");
            assert!(!said.contains("hunter2") && !said.contains("424242"), "{said}");
            assert_eq!(problem.errors.first().map(|error| error.pointer.as_str()), pointer, "{body}");
        }
    }
}
