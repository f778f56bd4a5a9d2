//! A simulated broker with its login page, the program that is registered there, and people with browsers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use reqwest::{Client, Method, Url};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use trade_actors::ports::clock::Clock;
use trade_executor::config::{Config, Secret};
use venues::account::AccountSpec;
use venues::feed::Price;
use venues::journal::{Entry, Note};
use venues::table::{Running, venue};
use venues::world::Options;

use crate::brokers_api::{accounts, connected, path, vault};
use crate::support::api::{order, send};
use crate::support::server::free_port;
use crate::support::{Answer, Api, TestApp, TestClock, log};

/// The account's key at the broker, which is also its name there; nobody here is told it.
pub(super) const KEY: &str = "PKOAUTHACCOUNT";
const SECRET: &str = "a-secret-that-nobody-needs";
/// Where the program is behind a proxy with TLS.
const PUBLIC: &str = "https://trade.test";

/// A broker, as far as the tests of both differ in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) name: &'static str,
    pub(super) mode: &'static str,
    /// Where tokens are asked for.
    pub(super) tokens: &'static str,
}

pub(super) const ALPACA: Place = Place { name: "alpaca", mode: "paper", tokens: "POST /oauth/token" };
pub(super) const SCHWAB: Place = Place { name: "schwab", mode: "live", tokens: "POST /v1/oauth/token" };

/// The broker and the program. Alpaca's is reached at this machine's address, Schwab's by way of a proxy with TLS.
pub(super) struct Scene {
    pub(super) place: Place,
    pub(super) venue: Running,
    pub(super) program: TestApp,
    pub(super) clock: Arc<TestClock>,
    pub(super) ada: Api,
    public: String,
    real: String,
}

impl Scene {
    pub(super) async fn open(place: Place) -> Self {
        Self::with(place, |_| {}).await
    }

    pub(super) async fn with(place: Place, adjust: impl FnOnce(&mut Config)) -> Self {
        let entry = venue(place.name).unwrap();
        let account = AccountSpec::new(KEY, SECRET, Decimal::from(100_000));
        let options = Options { accounts: vec![account], ..(entry.options)() };
        let venue = (entry.start)(options).await.unwrap();
        // A Friday on which the market is open.
        let clock = TestClock::at("2025-01-03T15:00:00Z");
        let (world, port) = (venue.world(), free_port());
        world.set_rate_limit(None);
        world.set_now(clock.now());
        for symbol in ["AAPL", "MSFT", "TSLA"] {
            world.set_price(&Price::flat(symbol, Decimal::from(200)));
        }
        world.add_oauth_client("app", "hush");
        let real = format!("http://127.0.0.1:{port}");
        let public = if place.name == "schwab" { PUBLIC.to_owned() } else { real.clone() };
        world.set_setting("redirect_uri", format!("{public}/oauth/callback")).unwrap();
        let urls = venue.urls().clone();
        let program = TestApp::by_clock(&clock, |config| {
            config.server.listen = format!("127.0.0.1:{port}").parse().unwrap();
            if public != real {
                config.server.public_url = public.clone();
            }
            lead(config, &urls);
            adjust(config);
        })
        .await;
        let ready = program.app.ready();
        let ada = Api::new(&real, &ready.api_token, &ready.webhook_url.replacen(&public, &real, 1));
        Self { place, venue, program, clock, ada, public, real }
    }

    /// Returns a browser in which nobody is logged in.
    pub(super) fn browser(&self, agent: &str) -> Browser {
        let plain = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        let http = plain.user_agent(agent).build().unwrap();
        Browser { http, public: self.public.clone(), real: self.real.clone(), jar: Mutex::default() }
    }

    /// Returns the browser in which the owner is logged in.
    pub(super) async fn adas_browser(&self) -> Browser {
        let browser = self.browser("Firefox");
        browser.log_in(self.program.app.ready().login_url.as_ref().unwrap()).await;
        browser
    }

    /// Returns another login link of the owner's.
    pub(super) async fn adas_link(&self) -> String {
        let me = self.ada.get("/api/v1/me").await.expect(200);
        let id = me["user"]["id"].as_str().unwrap().parse().unwrap();
        format!("{}/login/{}", self.public, self.program.app.auth().login_link(id).unwrap())
    }

    /// Adds a person; returns the browser in which they are logged in.
    pub(super) async fn bobs_browser(&self) -> Browser {
        let made = self.ada.post("/api/v1/admin/users", &json!({ "name": "Bob" })).await.expect(201);
        let browser = self.browser("Chromium");
        browser.log_in(made["login_url"].as_str().unwrap()).await;
        browser
    }

    /// Begins to connect the account, and returns the broker's page.
    pub(super) async fn begin(&self, browser: &Browser) -> String {
        let wanted = json!({ "broker": self.place.name, "mode": self.place.mode, "name": "By consent" });
        let begun = browser.post("/api/v1/brokers/oauth", &wanted).await.expect(201);
        begun["authorize_url"].as_str().unwrap().to_owned()
    }

    /// Returns where a browser that was sent to the broker's page would come back to.
    pub(super) async fn way_back(&self, browser: &Browser, page: &str) -> String {
        let answer = browser.http.get(page).send().await.unwrap();
        assert_eq!(answer.status(), 302, "{}", answer.text().await.unwrap());
        answer.headers()["location"].to_str().unwrap().to_owned()
    }

    /// Returns how often the broker was asked for a token.
    pub(super) fn tokens_asked(&self) -> usize {
        let is_it = |entry: &&Entry| match &entry.note {
            Note::Received { method, path } => format!("{method} {path}") == self.place.tokens,
            _ => false,
        };
        self.venue.world().journal(0).iter().filter(is_it).count()
    }

    /// Returns the account that was connected, with its session open and signals going there.
    pub(super) async fn chosen(&self) -> Value {
        let all = accounts(&self.ada).await;
        let made = all.into_iter().find(|known| known["broker"] == self.place.name).unwrap();
        self.ada.post(&format!("{}/default", path(&made)), &json!({})).await.expect(200);
        if self.place.mode == "live" {
            let words = json!({ "on": true, "confirm": "trade real money" });
            let switch = self.ada.request(Method::PUT, &format!("{}/live", path(&made))).json(&words);
            send(switch).await.unwrap().expect(200);
        }
        connected(&self.ada, &made).await
    }

    /// Buys two shares through the connected account.
    pub(super) async fn buys(&self, symbol: &str) {
        let before = self.venue.world().orders(Some(KEY)).len();
        let signal = self.ada.signal(&order(symbol, symbol, "buy", "2")).await.expect(202);
        let trade = self.ada.settled(signal["signal_id"].as_str().unwrap(), "filled").await;
        assert_eq!((&trade["broker"], &trade["mode"]), (&json!(self.place.name), &json!(self.place.mode)));
        let orders = self.venue.world().orders(Some(KEY));
        assert_eq!(orders.len(), before + 1);
        assert_eq!(orders[before].filled_qty, Decimal::TWO);
    }

    /// Stops the program, which must have kept and connected nothing; so many people have a paper account.
    pub(super) async fn assert_untouched(self, people: usize) {
        assert!(accounts(&self.ada).await.iter().all(|known| known["broker"] == "paper"));
        let (data, _dir) = self.program.stop().await;
        assert_eq!(vault(&data).list().unwrap(), []);
        assert_eq!(log::count(&data, "BROKER_CONNECTED"), people);
        assert_eq!(log::count(&data, "BROKER_RENEWED"), 0);
    }
}

/// Points the program at the broker, where it is registered.
fn lead(config: &mut Config, urls: &Value) {
    let url = urls["url"].as_str().unwrap();
    let alpaca = &mut config.brokers.alpaca;
    (alpaca.paper_url, alpaca.live_url, alpaca.data_url) = (url.to_owned(), url.to_owned(), url.to_owned());
    alpaca.data_stream_url = url.replace("http://", "ws://");
    (alpaca.client_id, alpaca.client_secret) = ("app".to_owned(), Some(Secret::from("hush")));
    alpaca.authorize_url = format!("{url}/oauth/authorize");
    alpaca.token_url = format!("{url}/oauth/token");
    alpaca.timeout_ms = 2_000;
    let schwab = &mut config.brokers.schwab;
    (schwab.app_key, schwab.app_secret) = (Some(Secret::from("app")), Some(Secret::from("hush")));
    schwab.live_url = format!("{url}/trader/v1");
    schwab.data_url = format!("{url}/marketdata/v1");
    schwab.login_url = format!("{url}/v1/oauth");
    schwab.requests_per_minute = 10_000;
    schwab.timeout_ms = 2_000;
}

/// A browser: it follows redirects and keeps cookies. What is behind the proxy it finds without one.
pub(super) struct Browser {
    http: Client,
    public: String,
    real: String,
    jar: Mutex<BTreeMap<String, String>>,
}

/// Where a browser ended.
#[derive(Debug)]
pub(super) struct Page {
    /// Every address on the way, the page's the last.
    pub(super) passed: Vec<String>,
    pub(super) status: u16,
    pub(super) kind: String,
    pub(super) text: String,
}

impl Browser {
    /// Opens an address and follows wherever it is sent.
    pub(super) async fn open(&self, address: &str) -> Page {
        let mut url = Url::parse(address).unwrap();
        let mut passed = Vec::new();
        loop {
            passed.push(url.to_string());
            assert!(passed.len() < 10, "{passed:?}");
            let is_ours = url.as_str().starts_with(&self.public);
            let mut request = self.http.get(url.as_str().replacen(&self.public, &self.real, 1));
            if is_ours {
                request = request.header("cookie", self.cookies());
            }
            let answer = send(request).await.unwrap();
            if is_ours {
                self.keep(&answer);
            }
            match answer.header("location") {
                "" => {
                    let (status, kind) = (answer.status, answer.header("content-type").to_owned());
                    return Page { passed, status, kind, text: answer.text };
                }
                next => url = url.join(next).unwrap(),
            }
        }
    }

    /// Sends a request as our pages do.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        let csrf = {
            let jar = self.jar.lock().unwrap();
            let found = jar.iter().find(|(name, _)| name.ends_with("csrf")).map(|(_, value)| value.clone());
            found.unwrap_or_default()
        };
        let request = self.http.post(format!("{}{path}", self.real)).json(body);
        send(request.header("cookie", self.cookies()).header("x-csrf-token", csrf)).await.unwrap()
    }

    /// Looks an address up without opening it.
    pub(super) async fn look_ahead(&self, address: &str, method: Method, purpose: &str) -> u16 {
        let request = self.http.request(method, address.replacen(&self.public, &self.real, 1));
        let request = request.header("cookie", self.cookies()).header("sec-purpose", purpose);
        request.send().await.unwrap().status().as_u16()
    }

    pub(super) async fn log_in(&self, link: &str) {
        let page = self.open(link).await;
        assert_eq!((page.status, page.passed.len()), (200, 2), "{page:?}");
        assert!(page.passed[1].ends_with('/'), "{page:?}");
    }

    fn cookies(&self) -> String {
        let jar = self.jar.lock().unwrap();
        jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn keep(&self, answer: &Answer) {
        for line in answer.headers.get_all("set-cookie") {
            let pair = line.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.jar.lock().unwrap().insert(name.to_owned(), value.to_owned());
        }
    }
}

impl Page {
    /// Asserts that it is a page of ours that says what happened, what was not done and what to do.
    #[track_caller]
    pub(super) fn assert_says(&self, status: u16, words: &str) {
        assert_eq!((self.status, self.kind.as_str()), (status, "text/html; charset=utf-8"), "{}", self.text);
        assert!(self.text.contains(words), "{words}: {}", self.text);
        assert!(self.text.contains("nothing was kept or connected"), "{}", self.text);
        assert!(self.text.contains("href=\"/\"") && self.text.contains("app.css"), "{}", self.text);
    }
}
