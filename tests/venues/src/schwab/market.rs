//! Market data over HTTP: quotes and hours.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::America::New_York;
use serde_json::{Map, Value, json};

use super::desk::Desk;
use super::errors::Error;
use super::hours::{self, Span};
use super::rest::Call;
use super::show::{View, cusip};
use super::wire::double;
use crate::feed::Quote;
use crate::http::Answer;
use crate::world::State;

/// The parts a quote can be asked for in; `all` is all of them.
const FIELDS: [&str; 6] = ["all", "quote", "fundamental", "extended", "reference", "regular"];
/// The markets whose hours can be asked for; only shares are traded.
const MARKETS: [&str; 5] = ["equity", "option", "bond", "future", "forex"];

/// Answers what is below `/marketdata/v1`.
pub(super) fn answer(state: &State, desk: &Desk, call: &Call<'_>) -> Result<Answer, Error> {
    let view = View { state, desk, ids: call.ids };
    match call.request.segments().as_slice() {
        [_, _, "quotes"] => quotes(view, call),
        [_, _, "markets"] => {
            let markets = call.request.param("markets").filter(|markets| !markets.is_empty());
            let markets = markets.ok_or_else(|| bad("markets is required"))?;
            markets_hours(view, call, &markets.split(',').collect::<Vec<_>>())
        }
        [_, _, "markets", market] => markets_hours(view, call, &[market]),
        [_, _, symbol, "quotes"] => {
            let parts = parts(call)?;
            let quote = view.state.book.feed().quote(symbol);
            let quote =
                quote.ok_or_else(|| Error::market(404, "Not Found", &format!("{symbol} not found")))?;
            Ok(Answer::json(200, &json!({ *symbol: shown(view, symbol, &quote, &parts) })))
        }
        _ => Err(Error::market(404, "Not Found", "no such resource")),
    }
}

fn bad(what: &str) -> Error {
    Error::market(400, "Bad Request", what)
}

fn parts(call: &Call<'_>) -> Result<Vec<String>, Error> {
    let fields = call.request.param("fields").unwrap_or_else(|| "all".to_owned());
    let parts: Vec<String> = fields.split(',').map(str::to_owned).collect();
    match parts.iter().find(|part| !FIELDS.contains(&part.as_str())) {
        Some(part) => Err(bad(&format!("invalid fields: {part}"))),
        None => Ok(parts),
    }
}

fn quotes(view: View<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let symbols = call.request.param("symbols").filter(|symbols| !symbols.is_empty());
    let symbols = symbols.ok_or_else(|| bad("symbols is required"))?;
    let indicative = call.request.param("indicative");
    if indicative.is_some_and(|flag| !matches!(flag.to_lowercase().as_str(), "true" | "false")) {
        return Err(bad("indicative must be true or false"));
    }
    let parts = parts(call)?;
    let mut all = Map::new();
    let mut unknown = Vec::new();
    for symbol in symbols.split(',') {
        match view.state.book.feed().quote(symbol) {
            Some(quote) => drop(all.insert(symbol.to_owned(), shown(view, symbol, &quote, &parts))),
            None => unknown.push(symbol),
        }
    }
    if !unknown.is_empty() {
        all.insert("errors".to_owned(), json!({"invalidSymbols": unknown}));
    }
    Ok(Answer::json(200, &Value::Object(all)))
}

fn shown(view: View<'_>, symbol: &str, quote: &Quote, parts: &[String]) -> Value {
    let halted = view.state.book.is_halted(symbol);
    let ms = quote.at.timestamp_millis();
    let mut shown = Map::new();
    let mut add = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    add("assetMainType", json!("EQUITY"));
    add("quoteType", json!("NBBO"));
    add("realtime", json!(true));
    add("ssid", json!(1));
    add("symbol", json!(symbol));
    let wants = |name: &str| parts.iter().any(|part| part == "all" || part == name);
    if wants("quote") {
        add(
            "quote",
            json!({
                "bidPrice": double(quote.bid),
                "askPrice": double(quote.ask),
                "bidSize": 3,
                "askSize": 2,
                "lastPrice": double(quote.last),
                "mark": double(quote.last),
                "quoteTime": ms,
                "tradeTime": ms,
                "closePrice": double(quote.last),
                "securityStatus": if halted { "Halted" } else { "Normal" },
            }),
        );
    }
    if wants("reference") {
        let name = view.state.instruments.get(symbol).map(|known| known.name.as_str());
        add(
            "reference",
            json!({"cusip": cusip(symbol), "description": name, "exchange": "Q", "exchangeName": "NASDAQ"}),
        );
    }
    if wants("regular") {
        add("regular", json!({"regularMarketLastPrice": double(quote.last), "regularMarketTradeTime": ms}));
    }
    if wants("extended") {
        add("extended", json!({"lastPrice": double(quote.last), "quoteTime": ms}));
    }
    if wants("fundamental") {
        add("fundamental", json!({"divYield": 0.0}));
    }
    Value::Object(shown)
}

fn markets_hours(view: View<'_>, call: &Call<'_>, markets: &[&str]) -> Result<Answer, Error> {
    let date = match call.request.param("date") {
        Some(text) => text.parse::<NaiveDate>().map_err(|_| bad("date must be YYYY-MM-DD"))?,
        None => hours::local(call.now),
    };
    let mut all = Map::new();
    for market in markets {
        if !MARKETS.contains(market) {
            return Err(bad(&format!("invalid market: {market}")));
        }
        all.insert((*market).to_owned(), market_hours(view, market, date));
    }
    Ok(Answer::json(200, &Value::Object(all)))
}

/// Returns the hours of one market on a date. Where it is closed, its product is called like the market.
fn market_hours(view: View<'_>, market: &str, date: NaiveDate) -> Value {
    let clock = &view.state.clock;
    let kind = market.to_uppercase();
    let day = hours::day(clock, date).filter(|_| market == "equity");
    let Some(day) = day else {
        let closed = json!({"date": date, "marketType": kind, "product": market, "isOpen": false});
        return json!({ market: closed });
    };
    let local = |at: DateTime<Utc>| at.with_timezone(&New_York).to_rfc3339();
    let span = |(start, end): Span| json!([{"start": local(start), "end": local(end)}]);
    let mut sessions = Map::new();
    let named = [("preMarket", day.before), ("regularMarket", Some(day.regular)), ("postMarket", day.after)];
    for (name, session) in named {
        if let Some(session) = session {
            sessions.insert(name.to_owned(), span(session));
        }
    }
    json!({
        "EQ": {
            "date": date,
            "marketType": kind,
            "product": "EQ",
            "productName": market,
            "isOpen": true,
            "sessionHours": sessions,
        },
    })
}
