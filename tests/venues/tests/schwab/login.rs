//! Logins: codes, tokens, and how both age by the venue's clock.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;
use venues::account::AccountSpec;

use crate::support::{BACK, Venue, d, tokens};

const NUMBERS: &str = "/trader/v1/accounts/accountNumbers";

fn later(venue: &Venue, by: TimeDelta) {
    let now = venue.world().look(|state| state.clock.now());
    venue.world().set_now(now + by);
}

async fn refresh(venue: &Venue, token: &str) -> crate::support::Reply {
    venue.token(&format!("grant_type=refresh_token&refresh_token={token}")).await
}

#[tokio::test]
async fn a_login_gives_tokens_in_the_known_shape() {
    let venue = Venue::start().await;
    let code = venue.code("K").await;
    assert!(code.starts_with("C0.") && code.ends_with("%40"), "{code}");
    let form = format!("grant_type=authorization_code&code={code}&redirect_uri={BACK}");
    let reply = venue.token(&form).await;
    let body = reply.json();
    assert_eq!((&body["expires_in"], &body["token_type"]), (&json!(1800), &json!("Bearer")));
    assert_eq!(body["scope"], "api");
    let names = ["expires_in", "token_type", "scope", "refresh_token", "access_token", "id_token"];
    assert_eq!(body.as_object().unwrap().len(), names.len());
    assert!(names.iter().all(|name| !body[name].is_null()));
    assert!(reply.header("schwab-client-correlid").is_some());
    assert_eq!(venue.with_token(&tokens(&reply).0, Method::GET, NUMBERS).await.status, 200);
    let again = venue.token(&form).await;
    assert_eq!((again.status, &again.json()["error"]), (400, &json!("unsupported_token_type")));
}

#[tokio::test]
async fn a_code_is_good_for_half_a_minute_one_application_and_one_address() {
    let venue = Venue::start().await;
    let asked = async |code: &str, address: &str| {
        venue.token(&format!("grant_type=authorization_code&code={code}&redirect_uri={address}")).await.status
    };
    assert_eq!(asked(&venue.code("K").await, "https://127.0.0.2").await, 400);
    let code = venue.code("K").await;
    later(&venue, TimeDelta::seconds(31));
    assert_eq!(asked(&code, BACK).await, 400);
    venue.world().add_oauth_client("other", "hush");
    let form = format!("grant_type=authorization_code&code={}&redirect_uri={BACK}", venue.code("K").await);
    let other = format!("Basic {}", BASE64_STANDARD.encode("other:hush"));
    assert_eq!(venue.token_as(&other, &form).await.status, 400);
    assert_eq!(asked("C0.made-up%40", BACK).await, 400);
    assert_eq!(asked(&venue.code("K").await, BACK).await, 200);
}

#[tokio::test]
async fn the_browser_is_sent_back_only_to_where_the_application_lives() {
    let venue = Venue::start().await;
    let authorize = async |query: &str| {
        venue.send(Method::GET, &format!("/v1/oauth/authorize?{query}"), &[], None).await.unwrap()
    };
    for (query, status) in [
        (format!("client_id=nobody&redirect_uri={BACK}"), 401),
        ("client_id=app&redirect_uri=https://127.0.0.1:8443".to_owned(), 400),
        ("client_id=app".to_owned(), 400),
        (format!("client_id=app&redirect_uri={BACK}&response_type=token"), 400),
    ] {
        assert_eq!(authorize(&query).await.status, status, "{query}");
    }
    let page = authorize(&format!("client_id=app&redirect_uri={BACK}&account=stranger")).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html;charset=UTF-8")));
    let sent = authorize(&format!("client_id=app&redirect_uri={BACK}&state=a%20b")).await;
    assert!(sent.header("location").unwrap().ends_with("&state=a%20b"), "the first account is logged in");
    venue.world().set_setting("redirect_uri", "https://localhost:8443/back").unwrap();
    assert_eq!(authorize(&format!("client_id=app&redirect_uri={BACK}")).await.status, 400);
    let moved = authorize("client_id=app&redirect_uri=https://localhost:8443/back").await;
    assert!(moved.header("location").unwrap().starts_with("https://localhost:8443/back?code=C0."));
    venue.world().set_setting("consent", "no").unwrap();
    let denied = authorize("client_id=app&redirect_uri=https://localhost:8443/back&state=s").await;
    assert_eq!(denied.header("location"), Some("https://localhost:8443/back?error=access_denied&state=s"));
}

#[tokio::test]
async fn only_the_application_gets_tokens() {
    let venue = Venue::start().await;
    let form = format!("grant_type=refresh_token&refresh_token={}", venue.refresh);
    let basic = |pair: &str| format!("Basic {}", BASE64_STANDARD.encode(pair));
    for wrong in
        [basic("app:wrong"), basic("nobody:hush"), basic("app"), "Bearer x".to_owned(), String::new()]
    {
        let reply = venue.token_as(&wrong, &form).await;
        assert_eq!((reply.status, &reply.json()["error"]), (401, &json!("invalid_client")), "{wrong}");
    }
    let headers = [("authorization", basic("app:hush")), ("content-type", "application/json".to_owned())];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let reply = venue.send(Method::POST, "/v1/oauth/token", &headers, Some(&form)).await.unwrap();
    assert_eq!(reply.status, 400, "a token is asked for with a form");
    assert_eq!(venue.token("grant_type=password").await.json()["error"], "unsupported_grant_type");
}

#[tokio::test]
async fn an_access_token_lives_half_an_hour_and_a_login_a_week() {
    let venue = Venue::start().await;
    let status = async |token: &str| venue.with_token(token, Method::GET, NUMBERS).await.status;
    later(&venue, TimeDelta::minutes(29));
    assert_eq!(status(&venue.access).await, 200);
    later(&venue, TimeDelta::minutes(2));
    let refused = venue.with_token(&venue.access, Method::GET, NUMBERS).await;
    assert_eq!((refused.status, &refused.json()["errors"][0]["status"]), (401, &json!(401)));
    assert_eq!(refused.json()["errors"][0]["detail"], "Client not authorized");
    let reply = refresh(&venue, &venue.refresh).await;
    let (access, same) = tokens(&reply);
    assert_eq!((status(&access).await, &same), (200, &venue.refresh), "the refresh token stays");
    later(&venue, TimeDelta::days(7) - TimeDelta::minutes(32));
    assert_eq!(refresh(&venue, &venue.refresh).await.status, 200);
    later(&venue, TimeDelta::minutes(2));
    let dead = refresh(&venue, &venue.refresh).await;
    assert_eq!((dead.status, &dead.json()["error"]), (400, &json!("unsupported_token_type")));
    assert!(
        dead.json()["error_description"].as_str().unwrap().contains("refresh_token_authentication_error")
    );
    let (access, _) = venue.log_in("K").await;
    assert_eq!(status(&access).await, 200);
}

#[tokio::test]
async fn a_new_login_kills_the_old_refresh_token_and_nobody_elses() {
    let venue = Venue::start().await;
    venue.world().add_account(AccountSpec::new("L", "unused", d("5")));
    let (_, other) = venue.log_in("L").await;
    let (_, new) = venue.log_in("K").await;
    assert_eq!(refresh(&venue, &venue.refresh).await.status, 400);
    assert_eq!(refresh(&venue, &new).await.status, 200);
    assert_eq!(refresh(&venue, &other).await.status, 200);
    assert_eq!(venue.with_token(&venue.access, Method::GET, NUMBERS).await.status, 200, "until it is old");
}

#[tokio::test]
async fn who_is_shut_out_comes_in_with_nothing() {
    let venue = Venue::start().await;
    for wrong in ["", "made-up", venue.refresh.as_str()] {
        assert_eq!(venue.with_token(wrong, Method::GET, NUMBERS).await.status, 401, "{wrong}");
    }
    assert_eq!(venue.send(Method::GET, NUMBERS, &[], None).await.unwrap().status, 401);
    venue.world().revoke("K", true).unwrap();
    assert_eq!(venue.get(NUMBERS).await.status, 401);
    assert_eq!(refresh(&venue, &venue.refresh).await.status, 400);
    venue.world().revoke("K", false).unwrap();
    assert_eq!(venue.get(NUMBERS).await.status, 200);
}
