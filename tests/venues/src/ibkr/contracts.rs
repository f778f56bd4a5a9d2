//! What can be traded, by number: contracts, their rules and their hours.
//!
//! The book's `BRK.B` is `BRK B` here. Each symbol has a second listing abroad, which is not the one to trade.

use chrono::{DateTime, Days, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::America::New_York;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::errors::Error;
use super::wire::float;
use crate::clock::{Hours, days_after};
use crate::http::Request;
use crate::world::{Instrument, State};

/// Numbers that everybody knows.
const KNOWN: [(&str, i64); 5] =
    [("AAPL", 265_598), ("MSFT", 272_093), ("SPY", 756_733), ("QQQ", 320_227_571), ("TSLA", 76_792_991)];

/// Returns a symbol's number: the same in every process.
#[must_use]
pub fn conid(symbol: &str) -> i64 {
    let known = KNOWN.iter().find(|(name, _)| *name == symbol);
    known.map_or_else(|| hashed(symbol, 400_000_000), |(_, conid)| *conid)
}

/// Returns the number of a symbol's listing abroad.
fn conid_abroad(symbol: &str) -> i64 {
    hashed(symbol, 600_000_000)
}

/// FNV-1a, folded into a hundred million numbers from a first one on.
fn hashed(text: &str, first: i64) -> i64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    first + i64::try_from(hash % 100_000_000).unwrap_or_default()
}

/// Returns the gateway's name of a symbol of the book.
#[must_use]
pub(super) fn symbol(of_book: &str) -> String {
    of_book.replace('.', " ")
}

/// Returns what a number stands for.
#[must_use]
pub(super) fn of_conid(state: &State, number: i64) -> Option<&Instrument> {
    state.instruments.values().find(|instrument| conid(&instrument.symbol) == number)
}

/// Returns what a symbol of the gateway's stands for.
fn of_symbol<'a>(state: &'a State, name: &str) -> Option<&'a Instrument> {
    state.instruments.values().find(|instrument| symbol(&instrument.symbol) == name)
}

/// Returns the smallest step of a price: a cent, or a hundredth of one below a dollar.
#[must_use]
pub(super) fn increment(price: Decimal) -> Decimal {
    if price >= Decimal::ONE { Decimal::new(1, 2) } else { Decimal::new(1, 4) }
}

/// Answers `/trsrv/stocks`: nothing for what is unknown, not even the name of what is not listed any longer.
pub(super) fn stocks(state: &State, request: &Request) -> Result<Value, Error> {
    let names = request.param("symbols").filter(|names| !names.is_empty());
    let names = names.ok_or_else(|| Error::bad("symbols is required"))?;
    let mut found = Map::new();
    for name in names.split(',') {
        match of_symbol(state, name) {
            Some(instrument) if instrument.active => {
                found.insert(name.to_owned(), json!([stock(instrument)]));
            }
            Some(_) => {}
            None => {
                found.insert(name.to_owned(), json!([]));
            }
        }
    }
    Ok(Value::Object(found))
}

fn stock(instrument: &Instrument) -> Value {
    json!({
        "name": company(instrument),
        "chineseName": null,
        "assetClass": "STK",
        "contracts": [
            {"conid": conid_abroad(&instrument.symbol), "exchange": "MEXI", "isUS": false},
            {"conid": conid(&instrument.symbol), "exchange": "NASDAQ", "isUS": true},
        ],
    })
}

fn company(instrument: &Instrument) -> &str {
    if instrument.name.is_empty() { &instrument.symbol } else { &instrument.name }
}

/// Answers `/iserver/secdef/search`, asked with a query or a body.
pub(super) fn search(state: &State, request: &Request) -> Result<Value, Error> {
    let body = request.body_value();
    let field = |name: &str| {
        request.param(name).or_else(|| body.get(name).and_then(Value::as_str).map(str::to_owned))
    };
    let name = field("symbol").filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Error::bad("symbol is required"))?;
    if field("secType").is_some_and(|kind| kind != "STK") {
        return Ok(json!([]));
    }
    let found = of_symbol(state, &name).filter(|instrument| instrument.active);
    let found = found.ok_or_else(|| Error::reject("No symbol found"))?;
    let listed = |conid: i64, exchange: &str| {
        json!({
            "conid": conid.to_string(),
            "companyHeader": format!("{} - {exchange}", company(found)),
            "companyName": company(found),
            "symbol": name,
            "description": exchange,
            "restricted": null,
            "sections": [{"secType": "STK"}],
        })
    };
    Ok(json!([listed(conid(&found.symbol), "NASDAQ"), listed(conid_abroad(&found.symbol), "MEXI")]))
}

/// Answers `/iserver/contract/rules`.
pub(super) fn rules(
    state: &State,
    request: &Request,
    account: &str,
    fractions: bool,
) -> Result<Value, Error> {
    let body = request.body_value();
    let number = body.get("conid").and_then(Value::as_i64).ok_or_else(|| Error::bad("conid is required"))?;
    let found = of_conid(state, number).ok_or_else(|| Error::bad("conid is not valid"))?;
    let fractions = fractions && found.fractionable;
    let last = state.book.feed().quote(&found.symbol).map(|quote| quote.last);
    Ok(json!({
        "algoEligible": true,
        "allOrNoneEligible": false,
        "canTradeAcctIds": [account],
        "error": null,
        "orderTypes": ["limit", "market", "stop", "stop_limit", "trailing_stop"],
        "orderTypesOutside": ["limit", "stop_limit"],
        "fraqTypes": if fractions { json!(["limit", "market", "stop", "stop_limit", "trailing_stop"]) } else { json!([]) },
        "tifTypes": ["IOC/MARKET,LIMIT,RTH,a", "DAY/o,a", "GTC/o,a", "OPG/LIMIT,MARKET,a"],
        "defaultSize": 100,
        "sizeIncrement": 1,
        "cashSize": 0.0,
        "cashCcy": "USD",
        "limitPrice": last.map(float),
        "stopprice": last.map(float),
        "increment": 0.01,
        "incrementDigits": 2,
        "incrementType": 0,
        "incrementRules": [{"lowerEdge": 0.0, "increment": 0.0001}, {"lowerEdge": 1.0, "increment": 0.01}],
        "hasSecondary": true,
        "negativeCapable": false,
    }))
}

/// How many days a schedule shows.
const DAYS_SHOWN: usize = 6;

/// Answers `/contract/trading-schedule`.
pub(super) fn schedule(state: &State, now: DateTime<Utc>, request: &Request) -> Result<Value, Error> {
    let number = request.param("conid").and_then(|text| text.parse().ok());
    let number = number.ok_or_else(|| Error::bad("conid is required"))?;
    of_conid(state, number).ok_or_else(|| Error::bad("conid is not valid"))?;
    let today = now.with_timezone(&New_York).date_naive();
    let span = |from: DateTime<Utc>, to: DateTime<Utc>| json!({"opening": from.timestamp(), "closing": to.timestamp()});
    let day =
        |liquid: Value, extended: Value| json!({"liquid_hours": [liquid], "extended_hours": [extended]});
    let mut schedules = Map::new();
    match state.clock.hours {
        Hours::AlwaysOpen => {
            for date in today.iter_days().take(DAYS_SHOWN) {
                let begins = midnight(date);
                let whole = span(begins, midnight(date + Days::new(1)));
                schedules.insert(date.format("%Y%m%d").to_string(), day(whole.clone(), whole));
            }
        }
        Hours::Closed { .. } => {
            let (open, close) = state.clock.next(now);
            let date = open.with_timezone(&New_York).date_naive();
            let hours = span(open, close);
            schedules.insert(date.format("%Y%m%d").to_string(), day(hours.clone(), hours));
        }
        Hours::Nyse => {
            for trading in days_after(today - Days::new(1)).take(DAYS_SHOWN) {
                // From four in the morning until eight in the evening.
                let first = trading.opens() - TimeDelta::minutes(330);
                let mut extended = span(first, first + TimeDelta::hours(16));
                if let Some(fields) = extended.as_object_mut() {
                    fields.insert("cancel_daily_orders".to_owned(), json!(true));
                }
                let liquid = span(trading.opens(), trading.closes());
                schedules.insert(trading.date.format("%Y%m%d").to_string(), day(liquid, extended));
            }
        }
    }
    Ok(json!({"exchange_time_zone": "US/Eastern", "schedules": schedules}))
}

/// Returns when a day begins in New York.
#[must_use]
pub(super) fn midnight(date: chrono::NaiveDate) -> DateTime<Utc> {
    let local = date.and_time(NaiveTime::MIN);
    let begins = New_York.from_local_datetime(&local).earliest();
    begins.map_or_else(|| local.and_utc(), |begins| begins.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_what_they_are() {
        assert_eq!(conid("AAPL"), 265_598);
        assert_eq!(conid("NFLX"), conid("NFLX"));
        assert_ne!(conid("NFLX"), conid("GOOG"));
        assert_ne!(conid("AAPL"), conid_abroad("AAPL"));
        assert_eq!(symbol("BRK.B"), "BRK B");
    }
}
