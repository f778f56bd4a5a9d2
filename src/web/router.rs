//! Every route, a line each: method, address, who may, handler, what it takes and answers, what it does.

use std::sync::Arc;

use bytes::Buf;
use futures_util::Stream;
use futures_util::future::BoxFuture;
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode};
use warp::path::FullPath;
use warp::{Filter, Rejection};

use super::call::{Answer, Call, Head, address_of, decoded};
use super::edge::Edge;
use super::guard::{self, Access};
use super::idempotency::Turn;
use super::problem::Problem;
use super::routes::{
    admin, broker_oauth, brokers, health, login, me, pages, portfolio, positions, risk, signals, sources,
    switch, tokens, trades, webhook,
};
use super::server::Arrived;
use super::{body, socket};

/// Carries a call out.
type Handler = fn(Call) -> BoxFuture<'static, Result<Answer, Problem>>;

/// An address with a method, and what answers there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) method: Verb,
    pub(super) pattern: &'static str,
    pub(super) access: Access,
    pub(super) operation: &'static str,
    /// Name of the schema of the body it takes; empty when it takes none.
    pub(super) takes: &'static str,
    /// Status of a good answer.
    pub(super) status: u16,
    /// Name of the schema of the answer; empty when it has none.
    pub(super) answers: &'static str,
    pub(super) summary: &'static str,
    run: Handler,
}

/// The methods that routes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

macro_rules! routes {
    ($($method:ident $pattern:literal $access:ident $module:ident::$name:ident($($takes:ident)?)
       => $status:literal $($answers:ident)?, $summary:literal;)*) => {
        /// Every route.
        pub(super) const ROUTES: &[Route] = &[$(Route {
            method: Verb::$method,
            pattern: $pattern,
            access: Access::$access,
            operation: concat!(stringify!($module), "_", stringify!($name)),
            takes: concat!("", $(stringify!($takes))?),
            status: $status,
            answers: concat!("", $(stringify!($answers))?),
            summary: $summary,
            run: |call| Box::pin($module::$name(call)),
        }),*];
    };
}

routes! {
    Post   "/webhooks/tradingview/{token}"     Public   webhook::receive(Alert)         => 202 Delivered,      "Takes an alert; the same one again is a duplicate, never a second order.";
    Get    "/ws"                               Public   me::socket()                    => 101,                "Opens the live connection; see the documentation of the envelope.";
    Post   "/api/v1/ws-ticket"                 Read     me::ticket()                    => 201 Ticket,         "Makes a ticket that opens one socket within 30 seconds.";
    Get    "/api/v1/me"                        Read     me::show()                      => 200 Me,             "Tells who you are and how you are logged in.";
    Get    "/api/v1/trades"                    Read     trades::list()                  => 200 TradePage,      "Lists trades, newest first.";
    Post   "/api/v1/trades"                    Trade    trades::place(NewTrade)         => 201 Trade,          "Places an order by hand, through the same rules as any signal.";
    Get    "/api/v1/trades/{id}"               Read     trades::show()                  => 200 TradeDetail,    "Shows a trade with its signal, its decision, its attempts, its fills, its stages and its history.";
    Put    "/api/v1/trades/{id}"               Trade    trades::amend(TradeChange)      => 200 Trade,          "Changes an order that is still queued.";
    Post   "/api/v1/trades/{id}/cancel"        Trade    trades::cancel()                => 202 Trade,          "Asks the broker to cancel an open order.";
    Get    "/api/v1/portfolio"                 Read     portfolio::show()               => 200 PortfolioUpdate, "Shows cash, equity, profit and positions.";
    Get    "/api/v1/positions"                 Read     positions::list()               => 200 PositionPage,   "Lists open positions.";
    Put    "/api/v1/positions/{symbol}"        Trade    positions::protect(NewProtection) => 200 Position,     "Changes the stop and the targets of a position.";
    Post   "/api/v1/positions/{symbol}/close"  Trade    positions::close(Leave)         => 201 Trade,          "Leaves a position, or a part of it, at the market.";
    Get    "/api/v1/risk"                      Read     risk::show()                    => 200 Risk,           "Shows the limits and how much of them is used.";
    Put    "/api/v1/risk"                      Manage   risk::change(LimitsChange)      => 200 Risk,           "Changes limits; those not named stay.";
    Get    "/api/v1/kill-switch"               Read     switch::show()                  => 200 KillSwitch,     "Shows whether new orders are taken.";
    Post   "/api/v1/kill-switch"               Trade    switch::turn(SwitchChange)      => 200 KillSwitch,     "Stops or resumes trading; stopping cancels open entries.";
    Get    "/api/v1/signals"                   Read     signals::list()                 => 200 SignalPage,     "Lists what arrived and what became of it, newest first.";
    Get    "/api/v1/sources"                   Read     sources::list()                 => 200 SourcePage,     "Lists the sources you follow.";
    Post   "/api/v1/sources"                   Manage   sources::create(NewSource)      => 201 Source,         "Makes a source with a webhook address of its own.";
    Put    "/api/v1/sources/{id}/limits"       Manage   sources::limit(SourceLimitsChange) => 200 Source,      "Limits a source's signals, beside your own limits; the stricter holds.";
    Post   "/api/v1/sources/{id}/rotate"       Manage   sources::rotate()               => 200 Source,         "Replaces a source's address; the old one is dead at once.";
    Post   "/api/v1/sources/{id}/test"         Trade    sources::test()                 => 202 Delivered,      "Sends a small paper order through the whole path.";
    Post   "/api/v1/sources/{id}/follow"       Manage   sources::follow()               => 200 Source,         "Follows a source from now on.";
    Delete "/api/v1/sources/{id}/follow"       Manage   sources::unfollow()             => 204,                "Follows a source no longer.";
    Get    "/api/v1/brokers"                   Read     brokers::list()                 => 200 BrokerPage,     "Lists your broker accounts.";
    Post   "/api/v1/brokers"                   Manage   brokers::connect(NewBroker)     => 201 Broker,         "Connects a broker account, once its keys are found to work; they are sealed and never shown.";
    Post   "/api/v1/brokers/oauth"             Manage   broker_oauth::begin(NewConsent) => 201 ConsentBegun,   "Begins to connect a broker account at the broker's own page: answers where to send its owner's browser.";
    Delete "/api/v1/brokers/{id}"              Manage   brokers::remove()               => 204,                "Removes a broker account at which nothing is open, and its keys.";
    Put    "/api/v1/brokers/{id}/live"         Manage   brokers::go_live(LiveTrading)   => 200 Broker,         "Switches trading with real money on or off at a broker account; to switch it on, confirm it in words.";
    Post   "/api/v1/brokers/{id}/default"      Manage   brokers::choose()               => 200 Broker,         "Has signals go to this broker account from now on.";
    Get    "/api/v1/routes"                    Read     brokers::routes()               => 200 Routes,         "Shows which broker accounts signals go to.";
    Put    "/api/v1/routes"                    Manage   brokers::direct(RoutesChange)   => 200 Routes,         "Chooses the broker account for a kind of market; those not named stay.";
    Get    "/api/v1/tokens"                    Manage   tokens::list()                  => 200 TokenPage,      "Lists your API tokens, without their secrets.";
    Post   "/api/v1/tokens"                    Manage   tokens::create(NewTokenRequest) => 201 TokenCreated,   "Makes an API token; its secret is shown once.";
    Delete "/api/v1/tokens/{id}"               Manage   tokens::revoke()                => 204,                "Revokes an API token at once.";
    Get    "/api/v1/admin/users"               Operator admin::list()                   => 200 PersonPage,     "Lists everybody.";
    Post   "/api/v1/admin/users"               Operator admin::create(NewPerson)        => 201 PersonCreated,  "Adds a person with a paper account and a source.";
    Post   "/api/v1/admin/users/{id}/resume"   Operator admin::resume()                 => 200 Person,         "Lifts a suspension, and a halt that losses called for.";
    Post   "/auth/logout"                      Read     login::logout()                 => 204,                "Ends the session.";
    Get    "/oauth/callback"                   Public   broker_oauth::callback()        => 303,                "Where a broker sends its account's owner back: connects the account, or says on a page why not.";
    Get    "/login/{token}"                    Public   login::follow()                 => 303,                "Follows a one-time login link.";
    Get    "/login"                            Public   pages::login()                  => 200,                "The login page.";
    Get    "/"                                 Public   pages::index()                  => 200,                "The dashboard.";
    Get    "/assets/{name}"                    Public   pages::asset()                  => 200,                "A file of the dashboard.";
    Get    "/health"                           Public   health::alive()                 => 200 Health,         "Tells that the process lives, and how its parts are.";
    Get    "/ready"                            Public   health::ready()                 => 200 Health,         "Tells whether signals are taken.";
    Get    "/api/openapi.json"                 Public   health::openapi()               => 200,                "This description.";
}

/// Place of the webhook's route, which has a filter of its own.
const WEBHOOK: usize = 0;
/// Place of the socket's route, which has a filter of its own.
const SOCKET: usize = 1;

impl Verb {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    fn takes(self, method: &Method) -> bool {
        // HEAD is GET without the body, which hyper leaves out.
        method.as_str() == self.as_str() || (self == Self::Get && *method == Method::HEAD)
    }
}

/// Returns the pattern of every route, in order, for the counters.
pub(super) fn patterns() -> Vec<&'static str> {
    ROUTES.iter().map(|route| route.pattern).collect()
}

/// What is at an address.
#[derive(Debug)]
enum Found {
    Route(usize, &'static Route, Vec<String>),
    /// Routes with other methods.
    OtherMethods(String),
    Nothing,
}

/// Answers every request. The webhook is asked first, being the one in a hurry.
pub(super) fn filter(
    edge: Arc<Edge>,
) -> impl Filter<Extract = (Answer,), Error = Rejection> + Clone + Send + Sync + 'static {
    let (hooks, sockets, rest) = (Arc::clone(&edge), Arc::clone(&edge), edge);
    let webhook = warp::path!("webhooks" / "tradingview" / String)
        .and(warp::post())
        .and(warp::ext::get::<Arrived>())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |token: String, arrived: Arrived, headers: HeaderMap, stream| {
            let edge = Arc::clone(&hooks);
            async move {
                let answer = webhook::answer(&edge, &token, arrived, &headers, stream).await;
                edge.meters.request(Some(WEBHOOK), answer.status());
                answer
            }
        });
    let socket = warp::path!("ws")
        .and(warp::get())
        .and(warp::ext::get::<Arrived>())
        .and(warp::header::headers_cloned())
        .and(raw_query())
        .and(warp::ext::optional::<hyper::upgrade::OnUpgrade>())
        .then(move |arrived: Arrived, headers: HeaderMap, query: String, upgrade| {
            let edge = Arc::clone(&sockets);
            async move {
                let head = head(&edge, Method::GET, "/ws".to_owned(), query, headers, arrived);
                let answer =
                    socket::open(&edge, &head, upgrade).unwrap_or_else(|problem| arrived.say(&problem));
                edge.meters.request(Some(SOCKET), answer.status());
                answer
            }
        });
    let table = warp::method()
        .and(warp::path::full())
        .and(raw_query())
        .and(warp::ext::get::<Arrived>())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method, path: FullPath, query: String, arrived: Arrived, headers: HeaderMap, stream| {
            let edge = Arc::clone(&rest);
            async move {
                let head = head(&edge, method, path.as_str().to_owned(), query, headers, arrived);
                let found = find(&head.method, &head.path);
                let place = if let Found::Route(place, ..) = found { Some(place) } else { None };
                let answer = carry_out(&edge, found, head, stream).await;
                let answer = answer.unwrap_or_else(|problem| arrived.say(&problem));
                edge.meters.request(place, answer.status());
                answer
            }
        });
    webhook.or(socket).unify().or(table).unify()
}

fn raw_query() -> impl Filter<Extract = (String,), Error = std::convert::Infallible> + Copy {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

fn head(
    edge: &Edge,
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    arrived: Arrived,
) -> Head {
    let address = address_of(edge, arrived.peer.ip(), &headers);
    Head { method, path, query, headers, address }
}

/// Finds what is at an address.
fn find(method: &Method, path: &str) -> Found {
    let mut others: Vec<&str> = Vec::new();
    for (place, route) in ROUTES.iter().enumerate() {
        let Some(params) = matched(route.pattern, path) else { continue };
        if route.method.takes(method) {
            return Found::Route(place, route, params);
        }
        others.push(route.method.as_str());
    }
    if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others.join(", ")) }
}

/// Returns what stands in a pattern's braces if the path fits it.
fn matched(pattern: &str, path: &str) -> Option<Vec<String>> {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    let mut params = Vec::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(params),
            (Some(wanted), Some(given)) if wanted.starts_with('{') => {
                params.push(decoded(&given.replace('+', "%2B")).filter(|param| !param.is_empty())?);
            }
            (Some(wanted), Some(given)) if wanted == given => {}
            (_, _) => return None,
        }
    }
}

/// Lets the caller in, reads the body, and runs the handler.
async fn carry_out<S, B>(edge: &Arc<Edge>, found: Found, head: Head, stream: S) -> Result<Answer, Problem>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let (route, params) = match found {
        Found::Route(_, route, params) => (route, params),
        Found::OtherMethods(allow) => return Err(Problem::method(allow)),
        Found::Nothing => return Err(Problem::not_found()),
    };
    let principal = guard::admit(edge, route.access, &head)?;
    body::refuse_encoded(head.header("content-encoding"))?;
    let limit = usize::try_from(edge.web.config.body_max_bytes).unwrap_or(usize::MAX);
    let body = body::within(edge, body::read(stream, body::announced(&head.headers), limit)).await?;
    let key = head.header("idempotency-key").map(str::to_owned);
    let turn = match (&principal, key) {
        // An order's key goes into the log instead, where it is exact and lasts.
        (Some(principal), Some(key)) if route.method == Verb::Post && route.pattern != "/api/v1/trades" => {
            Some(edge.stored.turn(principal.user, &head.path, &key, &body)?)
        }
        (_, _) => None,
    };
    let call = Call { edge: Arc::clone(edge), head, principal, params, body };
    match turn {
        None => (route.run)(call).await,
        Some(Turn::Again(mut answer)) => {
            answer.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
            Ok(answer)
        }
        Some(Turn::First(running)) => {
            let answer = (route.run)(call).await;
            let kept = answer.as_ref().map_or_else(|problem| problem.answer(""), Clone::clone);
            running.done(&kept);
            answer
        }
    }
}

/// Returns the problem of a path that has a filter of its own, which did not take the request.
pub(super) fn not_by_table() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", "the request is not complete; nothing was done")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_address_and_method_is_there_once() {
        let all: BTreeSet<_> = ROUTES.iter().map(|route| (route.pattern, route.method.as_str())).collect();
        assert_eq!(all.len(), ROUTES.len());
        assert_eq!(ROUTES[WEBHOOK].pattern, "/webhooks/tradingview/{token}");
        assert_eq!(ROUTES[SOCKET].pattern, "/ws");
    }

    #[test]
    fn paths_fit_their_patterns_exactly() {
        assert_eq!(matched("/a/{id}/b", "/a/x%2Fy/b"), Some(vec!["x/y".to_owned()]));
        assert_eq!(matched("/a/{id}", "/a/a+b"), Some(vec!["a+b".to_owned()]));
        for path in ["/a", "/a/", "/a/x", "/a/x/b/", "/a//b", "a/x/b", "/A/x/b"] {
            assert_eq!(matched("/a/{id}/b", path), None, "{path}");
        }
    }

    #[test]
    fn a_wrong_method_is_told_all_right_ones() {
        assert!(
            matches!(find(&Method::PATCH, "/api/v1/trades"), Found::OtherMethods(allow) if allow == "GET, POST")
        );
        assert!(
            matches!(find(&Method::GET, "/webhooks/tradingview/x"), Found::OtherMethods(allow) if allow == "POST")
        );
        assert!(matches!(find(&Method::HEAD, "/health"), Found::Route(..)));
        assert!(matches!(find(&Method::GET, "/nothing"), Found::Nothing));
    }

    #[test]
    fn what_changes_anything_is_never_a_plain_read() {
        for route in
            ROUTES.iter().filter(|route| route.pattern.starts_with("/api/v1/") && route.method != Verb::Get)
        {
            assert_ne!(route.access, Access::Public, "{}", route.pattern);
        }
    }
}
