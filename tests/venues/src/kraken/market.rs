//! What everybody may know: the time, the pairs and their rules, the best prices.

use serde_json::{Map, Value, json};

use super::calls::Call;
use super::checks;
use super::errors::Error;
use super::{names, wire};
use crate::book::Session;
use crate::instrument::Instrument;
use crate::world::State;

/// Answers `Time`: in whole seconds.
pub(super) fn time(_: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let rfc1123 = call.now.format("%a, %d %b %y %H:%M:%S +0000").to_string();
    Ok(json!({"unixtime": call.now.timestamp(), "rfc1123": rfc1123}))
}

/// Answers `SystemStatus`.
pub(super) fn status(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let status = if state.book.session() == Session::Regular { "online" } else { "cancel_only" };
    Ok(json!({"status": status, "timestamp": wire::rfc3339(call.now)}))
}

/// Answers `Assets`.
pub(super) fn assets(state: &mut State, _: Call<'_>) -> Result<Value, Error> {
    let all = state.instruments.values().flat_map(|listed| [listed.base(), listed.quote()]);
    let shown = all.map(|name| {
        let (short, long) = names::asset(name);
        let decimals = if long.starts_with('Z') { 4 } else { 10 };
        let shown = json!({
            "aclass": "currency", "altname": short, "decimals": decimals, "display_decimals": 5, "status": "enabled",
        });
        (long.to_owned(), shown)
    });
    Ok(Value::Object(shown.collect()))
}

/// Returns the pairs that are asked for; all if none are.
fn asked<'a>(state: &'a State, call: Call<'_>) -> Result<Vec<&'a Instrument>, Error> {
    match call.params.raw("pair") {
        None => Ok(state.instruments.values().filter(|listed| listed.active).collect()),
        Some(_) => {
            let wanted = call.params.list("pair", usize::MAX)?;
            wanted.into_iter().map(|pair| names::find(state, pair).ok_or(Error::Pair)).collect()
        }
    }
}

/// Answers `AssetPairs`.
pub(super) fn pairs(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let listed = asked(state, call)?;
    let shown = listed
        .into_iter()
        .map(|listed| (names::key(listed), wire::pair(listed, checks::status(state, listed))));
    Ok(Value::Object(shown.collect()))
}

/// Answers `Ticker`.
pub(super) fn ticker(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let listed = asked(state, call)?;
    let quoted = listed.into_iter().filter_map(|listed| {
        let quote = state.book.feed().quote(&listed.symbol)?;
        Some((names::key(listed), wire::ticker(&quote)))
    });
    Ok(Value::Object(quoted.collect::<Map<_, _>>()))
}
