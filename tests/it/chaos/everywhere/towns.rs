//! All venues, who trades at which, and the program that takes them there.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use trade_actors::domain::order::Mode;
use trade_actors::ports::clock::{Clock, SystemClock};
use trade_executor::brokers::credentials::Auth;
use trade_executor::config::BrokersConfig;
use venues::feed::Price;
use venues::table::{Running, venue};
use venues::world::Options;

use super::super::people::{Account, Good, Manner, Person};
use super::super::weather::{Routes, Sky};
use crate::support::api::send;
use crate::support::server::program;
use crate::support::{Api, Chance, Server, Setup, wait_for};
use crate::venues::place::Place;
use crate::venues::{alpaca, binance, binance_usdm, bybit, coinbase, gemini, ibkr, kraken, schwab};

/// A time at which New York trades, and does so for six hours more.
const OPEN: &str = "2026-11-24T14:45:00Z";
/// The accounts whose gateways there are: the program knows one address for paper money and one for real money.
const GATEWAYS: [(&str, Mode); 2] = [("DU1234567", Mode::Paper), ("U7654321", Mode::Live)];

const SHARES: [Good; 2] =
    [Good { symbol: "AAPL", price: 200, unit: (1, 0) }, Good { symbol: "MSFT", price: 400, unit: (1, 0) }];
const IN_DOLLARS: [Good; 2] = [
    Good { symbol: "BTC/USD", price: 60_000, unit: (1, 2) },
    Good { symbol: "ETH/USD", price: 3_000, unit: (2, 1) },
];
const IN_TETHER: [Good; 2] = [
    Good { symbol: "BTC/USDT", price: 60_000, unit: (1, 2) },
    Good { symbol: "ETH/USDT", price: 3_000, unit: (2, 1) },
];

const SHARES_MANNER: Manner =
    Manner { goods: &SHARES, price_dp: 2, lot: (0, 0), least: (0, 0), holds_stops: true, is_nameless: false };
const COINS: Manner = Manner { goods: &IN_DOLLARS, price_dp: 1, lot: (1, 8), ..SHARES_MANNER };

/// A venue, as far as chaos differs in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    pub(super) place: Place,
    /// Where its orders are placed and canceled.
    orders: &'static str,
    cancels: &'static str,
    manner: Manner,
    /// Where else the second of its people has an account.
    other: &'static str,
}

const SITES: [Site; 9] = [
    Site {
        place: alpaca::PLACE,
        orders: alpaca::PLACE.orders,
        cancels: "DELETE /v2/orders*",
        manner: SHARES_MANNER,
        other: "gemini",
    },
    Site {
        place: binance::PLACE,
        orders: binance::PLACE.orders,
        cancels: "DELETE /api/v3/order*",
        manner: Manner { goods: &IN_TETHER, price_dp: 2, lot: (1, 5), least: (5, 0), ..COINS },
        other: "schwab",
    },
    Site {
        place: binance_usdm::PLACE,
        // Stops have a path of their own, which ends alike.
        orders: "POST /fapi/v1/*rder",
        cancels: "DELETE /fapi/v1/*rder",
        manner: Manner { goods: &IN_TETHER, lot: (1, 3), least: (100, 0), ..COINS },
        other: "bybit",
    },
    Site {
        place: bybit::PLACE,
        orders: bybit::PLACE.orders,
        cancels: "POST /v5/order/cancel",
        manner: Manner { goods: &IN_TETHER, price_dp: 2, lot: (1, 6), least: (5, 0), ..COINS },
        other: "coinbase",
    },
    Site {
        place: coinbase::PLACE,
        orders: coinbase::PLACE.orders,
        cancels: "POST /api/v3/brokerage/orders/batch_cancel",
        manner: Manner { price_dp: 2, least: (1, 0), holds_stops: false, ..COINS },
        other: "alpaca",
    },
    Site {
        place: gemini::PLACE,
        orders: gemini::PLACE.orders,
        cancels: "POST /v1/order/cancel",
        manner: Manner { price_dp: 2, holds_stops: false, ..COINS },
        other: "binance",
    },
    Site {
        place: ibkr::PLACE,
        orders: ibkr::PLACE.orders,
        cancels: "DELETE /v1/api/iserver/account/*/order/*",
        manner: SHARES_MANNER,
        other: "bybit",
    },
    Site {
        place: kraken::PLACE,
        orders: kraken::PLACE.orders,
        cancels: "POST /0/private/CancelOrder",
        manner: Manner { least: (5, 1), ..COINS },
        other: "coinbase",
    },
    Site {
        place: schwab::PLACE,
        orders: schwab::PLACE.orders,
        cancels: "DELETE /trader/v1/accounts/*/orders/*",
        manner: Manner { is_nameless: true, ..SHARES_MANNER },
        other: "kraken",
    },
];

impl Site {
    /// Returns how many people have their first account there at most.
    fn room(&self) -> usize {
        match self.place.name {
            "ibkr" => GATEWAYS.len(),
            // The list of all open orders weighs so much there that one address is enough for few accounts.
            "binance-usdm" => 2,
            _ => usize::MAX,
        }
    }

    /// Returns the place with one account of several as its key.
    fn account(&self, number: usize) -> Place {
        let Place { name, mode, key, .. } = self.place;
        let (named, mode) = match name {
            "alpaca" => (format!("PKEVERYWHERE{number:03}"), mode),
            "coinbase" => (format!("organizations/test-organization/apiKeys/chaos-{number}"), mode),
            "ibkr" => (GATEWAYS[number].0.to_owned(), GATEWAYS[number].1),
            "schwab" => (format!("{}", 10_000_001 + number), mode),
            _ => (format!("{}{number}", key.0), mode),
        };
        Place { key: (named.leak(), key.1), mode, ..self.place }
    }
}

/// A venue that runs.
#[derive(Debug)]
pub(super) struct Town {
    pub(super) site: Site,
    venue: Running,
    places: Vec<Place>,
    /// One account at a time is connected: where all that comes from one address counts, it would be too much at once.
    door: Mutex<()>,
}

impl Town {
    /// Opens a venue with so many accounts.
    async fn open(site: Site, accounts: usize, seed: u64, ahead: TimeDelta) -> Self {
        let entry = venue(site.place.name).unwrap();
        let places: Vec<_> = (0..accounts).map(|number| site.account(number)).collect();
        let specs = places.iter().map(Place::account).collect();
        let options = Options { accounts: specs, seed: Some(seed), ..(entry.options)() };
        let venue = (entry.start)(options).await.unwrap();
        for good in site.manner.goods {
            venue.world().set_price(&Price::flat(good.symbol, good.price.into()));
        }
        venue.world().set_clock_offset(ahead);
        match site.place.name {
            // Its own pace is not what this is about, and is set wide for the program as well.
            "alpaca" => venue.world().set_rate_limit(None),
            "kraken" => kraken::promote(&venue),
            _ => {}
        }
        Self { site, venue, places, door: Mutex::default() }
    }

    /// Returns where its weather is.
    pub(super) fn sky(&self, people: &[Person]) -> Sky {
        let Site { place, orders, cancels, manner, .. } = self.site;
        let here =
            people.iter().flat_map(|person| &person.accounts).filter(|account| account.broker == place.name);
        Sky {
            world: Arc::clone(self.venue.world()),
            routes: Routes { any: "*", orders, cancels },
            goods: manner.goods,
            price_dp: manner.price_dp,
            is_nameless: manner.is_nameless,
            numbers: here.map(|account| (account.name.clone(), account.number)).collect(),
        }
    }

    /// Connects one of its accounts to the program.
    async fn connect(&self, api: &Api, nth: usize, number: usize) -> Account {
        let _turn = self.door.lock().await;
        let place = self.places[nth];
        let mut keys = match place.auth(&self.venue).await {
            Auth::ApiKey { key_id, secret } => {
                json!({ "key_id": key_id.expose_secret(), "secret": secret.expose_secret() })
            }
            Auth::OAuth { access_token } => json!({ "access_token": access_token.expose_secret() }),
            Auth::Login { refresh_token } => json!({ "refresh_token": refresh_token.expose_secret() }),
            Auth::Account { account } => json!({ "account": account.expose_secret() }),
        };
        (keys["broker"], keys["mode"]) = (json!(place.name), json!(place.mode.as_str()));
        let made = wait_for(&format!("{} to be asked", place.name), || async {
            let answer = api.post("/api/v1/brokers", &keys).await;
            (answer.status != 503).then(|| answer.expect(201))
        })
        .await;
        let connection = made["id"].as_str().unwrap().to_owned();
        if place.mode == Mode::Live {
            put(
                api,
                &format!("/api/v1/brokers/{connection}/live"),
                json!({ "on": true, "confirm": "trade real money" }),
            )
            .await;
        }
        wait_for(&format!("the session at {}", place.name), || async {
            let all = api.all("/api/v1/brokers").await;
            all.into_iter().find(|known| known["id"] == made["id"] && known["connected"] == true)
        })
        .await;
        let world = Arc::clone(self.venue.world());
        Account {
            number,
            connection,
            name: place.key.0.to_owned(),
            broker: place.name,
            manner: self.site.manner,
            world,
        }
    }
}

async fn put(api: &Api, path: &str, body: Value) {
    send(api.request(reqwest::Method::PUT, path).json(&body)).await.unwrap().expect(200);
}

/// Returns each person's accounts: which venue's, and which of those there. People are spread evenly, as far as there is
/// room; the second at each venue has a second account at another.
fn plan(users: usize) -> Vec<Vec<(usize, usize)>> {
    let (mut opened, mut people) = ([0; SITES.len()], [0; SITES.len()]);
    let mut open = |site: usize| {
        opened[site] += 1;
        (site, opened[site] - 1)
    };
    let mut plan = Vec::with_capacity(users);
    for site in (0..SITES.len()).cycle() {
        if plan.len() == users {
            break;
        }
        if people[site] == SITES[site].room() {
            continue;
        }
        people[site] += 1;
        let mut accounts = vec![open(site)];
        if people[site] == 2 {
            let other = SITES.iter().position(|other| other.place.name == SITES[site].other).unwrap();
            accounts.push(open(other));
        }
        plan.push(accounts);
    }
    plan
}

/// Returns the settings with which the program goes to the simulators.
fn lead(towns: &[Town], ahead: TimeDelta) -> Setup {
    let mut config = BrokersConfig::default();
    for town in towns {
        (town.site.place.lead)(town.venue.urls(), &mut config);
        if town.site.place.name == "ibkr" {
            config.ibkr.live_url = town.venue.url("gateway_url").replace("{account}", GATEWAYS[1].0);
        }
    }
    config.kraken.tier = "pro".to_owned();
    let (led, usual) = (json!(config), json!(BrokersConfig::default()));
    let mut setup = Setup::new();
    for (broker, settings) in led.as_object().unwrap() {
        for (name, value) in settings.as_object().unwrap() {
            let is_secret = name.starts_with("app_");
            if !is_secret && *value != usual[broker][name] {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                setup = setup.set(&format!("brokers.{broker}.{name}"), text);
            }
        }
        setup = setup.set(&format!("brokers.{broker}.timeout_ms"), 1_500);
    }
    setup
        .set("brokers.schwab.app_key", "app")
        .set("brokers.schwab.app_secret", "hush")
        .set("risk.stop_loss_pct", 2)
        .variable("TRADE_EXECUTOR_AHEAD_MS", ahead.num_milliseconds())
        .fixed_port()
}

/// Opens all venues, starts the program, and makes the people with their accounts.
pub(super) async fn settle(users: usize, chance: &mut Chance) -> (Server, Vec<Town>, Vec<Person>) {
    let plan = plan(users);
    let ahead = OPEN.parse::<DateTime<Utc>>().unwrap() - SystemClock::new().now();
    let mut towns = Vec::with_capacity(SITES.len());
    for (site, is) in SITES.iter().enumerate() {
        let accounts = plan.iter().flatten().filter(|(at, _)| *at == site).count();
        towns.push(Town::open(*is, accounts, chance.below(u64::MAX), ahead).await);
    }
    let mut server = lead(&towns, ahead).start().await;
    let apis = apis(&mut server, &towns, &plan, ahead).await;
    let mut numbers = 0..;
    let arrivals = plan.iter().zip(apis).enumerate().map(|(number, (accounts, api))| {
        let accounts: Vec<_> = accounts.iter().zip(numbers.by_ref()).collect();
        arrive(&towns, number, api, accounts)
    });
    let arrivals: Vec<_> = arrivals.collect();
    let people = join_all(arrivals).await;
    (server, towns, people)
}

/// Makes the people, by the operator's command: who trades with real money or by way of a gateway is one who runs the
/// program, as others pay for the one and may not do the other.
async fn apis(
    server: &mut Server,
    towns: &[Town],
    plan: &[Vec<(usize, usize)>],
    ahead: TimeDelta,
) -> Vec<Api> {
    let needs_operator = |accounts: &[(usize, usize)]| {
        let mut places = accounts.iter().map(|(site, nth)| towns[*site].places[*nth]);
        places.any(|place| place.mode == Mode::Live || place.name == "ibkr")
    };
    server.stop().await;
    let mut added = Vec::with_capacity(plan.len());
    for (number, accounts) in plan.iter().enumerate() {
        let mut command = program(&server.data);
        command.env("TRADE_EXECUTOR_AHEAD_MS", ahead.num_milliseconds().to_string());
        // Limits are a person's own from the start: one order a signal, and a stop for each.
        command
            .env("TRADE_EXECUTOR__RISK__MERGE_WINDOW_S", "0")
            .env("TRADE_EXECUTOR__RISK__STOP_LOSS_PCT", "2");
        command.args(["user", "add", &format!("User {number}")]);
        if needs_operator(accounts) {
            command.arg("--operator");
        }
        let said = command.output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        added.push(serde_json::from_slice::<Value>(&said.stdout).unwrap());
    }
    server.start_again().await;
    let mut apis = Vec::with_capacity(plan.len());
    for one in &added {
        apis.push(log_in(server, one).await);
    }
    apis
}

/// Follows a person's login link, as a browser does, and makes them an API token.
async fn log_in(server: &Server, added: &Value) -> Api {
    let owner = server.owner();
    let here = |field: &str| {
        let url = reqwest::Url::parse(added[field].as_str().unwrap()).unwrap();
        format!("{}{}", owner.base, url.path())
    };
    let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let login = browser.get(here("login_url")).send().await.unwrap();
    let lines = login.headers().get_all("set-cookie").iter();
    let cookies: Vec<_> =
        lines.map(|line| line.to_str().unwrap().split(';').next().unwrap().to_owned()).collect();
    let csrf = cookies.iter().find_map(|cookie| cookie.split_once("csrf=")).unwrap().1.to_owned();
    let wanted = json!({ "name": "chaos", "scopes": ["read", "trade", "manage"] });
    let asked = owner.bare(reqwest::Method::POST, "/api/v1/tokens").json(&wanted);
    let made = send(asked.header("cookie", cookies.join("; ")).header("x-csrf-token", csrf));
    let made = made.await.unwrap().expect(201);
    Api { token: made["token"].as_str().unwrap().to_owned(), webhook: here("webhook_url"), ..owner }
}

/// Connects a person's accounts, and says which is for what.
async fn arrive(towns: &[Town], number: usize, api: Api, planned: Vec<(&(usize, usize), usize)>) -> Person {
    let mut accounts = Vec::with_capacity(planned.len());
    for ((site, nth), number) in planned {
        accounts.push(towns[*site].connect(&api, *nth, number).await);
    }
    let path = format!("/api/v1/brokers/{}/default", accounts[0].connection);
    api.post(&path, &json!({})).await.expect(200);
    let is_coin = |account: &Account| account.goods()[0].symbol.contains('/');
    let classes: BTreeMap<_, _> = accounts
        .iter()
        .map(|account| (if is_coin(account) { "crypto" } else { "equity" }, account.connection.clone()))
        .collect();
    let by_class = classes.len() > 1;
    if by_class {
        put(&api, "/api/v1/routes", json!(classes)).await;
    }
    Person { number, api, accounts, by_class }
}
