//! The OpenAPI description: addresses from the router's table, shapes from the types that are sent.

use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content, InfoBuilder, OpenApi, Paths, Ref, RefOr, Required, Response, ResponseBuilder, Schema, Server,
};
use utoipa::{OpenApi as _, ToSchema};

use super::guard::Access;
use super::problem::{FieldError, ProblemBody};
use super::router::{ROUTES, Route, Verb};
use super::routes::{
    admin, broker_oauth, brokers, health, me, positions, risk, sources, switch, tokens, trades, webhook,
};
use super::wire;

/// Names the pages of lists as clients see them.
mod pages {
    use super::{ToSchema, wire};

    macro_rules! pages {
        ($($name:ident of $item:ty;)*) => {$(
            /// A page of a list.
            #[derive(ToSchema)]
            #[expect(dead_code, reason = "describes the JSON of `wire::Page`")]
            pub(super) struct $name {
                /// Newest first.
                items: Vec<$item>,
                /// Give it as `cursor` to get the next page; null on the last one.
                next_cursor: Option<String>,
            }
        )*};
    }

    pages! {
        TradePage of wire::Trade<'static>;
        PositionPage of wire::Position<'static>;
        SignalPage of wire::Signal<'static>;
        SourcePage of wire::Source<'static>;
        BrokerPage of wire::Broker<'static>;
        TokenPage of wire::Token<'static>;
        PersonPage of super::admin::Person<'static>;
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(
    ProblemBody<'static>,
    FieldError,
    wire::Trade<'static>,
    wire::TradeDetail<'static>,
    wire::Fill<'static>,
    wire::PortfolioUpdate<'static>,
    wire::Position<'static>,
    wire::Quote<'static>,
    wire::Signal<'static>,
    wire::Source<'static>,
    wire::Broker<'static>, wire::Routes,
    wire::Token<'static>,
    wire::User<'static>,
    wire::Halt<'static>,
    wire::Limits,
    wire::SourceLimits,
    wire::StateSync<'static>,
    pages::TradePage,
    pages::PositionPage,
    pages::SignalPage,
    pages::SourcePage,
    pages::BrokerPage,
    pages::TokenPage,
    pages::PersonPage,
    webhook::AlertBody,
    webhook::DeliveredBody,
    trades::NewTrade,
    trades::TradeChange,
    positions::NewProtection,
    positions::Leave,
    risk::Risk<'static>,
    risk::LimitsChange,
    switch::KillSwitch<'static>,
    switch::SwitchChange,
    sources::NewSource,
    sources::SourceLimitsChange,
    brokers::NewBroker,
    brokers::LiveTrading,
    brokers::RoutesChange,
    broker_oauth::NewConsent,
    broker_oauth::ConsentBegun<'static>,
    tokens::NewTokenRequest,
    tokens::TokenCreated<'static>,
    me::Me<'static>,
    me::Ticket<'static>,
    admin::Person<'static>,
    admin::NewPerson,
    admin::PersonCreated<'static>,
    health::Health,
)))]
struct Shapes;

/// Describes the API as it is served at `base_url`.
#[must_use]
pub fn document(base_url: &str) -> OpenApi {
    let mut document = Shapes::openapi();
    document.info = InfoBuilder::new()
        .title("Trade Executor")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Errors are application/problem+json with a stable code. Decimals are strings; both strings and numbers \
             are taken. Send Idempotency-Key with POST to make repeats safe.",
        ))
        .build();
    document.servers = Some(vec![Server::new(base_url)]);
    let mut paths = Paths::new();
    for route in ROUTES {
        let method = match route.method {
            Verb::Get => HttpMethod::Get,
            Verb::Post => HttpMethod::Post,
            Verb::Put => HttpMethod::Put,
            Verb::Delete => HttpMethod::Delete,
        };
        paths.add_path_operation(route.pattern, vec![method], operation(route));
    }
    document.paths = paths;
    if let Some(components) = &mut document.components {
        let bearer =
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API token")).build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        let cookie = ApiKey::Cookie(ApiKeyValue::new("session"));
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    }
    document
}

fn operation(route: &Route) -> Operation {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(route.operation))
        .summary(Some(route.summary))
        .response(route.status.to_string(), answer(route));
    for name in route.pattern.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
        operation = operation.parameter(parameter(name, ParameterIn::Path, Required::True, ""));
    }
    if route.answers.ends_with("Page") {
        operation = operation
            .parameter(parameter("limit", ParameterIn::Query, Required::False, "Most items, 1 to 200"))
            .parameter(parameter(
                "cursor",
                ParameterIn::Query,
                Required::False,
                "next_cursor of the page before",
            ));
    }
    if route.pattern == "/api/v1/trades" && route.method == Verb::Get {
        operation = operation
            .parameter(parameter("status", ParameterIn::Query, Required::False, "Only trades of this status"))
            .parameter(parameter(
                "symbol",
                ParameterIn::Query,
                Required::False,
                "Only trades in this symbol",
            ));
    }
    if route.pattern == "/oauth/callback" {
        operation = came_back(operation);
    }
    if !route.takes.is_empty() {
        let body = RequestBodyBuilder::new().content("application/json", reference(route.takes));
        operation = operation.request_body(Some(body.required(Some(Required::True)).build()));
    }
    for (status, words) in problems(route) {
        let problem = ResponseBuilder::new()
            .description(words)
            .content("application/problem+json", reference("Problem"));
        operation = operation.response(status, problem.build());
    }
    if route.access != Access::Public {
        let none: [&str; 0] = [];
        operation = operation
            .security(SecurityRequirement::new("token", none))
            .security(SecurityRequirement::new("session", none));
        if route.method == Verb::Post {
            let words = "The same key again gets the first answer";
            operation = operation.parameter(parameter(
                "Idempotency-Key",
                ParameterIn::Header,
                Required::False,
                words,
            ));
        }
    }
    operation.build()
}

/// Describes what a broker sends a browser back with, and the pages that it may end on.
fn came_back(mut operation: OperationBuilder) -> OperationBuilder {
    for (name, words) in [
        ("state", "What the browser was sent to the broker with; good once"),
        ("code", "What is exchanged for a token"),
        ("error", "Why there is no code, such as access_denied"),
    ] {
        operation = operation.parameter(parameter(name, ParameterIn::Query, Required::False, words));
    }
    for (status, words) in [
        ("400", "It was not begun here, was used before or is too late; or it brought no code"),
        ("403", "Another browser came back, or its owner said no"),
        ("409", "The account is connected already, or the operator has not set the broker up"),
        ("422", "The broker does not take the code, or the account may not trade"),
        ("503", "The broker cannot be asked now"),
    ] {
        let page = Content::new(None::<RefOr<Schema>>);
        let answer = ResponseBuilder::new().description(words).content("text/html", page);
        operation = operation.response(status, answer.build());
    }
    operation
}

fn answer(route: &Route) -> Response {
    let response = ResponseBuilder::new().description(route.summary);
    match route.answers {
        "" => response.build(),
        schema => response.content("application/json", reference(schema)).build(),
    }
}

fn reference(schema: &str) -> Content {
    Content::new(Some(RefOr::<Schema>::Ref(Ref::from_schema_name(schema))))
}

fn parameter(name: &str, place: ParameterIn, required: Required, words: &str) -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let described = (!words.is_empty()).then_some(words);
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(described)
        .schema(Some(text))
        .build()
}

/// Returns the problems that a route may answer with, besides 500.
fn problems(route: &Route) -> Vec<(&'static str, &'static str)> {
    let mut problems = Vec::new();
    if route.access != Access::Public {
        problems.extend([("401", "Nobody proved who they are"), ("403", "The caller may not do this")]);
    }
    if route.pattern.contains('{') {
        problems.push(("404", "There is nothing of this id, or not for the caller"));
    }
    if !route.takes.is_empty() {
        problems.extend([("413", "The body is too long"), ("422", "The body does not fit")]);
    }
    if route.method != Verb::Get {
        problems.push(("503", "Not now; send it again after Retry-After"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn json() -> serde_json::Value {
        serde_json::to_value(document("http://127.0.0.1:8080")).unwrap()
    }

    #[test]
    fn the_document_and_the_router_agree() {
        let document = json();
        let mut described = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys().filter(|key| *key != "parameters") {
                described.insert((path.clone(), method.to_ascii_uppercase()));
            }
        }
        let routed = ROUTES.iter().map(|route| (route.pattern.to_owned(), route.method.as_str().to_owned()));
        assert_eq!(described, routed.collect());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &serde_json::Value, found: &mut BTreeSet<String>) {
            match value {
                serde_json::Value::Object(map) => {
                    if let Some(serde_json::Value::String(target)) = map.get("$ref") {
                        found.insert(target.clone());
                    }
                    map.values().for_each(|value| references(value, found));
                }
                serde_json::Value::Array(list) => list.iter().for_each(|value| references(value, found)),
                serde_json::Value::Null
                | serde_json::Value::Bool(_)
                | serde_json::Value::Number(_)
                | serde_json::Value::String(_) => {}
            }
        }
        let document = json();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for target in found {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
    }

    #[test]
    fn what_is_not_public_needs_a_token_or_a_session() {
        let document = json();
        for route in ROUTES {
            let pointer = format!("/paths/{}", route.pattern.replace('/', "~1"));
            let operation = &document.pointer(&pointer).unwrap()[route.method.as_str().to_ascii_lowercase()];
            assert_eq!(
                operation.get("security").is_some(),
                route.access != Access::Public,
                "{}",
                route.pattern
            );
        }
    }
}
