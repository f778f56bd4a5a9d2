//! ccxt.

use crate::python::{Library, run};

/// The version whose manners are simulated.
const CCXT: Library = Library { packages: &["ccxt==4.5.90"], modules: &["ccxt"] };

#[test]
fn ccxt_cannot_tell_the_difference_at_bybit() {
    let Some(seen) = run("bybit", "bybit_ccxt.py", CCXT) else { return };
    assert_eq!(seen.events("fill"), 6, "what the client saw is what happened");
    assert_eq!(seen.events("canceled"), 4);
}
