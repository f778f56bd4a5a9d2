//! Errors as RFC 9457 problems: a stable code, words for the reader, and nothing of the inside.

use bytes::Bytes;
use serde::Serialize;
use trade_actors::arrival::Refused;
use trade_actors::domain::account::Obstacle;
use trade_actors::ports::journal::CommitError;
use trade_actors::ports::store::StoreError;
use utoipa::ToSchema;
use warp::http::{HeaderValue, Response, StatusCode, header};

use super::call::Answer;
use crate::auth::AuthError;

/// Begins the name of a kind of problem; the code follows.
const TYPES: &str = "urn:trade-executor:problem:";

/// One field at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// Where, as a JSON pointer.
    #[schema(example = "/quantity")]
    pub(crate) pointer: String,
    /// What is wrong with it and what is allowed.
    pub(crate) detail: String,
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// Stable code.
    pub(crate) code: &'static str,
    /// What happened, what was not done, what to do.
    pub(crate) detail: String,
    /// Fields at fault.
    pub(crate) errors: Vec<FieldError>,
    /// After how many seconds to try again.
    pub(crate) retry_after_s: Option<u32>,
    /// The methods that the address takes.
    pub(crate) allow: Option<String>,
}

/// A problem as it is sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// Names the kind of problem.
    #[serde(rename = "type")]
    kind: String,
    /// The kind of problem in a few words.
    title: &'a str,
    /// HTTP status.
    status: u16,
    /// What happened, what was not done, what to do.
    detail: &'a str,
    /// Stable code.
    code: &'a str,
    /// Fields at fault.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
    /// Names this answer in the process log.
    #[serde(skip_serializing_if = "str::is_empty")]
    request_id: &'a str,
}

impl Problem {
    /// Words a problem.
    #[must_use]
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), errors: Vec::new(), retry_after_s: None, allow: None }
    }

    /// Says when to try again.
    #[must_use]
    pub(crate) const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Names a field at fault.
    #[must_use]
    pub(crate) fn at(mut self, pointer: impl Into<String>) -> Self {
        let detail = self.detail.clone();
        self.errors.push(FieldError { pointer: pointer.into(), detail });
        self
    }

    /// Returns the problem of a value that is not allowed.
    #[must_use]
    pub(crate) fn invalid(pointer: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "INVALID_VALUE", detail).at(pointer)
    }

    /// Returns the problem of a thing that does not exist, or not for this caller.
    #[must_use]
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is nothing here; check the address and the id")
    }

    /// Returns the problem of a method that the address does not take.
    #[must_use]
    pub(crate) fn method(allow: String) -> Self {
        let detail = format!("this address takes {allow} only; nothing was done");
        let mut problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", detail);
        problem.allow = Some(allow);
        problem
    }

    /// Returns the problem of a body that is too long.
    #[must_use]
    pub(crate) fn too_large(limit: usize) -> Self {
        let detail = format!("the body is longer than {limit} bytes; nothing was done; send a shorter one");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", detail)
    }

    /// Returns the problem of a caller who did not prove who they are.
    #[must_use]
    pub(crate) fn unauthorized() -> Self {
        let detail = "log in, or send a valid API token as \"Authorization: Bearer te_…\"; nothing was done";
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", detail)
    }

    /// Returns the problem of a caller who may not do this.
    #[must_use]
    pub(crate) fn forbidden(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// Returns the problem of an engine that is not ready.
    #[must_use]
    pub(crate) fn starting() -> Self {
        Refused::Starting.into()
    }

    /// Returns the problem of something that broke here; `error` goes to the process log only.
    #[must_use]
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        let detail = "something went wrong here; whether it was done is not known; look before trying again";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", detail)
    }

    /// Renders the answer.
    #[must_use]
    pub(crate) fn answer(&self, request_id: &str) -> Answer {
        let body = ProblemBody {
            kind: format!("{TYPES}{}", self.code.to_ascii_lowercase().replace('_', "-")),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            errors: &self.errors,
            request_id,
        };
        let mut answer = Response::new(Bytes::from(serde_json::to_vec(&body).unwrap_or_default()));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(allow) = self.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        answer
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let (status, code, wait) = match refused {
            Refused::Obstacle(obstacle) => return obstacle.into(),
            Refused::Starting => (StatusCode::SERVICE_UNAVAILABLE, "STARTING", 1),
            Refused::Draining => (StatusCode::SERVICE_UNAVAILABLE, "STOPPING", 5),
            Refused::UserBusy => (StatusCode::TOO_MANY_REQUESTS, "USER_BUSY", 1),
            Refused::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", 1),
            Refused::DiskFull => (StatusCode::SERVICE_UNAVAILABLE, "DISK_FULL", 30),
            Refused::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "STORE_UNAVAILABLE", 5),
            Refused::Unanswered => (StatusCode::SERVICE_UNAVAILABLE, "UNANSWERED", 5),
            Refused::HaltedByRules => {
                return Self::new(StatusCode::CONFLICT, "HALTED_BY_RULES", refused.to_string());
            }
        };
        Self::new(status, code, refused.to_string()).retry_after(wait)
    }
}

impl From<Obstacle> for Problem {
    fn from(obstacle: Obstacle) -> Self {
        let (status, code) = match obstacle {
            Obstacle::Unknown => return Self::not_found(),
            Obstacle::PaperOnly | Obstacle::PlanFull(_) => (StatusCode::FORBIDDEN, "PLAN_LIMIT"),
            Obstacle::TooMany(_) => (StatusCode::CONFLICT, "TOO_MANY"),
            Obstacle::Connected => (StatusCode::CONFLICT, "ALREADY_CONNECTED"),
            Obstacle::InUse { .. } => (StatusCode::CONFLICT, "ACCOUNT_IN_USE"),
            Obstacle::NotLive => (StatusCode::CONFLICT, "PAPER_ACCOUNT"),
            Obstacle::Last => (StatusCode::CONFLICT, "LAST_ACCOUNT"),
        };
        Self::new(status, code, obstacle.to_string())
    }
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        match &error {
            CommitError::Full => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "DISK_FULL", error.to_string()).retry_after(30)
            }
            CommitError::Down(_) => {
                tracing::error!(%error, "a fact was not recorded");
                let detail = "the log is not available; whether this was recorded is not known; look before trying again";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "LOG_UNAVAILABLE", detail).retry_after(5)
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        let detail = "the store is not available or behind; nothing was done; try again in a moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "STORE_UNAVAILABLE", detail).retry_after(5)
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Store(error) => error.into(),
            AuthError::TooMany(_) => Self::new(StatusCode::CONFLICT, "TOO_MANY", error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(answer: Answer) -> String {
        String::from_utf8(answer.into_body().to_vec()).unwrap()
    }

    #[test]
    fn a_problem_names_code_field_and_request() {
        let problem = Problem::invalid("/quantity", "must be greater than zero");
        let answer = problem.answer("req-1");
        assert_eq!(answer.status(), 422);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        insta::assert_snapshot!(text(answer), @r#"{"type":"urn:trade-executor:problem:invalid-value","title":"Unprocessable Entity","status":422,"detail":"must be greater than zero","code":"INVALID_VALUE","errors":[{"pointer":"/quantity","detail":"must be greater than zero"}],"request_id":"req-1"}"#);
    }

    #[test]
    fn each_refusal_says_when_to_come_back() {
        for refused in [
            Refused::Starting,
            Refused::Draining,
            Refused::UserBusy,
            Refused::Overloaded,
            Refused::DiskFull,
            Refused::Unavailable,
            Refused::Unanswered,
        ] {
            let answer = Problem::from(refused).answer("");
            let expected = if refused == Refused::UserBusy { 429 } else { 503 };
            assert_eq!(answer.status(), expected, "{refused:?}");
            assert!(answer.headers().contains_key("retry-after"), "{refused:?}");
        }
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let answer = Problem::method("GET, POST".to_owned()).answer("");
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["allow"]),
            (405, &HeaderValue::from_static("GET, POST"))
        );
    }

    #[test]
    fn what_broke_inside_stays_inside() {
        let problem = Problem::from(StoreError("/var/lib/secret/path broke".to_owned()));
        assert!(!text(problem.answer("")).contains("/var/lib"));
    }
}
