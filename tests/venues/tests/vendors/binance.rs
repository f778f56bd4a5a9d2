//! ccxt, and Binance's own connector.

use crate::python::{Library, run};

/// The versions whose manners are simulated.
const CCXT: Library = Library {
    packages: &["ccxt==4.5.90", "binance-connector==3.13.0"],
    modules: &["ccxt.pro", "binance.spot"],
};

#[test]
fn ccxt_and_the_connector_cannot_tell_the_difference() {
    let Some(seen) = run("binance", "binance_ccxt.py", CCXT) else { return };
    assert_eq!(seen.events("fill"), 11, "what the clients saw is what happened");
    assert_eq!(seen.events("canceled"), 3);
}
