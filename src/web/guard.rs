//! Who may come in: bearer tokens and sessions, CSRF, and the pages from which a browser may call.

use subtle::ConstantTimeEq;
use trade_actors::domain::user::Role;
use warp::http::header::{AUTHORIZATION, HOST, ORIGIN};
use warp::http::{HeaderMap, Method};

use super::call::Head;
use super::edge::Edge;
use super::problem::Problem;
use crate::auth::{Binding, Principal, Scope, Via};

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody.
    Public,
    /// Who may see the account.
    Read,
    /// Who may trade.
    Trade,
    /// Who may change settings.
    Manage,
    /// Who runs the engine.
    Operator,
}

impl Access {
    /// Returns the scope it takes.
    pub(super) const fn scope(self) -> Option<Scope> {
        match self {
            Self::Public => None,
            Self::Read => Some(Scope::Read),
            Self::Trade => Some(Scope::Trade),
            Self::Manage | Self::Operator => Some(Scope::Manage),
        }
    }
}

/// Lets a caller in, or says why not.
///
/// # Errors
/// 401 for a caller who did not prove who they are, 403 for one who may not do this.
pub(super) fn admit(edge: &Edge, access: Access, head: &Head) -> Result<Option<Principal>, Problem> {
    let Some(scope) = access.scope() else { return Ok(None) };
    let principal = identify(edge, head)?;
    if !principal.may(scope) {
        let detail = format!("this token lacks the scope \"{}\"; nothing was done", scope.as_str());
        return Err(Problem::forbidden("SCOPE_MISSING", detail));
    }
    if access == Access::Operator && !is_operator(edge, &principal)? {
        return Err(Problem::forbidden("OPERATOR_ONLY", "only an operator may do this; nothing was done"));
    }
    Ok(Some(principal))
}

/// Returns whether a caller runs the engine, as the log has it now.
///
/// # Errors
/// While the engine is starting, or when the store fails.
pub(super) fn is_operator(edge: &Edge, principal: &Principal) -> Result<bool, Problem> {
    let user = edge.engine()?.views().user(principal.user)?;
    Ok(user.is_some_and(|user| user.role == Role::Operator))
}

fn identify(edge: &Edge, head: &Head) -> Result<Principal, Problem> {
    // A bearer token is an intent no foreign page can have; it goes before the cookie.
    if let Some(authorization) = head.headers.get(AUTHORIZATION) {
        let secret = authorization.to_str().ok().and_then(|text| text.split_once(' '));
        let secret = secret.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        return secret
            .and_then(|(_, secret)| edge.web.auth.bearer(secret.trim()))
            .ok_or_else(Problem::unauthorized);
    }
    let principal = session(edge, head).ok_or_else(Problem::unauthorized)?;
    if !is_safe(&head.method) {
        refuse_forged(edge, head, &principal)?;
    }
    Ok(principal)
}

/// Returns who a request's session cookie belongs to.
pub(super) fn session(edge: &Edge, head: &Head) -> Option<Principal> {
    let cookie = edge.cookies.session(&head.headers)?;
    edge.web.auth.session(cookie, &binding(head))
}

/// Describes the caller's browser and network.
pub(super) fn binding(head: &Head) -> Binding {
    Binding::new(head.header("user-agent").unwrap_or_default(), head.address)
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn refuse_forged(edge: &Edge, head: &Head, principal: &Principal) -> Result<(), Problem> {
    let foreign = head.header("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"));
    if (foreign && !has_allowed_origin(edge, &head.headers)) || !origin_is_ours(edge, &head.headers) {
        return Err(Problem::forbidden(
            "FOREIGN_ORIGIN",
            "the request comes from another site; nothing was done",
        ));
    }
    let Via::Session { id } = &principal.via else { return Ok(()) };
    let header = head.header("x-csrf-token").unwrap_or_default();
    let cookie = edge.cookies.csrf(&head.headers).unwrap_or_default();
    if edge.web.auth.csrf().holds(id, header, cookie) {
        return Ok(());
    }
    let detail = "the X-CSRF-Token header must repeat the csrf cookie of this session; nothing was done; reload the page";
    Err(Problem::forbidden("CSRF", detail))
}

fn has_allowed_origin(edge: &Edge, headers: &HeaderMap) -> bool {
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    origin.is_some_and(|origin| edge.web.config.allowed_origins.iter().any(|allowed| same(allowed, origin)))
}

/// Returns whether a request comes from one of our own pages, or from no page at all.
pub(super) fn origin_is_ours(edge: &Edge, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    if same(&edge.base_url, origin) || has_allowed_origin(edge, headers) {
        return true;
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let bare = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    // Cookies belong to a host, so a page of the same host and port is ours.
    bare.is_some_and(|bare| !host.is_empty() && same(host, bare))
}

fn same(ours: &str, theirs: &str) -> bool {
    let (ours, theirs) = (ours.to_ascii_lowercase(), theirs.to_ascii_lowercase());
    ours.as_bytes().ct_eq(theirs.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, OnceLock};
    use std::time::Instant;

    use trade_actors::domain::ids::UserId;
    use warp::http::header::{COOKIE, HeaderName};

    use super::*;
    use crate::auth::fakes::{fixture, user};
    use crate::config::web::WebConfig;
    use crate::web::Web;

    fn edge(config: WebConfig) -> Edge {
        let it = fixture();
        let web = Web {
            engine: Arc::new(OnceLock::new()),
            credentials: crate::vault::Credentials::new(it.vault, it.keys.clone()),
            prober: Arc::new(crate::brokers::probe::fakes::Unasked),
            consents: Arc::new(
                crate::brokers::consent::Consents::open(&crate::config::BrokersConfig::default()).unwrap(),
            ),
            auth: Arc::new(it.auth),
            keys: it.keys,
            config: Arc::new(config),
            new_user_limits: trade_actors::domain::risk::Limits::default(),
            started: Instant::now(),
        };
        Edge::new(web, "127.0.0.1:8080".parse().unwrap(), Vec::new())
    }

    fn head(method: Method, headers: &[(&'static str, &str)]) -> Head {
        let headers =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        Head {
            method,
            path: "/api/v1/trades".to_owned(),
            query: String::new(),
            headers: headers.collect(),
            address: "127.0.0.1".parse().unwrap(),
        }
    }

    fn cookies(edge: &Edge, of: UserId) -> (String, String) {
        let session = edge.web.auth.open_session(of, binding(&head(Method::GET, &[]))).unwrap();
        let csrf = edge.web.auth.csrf().token(&session.id);
        (format!("session={}; csrf={csrf}", session.secret), csrf)
    }

    fn code(answer: Result<Option<Principal>, Problem>) -> &'static str {
        answer.map_or_else(|problem| problem.code, |_| "ok")
    }

    #[test]
    fn a_token_needs_its_scope_and_the_right_scheme() {
        let edge = edge(WebConfig::default());
        let token = edge.web.auth.create_token(user(1), "t", &[Scope::Read]).unwrap().secret;
        let with = |access, value: &str| {
            code(admit(&edge, access, &head(Method::POST, &[("authorization", value)])))
        };
        assert_eq!(with(Access::Read, &format!("Bearer {token}")), "ok");
        assert_eq!(with(Access::Read, &format!("bearer {token}")), "ok");
        assert_eq!(with(Access::Trade, &format!("Bearer {token}")), "SCOPE_MISSING");
        assert_eq!(with(Access::Read, &format!("Basic {token}")), "UNAUTHORIZED");
        assert_eq!(with(Access::Read, &format!("Bearer {token}x")), "UNAUTHORIZED");
        assert_eq!(with(Access::Public, "Bearer nonsense"), "ok");
        assert_eq!(code(admit(&edge, Access::Read, &head(Method::GET, &[]))), "UNAUTHORIZED");
    }

    #[test]
    fn a_session_reads_freely_and_writes_with_its_csrf_token_only() {
        let edge = edge(WebConfig::default());
        let (cookie, csrf) = cookies(&edge, user(1));
        let (_, other) = cookies(&edge, user(2));
        let get = head(Method::GET, &[("cookie", &cookie)]);
        assert_eq!(code(admit(&edge, Access::Read, &get)), "ok");
        let post = |token: &str| {
            code(admit(
                &edge,
                Access::Trade,
                &head(Method::POST, &[("cookie", &cookie), ("x-csrf-token", token)]),
            ))
        };
        assert_eq!(post(&csrf), "ok");
        assert_eq!(post(&other), "CSRF");
        assert_eq!(post(""), "CSRF");
    }

    #[test]
    fn a_foreign_page_cannot_use_the_session() {
        let edge = edge(WebConfig {
            allowed_origins: vec!["https://panel.example.com".to_owned()],
            ..WebConfig::default()
        });
        let (cookie, csrf) = cookies(&edge, user(1));
        let from = |more: &[(&'static str, &str)]| {
            let mut headers = vec![
                ("cookie", cookie.as_str()),
                ("x-csrf-token", csrf.as_str()),
                ("host", "127.0.0.1:8080"),
            ];
            headers.extend_from_slice(more);
            code(admit(&edge, Access::Trade, &head(Method::POST, &headers)))
        };
        assert_eq!(from(&[("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "same-origin")]), "ok");
        assert_eq!(from(&[("origin", "https://panel.example.com"), ("sec-fetch-site", "cross-site")]), "ok");
        assert_eq!(from(&[("origin", "https://evil.example")]), "FOREIGN_ORIGIN");
        assert_eq!(from(&[("origin", "null")]), "FOREIGN_ORIGIN");
        assert_eq!(from(&[("origin", "http://127.0.0.1:9999")]), "FOREIGN_ORIGIN");
        assert_eq!(from(&[("sec-fetch-site", "cross-site")]), "FOREIGN_ORIGIN");
        assert_eq!(from(&[("sec-fetch-site", "same-site")]), "FOREIGN_ORIGIN");
    }

    #[test]
    fn a_planted_cookie_beside_the_real_one_lets_nobody_in() {
        let edge = edge(WebConfig::default());
        let (cookie, _) = cookies(&edge, user(1));
        let mut head = head(Method::GET, &[("cookie", &cookie)]);
        head.headers.append(COOKIE, "session=planted".parse().unwrap());
        assert_eq!(code(admit(&edge, Access::Read, &head)), "UNAUTHORIZED");
    }
}
