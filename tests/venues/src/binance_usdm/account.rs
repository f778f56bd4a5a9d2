//! What an account has, how it is set up, and what its key may do.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{DUAL, MULTI, alias, wire};
use crate::account::{Account, Holding};
use crate::binance::calls::Call;
use crate::binance::checks;
use crate::binance::errors::Error;
use crate::binance::wire::{amount, time};
use crate::world::State;

/// A wallet as Binance counts it.
struct Wallet {
    /// What was paid in, with what was made and paid out of it.
    balance: Decimal,
    /// What the positions would bring beyond that.
    profit: Decimal,
    /// What the positions take as margin.
    invested: Decimal,
    /// What the orders take as margin.
    ordered: Decimal,
}

impl Wallet {
    fn of(state: &State, name: &str, account: &Account) -> Self {
        let cost: Decimal = account.holdings.values().map(|holding| holding.cost).sum();
        let (long, short) = account.market_values(state.book.feed());
        let left = account.investable(state.book.feed()) - state.book.buying_power(name);
        Self {
            balance: account.cash + cost,
            profit: long + short - cost,
            invested: (long - short) / account.multiplier,
            ordered: left.max(Decimal::ZERO) / account.multiplier,
        }
    }

    fn available(&self) -> Decimal {
        (self.balance + self.profit - self.invested - self.ordered).max(Decimal::ZERO)
    }

    fn fields(&self) -> Value {
        json!({
            "walletBalance": amount(self.balance),
            "unrealizedProfit": amount(self.profit),
            "marginBalance": amount(self.balance + self.profit),
            "maintMargin": amount(self.invested / Decimal::TWO),
            "initialMargin": amount(self.invested + self.ordered),
            "positionInitialMargin": amount(self.invested),
            "openOrderInitialMargin": amount(self.ordered),
            "crossWalletBalance": amount(self.balance),
            "crossUnPnl": amount(self.profit),
            "availableBalance": amount(self.available()),
            "maxWithdrawAmount": amount(self.available().min(self.balance)),
        })
    }
}

fn of<'a>(state: &'a State, call: Call<'_>) -> Result<&'a Account, Error> {
    state.book.account(call.account).ok_or_else(Error::key)
}

/// Answers `GET /fapi/v3/account`.
pub(super) fn account(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let account = of(state, call)?;
    let wallet = Wallet::of(state, call.account, account);
    let mut asset = wallet.fields();
    let total = |name: &str| asset.get(name).cloned().unwrap_or_default();
    let mut shown = json!({
        "totalInitialMargin": total("initialMargin"), "totalMaintMargin": total("maintMargin"),
        "totalWalletBalance": total("walletBalance"), "totalUnrealizedProfit": total("unrealizedProfit"),
        "totalMarginBalance": total("marginBalance"),
        "totalPositionInitialMargin": total("positionInitialMargin"),
        "totalOpenOrderInitialMargin": total("openOrderInitialMargin"),
        "totalCrossWalletBalance": total("crossWalletBalance"), "totalCrossUnPnl": total("crossUnPnl"),
        "availableBalance": total("availableBalance"), "maxWithdrawAmount": total("maxWithdrawAmount"),
    });
    if let Some(fields) = asset.as_object_mut() {
        fields.insert("asset".to_owned(), json!(account.settlement));
        fields.insert("updateTime".to_owned(), json!(time(call.now)));
    }
    let positions = account.holdings.iter().map(|(symbol, holding)| {
        let held = wire::Held::of(state, account, symbol, *holding);
        json!({
            "symbol": held.symbol, "positionSide": held.side, "positionAmt": holding.qty.normalize().to_string(),
            "unrealizedProfit": amount(held.profit), "isolatedMargin": "0", "notional": amount(held.notional),
            "isolatedWallet": "0", "initialMargin": amount(held.margin), "maintMargin": amount(held.margin / Decimal::TWO),
            "updateTime": time(call.now),
        })
    });
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("positions".to_owned(), positions.collect());
        fields.insert("assets".to_owned(), json!([asset]));
    }
    Ok(shown)
}

/// Answers `GET /fapi/v3/balance`.
pub(super) fn balance(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let account = of(state, call)?;
    let wallet = Wallet::of(state, call.account, account);
    Ok(json!([{
        "accountAlias": alias(call.account), "asset": account.settlement, "balance": amount(wallet.balance),
        "crossWalletBalance": amount(wallet.balance), "crossUnPnl": amount(wallet.profit),
        "availableBalance": amount(wallet.available()), "maxWithdrawAmount": amount(wallet.available()),
        "marginAvailable": true, "updateTime": time(call.now),
    }]))
}

/// Answers `GET /fapi/v3/positionRisk`: what is held.
pub(super) fn risk(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    risks(state, call, false)
}

/// Answers `GET /fapi/v2/positionRisk`: all there is, held or not.
pub(super) fn risk_of_all(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    risks(state, call, true)
}

fn risks(state: &State, call: Call<'_>, all: bool) -> Result<Value, Error> {
    let account = of(state, call)?;
    let only = match call.params.raw("symbol") {
        Some(_) => Some(checks::instrument(state, call.params)?.symbol.clone()),
        None => None,
    };
    let listed = state.instruments.keys().filter(|symbol| only.as_ref().is_none_or(|only| only == *symbol));
    let held = listed.filter_map(|symbol| {
        let holding = account.holdings.get(symbol).copied();
        Some((symbol, holding.or_else(|| all.then(Holding::default))?))
    });
    let shown = held.map(|(symbol, holding)| {
        let held = wire::Held::of(state, account, symbol, holding);
        let mut shown = json!({
            "symbol": held.symbol, "positionSide": held.side, "positionAmt": holding.qty.normalize().to_string(),
            "entryPrice": holding.average().to_string(), "breakEvenPrice": holding.average().to_string(),
            "markPrice": amount(held.mark), "unRealizedProfit": amount(held.profit), "liquidationPrice": "0",
            "isolatedMargin": "0", "notional": amount(held.notional), "isolatedWallet": "0", "updateTime": time(call.now),
        });
        let more = if all {
            json!({"leverage": account.multiplier.normalize().to_string(), "marginType": "cross",
                "maxNotionalValue": "1000000000", "isAutoAddMargin": "false"})
        } else {
            json!({"marginAsset": account.settlement, "initialMargin": amount(held.margin),
                "maintMargin": amount(held.margin / Decimal::TWO), "positionInitialMargin": amount(held.margin),
                "openOrderInitialMargin": "0", "adl": 2, "bidNotional": "0", "askNotional": "0"})
        };
        if let (Some(shown), Value::Object(more)) = (shown.as_object_mut(), more) {
            shown.extend(more);
        }
        shown
    });
    Ok(shown.collect())
}

/// Answers `GET /fapi/v1/accountConfig`.
pub(super) fn config(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let standing = state.directory.standing(call.account).ok_or_else(Error::key)?;
    Ok(json!({
        "feeTier": 0, "canTrade": standing.may_trade(), "canDeposit": true, "canWithdraw": true,
        "dualSidePosition": state.settings.number(DUAL) == 1, "updateTime": time(call.now),
        "multiAssetsMargin": state.settings.number(MULTI) == 1, "tradeGroupId": -1,
    }))
}

/// Answers `GET /fapi/v1/symbolConfig`.
pub(super) fn symbols(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let account = of(state, call)?;
    let leverage = account.multiplier.trunc().normalize().to_string().parse::<i64>().unwrap_or(1);
    let listed = state.instruments.keys().map(|symbol| {
        json!({
            "symbol": crate::binance::wire::symbol(symbol), "marginType": "CROSSED", "isAutoAddMargin": false,
            "leverage": leverage, "maxNotionalValue": "1000000000",
        })
    });
    Ok(listed.collect())
}

/// Answers `GET /fapi/v1/positionSide/dual`.
pub(super) fn dual(state: &mut State, _: Call<'_>) -> Result<Value, Error> {
    Ok(json!({"dualSidePosition": state.settings.number(DUAL) == 1}))
}

/// Answers `GET /fapi/v1/multiAssetsMargin`.
pub(super) fn multi(state: &mut State, _: Call<'_>) -> Result<Value, Error> {
    Ok(json!({"multiAssetsMargin": state.settings.number(MULTI) == 1}))
}

/// Answers `GET /sapi/v1/account/apiRestrictions`. A key that may trade may trade futures, and nothing else.
pub(super) fn restrictions(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let key = state.directory.standing(call.account).ok_or_else(Error::key)?.key;
    Ok(json!({
        "ipRestrict": key.bound_to_ip, "createTime": 1_698_645_219_000_i64, "enableReading": key.read,
        "enableSpotAndMarginTrading": false, "enableWithdrawals": key.withdraw, "enableInternalTransfer": false,
        "enableMargin": false, "enableFutures": key.trade, "permitsUniversalTransfer": false,
        "enableVanillaOptions": false, "enableFixApiTrade": false, "enableFixReadOnly": false,
        "enablePortfolioMarginTrading": false,
    }))
}
