//! A gateway: its session, whose turn it is to submit, and the lists that may be asked for only now and then.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use trade_actors::domain::report::RefusalCode;

use super::errors::{self, Said};
use super::{ALL, LIFE, account, wire};
use crate::brokers::http::Reply;
use crate::brokers::venue::call::Call;
use crate::brokers::venue::verdict::Verdict;
use crate::brokers::venue::way::Way;

/// How long is between an answer and the next request for the same slow list: the documented five seconds, and some for
/// the clock. From the answer on, as a request may take its time to get there.
const SLOW: Duration = Duration::from_millis(5_100);
/// How long is between two questions who is logged in: a minute, and some for the clock.
const VALIDATE: Duration = Duration::from_secs(61);
/// How often a list is asked for until it is ready.
const TRIES: u32 = 4;
/// How often a session that is being opened is looked at, and how long between.
const LOOKS: u32 = 5;
const LOOK: Duration = Duration::from_secs(1);
/// How long without a sign of life is long enough for one.
const QUIET: Duration = Duration::from_secs(55);
/// Questions that are never asked: whether prices may be managed by an algorithm, which cannot be answered in place.
const SUPPRESSED: [&str; 1] = ["p12"];

/// A gateway, as far as it is known.
#[derive(Debug)]
pub(super) struct Gate {
    /// One submission with its questions at a time: another one ends what waits for an answer.
    pub(super) submitting: Mutex<()>,
    session: Mutex<Session>,
    portfolio: Mutex<Portfolio>,
    orders: Mutex<Page<wire::Listed>>,
    trades: Mutex<Page<wire::Trade>>,
    /// When it was last asked who is logged in.
    validated_at: Mutex<Instant>,
}

#[derive(Debug)]
struct Session {
    /// Counts the sessions.
    number: u64,
    accounts: Option<wire::Accounts>,
    seen: Option<Instant>,
}

/// The portfolio's accounts, which are to be asked for before anything else of it.
#[derive(Debug)]
struct Portfolio {
    asked_at: Instant,
    /// In which session they were asked for.
    session: u64,
}

/// A list that is asked for only now and then.
#[derive(Debug)]
struct Page<T> {
    /// When it was last asked for.
    asked_at: Instant,
    /// When that was answered.
    answered_at: Instant,
    /// When what is here was asked for.
    of: Option<Instant>,
    /// In which session it was last asked for: the first time the gateway only begins to gather it.
    session: u64,
    rows: Arc<Vec<T>>,
}

impl<T> Page<T> {
    fn new(now: Instant) -> Self {
        Self { asked_at: now, answered_at: now, of: None, session: 0, rows: Arc::default() }
    }

    /// Waits until it may be asked for.
    async fn turn(&mut self) {
        sleep_until(self.answered_at + SLOW).await;
        self.asked_at = Instant::now();
        self.answered_at = self.asked_at;
    }

    fn may_ask(&self) -> bool {
        self.answered_at.elapsed() >= SLOW
    }

    /// Notes that an answer has come, whatever it is.
    fn answered<U>(&mut self, answer: U) -> U {
        self.answered_at = Instant::now();
        answer
    }

    fn take(&mut self, rows: Vec<T>) -> Arc<Vec<T>> {
        self.of = Some(self.asked_at);
        self.rows = Arc::new(rows);
        Arc::clone(&self.rows)
    }
}

impl Default for Gate {
    /// Returns a gateway of which nothing is known: what an earlier start of this program asked it a moment ago counts
    /// there, so that the slow lists are not asked for at once.
    fn default() -> Self {
        let now = Instant::now();
        Self {
            submitting: Mutex::default(),
            session: Mutex::new(Session { number: 0, accounts: None, seen: None }),
            portfolio: Mutex::new(Portfolio { asked_at: now, session: 0 }),
            orders: Mutex::new(Page::new(now)),
            trades: Mutex::new(Page::new(now)),
            validated_at: Mutex::new(now),
        }
    }
}

impl Gate {
    /// Asks, with the session opened first, and once more if it turns out to be gone.
    pub(super) async fn ask(&self, way: &Way, call: Call) -> Result<Reply, Verdict> {
        let session = Box::pin(self.ready_for(way, &call)).await?;
        match errors::read(&call, way.ask(call.clone()).await?) {
            Err(Said::NoSession) => self.gone(session).await,
            answer => return answer.map_err(verdict),
        }
        Box::pin(self.ready_for(way, &call)).await?;
        errors::read(&call, way.ask(call.clone()).await?).map_err(verdict)
    }

    /// Asks, and reads the reply.
    pub(super) async fn get<T: DeserializeOwned>(&self, way: &Way, call: Call) -> Result<T, Verdict> {
        way.read(&Box::pin(self.ask(way, call)).await?.body)
    }

    /// Sends a part of a submission once. Without a session it was not taken: it is opened for the next time.
    pub(super) async fn send(&self, way: &Way, call: Call) -> Result<Reply, Verdict> {
        let session = Box::pin(self.ready(way)).await?;
        match errors::read(&call, way.ask(call.clone()).await?) {
            Err(Said::NoSession) => {
                self.gone(session).await;
                Box::pin(self.ready(way)).await?;
                Err(Verdict::Unsent { code: RefusalCode::BrokerUnavailable, retry_after: LOOK })
            }
            answer => answer.map_err(verdict),
        }
    }

    /// Notes that a session is gone.
    pub(super) async fn gone(&self, number: u64) {
        let mut session = self.session.lock().await;
        if session.number == number {
            session.accounts = None;
        }
    }

    /// Opens the session if it is not open, the portfolio too where that is what is asked for; returns its number.
    async fn ready_for(&self, way: &Way, call: &Call) -> Result<u64, Verdict> {
        let session = Box::pin(self.ready(way)).await?;
        if call.path.starts_with("/portfolio") {
            let mut portfolio = self.portfolio.lock().await;
            if portfolio.session != session {
                sleep_until(portfolio.asked_at + SLOW).await;
                portfolio.asked_at = Instant::now();
                let told: Result<serde_json::Value, Verdict> =
                    first(way, Call::get("/portfolio/accounts")).await;
                portfolio.asked_at = Instant::now();
                told?;
                portfolio.session = session;
            }
        }
        Ok(session)
    }

    /// Opens the session if it is not open, and returns its number.
    ///
    /// # Errors
    /// When a person has to log in, somebody else trades with this login, or the account is another's.
    pub(super) async fn ready(&self, way: &Way) -> Result<u64, Verdict> {
        let mut session = self.session.lock().await;
        let accounts = match &session.accounts {
            Some(accounts) => accounts.clone(),
            None => Box::pin(open(way, &mut session)).await?,
        };
        fits(way, &accounts)?;
        Ok(session.number)
    }

    /// Gives a sign of life if there was none for a while; a session that is gone is noticed by the next request.
    pub(super) async fn keep(&self, way: &Way) -> Result<(), Verdict> {
        let is_quiet = self.session.lock().await.seen.is_none_or(|seen| seen.elapsed() >= QUIET);
        if is_quiet { Box::pin(self.tickle(way)).await.map(drop) } else { Ok(()) }
    }

    /// Gives a sign of life, and returns the session's name.
    pub(super) async fn tickle(&self, way: &Way) -> Result<wire::Tickle, Verdict> {
        self.session.lock().await.seen = Some(Instant::now());
        Box::pin(self.get(way, Call::post("/tickle").costing(&[(LIFE, 1), (ALL, 1)]))).await
    }

    /// Returns what is known of the login. That may be asked for once a minute, so that it may take as long.
    pub(super) async fn login(&self, way: &Way) -> Result<wire::Login, Verdict> {
        let mut validated_at = self.validated_at.lock().await;
        sleep_until(*validated_at + VALIDATE).await;
        let told = Box::pin(self.get(way, Call::get("/sso/validate"))).await;
        *validated_at = Instant::now();
        told
    }

    /// Returns the orders of today, asked for after this was called.
    pub(super) async fn orders(&self, way: &Way) -> Result<Arc<Vec<wire::Listed>>, Verdict> {
        let came = Instant::now();
        let mut page = self.orders.lock().await;
        if page.of.is_some_and(|of| of >= came) {
            return Ok(Arc::clone(&page.rows));
        }
        for _ in 0..TRIES {
            page.turn().await;
            let call = Call::get("/iserver/account/orders").with("force", true).pressing().listing();
            let told: wire::Orders = page.answered(Box::pin(self.get(way, call)).await)?;
            if told.snapshot {
                let account = account(way);
                let own =
                    told.orders.into_iter().filter(|order| order.acct.is_empty() || order.acct == account);
                return Ok(page.take(own.collect()));
            }
        }
        Err(Verdict::Lost("its list of orders was not ready".to_owned()))
    }

    /// Returns the executions of the last days, asked for after this was called.
    pub(super) async fn trades(&self, way: &Way) -> Result<Arc<Vec<wire::Trade>>, Verdict> {
        let came = Instant::now();
        let mut page = self.trades.lock().await;
        if page.of.is_some_and(|of| of >= came) {
            return Ok(Arc::clone(&page.rows));
        }
        loop {
            page.turn().await;
            let call = Call::get("/iserver/account/trades").with("days", 7).pressing().listing();
            let told: Vec<wire::Trade> = page.answered(Box::pin(self.get(way, call)).await)?;
            let session = self.session.lock().await.number;
            let is_first = std::mem::replace(&mut page.session, session) != session;
            if !(told.is_empty() && is_first) {
                return Ok(page.take(told));
            }
        }
    }

    /// Returns the executions of the last days if they can be asked for without waiting.
    pub(super) async fn trades_now(&self, way: &Way) -> Result<Arc<Vec<wire::Trade>>, Verdict> {
        let session = self.session.lock().await.number;
        // The first time in a session it would be waited for.
        let may_ask = self.trades.try_lock().is_ok_and(|page| page.may_ask() && page.session == session);
        if may_ask { Box::pin(self.trades(way)).await } else { Ok(Arc::default()) }
    }
}

fn verdict(said: Said) -> Verdict {
    match said {
        Said::NoSession => Verdict::Refused(errors::logged_out()),
        Said::No(verdict) => verdict,
    }
}

/// Opens the session. Another one of the same login is left alone: it may be a person's who trades.
async fn open(way: &Way, session: &mut Session) -> Result<wire::Accounts, Verdict> {
    let status = Call::post("/iserver/auth/status").with_json(&json!({}));
    let mut stands: wire::Status = first(way, status.clone()).await?;
    if !stands.authenticated && !stands.competing && stands.connected {
        let init = json!({"publish": true, "compete": false});
        stands = first(way, Call::post("/iserver/auth/ssodh/init").with_json(&init)).await?;
        for _ in 0..LOOKS {
            if stands.authenticated || stands.competing {
                break;
            }
            sleep(LOOK).await;
            stands = first(way, status.clone()).await?;
        }
    }
    if !stands.authenticated {
        return Err(if stands.competing {
            Verdict::Refused(errors::competing())
        } else if stands.connected {
            Verdict::Refused(errors::logged_out())
        } else {
            Verdict::unreached()
        });
    }
    let accounts: wire::Accounts = first(way, Call::get("/iserver/accounts")).await?;
    let suppressed = json!({"messageIds": SUPPRESSED});
    let _: serde_json::Value =
        first(way, Call::post("/iserver/questions/suppress").with_json(&suppressed)).await?;
    session.number += 1;
    session.accounts = Some(accounts.clone());
    session.seen = Some(Instant::now());
    Ok(accounts)
}

async fn first<T: DeserializeOwned>(way: &Way, call: Call) -> Result<T, Verdict> {
    let call = call.pressing();
    let reply = errors::read(&call, Box::pin(way.ask(call.clone())).await?).map_err(verdict)?;
    way.read(&reply.body)
}

/// Checks that a gateway's login is for this account, and for this kind of money. Orders of another account than the
/// selected one may not be listed, which is unconfirmed: so that only the selected one is taken.
fn fits(way: &Way, told: &wire::Accounts) -> Result<(), Verdict> {
    let account = account(way);
    let unfit = |why: &str| Err(Verdict::Refused(errors::unfit(why)));
    if !told.accounts.contains(&account) {
        return unfit("its login has no account of this number. Check the number, and who is logged in");
    }
    if !told.selected_account.is_empty() && told.selected_account != account {
        return unfit("another account is selected there. Select this one, or log in as its own user");
    }
    match told.is_paper {
        Some(is_paper) if is_paper == way.is_live() => unfit(if is_paper {
            "the gateway is logged in for paper money, and this connection is for real money"
        } else {
            "the gateway is logged in for real money, and this connection is for paper money"
        }),
        Some(_) => Ok(()),
        None => unfit("it does not say whether its money is real"),
    }
}
