//! The administration: what tests do to a venue in another process, as JSON over HTTP below `/admin`.
//!
//! Every call is one of [`World`]'s. What it refuses is answered with 400 or 404 and `{"error": ".."}`. Fields a body
//! does not know are refused. Amounts are strings or numbers. Orders go by the number that `GET /admin/orders` shows.
//!
//! | `POST` | body |
//! |---|---|
//! | `/accounts` | `{"key_id":"K","secret":"S","cash":"100000","name":"a","token":"T","multiplier":"2","standing":{"trading_blocked":true}}` |
//! | `/accounts` | `{"key_id":"K","secret":"S","kind":"spot","settlement":"USDT","cash":"1000","holdings":{"BTC/USDT":"0.5"}}` |
//! | `/accounts/{name}` | `{"revoked":true}`, or `secret`, `token`, `status`, `*_blocked`, `trade_suspended_by_user`, `shorting_enabled`, `multiplier`, `key` (`{"read":true,"trade":true,"withdraw":false}`) |
//! | `/accounts/{name}/deposits` | `{"amount":"-50.5"}` |
//! | `/accounts/{name}/trades` | `{"symbol":"AAPL","side":"sell","qty":"2","price":"190.25"}` |
//! | `/instruments` | `{"symbol":"OLD","active":false}`, or `tradable`, `fractionable`, `shortable`, `name`, `increments` (`{"price_tick":"0.01","qty_step":"0.00001","qty_min":"0.0001","qty_max":"9000","notional_min":"5"}`) |
//! | `/prices` | `{"symbol":"AAPL","bid":"190.50","ask":"190.52","last":"190.51"}` |
//! | `/fills` | `{"fill":{"mode":"parts","parts":3,"every_ms":50},"symbol":"AAPL","cancel_takes_ms":20}`; modes `at_once`, `manual` too |
//! | `/halts` | `{"symbol":"AAPL","halted":true}` |
//! | `/clock` | `{"now":"2024-06-06T13:30:00Z","hours":{"mode":"nyse"}}`, or `offset_ms`; modes `always_open`, `closed` too |
//! | `/limits` | `{"per_minute":200}`; null is no limit |
//! | `/limits` | `{"pool":"orders","bounds":[{"count":"window","seconds":10,"most":50},{"count":"leak","most":"20","per_second":"0.5"}]}`: the pools are the venue's, `requests` the one of `per_minute` |
//! | `/orders/{number}/fill` | `{"qty":"2","price":"190.5"}` |
//! | `/orders/{number}/end` | `{"status":"rejected"}`, or `canceled`, `expired` |
//! | `/oauth/clients` | `{"client_id":"app","client_secret":"hush"}` |
//! | `/settings` | `{"list_lag_ms":500}`: what the venue has of its own; `GET` shows them |
//! | `/faults` | `[{"on":"POST /v2/orders","skip":1,"times":2,"action":{"do":"reset","when":"after"}}]`: see [`Rule`] |
//! | `/faults/streams` | `{"account":"a","channel":"orders","duplicate":true,"window":3,"hold_ms":500,"delay_ms":20,"swallow":1}` |
//! | `/streams/drop` | `{"account":"a"}`; `{}` is all |
//! | `/streams/refuse` | `{"for_ms":1000}` |
//!
//! `DELETE /faults` ends all faults. `GET` shows `/journal?since=N`, `/orders?account=`, `/positions?account=`, `/faults`,
//! `/streams?account=`, `/rates?account=` (or whoever else is counted), `/limits`, `/clock` and `/seed`.

use chrono::{DateTime, TimeDelta, Utc};
use hyper::Method;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::account::{AccountChange, AccountSpec};
use crate::book::{FillMode, OrderId, Status};
use crate::clock::Hours;
use crate::faults::Rule;
use crate::feed::Price;
use crate::http::{Answer, Request};
use crate::limits::Bound;
use crate::streams::{Channel, StreamFaults};
use crate::world::{Instrument, OutsideTrade, World, WorldError, truth};

/// What is refused, and with which status.
struct Refused(u16, String);

impl From<WorldError> for Refused {
    fn from(error: WorldError) -> Self {
        let status = match error {
            WorldError::Unknown(_) => 404,
            WorldError::Refused(_) => 400,
        };
        Self(status, error.to_string())
    }
}

type Answered = Result<Value, Refused>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deposit {
    amount: Decimal,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OauthClient {
    client_id: String,
    client_secret: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filling {
    #[serde(default)]
    symbol: Option<String>,
    fill: FillMode,
    #[serde(default)]
    cancel_takes_ms: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Halt {
    symbol: String,
    halted: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clock {
    #[serde(default)]
    now: Option<DateTime<Utc>>,
    #[serde(default)]
    offset_ms: Option<i64>,
    #[serde(default)]
    hours: Option<Hours>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(default)]
    qty: Option<Decimal>,
    price: Decimal,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    status: Status,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Drop {
    #[serde(default)]
    account: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refuse {
    for_ms: u32,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Limit {
    Pool(PoolLimit),
    PerMinute(PerMinute),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolLimit {
    pool: String,
    bounds: Vec<Bound>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PerMinute {
    per_minute: Option<u32>,
}

/// Answers a request to the administration.
#[must_use]
pub fn answer(world: &World, request: &Request) -> Answer {
    let answered = match request.method {
        Method::GET => look(world, request),
        Method::POST => change(world, request),
        Method::DELETE => match request.path.as_str() {
            "/admin/faults" => {
                world.clear_faults();
                Ok(json!({}))
            }
            _ => nowhere(),
        },
        _ => nowhere(),
    };
    match answered {
        Ok(body) => Answer::json(200, &body),
        Err(Refused(status, error)) => Answer::json(status, &json!({"error": error})),
    }
}

fn nowhere() -> Answered {
    Err(Refused(404, "there is nothing here".to_owned()))
}

fn read<T: DeserializeOwned>(request: &Request) -> Result<T, Refused> {
    request.json().map_err(|error| Refused(400, error.to_string()))
}

fn look(world: &World, request: &Request) -> Answered {
    let account = request.param("account");
    match request.segments().as_slice() {
        ["admin", "journal"] => {
            let since = request.param("since").unwrap_or_default();
            let since = if since.is_empty() { Ok(0) } else { since.parse() };
            let since = since.map_err(|_| Refused(400, "since is no number".to_owned()))?;
            Ok(json!(world.journal(since)))
        }
        ["admin", "orders"] => {
            Ok(world.orders(account.as_deref()).iter().map(truth).collect::<Vec<_>>().into())
        }
        ["admin", "positions"] => Ok(positions(world, account.as_deref())),
        ["admin", "faults"] => {
            let streams = world.look(|state| state.hub.faults().clone());
            Ok(json!({"requests": world.faults(), "streams": streams}))
        }
        ["admin", "streams"] => {
            let count = |channel| world.listening(account.as_deref(), channel);
            Ok(json!({"orders": count(Channel::Orders), "prices": count(Channel::Prices)}))
        }
        ["admin", "rates"] => {
            Ok(json!(world.rate(&account.ok_or_else(|| Refused(400, "of which account?".to_owned()))?)))
        }
        ["admin", "clock"] => Ok(world.look(|state| {
            let now = state.clock.now();
            json!({"now": now, "hours": state.clock.hours, "session": state.clock.session(now)})
        })),
        ["admin", "settings"] => Ok(world.look(|state| json!(state.settings.all()))),
        ["admin", "limits"] => Ok(world.look(|state| json!(state.limits.pools()))),
        ["admin", "seed"] => Ok(json!({"seed": world.seed()})),
        _ => nowhere(),
    }
}

fn positions(world: &World, only: Option<&str>) -> Value {
    world.look(|state| {
        let accounts = state.book.accounts().filter(|(name, _)| only.is_none_or(|only| only == *name));
        let shown = accounts.map(|(name, account)| {
            let holdings: Vec<Value> = account
                .holdings
                .iter()
                .map(|(symbol, holding)| {
                    let held = state.book.held(name, symbol).0;
                    json!({"symbol": symbol, "qty": holding.qty, "avg_entry_price": holding.average(), "held": held})
                })
                .collect();
            let buying_power = state.book.buying_power(name);
            let mut shown = json!({
                "account": name, "cash": account.cash, "buying_power": buying_power, "positions": holdings,
            });
            if let Some(shown) = shown.as_object_mut().filter(|_| account.is_spot()) {
                shown.insert("balances".to_owned(), json!(state.book.balances(name)));
            }
            shown
        });
        shown.collect::<Vec<_>>().into()
    })
}

fn change(world: &World, request: &Request) -> Answered {
    match request.segments().as_slice() {
        ["admin", "accounts"] => world.add_account(read::<AccountSpec>(request)?),
        ["admin", "accounts", name] => world.change_account(name, &read::<AccountChange>(request)?)?,
        ["admin", "accounts", name, "deposits"] => world.deposit(name, read::<Deposit>(request)?.amount)?,
        ["admin", "accounts", name, "trades"] => {
            world.trade_outside(name, &read::<OutsideTrade>(request)?)?;
        }
        ["admin", "oauth", "clients"] => {
            let OauthClient { client_id, client_secret } = read(request)?;
            world.add_oauth_client(&client_id, &client_secret);
        }
        ["admin", "settings"] => {
            for (name, value) in read::<serde_json::Map<String, Value>>(request)? {
                world.set_setting(&name, value)?;
            }
        }
        ["admin", "instruments"] => world.list(read::<Instrument>(request)?),
        ["admin", "prices"] => {
            let price: Price = read(request)?;
            let quote = world.set_price(&price);
            return Ok(json!(quote.ok_or_else(|| Refused(400, "no price".to_owned()))?));
        }
        ["admin", "fills"] => {
            let Filling { symbol, fill, cancel_takes_ms } = read(request)?;
            world.set_fill_mode(symbol.as_deref(), fill);
            if let Some(ms) = cancel_takes_ms {
                world.set_cancel_takes(ms);
            }
        }
        ["admin", "halts"] => {
            let Halt { symbol, halted } = read(request)?;
            world.set_halted(&symbol, halted);
        }
        ["admin", "clock"] => set_clock(world, &read(request)?),
        ["admin", "limits"] => match read(request)? {
            Limit::Pool(PoolLimit { pool, bounds }) => world.set_limit(&pool, bounds),
            Limit::PerMinute(PerMinute { per_minute }) => world.set_rate_limit(per_minute),
        },
        ["admin", "orders", id, "fill"] => {
            let Part { qty, price } = read(request)?;
            world.fill(order_id(id)?, qty, price)?;
        }
        ["admin", "orders", id, "end"] => world.end(order_id(id)?, read::<End>(request)?.status)?,
        ["admin", "faults"] => return add_faults(world, request),
        ["admin", "faults", "streams"] => world.set_stream_faults(read::<StreamFaults>(request)?),
        ["admin", "streams", "drop"] => {
            let dropped = world.drop_streams(read::<Drop>(request)?.account.as_deref());
            return Ok(json!({"dropped": dropped}));
        }
        ["admin", "streams", "refuse"] => world.refuse_streams(read::<Refuse>(request)?.for_ms),
        _ => return nowhere(),
    }
    Ok(json!({}))
}

fn order_id(text: &str) -> Result<OrderId, Refused> {
    text.parse()
        .map(OrderId)
        .map_err(|_| Refused(400, "an order's number, as /admin/orders shows it".to_owned()))
}

fn set_clock(world: &World, clock: &Clock) {
    if let Some(ms) = clock.offset_ms {
        world.set_clock_offset(TimeDelta::milliseconds(ms));
    }
    if let Some(now) = clock.now {
        world.set_now(now);
    }
    if let Some(hours) = clock.hours {
        world.set_hours(hours);
    }
}

fn add_faults(world: &World, request: &Request) -> Answered {
    let rules: Vec<Rule> = read(request)?;
    for rule in rules {
        world.add_fault(rule);
    }
    Ok(json!({"requests": world.faults()}))
}
