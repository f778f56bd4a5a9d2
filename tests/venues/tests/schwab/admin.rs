//! The program: all that a test in another process can do.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Venue;

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            eprintln!("the venue cannot be stopped: {error}");
        }
    }
}

#[tokio::test]
async fn settings_are_changed_from_outside() {
    let venue = Venue::start().await;
    let post = async |body: &Value| {
        venue.send(Method::POST, "/admin/settings", &[], Some(&body.to_string())).await.unwrap().status
    };
    assert_eq!(post(&json!({"list_lag_ms": 70, "redirect_uri": "https://localhost"})).await, 200);
    for wrong in [json!({"list_lag": 1}), json!({"list_lag_ms": "1"}), json!({"redirect_uri": 1})] {
        assert_eq!(post(&wrong).await, 404, "{wrong}");
    }
    assert_eq!(post(&json!([])).await, 400);
    let shown = venue.send(Method::GET, "/admin/settings", &[], None).await.unwrap().json();
    assert_eq!((&shown["list_lag_ms"], &shown["heartbeat_ms"]), (&json!(70), &json!(5000)));
    let rules = json!([{"on": "POST /trader/v1/*", "action": {"do": "lose_header", "name": "location"}}]);
    let added = venue.send(Method::POST, "/admin/faults", &[], Some(&rules.to_string())).await.unwrap();
    assert_eq!(added.status, 200, "{}", added.text);
}

#[tokio::test]
async fn the_program_serves_a_schwab() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_venues"));
    command.args(["--venue", "schwab", "--ready-file"]).arg(&ready);
    let _process = Process(command.spawn().unwrap());
    let start = Instant::now();
    while !ready.exists() {
        assert!(start.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let urls: Value = serde_json::from_str(&std::fs::read_to_string(&ready).unwrap()).unwrap();
    let url = urls["url"].as_str().unwrap();
    assert!(urls["stream_url"].as_str().unwrap().ends_with("/ws"));
    let reply = reqwest::get(format!("{url}/trader/v1/userPreference")).await.unwrap();
    assert_eq!(reply.status(), 401);
    assert_eq!(urls["admin_url"], format!("{url}/admin"));
}
