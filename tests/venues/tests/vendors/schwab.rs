//! schwabdev and schwab-py: Schwab has no client of its own, these are what people use.

use crate::python::{Library, run};

/// The versions whose manners are served.
const CLIENTS: Library = Library {
    packages: &["schwabdev==4.0.0", "schwab-py==1.5.1"],
    modules: &["schwabdev", "schwab.streaming"],
};

#[test]
fn schwabdev_and_schwab_py_cannot_tell_the_difference() {
    let Some(seen) = run("schwab", "schwab_py.py", CLIENTS) else { return };
    assert_eq!(seen.events("fill"), 8, "what the clients saw is what happened");
    assert_eq!(seen.events("rejected"), 1, "one order too dear");
}
