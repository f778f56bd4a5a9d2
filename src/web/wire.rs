//! Our JSON: what the API and the socket say of the domain, in the outside's words. Decimals are strings.

mod people;
mod portfolio;
mod push;
mod signal;
mod sync;
mod trade;
mod trade_detail;

pub(crate) use people::{Broker, Halt, Limits, Routes, Source, SourceLimits, Token, User};
pub(crate) use portfolio::{Portfolio, PortfolioUpdate, Position, Quote};
pub(crate) use push::{envelope, is_fill, render};
pub(crate) use signal::Signal;
pub(crate) use sync::{StateSync, state_sync};
pub(crate) use trade::{Fill, Trade};
pub(crate) use trade_detail::TradeDetail;

use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// Cuts a time to milliseconds, the log's precision: all our times look alike.
fn moment(at: DateTime<Utc>) -> DateTime<Utc> {
    at.trunc_subsecs(3)
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// Newest first.
    pub(crate) items: Vec<T>,
    /// Give it as `cursor` to get the next page; null on the last one.
    pub(crate) next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Wraps a list that has one page.
    #[must_use]
    pub(crate) const fn whole(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }
}
