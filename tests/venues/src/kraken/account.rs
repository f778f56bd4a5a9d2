//! What an account has, and what its key may do.

use serde_json::{Value, json};

use super::calls::Call;
use super::errors::Error;
use super::{names, wire};
use crate::world::State;

/// Answers `BalanceEx`.
pub(super) fn balances(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let all = state.book.balances(call.account);
    let shown = all.iter().map(|has| {
        let held = json!({
            "balance": wire::amount(has.free + has.locked), "hold_trade": wire::amount(has.locked),
        });
        (names::asset(&has.asset).1.to_owned(), held)
    });
    Ok(Value::Object(shown.collect()))
}

/// Answers `GetApiKeyInfo`.
pub(super) fn key_info(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let key = state.directory.standing(call.account).ok_or(Error::Key)?.key;
    let rights = [
        (key.read, "query-funds"),
        (key.read, "query-open-trades"),
        (key.read, "query-closed-trades"),
        (key.trade, "modify-trades"),
        (key.trade, "close-trades"),
        (key.withdraw, "withdraw-funds"),
    ];
    let may: Vec<&str> = rights.into_iter().filter(|(may, _)| *may).map(|(_, name)| name).collect();
    let from: &[&str] = if key.bound_to_ip { &["127.0.0.1"] } else { &[] };
    Ok(json!({
        "apiKeyName": "key", "apiKey": call.account, "nonce": call.params.raw("nonce"), "nonceWindow": 0,
        "permissions": may, "iban": format!("AA{}", call.account), "validUntil": "0", "queryFrom": "0",
        "queryTo": "0", "createdTime": "1772542900", "modifiedTime": "1772543095", "ipAllowlist": from,
        "lastUsed": call.now.timestamp().to_string(),
    }))
}
