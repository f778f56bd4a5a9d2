//! What the gateway asks before it transmits an order.

use std::collections::{BTreeMap, VecDeque};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::contracts;
use super::gateway::Policy;
use super::request::{Batch, Wanted};
use super::wire::{kind_names, plain, price_text, side_name};
use crate::book::{Change, Kind, OrderId, Side, Size, Status};
use crate::world::State;

/// The most questions that one request may suppress.
pub(super) const SUPPRESSED_MAX: usize = 51;

/// A question that is asked because a test wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Which: `o163`, `o10151` and so on; one that nobody knows too.
    pub id: String,
    /// Only for orders of this account.
    #[serde(default)]
    pub account: Option<String>,
    /// Only for the order of this name.
    #[serde(default)]
    pub coid: Option<String>,
    /// Only for orders for this symbol of the book.
    #[serde(default)]
    pub symbol: Option<String>,
    /// Only for orders of this type: `MKT`, `LMT`, `STP`, `STOP_LIMIT`, `TRAIL`.
    #[serde(default)]
    pub order_type: Option<String>,
    /// So often; always if it is left out.
    #[serde(default)]
    pub times: Option<u32>,
    /// In these words; in the usual ones if they are left out.
    #[serde(default)]
    pub text: Option<String>,
    /// It is asked as a prompt, after all other questions; `p12` always is.
    #[serde(default)]
    pub prompt: bool,
}

impl Ask {
    /// Returns a question about every order.
    #[must_use]
    pub fn always(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }

    /// Limits it to orders of this type.
    #[must_use]
    pub fn of_type(mut self, order_type: &str) -> Self {
        self.order_type = Some(order_type.to_owned());
        self
    }

    /// Limits it to so many orders.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    fn concerns(&self, wanted: &Wanted) -> bool {
        let ticket = &wanted.ticket;
        let is = |only: &Option<String>, has: Option<&str>| only.is_none() || only.as_deref() == has;
        self.times != Some(0)
            && is(&self.account, Some(&ticket.account))
            && is(&self.coid, wanted.coid.as_deref())
            && is(&self.symbol, Some(&ticket.symbol))
            && is(&self.order_type, Some(kind_names(ticket.kind).0))
    }
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// Its kind.
    pub(super) id: String,
    /// Its words.
    pub(super) text: String,
    /// Whether it is asked as a prompt.
    pub(super) prompt: bool,
}

/// What is done once all is answered.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// New orders.
    Place(Batch),
    /// A change of an order.
    Modify(OrderId, Change),
}

/// A deed that waits for the answer to a question.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// The question's own number.
    pub(super) reply_id: String,
    /// What waits.
    pub(super) deed: Deed,
    /// What is asked after this.
    pub(super) next: VecDeque<Question>,
}

/// A deed that waits for the answer to a prompt.
#[derive(Clone, Debug)]
pub(super) struct Prompt {
    /// The order's number as the prompt shows it.
    pub(super) order_id: u64,
    /// The prompt's own number.
    pub(super) req_id: String,
    /// What waits.
    pub(super) deed: Deed,
    /// What is asked after this.
    pub(super) next: VecDeque<Question>,
}

/// Returns a question as it is asked.
pub(super) fn shown(reply_id: &str, question: &Question) -> Value {
    json!([{
        "id": reply_id,
        "message": [question.text],
        "isSuppressed": false,
        "messageIds": [question.id],
        "messageOptions": ["Yes", "No"],
    }])
}

/// Returns a prompt as it is shown.
pub(super) fn shown_prompt(order_id: u64, req_id: &str, question: &Question) -> Value {
    json!({
        "orderId": order_id,
        "reqId": req_id,
        "text": question.text,
        "options": ["Yes"],
        "type": "CUSTOM",
        "messageId": question.id,
        "prompt": true,
    })
}

/// Returns what is to be asked about orders, without what nobody wants to be asked.
pub(super) fn about(
    state: &State,
    policy: &Policy,
    asks: &mut [Ask],
    availability: &BTreeMap<String, char>,
    wanted: &[Wanted],
) -> VecDeque<Question> {
    let mut found: Vec<Question> = Vec::new();
    for order in wanted {
        let mut ids = built_in(state, policy, availability, order);
        let mut prompts = Vec::new();
        for ask in asks.iter_mut().filter(|ask| ask.concerns(order)) {
            ask.times = ask.times.map(|times| times - 1);
            let text = ask.text.clone().unwrap_or_else(|| words(&ask.id, policy, order));
            let prompt = ask.prompt || ask.id == "p12";
            let question = Question { id: ask.id.clone(), text, prompt };
            if prompt { prompts.push(question) } else { ids.push(question) }
        }
        found.extend(ids);
        found.extend(prompts);
    }
    // Each kind is asked once about a family.
    let mut seen = Vec::new();
    found.retain(|question| {
        let new = !seen.contains(&question.id);
        seen.push(question.id.clone());
        new
    });
    found.into()
}

/// Returns what the gateway asks by itself.
fn built_in(
    state: &State,
    policy: &Policy,
    availability: &BTreeMap<String, char>,
    order: &Wanted,
) -> Vec<Question> {
    let ticket = &order.ticket;
    let quote = state.book.feed().quote(&ticket.symbol);
    let blind = quote.is_none() || availability.get(&ticket.symbol) == Some(&'N');
    let mut ids = Vec::new();
    if blind {
        ids.push("o354");
    }
    if let (Some(pct), Some(quote), Some(limit)) = (policy.price_pct, quote, ticket.kind.limit()) {
        let band = quote.last * pct / Decimal::ONE_HUNDRED;
        if (limit - quote.last).abs() > band {
            ids.push("o163");
        }
    }
    let Size::Qty(qty) = ticket.size else { return Vec::new() };
    if policy.size_limit.is_some_and(|most| qty > most) {
        ids.push("o383");
    }
    let price = ticket.kind.limit().or(quote.map(|quote| quote.last)).unwrap_or_default();
    if policy.value_limit.is_some_and(|most| qty * price > most) {
        ids.push("o451");
    }
    if let (Some(stop), Some(quote), None) = (ticket.kind.stop(), quote, &order.parent) {
        let reached = match ticket.side {
            Side::Buy => quote.last >= stop,
            Side::Sell => quote.last <= stop,
        };
        if reached {
            ids.push("o403");
        }
    }
    if order.parent.is_none() && crosses_own(state, order) {
        ids.push("o2137");
    }
    if order.by_cash {
        ids.push("o10223");
    }
    let asked = ids.into_iter().map(|id| Question {
        id: id.to_owned(),
        text: words(id, policy, order),
        prompt: false,
    });
    asked.collect()
}

/// Returns whether an order could trade with another of its account.
fn crosses_own(state: &State, order: &Wanted) -> bool {
    let ticket = &order.ticket;
    let price = |kind: Kind, side: Side| match kind {
        Kind::Market => Some(match side {
            Side::Buy => Decimal::MAX,
            Side::Sell => Decimal::ZERO,
        }),
        Kind::Limit { limit } => Some(limit),
        Kind::Stop { .. } | Kind::StopLimit { .. } | Kind::TrailingStop { .. } => None,
    };
    let Some(mine) = price(ticket.kind, ticket.side) else { return false };
    state.book.orders().any(|other| {
        let theirs = &other.ticket;
        other.status.is_open()
            && other.status != Status::Held
            && theirs.account == ticket.account
            && theirs.symbol == ticket.symbol
            && theirs.side != ticket.side
            && price(theirs.kind, theirs.side).is_some_and(|their| match ticket.side {
                Side::Buy => mine >= their,
                Side::Sell => mine <= their,
            })
    })
}

/// Returns the words of a question; those the sheet does not have are unconfirmed.
fn words(id: &str, policy: &Policy, order: &Wanted) -> String {
    let ticket = &order.ticket;
    let qty = match ticket.size {
        Size::Qty(qty) | Size::Notional(qty) => plain(qty),
    };
    let symbol = contracts::symbol(&ticket.symbol);
    let price = ticket.kind.limit().or(ticket.kind.stop());
    let price = price.map_or_else(String::new, |price| format!(" @ {}", price_text(price)));
    let named =
        format!("The following order \"{} {qty} {symbol} NASDAQ.NMS{price}\"", side_name(ticket.side));
    let sure = "Are you sure you want to submit this order?";
    let limit = |limit: Option<Decimal>| limit.map(plain).unwrap_or_default();
    match id {
        "o163" => {
            let pct = limit(policy.price_pct.or(Some(Decimal::from(3))));
            format!("{named} price exceeds \nthe Percentage constraint of {pct}%.\n{sure}")
        }
        "o354" => format!(
            "You are submitting an order without market data. We strongly recommend against this as it may result in \
             erroneous and unexpected trades.\n{sure}"
        ),
        "o382" => format!("{named} exceeds the Tick Size Limit of 0.01.\n{sure}"),
        "o383" => format!("{named} size exceeds the Size Limit of {}.\n{sure}", limit(policy.size_limit)),
        "o403" => format!("This order will most likely trigger and fill immediately.\n{sure}"),
        "o451" => {
            format!("{named} value exceeds \nthe Total Value Limit of {} USD.\n{sure}", limit(policy.value_limit))
        }
        "o2137" => format!("{named} would cross an order of yours on the other side.\n{sure}"),
        "o10151" => "A Market Order is an instruction to trade your order at any available price in the market.\n\
                     Confirm to submit it."
            .to_owned(),
        "o10152" => "A Stop Order - i.e. a Stop (Market) Order - is an instruction to buy or sell at the market price \
                     once your trigger (\"stop\") price is reached.\nConfirm to submit it."
            .to_owned(),
        "o10331" => format!(
            "You are about to submit a stop order. Please be aware of the various stop order types available and the \
             risks associated with each one.\n{sure}"
        ),
        "o10153" => "To avoid trading at a price that is not consistent with a fair and orderly market, IB may set a \
                     cap (for a buy order) or sell order)."
            .to_owned(),
        "o10164" => "Traders are responsible for understanding cash quantity details, which are provided on a best \
                     efforts basis only."
            .to_owned(),
        "o10223" => "Orders that express size using a monetary value (cash quantity) are provided on a non-guaranteed \
                     basis."
            .to_owned(),
        "p12" => "If your order is not immediately executable, our systems may, depending on market conditions, reject \
                  your order if its limit price is more than the allowed amount away from the reference price at that \
                  time.\nUse the Price Management Algo?"
            .to_owned(),
        _ => format!("{named} needs to be confirmed ({id}).\n{sure}"),
    }
}
