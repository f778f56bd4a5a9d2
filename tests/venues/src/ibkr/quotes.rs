//! Prices, asked for one by one: the first time nothing is known yet.

use hyper::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::contracts;
use super::errors::Error;
use super::gateway::Desk;
use super::rest::Call;
use super::wire::price_text;
use crate::book::Session;
use crate::feed::Quote;
use crate::world::State;

/// The most contracts of one request.
const CONTRACTS_MAX: usize = 100;
/// The most fields of one request.
const FIELDS_MAX: usize = 50;

/// Answers what is below `/iserver/marketdata`.
pub(super) fn answer(state: &State, desk: &mut Desk<'_>, call: Call<'_>) -> Result<Value, Error> {
    match (&call.request.method, call.path) {
        (&Method::GET, [_, _, "snapshot"]) => snapshot(state, desk, call),
        (&Method::POST, [_, _, "unsubscribe"]) => {
            let Unsubscribe { conid } = call.body()?;
            if desk.gateway.session.lines.remove(&conid) {
                Ok(json!({"success": true}))
            } else {
                Err(Error::new(500, "unknown"))
            }
        }
        (&Method::GET, [_, _, "unsubscribeall"]) => {
            desk.gateway.session.lines.clear();
            Ok(json!({"unsubscribed": true}))
        }
        _ => Err(Error::nowhere()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unsubscribe {
    conid: i64,
}

fn snapshot(state: &State, desk: &mut Desk<'_>, call: Call<'_>) -> Result<Value, Error> {
    let list = |name: &str| {
        let text = call.request.param(name).filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| Error::bad(&format!("{name} is required")))?;
        Ok(text.split(',').map(str::to_owned).collect::<Vec<_>>())
    };
    let (conids, fields) = (list("conids")?, list("fields")?);
    if conids.len() > CONTRACTS_MAX || fields.len() > FIELDS_MAX {
        return Err(Error::bad("too many conids or fields"));
    }
    let mut shown = Vec::new();
    for text in conids {
        let conid: i64 = text.parse().map_err(|_| Error::bad(&format!("conid is not valid: {text}")))?;
        let first = desk.gateway.session.lines.insert(conid);
        let mut line = Map::new();
        line.insert("conidEx".to_owned(), json!(text));
        line.insert("conid".to_owned(), json!(conid));
        let symbol = contracts::of_conid(state, conid).map(|found| found.symbol.clone());
        if let (false, Some(symbol)) = (first, symbol) {
            let availability = desk.availability.get(&symbol).copied().unwrap_or('R');
            line.insert("_updated".to_owned(), json!(call.now.timestamp_millis()));
            line.insert("server_id".to_owned(), json!("q0"));
            let quote = state.book.feed().quote(&symbol);
            line.append(&mut self::fields(state, &symbol, quote, availability, &fields));
        }
        shown.push(Value::Object(line));
    }
    Ok(shown.into())
}

/// Returns what is known of a symbol: the fields that were asked for, as text.
pub(super) fn fields(
    state: &State,
    symbol: &str,
    quote: Option<Quote>,
    availability: char,
    asked: &[String],
) -> Map<String, Value> {
    let open = state.book.session() != Session::Closed;
    let shown = match availability {
        'R' if !open => 'Z',
        'D' if !open => 'Y',
        other => other,
    };
    let mut known = Map::new();
    known.insert("6509".to_owned(), json!(format!("{shown}pB")));
    known.insert("55".to_owned(), json!(contracts::symbol(symbol)));
    known.insert("7051".to_owned(), json!(contracts::symbol(symbol)));
    if let Some(quote) = quote.filter(|_| availability != 'N') {
        let halted = state.book.is_halted(symbol);
        for (field, text) in priced(&quote, open, halted) {
            known.insert(field.to_owned(), json!(text));
        }
    }
    known.retain(|field, _| asked.iter().any(|asked| asked == field));
    known
}

/// Returns the fields of a quote. Outside all hours the last price is marked as the close before, a halted one as such.
fn priced(quote: &Quote, open: bool, halted: bool) -> [(&'static str, String); 8] {
    let mark = if halted {
        "H"
    } else if open {
        ""
    } else {
        "C"
    };
    let last = price_text(quote.last);
    [
        ("31", format!("{mark}{last}")),
        ("84", price_text(quote.bid)),
        ("86", price_text(quote.ask)),
        ("88", "300".to_owned()),
        ("85", "200".to_owned()),
        ("7059", "100".to_owned()),
        ("87", "12.3M".to_owned()),
        ("7741", last),
    ]
}
