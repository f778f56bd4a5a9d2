//! Sources of signals: their addresses, who follows them, and a test through the whole path.

use serde::Deserialize;
use trade_actors::arrival::Delivery;
use trade_actors::domain::event::{Event, Fact};
use trade_actors::domain::feed::Source as DomainSource;
use trade_actors::domain::ids::SourceId;
use trade_actors::domain::instrument::{AssetClass, Instrument};
use trade_actors::domain::money::{Money, Price, Quantity};
use trade_actors::domain::order::Mode;
use trade_actors::domain::risk::SourceLimits;
use trade_actors::domain::routing::chosen;
use trade_actors::domain::signal::Origin;
use trade_actors::domain::user::{Connection, Role, UserState};
use trade_actors::engine::Engine;
use utoipa::ToSchema;
use uuid::Uuid;
use warp::http::StatusCode;

use super::risk::{amount, share, within};
use super::webhook::said;
use crate::intake::{read_webhook, redact};
use crate::keys::token_hash;
use crate::web::body::Number;
use crate::web::call::{Answer, Call, json, nothing, ok};
use crate::web::meters::Outcome;
use crate::web::problem::Problem;
use crate::web::wire::{Page, Source};

/// Longest name, in characters.
pub(crate) const NAME_MAX: usize = 80;
/// Most sources that one person follows.
const SOURCES_MAX: usize = 100;
/// What a test order costs, roughly, in the account's currency.
const TEST_COST: i64 = 25;
/// Symbols that a test looks at first: liquid, and listed nearly everywhere.
const WELL_KNOWN: [&str; 2] = ["AAPL", "SPY"];

/// A source to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSource {
    /// Shown name.
    #[schema(example = "Breakout strategy")]
    name: String,
}

/// Limits for a source's signals; what is absent or null is not limited beside the person's own limits.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceLimitsChange {
    /// Above 0, at most 100.
    #[schema(value_type = Option<String>)]
    position_max_pct: Option<Number>,
    /// Above 0.
    #[schema(value_type = Option<String>)]
    order_max_notional: Option<Number>,
    /// 1 to 100000.
    orders_per_minute: Option<u32>,
}

impl SourceLimitsChange {
    fn checked(self) -> Result<SourceLimits, Problem> {
        let pct = self.position_max_pct.map(|Number(pct)| share("position_max_pct", pct)).transpose()?;
        let amount = self.order_max_notional.map(|Number(most)| amount("order_max_notional", most));
        let rate = self.orders_per_minute.map(|most| within("orders_per_minute", most, 1, 100_000));
        Ok(SourceLimits {
            position_max_pct: pct,
            order_max_notional: amount.transpose()?,
            orders_per_minute: rate.transpose()?,
        })
    }
}

/// Lists the sources that the caller follows.
pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let account = call.account().await?;
    let mut sources = call.engine()?.views().sources_of(account.id)?;
    ok(&Page::whole(Source::all(&mut sources, &account, &call.edge.web.keys, &call.edge.base_url)))
}

/// Makes a source with an address of its own, and follows it.
pub(crate) async fn create(call: Call) -> Result<Answer, Problem> {
    let name = checked_name(call.json::<NewSource>()?.name)?;
    let account = call.account().await?;
    let engine = call.engine()?;
    if engine.views().sources_of(account.id)?.len() >= SOURCES_MAX {
        let detail =
            format!("an account follows at most {SOURCES_MAX} sources; nothing was made; unfollow one first");
        return Err(Problem::new(StatusCode::CONFLICT, "TOO_MANY", detail));
    }
    let source = SourceId::new(Uuid::new_v4());
    let hash = token_hash(&call.edge.web.keys.webhook_token(source, 0));
    let events =
        [Event::SourceCreated { source, name, token_hash: Some(hash) }, Event::SourceFollowed { source }];
    commit(&call, &account, events).await?;
    shown(&call, &account, source, StatusCode::CREATED)
}

/// Replaces a source's address.
pub(crate) async fn rotate(call: Call) -> Result<Answer, Problem> {
    let (account, source) = own(&call).await?;
    if source.token_hash.is_none() {
        let detail = "this source has no address to replace; nothing was done";
        return Err(Problem::new(StatusCode::CONFLICT, "NO_ADDRESS", detail));
    }
    let version = source.version.saturating_add(1);
    let hash = token_hash(&call.edge.web.keys.webhook_token(source.id, version));
    commit(&call, &account, [Event::SourceRotated { source: source.id, version, token_hash: hash }]).await?;
    shown(&call, &account, source.id, StatusCode::OK)
}

/// Follows a source from now on: one's own, or one that an operator offers.
pub(crate) async fn follow(call: Call) -> Result<Answer, Problem> {
    let account = call.account().await?;
    let id: SourceId = call.id()?;
    let views = call.engine()?.views();
    let source = views.source(id)?.ok_or_else(Problem::not_found)?;
    let followed = views.sources_of(account.id)?;
    if followed.iter().all(|known| known.id != id) {
        let owner = views.user(source.owner)?;
        let offered = source.token_hash.is_some() && owner.is_some_and(|owner| owner.role == Role::Operator);
        if source.owner != account.id && !offered {
            return Err(Problem::not_found());
        }
        if followed.len() >= SOURCES_MAX {
            let detail = format!("an account follows at most {SOURCES_MAX} sources; nothing was done");
            return Err(Problem::new(StatusCode::CONFLICT, "TOO_MANY", detail));
        }
        commit(&call, &account, [Event::SourceFollowed { source: id }]).await?;
    }
    shown(&call, &account, id, StatusCode::OK)
}

/// Follows a source no longer.
pub(crate) async fn unfollow(call: Call) -> Result<Answer, Problem> {
    let account = call.account().await?;
    let id: SourceId = call.id()?;
    let sources = call.engine()?.views().sources_of(account.id)?;
    let source = sources.into_iter().find(|source| source.id == id).ok_or_else(Problem::not_found)?;
    if source.owner == account.id {
        let detail = "this source is your own; nothing was done; replace its address, or use the kill switch";
        return Err(Problem::new(StatusCode::CONFLICT, "OWN_SOURCE", detail));
    }
    commit(&call, &account, [Event::SourceUnfollowed { source: id }]).await?;
    Ok(nothing())
}

/// Limits a source's signals for the caller. All limits of the source are given at once.
pub(crate) async fn limit(call: Call) -> Result<Answer, Problem> {
    let limits = call.json::<SourceLimitsChange>()?.checked()?;
    let account = call.account().await?;
    let id: SourceId = call.id()?;
    let engine = call.engine()?;
    let source = engine.views().sources_of(account.id)?.into_iter().find(|source| source.id == id);
    let source = source.ok_or_else(Problem::not_found)?;
    let limits = Some(limits).filter(|limits| !limits.is_empty());
    engine.set_source_limits(account.id, source.id, limits, call.head.caller()).await?;
    ok(&worded(&call, &source, &call.account().await?))
}

/// Sends a small order through the whole path, as if an alert had come.
pub(crate) async fn test(call: Call) -> Result<Answer, Problem> {
    let (account, source) = own(&call).await?;
    let engine = call.engine()?;
    let alone = engine.views().followers(source.id, None, 2)? == [account.id];
    let paper = AssetClass::ALL.iter().any(|class| paper_for(&account, *class).is_some());
    if !alone || !paper {
        let detail = "a test trades with simulated money and for you alone, but this source has other followers, or \
                      your signals go to live accounts; nothing was sent";
        return Err(Problem::new(StatusCode::CONFLICT, "TEST_NOT_SAFE", detail));
    }
    let (instrument, quantity) = sample(engine, &account).ok_or_else(|| {
        let detail = "no market is open and priced right now; nothing was sent; try again later";
        Problem::new(StatusCode::CONFLICT, "MARKET_CLOSED", detail)
    })?;
    let (received_at, received) = (engine.clock().now(), engine.clock().stamp());
    let body = format!(
        r#"{{"ticker":"{}","action":"buy","quantity":"{quantity}","alert_id":"test-{}"}}"#,
        instrument.symbol,
        Uuid::new_v4()
    );
    let reading = read_webhook(body.as_bytes()).map_err(|refusal| Problem::internal(&refusal))?;
    let delivery = Delivery {
        source: source.id,
        owner: account.id,
        origin: Origin::Tradingview,
        key: reading.identity.key(source.id, body.as_bytes()),
        instruction: reading.instruction,
        received_at,
        received,
        excerpt: redact(body.as_bytes()),
        caller: call.head.caller(),
    };
    let delivered = engine.deliver(delivery).await?;
    call.edge.meters.signal(Origin::Tradingview, Outcome::Accepted);
    Ok(said(delivered))
}

/// Picks what a test buys: the first listed instrument whose market is open, and a few dollars of it.
///
/// It is one of a paper account that signals go to, and its price is known; those that everybody knows are asked for, so
/// that the next test finds one.
fn sample(engine: &Engine, account: &UserState) -> Option<(Instrument, Quantity)> {
    AssetClass::ALL.into_iter().find_map(|class| sample_of(engine, account, class))
}

fn sample_of(engine: &Engine, account: &UserState, class: AssetClass) -> Option<(Instrument, Quantity)> {
    let (market, now) = (engine.market_at(&paper_for(account, class)?.broker), engine.clock().now());
    let known = WELL_KNOWN.iter().filter_map(|symbol| market.instrument(symbol.parse().ok()?));
    let known = known.inspect(|instrument| market.watch(instrument.symbol));
    let listed = known.chain(market.instruments());
    listed.filter(|instrument| AssetClass::of(instrument.symbol) == class).find_map(|instrument| {
        let open = instrument.tradable && market.status(&instrument, now).is_open();
        let quote = market.quote(instrument.symbol).filter(|_| open)?;
        Some((instrument, few(&instrument, quote.ask)))
    })
}

/// Returns the paper account that the signals for a kind of market go to.
fn paper_for(account: &UserState, class: AssetClass) -> Option<&Connection> {
    chosen(account, class).filter(|known| known.mode == Mode::Paper)
}

/// Returns a quantity that costs a few dollars, at least one lot, and at least what the venue takes.
fn few(instrument: &Instrument, price: Price) -> Quantity {
    let least = Money::new(instrument.min_notional.get().saturating_mul(2.into()));
    let cost = Money::new(TEST_COST.into()).max(least);
    Quantity::affordable(cost, price).floor_to(instrument.lot) + instrument.lot
}

/// Checks a name that people see.
pub(crate) fn checked_name(name: String) -> Result<String, Problem> {
    let length = name.chars().count();
    let plain = !name.chars().any(char::is_control) && name.trim() == name;
    if (1..=NAME_MAX).contains(&length) && plain {
        return Ok(name);
    }
    let detail =
        format!("name must be 1 to {NAME_MAX} characters, without blanks at its ends; nothing was made");
    Err(Problem::invalid("/name", detail))
}

async fn own(call: &Call) -> Result<(UserState, DomainSource), Problem> {
    let account = call.account().await?;
    let source = call.engine()?.views().source(call.id()?)?;
    let source = source.filter(|source| source.owner == account.id).ok_or_else(Problem::not_found)?;
    Ok((account, source))
}

async fn commit<const N: usize>(call: &Call, account: &UserState, events: [Event; N]) -> Result<(), Problem> {
    let caller = call.head.caller();
    let facts = events.into_iter().map(|event| Fact::by(Some(account.id), event, &caller)).collect();
    let engine = call.engine()?;
    engine.commit(facts).await?;
    Ok(engine.views().settled().await?)
}

fn shown(call: &Call, account: &UserState, source: SourceId, status: StatusCode) -> Result<Answer, Problem> {
    let source = call.engine()?.views().source(source)?.ok_or_else(Problem::not_found)?;
    json(status, &worded(call, &source, account))
}

fn worded<'a>(call: &Call, source: &'a DomainSource, account: &UserState) -> Source<'a> {
    Source::of(source, account, &call.edge.web.keys, &call.edge.base_url)
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;
    use trade_actors::domain::instrument::AssetClass;

    use super::*;

    fn instrument(lot: &str, min_notional: i64) -> Instrument {
        Instrument {
            symbol: "X".parse().unwrap(),
            class: AssetClass::Crypto,
            tick: Price::new(Decimal::ONE).unwrap(),
            lot: Quantity::new(lot.parse().unwrap()).unwrap(),
            size_step: Quantity::new(lot.parse().unwrap()).unwrap(),
            min_notional: Money::new(min_notional.into()),
            tradable: true,
        }
    }

    #[test]
    fn a_test_is_small_and_large_enough_for_the_venue() {
        let cost = |lot, least, price: i64| {
            let price = Price::new(price.into()).unwrap();
            price.notional(few(&instrument(lot, least), price)).get()
        };
        assert_eq!(cost("1", 1, 175), Decimal::from(175), "one share");
        assert!(
            cost("0.00001", 10, 60_000) >= Decimal::from(25)
                && cost("0.00001", 10, 60_000) < Decimal::from(30)
        );
        assert!(cost("0.00001", 100, 60_000) >= Decimal::from(200));
    }

    #[test]
    fn names_are_short_and_plain() {
        assert!(checked_name("Ada's alerts".to_owned()).is_ok());
        for name in ["", " a", "a ", "a\nb", &"x".repeat(81)] {
            assert!(checked_name(name.to_owned()).is_err(), "{name:?}");
        }
    }
}
