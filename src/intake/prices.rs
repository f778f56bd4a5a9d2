//! The order type and the prices that go with it: which price is a limit, which a trigger, which only a
//! reference.

use trade_actors::domain::money::{Percent, Price};
use trade_actors::domain::signal::{OrderKind, Trail};

use super::fields::Fields;
use super::number;
use super::refusal::{Refusal, RefusalCode};
use super::slots::Slot;
use super::words::{self, KindWord};

/// Words in a field named `type` that say nothing about the order.
const NO_TYPE: [&str; 7] = ["entry", "open", "signal", "alert", "order", "strategy", "new"];

/// Every price of a body, by what its name says.
#[derive(Debug)]
struct Prices {
    limit: Option<Price>,
    price: Option<Price>,
    trigger: Option<Price>,
    /// The price seen, by names that mean nothing else.
    seen: Option<Price>,
    trail: Option<Trail>,
}

/// Reads the order type, a market order without one, and the price the sender saw.
pub(super) fn read(
    fields: &mut Fields<'_>,
    carried: Option<KindWord>,
) -> Result<(OrderKind, Option<Price>), Refusal> {
    let named = kind(fields)?;
    if let (Some(named), Some(carried)) = (named, carried)
        && named != carried
    {
        let detail = "the action carries one order type and this field names another";
        return Err(refuse(RefusalCode::ConflictingFields, "/type", detail));
    }
    let kind = named.or(carried);
    let prices = prices(fields)?;
    let reference = prices.price.or(prices.seen);
    Ok(match kind.unwrap_or(KindWord::Market) {
        KindWord::Market => {
            only(&prices, kind, &[])?;
            (OrderKind::Market, reference)
        }
        KindWord::Limit => {
            only(&prices, kind, &["limit"])?;
            let limit = need(prices.limit.or(prices.price), "/price", "a limit order needs its price")?;
            (OrderKind::Limit { limit }, prices.seen.or(prices.limit.and(prices.price)))
        }
        KindWord::Stop => {
            only(&prices, kind, &["trigger"])?;
            let trigger =
                need(prices.trigger.or(prices.price), "/stopPrice", "a stop order needs its trigger price")?;
            (OrderKind::Stop { trigger }, prices.seen.or(prices.trigger.and(prices.price)))
        }
        KindWord::StopLimit => {
            only(&prices, kind, &["limit", "trigger"])?;
            let trigger = need(prices.trigger, "/stopPrice", "a stop limit order needs its trigger price")?;
            let limit = need(
                prices.limit.or(prices.price),
                "/limitPrice",
                "a stop limit order needs its limit price",
            )?;
            (OrderKind::StopLimit { trigger, limit }, prices.seen.or(prices.limit.and(prices.price)))
        }
        KindWord::TrailingStop => {
            only(&prices, kind, &["trail"])?;
            let detail = "a trailing stop needs its distance as trailPrice or trailPercent";
            let Some(trail) = prices.trail else {
                return Err(refuse(RefusalCode::MissingPrice, "/trailPrice", detail));
            };
            (OrderKind::TrailingStop { trail }, reference)
        }
    })
}

/// Reads the price that the sender saw and a trailing distance, where no order is asked for.
pub(super) fn seen(fields: &mut Fields<'_>) -> Result<(Option<Price>, Option<Trail>), Refusal> {
    let prices = prices(fields)?;
    Ok((prices.price.or(prices.seen), prices.trail))
}

fn refuse(code: RefusalCode, pointer: &str, detail: &str) -> Refusal {
    Refusal::field(code, pointer, detail)
}

fn need(price: Option<Price>, pointer: &str, what: &str) -> Result<Price, Refusal> {
    price.ok_or_else(|| {
        let detail = format!("{what}, and none was found; send it, or send \"type\": \"market\"");
        Refusal::field(RefusalCode::MissingPrice, pointer, detail)
    })
}

/// Reads the order type; words that are actions were read as such.
fn kind(fields: &mut Fields<'_>) -> Result<Option<KindWord>, Refusal> {
    let mut found = None;
    for said in fields.all(&[Slot::OrderType]).filter(|said| !said.value.is_unset()) {
        let text = said.value.scalar().unwrap_or_default();
        if words::verb(text).is_some() || NO_TYPE.contains(&words::plain(text).as_str()) {
            continue;
        }
        let Some(kind) = words::kind(text) else {
            let detail = format!(
                "the order type is {}; use market, limit, stop, stop_limit or trailing_stop",
                said.value.shown()
            );
            return Err(Refusal::field(RefusalCode::BadOrderType, &said.pointer, detail));
        };
        if found.is_some_and(|found| found != kind) {
            let detail = "two fields name different order types; send one";
            return Err(Refusal::field(RefusalCode::ConflictingFields, &said.pointer, detail));
        }
        found = Some(kind);
        fields.note("type", said, words::plain(text));
    }
    Ok(found)
}

fn prices(fields: &mut Fields<'_>) -> Result<Prices, Refusal> {
    let limit = fields.price("limit_price", &[Slot::LimitPrice])?;
    let price = fields.price("price", &[Slot::Price, Slot::EntryPrice])?;
    let filled = fields.price("reference", &[Slot::OrderPrice])?;
    let close = fields.price("reference", &[Slot::ClosePrice])?;
    let mut trigger = fields.price("stop_price", &[Slot::StopPrice, Slot::TriggerPrice])?;
    let mut seen = filled.or(close);
    if fields.has(Slot::BotId) && !fields.has(Slot::StopPrice) && !fields.has(Slot::OrderType) {
        // Alerts for that bot service call the price they saw `trigger_price`.
        seen = seen.or(trigger.take());
    }
    Ok(Prices { limit, price, trigger, seen, trail: trail(fields)? })
}

fn trail(fields: &mut Fields<'_>) -> Result<Option<Trail>, Refusal> {
    let percent = fields.one("trail_percent", &[Slot::TrailPercent], |said| {
        let text = said.value.scalar().map(|text| text.trim_ascii().trim_end_matches('%').to_owned());
        let number = text.filter(|text| !text.is_empty()).map(|text| number::decimal(&text));
        match number {
            Some(Ok(number)) if number.is_zero() => Ok(None),
            Some(Ok(number)) if Price::new(number).is_ok() && number < rust_decimal::Decimal::ONE_HUNDRED => {
                Ok(Some(Percent::new(number.normalize())))
            }
            None if said.value.is_unset() => Ok(None),
            Some(_) | None => {
                let detail =
                    format!("the trailing distance is {}; send per cent such as 2", said.value.shown());
                Err(Refusal::field(RefusalCode::BadNumber, &said.pointer, detail))
            }
        }
    })?;
    let amount = fields.price("trail_price", &[Slot::TrailAmount])?;
    match (percent, amount) {
        (Some(_), Some(_)) => {
            let detail = "a trailing distance is given in money and in per cent; send one";
            Err(refuse(RefusalCode::ConflictingFields, "/trailPercent", detail))
        }
        (percent, amount) => Ok(percent.map(Trail::Percent).or(amount.map(Trail::Amount))),
    }
}

/// Refuses a price that the order type has no use for: the sender meant another order.
fn only(prices: &Prices, kind: Option<KindWord>, used: &[&str]) -> Result<(), Refusal> {
    let given = [
        ("limit", "/limitPrice", prices.limit.is_some()),
        ("trigger", "/stopPrice", prices.trigger.is_some()),
        ("trail", "/trailPrice", prices.trail.is_some()),
    ];
    for (name, pointer, set) in given {
        if set && !used.contains(&name) {
            let (code, detail) = if kind.is_some() {
                (
                    RefusalCode::ConflictingFields,
                    "the order type has no use for this price; correct one of the two",
                )
            } else {
                (
                    RefusalCode::BadOrderType,
                    "this price needs an order type; send \"type\": \"limit\", \"stop\", … with it",
                )
            };
            return Err(refuse(code, pointer, detail));
        }
    }
    Ok(())
}
