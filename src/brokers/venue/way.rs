//! One account's way to a venue: its hosts, its credentials, its clock, and how often it may ask.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Url;
use reqwest::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tokio::time::sleep;
use zeroize::Zeroizing;

use trade_actors::domain::order::Mode;
use trade_actors::domain::report::RefusalCode;
use trade_actors::ports::clock::Clock;

use super::bearer::{Bearer, Held};
use super::call::{Call, Moment};
use super::turn::Door;
use super::verdict::Verdict;
use super::{Facts, Scope, Venue};
use crate::brokers::board::Board;
use crate::brokers::bucket::Bucket;
use crate::brokers::credentials::Auth;
use crate::brokers::http::{Client, Lost, Reply, Request};

/// A venue's addresses for one mode.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// Accounts and orders.
    pub rest: Url,
    /// News of orders.
    pub stream: Url,
    /// Prices and instruments.
    pub data: Url,
    /// Prices as they change.
    pub data_stream: Url,
}

/// The counts that a venue keeps of all that comes from this machine.
#[derive(Clone, Debug)]
pub struct Shared(Vec<Arc<Mutex<Bucket>>>);

impl Shared {
    /// Returns full counts.
    #[must_use]
    pub fn new(facts: &Facts, clock: &dyn Clock) -> Self {
        let now = clock.stamp();
        Self(facts.lanes.iter().map(|lane| Arc::new(Mutex::new(Bucket::new(lane.allowance, now)))).collect())
    }
}

/// What a way is made from.
#[derive(Clone, Debug)]
pub struct Means {
    /// Who answers.
    pub venue: Arc<dyn Venue>,
    /// The HTTP client.
    pub client: Client,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What comes from this machine.
    pub shared: Shared,
    /// What is known of instruments and prices.
    pub board: Arc<Board>,
}

/// One account's way to a venue, or, without credentials, anybody's.
#[derive(Debug)]
pub struct Way {
    means: Means,
    hosts: Hosts,
    auth: Option<(Auth, Mode)>,
    lanes: Vec<Arc<Mutex<Bucket>>>,
    door: Door,
    /// By how many milliseconds the venue's time is ahead of ours.
    skew_ms: AtomicI64,
    /// When a request was last sent, by our time in milliseconds.
    sent_ms: AtomicI64,
    nonce: AtomicU64,
    bearer: Held,
}

impl Way {
    /// Returns a way; nothing is sent.
    #[must_use]
    pub fn new(means: Means, hosts: Hosts, auth: Option<(Auth, Mode)>) -> Self {
        let now = means.clock.stamp();
        let lanes = means.venue.facts().lanes.iter().zip(&means.shared.0);
        let lanes = lanes
            .map(|(lane, shared)| match lane.scope {
                Scope::Account => Arc::new(Mutex::new(Bucket::new(lane.allowance, now))),
                Scope::Address => Arc::clone(shared),
            })
            .collect();
        Self {
            means,
            hosts,
            auth,
            lanes,
            door: Door::default(),
            skew_ms: AtomicI64::new(0),
            sent_ms: AtomicI64::new(0),
            nonce: AtomicU64::new(0),
            bearer: Held::default(),
        }
    }

    /// Returns who answers.
    #[must_use]
    pub fn venue(&self) -> &Arc<dyn Venue> {
        &self.means.venue
    }

    /// Returns the addresses.
    #[must_use]
    pub const fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// Returns the credentials.
    #[must_use]
    pub fn auth(&self) -> Option<&Auth> {
        self.auth.as_ref().map(|(auth, _)| auth)
    }

    /// Returns whether the money is real.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.auth.as_ref().is_some_and(|(_, mode)| *mode == Mode::Live)
    }

    /// Returns the client.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.means.client
    }

    /// Returns what is known of instruments and prices, for venues whose orders need them.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.means.board
    }

    /// Returns our time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.means.clock.now()
    }

    /// Returns when and with which number the next request is sent.
    #[must_use]
    pub fn moment(&self) -> Moment {
        let skew = TimeDelta::milliseconds(self.skew_ms.load(Ordering::Relaxed));
        let at = self.now().checked_add_signed(skew).unwrap_or_else(|| self.now());
        let host = self.hosts.rest.host_str().unwrap_or_default();
        let host = match self.hosts.rest.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Moment { at, nonce: self.number(), host }
    }

    /// Returns a number larger than any before, of this start or an earlier one: nanoseconds since 1970, or one more.
    fn number(&self) -> u64 {
        let now = self.now().timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or(0);
        let next = |last: u64| Some(now.max(last.saturating_add(1)));
        match self.nonce.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(last) | Err(last) => now.max(last.saturating_add(1)),
        }
    }

    /// Asks, and reads the reply as JSON of a known shape.
    ///
    /// # Errors
    /// What the reply means, where it is no success.
    pub async fn get<T: DeserializeOwned>(&self, call: Call) -> Result<T, Verdict> {
        self.read(&Box::pin(self.ask(call)).await?.body)
    }

    /// Reads JSON of a known shape.
    ///
    /// # Errors
    /// When it is not what the venue documents: then nothing is known.
    pub fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Verdict> {
        serde_json::from_slice(body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let why = match error.classify() {
                Category::Io | Category::Eof => "it ends too soon",
                Category::Syntax => "it is no JSON",
                Category::Data => "a field is missing or of another kind",
            };
            let broker = self.facts().about.name;
            tracing::warn!(broker, line, column, why, "a reply cannot be read");
            Verdict::Lost("it answered, but not in words that can be read".to_owned())
        })
    }

    /// Sends a request once, and once more with the venue's time or another token if that was what was wrong.
    ///
    /// # Errors
    /// What the reply means, where it is no success.
    pub async fn ask(&self, call: Call) -> Result<Reply, Verdict> {
        let bearer = self.bearer(&call, None).await?;
        match Box::pin(self.once(&call, bearer.as_deref())).await {
            Err(Verdict::Skewed) if self.facts().checks_time => {
                Box::pin(self.follow_time()).await?;
                Box::pin(self.once(&call, bearer.as_deref())).await
            }
            // Refused for its token alone, so that nothing was done: the token may have ended before its time.
            Err(verdict) if verdict.is_of_credentials() && bearer.is_some() => {
                let bearer = self.bearer(&call, bearer.as_ref()).await?;
                Box::pin(self.once(&call, bearer.as_deref())).await
            }
            answer => answer,
        }
    }

    /// Returns the token that a request carries; `None`: it carries none.
    async fn bearer(
        &self,
        call: &Call,
        refused: Option<&Arc<Bearer>>,
    ) -> Result<Option<Arc<Bearer>>, Verdict> {
        if !call.is_signed || call.is_login || self.auth.is_none() {
            return Ok(None);
        }
        Box::pin(self.bearer.get(self, refused)).await
    }

    /// Returns the token that a stream is opened with; `None`: the venue gives none.
    ///
    /// # Errors
    /// When the venue gives none now.
    pub async fn token(&self) -> Result<Option<SecretString>, Verdict> {
        Ok(Box::pin(self.bearer.get(self, None)).await?.map(|bearer| bearer.token.clone()))
    }

    /// Has another token asked for: a stream refused this one.
    pub(super) async fn distrust(&self) {
        self.bearer.forget().await;
    }

    /// Asks for the venue's time and goes by it.
    ///
    /// # Errors
    /// When it does not tell.
    pub async fn follow_time(&self) -> Result<(), Verdict> {
        let Some(theirs) = self.venue().time(self).await? else { return Ok(()) };
        let (sent_ms, answered_ms) = (self.sent_ms.load(Ordering::Relaxed), self.now().timestamp_millis());
        self.skew_ms.store(ahead_by(theirs.timestamp_millis(), sent_ms, answered_ms), Ordering::Relaxed);
        Ok(())
    }

    async fn once(&self, call: &Call, bearer: Option<&Bearer>) -> Result<Reply, Verdict> {
        let facts = self.facts();
        self.turn(call).await?;
        let _turn =
            if facts.is_serial && call.is_signed { Some(self.door.enter(call.urgency).await) } else { None };
        let auth = self.auth().filter(|_| call.is_signed);
        let no_way = || Verdict::refused(facts.about.title, RefusalCode::AuthFailed, "");
        if call.is_signed && auth.is_none() {
            return Err(no_way());
        }
        let mut signed = self.venue().sign(auth, call, &self.moment()).ok_or_else(no_way)?;
        if let Some(bearer) = bearer {
            let value = Zeroizing::new(format!("Bearer {}", bearer.token.expose_secret()));
            signed = signed.with_hidden(AUTHORIZATION.as_str(), &value).ok_or_else(no_way)?;
        }
        let usual = if call.is_signed { &self.hosts.rest } else { &self.hosts.data };
        let base = call.base.as_ref().unwrap_or(usual);
        let url = at(base, &signed.target).ok_or_else(Verdict::unreached)?;
        let request = Request {
            method: call.method.clone(),
            url,
            headers: signed.headers,
            body: signed.body.to_vec(),
            limit: call.limit,
        };
        self.sent_ms.fetch_max(self.now().timestamp_millis(), Ordering::Relaxed);
        let reply = match self.client().send(request).await {
            Ok(reply) => reply,
            Err(Lost::Unsent(why)) => {
                tracing::debug!(broker = facts.about.name, %why, "a request was not sent");
                return Err(Verdict::unreached());
            }
            Err(Lost::Sent(why)) => return Err(Verdict::Lost(why)),
        };
        let judged = self.venue().judge(call, &reply);
        if let Some(pause) = self.venue().locked_out(&reply) {
            for (lane, _) in facts.lanes.iter().enumerate().filter(|(_, lane)| lane.scope == Scope::Account) {
                self.close(lane, pause);
            }
        }
        match judged {
            Ok(()) => Ok(reply),
            Err(Verdict::Slow(pause)) => {
                for (lane, _) in &call.costs {
                    self.close(*lane, pause);
                }
                Err(Verdict::throttled(pause))
            }
            Err(verdict) => Err(verdict),
        }
    }

    /// Waits until every lane has room for the request.
    async fn turn(&self, call: &Call) -> Result<(), Verdict> {
        let (patience, mut waited) = (self.venue().patience(call), Duration::ZERO);
        for (lane, cost) in &call.costs {
            loop {
                let taken = self.lane(*lane).map(|mut lane| {
                    let now = self.means.clock.stamp();
                    lane.take(*cost, call.urgency, now).map_err(|wait| (wait, lane.pace(*cost)))
                });
                let Some(Err((wait, pace))) = taken else { break };
                waited = waited.saturating_add(wait);
                if waited > patience {
                    return Err(Verdict::Held { wait, pace });
                }
                sleep(wait).await;
            }
        }
        Ok(())
    }

    /// Lets nothing pass a lane for a while.
    fn close(&self, lane: usize, pause: Duration) {
        if let Some(mut bucket) = self.lane(lane) {
            bucket.close(pause, self.means.clock.stamp());
        }
    }

    fn lane(&self, lane: usize) -> Option<MutexGuard<'_, Bucket>> {
        self.lanes.get(lane).map(|bucket| bucket.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn facts(&self) -> &'static Facts {
        self.venue().facts()
    }
}

/// Returns by how many milliseconds a venue's time is ahead of ours: it was told about half way between the moment at which
/// the question was sent, which may have waited for its turn for seconds, and the answer. Where another request was sent
/// in between, it counts as told a little later than that, and never later than it was answered.
const fn ahead_by(theirs_ms: i64, sent_ms: i64, answered_ms: i64) -> i64 {
    let took = answered_ms.saturating_sub(sent_ms);
    let middle = if took > 0 { answered_ms.saturating_sub(took / 2) } else { answered_ms };
    theirs_ms.saturating_sub(middle)
}

/// Returns a path and query below an address, as they are: what was signed is what is sent.
fn at(base: &Url, target: &str) -> Option<Url> {
    let whole = format!("{}{target}", base.as_str().trim_end_matches('/'));
    Url::parse(&whole).ok().filter(|url| url.host() == base.host() && url.port() == base.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_that_of_half_way_between_sending_and_the_answer() {
        assert_eq!(ahead_by(5_000, 1_000, 1_200), 3_900);
        assert_eq!(ahead_by(1_100, 1_000, 1_200), 0);
        // Our clock was set back meanwhile.
        assert_eq!(ahead_by(1_100, 1_000, 900), 200);
        assert_eq!(ahead_by(i64::MIN, i64::MIN, i64::MAX), i64::MIN);
    }

    #[test]
    fn a_target_stays_below_its_address_as_it_is() {
        let base: Url = "http://127.0.0.1:99/base/".parse().unwrap();
        let url = at(&base, "/api/v3/order?a=%2B1&signature=ab%3D").unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:99/base/api/v3/order?a=%2B1&signature=ab%3D");
        let other: Url = "http://127.0.0.1:99".parse().unwrap();
        assert_eq!(at(&other, "@evil.example/x"), None);
    }
}
