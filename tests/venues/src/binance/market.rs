//! What everybody may know: the time, the symbols and their rules, the best prices.

use serde_json::{Value, json};

use super::calls::Call;
use super::checks;
use super::errors::Error;
use super::wire;
use crate::feed::Quote;
use crate::instrument::Instrument;
use crate::world::State;

/// Answers `GET /api/v3/ping`.
pub(crate) fn ping(_: &mut State, _: Call<'_>) -> Result<Value, Error> {
    Ok(json!({}))
}

/// Answers `GET /api/v3/time`.
pub(crate) fn time(_: &mut State, call: Call<'_>) -> Result<Value, Error> {
    Ok(json!({"serverTime": wire::time(call.now)}))
}

/// Returns the symbols that are asked for; none if all are.
fn asked(call: Call<'_>) -> Result<Option<Vec<String>>, Error> {
    let params = call.params;
    match (params.raw("symbol"), params.text("symbols")?) {
        (Some(_), Some(_)) => Err(Error::new(400, -1128, "Combination of optional parameters invalid.")),
        (Some(_), None) => Ok(Some(vec![params.symbol()?.to_owned()])),
        (None, Some(list)) => {
            let read = serde_json::from_str(list);
            read.map(Some).map_err(|_| Error::characters("symbols", "^\\[(\"[A-Z0-9-_.]{1,20}\",?)*\\]$"))
        }
        (None, None) => Ok(None),
    }
}

fn found<'a>(state: &'a State, call: Call<'_>) -> Result<Vec<&'a Instrument>, Error> {
    match asked(call)? {
        Some(symbols) => {
            symbols.iter().map(|symbol| checks::find(state, symbol).ok_or_else(Error::symbol)).collect()
        }
        None => Ok(state.instruments.values().filter(|listed| listed.active).collect()),
    }
}

/// Answers `GET /api/v3/exchangeInfo`.
pub(super) fn exchange_info(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let with_sets = call.params.flag("showPermissionSets", true)?;
    let wanted = call.params.text("symbolStatus")?;
    let symbols = found(state, call)?;
    let shown = symbols.into_iter().filter_map(|listed| {
        let status = checks::trading_status(state, listed);
        let mut shown = wire::instrument(listed, status);
        if let Some(fields) = shown.as_object_mut().filter(|_| !with_sets) {
            fields.insert("permissionSets".to_owned(), json!([]));
        }
        wanted.is_none_or(|wanted| wanted == status).then_some(shown)
    });
    let pools = state.limits.pools().iter();
    let limits = pools.flat_map(|(pool, bounds)| {
        bounds.iter().filter_map(move |bound| wire::rate_limit(pool, *bound, None))
    });
    Ok(json!({
        "timezone": "UTC",
        "serverTime": wire::time(call.now),
        "rateLimits": limits.collect::<Vec<_>>(),
        "exchangeFilters": [],
        "symbols": shown.collect::<Vec<_>>(),
    }))
}

/// Returns what is said of one symbol, or a list of what is said of many.
fn quotes(state: &State, call: Call<'_>, shown: fn(&str, &Quote) -> Value) -> Result<Value, Error> {
    let listed = found(state, call)?;
    let quoted = listed.iter().filter_map(|listed| {
        let quote = state.book.feed().quote(&listed.symbol)?;
        Some(shown(&listed.symbol, &quote))
    });
    let mut all: Vec<Value> = quoted.collect();
    if call.params.raw("symbol").is_some() { all.pop().ok_or_else(Error::symbol) } else { Ok(all.into()) }
}

/// Answers `GET /api/v3/ticker/bookTicker`.
pub(super) fn book_ticker(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    quotes(state, call, wire::ticker)
}

/// Answers `GET /api/v3/ticker/price`.
pub(super) fn price_ticker(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    quotes(
        state,
        call,
        |symbol, quote| json!({"symbol": wire::symbol(symbol), "price": wire::amount(quote.last)}),
    )
}
