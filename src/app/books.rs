//! What the paper broker asks of the log's index.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use trade_actors::domain::ids::{ClientOrderId, ConnectionId};
use trade_actors::domain::paper::PaperAccount;
use trade_actors::domain::report::OrderReport;
use trade_actors::ledger::Ledger;
use trade_actors::ports::journal::Journal;
use trade_actors::ports::store::StoreError;
use trade_actors::views::Views;

use crate::brokers::paper::books::Books;

/// The paper broker's books, read from the projections.
#[derive(Clone, Debug)]
pub(super) struct IndexedBooks {
    ledger: Ledger,
    views: Views,
}

impl IndexedBooks {
    /// Reads from `views`, behind everything that `ledger` was handed.
    #[must_use]
    pub(super) const fn new(ledger: Ledger, views: Views) -> Self {
        Self { ledger, views }
    }

    /// Waits until the index contains every fact that the ledger was handed so far.
    async fn settled(&self) -> Result<(), StoreError> {
        // Nothing is committed by this, but it is answered behind all that was handed in before.
        let behind = self.ledger.commit(Vec::new()).await;
        behind.map_err(|error| StoreError(error.to_string()))?;
        self.views.settled().await
    }
}

impl Books for IndexedBooks {
    fn load(&self, connection: ConnectionId) -> BoxFuture<'_, Result<Option<PaperAccount>, StoreError>> {
        async move {
            self.settled().await?;
            self.views.paper_account(connection)
        }
        .boxed()
    }

    fn find(&self, order: ClientOrderId) -> BoxFuture<'_, Result<Option<OrderReport>, StoreError>> {
        let found = self.views.paper_order(order);
        async move { found }.boxed()
    }
}
