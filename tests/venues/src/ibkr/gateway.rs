//! One username's session at its gateway, and what all gateways have in common.
//!
//! A human logs in; that lasts until midnight in New York. The brokerage session on top of it ends after six minutes
//! without a request, or when the username is used elsewhere, and can be opened again by a request. That the idle
//! timeout leaves the login alone is unconfirmed.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::America::New_York;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::pacing::{Pacer, Pacing};
use super::questions::{Ask, Pending, Prompt};
use crate::book::OrderId;

/// How long a brokerage session lasts without a request.
const IDLE: TimeDelta = TimeDelta::minutes(6);
/// How long an order's name is taken.
const NAME_TAKEN: TimeDelta = TimeDelta::hours(24);

/// What an order that an account cannot pay for comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unpaid {
    /// It is taken, and is inactive right after.
    #[default]
    Later,
    /// It is refused at once, with a 200.
    AtOnce,
}

/// How all gateways behave; tests change it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// How often they may be asked.
    pub pacing: Pacing,
    /// A limit so many percent away from the last price is asked about; none never is.
    pub price_pct: Option<Decimal>,
    /// More shares than this are asked about.
    pub size_limit: Option<Decimal>,
    /// An order worth more than this is asked about.
    pub value_limit: Option<Decimal>,
    /// What an order that cannot be paid for comes to.
    pub unpaid: Unpaid,
    /// Milliseconds between two heartbeats of a stream.
    pub heartbeat_ms: u64,
    /// A stream first shows a new order as inactive, though it is only on its way.
    pub first_frame_inactive: bool,
    /// The commission that each trade shows; the account does not pay it.
    pub commission: Decimal,
    /// A login ends at midnight in New York.
    pub daily_reset: bool,
    /// Which orders of the next family fail, counted from zero; the others of it are taken.
    pub failing_legs: BTreeSet<usize>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            pacing: Pacing::default(),
            price_pct: Some(Decimal::from(3)),
            size_limit: None,
            value_limit: None,
            unpaid: Unpaid::default(),
            heartbeat_ms: 10_000,
            first_frame_inactive: false,
            commission: Decimal::ONE,
            daily_reset: true,
            failing_legs: BTreeSet::new(),
        }
    }
}

/// What the book does not know of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The name it came with.
    pub coid: Option<String>,
    /// The name of the order it hangs on.
    pub parent: Option<String>,
    /// Why it is inactive.
    pub reason: Option<String>,
}

/// How a gateway's session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Somebody has logged in.
    pub logged_in: bool,
    /// It can trade.
    pub authenticated: bool,
    /// The username is used elsewhere.
    pub competing: bool,
    /// The gateway reaches its servers.
    pub connected: bool,
}

/// A login that lasts.
#[derive(Clone, Debug)]
struct Login {
    at: DateTime<Utc>,
    session: String,
}

/// One gateway: one username, one account.
#[derive(Debug)]
pub struct Gateway {
    /// Whose it is.
    pub account: String,
    /// It trades fractions of shares.
    pub fractions: bool,
    /// It trades with paper money.
    pub paper: bool,
    pub(super) pacer: Pacer,
    pub(super) session: Session,
    login: Option<Login>,
    logins: u32,
    bridge: bool,
    competing: bool,
    connected: bool,
    seen: DateTime<Utc>,
    names: BTreeMap<String, DateTime<Utc>>,
    metas: BTreeMap<OrderId, Meta>,
}

/// What a brokerage session remembers, and the next one does not.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// When it began.
    pub(super) since: DateTime<Utc>,
    /// The accounts were asked for.
    pub(super) primed: bool,
    /// The portfolio's accounts were asked for.
    pub(super) portfolio: bool,
    /// The orders were asked for.
    pub(super) listed: bool,
    /// The trades were asked for.
    pub(super) traded: bool,
    /// The orders were last asked for with a filter: streams tell nothing of them.
    pub(super) filtered: bool,
    /// Questions that are not asked.
    pub(super) suppressed: BTreeSet<String>,
    /// The orders that wait for an answer.
    pub(super) pending: Option<Pending>,
    /// The orders that wait for an answer to a prompt.
    pub(super) prompt: Option<Prompt>,
    /// Contracts whose market data was asked for.
    pub(super) lines: BTreeSet<i64>,
    /// The positions as they were first seen.
    pub(super) positions: Option<Vec<Value>>,
    /// How many questions were asked.
    pub(super) asked: u64,
}

impl Gateway {
    fn new(account: &str, now: DateTime<Utc>) -> Self {
        let mut gateway = Self {
            account: account.to_owned(),
            fractions: false,
            paper: account.starts_with('D'),
            pacer: Pacer::default(),
            session: Session::default(),
            login: None,
            logins: 0,
            bridge: false,
            competing: false,
            connected: true,
            seen: now,
            names: BTreeMap::new(),
            metas: BTreeMap::new(),
        };
        gateway.log_in(now);
        gateway
    }

    /// Logs in as a human does, in a browser; the brokerage session is then open.
    pub fn log_in(&mut self, now: DateTime<Utc>) {
        self.logins += 1;
        let session = format!("{:016x}{:08x}", 0xbb66_5d0f_0000_0000_u64 ^ hash(&self.account), self.logins);
        self.login = Some(Login { at: now, session });
        self.open(now);
    }

    /// Logs out: from now on a human is needed.
    pub fn log_out(&mut self) {
        self.login = None;
        self.close();
    }

    /// Lets the username be used elsewhere.
    pub fn compete(&mut self) {
        self.close();
        self.competing = true;
    }

    /// Cuts the gateway from its servers, or connects it again; the brokerage session is gone either way.
    pub fn connect(&mut self, connected: bool) {
        self.connected = connected;
        self.close();
    }

    /// Opens a brokerage session on top of a login. Returns false where that is not possible.
    pub(super) fn init(&mut self, now: DateTime<Utc>, compete: bool) -> bool {
        let possible = self.login.is_some() && self.connected && (compete || !self.competing);
        if possible && !self.bridge {
            self.open(now);
        }
        possible
    }

    fn open(&mut self, now: DateTime<Utc>) {
        self.bridge = self.connected;
        self.competing = false;
        self.seen = now;
        self.session = Session { since: now, ..Session::default() };
    }

    fn close(&mut self) {
        self.bridge = false;
        self.session = Session::default();
    }

    /// Ends what is over by now.
    pub fn expire(&mut self, now: DateTime<Utc>, policy: &Policy) {
        let day = |at: DateTime<Utc>| at.with_timezone(&New_York).date_naive();
        if policy.daily_reset && self.login.as_ref().is_some_and(|login| day(login.at) != day(now)) {
            self.log_out();
        }
        if self.bridge && now - self.seen >= IDLE {
            self.close();
        }
    }

    /// Notes a sign of life of the client.
    pub(super) fn touch(&mut self, now: DateTime<Utc>) {
        self.seen = now;
    }

    /// Returns how the session stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing {
            logged_in: self.login.is_some(),
            authenticated: self.login.is_some() && self.bridge,
            competing: self.competing,
            connected: self.connected,
        }
    }

    /// Returns the session's name, if somebody has logged in.
    #[must_use]
    pub fn session_name(&self) -> Option<&str> {
        self.login.as_ref().map(|login| login.session.as_str())
    }

    /// Returns when a person logged in.
    pub(super) fn login_at(&self) -> Option<DateTime<Utc>> {
        self.login.as_ref().map(|login| login.at)
    }

    /// Returns when the login ends, in milliseconds from now.
    pub(super) fn login_lasts(&self, now: DateTime<Utc>) -> i64 {
        let ends = self.login.as_ref().map(|login| login.at + TimeDelta::hours(24));
        ends.map_or(0, |ends| (ends - now).num_milliseconds())
    }

    /// Returns how the session stands, as the gateway says it.
    #[must_use]
    pub fn auth_status(&self) -> Value {
        let Standing { authenticated, competing, connected, .. } = self.standing();
        json!({
            "authenticated": authenticated,
            "established": authenticated,
            "competing": competing,
            "connected": connected,
            "message": "",
            "MAC": "98:F2:B3:23:BF:A0",
            "serverInfo": {"serverName": "JifN19053", "serverVersion": "Build 10.25.0p, Dec 5, 2023 5:48:12 PM"},
            "fail": "",
        })
    }

    /// Returns whether an order of this name was taken within a day.
    pub(super) fn is_taken(&self, coid: &str, now: DateTime<Utc>) -> bool {
        self.names.get(coid).is_some_and(|at| now - *at < NAME_TAKEN)
    }

    /// Remembers an order that was taken.
    pub(super) fn remember(&mut self, now: DateTime<Utc>, id: OrderId, meta: Meta) {
        if let Some(coid) = &meta.coid {
            self.names.insert(coid.clone(), now);
        }
        self.metas.insert(id, meta);
    }

    /// Returns what the book does not know of an order.
    pub(super) fn meta(&self, id: OrderId) -> Option<&Meta> {
        self.metas.get(&id)
    }

    /// Returns the order of this name that was taken last.
    pub(super) fn named(&self, coid: &str) -> Option<OrderId> {
        let mut all = self.metas.iter().rev();
        all.find(|(_, meta)| meta.coid.as_deref() == Some(coid)).map(|(id, _)| *id)
    }
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// All gateways of a process.
#[derive(Debug, Default)]
pub struct Gateways {
    /// How they behave.
    pub policy: Policy,
    /// What they ask beyond what they always do.
    pub asks: Vec<Ask>,
    /// Symbols whose market data is not real time: the first letter of their availability.
    pub availability: BTreeMap<String, char>,
    by_account: BTreeMap<String, Gateway>,
}

impl Gateways {
    /// Returns an account's gateway. The first time, somebody has just logged in.
    pub fn of(&mut self, account: &str, now: DateTime<Utc>) -> &mut Gateway {
        self.by_account.entry(account.to_owned()).or_insert_with(|| Gateway::new(account, now))
    }

    /// Returns an account's gateway, with what is over by now ended, and how all behave.
    pub(super) fn desk(&mut self, account: &str, now: DateTime<Utc>) -> Desk<'_> {
        let gateway = self.by_account.entry(account.to_owned()).or_insert_with(|| Gateway::new(account, now));
        gateway.expire(now, &self.policy);
        Desk { gateway, policy: &mut self.policy, asks: &mut self.asks, availability: &self.availability }
    }

    /// Returns an account's gateway as it is, if it was ever used.
    #[must_use]
    pub fn known(&self, account: &str) -> Option<&Gateway> {
        self.by_account.get(account)
    }

    /// Returns how every gateway's session stands, by account.
    #[must_use]
    pub fn standings(&self) -> BTreeMap<&str, Standing> {
        self.by_account.iter().map(|(name, gateway)| (name.as_str(), gateway.standing())).collect()
    }

    /// Returns the availability of a symbol's market data.
    #[must_use]
    pub fn availability(&self, symbol: &str) -> char {
        self.availability.get(symbol).copied().unwrap_or('R')
    }

    /// Lets everybody out of the penalty box.
    pub fn forgive(&mut self) {
        for gateway in self.by_account.values_mut() {
            gateway.pacer.forgive();
        }
    }
}

/// One gateway at work, and how all behave.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    pub(super) gateway: &'a mut Gateway,
    pub(super) policy: &'a mut Policy,
    pub(super) asks: &'a mut Vec<Ask>,
    pub(super) availability: &'a BTreeMap<String, char>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2024-06-06T{text}-04:00").parse().unwrap()
    }

    #[test]
    fn a_login_lasts_until_midnight_and_a_session_for_six_quiet_minutes() {
        let policy = Policy::default();
        let mut gateway = Gateway::new("DU1", at("10:00:00"));
        gateway.expire(at("10:05:59"), &policy);
        assert!(gateway.standing().authenticated);
        gateway.touch(at("10:05:59"));
        gateway.expire(at("10:11:58"), &policy);
        assert!(gateway.standing().authenticated);
        gateway.expire(at("10:11:59"), &policy);
        assert!(!gateway.standing().authenticated && gateway.standing().logged_in);
        assert!(gateway.init(at("10:12:00"), false));
        assert!(gateway.standing().authenticated);
        gateway.expire(at("23:59:59") + TimeDelta::seconds(1), &policy);
        assert!(!gateway.standing().logged_in);
        assert!(!gateway.init(at("23:59:59"), true), "a human is needed");
    }

    #[test]
    fn who_competes_wins() {
        let mut gateway = Gateway::new("DU1", at("10:00:00"));
        gateway.compete();
        assert!(gateway.standing().competing && !gateway.standing().authenticated);
        assert!(!gateway.init(at("10:00:01"), false));
        assert!(gateway.init(at("10:00:01"), true));
        assert!(!gateway.standing().competing && gateway.standing().authenticated);
    }

    #[test]
    fn a_name_is_taken_for_a_day() {
        let mut gateway = Gateway::new("DU1", at("10:00:00"));
        let meta = Meta { coid: Some("a".to_owned()), ..Meta::default() };
        gateway.remember(at("10:00:00"), OrderId(1), meta);
        assert!(gateway.is_taken("a", at("23:00:00")));
        assert!(!gateway.is_taken("a", at("10:00:00") + TimeDelta::hours(24)));
        assert_eq!(gateway.named("a"), Some(OrderId(1)));
    }
}
