//! Trade Executor: the edges around the engine.
//!
//! - [`intake`] reads deliveries, [`brokers`] talk to venues, [`store`] holds log and index.
//! - [`web`] is HTTP, WebSocket and the dashboard; [`auth`] says who is who,
//!   and [`vault`] seals what opens their broker accounts.
//! - [`config`] alone reads the environment; [`app`] wires all of it around the engine; [`cli`] is the command line.

pub mod app;
pub mod auth;
pub mod brokers;
pub mod cli;
pub mod config;
pub mod intake;
pub mod keys;
pub mod store;
pub mod telemetry;
pub mod vault;
pub mod web;
