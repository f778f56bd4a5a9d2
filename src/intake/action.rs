//! What a body asks for: every word that names an action, a position or a direction, weighed together.

use trade_actors::domain::signal::{Holding, Side};

use super::fields::Fields;
use super::refusal::{Refusal, RefusalCode, quoted};
use super::slots::{Said, Slot};
use super::value::Value;
use super::words::{self, KindWord, Verb};

/// Words that say that something is to be opened and leave the side to another field.
const OPENING: [&str; 5] = ["open", "enter", "entry", "openposition", "enterposition"];

/// What is to be done, before sizes and prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// An order.
    Open {
        /// Buy or sell.
        side: Side,
        /// The position it is meant to lead to, when said.
        position: Option<Holding>,
    },
    /// Leave the position.
    Close {
        /// Which one, when said.
        holding: Option<Holding>,
        /// Whether only a part, which a quantity must name.
        part: bool,
    },
}

/// What a body asks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    /// An order, and the order type that the action word itself carries.
    Order(Wanted, Option<KindWord>),
    /// Another stop or other targets for the position.
    Levels {
        /// Whether the stop is to be at the entry.
        break_even: bool,
    },
}

/// The words found so far.
#[derive(Default)]
struct Heard {
    opens: Vec<(Side, Option<Holding>)>,
    closes: Vec<Option<Holding>>,
    part: bool,
    modifies: Option<bool>,
    kind: Option<KindWord>,
    nothing: bool,
    flat: bool,
    after: Option<Holding>,
    before: Option<Holding>,
    position_side: Option<Holding>,
}

/// Reads what is asked for.
pub(super) fn read(fields: &mut Fields<'_>) -> Result<Asked, Refusal> {
    let mut heard = Heard::default();
    hear_words(fields, &mut heard)?;
    hear_positions(fields, &mut heard)?;
    let reduce_only = flag(fields, Slot::ReduceOnly)?;
    if flag(fields, Slot::CloseFlag)? {
        heard.closes.push(None);
        heard.flat = true;
    }
    let asked = |wanted| Ok(Asked::Order(wanted, heard.kind));
    let side = one_side(&heard, fields)?;
    if let Some(break_even) = heard.modifies {
        if side.is_some() || !heard.closes.is_empty() || heard.nothing {
            return Err(conflict(
                fields,
                "one field asks to change a position's levels, another for something else",
            ));
        }
        return Ok(Asked::Levels { break_even });
    }
    if heard.nothing {
        return match (side, heard.closes.is_empty()) {
            (None, true) => Err(Refusal::body(RefusalCode::NoInstruction, "the action asks for no order")),
            (_, _) => Err(conflict(fields, "one field asks for an order, another for none")),
        };
    }
    if heard.closes.is_empty() {
        let Some((side, position)) = side else { return Err(missing(fields)) };
        return against_position(&heard, side, reduce_only, fields).and_then(|closing| match closing {
            Some(holding) => asked(Wanted::Close { holding: Some(holding), part: reduce_only }),
            None => asked(Wanted::Open {
                side,
                position: position.or(heard.after.filter(|_| fits(side, heard.after))),
            }),
        });
    }
    let holding = holding(&heard, side, fields)?;
    asked(Wanted::Close { holding, part: heard.part })
}

fn hear_words(fields: &mut Fields<'_>, heard: &mut Heard) -> Result<(), Refusal> {
    let mut unknown = None;
    for said in fields.all(&[Slot::Action, Slot::Signal, Slot::OrderType]) {
        if said.value.is_unset() {
            continue;
        }
        let Some((verb, kind)) = said.value.scalar().and_then(words::verb) else {
            let opening =
                said.value.scalar().is_some_and(|text| OPENING.contains(&words::plain(text).as_str()));
            if said.slot == Slot::Action && !opening {
                return Err(bad(said));
            }
            unknown = unknown.or(Some(said).filter(|said| said.slot != Slot::OrderType));
            continue;
        };
        heard.kind = heard.kind.or(kind);
        fields.note("action", said, said.value.scalar().map(words::plain).unwrap_or_default());
        match verb {
            Verb::Open { side, position } => heard.opens.push((side, position)),
            Verb::Close { holding } => heard.closes.push(holding),
            Verb::Reduce { holding } => {
                heard.part = true;
                heard.closes.push(Some(holding));
            }
            Verb::Modify { break_even } => {
                heard.modifies = Some(break_even | heard.modifies.unwrap_or_default());
            }
            Verb::Nothing => heard.nothing = true,
            Verb::Unsupported => return Err(bad(said)),
        }
    }
    let silent =
        heard.opens.is_empty() && heard.closes.is_empty() && heard.modifies.is_none() && !heard.nothing;
    match unknown {
        // A word in a field that may hold anything counts only when nothing else says what to do.
        Some(said) if silent => Err(bad(said)),
        Some(_) | None => Ok(()),
    }
}

fn hear_positions(fields: &mut Fields<'_>, heard: &mut Heard) -> Result<(), Refusal> {
    for said in fields.all(&[Slot::Sentiment, Slot::PrevPosition]) {
        let Some(position) = said.value.scalar().and_then(words::position) else { continue };
        let place = match (said.slot, position) {
            (Slot::PrevPosition, position) => {
                heard.before = heard.before.or(position);
                continue;
            }
            (_, None) => {
                heard.flat = true;
                heard.closes.push(None);
                fields.note("action", said, "close".to_owned());
                continue;
            }
            (_, Some(_)) => &mut heard.after,
        };
        if place.is_some() && *place != position {
            return Err(conflict(fields, "two fields name opposite positions"));
        }
        *place = position;
    }
    if heard.flat && heard.after.is_some() {
        return Err(conflict(fields, "one field says the position ends flat, another that it does not"));
    }
    for said in fields.all(&[Slot::PositionSide]) {
        let text = said.value.scalar().unwrap_or_default();
        let named = match words::verb(text) {
            Some((Verb::Open { side: Side::Buy, .. }, _)) => Some(Holding::Long),
            Some((Verb::Open { side: Side::Sell, .. }, _)) => Some(Holding::Short),
            Some(_) | None => None,
        };
        heard.position_side = heard.position_side.or(named);
    }
    Ok(())
}

/// Returns the one side that is named, and the position the words lead to.
fn one_side(heard: &Heard, fields: &Fields<'_>) -> Result<Option<(Side, Option<Holding>)>, Refusal> {
    let Some((side, _)) = heard.opens.first().copied() else { return Ok(None) };
    if heard.opens.iter().any(|(other, _)| *other != side) {
        return Err(conflict(fields, "one field says buy, another sell"));
    }
    Ok(Some((side, heard.opens.iter().find_map(|(_, position)| *position))))
}

const fn leads_to(side: Side) -> Holding {
    match side {
        Side::Buy => Holding::Long,
        Side::Sell => Holding::Short,
    }
}

fn fits(side: Side, position: Option<Holding>) -> bool {
    position.is_none_or(|position| position == leads_to(side))
}

/// Returns the position that a plain buy or sell makes smaller, when the other fields say that it does.
fn against_position(
    heard: &Heard,
    side: Side,
    reduce_only: bool,
    fields: &Fields<'_>,
) -> Result<Option<Holding>, Refusal> {
    if !fits(side, heard.position_side) {
        return Ok(heard.position_side);
    }
    if reduce_only {
        return Ok(Some(leads_to(side.opposite())));
    }
    if !fits(side, heard.after) && !fields.has(Slot::Quantity) {
        let detail = "the side and the position after the order are opposite and no quantity says by how much \
                      the position changes; send the quantity";
        return Err(conflict(fields, detail));
    }
    Ok(None)
}

/// Returns the position to leave, when the body names one.
fn holding(
    heard: &Heard,
    side: Option<(Side, Option<Holding>)>,
    fields: &Fields<'_>,
) -> Result<Option<Holding>, Refusal> {
    // A position that ends flat by buying was short; beside the word "close" a side may mean either.
    let by_side = side.filter(|(_, position)| heard.flat && position.is_none());
    let by_word = side.filter(|_| !heard.flat).and_then(|(_, position)| position);
    let named = [
        heard.closes.iter().find_map(|holding| *holding),
        heard.before,
        heard.position_side,
        heard.after,
        by_side.map(|(side, _)| leads_to(side.opposite())),
        by_word,
    ];
    let mut named = named.into_iter().chain(heard.closes.iter().copied()).flatten();
    let first = named.next();
    if named.any(|other| Some(other) != first) {
        return Err(conflict(fields, "the fields name both a long and a short position to close"));
    }
    Ok(first)
}

fn flag(fields: &Fields<'_>, slot: Slot) -> Result<bool, Refusal> {
    let mut set = false;
    for said in fields.all(&[slot]) {
        set |= match &said.value {
            Value::Bool(value) => *value,
            Value::Null => false,
            Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Object(_) => {
                said.value.scalar().and_then(words::flag).ok_or_else(|| {
                    let detail = format!("this field is {}; it must be true or false", said.value.shown());
                    Refusal::field(RefusalCode::BadAction, &said.pointer, detail)
                })?
            }
        };
    }
    Ok(set)
}

fn bad(said: &Said) -> Refusal {
    let shown = said.value.scalar().map_or_else(|| said.value.shown(), quoted);
    let detail = format!(
        "the action {shown} is not carried out here; use buy, sell, long, short, close, close_long, close_short or \
         modify"
    );
    Refusal::field(RefusalCode::BadAction, &said.pointer, detail)
}

fn missing(fields: &Fields<'_>) -> Refusal {
    if fields.has(Slot::Symbol) {
        let detail = "no field says what to do; send \"action\": \"buy\", \"sell\" or \"close\"";
        Refusal::field(RefusalCode::MissingAction, "/action", detail)
    } else {
        let detail = "neither a symbol nor an action was found; send at least {\"ticker\": …, \"action\": …}";
        Refusal::body(RefusalCode::MissingFields, detail)
    }
}

fn conflict(fields: &Fields<'_>, what: &str) -> Refusal {
    let places = [Slot::Action, Slot::Signal, Slot::Sentiment];
    let pointer = fields.all(&places).last().map_or("/action", |said| said.pointer.as_str());
    let detail = format!("{what}; correct the alert so that all its fields say the same");
    Refusal::field(RefusalCode::ConflictingFields, pointer, detail)
}
