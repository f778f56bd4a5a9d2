//! Trades: the list, one with all its history, an order by hand, and cancelling.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use trade_actors::arrival::Delivery;
use trade_actors::domain::ids::{ClientOrderId, SignalId};
use trade_actors::domain::instrument::Symbol;
use trade_actors::domain::money::{Price, Quantity};
use trade_actors::domain::order::{Order, OrderStatus};
use trade_actors::domain::signal::{Action, DeliveryKey, Instruction, Level, OrderKind, Origin};
use trade_actors::domain::user::UserState;
use trade_actors::engine::Engine;
use trade_actors::execution::Change;
use utoipa::ToSchema;
use warp::http::StatusCode;
use warp::http::header::{HeaderValue, LOCATION};

use super::near::{INVALID_SYMBOL, not_traded};
use super::webhook::said;
use crate::intake::redact;
use crate::keys::random_32;
use crate::web::amount::{amount, trail};
use crate::web::body::Number;
use crate::web::call::{Answer, Call, cursor_text, json, ok};
use crate::web::idempotency::{check_key, reused};
use crate::web::meters::Outcome;
use crate::web::problem::Problem;
use crate::web::wire::{Page, Trade, TradeDetail};

/// Most orders looked at for one page of a filtered list.
const SCANNED: usize = 2_000;

/// Buy or sell.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SideWord {
    Buy,
    Sell,
}

/// How an order executes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TypeWord {
    #[default]
    Market,
    Limit,
    Stop,
    StopLimit,
    TrailingStop,
}

/// An order placed by hand.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTrade {
    /// What to trade.
    #[schema(example = "AAPL")]
    symbol: String,
    side: SideWord,
    /// How much, as a decimal string or number.
    #[schema(value_type = String, example = "10")]
    quantity: Number,
    /// `market` when absent.
    #[serde(default)]
    order_type: TypeWord,
    /// Worst price; for `limit` and `stop_limit`.
    #[schema(value_type = Option<String>)]
    limit_price: Option<Number>,
    /// Price that wakes the order; for `stop` and `stop_limit`.
    #[schema(value_type = Option<String>)]
    stop_price: Option<Number>,
    /// Distance of a trailing stop, in the account's currency.
    #[schema(value_type = Option<String>)]
    trail_amount: Option<Number>,
    /// Distance of a trailing stop, in per cent.
    #[schema(value_type = Option<String>)]
    trail_percent: Option<Number>,
    /// Price at which to leave with a loss.
    #[schema(value_type = Option<String>)]
    stop_loss: Option<Number>,
    /// Price at which to leave with a profit.
    #[schema(value_type = Option<String>)]
    take_profit: Option<Number>,
}

/// Lists trades, newest first.
pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let (limit, mut after) = (call.limit()?, call.cursor()?);
    let status = call.head.query("status").filter(|status| !status.is_empty());
    let symbol = match call.head.query("symbol").filter(|symbol| !symbol.is_empty()) {
        Some(text) => Some(symbol(&text)?),
        None => None,
    };
    let wanted = |order: &Order| {
        status.as_deref().is_none_or(|status| Trade::of(order).status == status)
            && symbol.is_none_or(|symbol| order.ticket.symbol == symbol)
    };
    let views = call.engine()?.views();
    views.settled().await?;
    let user = call.user()?;
    let (mut orders, mut scanned) = (Vec::new(), 0);
    let next = loop {
        let page = views.orders(user, after, limit - orders.len())?;
        scanned += page.items.len();
        orders.extend(page.items.into_iter().filter(wanted));
        if page.next.is_none() || orders.len() >= limit || scanned >= SCANNED {
            break page.next;
        }
        after = page.next;
    };
    let items = orders.iter().map(Trade::of).collect();
    ok(&Page { items, next_cursor: next.map(cursor_text) })
}

/// Shows a trade with its signal, its decision, its attempts, its fills, its stages and its history.
pub(crate) async fn show(call: Call) -> Result<Answer, Problem> {
    let order = own_order(&call).await?;
    let signal = call.engine()?.views().signal(order.ticket.signal)?;
    ok(&TradeDetail::of(&order, signal.as_ref(), call.edge.pushed.get(order.ticket.id)))
}

/// Asks to cancel an order; the outcome arrives by itself.
pub(crate) async fn cancel(call: Call) -> Result<Answer, Problem> {
    let order = own_order(&call).await?;
    if order.status.is_final() {
        let detail = format!("the order is {} already; there is nothing to cancel", Trade::of(&order).status);
        return Err(Problem::new(StatusCode::CONFLICT, "ORDER_CLOSED", detail));
    }
    let (engine, user, id) = (call.engine()?, call.user()?, order.ticket.id);
    engine.cancel(user, id, "cancelled by hand".to_owned()).await?;
    engine.views().settled().await?;
    let order = engine.views().order(id)?.unwrap_or(order);
    json(StatusCode::ACCEPTED, &Trade::of(&order))
}

/// What is changed about a queued order; what is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TradeChange {
    /// How much.
    #[schema(value_type = Option<String>)]
    quantity: Option<Number>,
    /// Worst price, for an order that has one.
    #[schema(value_type = Option<String>)]
    limit_price: Option<Number>,
    /// Price that wakes the order, for one that has it.
    #[schema(value_type = Option<String>)]
    stop_price: Option<Number>,
}

/// Changes an order that waits for its market; it passes the rules again when it goes out.
pub(crate) async fn amend(call: Call) -> Result<Answer, Problem> {
    let change: TradeChange = call.json()?;
    let order = own_order(&call).await?;
    let too_late = || {
        let detail = format!(
            "only a queued order can be changed, and this one is {}; nothing was changed",
            Trade::of(&order).status
        );
        Problem::new(StatusCode::CONFLICT, "ORDER_NOT_QUEUED", detail)
    };
    if order.status != OrderStatus::Queued {
        return Err(too_late());
    }
    let change = change.applied_to(&order)?;
    let (engine, user, id) = (call.engine()?, call.user()?, order.ticket.id);
    if !engine.amend(user, id, change).await? {
        return Err(too_late());
    }
    engine.views().settled().await?;
    let order = engine.views().order(id)?.unwrap_or(order);
    ok(&Trade::of(&order))
}

impl TradeChange {
    fn applied_to(self, order: &Order) -> Result<Change, Problem> {
        let quantity = match self.quantity {
            Some(quantity) => amount("/quantity", quantity, Quantity::new)?,
            None => order.ticket.quantity,
        };
        let (new_limit, new_trigger) =
            (price("/limit_price", self.limit_price)?, price("/stop_price", self.stop_price)?);
        let mut kind = order.ticket.kind;
        match &mut kind {
            OrderKind::Limit { limit } => *limit = new_limit.unwrap_or(*limit),
            OrderKind::Stop { trigger } => *trigger = new_trigger.unwrap_or(*trigger),
            OrderKind::StopLimit { trigger, limit } => {
                *limit = new_limit.unwrap_or(*limit);
                *trigger = new_trigger.unwrap_or(*trigger);
            }
            OrderKind::Market | OrderKind::TrailingStop { .. } | OrderKind::Oco { .. } => {}
        }
        for (pointer, said, taken) in
            [("/limit_price", new_limit, kind.limit()), ("/stop_price", new_trigger, kind.trigger())]
        {
            if said.is_some() && said != taken {
                let name = pointer.trim_start_matches('/');
                let detail = format!("an order of this type has no {name}; nothing was changed");
                return Err(Problem::invalid(pointer, detail));
            }
        }
        Ok(Change { quantity, kind })
    }
}

/// Places an order by hand.
pub(crate) async fn place(call: Call) -> Result<Answer, Problem> {
    let answer = match call.json::<NewTrade>().and_then(|order| order.instruction()) {
        Ok(instruction) => deliver(&call, instruction).await,
        Err(problem) => Err(problem),
    };
    counted(&call, answer)
}

fn counted(call: &Call, answer: Result<Answer, Problem>) -> Result<Answer, Problem> {
    let outcome = match &answer {
        Ok(answer) if answer.status() == StatusCode::OK => Outcome::Duplicate,
        Ok(_) => Outcome::Accepted,
        Err(problem) if problem.status.is_server_error() => Outcome::Unavailable,
        Err(_) => Outcome::Refused,
    };
    call.edge.meters.signal(Origin::Manual, outcome);
    answer
}

/// Takes an order that a person gave, as a signal of their own.
pub(super) async fn deliver(call: &Call, instruction: Instruction) -> Result<Answer, Problem> {
    let engine = call.engine()?;
    let (received_at, received) = (engine.clock().now(), engine.clock().stamp());
    let account = call.account().await?;
    if let Some(places) = engine.untraded(&account, instruction.symbol) {
        let detail = not_traded(instruction.symbol, &places);
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, INVALID_SYMBOL, detail).at("/symbol"));
    }
    let sources = engine.views().sources_of(account.id)?;
    let source = sources.iter().find(|source| source.owner == account.id && source.token_hash.is_none());
    let source = source.ok_or_else(|| {
        let detail = "this account has no source for orders by hand; nothing was done; ask the operator";
        Problem::new(StatusCode::CONFLICT, "NO_SOURCE", detail)
    })?;
    let delivery = Delivery {
        source: source.id,
        owner: account.id,
        origin: Origin::Manual,
        instruction: instruction.clone(),
        key: key(call, &account)?,
        received_at,
        received,
        excerpt: redact(&call.body),
        caller: call.head.caller(),
    };
    let delivered = engine.deliver(delivery).await?;
    engine.views().settled().await?;
    if delivered.duplicate {
        let first = engine.views().signal(delivered.signal)?;
        if first.is_some_and(|first| first.signal.instruction != instruction) {
            return Err(reused());
        }
    }
    let Some(placed) = placed(engine, &account, delivered.signal)? else {
        return Ok(said(delivered));
    };
    let status = if delivered.duplicate { StatusCode::OK } else { StatusCode::CREATED };
    let mut answer = json(status, &Trade::of(&placed))?;
    if let Ok(location) = HeaderValue::try_from(format!("/api/v1/trades/{}", placed.ticket.id)) {
        answer.headers_mut().insert(LOCATION, location);
    }
    Ok(answer)
}

/// Returns the order that a signal became, at whichever of the person's accounts that is.
fn placed(engine: &Engine, account: &UserState, signal: SignalId) -> Result<Option<Order>, Problem> {
    for known in &account.connections {
        let id = ClientOrderId::derive(account.id, known.id, signal, 0);
        if let Some(order) = engine.views().order(id)? {
            return Ok(Some(order));
        }
    }
    Ok(None)
}

/// Returns what recognises a repeat: the caller's key, or, without one, nothing.
fn key(call: &Call, account: &UserState) -> Result<DeliveryKey, Problem> {
    let Some(key) = call.head.header("idempotency-key") else {
        let random = random_32();
        let (half, _) = random.split_at(16);
        return Ok(DeliveryKey::Named(number(half)));
    };
    check_key(key)?;
    let hash = Sha256::new()
        .chain_update(b"trade-executor/manual-order/v1\0")
        .chain_update(account.id.uuid().as_bytes())
        .chain_update(key.as_bytes())
        .finalize();
    Ok(DeliveryKey::Named(number(&hash)))
}

fn number(bytes: &[u8]) -> u128 {
    bytes.iter().take(16).fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

async fn own_order(call: &Call) -> Result<Order, Problem> {
    let id: ClientOrderId = call.id()?;
    let views = call.engine()?.views();
    views.settled().await?;
    let user = call.user()?;
    views.order(id)?.filter(|order| order.ticket.user == user).ok_or_else(Problem::not_found)
}

fn symbol(text: &str) -> Result<Symbol, Problem> {
    text.parse()
        .map_err(|why| Problem::invalid("/symbol", format!("symbol {why}; write it like AAPL or BTC/USDT")))
}

impl NewTrade {
    fn instruction(&self) -> Result<Instruction, Problem> {
        Ok(Instruction {
            action: match self.side {
                SideWord::Buy => Action::Buy,
                SideWord::Sell => Action::Sell,
            },
            symbol: symbol(&self.symbol)?,
            quantity: Some(amount("/quantity", self.quantity, Quantity::new)?),
            kind: self.kind()?,
            reference: None,
            stop_loss: price("/stop_loss", self.stop_loss)?.map(Level::At),
            take_profits: price("/take_profit", self.take_profit)?.map(Level::At).into_iter().collect(),
            account: None,
            via: None,
            leverage: None,
        })
    }

    fn kind(&self) -> Result<OrderKind, Problem> {
        use TypeWord as T;
        let limit = price("/limit_price", self.limit_price)?;
        let trigger = price("/stop_price", self.stop_price)?;
        let trail = trail(self.trail_amount, self.trail_percent)?;
        let unused = |pointer: &str, present: bool, takes: bool| {
            let detail =
                format!("an order of this type takes no {}; leave it out", pointer.trim_start_matches('/'));
            if present && !takes { Err(Problem::invalid(pointer, detail)) } else { Ok(()) }
        };
        unused("/limit_price", limit.is_some(), matches!(self.order_type, T::Limit | T::StopLimit))?;
        unused("/stop_price", trigger.is_some(), matches!(self.order_type, T::Stop | T::StopLimit))?;
        unused("/trail_amount", trail.is_some(), self.order_type == T::TrailingStop)?;
        let need = |pointer: &'static str| {
            let detail = format!("an order of this type needs {}", pointer.trim_start_matches('/'));
            move || Problem::invalid(pointer, detail)
        };
        Ok(match self.order_type {
            T::Market => OrderKind::Market,
            T::Limit => OrderKind::Limit { limit: limit.ok_or_else(need("/limit_price"))? },
            T::Stop => OrderKind::Stop { trigger: trigger.ok_or_else(need("/stop_price"))? },
            T::StopLimit => OrderKind::StopLimit {
                trigger: trigger.ok_or_else(need("/stop_price"))?,
                limit: limit.ok_or_else(need("/limit_price"))?,
            },
            T::TrailingStop => OrderKind::TrailingStop { trail: trail.ok_or_else(need("/trail_percent"))? },
        })
    }
}

fn price(pointer: &str, number: Option<Number>) -> Result<Option<Price>, Problem> {
    number.map(|number| amount(pointer, number, Price::new)).transpose()
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;
    use trade_actors::domain::money::Percent;
    use trade_actors::domain::signal::Trail;

    use super::*;

    fn read(body: &str) -> Result<Instruction, Problem> {
        let order: NewTrade = serde_json::from_str(body).unwrap();
        order.instruction()
    }

    fn fault(body: &str) -> String {
        read(body).unwrap_err().errors.remove(0).pointer
    }

    #[test]
    fn an_order_says_what_its_type_needs() {
        let market = read(r#"{"symbol":"aapl","side":"buy","quantity":"10"}"#).unwrap();
        assert_eq!((market.symbol.as_str(), market.kind), ("AAPL", OrderKind::Market));
        let limit = read(
            r#"{"symbol":"AAPL","side":"sell","quantity":1,"order_type":"limit","limit_price":"175.5"}"#,
        );
        assert_eq!(limit.unwrap().kind.limit().unwrap().to_string(), "175.5");
        let trail = read(
            r#"{"symbol":"AAPL","side":"sell","quantity":1,"order_type":"trailing_stop","trail_percent":"2"}"#,
        );
        let percent = Percent::new(Decimal::TWO);
        assert_eq!(trail.unwrap().kind, OrderKind::TrailingStop { trail: Trail::Percent(percent) });
        let guarded =
            read(r#"{"symbol":"AAPL","side":"buy","quantity":1,"stop_loss":"170","take_profit":190}"#)
                .unwrap();
        assert!(guarded.stop_loss.is_some() && guarded.take_profits.len() == 1);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_field() {
        let with = |rest: &str| fault(&format!(r#"{{"symbol":"AAPL","side":"buy","quantity":"1",{rest}}}"#));
        assert_eq!(with(r#""order_type":"limit""#), "/limit_price");
        assert_eq!(with(r#""limit_price":"175""#), "/limit_price");
        assert_eq!(with(r#""order_type":"stop_limit","limit_price":1"#), "/stop_price");
        assert_eq!(with(r#""order_type":"trailing_stop""#), "/trail_percent");
        assert_eq!(
            with(r#""order_type":"trailing_stop","trail_amount":1,"trail_percent":1"#),
            "/trail_percent"
        );
        assert_eq!(with(r#""stop_loss":"0""#), "/stop_loss");
        assert_eq!(fault(r#"{"symbol":"AAPL","side":"buy","quantity":"-1"}"#), "/quantity");
        assert_eq!(fault(r#"{"symbol":"A A","side":"buy","quantity":"1"}"#), "/symbol");
    }
}
