//! What everybody may know: the time, the products, the best prices, the currencies.

use std::collections::BTreeSet;

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::calls::Call;
use super::errors::Error;
use super::{checks, wire};
use crate::world::State;

/// Answers `GET /time`.
pub(super) fn time(_: &mut State, call: Call<'_>) -> Result<Value, Error> {
    Ok(json!({
        "iso": call.now.to_rfc3339_opts(SecondsFormat::Secs, true),
        "epochSeconds": call.now.timestamp().to_string(),
        "epochMillis": call.now.timestamp_millis().to_string(),
    }))
}

/// Answers `GET /products` and its mirror for everybody. There are no futures.
pub(super) fn products(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let ids = call.query.all("product_ids");
    let is_spot = match call.query.one("product_type")? {
        None | Some("SPOT") => true,
        Some("FUTURE") => false,
        Some(_) => return Err(Error::argument("product_type is unknown")),
    };
    let listed = state.instruments.values().filter(|listed| {
        is_spot && (ids.is_empty() || ids.contains(&wire::product_id(&listed.symbol).as_str()))
    });
    let shown: Vec<Value> = listed.map(|listed| wire::product(state, listed)).collect();
    let number = shown.len();
    Ok(json!({"products": shown, "num_products": number}))
}

/// Answers `GET /products/{product_id}`.
pub(super) fn product(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let found = checks::find(state, call.id).ok_or_else(|| Error::not_found("product not found"))?;
    Ok(wire::product(state, found))
}

/// Answers `GET /best_bid_ask`. What becomes of a product that there is not is unconfirmed: all of it is refused.
pub(super) fn best(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let ids = call.query.all("product_ids");
    let all = || state.instruments.values().map(|listed| wire::product_id(&listed.symbol)).collect();
    let asked: Vec<String> =
        if ids.is_empty() { all() } else { ids.into_iter().map(str::to_owned).collect() };
    let books = asked.iter().map(|id| {
        let unknown = || Error::argument(format!("product {id} is unknown"));
        let listed = checks::find(state, id).ok_or_else(unknown)?;
        Ok(wire::best(id, state.book.feed().quote(&listed.symbol).as_ref()))
    });
    Ok(json!({"pricebooks": books.collect::<Result<Vec<_>, Error>>()?}))
}

/// Answers `GET /v2/currencies`: what is paid with.
pub(super) fn currencies(state: &mut State, _: Call<'_>) -> Result<Value, Error> {
    let money: BTreeSet<&str> = state.instruments.values().map(|listed| listed.quote()).collect();
    let shown = money.into_iter().map(|code| json!({"id": code, "name": code, "min_size": "0.01"}));
    Ok(json!({"data": shown.collect::<Vec<_>>()}))
}

/// Answers `GET /v2/currencies/crypto`: what is bought.
pub(super) fn coins(state: &mut State, _: Call<'_>) -> Result<Value, Error> {
    let coins: BTreeSet<&str> = state.instruments.values().map(|listed| listed.base()).collect();
    let shown = coins.into_iter().map(|code| {
        json!({"asset_id": wire::wallet_id(code), "code": code, "name": code, "exponent": 8, "type": "crypto"})
    });
    Ok(json!({"data": shown.collect::<Vec<_>>()}))
}

/// Answers `GET /v2/exchange-rates`: nothing is exchanged here.
pub(super) fn rates(_: &mut State, _: Call<'_>) -> Result<Value, Error> {
    Ok(json!({"data": {"currency": "USD", "rates": {}}}))
}
