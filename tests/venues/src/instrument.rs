//! What can be traded, and in which steps.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::account::{base_of, quote_of};

/// Something that can be traded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instrument {
    /// Its symbol.
    pub symbol: String,
    /// Its name; the symbol if it is left out.
    #[serde(default)]
    pub name: String,
    /// Whether the venue still lists it.
    #[serde(default = "yes")]
    pub active: bool,
    /// Whether it can be traded.
    #[serde(default = "yes")]
    pub tradable: bool,
    /// Whether fractions of it can be traded.
    #[serde(default = "yes")]
    pub fractionable: bool,
    /// Whether it can be sold short.
    #[serde(default = "yes")]
    pub shortable: bool,
    /// In which steps.
    #[serde(default)]
    pub increments: Increments,
}

/// In which steps something is traded; what is none has no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Increments {
    /// The smallest step of a price.
    pub price_tick: Option<Decimal>,
    /// The smallest step of a quantity.
    pub qty_step: Option<Decimal>,
    /// The smallest quantity.
    pub qty_min: Option<Decimal>,
    /// The largest quantity.
    pub qty_max: Option<Decimal>,
    /// The least that price times quantity may be.
    pub notional_min: Option<Decimal>,
}

/// What an order does not keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// Its price is between two steps, or not above zero.
    PriceTick,
    /// Its quantity is between two steps, or not above zero.
    QtyStep,
    /// Its quantity is too small.
    QtyMin,
    /// Its quantity is too large.
    QtyMax,
    /// It is worth too little.
    NotionalMin,
}

impl Increments {
    /// Checks a price.
    ///
    /// # Errors
    ///
    /// Says what it does not keep to.
    pub fn check_price(&self, price: Decimal) -> Result<(), Misfit> {
        if price > Decimal::ZERO && is_step(price, self.price_tick) { Ok(()) } else { Err(Misfit::PriceTick) }
    }

    /// Checks a quantity.
    ///
    /// # Errors
    ///
    /// Says what it does not keep to; what is too small for any step is too small.
    pub fn check_qty(&self, qty: Decimal) -> Result<(), Misfit> {
        if self.qty_min.is_some_and(|min| qty < min) {
            return Err(Misfit::QtyMin);
        }
        if self.qty_max.is_some_and(|max| qty > max) {
            return Err(Misfit::QtyMax);
        }
        if qty > Decimal::ZERO && is_step(qty, self.qty_step) { Ok(()) } else { Err(Misfit::QtyStep) }
    }

    /// Checks what an order is worth.
    ///
    /// # Errors
    ///
    /// It is too little.
    pub fn check_notional(&self, notional: Decimal) -> Result<(), Misfit> {
        let little = self.notional_min.is_some_and(|min| notional < min);
        if little { Err(Misfit::NotionalMin) } else { Ok(()) }
    }

    /// Checks an order's price, quantity and worth, in this order, as far as they are known.
    ///
    /// # Errors
    ///
    /// Says what it does not keep to first.
    pub fn check(&self, qty: Option<Decimal>, price: Option<Decimal>) -> Result<(), Misfit> {
        price.map_or(Ok(()), |price| self.check_price(price))?;
        qty.map_or(Ok(()), |qty| self.check_qty(qty))?;
        qty.zip(price).map_or(Ok(()), |(qty, price)| self.check_notional(qty * price))
    }
}

fn is_step(amount: Decimal, step: Option<Decimal>) -> bool {
    step.is_none_or(|step| amount.checked_rem(step).is_none_or(|rest| rest.is_zero()))
}

fn yes() -> bool {
    true
}

impl Instrument {
    /// Returns one that can be traded in every way.
    #[must_use]
    pub fn new(symbol: &str) -> Self {
        Self {
            symbol: symbol.to_owned(),
            name: symbol.to_owned(),
            active: true,
            tradable: true,
            fractionable: true,
            shortable: true,
            increments: Increments::default(),
        }
    }

    /// Returns one that is traded in steps.
    #[must_use]
    pub fn stepped(symbol: &str, increments: Increments) -> Self {
        Self { increments, ..Self::new(symbol) }
    }

    /// Returns what a unit of it is.
    #[must_use]
    pub fn base(&self) -> &str {
        base_of(&self.symbol)
    }

    /// Returns what it is paid with; nothing if its symbol does not say.
    #[must_use]
    pub fn quote(&self) -> &str {
        quote_of(&self.symbol).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_two_steps_does_not_fit() {
        let d = |text: &str| Some(text.parse::<Decimal>().unwrap());
        let steps = Increments {
            price_tick: d("0.01"),
            qty_step: d("0.00001"),
            qty_min: d("0.0001"),
            qty_max: d("9000"),
            notional_min: d("5"),
        };
        for (qty, price, misfit) in [
            ("0.0001", "60000.01", None),
            ("9000", "0.01", None),
            ("1", "60000.001", Some(Misfit::PriceTick)),
            ("1", "0", Some(Misfit::PriceTick)),
            ("1", "-5", Some(Misfit::PriceTick)),
            ("0.00009", "60000", Some(Misfit::QtyMin)),
            ("-1", "60000", Some(Misfit::QtyMin)),
            ("9000.00001", "60000", Some(Misfit::QtyMax)),
            ("0.000101", "60000", Some(Misfit::QtyStep)),
            ("0.0001", "49999.99", Some(Misfit::NotionalMin)),
            ("0.0001", "50000", None),
        ] {
            assert_eq!(steps.check(d(qty), d(price)).err(), misfit, "{qty} at {price}");
        }
        assert_eq!(steps.check(d("0.0001"), None), Ok(()), "nobody knows what it is worth");
        assert_eq!(Increments::default().check(d("0.123456789"), d("1.987654321")), Ok(()));
        assert_eq!(Increments::default().check(d("0"), None), Err(Misfit::QtyStep));
    }
}
