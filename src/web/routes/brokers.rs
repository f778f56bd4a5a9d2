//! Broker accounts.

use crate::web::call::{Answer, Call, ok};
use crate::web::problem::Problem;
use crate::web::wire::{Broker, Page};

/// Lists the caller's broker accounts; the first is the default.
pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let account = call.account().await?;
    let items = account.connections.iter().map(|connection| Broker::of(connection, &account)).collect();
    ok(&Page::whole(items))
}
