//! Tables in the documentation that a test run writes itself.

use std::path::Path;

/// Puts a table between the marks of that name in a page, when the run was started with `TE_WRITE_DOCS`.
pub(crate) fn write(page: &str, mark: &str, table: &str) {
    if !std::env::vars().any(|(name, _)| name == "TE_WRITE_DOCS") {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let page = std::fs::read_to_string(&path).unwrap();
    let begins = format!("<!-- {mark} -->\n");
    let (before, rest) = page.split_once(&begins).unwrap();
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    std::fs::write(&path, format!("{before}{begins}{table}<!-- end -->{after}")).unwrap();
}
