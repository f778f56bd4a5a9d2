//! What everybody may know: the contracts and their rules, the best prices.

use serde_json::{Value, json};

use super::wire;
use crate::binance::calls::Call;
use crate::binance::checks;
use crate::binance::errors::Error;
use crate::binance::wire as spot;
use crate::world::State;

/// Answers `GET /fapi/v1/exchangeInfo`.
pub(super) fn exchange_info(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let listed = state.instruments.values().filter(|listed| listed.active);
    let shown: Vec<Value> =
        listed.map(|listed| wire::instrument(listed, checks::trading_status(state, listed))).collect();
    let pools = state.limits.pools().iter();
    let limits = pools.flat_map(|(pool, bounds)| {
        bounds.iter().filter_map(move |bound| spot::rate_limit(pool, *bound, None))
    });
    Ok(json!({
        "timezone": "UTC",
        "serverTime": spot::time(call.now),
        "futuresType": "U_MARGINED",
        "rateLimits": limits.collect::<Vec<_>>(),
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": true, "autoAssetExchange": "0"}],
        "symbols": shown,
    }))
}

/// Answers `GET /fapi/v1/ticker/bookTicker`.
pub(super) fn book_ticker(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let shown = |symbol: &str| {
        let quote = state.book.feed().quote(symbol)?;
        Some(wire::ticker(symbol, &quote))
    };
    if call.params.raw("symbol").is_some() {
        let listed = checks::instrument(state, call.params)?;
        return shown(&listed.symbol).ok_or_else(Error::symbol);
    }
    Ok(state.instruments.keys().filter_map(|symbol| shown(symbol)).collect())
}

/// Answers `GET /fapi/v1/leverageBracket`: one bracket for every contract.
pub(super) fn brackets(state: &mut State, _: Call<'_>) -> Result<Value, Error> {
    let bracket = json!({
        "bracket": 1, "initialLeverage": 125, "notionalCap": 1_000_000_000, "notionalFloor": 0,
        "maintMarginRatio": 0.004, "cum": 0.0,
    });
    let shown = |symbol: &String| json!({"symbol": spot::symbol(symbol), "brackets": [bracket]});
    Ok(state.instruments.keys().map(shown).collect())
}
