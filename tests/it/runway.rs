//! How long a broker account can be traded at is shown, and its owner told in time, once each.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use trade_actors::domain::event::Event;

use crate::support::desk::Desk;
use crate::support::{Api, TestApp, TestClock, log, wait_until};

const BROKERS: &str = "/api/v1/brokers";

async fn accounts(api: &Api) -> Vec<Value> {
    api.get(BROKERS).await.expect(200)["items"].as_array().unwrap().clone()
}

/// Returns the hours of the warnings in the log.
fn warned(program: &TestApp) -> Vec<u32> {
    let told = log::records(&program.data()).into_iter();
    told.filter_map(|record| match Event::parse(record.statement.payload.as_deref()?).ok()? {
        Event::SessionEnding { hours, .. } => Some(hours),
        _ => None,
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_login_is_shown_and_told_two_days_one_day_and_two_hours_ahead() {
    let (clock, desk) = (TestClock::at("2025-01-03T15:00:00Z"), Desk::default());
    let its_clock = std::sync::Arc::clone(&clock);
    let program = TestApp::start_on(tempfile::tempdir().unwrap(), |_, options| {
        desk.serve(options);
        options.clock = its_clock;
    })
    .await;
    let api = program.owner();
    let login = json!({ "broker": "schwab", "mode": "live", "name": "Main", "refresh_token": "aToken" });
    let made = api.post(BROKERS, &login).await.expect(201);
    let until: DateTime<Utc> = made["can_trade_until"].as_str().unwrap().parse().unwrap();
    let opened: DateTime<Utc> = "2025-01-03T15:00:00Z".parse().unwrap();
    let late = until - (opened + TimeDelta::days(7));
    assert!((TimeDelta::zero()..TimeDelta::minutes(5)).contains(&late), "{until}");
    assert_eq!(accounts(&api).await[0]["can_trade_until"], Value::Null, "nobody logs in at the paper broker");
    assert_eq!(warned(&program), [] as [u32; 0]);

    let mut program = program;
    for (hours, told) in [(121, vec![48]), (1, vec![48]), (24, vec![48, 24]), (21, vec![48, 24, 2])] {
        program = program.restart(|| clock.turn(TimeDelta::hours(hours))).await;
        wait_until("the owner to be told", || async { warned(&program).len() >= told.len() }).await;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert_eq!(warned(&program), told);
    }
    program.stop().await;
}
