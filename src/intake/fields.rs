//! The recognised fields of one body, and how a field that may stand under several names is read once.

use std::fmt::Display;

use rust_decimal::Decimal;
use trade_actors::domain::money::Price;

use super::ReceiptStep;
use super::number::{self, NumberFault};
use super::refusal::{Refusal, RefusalCode};
use super::slots::{Said, Slot};

/// All recognised fields, and the receipt of what was read from them.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    said: &'a [Said],
    /// What was read so far.
    pub(super) receipt: Vec<ReceiptStep>,
}

impl<'a> Fields<'a> {
    /// Wraps the fields of one body.
    pub(super) const fn new(said: &'a [Said]) -> Self {
        Self { said, receipt: Vec::new() }
    }

    /// Returns every field.
    pub(super) fn every(&self) -> impl Iterator<Item = &'a Said> + use<'a> {
        self.said.iter()
    }

    /// Returns the fields with one of these meanings, in the body's order.
    pub(super) fn all<'s>(&self, slots: &'s [Slot]) -> impl Iterator<Item = &'a Said> + use<'a, 's> {
        self.said.iter().filter(move |said| slots.contains(&said.slot))
    }

    /// Returns whether a field with this meaning says something.
    pub(super) fn has(&self, slot: Slot) -> bool {
        self.all(&[slot]).any(|said| !said.value.is_unset())
    }

    /// Adds a line to the receipt.
    pub(super) fn note(&mut self, field: &'static str, said: &Said, read_as: String) {
        self.receipt.push(ReceiptStep { field, read_as, from: said.pointer.clone() });
    }

    /// Reads a field that may stand under several names, all of which must then say the same.
    pub(super) fn one<T: PartialEq + Display>(
        &mut self,
        field: &'static str,
        slots: &[Slot],
        read: impl Fn(&Said) -> Result<Option<T>, Refusal>,
    ) -> Result<Option<T>, Refusal> {
        let mut found: Option<(&Said, T)> = None;
        for said in self.all(slots) {
            let Some(value) = read(said)? else { continue };
            match &found {
                Some((other, before)) if *before != value => return Err(differ(said, other)),
                Some(_) => {}
                None => found = Some((said, value)),
            }
        }
        let Some((said, value)) = found else { return Ok(None) };
        self.note(field, said, value.to_string());
        Ok(Some(value))
    }

    /// Reads a price.
    pub(super) fn price(&mut self, field: &'static str, slots: &[Slot]) -> Result<Option<Price>, Refusal> {
        self.one(field, slots, price)
    }
}

/// Refuses two fields that should say the same and do not.
pub(super) fn differ(said: &Said, other: &Said) -> Refusal {
    let detail = format!(
        "this field and {} say different things; send one of them, or the same in both",
        other.pointer
    );
    Refusal::field(RefusalCode::ConflictingFields, &said.pointer, detail)
}

/// Reads a price; nothing, `null` and zero mean not set.
pub(super) fn price(said: &Said) -> Result<Option<Price>, Refusal> {
    let Some(number) = number_in(said)? else { return Ok(None) };
    Price::new(number).map(Some).map_err(|fault| {
        let detail = format!("the price is {}; it {fault}", said.value.shown());
        Refusal::field(RefusalCode::BadNumber, &said.pointer, detail)
    })
}

/// Reads a number; nothing, `null` and zero mean not set.
pub(super) fn number_in(said: &Said) -> Result<Option<Decimal>, Refusal> {
    if said.value.is_unset() {
        return Ok(None);
    }
    match said.value.scalar().map(number::decimal) {
        Some(Ok(number)) => Ok(Some(number).filter(|number| !number.is_zero())),
        Some(Err(NumberFault::Relative)) => {
            let detail = format!("{} is a distance; send a price such as 190.50", said.value.shown());
            Err(Refusal::field(RefusalCode::RelativePriceUnsupported, &said.pointer, detail))
        }
        Some(Err(NumberFault::Unreadable)) | None => {
            let detail = format!(
                "{} is no number that can be read with certainty; send plain digits such as 190.50, or leave the field out",
                said.value.shown()
            );
            Err(Refusal::field(RefusalCode::BadNumber, &said.pointer, detail))
        }
    }
}
