//! What an account has, what it traded, and what its key may do.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::calls::Call;
use super::checks;
use super::errors::Error;
use super::wire;
use crate::book::Balance;
use crate::world::State;

/// Answers `GET /api/v3/account`.
pub(super) fn account(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let some = call.params.flag("omitZeroBalances", false)?;
    let standing = state.directory.standing(call.account).ok_or_else(Error::key)?;
    let has_any = |balance: &&Balance| !some || !(balance.free + balance.locked).is_zero();
    let balances = state.book.balances(call.account);
    let shown: Vec<Value> = balances
        .iter()
        .filter(has_any)
        .map(|has| json!({"asset": has.asset, "free": wire::amount(has.free), "locked": wire::amount(has.locked)}))
        .collect();
    let rate = state.book.rules().fee.map_or(Decimal::ZERO, |fee| fee.pct / Decimal::ONE_HUNDRED);
    let bips =
        (rate * Decimal::from(10_000)).trunc().normalize().to_string().parse::<i64>().unwrap_or_default();
    let mine = state.book.orders().filter(|order| order.ticket.account == call.account);
    let updated = mine.filter_map(|order| order.times.updated).max();
    Ok(json!({
        "makerCommission": bips, "takerCommission": bips, "buyerCommission": 0, "sellerCommission": 0,
        "commissionRates": {
            "maker": wire::amount(rate), "taker": wire::amount(rate),
            "buyer": wire::amount(Decimal::ZERO), "seller": wire::amount(Decimal::ZERO),
        },
        "canTrade": standing.may_trade() && standing.key.trade,
        "canWithdraw": standing.key.withdraw,
        "canDeposit": !standing.account_blocked,
        "brokered": false, "requireSelfTradePrevention": false, "preventSor": false,
        "updateTime": updated.map_or(0, wire::time),
        "accountType": "SPOT",
        "balances": shown,
        "permissions": ["SPOT"],
        "uid": number_of(call.account),
    }))
}

/// Returns the number of an account: the same at every venue. FNV-1a, as long as Binance's.
pub(crate) fn number_of(account: &str) -> u64 {
    let hash = account.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash % 1_000_000_000
}

/// Answers `GET /api/v3/myTrades`.
pub(super) fn trades(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let symbol = &checks::instrument(state, call.params)?.symbol;
    let (order, from) = (call.params.whole("orderId")?, call.params.whole("fromId")?);
    let (times, most) = (call.times()?, call.most()?);
    let found: Vec<Value> = state
        .book
        .trades()
        .iter()
        .filter(|trade| {
            order.is_none_or(|order| trade.order == wire::order_id(order))
                && from.is_none_or(|from| trade.execution.id >= from)
                && times.hold(trade.at)
        })
        .filter_map(|trade| {
            let of = state.book.order(trade.order)?;
            let mine = of.ticket.account == call.account && of.ticket.symbol == *symbol;
            mine.then(|| wire::trade(trade, of))
        })
        .collect();
    Ok(call.page(&found, most, from.is_some() || times.start_somewhere()).to_vec().into())
}

/// Answers `GET /sapi/v1/account/apiRestrictions`.
pub(super) fn restrictions(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let key = state.directory.standing(call.account).ok_or_else(Error::key)?.key;
    Ok(json!({
        "ipRestrict": key.bound_to_ip,
        "createTime": 1_698_645_219_000_i64,
        "enableReading": key.read,
        "enableSpotAndMarginTrading": key.trade,
        "enableWithdrawals": key.withdraw,
        "enableInternalTransfer": false,
        "enableMargin": false,
        "enableFutures": false,
        "permitsUniversalTransfer": false,
        "enableVanillaOptions": false,
        "enableFixApiTrade": false,
        "enableFixReadOnly": false,
        "enablePortfolioMarginTrading": false,
    }))
}
