//! What the paper broker decides: whether it takes an order, and what a price does to those in its book.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::{PaperAccount, Resting, broker_order_id};
use crate::domain::calendar::MarketStatus;
use crate::domain::event::Event;
use crate::domain::ids::{ClientOrderId, ExecutionId};
use crate::domain::instrument::{AssetClass, Instrument, Symbol};
use crate::domain::money::{Money, Price, Quantity};
use crate::domain::order::{Fill, Ticket};
use crate::domain::portfolio::Quote;
use crate::domain::report::{Refusal, RefusalCode, ReportedState};
use crate::domain::signal::{OrderKind, Side, Trail};

/// The house's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Largest exposure, in multiples of equity.
    pub leverage: Decimal,
    /// Most units of one order that one price fills; absent: all at once.
    pub liquidity: Option<Quantity>,
}

impl Default for Terms {
    /// Those of a margin account under Regulation T, with no end of sellers and buyers.
    fn default() -> Self {
        Self { leverage: Decimal::TWO, liquidity: None }
    }
}

/// One symbol's market at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Its rules.
    pub instrument: Instrument,
    /// Its price.
    pub quote: Quote,
    /// Whether it trades.
    pub market: MarketStatus,
}

/// The best price each trailing stop has seen.
///
/// It is not part of the log: one record a price would drown it. After a restart a trail therefore starts again from
/// the first price seen, which can only put the stop further away, never trigger it early.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trails(BTreeMap<ClientOrderId, Price>);

impl Trails {
    /// Takes note of a price and returns where the stop stands now.
    fn follow(&mut self, order: ClientOrderId, side: Side, trail: Trail, listing: &Listing) -> Price {
        let (last, tick) = (listing.quote.price, listing.instrument.tick);
        let best = self.0.entry(order).or_insert(last);
        *best = match side {
            Side::Buy => last.min(*best),
            Side::Sell => last.max(*best),
        };
        trail.behind(*best, side, tick)
    }

    /// Forgets the orders that are no longer in the book.
    pub fn retain(&mut self, account: &PaperAccount) {
        self.0.retain(|order, _| account.open.contains_key(order));
    }
}

/// What a price does to an order.
struct Outcome {
    triggered: bool,
    fill: Option<(Quantity, Price)>,
}

impl PaperAccount {
    /// Decides on a new order: the event that takes it into the book, with its first executions.
    ///
    /// A market order fills at the other side's price at once; any other fills at once as far as its price allows,
    /// and rests otherwise, also while the market is closed. A trailing stop starts at the price it is placed at.
    ///
    /// # Errors
    /// When the venue's rules, the market hours or the account's money do not allow it; nothing happened.
    pub fn place(
        &self,
        ticket: &Ticket,
        listing: &Listing,
        price_of: &dyn Fn(Symbol) -> Option<Price>,
        trails: &mut Trails,
        terms: &Terms,
        now: DateTime<Utc>,
    ) -> Result<Event, Refusal> {
        if self.open.contains_key(&ticket.id) {
            return Err(no(RefusalCode::DuplicateOrder, format!("The order {} is already open.", ticket.id)));
        }
        fits_the_venue(ticket, listing)?;
        self.is_covered(ticket, listing, price_of, terms)?;
        let resting = Resting {
            symbol: ticket.symbol,
            side: ticket.side,
            quantity: ticket.quantity,
            kind: ticket.kind,
            cum_qty: Quantity::ZERO,
            fills: 0,
            triggered: false,
        };
        let outcome = resting.at_price(ticket.id, trails, listing, terms);
        let (state, fills) = resting.executed(ticket.id, outcome.fill, now);
        Ok(Event::PaperBooked {
            connection: self.connection,
            order: ticket.id,
            broker_order: broker_order_id(ticket.id),
            symbol: ticket.symbol,
            side: ticket.side,
            quantity: ticket.quantity,
            kind: ticket.kind,
            state,
            fills,
        })
    }

    /// Decides what new prices do to the open orders: the moves, not yet applied. Trails follow the prices.
    ///
    /// A stop-limit order whose trigger was passed without an execution makes a move without fills, so that it stays
    /// awake over a restart.
    #[must_use]
    pub fn tick(
        &self,
        trails: &mut Trails,
        listing_of: &dyn Fn(Symbol) -> Option<Listing>,
        terms: &Terms,
        now: DateTime<Utc>,
    ) -> Vec<Event> {
        let mut moves = Vec::new();
        for (order, resting) in &self.open {
            let Some(listing) = listing_of(resting.symbol) else { continue };
            let outcome = resting.at_price(*order, trails, &listing, terms);
            if outcome.fill.is_none() && outcome.triggered == resting.triggered {
                continue;
            }
            let (state, fills) = resting.executed(*order, outcome.fill, now);
            moves.push(Event::PaperMoved { connection: self.connection, order: *order, state, fills });
        }
        moves
    }

    /// Decides on a cancel; `None`: the order is not in the book.
    #[must_use]
    pub fn cancel(&self, order: ClientOrderId) -> Option<Event> {
        self.open.contains_key(&order).then(|| Event::PaperMoved {
            connection: self.connection,
            order,
            state: ReportedState::Canceled,
            fills: Vec::new(),
        })
    }

    fn is_covered(
        &self,
        ticket: &Ticket,
        listing: &Listing,
        price_of: &dyn Fn(Symbol) -> Option<Price>,
        terms: &Terms,
    ) -> Result<(), Refusal> {
        let closes = self.closable(ticket.symbol, ticket.side);
        let opens = ticket.quantity.less(closes);
        if opens.is_zero() {
            return Ok(());
        }
        if listing.instrument.class == AssetClass::Crypto && ticket.side == Side::Sell {
            return Err(no(
                RefusalCode::InsufficientFunds,
                format!(
                    "{} cannot be sold short: {closes} to sell, {} asked",
                    ticket.symbol, ticket.quantity
                ),
            ));
        }
        let market = match ticket.side {
            Side::Buy => listing.quote.ask,
            Side::Sell => listing.quote.bid,
        };
        let named = ticket.kind.limit().or(ticket.kind.trigger());
        let price = match ticket.side {
            Side::Buy => named.unwrap_or(market),
            Side::Sell => named.max(Some(market)).unwrap_or(market),
        };
        let required = price.notional(opens);
        // What is closed first gives its exposure back.
        let given_back = market.notional(ticket.quantity.less(opens));
        let headroom = self.headroom(price_of, terms) + given_back;
        if required <= headroom {
            return Ok(());
        }
        let available = if headroom > Money::ZERO { headroom } else { Money::ZERO };
        Err(no(
            RefusalCode::InsufficientFunds,
            format!(
                "Insufficient buying power: {} available, {} required",
                available.dollars(),
                required.dollars()
            ),
        ))
    }
}

impl Resting {
    /// Returns what the price does to the order. Nothing happens while the market is closed.
    fn at_price(
        &self,
        order: ClientOrderId,
        trails: &mut Trails,
        listing: &Listing,
        terms: &Terms,
    ) -> Outcome {
        if listing.market != MarketStatus::Open {
            return Outcome { triggered: self.triggered, fill: None };
        }
        let last = listing.quote.price;
        let passed = |trigger: Price| match self.side {
            Side::Buy => last >= trigger,
            Side::Sell => last <= trigger,
        };
        let (triggered, limit) = match self.kind {
            OrderKind::Market => (self.triggered, None),
            OrderKind::Limit { limit } => (self.triggered, Some(limit)),
            OrderKind::Stop { trigger } => (self.triggered || passed(trigger), None),
            OrderKind::StopLimit { trigger, limit } => (self.triggered || passed(trigger), Some(limit)),
            // Whichever comes first; past the trigger there is no limit any more.
            OrderKind::Oco { trigger, .. } if self.triggered || passed(trigger) => (true, None),
            OrderKind::Oco { limit, .. } => (false, Some(limit)),
            OrderKind::TrailingStop { trail } => {
                let stop = trails.follow(order, self.side, trail, listing);
                (self.triggered || passed(stop), None)
            }
        };
        let asleep = match self.kind {
            OrderKind::Market | OrderKind::Limit { .. } | OrderKind::Oco { .. } => false,
            OrderKind::Stop { .. } | OrderKind::StopLimit { .. } | OrderKind::TrailingStop { .. } => {
                !triggered
            }
        };
        let (price, crossed) = match self.side {
            Side::Buy => (listing.quote.ask, limit.is_none_or(|limit| listing.quote.ask <= limit)),
            Side::Sell => (listing.quote.bid, limit.is_none_or(|limit| listing.quote.bid >= limit)),
        };
        let leaves = self.leaves_qty();
        let fill = (!asleep && crossed && !leaves.is_zero())
            .then(|| (at_once(leaves, terms.liquidity, listing.instrument.lot), price));
        Outcome { triggered, fill }
    }

    /// Returns the state and the execution record after a fill.
    fn executed(
        &self,
        order: ClientOrderId,
        fill: Option<(Quantity, Price)>,
        now: DateTime<Utc>,
    ) -> (ReportedState, Vec<Fill>) {
        let Some((quantity, price)) = fill else { return (ReportedState::Open, Vec::new()) };
        let state = if quantity == self.leaves_qty() { ReportedState::Filled } else { ReportedState::Open };
        let execution = ExecutionId::new(format!("{order}-{}", self.fills.saturating_add(1)));
        (state, vec![Fill { execution, quantity, price, fee: Money::ZERO, kept: Quantity::ZERO, at: now }])
    }
}

/// Returns how much one price fills: whole lots within the liquidity, but at least one, so that every order ends.
fn at_once(leaves: Quantity, liquidity: Option<Quantity>, lot: Quantity) -> Quantity {
    liquidity.map_or(leaves, |most| most.floor_to(lot).max(lot).min(leaves))
}

fn fits_the_venue(ticket: &Ticket, listing: &Listing) -> Result<(), Refusal> {
    let (instrument, symbol) = (&listing.instrument, ticket.symbol);
    if !instrument.tradable {
        return Err(no(RefusalCode::InvalidSymbol, format!("{symbol} is not traded here")));
    }
    if ticket.kind == OrderKind::Market
        && let MarketStatus::Closed { opens_at } = listing.market
    {
        let opens_at = opens_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        return Err(no(
            RefusalCode::MarketClosed,
            format!("The market for {symbol} is closed until {opens_at}"),
        ));
    }
    let named = ticket.kind.limit().into_iter().chain(ticket.kind.trigger());
    if let Some(off) = named.into_iter().find(|price| !price.on_tick(instrument.tick)) {
        return Err(no(
            RefusalCode::OrderRejected,
            format!("{symbol} trades in steps of {}; {off} is not one", instrument.tick),
        ));
    }
    if ticket.quantity.is_zero() || ticket.quantity.floor_to(instrument.lot) != ticket.quantity {
        return Err(no(
            RefusalCode::OrderRejected,
            format!("{symbol} trades in lots of {}; {} is not a multiple", instrument.lot, ticket.quantity),
        ));
    }
    let value = ticket.kind.limit().unwrap_or(listing.quote.price).notional(ticket.quantity);
    if value < instrument.min_notional && !ticket.reduces {
        return Err(no(
            RefusalCode::OrderRejected,
            format!("An order for {symbol} is worth at least {}", instrument.min_notional.dollars()),
        ));
    }
    Ok(())
}

const fn no(code: RefusalCode, message: String) -> Refusal {
    Refusal { code, message }
}
