//! Everybody sees and trades the market of their own broker: two people, two brokers, one symbol at two prices.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Value, json};
use venues::account::AccountSpec;
use venues::alpaca::Alpaca;
use venues::feed::Price;
use venues::world::{Instrument, Options};

use crate::support::api::order;
use crate::support::socket::Socket;
use crate::support::{Api, TestApp, wait_for, wait_until};

const KEY: &str = "PKOWNMARKET1";
const SECRET: &str = "secretOfTheSimulatedAccount";
/// Listed by Alpaca alone; near enough to AAPL for a hint.
const THERE_ONLY: &str = "APLE";

async fn venue() -> Alpaca {
    let venue = Alpaca::start(Options::default()).await.unwrap();
    let world = venue.world();
    world.add_account(AccountSpec::new(KEY, SECRET, 100_000.into()));
    world.list(Instrument::new("AAPL"));
    world.list(Instrument::new(THERE_ONLY));
    world.set_price(&Price::flat("AAPL", 300.into()));
    world.set_price(&Price::flat(THERE_ONLY, 12.into()));
    venue
}

/// Starts the program with Alpaca at the simulated venue, and a paper market that moves only by hand.
async fn start(venue: &Alpaca) -> TestApp {
    let urls = venue.urls();
    let program = TestApp::start_on(tempfile::tempdir().unwrap(), |config, _| {
        config.paper.symbols.iter_mut().for_each(|row| row.volatility_bp = 0);
        let alpaca = &mut config.brokers.alpaca;
        alpaca.paper_url = urls.url.clone();
        alpaca.data_url = urls.url.clone();
        alpaca.data_stream_url = urls.data_stream_url.clone();
        alpaca.timeout_ms = 2_000;
    })
    .await;
    program.price("AAPL", "190");
    program
}

/// Connects a person to Alpaca, and has their signals go there.
async fn to_alpaca(api: &Api) -> Value {
    let keys = json!({ "broker": "alpaca", "mode": "paper", "key_id": KEY, "secret": SECRET });
    let made = api.post("/api/v1/brokers", &keys).await.expect(201);
    choose(api, &made).await;
    wait_until("the account's session", || async {
        let all = api.read("/api/v1/brokers").await;
        all["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|known| known["id"] == made["id"] && known["connected"] == true)
    })
    .await;
    made
}

async fn choose(api: &Api, account: &Value) {
    let path = format!("/api/v1/brokers/{}/default", account["id"].as_str().unwrap());
    api.post(&path, &json!({})).await.expect(200);
}

async fn buy(api: &Api, id: &str, symbol: &str, quantity: &str) -> Value {
    let signal = api.signal(&order(id, symbol, "buy", quantity)).await;
    assert_eq!(signal.status, 202, "{}", signal.text);
    api.settled(signal.str("signal_id"), "filled").await
}

fn number(value: &Value) -> Decimal {
    value.as_str().unwrap_or_else(|| panic!("no number: {value}")).parse().unwrap()
}

/// Waits until a person's only position is worth this price, and returns all that is shown with it.
async fn at_price(api: &Api, price: u32) -> Value {
    wait_for(&format!("a position at {price}"), || async {
        let shown = api.read("/api/v1/portfolio").await;
        (shown["positions"][0]["price"].as_str() == Some(&price.to_string())).then_some(shown)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_person_sees_the_prices_of_their_own_broker() {
    let venue = venue().await;
    let program = start(&venue).await;
    let ada = program.owner();
    let bob = ada.new_user("Bob").await;
    to_alpaca(&bob).await;
    for api in [&ada, &bob] {
        buy(api, "first", "AAPL", "10").await;
    }
    for (api, price, broker) in [(&ada, 190, "paper"), (&bob, 300, "alpaca")] {
        let shown = at_price(api, price).await;
        let held = &shown["positions"][0];
        assert_eq!((&held["symbol"], &held["broker"]), (&json!("AAPL"), &json!(broker)));
        assert_eq!(number(&held["market_value"]), Decimal::from(price * 10));
        assert_eq!(number(&shown["portfolio"]["positions_value"]), Decimal::from(price * 10));
        let listed = api.read("/api/v1/positions").await;
        assert_eq!(
            (listed["items"].as_array().unwrap().len(), &listed["items"][0]["price"]),
            (1, &held["price"])
        );
        let usage = api.read("/api/v1/risk").await["usage"].clone();
        let share = Decimal::from(price * 1_000) / number(&usage["equity"]);
        assert_eq!(number(&usage["largest_position_pct"]), share.round_dp(4).normalize());

        let mut socket = Socket::open(api).await;
        let sync = socket.next_of("state.sync").await["data"].clone();
        assert_eq!(
            (&sync["positions"][0]["price"], &sync["positions"][0]["broker"]),
            (&held["price"], &held["broker"])
        );
        let quote =
            sync["quotes"].as_array().unwrap().iter().find(|quote| quote["symbol"] == "AAPL").unwrap();
        assert_eq!(quote["price"], price.to_string());
    }

    let (mut hers, mut his) = (Socket::open(&ada).await, Socket::open(&bob).await);
    for socket in [&mut hers, &mut his] {
        socket.next_of("state.sync").await;
        socket.say("subscribe", json!({ "symbols": ["AAPL"] })).await;
        socket.say("ping", json!({})).await;
        socket.next_of("pong").await;
    }
    venue.world().set_price(&Price::flat("AAPL", 310.into()));
    program.price("AAPL", "191");
    for (socket, price, own) in [(&mut hers, "191", 189..192), (&mut his, "310", 299..311)] {
        let is_quote = |told: &Value| told["type"] == "market.quote";
        let heard = socket.until(|told| is_quote(told) && told["data"]["price"] == price).await;
        let foreign = |told: &&Value| !own.contains(&number(&told["data"]["price"]).to_u32().unwrap());
        let foreign: Vec<_> = heard.iter().filter(|told| is_quote(told)).filter(foreign).collect();
        assert!(foreign.is_empty(), "prices of another market: {foreign:?}");
        let told = socket.until(|told| {
            told["type"] == "portfolio.updated" && told["data"]["positions"][0]["price"] == price
        });
        let told = told.await.pop().unwrap();
        assert_eq!(told["data"]["positions"][0]["connection_id"].as_str().map(str::len), Some(36));
    }
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_symbol_is_judged_by_the_brokers_that_could_trade_it() {
    let venue = venue().await;
    let program = start(&venue).await;
    let ada = program.owner();
    let bob = ada.new_user("Bob").await;
    to_alpaca(&bob).await;
    let refused = ada.signal(&order("one", THERE_ONLY, "buy", "1")).await;
    refused.assert_problem(422, "INVALID_SYMBOL");
    assert!(refused.str("detail").contains("did you mean AAPL?"), "{}", refused.text);
    let by_hand = json!({ "symbol": THERE_ONLY, "side": "buy", "quantity": "1" });
    ada.post("/api/v1/trades", &by_hand).await.assert_problem(422, "INVALID_SYMBOL");
    assert_eq!(ada.trades().await, Vec::<Value>::new(), "nothing was ordered");

    let bought = buy(&bob, "one", THERE_ONLY, "2").await;
    assert_eq!((&bought["broker"], &bought["average_price"]), (&json!("alpaca"), &json!("12")));
    bob.post("/api/v1/trades", &by_hand).await.expect(201);
    let nowhere = bob.signal(&order("two", "XYZQ", "buy", "1")).await;
    nowhere.assert_problem(422, "INVALID_SYMBOL");
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_turns_to_the_market_of_the_account_that_is_chosen() {
    let venue = venue().await;
    let program = start(&venue).await;
    let ada = program.owner();
    let paper = ada.read("/api/v1/brokers").await["items"][0].clone();
    buy(&ada, "here", "AAPL", "10").await;
    let mut socket = Socket::open(&ada).await;
    socket.say("subscribe", json!({ "symbols": ["AAPL"] })).await;
    to_alpaca(&ada).await;
    let is_quote = |price: &'static str| {
        move |told: &Value| told["type"] == "market.quote" && told["data"]["price"] == price
    };
    socket.until(is_quote("300")).await;
    // What is held at the other account keeps that one's price.
    assert_eq!(ada.read("/api/v1/positions").await["items"][0]["price"], "190");
    assert_eq!(ada.portfolio().await["positions_value"], "0");
    choose(&ada, &paper).await;
    program.price("AAPL", "195");
    socket.until(is_quote("195")).await;
    assert_eq!(at_price(&ada, 195).await["portfolio"]["positions_value"], "1950");
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_is_closed_by_hand_at_the_account_that_holds_it() {
    let venue = venue().await;
    let program = start(&venue).await;
    let api = program.owner();
    let paper = api.read("/api/v1/brokers").await["items"][0].clone();
    to_alpaca(&api).await;
    buy(&api, "there", "AAPL", "3").await;
    choose(&api, &paper).await;
    let sold = api.post("/api/v1/positions/AAPL/close", &json!({})).await.expect(201);
    assert_eq!(
        (&sold["broker"], &sold["side"], &sold["quantity"]),
        (&"alpaca".into(), &"sell".into(), &"3".into())
    );
    wait_until("the position to be gone", || async { api.all("/api/v1/positions").await.is_empty() }).await;
    let held = venue.world().account(KEY).unwrap().holdings.get("AAPL").map(|held| held.qty);
    assert!(held.is_none_or(|qty| qty.is_zero()), "{held:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_not_loaded_yet_refuses_nobody() {
    let venue = venue().await;
    let program = start(&venue).await;
    let ada = program.owner();
    to_alpaca(&ada).await;
    let (_, dir) = program.stop().await;
    let url = venue.urls();
    let program = TestApp::start_on(dir, |config, _| {
        let alpaca = &mut config.brokers.alpaca;
        alpaca.paper_url = url.url.clone();
        alpaca.data_url = url.url.clone();
        alpaca.data_stream_url = url.data_stream_url.clone();
    })
    .await;
    // Nobody's session is open yet: what Alpaca trades is not known.
    let again = program.owner();
    buy(&again, "after", THERE_ONLY, "1").await;
    program.stop().await;
}
