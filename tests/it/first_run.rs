//! A newcomer needs no configuration: one command, one paste, and a paper order fills.

use std::process::Command;

use reqwest::{Client, Method, redirect};

use crate::support::api::{order, send};
use crate::support::{Server, Setup};

/// Returns the command that the banner prints.
fn printed_curl(server: &Server) -> String {
    let said = server.stderr();
    let from = said.find("curl -").unwrap_or_else(|| panic!("no curl in {said}"));
    let rest = &said[from..];
    rest[..rest.find("\n\n").unwrap()].to_owned()
}

/// Opens a link as a browser does that follows no redirect; returns the status and the cookies.
async fn open(link: &str) -> (u16, String) {
    let client = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
    let answer = client.get(link).send().await.unwrap();
    let cookies = answer.headers().get_all("set-cookie").iter();
    let pairs = cookies.filter_map(|line| line.to_str().unwrap().split(';').next().map(str::to_owned));
    (answer.status().as_u16(), pairs.collect::<Vec<_>>().join("; "))
}

#[tokio::test]
async fn the_ready_file_has_the_keys_of_the_contract() {
    let server = Setup::new().start().await;
    assert_eq!(server.ready_keys(), ["api_token", "login_url", "metrics_url", "url", "webhook_url"]);
    let url = server.ready("url").to_owned();
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    assert!(server.ready("login_url").starts_with(&format!("{url}/login/")));
    assert!(server.ready("webhook_url").starts_with(&format!("{url}/webhooks/tradingview/")));
    assert!(server.ready("api_token").starts_with("te_"));
    server.owner().get("/api/v1/me").await.expect(200);
}

#[tokio::test]
async fn the_printed_command_pasted_into_a_shell_buys_shares() {
    let server = Setup::new().start().await;
    let command = format!("{} -w '\\n%{{http_code}}'", printed_curl(&server));
    let ran =
        tokio::task::spawn_blocking(move || Command::new("sh").arg("-c").arg(command).output().unwrap());
    let ran = ran.await.unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    let (body, status) = said.trim().rsplit_once('\n').unwrap_or_else(|| panic!("{said} {:?}", ran.stderr));
    assert_eq!(status, "202", "{said}");
    let answer: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(answer["status"], "accepted");
    let api = server.owner();
    let trade = api.settled(answer["signal_id"].as_str().unwrap(), "filled").await;
    assert_eq!((&trade["symbol"], &trade["side"]), (&"AAPL".into(), &"buy".into()));
    assert_eq!(trade["filled_quantity"], trade["quantity"]);
    let cash = api.portfolio().await;
    assert_ne!(cash["cash"], "100000", "{cash}");
}

#[tokio::test]
async fn the_banner_shows_the_links_and_says_that_no_money_is_at_stake() {
    let server = Setup::new().start().await;
    // It is shown once the ready file is written.
    crate::support::wait_until("the banner", || async { server.stderr().contains("PAPER") }).await;
    let said = server.stderr();
    for part in [server.ready("login_url"), server.ready("webhook_url"), server.ready("url"), "PAPER"] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    assert!(!said.contains(server.ready("api_token")), "a token is not for the screen");
}

#[tokio::test]
async fn the_login_link_lets_in_once() {
    let server = Setup::new().start().await;
    let link = server.ready("login_url").to_owned();
    let (status, cookies) = open(&link).await;
    assert!((200..400).contains(&status) && cookies.contains("session="), "{status} {cookies}");
    let api = server.owner();
    let me = send(api.bare(Method::GET, "/api/v1/me").header("cookie", &cookies)).await.unwrap();
    assert_eq!(me.status, 200, "{}", me.text);
    let (again, none) = open(&link).await;
    assert!(!none.contains("session="), "{again} {none}");
    let wrong = format!("{}x", &link[..link.len() - 1]);
    assert!(!open(&wrong).await.1.contains("session="));
}

#[tokio::test]
async fn links_and_tokens_stay_valid_across_a_restart() {
    let mut server = Setup::new().fixed_port().start().await;
    let before = server.owner();
    let signal = before.signal(&order("before", "AAPL", "buy", "1")).await.expect(202)["signal_id"].clone();
    before.settled(signal.as_str().unwrap(), "filled").await;
    server.restart().await;
    let after = server.owner();
    assert_eq!((&before.webhook, &before.token), (&after.webhook, &after.token));
    before.signal(&order("after", "AAPL", "buy", "1")).await.expect(202);
    assert!(before.trade_of(signal.as_str().unwrap()).await.is_some());
    assert_eq!(open(server.ready("login_url")).await.1.matches("session=").count(), 1);
}
