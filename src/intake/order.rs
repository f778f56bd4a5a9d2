//! From recognised fields to one instruction: nothing is guessed, and what contradicts itself is refused.

use rust_decimal::Decimal;
use trade_actors::domain::instrument::Symbol;
use trade_actors::domain::money::{LARGEST, Percent, Price, Quantity};
use trade_actors::domain::routing::VIA_MAX;
use trade_actors::domain::signal::{Action, Holding, Instruction, Level, OrderKind, Side};

use super::ReceiptStep;
use super::action::{self, Asked, Wanted};
use super::fields::{self, Fields};
use super::levels::{self, Levels};
use super::number;
use super::prices;
use super::refusal::{Refusal, RefusalCode, quoted};
use super::slots::{Said, Slot};
use super::symbol::{self, SymbolFault};
use super::value::Value;
use super::words::{self, KindWord};

/// Reads the instruction, and the receipt of where each part came from.
pub(super) fn read(said: &[Said]) -> Result<(Instruction, Vec<ReceiptStep>), Refusal> {
    let mut fields = Fields::new(said);
    refuse_untradable(&fields)?;
    let asked = action::read(&mut fields)?;
    let symbol = read_symbol(&mut fields)?;
    let instruction = match asked {
        Asked::Order(wanted, kind) => read_order(&mut fields, symbol, wanted, kind)?,
        Asked::Levels { break_even } => read_change(&mut fields, symbol, break_even)?,
    };
    Ok((instruction, fields.receipt))
}

fn read_order(
    fields: &mut Fields<'_>,
    symbol: Symbol,
    wanted: Wanted,
    kind: Option<KindWord>,
) -> Result<Instruction, Refusal> {
    let size = read_size(fields, wanted)?;
    let (kind, reference) = prices::read(fields, kind)?;
    let levels = read_levels(fields, wanted, kind, reference)?;
    let leverage = read_leverage(fields)?;
    let via = read_via(fields)?;
    note_wishes(fields, matches!(wanted, Wanted::Close { .. }));
    let action = match wanted {
        Wanted::Open { side: Side::Buy, .. } => Action::Buy,
        Wanted::Open { side: Side::Sell, .. } => Action::Sell,
        Wanted::Close { holding, .. } => Action::Close { fraction: size.fraction, holding },
    };
    Ok(Instruction {
        action,
        symbol,
        quantity: size.quantity,
        kind,
        reference,
        stop_loss: levels.stop,
        take_profits: levels.targets,
        account: None,
        via,
        leverage,
    })
}

/// Reads what an open position's levels are to be from now on. They count for all of it, so that a size beside them,
/// such as the position's own, says nothing.
fn read_change(fields: &mut Fields<'_>, symbol: Symbol, break_even: bool) -> Result<Instruction, Refusal> {
    let levels = levels::read(fields, None)?;
    let (reference, trail) = prices::seen(fields)?;
    let mut stop = levels.stop;
    for level in [break_even.then_some(Level::BreakEven), trail.map(Level::Trailing)].into_iter().flatten() {
        if stop.is_some_and(|stop| stop != level) {
            let detail = "the stop is to be in two places; send one of them";
            return Err(Refusal::field(RefusalCode::ConflictingFields, "/stopLoss", detail));
        }
        stop = Some(level);
    }
    if stop.is_none() && levels.targets.is_empty() {
        let detail = "neither a stop nor a target was found; send \"stopLoss\": 180 or \"breakeven\", or \"takeProfit\": 200";
        return Err(Refusal::field(RefusalCode::MissingPrice, "/stopLoss", detail));
    }
    let via = read_via(fields)?;
    Ok(Instruction {
        action: Action::Modify,
        symbol,
        quantity: None,
        kind: OrderKind::Market,
        reference,
        stop_loss: stop,
        take_profits: levels.targets,
        account: None,
        via,
        leverage: None,
    })
}

/// Refuses what no reading of the rest could make right.
fn refuse_untradable(fields: &Fields<'_>) -> Result<(), Refusal> {
    for said in fields.every() {
        if said.value.holds_placeholder() {
            let detail = "this field still holds a {{placeholder}}: TradingView fills {{strategy.…}} only in alerts on \
                          a strategy, so use a strategy alert or write the value";
            return Err(Refusal::field(RefusalCode::PlaceholderNotFilled, &said.pointer, detail));
        }
        let set = !said.value.is_unset() && said.value != Value::Bool(false);
        let zero = said.value.scalar().is_some_and(|text| number::decimal(text).is_ok_and(|n| n.is_zero()));
        let off = said.value.scalar().is_some_and(|text| words::flag(text) == Some(false));
        let kind = said.value.scalar().map(words::plain).unwrap_or_default();
        let option = match said.slot == Slot::AssetType {
            true => kind.starts_with("opt") || matches!(kind.as_str(), "call" | "put"),
            false => said.slot == Slot::Option && set && !zero,
        };
        if option {
            let detail =
                "options are not traded here, and an option alert never becomes an order for the share";
            return Err(Refusal::field(RefusalCode::OptionUnsupported, &said.pointer, detail));
        }
        if matches!(said.slot, Slot::OtherStop | Slot::Relative) && set && !zero && !off {
            let detail = "this distance or trailing stop is not carried out, and leaving it away would lose \
                          protection; send stop and targets as prices or in per cent, such as \"2%\"";
            return Err(Refusal::field(RefusalCode::RelativePriceUnsupported, &said.pointer, detail));
        }
        if said.slot == Slot::DryRun && set && !off {
            return Err(Refusal::body(RefusalCode::NoInstruction, "the body says that it is only a test"));
        }
    }
    Ok(())
}

fn read_symbol(fields: &mut Fields<'_>) -> Result<Symbol, Refusal> {
    let read = fields.one("symbol", &[Slot::Symbol], |said| {
        if said.value.is_unset() {
            return Ok(None);
        }
        let Value::Text(text) = &said.value else {
            let detail = format!("the symbol is {}; send it as text, such as \"AAPL\"", said.value.shown());
            return Err(Refusal::field(RefusalCode::BadSymbol, &said.pointer, detail));
        };
        symbol::read(text).map(Some).map_err(|fault| {
            let code = match fault {
                SymbolFault::Option => RefusalCode::OptionUnsupported,
                SymbolFault::Text(_) => RefusalCode::BadSymbol,
            };
            let detail = format!("the symbol {} {fault}", quoted(text));
            Refusal::field(code, &said.pointer, detail)
        })
    })?;
    read.ok_or_else(|| {
        let detail = "no field names what to trade; send \"ticker\": \"AAPL\" or \"{{ticker}}\"";
        Refusal::field(RefusalCode::MissingSymbol, "/ticker", detail)
    })
}

/// How much of what.
#[derive(Debug, Default)]
struct Size {
    quantity: Option<Quantity>,
    fraction: Option<Percent>,
}

fn read_size(fields: &mut Fields<'_>, wanted: Wanted) -> Result<Size, Refusal> {
    let (closes, part) = match wanted {
        Wanted::Close { part, .. } => (true, part),
        Wanted::Open { .. } => (false, false),
    };
    let of_position = unit_is_position(fields, closes)?;
    let slots: &[Slot] = if fields.has(Slot::Quantity) || !volume_is_size(fields)? {
        &[Slot::Quantity]
    } else {
        &[Slot::Quantity, Slot::Volume]
    };
    refuse_amount(fields)?;
    let percent = |said: &Said| {
        said.value.scalar().and_then(number::percentage).or_else(|| {
            let number = said.value.scalar().and_then(|text| number::decimal(text).ok())?;
            (of_position || said.slot == Slot::ClosePercent).then_some(number)
        })
    };
    let mut size = Size::default();
    if closes {
        let fraction = fields.one("fraction", &[Slot::Quantity, Slot::ClosePercent], |said| {
            percent(said).map(|pct| whole_or_part(said, pct)).transpose()
        })?;
        size.fraction = fraction;
    }
    size.quantity = fields.one("quantity", slots, |said| {
        if closes && percent(said).is_some() { Ok(None) } else { quantity(said) }
    })?;
    if size.quantity.is_some() && size.fraction.is_some() {
        let detail = "both a quantity and a part of the position are given; send one of them";
        return Err(Refusal::field(RefusalCode::ConflictingFields, "/quantity", detail));
    }
    if part && size.quantity.is_none() && size.fraction.is_none() {
        let detail = "a part of the position is to be closed, but no field says how much; send a quantity";
        return Err(Refusal::field(RefusalCode::BadQuantity, "/quantity", detail));
    }
    size.fraction = size.fraction.filter(|pct| pct.get() != Decimal::ONE_HUNDRED);
    Ok(size)
}

fn quantity(said: &Said) -> Result<Option<Quantity>, Refusal> {
    if said.value.is_unset() {
        return Ok(None);
    }
    let bad = |why: String| {
        let detail = format!(
            "the quantity is {}; {why}: send units above 0 such as 10 or \"0.25\", or leave it out and the risk settings \
             size the order",
            said.value.shown()
        );
        Refusal::field(RefusalCode::BadQuantity, &said.pointer, detail)
    };
    let number = said.value.scalar().map(number::decimal);
    let Some(Ok(number)) = number else { return Err(bad("it is no number of units".to_owned())) };
    Quantity::new(number).map(Some).map_err(|fault| bad(format!("it {fault}")))
}

fn whole_or_part(said: &Said, pct: Decimal) -> Result<Percent, Refusal> {
    if pct <= Decimal::ZERO || pct > Decimal::ONE_HUNDRED {
        let detail = "the part to close must be above 0 % and at most 100 %";
        return Err(Refusal::field(RefusalCode::BadQuantity, &said.pointer, detail));
    }
    Ok(Percent::new(pct.normalize()))
}

/// Returns whether the quantity is a percentage of the position; other units are refused.
fn unit_is_position(fields: &Fields<'_>, closes: bool) -> Result<bool, Refusal> {
    for said in fields.all(&[Slot::QuantityType]).filter(|said| !said.value.is_unset()) {
        match said.value.scalar().map(words::plain).unwrap_or_default().as_str() {
            "fixedquantity" | "fixed" | "units" | "unit" | "shares" | "contracts" | "quantity" | "qty"
            | "lots" | "base" | "coins" => {}
            "percentofposition" | "positionpercent" if closes => return Ok(true),
            _ => {
                let detail = format!(
                    "the quantity's unit is {}; only units are taken, money and per cent belong in the risk settings",
                    said.value.shown()
                );
                return Err(Refusal::field(RefusalCode::BadQuantity, &said.pointer, detail));
            }
        }
    }
    Ok(false)
}

/// Returns whether `volume` is the order's: beside a bar's prices it is the bar's.
fn volume_is_size(fields: &Fields<'_>) -> Result<bool, Refusal> {
    let Some(said) = fields.all(&[Slot::Volume]).next() else { return Ok(false) };
    if fields.all(&[Slot::BarPart]).next().is_some() {
        return Ok(false);
    }
    if fields.all(&[Slot::ClosePrice, Slot::BarTime]).next().is_some() {
        let detail = "this may be the size of the order or the volume of the bar; name the size \"quantity\"";
        return Err(Refusal::field(RefusalCode::BadQuantity, &said.pointer, detail));
    }
    Ok(true)
}

fn refuse_amount(fields: &Fields<'_>) -> Result<(), Refusal> {
    if fields.has(Slot::Quantity) {
        return Ok(());
    }
    match fields.all(&[Slot::Amount]).find(|said| !said.value.is_unset()) {
        Some(said) => {
            let detail = "this may be units or money; name the number of units \"quantity\"";
            Err(Refusal::field(RefusalCode::BadQuantity, &said.pointer, detail))
        }
        None => Ok(()),
    }
}

fn read_levels(
    fields: &mut Fields<'_>,
    wanted: Wanted,
    kind: OrderKind,
    reference: Option<Price>,
) -> Result<Levels, Refusal> {
    let (side, position) = match wanted {
        Wanted::Open { side, position } => (side, position),
        // What is left of the position keeps its own levels: a closing order has none.
        Wanted::Close { .. } => return Ok(Levels::default()),
    };
    let found = levels::read(fields, Some(side))?;
    let entry = kind.limit().or(kind.trigger()).or(reference);
    levels::check(&found, side, entry)?;
    if let (Some(entry), Some(reference)) = (entry, reference) {
        levels::far(entry, reference)?;
    }
    let short = side == Side::Sell && found.stop.is_some() && entry.is_some();
    if let Some(position) = position.or(short.then_some(Holding::Short)) {
        let word = match position {
            Holding::Long => "long",
            Holding::Short => "short",
        };
        fields.receipt.push(ReceiptStep { field: "position", read_as: word.to_owned(), from: String::new() });
    }
    Ok(found)
}

/// Reads at which broker, or account by its name, the order is to be placed.
fn read_via(fields: &mut Fields<'_>) -> Result<Option<String>, Refusal> {
    fields.one("via", &[Slot::Via], |said| {
        if said.value.is_unset() {
            return Ok(None);
        }
        let name = if let Value::Text(text) = &said.value { text.trim() } else { "" };
        let fits = (1..=VIA_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        if !fits {
            let detail = format!(
                "the broker is {}; send the name of a broker or of an account of yours, such as \"kraken\"",
                said.value.shown()
            );
            return Err(Refusal::field(RefusalCode::BadVia, &said.pointer, detail));
        }
        Ok(Some(name.to_lowercase()))
    })
}

fn read_leverage(fields: &mut Fields<'_>) -> Result<Option<Decimal>, Refusal> {
    fields.one("leverage", &[Slot::Leverage], |said| {
        let bare = if let Value::Text(text) = &said.value {
            Value::Text(text.trim_ascii().trim_matches(['x', 'X']).to_owned())
        } else {
            said.value.clone()
        };
        let Some(number) = fields::number_in(&Said { value: bare, ..said.clone() })? else { return Ok(None) };
        if number.is_sign_negative() || number > LARGEST {
            let detail = format!("the leverage is {}; send a number above 0 such as 5", said.value.shown());
            return Err(Refusal::field(RefusalCode::BadNumber, &said.pointer, detail));
        }
        Ok(Some(number.normalize()))
    })
}

/// Shows sizes in money or per cent on the receipt: they are read and left to the risk settings.
fn note_wishes(fields: &mut Fields<'_>, closes: bool) {
    for said in fields.every() {
        let field = match said.slot == Slot::ClosePercent && !closes {
            true => Slot::Wish("size_percent"),
            false => said.slot,
        };
        if let (Slot::Wish(field), Some(text)) = (field, said.value.scalar()) {
            fields.note(field, said, text.chars().filter(|letter| !letter.is_control()).take(40).collect());
        }
    }
}
