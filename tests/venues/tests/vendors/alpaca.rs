//! alpaca-py.

use crate::python::{Library, run};

/// The version whose manners are simulated.
const ALPACA_PY: Library = Library { packages: &["alpaca-py==0.44.0"], modules: &["alpaca.trading.client"] };

#[test]
fn alpaca_py_cannot_tell_the_difference() {
    let Some(seen) = run("alpaca", "alpaca_py.py", ALPACA_PY) else { return };
    assert_eq!(seen.events("fill"), 10, "what the client saw is what happened");
    assert_eq!(seen.answers(401), 1, "a wrong secret");
}
