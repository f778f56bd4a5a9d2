//! Amounts. All arithmetic is decimal and saturates: an absurd amount trips a limit, it never wraps or panics.

use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

/// Largest price, quantity or amount that is taken from outside: products of two still fit a [`Decimal`].
pub const LARGEST: Decimal = Decimal::from_parts(0xD4A5_1000, 0xE8, 0, false, 0); // 10^12

/// Why a number is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Zero or below.
    #[error("must be greater than zero")]
    NotPositive,
    /// Above [`LARGEST`].
    #[error("must not be greater than 1000000000000")]
    TooLarge,
}

fn positive(value: Decimal) -> Result<Decimal, AmountError> {
    if value <= Decimal::ZERO {
        Err(AmountError::NotPositive)
    } else if value > LARGEST {
        Err(AmountError::TooLarge)
    } else {
        Ok(value.normalize())
    }
}

macro_rules! amount {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Decimal);

        impl $name {
            /// Returns the bare number.
            #[must_use]
            pub const fn get(self) -> Decimal {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

amount! {
    /// A price of one unit in the account's currency; greater than zero.
    Price;
    /// Units, shares or coins; never negative.
    Quantity;
    /// An amount of the account's currency; may be negative.
    Money;
    /// A signed quantity: long above zero, short below.
    Net;
    /// Per cent: `2` is 2 %.
    Percent;
}

impl Price {
    /// The price step where a venue's is not known: that of US shares (Rule 612 of Regulation NMS).
    pub const CENT: Self = Self(Decimal::from_parts(1, 0, 0, false, 2));

    /// Takes a number from outside.
    ///
    /// # Errors
    /// When it is not above zero or too large.
    pub fn new(value: Decimal) -> Result<Self, AmountError> {
        positive(value).map(Self)
    }

    /// Returns what `quantity` units cost.
    #[must_use]
    pub fn notional(self, quantity: Quantity) -> Money {
        Money(self.0.saturating_mul(quantity.0))
    }

    /// Returns the price `pct` per cent away (negative: below), rounded to `tick`.
    #[must_use]
    pub fn shifted(self, pct: Percent, tick: Price) -> Self {
        let moved = self.0.saturating_add(self.0.saturating_mul(pct.0) / Decimal::ONE_HUNDRED);
        Self(step(moved, tick.0, RoundingStrategy::MidpointAwayFromZero).max(tick.0))
    }

    /// Returns the price moved by `delta` (negative: down) and kept at or above `floor`.
    #[must_use]
    pub fn moved(self, delta: Decimal, floor: Price) -> Self {
        Self(self.0.saturating_add(delta).max(floor.0))
    }

    /// Returns how far `self` is from `other`, in per cent of `other`, without sign.
    #[must_use]
    pub fn distance_pct(self, other: Price) -> Percent {
        let part = (self.0 - other.0).abs().checked_div(other.0).unwrap_or(Decimal::MAX);
        Percent(part.saturating_mul(Decimal::ONE_HUNDRED))
    }

    /// Returns the nearest multiple of `tick`, at least one.
    #[must_use]
    pub fn on_step(self, tick: Price) -> Self {
        Self(step(self.0, tick.0, RoundingStrategy::MidpointAwayFromZero).max(tick.0))
    }

    /// Returns whether the price is a multiple of `tick`.
    #[must_use]
    pub fn on_tick(self, tick: Price) -> bool {
        self.0.checked_rem(tick.0).is_some_and(|rest| rest.is_zero())
    }
}

impl Default for Quantity {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Takes a number from outside.
    ///
    /// # Errors
    /// When it is not above zero or too large.
    pub fn new(value: Decimal) -> Result<Self, AmountError> {
        positive(value).map(Self)
    }

    /// Wraps a number; one below zero counts as nothing.
    #[must_use]
    pub fn at_least_zero(value: Decimal) -> Self {
        Self(value.max(Decimal::ZERO).min(LARGEST))
    }

    /// Returns whether there is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// Returns the largest multiple of `lot` that is not above `self`.
    ///
    /// Down, because rounding must never raise exposure (`SECURITY-BAR` 5.8).
    #[must_use]
    pub fn floor_to(self, lot: Quantity) -> Self {
        Self(step(self.0, lot.0, RoundingStrategy::ToZero))
    }

    /// Returns `self - other`, at least zero.
    #[must_use]
    pub fn less(self, other: Quantity) -> Self {
        Self(self.0.saturating_sub(other.0).max(Decimal::ZERO))
    }

    /// Returns how many units `money` buys at `price`.
    #[must_use]
    pub fn affordable(money: Money, price: Price) -> Self {
        Self(money.0.max(Decimal::ZERO).checked_div(price.0).unwrap_or(Decimal::ZERO))
    }

    /// Returns the part of `self` given by `pct`.
    #[must_use]
    pub fn part(self, pct: Percent) -> Self {
        Self(self.0.saturating_mul(pct.0.max(Decimal::ZERO)) / Decimal::ONE_HUNDRED)
    }
}

impl Add for Quantity {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Quantity {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Wraps a number.
    #[must_use]
    pub const fn new(value: Decimal) -> Self {
        Self(value)
    }

    /// Returns the part of `self` given by `pct`.
    #[must_use]
    pub fn part(self, pct: Percent) -> Self {
        Self(self.0.saturating_mul(pct.0) / Decimal::ONE_HUNDRED)
    }

    /// Returns the amount as people read it: `$20,000`, `$1,180.50`, `-$500`.
    #[must_use]
    pub fn dollars(self) -> String {
        let cents =
            self.0.abs().round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero).normalize();
        let mut digits = cents.to_string();
        let tail = match digits.find('.') {
            Some(dot) => digits.split_off(dot),
            None => String::new(),
        };
        let tail = match tail.len() {
            2 => format!("{tail}0"),
            _ => tail,
        };
        let count = digits.len();
        let mut text = String::with_capacity(count + count / 3 + 5);
        if self.0.is_sign_negative() && !cents.is_zero() {
            text.push('-');
        }
        text.push('$');
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (count - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text + &tail
    }
}

impl Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl SubAssign for Money {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Neg for Money {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl std::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::ZERO, |sum, one| sum + one)
    }
}

impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl Net {
    /// No position.
    pub const FLAT: Self = Self(Decimal::ZERO);

    /// Wraps a signed number.
    #[must_use]
    pub const fn new(value: Decimal) -> Self {
        Self(value)
    }

    /// Returns whether there is no position.
    #[must_use]
    pub const fn is_flat(self) -> bool {
        self.0.is_zero()
    }

    /// Returns whether the position is short.
    #[must_use]
    pub fn is_short(self) -> bool {
        self.0 < Decimal::ZERO
    }

    /// Returns the size without sign.
    #[must_use]
    pub fn size(self) -> Quantity {
        Quantity(self.0.abs())
    }

    /// Returns what the position is worth at `price`; negative when short.
    #[must_use]
    pub fn value(self, price: Price) -> Money {
        Money(self.0.saturating_mul(price.0))
    }
}

impl Add for Net {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0).normalize())
    }
}

impl Percent {
    /// Wraps a number of per cent.
    #[must_use]
    pub const fn new(value: Decimal) -> Self {
        Self(value)
    }

    /// Returns `-self`.
    #[must_use]
    pub fn negated(self) -> Self {
        Self(-self.0)
    }
}

/// Rounds `value` to a multiple of `step`.
fn step(value: Decimal, step: Decimal, how: RoundingStrategy) -> Decimal {
    value
        .checked_div(step)
        .map_or(value, |steps| steps.round_dp_with_strategy(0, how).saturating_mul(step))
        .normalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn the_largest_amount_is_ten_to_the_twelve() {
        assert_eq!(LARGEST, dec("1000000000000"));
    }

    #[test]
    fn dollars_read_as_people_write_them() {
        for (number, text) in [
            ("20000", "$20,000"),
            ("1180.5", "$1,180.50"),
            ("-500", "-$500"),
            ("-485.0", "-$485"),
            ("485.00", "$485"),
            ("0.004", "$0"),
            ("1234567.891", "$1,234,567.89"),
            ("999.999", "$1,000"),
        ] {
            assert_eq!(Money::new(dec(number)).dollars(), text, "{number}");
        }
    }

    proptest! {
        /// Rounding down to a lot never gives more and never loses a whole lot.
        #[test]
        fn floor_to_a_lot_never_raises(units in 1_u64..1_000_000_000, scale in 0_u32..9, lot in 1_u64..1000, lot_scale in 0_u32..9) {
            let quantity = Quantity(Decimal::new(i64::try_from(units).unwrap(), scale));
            let lot = Quantity(Decimal::new(i64::try_from(lot).unwrap(), lot_scale));
            let floored = quantity.floor_to(lot);
            prop_assert!(floored <= quantity);
            prop_assert!(quantity.less(floored) < lot);
        }

        /// No number that a caller can build makes the arithmetic panic.
        #[test]
        fn arithmetic_never_panics(a in any::<i64>(), b in any::<i64>(), scale in 0_u32..18) {
            let (x, y) = (Decimal::new(a, scale), Decimal::new(b, 0));
            let money = Money::new(x) + Money::new(y) - Money::new(Decimal::MAX);
            prop_assert!(!money.dollars().is_empty());
            if let (Ok(price), Ok(quantity)) = (Price::new(x.abs()), Quantity::new(y.abs())) {
                prop_assert!(price.notional(quantity).get() >= Decimal::ZERO);
            }
        }
    }
}
