//! Comparing what the broker says it has with what its orders made.

use std::collections::BTreeSet;

use ractor::ActorProcessingErr;

use super::{ExecutionState, Key, Survey};
use crate::broker_connection::ConnectionMsg;
use crate::domain::event::Event;
use crate::domain::order::OrderStatus;
use crate::domain::position::Position;
use crate::domain::stages::Stages;
use crate::domain::survey::{Sighting, cash_moved, differences};
use crate::fault;
use crate::risk::RiskMsg;

impl ExecutionState {
    /// Takes in what a broker says it has. A difference that is seen twice, with no order in between that could explain
    /// it, was made outside: it is taken over, recorded and told, and nothing is traded because of it.
    pub(super) async fn surveyed(&mut self, survey: Survey) -> Result<(), ActorProcessingErr> {
        fault::point("execution.surveyed");
        let connection = survey.connection;
        for report in &survey.orders {
            self.report(report, Stages::default()).await?;
        }
        let listed: BTreeSet<_> = survey.orders.iter().map(|report| report.order).collect();
        let missing: Vec<_> = self
            .book
            .open_orders()
            .filter(|order| order.ticket.connection == connection && order.created_at < survey.asked)
            .filter(|order| {
                !matches!(order.status, OrderStatus::Queued) && !listed.contains(&order.ticket.id)
            })
            .map(|order| order.ticket.id)
            .collect();
        let settled = missing.is_empty();
        for order in missing {
            self.look_up(order);
        }
        let found = differences(connection, &self.book.user().positions, &survey.positions);
        let keys: Vec<Key> = found.iter().map(|(symbol, ..)| (connection, *symbol)).collect();
        self.watch.drifted.retain(|key, _| key.0 != connection || keys.contains(key));
        let mut again = false;
        for (symbol, ours, theirs) in found {
            let key = (connection, symbol);
            let seen = self.watch.drifted.remove(&key);
            if !settled || self.is_moving(key) || self.watch.filled_since(key, survey.asked) {
                again = true;
                continue;
            }
            if let Err(sighting) = Sighting::confirmed(seen, theirs, survey.asked) {
                self.watch.drifted.insert(key, sighting);
                again = true;
                continue;
            }
            let position = adopted(&survey, key, self.book.user().position(connection, symbol));
            tracing::warn!(user.id = %self.lines.id, %symbol, %ours, %theirs, "a position was changed outside");
            metrics::counter!("trade_executor_drift_total").increment(1);
            let account = self.connections.get(&connection);
            let price = account.and_then(|account| Some(account.market.quote(symbol)?.price));
            // Without a price it counts at what it cost, as its cash does.
            let price = price.or_else(|| position.avg_px());
            self.record(vec![Event::DriftFound { ours, position, price }]).await?;
        }
        again |= self.take_cash(&survey, settled).await?;
        if again
            && let Some(account) = self.connections.get(&connection)
            && account.actor.cast(ConnectionMsg::SurveySoon).is_err()
        {
            tracing::debug!(%connection, "the broker connection is restarting");
        }
        Ok(())
    }

    /// Takes over the balance; returns whether it has to be looked at again.
    async fn take_cash(&mut self, survey: &Survey, settled: bool) -> Result<bool, ActorProcessingErr> {
        let (connection, balance) = (survey.connection, survey.balance);
        let known = self.book.balance(connection).copied();
        let moved = known.and_then(|known| cash_moved(&known, &balance));
        if moved.is_some() && (!settled || self.watch.any_filled_since(connection, survey.asked)) {
            return Ok(true);
        }
        let seen = self.watch.cash.remove(&connection);
        let Some(amount) = moved else {
            self.lines.risk.tell(RiskMsg::Balance(connection, balance));
            return Ok(false);
        };
        if let Err(sighting) = Sighting::confirmed(seen, balance.cash, survey.asked) {
            self.watch.cash.insert(connection, sighting);
            return Ok(true);
        }
        self.record(vec![Event::CashMoved { connection, amount, balance }]).await?;
        Ok(false)
    }

    /// Returns whether an order may be changing a position just now.
    fn is_moving(&self, key: Key) -> bool {
        self.book.open_orders().filter(|order| order.key() == key).any(|order| {
            matches!(order.status, OrderStatus::Pending | OrderStatus::Unknown | OrderStatus::PendingCancel)
        })
    }
}

/// Returns a position as the broker holds it; what was gained before stays known.
fn adopted(survey: &Survey, (connection, symbol): Key, ours: Option<&Position>) -> Position {
    let theirs = survey.positions.iter().find(|held| held.symbol == symbol).cloned();
    let mut position = theirs.unwrap_or_else(|| Position::flat(connection, symbol, survey.asked));
    position.connection = connection;
    if let Some(ours) = ours {
        position.realized = ours.realized;
        position.opened_at = ours.opened_at;
    }
    position
}
