//! The API keeps to its description, lets nobody in who may not come, and shows each person their own things only.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::api::{order, send};
use crate::support::{Api, Setup};

/// Addresses that everybody may use.
const PUBLIC: [&str; 10] = [
    "/webhooks/tradingview/{token}",
    "/ws",
    "/login/{token}",
    "/login",
    "/oauth/callback",
    "/",
    "/assets/{name}",
    "/health",
    "/ready",
    "/api/openapi.json",
];
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// Returns every method and address of the description.
async fn described(api: &Api) -> Vec<(Method, String)> {
    let text = send(api.bare(Method::GET, "/api/openapi.json")).await.unwrap().expect(200);
    assert!(text["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
    let paths = text["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, operations)| {
        let methods = operations
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| ["get", "post", "put", "delete", "patch"].contains(&key.as_str()));
        methods.map(|method| (method.to_ascii_uppercase().parse().unwrap(), path.clone()))
    });
    operations.collect()
}

#[tokio::test]
async fn every_described_route_is_there_and_none_lets_a_stranger_in() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let routes = described(&api).await;
    assert!(routes.len() >= 30, "{routes:?}");
    for must in [
        "/api/v1/trades",
        "/api/v1/portfolio",
        "/api/v1/positions",
        "/api/v1/risk",
        "/api/v1/kill-switch",
        "/api/v1/tokens",
        "/api/v1/me",
    ] {
        assert!(routes.iter().any(|(_, path)| path == must), "{must} is not described");
    }
    for (method, path) in routes.into_iter().filter(|(_, path)| !PUBLIC.contains(&path.as_str())) {
        let real = path.replace("{id}", NOBODY).replace("{symbol}", "AAPL");
        assert!(!real.contains('{'), "{real}");
        let bare = api.bare(method.clone(), &real).json(&json!({}));
        let strangers = [
            bare.try_clone().unwrap(),
            bare.try_clone().unwrap().bearer_auth("te_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            bare.try_clone().unwrap().header("authorization", "Basic b3duZXI6b3duZXI="),
            bare.header("cookie", "session=AAAA; csrf=AAAA"),
        ];
        for request in strangers {
            let answer = send(request).await.unwrap();
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text);
            answer.assert_problem(401, "UNAUTHORIZED");
        }
    }
}

#[tokio::test]
async fn what_belongs_to_somebody_else_is_not_there() {
    let server = Setup::new().start().await;
    let owner = server.owner();
    let (ada, bob) = (owner.new_user("Ada").await, owner.new_user("Bob").await);
    let signal = bob.signal(&order("b", "AAPL", "buy", "3")).await.expect(202);
    let trade = bob.settled(signal["signal_id"].as_str().unwrap(), "filled").await;
    let trade = trade["id"].as_str().unwrap();
    let source =
        bob.all("/api/v1/sources").await.into_iter().find(|source| source["kind"] == "tradingview").unwrap();
    let source = source["id"].as_str().unwrap();
    let token = bob.post("/api/v1/tokens", &json!({ "name": "mine", "scopes": ["read"] })).await.expect(201);
    let token = token["id"].as_str().unwrap();

    for (method, path) in [
        (Method::GET, format!("/api/v1/trades/{trade}")),
        (Method::POST, format!("/api/v1/trades/{trade}/cancel")),
        (Method::POST, format!("/api/v1/sources/{source}/rotate")),
        (Method::POST, format!("/api/v1/sources/{source}/test")),
        (Method::DELETE, format!("/api/v1/tokens/{token}")),
    ] {
        let foreign = send(ada.request(method.clone(), &path)).await.unwrap();
        let nobody = path.replace(trade, NOBODY).replace(source, NOBODY).replace(token, NOBODY);
        let nothing = send(ada.request(method, &nobody)).await.unwrap();
        foreign.assert_problem(404, "NOT_FOUND");
        assert_eq!(foreign.body["detail"], nothing.body["detail"], "{path} tells that it exists");
    }
    for path in ["/api/v1/trades", "/api/v1/positions", "/api/v1/signals", "/api/v1/tokens"] {
        let seen = ada.get(path).await.expect(200).to_string();
        for private in [trade, token, signal["signal_id"].as_str().unwrap()] {
            assert!(!seen.contains(private), "{path} shows what is Bob's");
        }
    }
    let sources = ada.get("/api/v1/sources").await.text;
    assert!(!sources.contains(source));
    ada.get("/api/v1/admin/users").await.assert_problem(403, "OPERATOR_ONLY");
    assert_eq!(bob.get(&format!("/api/v1/trades/{trade}")).await.status, 200);
}

#[tokio::test]
async fn lists_are_paged_without_gaps_or_repeats() {
    let server = Setup::new().start().await;
    let api = server.owner();
    for number in 0..25 {
        let action = if number % 2 == 0 { "buy" } else { "sell" };
        api.signal(&order(&number.to_string(), "AAPL", action, "1")).await.expect(202);
    }
    let mut seen: Vec<Value> = Vec::new();
    let mut path = "/api/v1/trades?limit=10".to_owned();
    let mut sizes = Vec::new();
    loop {
        let page = api.get(&path).await.expect(200);
        let items = page["items"].as_array().unwrap();
        sizes.push(items.len());
        seen.extend(items.iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/trades?limit=10&cursor={next}");
    }
    assert_eq!(sizes, [10, 10, 5]);
    let ids: BTreeSet<_> = seen.iter().map(|trade| trade["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 25);
    // As times: a whole second is written without its fraction.
    let decided_at = |trade: &Value| trade["created_at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    assert!(seen.is_sorted_by_key(|trade| std::cmp::Reverse(decided_at(trade))));
    for bad in ["limit=0", "limit=100000", "limit=x", "limit=-1", "cursor=nonsense"] {
        let answer = api.get(&format!("/api/v1/trades?{bad}")).await;
        answer.assert_problem(422, "INVALID_VALUE");
        assert!(answer.pointer().is_some(), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_bad_request_names_its_field_and_does_nothing() {
    let server = Setup::new().start().await;
    let api = server.owner();
    for (body, pointer) in [
        (
            json!({ "symbol": "AAPL", "side": "buy", "quantity": "1", "order_type": "market", "colour": "red" }),
            "/colour",
        ),
        (json!({ "symbol": "AAPL", "side": "buy", "quantity": "-1", "order_type": "market" }), "/quantity"),
        (json!({ "symbol": "AAPL", "side": "buy", "quantity": "1e9", "order_type": "market" }), "/quantity"),
        (json!({ "symbol": "AAPL", "side": "up", "quantity": "1", "order_type": "market" }), "/side"),
        (json!({ "side": "buy", "quantity": "1", "order_type": "market" }), "/symbol"),
        (json!({ "symbol": "AAPL", "side": "buy", "quantity": "1", "order_type": "limit" }), "/limit_price"),
    ] {
        let answer = api.post("/api/v1/trades", &body).await;
        answer.assert_problem(422, "INVALID_VALUE");
        assert_eq!(answer.pointer(), Some(pointer), "{body}: {}", answer.text);
    }
    let request = api.request(Method::POST, "/api/v1/trades").header("content-type", "text/plain").body("{}");
    send(request).await.unwrap().assert_problem(415, "MEDIA_TYPE_UNSUPPORTED");
    let request =
        api.request(Method::POST, "/api/v1/trades").header("content-type", "application/json").body("{");
    send(request).await.unwrap().assert_problem(400, "INVALID_JSON");
    let request = api
        .request(Method::POST, "/api/v1/trades")
        .header("content-type", "application/json")
        .body("x".repeat(100_000));
    send(request).await.unwrap().assert_problem(413, "BODY_TOO_LARGE");
    send(api.request(Method::PATCH, "/api/v1/trades"))
        .await
        .unwrap()
        .assert_problem(405, "METHOD_NOT_ALLOWED");
    api.get("/api/v1/nothing").await.assert_problem(404, "NOT_FOUND");
    assert!(api.trades().await.is_empty());
}

#[tokio::test]
async fn a_token_is_shown_once_does_what_it_may_and_dies_at_once() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let made = api.post("/api/v1/tokens", &json!({ "name": "reader", "scopes": ["read"] })).await.expect(201);
    let secret = ["secret", "token"]
        .iter()
        .find_map(|field| made[*field].as_str())
        .unwrap_or_else(|| panic!("{made}"));
    let listed = api.get("/api/v1/tokens").await.text;
    assert!(listed.contains("reader") && !listed.contains(secret));
    let reader = Api { token: secret.to_owned(), ..api.clone() };
    reader.get("/api/v1/portfolio").await.expect(200);
    let order = json!({ "symbol": "AAPL", "side": "buy", "quantity": "1", "order_type": "market" });
    reader.post("/api/v1/trades", &order).await.assert_problem(403, "SCOPE_MISSING");
    reader.get("/api/v1/tokens").await.assert_problem(403, "SCOPE_MISSING");
    let path = format!("/api/v1/tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(send(api.request(Method::DELETE, &path)).await.unwrap().status, 204);
    reader.get("/api/v1/portfolio").await.assert_problem(401, "UNAUTHORIZED");
    assert!(api.trades().await.is_empty());
}

#[tokio::test]
async fn a_rotated_address_is_dead_at_once() {
    let server = Setup::new().start().await;
    let api = server.owner().new_user("Ada").await;
    let source =
        api.all("/api/v1/sources").await.into_iter().find(|source| source["kind"] == "tradingview").unwrap();
    assert_eq!(source["webhook_url"], api.webhook.as_str());
    let path = format!("/api/v1/sources/{}/rotate", source["id"].as_str().unwrap());
    let rotated = api.post(&path, &json!({})).await.expect(200);
    let fresh = Api { webhook: rotated["webhook_url"].as_str().unwrap().to_owned(), ..api.clone() };
    assert_ne!(fresh.webhook, api.webhook);
    api.signal(&order("old", "AAPL", "buy", "1")).await.assert_problem(404, "NOT_FOUND");
    let signal = fresh.signal(&order("new", "AAPL", "buy", "1")).await.expect(202);
    fresh.settled(signal["signal_id"].as_str().unwrap(), "filled").await;
}

#[tokio::test]
async fn the_same_key_again_gets_the_same_answer_and_does_nothing() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let make = |name: &str| {
        let request = api.request(Method::POST, "/api/v1/sources").header("idempotency-key", "once");
        send(request.json(&json!({ "name": name })))
    };
    let first = make("Signals").await.unwrap();
    assert_eq!(first.status, 201, "{}", first.text);
    let again = make("Signals").await.unwrap();
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(make("Others").await.unwrap().status, 422);
    let named =
        api.all("/api/v1/sources").await.into_iter().filter(|source| source["name"] == "Signals").count();
    assert_eq!(named, 1);
}

#[tokio::test]
async fn a_session_needs_its_csrf_token_and_its_own_origin() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let login = client.get(server.ready("login_url")).send().await.unwrap();
    let lines: Vec<_> =
        login.headers().get_all("set-cookie").iter().map(|line| line.to_str().unwrap().to_owned()).collect();
    let cookie = lines.iter().map(|line| line.split(';').next().unwrap()).collect::<Vec<_>>().join("; ");
    let csrf = cookie.split("csrf=").nth(1).unwrap().split(';').next().unwrap().to_owned();
    assert!(lines.iter().any(|line| line.starts_with("session=") && line.contains("HttpOnly")), "{lines:?}");
    let halt = || {
        let request = api.bare(Method::POST, "/api/v1/kill-switch").header("cookie", &cookie);
        request.json(&json!({ "active": true, "reason": "x" }))
    };
    send(halt()).await.unwrap().assert_problem(403, "CSRF");
    send(halt().header("x-csrf-token", format!("{csrf}x"))).await.unwrap().assert_problem(403, "CSRF");
    let foreign = halt().header("x-csrf-token", &csrf).header("origin", "https://evil.example");
    send(foreign).await.unwrap().assert_problem(403, "FOREIGN_ORIGIN");
    assert_eq!(api.get("/api/v1/kill-switch").await.expect(200)["active"], false);
    send(halt().header("x-csrf-token", &csrf)).await.unwrap().expect(200);

    let out = api.bare(Method::POST, "/auth/logout").header("cookie", &cookie).header("x-csrf-token", &csrf);
    assert_eq!(send(out).await.unwrap().status, 204);
    let after = api.bare(Method::GET, "/api/v1/me").header("cookie", &cookie);
    send(after).await.unwrap().assert_problem(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn pages_and_answers_carry_the_protective_headers() {
    let server = Setup::new().start().await;
    let api = server.owner();
    for path in ["/", "/login", "/assets/main.js", "/health", "/api/v1/me", "/nothing"] {
        let answer = api.get(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "strict-origin-when-cross-origin"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(answer.header(name), value, "{name} of {path}");
        }
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
    }
    for path in ["/api/v1/me", "/api/v1/trades"] {
        assert_eq!(api.get(path).await.header("cache-control"), "no-store", "{path}");
    }
}
