//! Which broker accounts a person may connect and remove.

use super::ids::ConnectionId;
use super::order::Mode;
use super::user::{Connection, Plan, UserState};

/// The broker that is built in: its accounts count towards no plan.
pub const PAPER: &str = "paper";
/// Most broker accounts of one person, whatever they pay: each holds a session.
pub const ACCOUNTS_MAX: usize = 20;

/// Why an account is not connected, removed or chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// There is no such account.
    #[error("there is no such broker account; nothing was changed")]
    Unknown,
    /// The Free plan trades paper money only (FR-069).
    #[error(
        "the Free plan is for paper trading only; nothing was connected; connect a paper account, or choose another plan"
    )]
    PaperOnly,
    /// The plan's accounts are all connected (FR-069).
    #[error(
        "the plan allows {0} broker account(s), and so many are connected; nothing was connected; remove one first, or \
         choose another plan"
    )]
    PlanFull(usize),
    /// There are too many.
    #[error(
        "{0} broker accounts are connected already, which is the most; nothing was connected; remove one first"
    )]
    TooMany(usize),
    /// It is connected already.
    #[error(
        "this broker account is connected already, and two connections to one account would trade against each other; \
         nothing was connected; remove the other one first to change its keys"
    )]
    Connected,
    /// Something is open there.
    #[error(
        "{orders} order(s) and {positions} position(s) are open at this broker account; nothing was removed; cancel the \
         orders and close the positions first"
    )]
    InUse {
        /// Orders that are not final.
        orders: usize,
        /// Positions that are not flat.
        positions: usize,
    },
    /// Its money is made up.
    #[error(
        "this broker account trades made-up money; nothing was changed; connect the live account to trade with real money"
    )]
    NotLive,
    /// It is the only one.
    #[error("this is the only broker account; nothing was removed; connect another one first")]
    Last,
}

/// Says whether a person may connect one more account.
///
/// # Errors
/// See [`Obstacle`].
pub fn may_connect(user: &UserState, new: &Connection) -> Result<(), Obstacle> {
    let known = &user.connections;
    let same = |one: &Connection| {
        one.id == new.id
            || (one.broker == new.broker && !new.account.is_empty() && one.account == new.account)
    };
    if known.iter().any(same) {
        return Err(Obstacle::Connected);
    }
    if user.plan == Plan::Free && new.mode == Mode::Live {
        return Err(Obstacle::PaperOnly);
    }
    if known.len() >= ACCOUNTS_MAX {
        return Err(Obstacle::TooMany(ACCOUNTS_MAX));
    }
    let counted = known.iter().filter(|one| one.broker != PAPER).count();
    match allowed(user.plan) {
        Some(allowed) if new.broker != PAPER && counted >= allowed => Err(Obstacle::PlanFull(allowed)),
        Some(_) | None => Ok(()),
    }
}

/// Says whether a person may remove an account: nobody would look after what is open there.
///
/// # Errors
/// See [`Obstacle`].
pub fn may_disconnect(user: &UserState, id: ConnectionId) -> Result<(), Obstacle> {
    may_choose(user, id)?;
    let orders = user.working.values().filter(|working| working.connection == id).count();
    let positions = user.positions.iter().filter(|held| held.connection == id).count();
    if orders > 0 || positions > 0 {
        return Err(Obstacle::InUse { orders, positions });
    }
    if user.connections.len() == 1 { Err(Obstacle::Last) } else { Ok(()) }
}

/// Says whether a person may make an account their default.
///
/// # Errors
/// [`Obstacle::Unknown`] when it is not theirs.
pub fn may_choose(user: &UserState, id: ConnectionId) -> Result<(), Obstacle> {
    if user.connections.iter().any(|known| known.id == id) { Ok(()) } else { Err(Obstacle::Unknown) }
}

/// Says whether a person may switch trading with real money on or off at an account.
///
/// # Errors
/// See [`Obstacle`].
pub fn may_go_live(user: &UserState, id: ConnectionId) -> Result<(), Obstacle> {
    let known = user.connections.iter().find(|known| known.id == id).ok_or(Obstacle::Unknown)?;
    match (known.mode, user.plan) {
        (Mode::Paper, _) => Err(Obstacle::NotLive),
        (Mode::Live, Plan::Free) => Err(Obstacle::PaperOnly),
        (Mode::Live, Plan::Basic | Plan::Pro | Plan::Premium) => Ok(()),
    }
}

/// Returns how many accounts at brokers a plan allows; `None`: any number.
const fn allowed(plan: Plan) -> Option<usize> {
    match plan {
        Plan::Free | Plan::Premium => None,
        Plan::Basic => Some(1),
        Plan::Pro => Some(3),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::domain::event::Event;
    use crate::domain::ids::{ClientOrderId, UserId};
    use crate::domain::money::{Net, Price};
    use crate::domain::order::Purpose;
    use crate::domain::portfolio::Balance;
    use crate::domain::position::Position;
    use crate::domain::risk::Limits;
    use crate::domain::user::{Role, Working};

    fn id(number: u128) -> ConnectionId {
        ConnectionId::new(Uuid::from_u128(number))
    }

    fn account(number: u128, broker: &str, mode: Mode) -> Connection {
        Connection { account: format!("account {number}"), ..Connection::new(id(number), broker, mode) }
    }

    fn person(plan: Plan) -> UserState {
        let user = UserId::new(Uuid::from_u128(9));
        let mut person =
            UserState::new(user, "Ada".to_owned(), Role::User, Limits::default(), DateTime::UNIX_EPOCH);
        person.plan = plan;
        person.connections.push(Connection::new(id(1), PAPER, Mode::Paper));
        person
    }

    #[test]
    fn each_plan_allows_what_it_promises() {
        for (plan, live, brokers) in
            [(Plan::Free, false, 19), (Plan::Basic, true, 1), (Plan::Pro, true, 3), (Plan::Premium, true, 19)]
        {
            let mut user = person(plan);
            let result = may_connect(&user, &account(2, "alpaca", Mode::Live));
            assert_eq!(result.is_ok(), live, "{plan:?}");
            for number in 0..brokers {
                let next = account(100 + number, "alpaca", Mode::Paper);
                assert_eq!(may_connect(&user, &next), Ok(()), "{plan:?} {number}");
                user.connections.push(next);
            }
            assert!(may_connect(&user, &account(200, "alpaca", Mode::Paper)).is_err(), "{plan:?}");
            let paper = may_connect(&user, &Connection::new(id(300), PAPER, Mode::Paper));
            assert_eq!(paper.is_ok(), brokers < 19, "{plan:?}: the built-in broker counts for nobody's plan");
        }
    }

    #[test]
    fn an_account_is_connected_once() {
        let mut user = person(Plan::Premium);
        let first = account(2, "alpaca", Mode::Paper);
        user.connections.push(first.clone());
        let again = Connection { id: id(3), ..first.clone() };
        assert_eq!(may_connect(&user, &again), Err(Obstacle::Connected));
        assert_eq!(may_connect(&user, &first), Err(Obstacle::Connected));
        assert_eq!(may_connect(&user, &Connection { broker: "kraken".to_owned(), ..again }), Ok(()));
    }

    #[test]
    fn what_is_open_keeps_its_account() {
        let mut user = person(Plan::Free);
        assert_eq!(may_disconnect(&user, id(1)), Err(Obstacle::Last));
        assert_eq!(may_disconnect(&user, id(7)), Err(Obstacle::Unknown));
        assert_eq!(may_choose(&user, id(7)), Err(Obstacle::Unknown));
        user.connections.push(account(2, "alpaca", Mode::Paper));
        assert_eq!(may_disconnect(&user, id(1)), Ok(()));
        let symbol = "AAPL".parse().unwrap();
        let mut held = Position::flat(id(1), symbol, DateTime::UNIX_EPOCH);
        held.net = Net::new(1.into());
        user.positions.push(held);
        assert_eq!(may_disconnect(&user, id(1)), Err(Obstacle::InUse { orders: 0, positions: 1 }));
        let working = Working {
            connection: id(2),
            symbol,
            leaves: Net::new(1.into()),
            price: Price::new(1.into()).unwrap(),
            reduces: false,
            purpose: Purpose::default(),
        };
        user.working.insert(ClientOrderId::new(Uuid::from_u128(1)), working);
        assert_eq!(may_disconnect(&user, id(2)), Err(Obstacle::InUse { orders: 1, positions: 0 }));
    }

    #[test]
    fn real_money_is_switched_on_where_it_is_and_by_whom_the_plan_allows() {
        let mut user = person(Plan::Pro);
        user.connections.push(account(2, "alpaca", Mode::Live));
        assert_eq!(may_go_live(&user, id(2)), Ok(()));
        assert_eq!(may_go_live(&user, id(1)), Err(Obstacle::NotLive));
        assert_eq!(may_go_live(&user, id(9)), Err(Obstacle::Unknown));
        let set = |is_on| Event::LiveTradingSet { connection: id(2), is_on };
        user.apply(&set(true), DateTime::UNIX_EPOCH);
        assert_eq!(user.connections.iter().map(|known| known.is_live_on).collect::<Vec<_>>(), [false, true]);
        user.apply(&set(false), DateTime::UNIX_EPOCH);
        assert!(user.connections.iter().all(|known| !known.is_live_on));
        user.plan = Plan::Free;
        assert_eq!(may_go_live(&user, id(2)), Err(Obstacle::PaperOnly));
    }

    fn seen(user: &mut UserState, number: u128, equity: i64) {
        let money = crate::domain::money::Money::new(equity.into());
        let balance = Balance { cash: money, equity: money, buying_power: money, at: DateTime::UNIX_EPOCH };
        user.apply(&Event::BalanceSeen { connection: id(number), balance }, DateTime::UNIX_EPOCH);
    }

    /// Otherwise the choice of a smaller account would look like a loss, and that of another and back would undo one.
    #[test]
    fn the_days_opening_is_the_chosen_accounts_own() {
        let mut user = person(Plan::Free);
        user.connections.push(account(2, "alpaca", Mode::Paper));
        let opening = |user: &UserState| {
            let chosen = user.default_connection()?.id;
            user.openings.get(&chosen).map(|(_, equity)| equity.get())
        };
        seen(&mut user, 1, 100_000);
        seen(&mut user, 2, 5_000);
        assert_eq!(opening(&user), Some(100_000.into()));
        seen(&mut user, 1, 96_000);
        let choose = |user: &mut UserState, number| {
            user.apply(&Event::DefaultConnectionSet { connection: id(number) }, DateTime::UNIX_EPOCH);
        };
        choose(&mut user, 2);
        assert_eq!(opening(&user), Some(5_000.into()));
        choose(&mut user, 1);
        assert_eq!(opening(&user), Some(100_000.into()));
        user.apply(&Event::ConnectionRemoved { connection: id(1) }, DateTime::UNIX_EPOCH);
        assert_eq!((opening(&user), user.balances.len()), (Some(5_000.into()), 1));
    }
}
