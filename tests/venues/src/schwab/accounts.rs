//! Accounts over HTTP: balances and positions.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::desk::{Desk, account_number};
use super::errors::Error;
use super::rest::Call;
use super::show::View;
use super::wire::double;
use crate::account::Holding;
use crate::http::Answer;
use crate::world::State;

/// Answers `GET /accounts`.
pub(super) fn list(state: &State, desk: &Desk, call: &Call<'_>) -> Result<Answer, Error> {
    let positions = call.wants_positions()?;
    let view = View { state, desk, ids: call.ids };
    let all = call.login.accounts.iter().map(|name| shown(view, name, positions));
    Ok(Answer::json(200, &all.collect::<Result<Vec<_>, _>>()?))
}

/// Answers `GET /accounts/{hash}`.
pub(super) fn one(state: &State, desk: &Desk, call: &Call<'_>, hash: &str) -> Result<Answer, Error> {
    let name = call.account(hash)?;
    let view = View { state, desk, ids: call.ids };
    Ok(Answer::json(200, &shown(view, name, call.wants_positions()?)?))
}

fn shown(view: View<'_>, name: &str, with_positions: bool) -> Result<Value, Error> {
    let book = &view.state.book;
    let owned = book.account(name).ok_or_else(|| Error::not_found("Account not found"))?;
    let standing = view.state.directory.standing(name).ok_or_else(Error::unauthorized)?;
    let (long, short) = owned.market_values(book.feed());
    let equity = owned.equity(book.feed());
    let power = book.buying_power(name);
    let free = power.checked_div(owned.multiplier).unwrap_or_default();
    let margin = owned.multiplier > Decimal::ONE;
    let balances = if margin {
        json!({
            "cashBalance": double(owned.cash),
            "liquidationValue": double(equity),
            "availableFunds": double(free),
            "buyingPower": double(power),
            "equity": double(equity),
            "longMarketValue": double(long),
            "shortMarketValue": double(short),
        })
    } else {
        json!({
            "cashBalance": double(owned.cash),
            "liquidationValue": double(equity),
            "cashAvailableForTrading": double(power),
            "totalCash": double(owned.cash),
            "unsettledCash": 0.0,
            "longMarketValue": double(long),
        })
    };
    let projected = if margin {
        // The specification says number.
        json!({"availableFunds": double(free), "buyingPower": double(power), "isInCall": false})
    } else {
        json!({"cashAvailableForTrading": double(power)})
    };
    let mut account = json!({
        "type": if margin { "MARGIN" } else { "CASH" },
        "accountNumber": account_number(name).to_string(),
        "roundTrips": 0,
        "isDayTrader": false,
        "isClosingOnlyRestricted": !standing.may_trade(),
        "pfcbFlag": false,
        "initialBalances": {"cashBalance": double(owned.cash), "accountValue": double(equity)},
        "currentBalances": balances,
        "projectedBalances": projected,
    });
    let holdings = owned.holdings.iter();
    let positions: Vec<Value> = holdings.map(|(symbol, holding)| position(view, symbol, holding)).collect();
    if let (true, false, Some(fields)) = (with_positions, positions.is_empty(), account.as_object_mut()) {
        fields.insert("positions".to_owned(), positions.into());
    }
    let aggregated = json!({"currentLiquidationValue": double(equity), "liquidationValue": double(equity)});
    Ok(json!({"securitiesAccount": account, "aggregatedBalance": aggregated}))
}

fn position(view: View<'_>, symbol: &str, holding: &Holding) -> Value {
    let quote = view.state.book.feed().quote(symbol);
    let value = quote.map_or(holding.cost, |quote| quote.last * holding.qty);
    let gain = double(value - holding.cost);
    let short = holding.qty < Decimal::ZERO;
    let qty = double(holding.qty.abs());
    let (long_qty, short_qty) = if short { (json!(0.0), qty) } else { (qty, json!(0.0)) };
    let side = if short { "Short" } else { "Long" };
    let average = double(holding.average().round_dp(6));
    let mut shown = json!({
        "shortQuantity": short_qty,
        "longQuantity": long_qty,
        "averagePrice": average,
        "marketValue": double(value),
        "currentDayProfitLoss": gain,
        "instrument": view.instrument(symbol),
    });
    if let Some(fields) = shown.as_object_mut() {
        let settled = if short { short_qty } else { long_qty };
        fields.insert(format!("settled{side}Quantity"), settled);
        fields.insert(format!("average{side}Price"), average);
        fields.insert(format!("{}OpenProfitLoss", side.to_lowercase()), gain);
    }
    shown
}
