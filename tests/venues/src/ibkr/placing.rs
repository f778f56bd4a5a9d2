//! Orders that all questions are answered about: what of them the book takes.

use serde_json::{Value, json};

use super::errors::{Error, poor};
use super::gateway::{Desk, Meta, Unpaid};
use super::request::{Batch, Wanted};
use super::rest::Call;
use super::wire;
use crate::book::{OrderId, Refusal, Ticket};
use crate::world::State;

/// Places orders that belong together. Returns what became of each.
pub(super) fn place(
    state: &mut State,
    desk: &mut Desk<'_>,
    call: Call<'_>,
    batch: Batch,
) -> Result<Value, Error> {
    let placed = match batch {
        Batch::One(wanted) => {
            let id = one(state, desk, call, &wanted)?;
            vec![taken(state, desk, call, id)]
        }
        Batch::Family(parent, children) => {
            let id = one(state, desk, call, &parent)?;
            let mut placed = vec![taken(state, desk, call, id)];
            placed.extend(attach(state, desk, call, id, parent.coid.as_deref(), children));
            placed
        }
        Batch::Children(parent, children) => {
            let id = desk.gateway.named(&parent);
            let id =
                id.ok_or_else(|| Error::reject("Order couldn't be submitted: parent order not found"))?;
            attach(state, desk, call, id, Some(&parent), children)
        }
        Batch::Rivals(both) => rivals(state, desk, call, &both.0, &both.1)?,
    };
    Ok(placed.into())
}

/// Returns the ticket under the name the book is to know it by: a name whose day is over is used again.
fn ticket(state: &State, wanted: &Wanted) -> Ticket {
    let mut ticket = wanted.ticket.clone();
    let used = |name: &str| state.book.named(&ticket.account, name).is_some();
    if let Some(coid) = wanted.coid.as_deref().filter(|coid| used(coid)) {
        let again = (2..).map(|n: u32| format!("{coid}#{n}")).find(|name| !used(name));
        ticket.client_order_id = again;
    }
    ticket
}

fn one(state: &mut State, desk: &mut Desk<'_>, call: Call<'_>, wanted: &Wanted) -> Result<OrderId, Error> {
    let ticket = ticket(state, wanted);
    let mut meta = Meta { coid: wanted.coid.clone(), parent: wanted.parent.clone(), reason: None };
    let id = match state.book.place(call.now, ticket.clone()) {
        Ok(id) => id,
        Err(refusal @ Refusal::BuyingPower { .. }) if desk.policy.unpaid == Unpaid::Later => {
            meta.reason = Some(poor(&refusal));
            state.book.take_and_reject(call.now, ticket)
        }
        Err(refusal) => return Err(Error::of(&refusal, wanted.coid.as_deref())),
    };
    desk.gateway.remember(call.now, id, meta);
    Ok(id)
}

fn attach(
    state: &mut State,
    desk: &mut Desk<'_>,
    call: Call<'_>,
    parent: OrderId,
    parent_coid: Option<&str>,
    children: Vec<Result<Wanted, Error>>,
) -> Vec<Value> {
    let failing = std::mem::take(&mut desk.policy.failing_legs);
    let fails = |at: usize| failing.contains(&(at + 1));
    let sound: Vec<Option<Ticket>> = children
        .into_iter()
        .enumerate()
        .map(|(at, child)| child.ok().filter(|_| !fails(at)).map(|child| child.ticket))
        .collect();
    let tickets: Vec<Ticket> = sound.iter().flatten().cloned().collect();
    let mut ids = state.book.attach(call.now, parent, tickets).into_iter();
    let mut placed = Vec::new();
    for ticket in &sound {
        let Some(id) = ticket.as_ref().and_then(|_| ids.next()) else {
            placed.push(failed(None, parent_coid));
            continue;
        };
        let meta = Meta { coid: None, parent: parent_coid.map(str::to_owned), reason: None };
        desk.gateway.remember(call.now, id, meta);
        placed.push(taken(state, desk, call, id));
    }
    placed
}

fn rivals(
    state: &mut State,
    desk: &mut Desk<'_>,
    call: Call<'_>,
    first: &Wanted,
    second: &Wanted,
) -> Result<Vec<Value>, Error> {
    let failing = std::mem::take(&mut desk.policy.failing_legs);
    let alone = match (failing.contains(&0), failing.contains(&1)) {
        (false, false) => None,
        (true, _) => Some(second),
        (false, true) => Some(first),
    };
    if let Some(sound) = alone {
        let id = one(state, desk, call, sound)?;
        let mut placed = vec![taken(state, desk, call, id)];
        let other = if failing.contains(&0) { first } else { second };
        placed.push(failed(other.coid.as_deref(), None));
        return Ok(placed);
    }
    let (one, other) = (ticket(state, first), ticket(state, second));
    let ids = state.book.place_rivals(call.now, one, other);
    let (one, other) = ids.map_err(|refusal| Error::of(&refusal, first.coid.as_deref()))?;
    let mut placed = Vec::new();
    for (id, wanted) in [(one, first), (other, second)] {
        desk.gateway.remember(call.now, id, Meta { coid: wanted.coid.clone(), ..Meta::default() });
        placed.push(taken(state, desk, call, id));
    }
    Ok(placed)
}

/// Returns what is said of an order just taken: what it was before it met a price.
fn taken(state: &State, desk: &Desk<'_>, call: Call<'_>, id: OrderId) -> Value {
    let status = state.book.as_taken(id).map(|(order, _)| wire::status(order)).unwrap_or_default();
    entry(call, id, desk.gateway.meta(id), status)
}

/// Returns what is said of an order that was taken or changed.
pub(super) fn entry(call: Call<'_>, id: OrderId, meta: Option<&Meta>, status: &str) -> Value {
    let order_id = call.ids.order(id).to_string();
    let mut shown = json!({"order_id": order_id, "order_status": status, "encrypt_message": "1"});
    name(
        &mut shown,
        meta.and_then(|meta| meta.coid.as_deref()),
        meta.and_then(|meta| meta.parent.as_deref()),
    );
    shown
}

fn failed(coid: Option<&str>, parent: Option<&str>) -> Value {
    let mut shown = json!({"order_id": "-1", "order_status": "Failed", "encrypt_message": "1"});
    name(&mut shown, coid, parent);
    shown
}

fn name(shown: &mut Value, coid: Option<&str>, parent: Option<&str>) {
    let Some(fields) = shown.as_object_mut() else { return };
    for (field, name) in [("local_order_id", coid), ("parent_order_id", parent)] {
        if let Some(name) = name {
            fields.insert(field.to_owned(), json!(name));
        }
    }
}
