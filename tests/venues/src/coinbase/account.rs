//! What an account has, what its key may do, and what it pays.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::calls::Call;
use super::errors::Error;
use super::wire;
use crate::world::State;

/// Answers `GET /accounts`: a wallet for each currency.
pub(super) fn accounts(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let settlement = state.book.account(call.account).map(|account| account.settlement.clone());
    let balances = state.book.balances(call.account);
    let wallets = balances.iter().map(|has| {
        let is_money = settlement.as_deref() == Some(&has.asset);
        let amount = |value: Decimal| json!({"value": wire::amount(value), "currency": has.asset});
        json!({
            "uuid": wire::wallet_id(&has.asset),
            "name": format!("{} Wallet", has.asset),
            "currency": has.asset,
            "available_balance": amount(has.free),
            "hold": amount(has.locked),
            "default": true,
            "active": true,
            "type": if is_money { "ACCOUNT_TYPE_FIAT" } else { "ACCOUNT_TYPE_CRYPTO" },
            "ready": true,
        })
    });
    let (accounts, has_next, cursor) = call.query.page(wallets.collect())?;
    let size = accounts.len();
    Ok(json!({"accounts": accounts, "has_next": has_next, "cursor": cursor, "size": size}))
}

/// Answers `GET /key_permissions`.
pub(super) fn permissions(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let key = state.directory.standing(call.account).ok_or_else(Error::unauthorized)?.key;
    Ok(json!({
        "can_view": key.read,
        "can_trade": key.trade,
        "can_transfer": key.withdraw,
        "portfolio_uuid": format!("portfolio-of-{}", call.account),
        "portfolio_type": "DEFAULT",
    }))
}

/// Answers `GET /transaction_summary`: what a trade costs.
pub(super) fn summary(state: &mut State, _: Call<'_>) -> Result<Value, Error> {
    let rate = state.book.rules().fee.map_or(Decimal::ZERO, |fee| fee.pct / Decimal::ONE_HUNDRED);
    Ok(json!({
        "total_volume": 0,
        "total_fees": 0,
        "fee_tier": {
            "pricing_tier": "Advanced 1",
            "usd_from": "0",
            "usd_to": "1000",
            "taker_fee_rate": wire::amount(rate),
            "maker_fee_rate": wire::amount(rate),
        },
        "margin_rate": null,
        "goods_and_services_tax": null,
    }))
}
