//! The dashboard in a real browser: what happens is on the screen within a second, without a reload.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::api::order;
use crate::support::server::{free_port, output_file};
use crate::support::{Server, Setup, wait_for, wait_until};

/// Notes when the row of a trade is filled and when the cash has changed.
const WATCH: &str = r#"
    const cash = () => document.querySelector('[data-testid="cash"]').textContent;
    const before = cash();
    window.noted = { posted: performance.now(), before };
    new MutationObserver(() => {
        const filled = document.querySelector('[data-testid="trade-row"][data-status="filled"]');
        if (filled && !window.noted.filled) window.noted.filled = performance.now();
        if (cash() !== before && !window.noted.moved) window.noted.moved = performance.now();
    }).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
    return before;
"#;

/// A browser with its driver. Both are ended when dropped.
struct Browser {
    driver: Child,
    address: String,
    page: Client,
    _home: TempDir,
}

impl Browser {
    /// Starts one; returns nothing where none is installed.
    async fn start() -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let port = free_port();
        let log = output_file(&home.path().join("driver.log"));
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        let Ok(driver) = driver else {
            println!("skipped: chromedriver is not installed");
            return None;
        };
        let address = format!("http://127.0.0.1:{port}");
        wait_until("chromedriver", || async { reqwest::get(format!("{address}/status")).await.is_ok() })
            .await;
        let profile = home.path().join("profile");
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,1000",
            &format!("--user-data-dir={}", profile.display()),
        ];
        let wanted = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(wanted) = wanted else { unreachable!() };
        let page = ClientBuilder::new(HttpConnector::new()).capabilities(wanted).connect(&address).await;
        Some(Self { driver, address, page: page.unwrap(), _home: home })
    }

    /// Returns what the browser complains of: errors, and violations of the page's own policy.
    async fn complaints(&self) -> Vec<Value> {
        let session = self.page.session_id().await.unwrap().unwrap();
        let url = format!("{}/session/{session}/se/log", self.address);
        let answer =
            reqwest::Client::new().post(url).json(&json!({ "type": "browser" })).send().await.unwrap();
        let said: Value = answer.json().await.unwrap();
        let lines = said["value"].as_array().unwrap_or_else(|| panic!("no log in {said}"));
        lines
            .iter()
            .filter(|line| line["level"] == "SEVERE" || line.to_string().contains("Content Security"))
            .cloned()
            .collect()
    }

    async fn shoot(&self, name: &str) {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("artifacts");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), self.page.screenshot().await.unwrap()).unwrap();
    }

    /// Returns the text of the element with this test id.
    async fn text(&self, id: &str) -> String {
        let script = format!("return document.querySelector('[data-testid=\"{id}\"]')?.textContent ?? ''");
        self.page.execute(&script, Vec::new()).await.unwrap().as_str().unwrap().to_owned()
    }

    async fn holds(&self, expression: &str) -> bool {
        self.page.execute(&format!("return Boolean({expression})"), Vec::new()).await.unwrap()
            == Value::Bool(true)
    }

    async fn wait(&self, what: &str, expression: &str) {
        wait_until(what, || self.holds(expression)).await;
    }

    async fn click(&self, id: &str) {
        let place = format!("[data-testid='{id}']");
        let found = self.page.wait().at_most(Duration::from_secs(10)).for_element(Locator::Css(&place)).await;
        found.unwrap().click().await.unwrap();
    }

    /// Logs in with the link and waits until the page is live.
    async fn log_in(&self, server: &Server) {
        self.page.goto(server.ready("login_url")).await.unwrap();
        self.live().await;
    }

    async fn live(&self) {
        self.wait(
            "the page to be live",
            "document.querySelector('[data-testid=\"connection-pill\"]')?.dataset.phase === 'live'",
        )
        .await;
    }

    async fn end(self) {
        self.page.clone().close().await.ok();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_a_filled_order_on_the_screen_within_a_second_and_without_a_reload() {
    let server = Setup::new().start().await;
    let Some(browser) = Browser::start().await else { return };
    browser.log_in(&server).await;
    assert_eq!(browser.text("mode-badge").await, "PAPER");
    assert!(browser.text("webhook-url").await.contains("/webhooks/tradingview/"));
    browser
        .wait("the cash", "document.querySelector('[data-testid=\"cash\"]').textContent.includes('100')")
        .await;
    browser.shoot("dashboard-empty").await;

    let before = browser.page.execute(WATCH, Vec::new()).await.unwrap();
    let api = server.owner();
    let signal = api.signal(&order("seen", "AAPL", "buy", "10")).await.expect(202);
    browser.wait("the fill on the screen", "window.noted?.filled && window.noted?.moved").await;
    let noted = browser.page.execute("return window.noted", Vec::new()).await.unwrap();
    let after = |field: &str| noted[field].as_f64().unwrap() - noted["posted"].as_f64().unwrap();
    println!("filled after {} ms, cash after {} ms", after("filled"), after("moved"));
    assert!(after("filled") < 1_000.0 && after("moved") < 1_000.0, "{noted}");
    assert_ne!(before, json!(browser.text("cash").await));

    let trade = api.settled(signal["signal_id"].as_str().unwrap(), "filled").await;
    let row = format!(
        "document.querySelector('[data-testid=\"trade-row\"][data-id={}]')?.dataset.status === 'filled'",
        trade["id"]
    );
    browser.wait("the row of this trade", &row).await;
    browser
        .wait(
            "the position",
            "document.querySelector('[data-testid=\"position-row\"]')?.textContent.includes('AAPL')",
        )
        .await;
    assert!(browser.holds("window.noted").await, "the page was not loaded again");
    browser.shoot("dashboard-filled").await;
    assert_eq!(browser.complaints().await, Vec::<Value>::new());
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_test_button_and_the_kill_switch_work_from_the_page() {
    let server = Setup::new().start().await;
    let Some(browser) = Browser::start().await else { return };
    browser.log_in(&server).await;
    browser.click("send-test").await;
    browser
        .wait(
            "the test order",
            "document.querySelector('[data-testid=\"trade-row\"][data-status=\"filled\"]')",
        )
        .await;

    browser.click("kill-switch").await;
    browser.click("kill-confirm").await;
    browser.wait("the halt on the screen", "!document.querySelector('#halt').hidden").await;
    browser.wait("a toast", "document.querySelector('[data-testid=\"toast\"]')").await;
    browser.shoot("dashboard-halted").await;
    let api = server.owner();
    assert_eq!(api.get("/api/v1/kill-switch").await.expect(200)["active"], true);
    api.signal(&order("halted", "AAPL", "buy", "1")).await.expect(202);
    browser
        .wait(
            "the refused order",
            "document.querySelector('[data-testid=\"trade-row\"][data-status=\"rejected\"]')",
        )
        .await;

    browser.click("kill-switch").await;
    let word = browser.page.find(Locator::Css("[data-testid='resume-word']")).await.unwrap();
    word.send_keys("RESUME").await.unwrap();
    browser.click("resume-confirm").await;
    browser.wait("trading to go on", "document.querySelector('#halt').hidden").await;
    assert_eq!(api.get("/api/v1/kill-switch").await.expect(200)["active"], false);
    assert_eq!(browser.complaints().await, Vec::<Value>::new());
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_is_seen_with_its_stop_and_the_stop_is_moved_and_the_position_closed_from_the_page() {
    let server = Setup::new().still_market().set("risk.stop_loss_pct", 2).start().await;
    let Some(browser) = Browser::start().await else { return };
    browser.log_in(&server).await;
    let api = server.owner();
    let bought = api.signal(&order("held", "AAPL", "buy", "10")).await.expect(202);
    api.settled(bought["signal_id"].as_str().unwrap(), "filled").await;
    let stop = |text: &str| {
        format!("document.querySelector('[data-testid=\"position-stop\"]')?.textContent.includes('{text}')")
    };
    browser.wait("the stop of the position", &stop("Stop 196")).await;
    let labelled = "document.querySelector('[data-purpose=\"protection\"] .purpose')?.textContent === 'Stop'";
    browser.wait("the stop among the orders, labelled", labelled).await;
    let fate = "document.querySelector('.fate')?.textContent.startsWith('Filled 10')";
    browser.wait("the signal to be told of its own order, not of the stop", fate).await;
    assert!(browser.text("position-row").await.contains("paper"));
    let lower = "document.querySelector('.setup').hidden = true; document.querySelector('.positions').scrollIntoView()";
    browser.page.execute(lower, Vec::new()).await.unwrap();
    browser.shoot("dashboard-position").await;

    browser.click("edit-stop").await;
    let field = browser.page.find(Locator::Css("[data-testid='stop-price']")).await.unwrap();
    field.clear().await.unwrap();
    field.send_keys("250").await.unwrap();
    browser.click("stop-confirm").await;
    let refused = "document.querySelector('.field-error')?.textContent.includes('must be below the price')";
    browser.wait("a stop above the price to be refused", refused).await;
    field.clear().await.unwrap();
    field.send_keys("190.50").await.unwrap();
    browser.shoot("dashboard-stop").await;
    browser.click("stop-confirm").await;
    browser.wait("the stop to be moved", &stop("Stop 190.50")).await;
    let held = api.read("/api/v1/positions").await;
    assert_eq!(held["items"][0]["stop_loss"], "190.5");

    browser.click("close-position").await;
    browser.shoot("dashboard-close").await;
    browser.click("close-confirm").await;
    browser
        .wait("the position to be gone", "!document.querySelector('[data-testid=\"position-row\"]')")
        .await;
    wait_until("nothing to be held", || async {
        api.read("/api/v1/positions").await["items"].as_array().unwrap().is_empty()
    })
    .await;
    browser.shoot("dashboard-closed").await;
    // The server says no to a stop above the price, and the browser notes that.
    let complaints = browser.complaints().await;
    assert!(complaints.iter().all(|line| line.to_string().contains("422")), "{complaints:?}");
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_comes_back_by_itself_after_a_restart() {
    let mut server = Setup::new().fixed_port().start().await;
    let Some(browser) = Browser::start().await else { return };
    browser.log_in(&server).await;
    browser.page.execute("window.same = true", Vec::new()).await.unwrap();
    server.kill9();
    browser
        .wait(
            "the page to notice",
            "document.querySelector('[data-testid=\"connection-pill\"]').dataset.phase !== 'live'",
        )
        .await;
    browser.shoot("dashboard-disconnected").await;
    server.start_again().await;
    browser.live().await;
    let signal = server.owner().signal(&order("back", "TSLA", "buy", "1")).await.expect(202);
    let trade = wait_for("the order", || async {
        server.owner().trade_of(signal["signal_id"].as_str().unwrap()).await
    })
    .await;
    let row = format!(
        "document.querySelector('[data-testid=\"trade-row\"][data-id={}]')?.dataset.status === 'filled'",
        trade["id"]
    );
    browser.wait("the fill", &row).await;
    assert!(browser.holds("window.same").await, "the page was not loaded again");
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_sees_the_login_page() {
    let server = Setup::new().start().await;
    let Some(browser) = Browser::start().await else { return };
    browser.page.goto(server.ready("url")).await.unwrap();
    browser.wait("the login page", "document.querySelector('#link-form')").await;
    browser.shoot("login").await;
    let link = browser.page.find(Locator::Css("#link")).await.unwrap();
    link.send_keys(server.ready("login_url")).await.unwrap();
    browser.page.find(Locator::Css("#link-form button")).await.unwrap().click().await.unwrap();
    browser.live().await;
    browser.end().await;
}
