use std::net::SocketAddr;
use std::path::Path;

use trade_actors::domain::ids::UserId;
use trade_actors::domain::user::Role;
use trade_actors::engine::Readiness;

use super::*;

fn config() -> Config {
    let mut config = Config::default();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    (config.server.listen, config.metrics.listen) = (any, any);
    (config.store.segment_bytes, config.store.cache_bytes) = (64 << 10, 1 << 20);
    config
}

async fn start(dir: &Path) -> App {
    App::start(config(), Options::new(dir)).await.unwrap()
}

/// Returns the secret part of a webhook's URL.
fn secret(app: &App) -> String {
    app.ready().webhook_url.rsplit('/').next().unwrap().to_owned()
}

/// Returns who is there. What else is known of them changes while their paper account is opened.
fn owners(app: &App) -> Vec<(UserId, Role)> {
    let users = app.engine().views().users(None, 10).unwrap();
    users.into_iter().map(|user| (user.id, user.role)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_run_makes_an_owner_whose_webhook_outlives_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let first = start(dir.path()).await;
    assert_eq!(first.engine().readiness(), Readiness::Ready);
    assert!(first.ready().first_run && first.ready().login_url.is_some());
    let (webhook, token) = (secret(&first), first.ready().api_token.clone());
    let people = owners(&first);
    assert_eq!(people.iter().map(|(_, role)| *role).collect::<Vec<_>>(), [Role::Operator]);
    first.stop().await;
    for _ in 0..2 {
        let again = start(dir.path()).await;
        assert!(!again.ready().first_run && again.ready().login_url.is_none());
        assert_eq!((secret(&again), again.ready().api_token.clone()), (webhook.clone(), token.clone()));
        let hash = crate::keys::token_hash(&webhook);
        assert!(again.engine().views().source_by_token(&hash).unwrap().is_some());
        assert_eq!(owners(&again), people);
        again.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_leaves_nothing_running() {
    let dir = tempfile::tempdir().unwrap();
    let unwritable = Options { ready_file: Some("/nonexistent/ready".into()), ..Options::new(dir.path()) };
    let error = App::start(config(), unwritable).await.unwrap_err();
    assert!(format!("{error:#}").contains("/nonexistent/ready could not be written"), "{error:#}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut same = config();
    same.server.listen = taken.local_addr().unwrap();
    let error = App::start(same, Options::new(dir.path())).await.unwrap_err();
    assert!(format!("{error:#}").contains("server.listen"), "{error:#}");
    start(dir.path()).await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_is_made_anew_from_the_log_when_it_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let first = start(dir.path()).await;
    // Balances change while accounts open; who they are does not.
    let people = |app: &App| {
        let all = app.engine().views().users(None, 10).unwrap();
        all.into_iter().map(|user| (user.id, user.name, user.connections)).collect::<Vec<_>>()
    };
    let before = people(&first);
    first.stop().await;
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let again = start(dir.path()).await;
    assert_eq!(people(&again), before);
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ready_file_tells_how_to_reach_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ready.json");
    let options = Options { ready_file: Some(path.clone()), ..Options::new(dir.path().join("data")) };
    let app = App::start(config(), options).await.unwrap();
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(told["url"], app.ready().url.as_str());
    assert!(told["login_url"].as_str().unwrap().starts_with(&format!("{}/login/", app.ready().url)));
    assert!(told["api_token"].as_str().unwrap().starts_with("te_"));
    app.stop().await;
}
