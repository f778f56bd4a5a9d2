//! Who comes before the engine is ready is told to come again; nothing that was taken is dropped.

use std::sync::Arc;

use trade_actors::ports::clock::{Clock, SystemClock};
use trade_actors::ports::store::Vault;
use trade_executor::auth::Auth;
use trade_executor::brokers::consent::Consents;
use trade_executor::brokers::{Ground, NoSecrets, Venues};
use trade_executor::config::BrokersConfig;
use trade_executor::config::web::WebConfig;
use trade_executor::keys::MasterKey;
use trade_executor::store::vault::SledVault;
use trade_executor::vault::Credentials;
use trade_executor::web::{self, EngineSlot, Web};

use crate::support::api::order;
use crate::support::log::Story;
use crate::support::{Api, Setup};

#[tokio::test]
async fn an_engine_that_starts_answers_503_and_says_when_to_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Arc::new(MasterKey::load_or_create(&dir.path().join("master.key")).unwrap());
    let vault: Arc<dyn Vault> = Arc::new(SledVault::open(&dir.path().join("vault"), 1 << 20).unwrap());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let credentials = Credentials::new(Arc::clone(&vault), Arc::clone(&keys));
    let auth = Arc::new(Auth::new(vault, Arc::clone(&clock), Arc::clone(&keys)));
    let ground = Ground { config: &BrokersConfig::default(), secrets: Arc::new(NoSecrets), clock };
    let web = Web {
        engine: EngineSlot::default(),
        auth,
        credentials,
        prober: Arc::new(Venues::open(&ground).unwrap()),
        consents: Arc::new(Consents::open(ground.config).unwrap()),
        keys,
        config: Arc::new(WebConfig::default()),
        new_user_limits: trade_actors::domain::risk::Limits::default(),
        started: std::time::Instant::now(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let served = tokio::spawn(web::serve(web, listener, stopped));

    let api = Api::new(&base, "te_none", &format!("{base}/webhooks/tradingview/anything"));
    let answer = api.signal(&order("early", "AAPL", "buy", "1")).await;
    answer.assert_problem(503, "STARTING");
    assert_eq!(answer.header("retry-after"), "1");
    let health = api.get("/health").await.expect(200);
    assert_eq!(health["status"], "starting");
    assert_eq!(api.get("/ready").await.status, 503);
    stop.send_replace(true);
    served.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_sent_while_it_starts_is_executed_once_it_is_ready() {
    let mut server = Setup::new().fixed_port().start().await;
    let api = server.owner();
    for number in 0..100 {
        let action = if number % 2 == 0 { "buy" } else { "sell" };
        api.signal(&order(&format!("old{number}"), "AAPL", action, "1")).await.expect(202);
    }
    server.kill9();
    // Without its index the program reads the whole log before it is ready.
    std::fs::remove_dir_all(server.data.join("index")).unwrap();
    let early = {
        let api = api.clone();
        tokio::spawn(async move {
            let (body, mut refused, mut silent) = (order("early", "AAPL", "buy", "1"), 0, 0);
            loop {
                match api.try_signal(&body).await {
                    Ok(answer) if answer.status == 503 => {
                        answer.assert_problem(503, "STARTING");
                        assert_eq!(answer.header("retry-after"), "1");
                        refused += 1;
                    }
                    Ok(answer) => {
                        println!("{silent} without an answer, {refused} told to come again");
                        return answer.expect(202)["signal_id"].as_str().unwrap().to_owned();
                    }
                    Err(_) => silent += 1,
                }
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        })
    };
    server.start_again().await;
    let signal = early.await.unwrap();
    api.settled(&signal, "filled").await;
    assert_eq!(api.trades().await.len(), 101, "the index was made again from the log");
    server.stop().await;
    Story::read(&server.data).assert_nothing_lost_or_doubled([signal.as_str()]);
}
