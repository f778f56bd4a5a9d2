//! The signal feed.

use crate::web::call::{Answer, Call, cursor_text, ok};
use crate::web::problem::Problem;
use crate::web::wire::{Page, Signal};

/// Lists what arrived and what became of it, newest first.
pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let (limit, after) = (call.limit()?, call.cursor()?);
    let views = call.engine()?.views();
    views.settled().await?;
    let page = views.feed(call.user()?, after, limit)?;
    let items = page.items.iter().map(Signal::with_excerpt).collect();
    ok(&Page { items, next_cursor: page.next.map(cursor_text) })
}
