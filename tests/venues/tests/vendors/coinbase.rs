//! ccxt.

use crate::python::{Library, run};

/// The version whose manners are simulated.
const CCXT: Library = Library { packages: &["ccxt==4.5.90"], modules: &["ccxt.pro"] };

#[test]
fn ccxt_cannot_tell_the_difference() {
    let Some(seen) = run("coinbase", "coinbase_ccxt.py", CCXT) else { return };
    assert_eq!(seen.events("fill"), 6, "what the client saw is what happened");
    assert_eq!(seen.events("canceled"), 4);
    assert_eq!(seen.answers(401), 1);
}
