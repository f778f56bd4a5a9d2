//! Stops and targets: prices, distances in per cent, lists, numbered fields and nested objects.

use trade_actors::domain::money::{Percent, Price};
use trade_actors::domain::signal::{Level, Side};

use super::fields::{self, Fields};
use super::number;
use super::refusal::{Refusal, RefusalCode};
use super::slots::{self, Said, Slot};
use super::value::Value;
use super::words::{self, Verb};

/// Largest distance of a level from the entry that is believed: beyond it a digit is missing.
const RATIO_MAX: u8 = 10;

/// Most targets in one list.
const TARGETS_MAX: usize = 20;

/// The protective prices of an order.
#[derive(Debug, Default)]
pub(super) struct Levels {
    /// Where to leave with a loss.
    pub(super) stop: Option<Level>,
    /// Where to leave with a profit, in order.
    pub(super) targets: Vec<Level>,
}

/// Reads the levels that belong to an order of this side, or to a position of either direction (`None`).
pub(super) fn read(fields: &mut Fields<'_>, side: Option<Side>) -> Result<Levels, Refusal> {
    let mut stop: Option<(&Said, Level)> = None;
    let mut targets: Vec<(u8, &Said, Level)> = Vec::new();
    for said in fields.every() {
        if let Slot::Stop { side: own, percent } = said.slot
            && own.is_none_or(|own| Some(own) == side)
            && let Some(level) = stop_level(said, percent, side)?
        {
            match &stop {
                Some((other, before)) if *before != level => return Err(fields::differ(said, other)),
                Some(_) | None => stop = Some((said, level)),
            }
        }
        if let Slot::Target { rank, side: own, percent } = said.slot
            && own.is_none_or(|own| Some(own) == side)
        {
            for (rank, level) in target(said, rank, percent)? {
                match targets.iter().find(|(other, _, _)| *other == rank) {
                    Some((_, other, before)) if *before != level => return Err(fields::differ(said, other)),
                    Some(_) => {}
                    None => targets.push((rank, said, level)),
                }
            }
        }
    }
    targets.sort_by_key(|(rank, _, _)| *rank);
    only_numbered(&mut targets)?;
    if let Some((said, level)) = stop {
        fields.note("stop_loss", said, shown(level));
    }
    for (_, said, level) in &targets {
        fields.note("take_profit", said, shown(*level));
    }
    Ok(Levels {
        stop: stop.map(|(_, level)| level),
        targets: targets.into_iter().map(|(_, _, level)| level).collect(),
    })
}

/// Drops a bare target that a numbered one repeats.
fn only_numbered(targets: &mut Vec<(u8, &Said, Level)>) -> Result<(), Refusal> {
    let [(0, bare, level), numbered @ ..] = targets.as_slice() else { return Ok(()) };
    let Some((_, other, _)) = numbered.first() else { return Ok(()) };
    if !numbered.iter().any(|(_, _, numbered)| numbered == level) {
        return Err(fields::differ(bare, other));
    }
    targets.remove(0);
    Ok(())
}

/// Reads one target field: one level, or a list of them.
fn target(said: &Said, rank: u8, percent: bool) -> Result<Vec<(u8, Level)>, Refusal> {
    let parts: Vec<(u8, bool, Said)> = match &said.value {
        Value::List(items) if items.len() > TARGETS_MAX => {
            let detail = format!("the list has {} targets; at most {TARGETS_MAX} are taken", items.len());
            return Err(Refusal::field(RefusalCode::BadNumber, &said.pointer, detail));
        }
        Value::List(items) => (1_u8..=u8::MAX)
            .zip(items)
            .map(|(rank, item)| (rank, percent, part(said, &(usize::from(rank) - 1).to_string(), item)))
            .collect(),
        Value::Object(entries)
            if entries.iter().any(|(key, _)| matches!(slots::slot(key), Some(Slot::Target { .. }))) =>
        {
            entries
                .iter()
                .filter_map(|(key, value)| {
                    let Some(Slot::Target { rank, percent, .. }) = slots::slot(key) else { return None };
                    Some((rank, percent, part(said, key, value)))
                })
                .collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Object(_) => {
            vec![(rank, percent, said.clone())]
        }
    };
    let mut levels = Vec::with_capacity(parts.len());
    for (rank, percent, said) in parts {
        levels.extend(level(&said, percent, true)?.map(|level| (rank, level)));
    }
    Ok(levels)
}

fn part(said: &Said, key: &str, value: &Value) -> Said {
    Said { slot: said.slot, pointer: format!("{}/{key}", said.pointer), value: value.clone() }
}

/// Reads a stop, which for an open position may be its entry.
fn stop_level(said: &Said, percent: bool, side: Option<Side>) -> Result<Option<Level>, Refusal> {
    match said.value.scalar().map(words::verb) {
        Some(Some((Verb::Modify { break_even: true }, _))) if side.is_none() => Ok(Some(Level::BreakEven)),
        _ => level(said, percent, false),
    }
}

/// Reads one level; nothing, `null`, `false` and zero mean not set.
fn level(said: &Said, percent: bool, target: bool) -> Result<Option<Level>, Refusal> {
    match &said.value {
        Value::Bool(false) => Ok(None),
        Value::Object(entries) => object(said, entries, target),
        Value::Text(text) if !target && matches!(words::plain(text).as_str(), "breakeven" | "be") => {
            let detail = "a stop at the entry would close the new position at once; send a price or per cent";
            Err(Refusal::field(RefusalCode::StopWrongSide, &said.pointer, detail))
        }
        Value::Text(text) if text.trim_ascii().ends_with('%') => match number::percentage(text) {
            Some(pct) if pct.is_zero() => Ok(None),
            Some(pct) => distance(said, pct, target).map(Some),
            None => fields::price(said).map(|price| price.map(Level::At)),
        },
        Value::Number(_) | Value::Text(_) if percent => {
            fields::number_in(said)?.map(|pct| distance(said, pct, target)).transpose()
        }
        Value::Null | Value::Bool(true) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
            fields::price(said).map(|price| price.map(Level::At))
        }
    }
}

fn distance(said: &Said, pct: rust_decimal::Decimal, target: bool) -> Result<Level, Refusal> {
    if pct.is_sign_negative()
        || (!target && pct >= rust_decimal::Decimal::ONE_HUNDRED)
        || Price::new(pct).is_err()
    {
        let detail =
            "a distance must be above 0 % and, for a stop, below 100 %; send it without a sign, such as 5%";
        return Err(Refusal::field(RefusalCode::BadNumber, &said.pointer, detail));
    }
    Ok(Level::Distance(Percent::new(pct.normalize())))
}

/// Reads `{"stopPrice": 180}`, `{"limitPrice": 210}`, `{"percent": 5}`.
fn object(said: &Said, entries: &[(String, Value)], target: bool) -> Result<Option<Level>, Refusal> {
    let by_percent = entries.iter().any(|(key, value)| {
        matches!(words::plain(key).as_str(), "type" | "unit")
            && value
                .scalar()
                .is_some_and(|text| matches!(words::plain(text).as_str(), "percent" | "percentage" | "%"))
    });
    let mut found = None;
    for (key, value) in entries.iter().filter(|(_, value)| !value.is_unset()) {
        let inner = part(said, key, value);
        let read = match words::plain(key).as_str() {
            "limitprice" if target => level(&inner, false, target)?,
            "price" | "stopprice" | "stop" | "triggerprice" => level(&inner, false, target)?,
            "value" => level(&inner, by_percent, target)?,
            "percent" | "percentage" | "pct" => level(&inner, true, target)?,
            "type" | "unit" if !by_percent && !is_plain_type(value) => return Err(unsupported(&inner)),
            "limitprice" | "amount" | "distance" | "offset" | "pips" | "points" | "ticks" => {
                fields::number_in(&inner)?.map_or(Ok(None), |_| Err(unsupported(&inner)))?
            }
            name if name.starts_with("trail") => return Err(unsupported(&inner)),
            _ => None,
        };
        match (found, read) {
            (Some(_), Some(_)) => {
                let detail = "one level is given twice; send either its price or its distance in per cent";
                return Err(Refusal::field(RefusalCode::ConflictingFields, &inner.pointer, detail));
            }
            (None, Some(_)) => found = read,
            (_, None) => {}
        }
    }
    if found.is_none() && !entries.is_empty() && !entries.iter().all(|(_, value)| value.is_unset()) {
        let detail =
            "no price was found in this object; send {\"price\": …} or {\"percent\": …}, or the bare price";
        return Err(Refusal::field(RefusalCode::BadNumber, &said.pointer, detail));
    }
    Ok(found)
}

fn is_plain_type(value: &Value) -> bool {
    let word = value.scalar().map(words::plain).unwrap_or_default();
    matches!(word.as_str(), "stop" | "stopmarket" | "market" | "limit" | "price" | "fixed" | "absolute")
}

fn unsupported(said: &Said) -> Refusal {
    let detail = "levels are carried out as a price or a distance in per cent; this kind would be lost, so nothing \
                  is sent";
    Refusal::field(RefusalCode::RelativePriceUnsupported, &said.pointer, detail)
}

/// Returns the level as the receipt shows it.
pub(super) fn shown(level: Level) -> String {
    match level {
        Level::At(price) => price.to_string(),
        Level::Distance(pct) => format!("{pct}%"),
        Level::BreakEven => "breakeven".to_owned(),
        Level::Trailing(trail) => format!("trailing {trail:?}"),
    }
}

/// Refuses a stop or target that the entry has already passed, or that is ten times away.
pub(super) fn check(levels: &Levels, side: Side, entry: Option<Price>) -> Result<(), Refusal> {
    let at = |level: &Level| match level {
        Level::At(price) => Some(*price),
        Level::Distance(_) | Level::BreakEven | Level::Trailing(_) => None,
    };
    let stop = levels.stop.as_ref().and_then(at);
    let targets: Vec<Price> = levels.targets.iter().filter_map(at).collect();
    let loses = |level: Price, than: Price| match side {
        Side::Buy => level < than,
        Side::Sell => level > than,
    };
    for (one, other) in
        entry.into_iter().flat_map(|entry| targets.iter().chain(&stop).map(move |level| (entry, *level)))
    {
        far(one, other)?;
    }
    for target in &targets {
        stop.map_or(Ok(()), |stop| far(stop, *target))?;
    }
    let wall = entry.or_else(|| targets.iter().copied().reduce(|a, b| if loses(a, b) { a } else { b }));
    if let (Some(stop), Some(wall)) = (stop, wall)
        && !loses(stop, wall)
    {
        return Err(wrong_side(RefusalCode::StopWrongSide, "/stopLoss", "stop loss", stop, side));
    }
    if let Some(wall) = entry.or(stop)
        && let Some(target) = targets.iter().find(|target| !loses(wall, **target))
    {
        return Err(wrong_side(RefusalCode::TargetWrongSide, "/takeProfit", "take profit", *target, side));
    }
    Ok(())
}

/// Refuses two prices of one order of which one has lost or gained a digit.
pub(super) fn far(one: Price, other: Price) -> Result<(), Refusal> {
    let (low, high) = if one < other { (one, other) } else { (other, one) };
    if high.get() < low.get().saturating_mul(RATIO_MAX.into()) {
        return Ok(());
    }
    let detail = format!(
        "the prices {one} and {other} are a factor of ten apart, so one has a digit too many or too few"
    );
    Err(Refusal::body(RefusalCode::BadNumber, detail))
}

fn wrong_side(code: RefusalCode, pointer: &str, what: &str, level: Price, side: Side) -> Refusal {
    let place = match (side, code == RefusalCode::StopWrongSide) {
        (Side::Buy, true) | (Side::Sell, false) => "below",
        (Side::Buy, false) | (Side::Sell, true) => "above",
    };
    let detail = format!(
        "the {what} {level} is on the wrong side: for a {} it must be {place} the entry",
        side.as_str()
    );
    Refusal::field(code, pointer, detail)
}
