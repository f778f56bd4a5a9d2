//! Every call there is.

use hyper::Method;
use serde_json::Value;

use super::{account, algo, checks, market, orders, wire};
use crate::binance::calls::{Call, Security};
use crate::binance::errors::Error;
use crate::binance::market as spot;
use crate::binance::params::Params;
use crate::binance::wire::{ORDERS, WEIGHT};
use crate::faults::Facts;
use crate::limits::Meter;
use crate::world::State;

/// A call there is.
#[derive(Debug)]
pub(super) struct Endpoint {
    method: Method,
    path: &'static str,
    pub(super) security: Security,
    names: &'static [&'static str],
    weight: fn(&Params) -> u32,
    orders: u32,
    answer: fn(&mut State, Call<'_>) -> Result<Value, Error>,
}

fn weighs<const WEIGHT: u32>(_: &Params) -> u32 {
    WEIGHT
}

/// Returns what it weighs to ask for one symbol, or for all.
fn by_symbol<const ONE: u32, const ALL: u32>(params: &Params) -> u32 {
    if params.raw("symbol").is_some() { ONE } else { ALL }
}

const ONE_ORDER: &[&str] = &["symbol", "orderId", "origClientOrderId"];
const ONE_ALGO: &[&str] = &["symbol", "algoId", "clientAlgoId"];
const PAGES: &[&str] = &["symbol", "orderId", "startTime", "endTime", "fromId", "limit"];

use Security::{Look, Open, Trade};

static ENDPOINTS: [Endpoint; 26] = [
    get("/fapi/v1/ping", Open, &[], weighs::<1>, spot::ping),
    get("/fapi/v1/time", Open, &[], weighs::<1>, spot::time),
    get("/fapi/v1/exchangeInfo", Open, &[], weighs::<1>, market::exchange_info),
    get("/fapi/v1/ticker/bookTicker", Open, &["symbol"], by_symbol::<2, 5>, market::book_ticker),
    get("/fapi/v1/leverageBracket", Look, &["symbol"], weighs::<1>, market::brackets),
    post("/fapi/v1/order", &checks::NAMES, orders::place),
    get("/fapi/v1/order", Look, ONE_ORDER, weighs::<1>, orders::one),
    delete("/fapi/v1/order", ONE_ORDER, orders::cancel),
    delete("/fapi/v1/allOpenOrders", &["symbol"], orders::cancel_all),
    get("/fapi/v1/openOrders", Look, &["symbol"], by_symbol::<1, 40>, orders::open),
    get("/fapi/v1/allOrders", Look, PAGES, weighs::<5>, orders::all),
    get("/fapi/v1/userTrades", Look, PAGES, weighs::<5>, orders::trades),
    post("/fapi/v1/algoOrder", &checks::ALGO_NAMES, algo::place),
    get("/fapi/v1/algoOrder", Look, ONE_ALGO, weighs::<1>, algo::one),
    delete("/fapi/v1/algoOrder", ONE_ALGO, algo::cancel),
    get("/fapi/v1/openAlgoOrders", Look, &["symbol"], by_symbol::<1, 40>, algo::open),
    get("/fapi/v3/account", Look, &[], weighs::<5>, account::account),
    get("/fapi/v3/balance", Look, &[], weighs::<5>, account::balance),
    get("/fapi/v2/balance", Look, &[], weighs::<5>, account::balance),
    get("/fapi/v3/positionRisk", Look, &["symbol"], weighs::<5>, account::risk),
    get("/fapi/v2/positionRisk", Look, &["symbol"], weighs::<5>, account::risk_of_all),
    get("/fapi/v1/accountConfig", Look, &[], weighs::<5>, account::config),
    get("/fapi/v1/symbolConfig", Look, &["symbol"], weighs::<5>, account::symbols),
    get("/fapi/v1/positionSide/dual", Look, &[], weighs::<30>, account::dual),
    get("/fapi/v1/multiAssetsMargin", Look, &[], weighs::<30>, account::multi),
    get("/sapi/v1/account/apiRestrictions", Look, &[], weighs::<1>, account::restrictions),
];

type Answered = fn(&mut State, Call<'_>) -> Result<Value, Error>;
type Weight = fn(&Params) -> u32;

const fn get(
    path: &'static str,
    security: Security,
    names: &'static [&'static str],
    weight: Weight,
    answer: Answered,
) -> Endpoint {
    Endpoint { method: Method::GET, path, security, names, weight, orders: 0, answer }
}

const fn post(path: &'static str, names: &'static [&'static str], answer: Answered) -> Endpoint {
    Endpoint { method: Method::POST, path, security: Trade, names, weight: weighs::<0>, orders: 1, answer }
}

const fn delete(path: &'static str, names: &'static [&'static str], answer: Answered) -> Endpoint {
    Endpoint { method: Method::DELETE, path, security: Trade, names, weight: weighs::<1>, orders: 0, answer }
}

/// Returns the call of a method and a path.
pub(super) fn at(method: &Method, path: &str) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|call| call.method == *method && call.path == path)
}

/// Returns whether anything is at a path.
pub(super) fn is_known(path: &str) -> bool {
    ENDPOINTS.iter().any(|call| call.path == path)
}

impl Endpoint {
    /// Returns where it is counted.
    pub(super) fn meters(&self, peer: &str, account: Option<&str>, params: &Params) -> Vec<Meter> {
        let mut meters = vec![Meter::weighing(WEIGHT, peer, (self.weight)(params))];
        if let Some(account) = account {
            // What is not an order is counted all the same: how often an account asked.
            let pool = if self.orders > 0 { ORDERS } else { "account" };
            meters.push(Meter::weighing(pool, account, self.orders.max(1)));
        }
        meters
    }

    /// Answers it, if its parameters are known.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub(super) fn run(&self, state: &mut State, call: Call<'_>) -> Result<Value, Error> {
        call.params.only(self.names)?;
        (self.answer)(state, call)
    }
}

/// Returns what a call is about, for the rules of what goes wrong.
pub(super) fn facts(state: &State, route: String, account: Option<String>, params: &Params) -> Facts {
    let names = ["origClientOrderId", "newClientOrderId", "clientAlgoId"];
    let named = names.iter().find_map(|name| params.raw(name)).map(str::to_owned);
    let number = |name: &str| params.raw(name).and_then(|number| number.parse().ok());
    let by_id = number("orderId").or_else(|| number("algoId").and_then(wire::of_algo));
    let by_id = by_id.and_then(|number| state.book.order(crate::book::OrderId(number)));
    let symbol = params.raw("symbol").map(|symbol| {
        let listed = crate::binance::checks::find(state, symbol);
        listed.map_or_else(|| symbol.to_owned(), |listed| listed.symbol.clone())
    });
    Facts {
        route,
        account,
        meters: Vec::new(),
        client_order_id: named.or_else(|| by_id.map(|order| order.client_order_id.clone())),
        symbol,
    }
}
