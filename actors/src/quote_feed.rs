//! Prices: one stream a venue, shared by all who need them, the latest of each symbol.

use std::collections::BTreeMap;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::domain::instrument::Symbol;
use crate::domain::portfolio::Quote;
use crate::engine::Shared;
use crate::fault;
use crate::hub::HubMsg;
use crate::ports::market::Feed;
use crate::position::PositionMsg;

/// The venues' streams; they outlive a restart of the actor that reads them.
#[derive(Clone, Debug)]
pub struct Feeds(Vec<Arc<Mutex<Box<dyn Feed>>>>);

impl Feeds {
    /// Takes the streams.
    #[must_use]
    pub fn new(feeds: Vec<Box<dyn Feed>>) -> Self {
        Self(feeds.into_iter().map(|feed| Arc::new(Mutex::new(feed))).collect())
    }
}

/// What the feed is told.
#[derive(Debug)]
pub enum QuoteFeedMsg {
    /// New prices at a venue.
    Ticked(&'static str, Vec<Quote>),
    /// A position wants its symbol's prices at its venue.
    Subscribe(String, Symbol, ActorRef<PositionMsg>),
}

/// The actor.
#[derive(Debug)]
pub struct QuoteFeed;

/// What the feed needs.
#[derive(Debug)]
pub struct QuoteFeedArgs {
    /// The venues' streams.
    pub feeds: Feeds,
    /// What actors share.
    pub shared: Arc<Shared>,
}

/// What the feed holds.
#[derive(Debug)]
pub struct QuoteFeedState {
    shared: Arc<Shared>,
    subscribers: BTreeMap<String, BTreeMap<Symbol, BTreeMap<u64, ActorRef<PositionMsg>>>>,
    /// Readers of the streams; dropped, and so stopped, with the actor.
    _readers: JoinSet<()>,
}

impl Actor for QuoteFeed {
    type Msg = QuoteFeedMsg;
    type State = QuoteFeedState;
    type Arguments = QuoteFeedArgs;

    async fn pre_start(
        &self,
        me: ActorRef<QuoteFeedMsg>,
        args: QuoteFeedArgs,
    ) -> Result<QuoteFeedState, ActorProcessingErr> {
        let mut readers = JoinSet::new();
        for feed in args.feeds.0 {
            let me = me.clone();
            readers.spawn(async move {
                let mut feed = feed.lock().await;
                let venue = feed.venue();
                loop {
                    let quotes = feed.next().await;
                    if me.cast(QuoteFeedMsg::Ticked(venue, quotes)).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(QuoteFeedState { shared: args.shared, subscribers: BTreeMap::new(), _readers: readers })
    }

    async fn handle(
        &self,
        _: ActorRef<QuoteFeedMsg>,
        msg: QuoteFeedMsg,
        state: &mut QuoteFeedState,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            QuoteFeedMsg::Ticked(venue, quotes) => {
                fault::point("quote_feed");
                let mut here = state.subscribers.get_mut(venue);
                for quote in &quotes {
                    let symbols = here.as_deref_mut();
                    if let Some(subscribers) = symbols.and_then(|symbols| symbols.get_mut(&quote.symbol)) {
                        subscribers
                            .retain(|_, position| position.cast(PositionMsg::Price(quote.price)).is_ok());
                    }
                }
                state.shared.hub.tell(HubMsg::Quotes(venue, quotes.into()));
            }
            QuoteFeedMsg::Subscribe(venue, symbol, position) => {
                let symbols = state.subscribers.entry(venue).or_default();
                symbols.entry(symbol).or_default().insert(position.get_id().pid(), position);
            }
        }
        Ok(())
    }
}
