//! What an account owns. Its positions are as old as the session, until somebody asks for them to be fresh.

use hyper::Method;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::contracts;
use super::errors::Error;
use super::gateway::Desk;
use super::rest::Call;
use super::wire::{float, plain};
use crate::account::{Account, Holding};
use crate::world::State;

/// How many positions are on a page.
const PAGE: usize = 100;

/// Answers what is below `/portfolio` and `/portfolio2`.
pub(super) fn answer(state: &State, desk: &mut Desk<'_>, call: Call<'_>) -> Result<Value, Error> {
    match (&call.request.method, call.path) {
        (&Method::GET, ["portfolio", "accounts"]) => {
            desk.gateway.session.portfolio = true;
            Ok(json!([described(desk)]))
        }
        (&Method::GET, ["portfolio", account, "meta"]) => {
            call.own(account)?;
            Ok(described(desk))
        }
        (&Method::GET, ["portfolio", account, "summary"]) => {
            call.own(account)?;
            summary(state, call)
        }
        (&Method::GET, ["portfolio", account, "ledger"]) => {
            call.own(account)?;
            ledger(state, call)
        }
        (&Method::GET, ["portfolio", account, "positions", page]) => {
            call.own(account)?;
            let page: usize = page.parse().map_err(|_| Error::bad("pageId is not valid"))?;
            let fresh = || positions(state, call.account);
            let all = desk.gateway.session.positions.get_or_insert_with(fresh);
            Ok(all.iter().skip(page.saturating_mul(PAGE)).take(PAGE).cloned().collect::<Vec<_>>().into())
        }
        (&Method::POST, ["portfolio", account, "positions", "invalidate"]) => {
            call.own(account)?;
            desk.gateway.session.positions = None;
            Ok(json!({"message": "success"}))
        }
        (&Method::GET, ["portfolio2", account, "positions"]) => {
            call.own(account)?;
            Ok(fresh_positions(state, call).into())
        }
        _ => Err(Error::nowhere()),
    }
}

fn described(desk: &Desk<'_>) -> Value {
    let account = &desk.gateway.account;
    json!({
        "id": account,
        "accountId": account,
        "accountVan": account,
        "accountTitle": account,
        "displayName": account,
        "accountAlias": null,
        "currency": "USD",
        "type": if desk.gateway.paper { "DEMO" } else { "INDIVIDUAL" },
        "tradingType": "STKNOPT",
        "faclient": false,
        "clearingStatus": "O",
        "covestor": false,
        "desc": account,
    })
}

/// What an account is worth, in numbers.
struct Worth {
    cash: Decimal,
    equity: Decimal,
    shares: Decimal,
    margin: Decimal,
    buying_power: Decimal,
    gain: Decimal,
}

fn worth(state: &State, name: &str) -> Option<Worth> {
    let account = state.book.account(name)?;
    let feed = state.book.feed();
    let (long, short) = account.market_values(feed);
    let invested: Decimal = account.holdings.values().map(|holding| holding.cost).sum();
    Some(Worth {
        cash: account.cash,
        equity: account.equity(feed),
        shares: long + short,
        margin: (long - short).checked_div(account.multiplier).unwrap_or_default().round_dp(2),
        buying_power: state.book.buying_power(name),
        gain: long + short - invested,
    })
}

fn owned<'a>(state: &'a State, name: &str) -> Result<&'a Account, Error> {
    state.book.account(name).ok_or_else(|| Error::bad(&format!("accountId is not valid: {name}")))
}

fn summary(state: &State, call: Call<'_>) -> Result<Value, Error> {
    owned(state, call.account)?;
    let Some(worth) = worth(state, call.account) else { return Err(Error::nowhere()) };
    let timestamp = call.now.timestamp_millis();
    let amount = |amount: Decimal| json!({"amount": float(amount), "currency": "USD", "isNull": false, "timestamp": timestamp, "value": null, "severity": 0});
    let text = |text: &str| json!({"amount": 0.0, "currency": null, "isNull": false, "timestamp": timestamp, "value": text, "severity": 0});
    let free = (worth.equity - worth.margin).max(Decimal::ZERO);
    let mut shown = Map::new();
    shown.insert("accountcode".to_owned(), text(call.account));
    shown.insert("accounttype".to_owned(), text("INDIVIDUAL"));
    for (name, value) in [
        ("netliquidation", worth.equity),
        ("equitywithloanvalue", worth.equity),
        ("totalcashvalue", worth.cash),
        ("settledcash", worth.cash),
        ("grosspositionvalue", worth.shares),
        ("initmarginreq", worth.margin),
        ("maintmarginreq", worth.margin),
        ("availablefunds", free),
        ("excessliquidity", free),
        ("buyingpower", worth.buying_power),
    ] {
        shown.insert(name.to_owned(), amount(value));
        shown.insert(format!("{name}-s"), amount(value));
    }
    Ok(Value::Object(shown))
}

/// Answers `/iserver/account/{account}/summary`: plain numbers.
pub(super) fn trading_summary(state: &State, call: Call<'_>) -> Result<Value, Error> {
    let Some(worth) = worth(state, call.account) else { return Err(Error::nowhere()) };
    let free = float((worth.equity - worth.margin).max(Decimal::ZERO));
    Ok(json!({
        "accountType": "",
        "status": "",
        "balance": float(worth.equity),
        "SMA": free,
        "buyingPower": float(worth.buying_power),
        "availableFunds": free,
        "excessLiquidity": free,
        "netLiquidationValue": float(worth.equity),
        "equityWithLoanValue": float(worth.equity),
        "regTLoan": 0.0,
        "securitiesGVP": float(worth.shares),
        "totalCashValue": float(worth.cash),
        "accruedInterest": 0.0,
        "initialMargin": float(worth.margin),
        "maintenanceMargin": float(worth.margin),
        "cashBalances": [{"currency": "USD", "balance": float(worth.cash), "settledCash": float(worth.cash)}],
    }))
}

fn ledger(state: &State, call: Call<'_>) -> Result<Value, Error> {
    owned(state, call.account)?;
    let of = |currency: &str| currency_ledger(state, call.account, currency, call.now.timestamp());
    Ok(json!({"USD": of("USD"), "BASE": of("BASE")}))
}

/// Returns one currency's part of what an account owns.
pub(super) fn currency_ledger(state: &State, account: &str, currency: &str, timestamp: i64) -> Value {
    let Some(worth) = worth(state, account) else { return Value::Null };
    json!({
        "cashbalance": float(worth.cash),
        "settledcash": float(worth.cash),
        "netliquidationvalue": float(worth.equity),
        "stockmarketvalue": float(worth.shares),
        "unrealizedpnl": float(worth.gain),
        "realizedpnl": 0.0,
        "exchangerate": 1,
        "interest": 0.0,
        "dividends": 0.0,
        "currency": currency,
        "acctcode": account,
        "key": "LedgerList",
        "secondkey": currency,
        "timestamp": timestamp,
        "severity": 0,
        "sessionid": 1,
    })
}

/// Returns what an account has gained, as the stream and its path show it.
pub(super) fn gains(state: &State, account: &str) -> Value {
    let Some(worth) = worth(state, account) else { return Value::Null };
    let core = json!({
        "rowType": 1,
        "dpl": float(worth.gain),
        "nl": float(worth.equity),
        "upl": float(worth.gain),
        "el": float((worth.equity - worth.margin).max(Decimal::ZERO)),
        "mv": float(worth.shares),
    });
    json!({format!("{account}.Core"): core})
}

/// One position, with its price and what it has gained.
fn priced(state: &State, symbol: &str, holding: &Holding) -> (Decimal, Decimal, Decimal) {
    let price = state.book.feed().quote(symbol).map_or(holding.average(), |quote| quote.last);
    let value = price * holding.qty;
    (price, value, value - holding.cost)
}

fn positions(state: &State, account: &str) -> Vec<Value> {
    let Some(account_owned) = state.book.account(account) else { return Vec::new() };
    let all = account_owned.holdings.iter().map(|(symbol, holding)| {
        let (price, value, gain) = priced(state, symbol, holding);
        json!({
            "acctId": account,
            "conid": contracts::conid(symbol),
            "contractDesc": contracts::symbol(symbol),
            "position": float(holding.qty),
            "mktPrice": float(price),
            "mktValue": float(value),
            "currency": "USD",
            "avgCost": float(holding.average()),
            "avgPrice": float(holding.average()),
            "realizedPnl": 0.0,
            "unrealizedPnl": float(gain),
            "exchs": null,
            "expiry": null,
            "putOrCall": null,
            "multiplier": null,
            "strike": 0.0,
            "exerciseStyle": null,
            "conExchMap": [],
            "assetClass": "STK",
            "undConid": 0,
            "model": "",
        })
    });
    all.collect()
}

fn fresh_positions(state: &State, call: Call<'_>) -> Vec<Value> {
    let Some(account) = state.book.account(call.account) else { return Vec::new() };
    let all = account.holdings.iter().map(|(symbol, holding)| {
        let (price, value, gain) = priced(state, symbol, holding);
        json!({
            "position": float(holding.qty),
            "conid": contracts::conid(symbol).to_string(),
            "avgCost": float(holding.average()),
            "avgPrice": float(holding.average()),
            "currency": "USD",
            "description": contracts::symbol(symbol),
            "isLastToLoq": false,
            "marketPrice": float(price),
            "marketValue": float(value),
            "realizedPnl": 0.0,
            "secType": "STK",
            "timestamp": call.now.timestamp(),
            "unrealizedPnl": float(gain),
            "assetClass": "STK",
            "sector": null,
            "group": null,
            "model": "",
        })
    });
    all.collect()
}

/// Returns what an order would do to an account's margin, in words of the preview.
pub(super) fn preview(state: &State, account: &str, value: Decimal, commission: Decimal) -> Value {
    let Some(worth) = worth(state, account) else { return Value::Null };
    let more = state.book.account(account).and_then(|owned| value.checked_div(owned.multiplier));
    let more = more.unwrap_or_default().round_dp(2);
    let change = |current: Decimal, change: Decimal| json!({"current": plain(current), "change": plain(change), "after": plain(current + change)});
    json!({
        "amount": {
            "amount": format!("{} USD", plain(value)),
            "commission": format!("{} USD", plain(commission)),
            "total": format!("{} USD", plain(value + commission)),
        },
        "equity": change(worth.equity, -commission),
        "initial": change(worth.margin, more),
        "maintenance": change(worth.margin, more),
        "warn": null,
        "error": null,
    })
}
