use std::sync::Arc;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use rust_decimal::Decimal;
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

use trade_actors::domain::ids::ConnectionId;
use trade_actors::domain::money::{Money, Percent, Price, Quantity};
use trade_actors::domain::order::{Mode, Ticket, TimeInForce};
use trade_actors::domain::report::RefusalCode;
use trade_actors::domain::signal::{OrderKind, Trail};
use trade_actors::ports::clock::SystemClock;

use super::{Alpaca, map, wire};
use crate::brokers::credentials::Auth;
use crate::brokers::venue::number::Num;
use crate::brokers::{NoSecrets, sample};
use crate::config::AlpacaConfig;

fn price(text: &str) -> Price {
    Price::new(text.parse().unwrap()).unwrap()
}

fn quantity(text: &str) -> Quantity {
    Quantity::new(text.parse().unwrap()).unwrap()
}

fn ticket(kind: OrderKind, units: &str) -> Ticket {
    Ticket { quantity: quantity(units), kind, time_in_force: TimeInForce::Gtc, ..sample::ticket() }
}

fn sent(ticket: &Ticket) -> Value {
    let mut body = serde_json::to_value(map::new_order(ticket).unwrap()).unwrap();
    assert_eq!(body["client_order_id"].take(), json!(ticket.id.to_string()));
    body
}

fn refused(ticket: &Ticket) -> RefusalCode {
    let refusal = map::new_order(ticket).unwrap_err();
    assert!(refusal.message.contains("Nothing was sent."), "{}", refusal.message);
    refusal.code
}

#[test]
fn the_mode_decides_where_orders_go_and_where_their_news_come_from() {
    let alpaca =
        Alpaca::new(&AlpacaConfig::default(), Arc::new(NoSecrets), Arc::new(SystemClock::new())).unwrap();
    let keys = Auth::OAuth { access_token: SecretString::from("token".to_owned()) };
    for (mode, host) in [(Mode::Live, "api.alpaca.markets"), (Mode::Paper, "paper-api.alpaca.markets")] {
        let session = alpaca.shared.session(keys.clone(), mode);
        let hosts = session.hosts();
        assert_eq!((hosts.trading.host_str(), hosts.updates.host_str()), (Some(host), Some(host)));
    }
}

#[test]
fn every_kind_of_order_is_written_as_alpaca_documents_it() {
    let kinds = [
        (OrderKind::Market, json!({"type": "market"})),
        (OrderKind::Limit { limit: price("190.5") }, json!({"type": "limit", "limit_price": "190.5"})),
        (OrderKind::Stop { trigger: price("180") }, json!({"type": "stop", "stop_price": "180"})),
        (
            OrderKind::StopLimit { trigger: price("180"), limit: price("179.99") },
            json!({"type": "stop_limit", "stop_price": "180", "limit_price": "179.99"}),
        ),
        (
            OrderKind::TrailingStop { trail: Trail::Amount(price("2.5")) },
            json!({"type": "trailing_stop", "trail_price": "2.5"}),
        ),
        (
            OrderKind::TrailingStop { trail: Trail::Percent(Percent::new(Decimal::new(150, 2))) },
            json!({"type": "trailing_stop", "trail_percent": "1.5"}),
        ),
        (
            OrderKind::Oco { limit: price("200"), trigger: price("185") },
            json!({"type": "limit", "order_class": "oco", "take_profit": {"limit_price": "200"},
                   "stop_loss": {"stop_price": "185"}}),
        ),
    ];
    for (kind, own) in kinds {
        let mut wanted = json!({"symbol": "AAPL", "qty": "10", "side": "buy", "time_in_force": "gtc",
                                "client_order_id": null});
        wanted.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        assert_eq!(sent(&ticket(kind, "10")), wanted);
    }
}

#[test]
fn a_fraction_lasts_the_day() {
    assert_eq!(sent(&ticket(OrderKind::Market, "0.123456789"))["time_in_force"], "day");
    assert_eq!(sent(&ticket(OrderKind::Market, "0.123456789"))["qty"], "0.123456789");
    assert_eq!(sent(&ticket(OrderKind::Stop { trigger: price("180") }, "1.5"))["time_in_force"], "day");
    assert_eq!(refused(&ticket(OrderKind::Market, "0.1234567891")), RefusalCode::OrderRejected);
    let pair = OrderKind::Oco { limit: price("200"), trigger: price("185") };
    assert_eq!(refused(&ticket(pair, "1.5")), RefusalCode::OrderRejected);
}

#[test]
fn only_limits_are_sent_outside_the_regular_session() {
    let extended = |kind, time_in_force| Ticket { extended_hours: true, time_in_force, ..ticket(kind, "10") };
    let limit = OrderKind::Limit { limit: price("190.5") };
    assert_eq!(sent(&extended(limit, TimeInForce::Day))["extended_hours"], true);
    assert_eq!(refused(&extended(limit, TimeInForce::Ioc)), RefusalCode::OrderRejected);
    assert_eq!(refused(&extended(OrderKind::Market, TimeInForce::Day)), RefusalCode::OrderRejected);
}

#[test]
fn durations_are_those_that_alpaca_takes() {
    let lasting = |kind, time_in_force| Ticket { time_in_force, ..ticket(kind, "10") };
    assert_eq!(sent(&lasting(OrderKind::Market, TimeInForce::Ioc))["time_in_force"], "ioc");
    assert_eq!(sent(&lasting(OrderKind::Market, TimeInForce::Fok))["time_in_force"], "fok");
    let stop = OrderKind::Stop { trigger: price("180") };
    assert_eq!(refused(&lasting(stop, TimeInForce::Ioc)), RefusalCode::OrderRejected);
}

#[test]
fn a_price_keeps_to_its_steps() {
    let limit = |text| ticket(OrderKind::Limit { limit: price(text) }, "10");
    for good in ["190.55", "1", "0.9999", "0.0001"] {
        sent(&limit(good));
    }
    for bad in ["190.555", "1.001", "0.99999"] {
        assert_eq!(refused(&limit(bad)), RefusalCode::OrderRejected, "{bad}");
    }
}

#[test]
fn only_shares_are_symbols_here() {
    for good in ["A", "AAPL", "BRK.B", "GOOGL", "PSTH.WS"] {
        assert!(map::is_share(good.parse().unwrap()), "{good}");
    }
    for bad in ["BTC/USDT", "BTCUSD1", "NASDAQ:AAPL", "BRK.B.C", ".B", "BRK.", "BRK-B", "ES1!", "TOOLONGNAME"]
    {
        let symbol = bad.parse().unwrap();
        assert!(!map::is_share(symbol), "{bad}");
        assert_eq!(refused(&Ticket { symbol, ..ticket(OrderKind::Market, "1") }), RefusalCode::InvalidSymbol);
    }
}

fn account(changes: Value) -> wire::Account {
    let mut account = json!({
        "id": "0f2c", "account_number": "PA3X", "status": "ACTIVE", "currency": "USD", "cash": "25000.5",
        "equity": "26010.1", "last_equity": "25990", "buying_power": "51000.2", "multiplier": "2",
        "non_marginable_buying_power": "25000.5", "initial_margin": "500", "maintenance_margin": "300",
        "long_market_value": "1009.6", "trading_blocked": false, "account_blocked": false,
        "trade_suspended_by_user": false, "shorting_enabled": true
    });
    account.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    serde_json::from_value(account).unwrap()
}

#[test]
fn an_account_that_may_not_trade_is_refused_with_the_reason() {
    assert_eq!(map::closed(&account(json!({}))), None);
    for (change, word) in [
        (json!({"account_blocked": true}), "blocked this account"),
        (json!({"trading_blocked": true}), "blocked trading"),
        (json!({"trade_suspended_by_user": true}), "suspended"),
        (json!({"status": "ACCOUNT_CLOSED"}), "not active"),
    ] {
        let refusal = map::closed(&account(change)).unwrap();
        assert_eq!(refusal.code, RefusalCode::AuthFailed);
        assert!(refusal.message.contains(word) && refusal.message.contains("Nothing was sent."));
    }
}

#[test]
fn buying_power_is_what_it_was_before_our_open_orders() {
    let balance = map::balance(&account(json!({})), Money::new(Decimal::from(1_000)), DateTime::UNIX_EPOCH);
    assert_eq!(balance.cash.to_string(), "25000.5");
    assert_eq!(balance.equity.to_string(), "26010.1");
    assert_eq!(balance.buying_power.to_string(), "52000.2");
}

#[test]
fn positions_are_signed_and_at_cost() {
    let read = |value: Value| {
        let theirs: wire::Position = serde_json::from_value(value).unwrap();
        map::position(&theirs, ConnectionId::new(Uuid::nil()), DateTime::UNIX_EPOCH)
    };
    let long = json!({"asset_id": "b0", "symbol": "AAPL", "exchange": "NASDAQ", "qty": "10", "qty_available": "10",
        "avg_entry_price": "190.1", "side": "long", "market_value": "1905", "cost_basis": "1901",
        "unrealized_pl": "4", "unrealized_plpc": "0.0021", "current_price": "190.5", "lastday_price": "189",
        "change_today": "0.0079", "asset_class": "us_equity"});
    let position = read(long.clone()).unwrap();
    assert_eq!((position.net.to_string(), position.cost.to_string()), ("10".to_owned(), "1901.0".to_owned()));
    let mut short = long.clone();
    short["qty"] = json!("-10");
    short["side"] = json!("short");
    let position = read(short).unwrap();
    assert_eq!(
        (position.net.to_string(), position.cost.to_string()),
        ("-10".to_owned(), "-1901.0".to_owned())
    );
    let mut coin = long;
    coin["asset_class"] = json!("crypto");
    assert_eq!(read(coin), None);
}

#[test]
fn an_asset_s_rules_are_alpaca_s() {
    let read = |fractionable: bool, status: &str, symbol: &str| {
        let asset = json!({"id": "1", "class": "us_equity", "exchange": "NYSE", "symbol": symbol, "name": "x",
            "status": status, "tradable": true, "marginable": true, "shortable": true, "easy_to_borrow": true,
            "fractionable": fractionable, "attributes": []});
        map::instrument(&serde_json::from_value(asset).unwrap())
    };
    let whole = read(false, "active", "BRK.A").unwrap();
    assert_eq!(
        (whole.lot.to_string(), whole.tick.to_string(), whole.tradable),
        ("1".into(), "0.01".into(), true)
    );
    let split = read(true, "active", "AAPL").unwrap();
    assert_eq!((split.lot.to_string(), split.size_step.to_string()), ("0.000000001".into(), "1".into()));
    assert_eq!(split.min_notional.to_string(), "1");
    assert!(!read(true, "inactive", "AAPL").unwrap().tradable);
    assert_eq!(read(true, "active", "BTC/USD"), None);
}

#[test]
fn a_quote_s_price_is_on_its_tick() {
    let best = |bid: f64, ask: f64| -> wire::BestPrices {
        serde_json::from_value(json!({"t": "2024-06-06T13:46:03.1Z", "bp": bid, "ap": ask, "bs": 1, "as": 2}))
            .unwrap()
    };
    let symbol = "AAPL".parse().unwrap();
    let told = |bid, ask, last| {
        map::quote(symbol, &best(bid, ask), last)
            .map(|quote| (quote.bid.to_string(), quote.price.to_string(), quote.ask.to_string()))
    };
    let texts = |a: &str, b: &str, c: &str| Some((a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(told(190.5, 190.53, None), texts("190.5", "190.52", "190.53"));
    assert_eq!(told(190.5, 190.53, Some(price("190.51"))), texts("190.5", "190.51", "190.53"));
    assert_eq!(told(0.5, 0.5003, None), texts("0.5", "0.5002", "0.5003"));
    assert_eq!(told(0.0, 190.5, None), texts("190.5", "190.5", "190.5"), "nobody buys");
    assert_eq!(told(0.0, 0.0, None), None);
}

#[test]
fn a_recorded_order_is_read() {
    let text = r#"{"id":"61e69015-8549-4bfd-b9c3-01e75843f47d","client_order_id":"svc-1",
        "created_at":"2024-06-06T13:46:03.1Z","updated_at":"2024-06-06T13:46:03.2Z",
        "submitted_at":"2024-06-06T13:46:03.1Z","filled_at":null,"canceled_at":null,"replaced_by":null,
        "replaces":null,"asset_id":"b0b6dd9d-8b9b-48a9-ba46-b9d54906e415","symbol":"AAPL","asset_class":"us_equity",
        "notional":null,"qty":"10","filled_qty":"0","filled_avg_price":null,"order_class":"","order_type":"limit",
        "type":"limit","side":"buy","time_in_force":"day","limit_price":"190.5","stop_price":null,
        "status":"accepted","extended_hours":false,"legs":null,"position_intent":"buy_to_open"}"#;
    let order: wire::Order = serde_json::from_str(text).unwrap();
    assert_eq!((order.qty, order.filled_qty), (Some(Num(Decimal::TEN)), Some(Num(Decimal::ZERO))));
    assert_eq!(order.submitted_at, "2024-06-06T13:46:03.1Z".parse::<DateTime<Utc>>().ok());
    let update = format!(
        r#"{{"event":"partial_fill","execution_id":"e1","timestamp":"2024-06-06T13:46:04.123456789Z",
            "price":"190.5","qty":"4","position_qty":"4","order":{text}}}"#
    );
    let update: wire::TradeUpdate = serde_json::from_str(&update).unwrap();
    assert_eq!((update.price, update.qty), (Some(Num(Decimal::new(1_905, 1))), Some(Num(4.into()))));
    let clock = r#"{"timestamp":"2024-06-06T10:00:00.5-04:00","is_open":true,"next_open":"2024-06-07T09:30:00-04:00",
        "next_close":"2024-06-06T16:00:00-04:00"}"#;
    let clock: wire::MarketClock = serde_json::from_str(clock).unwrap();
    assert_eq!(clock.next_close, "2024-06-06T20:00:00Z".parse::<DateTime<Utc>>().unwrap());
}

proptest! {
    /// Whatever is ordered, it is refused or sent with its quantity and prices unchanged.
    #[test]
    fn amounts_are_sent_as_they_are(units in 1_i64..1_000_000, dp in 0_u32..12, cents in 1_i64..10_000_000) {
        let mut order = ticket(OrderKind::Limit { limit: Price::new(Decimal::new(cents, 3)).unwrap() }, "1");
        order.quantity = Quantity::new(Decimal::new(units, dp)).unwrap();
        if let Ok(sent) = map::new_order(&order) {
            prop_assert_eq!(sent.qty.parse::<Decimal>().unwrap(), order.quantity.get());
            prop_assert_eq!(sent.limit_price.unwrap().parse::<Decimal>().unwrap(), order.kind.limit().unwrap().get());
        }
    }
}
