//! Tokens that a venue gives for a while: one request at a time asks for one, ahead of the last one's end.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use tokio::sync::Mutex;

use super::verdict::Verdict;
use super::way::Way;

/// How long before its end a token is used no more.
const AHEAD: TimeDelta = TimeDelta::seconds(60);

/// A token that a venue gave for a while.
#[derive(Debug)]
pub struct Bearer {
    /// The token.
    pub token: SecretString,
    /// When it ends, by our clock.
    pub until: DateTime<Utc>,
}

impl Bearer {
    fn is_good(&self, now: DateTime<Utc>) -> bool {
        now + AHEAD < self.until
    }
}

/// The token of one account. Whoever finds none asks for one, and all others wait for that.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<Option<Arc<Bearer>>>);

impl Held {
    /// Returns the token, asked for anew where there is none, it ends soon, or it is the one that was refused; `None`:
    /// the venue gives none.
    ///
    /// # Errors
    /// When the venue gives none now. What was to carry it was not sent.
    pub(super) async fn get(
        &self,
        way: &Way,
        refused: Option<&Arc<Bearer>>,
    ) -> Result<Option<Arc<Bearer>>, Verdict> {
        let mut held = self.0.lock().await;
        let is_fit = |known: &&Arc<Bearer>| {
            known.is_good(way.now()) && !refused.is_some_and(|refused| Arc::ptr_eq(refused, known))
        };
        if let Some(known) = held.as_ref().filter(is_fit) {
            return Ok(Some(Arc::clone(known)));
        }
        *held = None;
        let given = match Box::pin(way.venue().bearer(way)).await {
            Ok(given) => given.map(Arc::new),
            Err(Verdict::Lost(why)) => {
                tracing::info!(broker = way.venue().facts().about.name, %why, "no token was given");
                return Err(Verdict::unreached());
            }
            Err(verdict) => return Err(verdict),
        };
        held.clone_from(&given);
        Ok(given)
    }

    /// Has the next one asked for anew.
    pub(super) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}
