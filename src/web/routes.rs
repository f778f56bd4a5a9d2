//! The handlers, a file each concern.

pub(super) mod admin;
pub(super) mod broker_oauth;
pub(super) mod brokers;
pub(super) mod health;
pub(super) mod login;
pub(super) mod me;
mod near;
pub(super) mod pages;
pub(super) mod portfolio;
pub(super) mod positions;
pub(super) mod risk;
pub(super) mod signals;
pub(super) mod sources;
pub(super) mod switch;
pub(super) mod tokens;
pub(super) mod trades;
pub(super) mod webhook;
