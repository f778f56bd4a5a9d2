//! Schwab's ways to say no: the trader's, the gateway's, the proxy's, and pages for people.

use serde_json::{Value, json};

use crate::http::Answer;
use crate::server::Trouble;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The HTTP status.
    pub status: u16,
    /// What it looks like.
    pub body: Body,
}

/// What a refusal looks like, by who refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// JSON.
    Json(Value),
    /// A page.
    Html(String),
}

impl Error {
    /// Returns the trader's refusal.
    #[must_use]
    pub fn trader(status: u16, message: &str, errors: &[String]) -> Self {
        Self { status, body: Body::Json(json!({"message": message, "errors": errors})) }
    }

    /// Returns the trader's refusal of a request that makes no sense. Its words are not known.
    #[must_use]
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::trader(400, "A validation error occurred while processing the request.", &[what.into()])
    }

    /// Returns the trader's refusal of what is not there.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::trader(404, what, &[])
    }

    /// Returns the gateway's refusal; market data speaks so too.
    #[must_use]
    pub fn gateway(status: u16, title: &str, detail: &str) -> Self {
        let id = "6808262e-52bb-4421-9d31-6c0e762e7dd5";
        let error = json!({"id": id, "status": status, "title": title, "detail": detail, "source": {}});
        Self { status, body: Body::Json(json!({"errors": [error]})) }
    }

    /// Returns the gateway's refusal of market data, whose status is a string.
    #[must_use]
    pub fn market(status: u16, title: &str, detail: &str) -> Self {
        let id = "0be22ae7-efdf-44d9-99f4-f138049d76ca";
        let error = json!({"id": id, "status": status.to_string(), "title": title, "detail": detail});
        Self { status, body: Body::Json(json!({"errors": [error]})) }
    }

    /// Returns the refusal of a token that is none, or no longer.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::gateway(401, "Unauthorized", "Client not authorized")
    }

    /// Returns a refusal of the login, in its words.
    #[must_use]
    pub fn login(status: u16, error: &str, description: impl Into<String>) -> Self {
        let body = json!({"error": error, "error_description": description.into()});
        Self { status, body: Body::Json(body) }
    }

    /// Returns the refusal of a refresh token that is dead.
    #[must_use]
    pub fn dead_refresh_token() -> Self {
        let inner = r#"{"error_description":"Exception while authenticating refresh token [tokenDigest=0000, Exception=Failed refresh token authentication [tokenDigest=0000]]","error":"refresh_token_authentication_error"}"#;
        Self::login(400, "unsupported_token_type", format!("400 Bad Request: \"{inner}\""))
    }

    /// Returns the proxy's refusal.
    #[must_use]
    pub fn fault(status: u16, words: &str, code: &str) -> Self {
        let fault = json!({"faultstring": words, "detail": {"errorcode": code}});
        Self { status, body: Body::Json(json!({"fault": fault})) }
    }

    /// Returns a page for people.
    #[must_use]
    pub fn page(status: u16, title: &str, words: &str) -> Self {
        let page = format!(
            "<html><head><title>{title}</title></head><body><h1>{title}</h1><p>{words}</p></body></html>"
        );
        Self { status, body: Body::Html(page) }
    }

    /// Returns it as an answer.
    #[must_use]
    pub fn answer(&self) -> Answer {
        match &self.body {
            Body::Json(body) => Answer::json(self.status, body),
            Body::Html(page) => Answer {
                status: self.status,
                headers: vec![("content-type", "text/html;charset=UTF-8".to_owned())],
                body: page.clone().into_bytes(),
            },
        }
    }
}

/// Returns the answer for what goes wrong on purpose. Schwab never speaks of duplicates: that one is any refusal.
#[must_use]
pub fn trouble(trouble: &Trouble) -> Error {
    match trouble {
        Trouble::Status(401) => Error::unauthorized(),
        Trouble::Status(403) => {
            Error::page(403, "Access Denied", "You don't have permission to access this.")
        }
        Trouble::Status(500) => Error::page(500, "Whitelabel Error Page", "There was an unexpected error."),
        Trouble::Status(502) => Error::page(502, "502 Bad Gateway", "cloudflare"),
        Trouble::Status(status @ (503 | 504)) => {
            let code = "messaging.adaptors.http.flow.ServiceUnavailable";
            Error::fault(*status, "The Service is temporarily unavailable", code)
        }
        Trouble::Status(status) => Error::trader(*status, "Something went wrong.", &[]),
        // Its body is not known.
        Trouble::RateLimit => Error::gateway(429, "Too Many Requests", "Rate limit exceeded"),
        Trouble::Duplicate => Error::trader(400, "Duplicate order.", &[]),
        Trouble::Refused { status, message, .. } => {
            Error::trader(*status, message, std::slice::from_ref(message))
        }
    }
}
