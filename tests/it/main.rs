//! The promises of Trade Executor, asked of the real program by its public doors: one file a promise.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and looks only at what its promise is about"
)]

mod alpaca_adapter;
mod api;
mod audit_cli;
mod broker_faults;
mod broker_health;
mod broker_oauth;
mod brokers_api;
mod browser;
mod chaos;
mod conformance;
mod crash;
mod crash_matrix;
mod dedupe;
mod disk_full;
mod first_run;
mod key_rotation;
mod kill_switch;
mod metrics;
mod orders;
mod own_market;
mod panics;
mod passivation;
mod protection;
mod readiness;
mod refusals;
mod risk;
mod risk_stories;
mod routing;
mod runway;
mod shutdown;
mod socket;
mod support;
mod tidy;
mod trade_history;
mod venues;
mod waiting;
mod webhook_contract;
