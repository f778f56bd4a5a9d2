//! The futures market's own ways to say no.

use crate::binance::errors::{self, Error};
use crate::book::Refusal;
use crate::instrument::Misfit;
use crate::server::Trouble;

/// Returns the refusal of a key of the user stream that there is not.
pub(super) fn no_listen_key() -> Error {
    Error::new(400, -1125, "This listenKey does not exist.")
}

/// Returns a refusal by its code.
pub(super) fn code(code: i64) -> Error {
    let words = match code {
        -2013 => "Order does not exist.",
        -2011 => "Unknown order sent.",
        -2019 => "Margin is insufficient.",
        -2021 => "Order would immediately trigger.",
        -2022 => "ReduceOnly Order is rejected.",
        -4003 => "Quantity less than or equal to zero.",
        -4005 => "Quantity greater than max quantity.",
        -4014 => "Price not increased by tick size.",
        -4061 => "Order's position side does not match user's setting.",
        -4116 => "ClientOrderId is duplicated.",
        -4120 => {
            "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
        }
        -4140 => "Invalid symbol status for opening position.",
        -5022 => "Due to the order could not be executed as maker, the Post Only order will be rejected.",
        _ => "Invalid data sent for a parameter.",
    };
    Error::new(400, code, words)
}

/// Returns the refusal of an order that does not keep to its symbol's steps.
pub(super) fn misfit(misfit: Misfit) -> Error {
    match misfit {
        Misfit::PriceTick => code(-4014),
        Misfit::QtyStep => Error::new(400, -1111, "Precision is over the maximum defined for this asset."),
        Misfit::QtyMin => code(-4003),
        Misfit::QtyMax => code(-4005),
        Misfit::NotionalMin => Error::new(
            400,
            -4164,
            "Order's notional must be no smaller than 100 (unless you choose reduce only).",
        ),
    }
}

/// Returns the book's refusal of an order.
pub(super) fn of(refusal: &Refusal) -> Error {
    match refusal {
        Refusal::UnknownAccount => Error::key(),
        Refusal::DuplicateName => code(-4116),
        Refusal::BuyingPower { .. } | Refusal::Quantity { .. } => code(-2019),
        Refusal::NothingToReduce => code(-2022),
        Refusal::WouldTake => code(-5022),
        Refusal::UnknownOrder
        | Refusal::WashTrade { .. }
        | Refusal::FractionalShort
        | Refusal::NotOpen(_)
        | Refusal::NotReplaceable(_)
        | Refusal::Unchanged
        | Refusal::Unfitting => Error::new(400, -2010, "NEW_ORDER_REJECTED"),
    }
}

/// Returns the refusal for what goes wrong on purpose.
pub(super) fn trouble(trouble: &Trouble) -> Error {
    match trouble {
        Trouble::Duplicate => code(-4116),
        Trouble::Status(_) | Trouble::RateLimit | Trouble::Refused { .. } => errors::trouble(trouble),
    }
}
