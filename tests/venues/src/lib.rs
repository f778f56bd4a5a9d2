//! Venues that misbehave on purpose, for tests only.
//!
//! [`flaky`] stands between the engine and any broker: it loses requests and answers, refuses and delays by script, and
//! keeps a journal of what the engine asked: the other half of every "exactly once" test.

pub mod flaky;
