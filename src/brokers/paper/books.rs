//! What the paper broker asks of the log's index.

use std::fmt::Debug;

use futures_util::future::BoxFuture;

use trade_actors::domain::ids::{ClientOrderId, ConnectionId};
use trade_actors::domain::paper::PaperAccount;
use trade_actors::domain::report::OrderReport;
use trade_actors::ports::store::StoreError;

/// Reads what the paper broker's own events have made.
pub trait Books: Send + Sync + Debug {
    /// Returns an account; `None`: it was never opened.
    ///
    /// The answer contains every fact handed to the journal before the question, even if its commit was not awaited.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn load(&self, connection: ConnectionId) -> BoxFuture<'_, Result<Option<PaperAccount>, StoreError>>;

    /// Returns what is known of an order, with all its executions; `None`: it was never booked.
    ///
    /// Asked before every new order, so it must not wait: an index that is a moment behind will do, for an account
    /// remembers its last orders itself.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn find(&self, order: ClientOrderId) -> BoxFuture<'_, Result<Option<OrderReport>, StoreError>>;
}
