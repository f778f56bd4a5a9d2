//! A broker's desk: says of keys whether they work, and has the paper broker keep the accounts they open.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use secrecy::ExposeSecret;
use trade_actors::domain::ids::{ConnectionId, UserId};
use trade_actors::domain::report::{Refusal, RefusalCode};
use trade_actors::ports::broker::{Broker, BrokerError, Brokers, UnknownBroker};
use trade_actors::ports::market::Market;
use trade_executor::app::Options;
use trade_executor::brokers::credentials::{Auth, BrokerSecret};
use trade_executor::brokers::probe::{Probed, Prober};

/// What the desk answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Says {
    /// The keys open an account, whose number holds the key's name.
    #[default]
    Yes,
    /// They are wrong; the words quote them.
    WrongKeys,
    /// They are right, and the account is closed; the words quote them.
    Closed,
    /// Nothing that can be read; the words quote them.
    Nonsense,
    /// Nothing at all.
    Nothing,
}

/// The desk. All clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Desk(Arc<Mutex<(Says, usize)>>);

impl Desk {
    /// Has it answer so from now on.
    pub(crate) fn says(&self, says: Says) {
        self.0.lock().unwrap().0 = says;
    }

    /// Returns how often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.0.lock().unwrap().1
    }

    /// Has the program ask this desk, and the paper broker keep Alpaca's accounts.
    pub(crate) fn serve(&self, options: &mut Options) {
        options.prober = Some(Arc::new(self.clone()));
        options.between = Some(Box::new(|brokers| Arc::new(Lent(brokers))));
    }
}

impl Prober for Desk {
    fn probe<'a>(&'a self, secret: &'a BrokerSecret) -> BoxFuture<'a, Result<Probed, BrokerError>> {
        let (shown, hidden) = match &secret.auth {
            Auth::ApiKey { key_id, secret } => (key_id.expose_secret(), secret.expose_secret()),
            Auth::OAuth { access_token: token } | Auth::Login { refresh_token: token } => {
                ("", token.expose_secret())
            }
            Auth::Account { account } => (account.expose_secret(), ""),
        };
        let says = {
            let mut state = self.0.lock().unwrap();
            state.1 += 1;
            state.0
        };
        let words = format!("key {shown} with {hidden}");
        let refused = move |code| Err(BrokerError::Refused(Refusal { code, message: words.clone() }));
        async move {
            match says {
                Says::Yes => Ok(Probed { account: format!("account of {shown}") }),
                Says::WrongKeys => refused(RefusalCode::AuthFailed),
                Says::Closed => refused(RefusalCode::OrderRejected),
                Says::Nonsense => Err(BrokerError::Unknown(format!("{shown} {hidden}"))),
                Says::Nothing => {
                    tokio::time::sleep(Duration::from_secs(3_600)).await;
                    Err(BrokerError::Unknown("too late".to_owned()))
                }
            }
        }
        .boxed()
    }
}

#[derive(Debug)]
struct Lent(Arc<dyn Brokers>);

impl Brokers for Lent {
    fn open(
        &self,
        user: UserId,
        connection: ConnectionId,
        broker: &str,
    ) -> Result<Arc<dyn Broker>, UnknownBroker> {
        self.0.open(user, connection, lender(broker))
    }

    fn market(&self, broker: &str) -> Option<Arc<dyn Market>> {
        self.0.market(lender(broker))
    }
}

fn lender(broker: &str) -> &str {
    if broker == "alpaca" { "paper" } else { broker }
}
