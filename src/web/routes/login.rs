//! Logging in by a one-time link, and out.

use trade_actors::domain::event::{Event, Fact};
use trade_actors::domain::ids::UserId;
use warp::http::header::{HeaderValue, SET_COOKIE};
use warp::http::{Method, StatusCode};

use super::tokens::in_vault;
use crate::auth::{SESSION_LIFE, Via};
use crate::web::call::{Answer, Call, Head, nothing, see_other};
use crate::web::guard::binding;
use crate::web::problem::Problem;

/// How such a login is called in the log.
const METHOD: &str = "login_link";
/// Longest text that is looked at as a link's secret.
const SECRET_MAX: usize = 128;

/// Follows a login link: once, and only when a person opens it.
pub(crate) async fn follow(call: Call) -> Result<Answer, Problem> {
    if is_look_ahead(&call.head) {
        // A look ahead must not use the link up.
        let detail = "this link opens in a browser's window only; it was not used up";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "NOT_OPENED", detail));
    }
    let engine = call.engine()?;
    let secret = call.param().to_owned();
    let user = match secret.len() {
        0..=SECRET_MAX => in_vault(&call, move |auth| auth.follow_link(&secret)).await?,
        _ => None,
    };
    let Some(user) = user else {
        let failed = Event::LoginFailed { method: METHOD.to_owned() };
        call.edge.record_failure(engine, Fact::by(None, failed, &call.head.caller()));
        return Ok(see_other("/login?reason=link"));
    };
    welcome(&call, user).await
}

/// Returns whether nobody opens the address yet: a browser fetches it in case somebody does.
pub(super) fn is_look_ahead(head: &Head) -> bool {
    let fetched_ahead = ["sec-purpose", "purpose", "x-moz"].iter().any(|name| {
        head.header(name).is_some_and(|purpose| purpose.to_ascii_lowercase().contains("prefetch"))
    });
    fetched_ahead || head.method == Method::HEAD
}

async fn welcome(call: &Call, user: UserId) -> Result<Answer, Problem> {
    let engine = call.engine()?;
    let event = Event::LoginSucceeded { method: METHOD.to_owned() };
    engine.commit(vec![Fact::by(Some(user), event, &call.head.caller())]).await?;
    let bound = binding(&call.head);
    let session = in_vault(call, move |auth| auth.open_session(user, bound)).await?;
    let csrf = call.edge.web.auth.csrf().token(&session.id);
    let mut answer = see_other("/");
    let life = SESSION_LIFE.num_seconds();
    set_cookies(&mut answer, call.edge.cookies.begin(&session.secret, &csrf, life));
    Ok(answer)
}

/// Ends the session; with a token there is none to end.
pub(crate) async fn logout(call: Call) -> Result<Answer, Problem> {
    match &call.principal()?.via {
        Via::Session { id } => {
            let id = id.clone();
            in_vault(&call, move |auth| auth.close_session(&id)).await?;
        }
        Via::Token { .. } => {}
    }
    let mut answer = nothing();
    set_cookies(&mut answer, call.edge.cookies.end());
    Ok(answer)
}

fn set_cookies(answer: &mut Answer, lines: [String; 2]) {
    for line in lines {
        if let Ok(mut line) = HeaderValue::try_from(line) {
            line.set_sensitive(true);
            answer.headers_mut().append(SET_COOKIE, line);
        }
    }
}
