//! ccxt, at Binance's USD-M futures.

use crate::python::{Library, run};

/// The version whose manners are simulated: the spot market's.
const CCXT: Library = Library {
    packages: &["ccxt==4.5.90", "binance-connector==3.13.0"],
    modules: &["ccxt.pro", "binance.spot"],
};

#[test]
fn ccxt_cannot_tell_the_difference() {
    let Some(seen) = run("binance-usdm", "binance_usdm_ccxt.py", CCXT) else { return };
    assert_eq!(seen.events("fill"), 6, "what the client saw is what happened");
    assert_eq!(seen.events("canceled"), 4);
    assert_eq!(seen.events("rejected"), 1);
}
