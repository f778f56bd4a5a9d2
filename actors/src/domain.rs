//! All that is true without a computer: values and the rules between them.

pub mod account;
pub mod calendar;
mod canonical;
pub mod event;
pub mod execution;
pub mod feed;
pub mod ids;
pub mod instrument;
pub mod intent;
pub mod money;
pub mod order;
pub mod paper;
pub mod portfolio;
pub mod position;
pub mod protection;
pub mod push;
pub mod record;
pub mod report;
pub mod restart;
pub mod risk;
pub mod routing;
pub mod runway;
pub mod signal;
pub mod stages;
pub mod survey;
pub mod user;
pub mod waiting;
