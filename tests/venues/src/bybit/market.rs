//! What everybody may know, what an account has, and what its key may do.

use serde_json::{Value, json};

use super::calls::Call;
use super::errors::Error;
use super::{checks, wire};
use crate::instrument::Instrument;
use crate::signed::Signed;
use crate::world::State;

/// Answers `GET /v5/market/time`.
pub(super) fn time(_: &mut State, call: &Call<'_>) -> Result<Value, Error> {
    let nanos = call.now.timestamp_nanos_opt().unwrap_or_default();
    Ok(json!({"timeSecond": call.now.timestamp().to_string(), "timeNano": nanos.to_string()}))
}

/// Returns the symbol that is asked for, or all.
fn listed<'a>(state: &'a State, call: &Call<'_>) -> Result<Vec<&'a Instrument>, Error> {
    checks::spot(&call.params)?;
    match call.params.text("symbol") {
        Some(symbol) => {
            let found = checks::find(state, symbol).filter(|listed| listed.active);
            found.map(|found| vec![found]).ok_or_else(|| Error::new(10_001, "Not supported symbols"))
        }
        None => Ok(state.instruments.values().filter(|listed| listed.active).collect()),
    }
}

/// Answers `GET /v5/market/instruments-info`. The spot market's list comes whole.
pub(super) fn instruments(state: &mut State, call: &Call<'_>) -> Result<Value, Error> {
    let list: Vec<Value> = listed(state, call)?
        .into_iter()
        .map(|listed| wire::instrument(listed, checks::is_trading(state, listed)))
        .collect();
    Ok(json!({"category": "spot", "list": list}))
}

/// Answers `GET /v5/market/tickers`.
pub(super) fn tickers(state: &mut State, call: &Call<'_>) -> Result<Value, Error> {
    let read = |listed: &Instrument| {
        let quote = state.book.feed().quote(&listed.symbol)?;
        Some(wire::ticker(&listed.symbol, &quote))
    };
    let list: Vec<Value> = listed(state, call)?.into_iter().filter_map(read).collect();
    Ok(json!({"category": "spot", "list": list}))
}

/// Answers `GET /v5/user/query-api`.
pub(super) fn key(state: &mut State, call: &Call<'_>) -> Result<Value, Error> {
    let key = state.directory.standing(call.account).ok_or_else(Error::permission)?.key;
    let some = |may: bool, what: &[&str]| if may { json!(what) } else { json!([]) };
    Ok(json!({
        "readOnly": i32::from(!key.trade),
        "permissions": {
            "Spot": some(key.trade, &["SpotTrade"]),
            "ContractTrade": [],
            "Wallet": some(key.withdraw, &["AccountTransfer", "Withdraw"]),
            "Options": [],
            "Derivatives": [],
        },
        "ips": if key.bound_to_ip { json!(["127.0.0.1"]) } else { json!(["*"]) },
        "uta": 1,
        "userID": user_id(call.account),
        "expiredAt": "2027-01-01T00:00:00Z",
        "deadlineDay": 90,
    }))
}

/// Returns the number of an account: always the same.
fn user_id(account: &str) -> u32 {
    Signed::sha256(account.as_bytes()).0.iter().take(4).fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Answers `GET /v5/account/wallet-balance`. Dollars are counted as USDT.
pub(super) fn wallet(state: &mut State, call: &Call<'_>) -> Result<Value, Error> {
    if call.params.need("accountType")? != "UNIFIED" {
        return Err(Error::params("accountType only support UNIFIED."));
    }
    let balances = state.book.balances(call.account);
    let wanted =
        |asset: &str| call.params.text("coin").is_none_or(|all| all.split(',').any(|one| one == asset));
    let coins: Vec<Value> = balances.iter().filter(|has| wanted(&has.asset)).map(wire::coin).collect();
    let cash = balances.first().map(|cash| (cash.free + cash.locked, cash.free)).unwrap_or_default();
    Ok(json!({"list": [{
        "accountType": "UNIFIED",
        "totalEquity": wire::amount(cash.0),
        "totalAvailableBalance": wire::amount(cash.1),
        "coin": coins,
    }]}))
}
