//! A person without work costs no actors; the next signal wakes them, and nothing is forgotten in between.

use crate::support::api::order;
use crate::support::{Server, Setup, wait_until};

async fn awake(server: &Server) -> String {
    let text = reqwest::get(server.ready("metrics_url")).await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with("trade_executor_users_awake ")).unwrap_or_default();
    line.rsplit(' ').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_idle_person_is_put_to_sleep_and_woken_by_the_next_signal() {
    let server = Setup::new().set("engine.passivate_after_s", 1).start().await;
    let api = server.owner().new_user("Ada").await;
    let mut seen = Vec::new();
    for round in 0..3 {
        for action in ["buy", "sell"] {
            let signal =
                api.signal(&order(&format!("{action}{round}"), "AAPL", action, "1")).await.expect(202);
            seen.push(api.settled(signal["signal_id"].as_str().unwrap(), "filled").await["id"].clone());
        }
        wait_until("the person to sleep", || async { awake(&server).await == "0" }).await;
    }
    let listed: Vec<_> = api.trades().await.into_iter().rev().map(|trade| trade["id"].clone()).collect();
    assert_eq!(listed, seen);
}

#[tokio::test]
async fn a_person_who_holds_a_position_stays_awake() {
    let server = Setup::new().set("engine.passivate_after_s", 1).start().await;
    let owner = server.owner();
    let (holder, flat) = (owner.new_user("Holder").await, owner.new_user("Flat").await);
    let held = holder.signal(&order("held", "AAPL", "buy", "1")).await.expect(202);
    holder.settled(held["signal_id"].as_str().unwrap(), "filled").await;
    for action in ["buy", "sell"] {
        let signal = flat.signal(&order(action, "AAPL", action, "1")).await.expect(202);
        flat.settled(signal["signal_id"].as_str().unwrap(), "filled").await;
    }
    wait_until("only the holder to be awake", || async { awake(&server).await == "1" }).await;
    let sold = holder.signal(&order("sold", "AAPL", "sell", "1")).await.expect(202);
    holder.settled(sold["signal_id"].as_str().unwrap(), "filled").await;
    wait_until("everybody to sleep", || async { awake(&server).await == "0" }).await;
}
