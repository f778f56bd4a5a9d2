//! `POST /webhooks/tradingview/{token}`: the hot path. Durable before it is acknowledged, never slower than it must be.

use bytes::{Buf, Bytes};
use chrono::{DateTime, Utc};
use futures_util::Stream;
use serde::Serialize;
use trade_actors::arrival::{Delivered, Delivery};
use trade_actors::domain::event::{Event, Fact};
use trade_actors::domain::feed::Source;
use trade_actors::domain::ids::SourceId;
use trade_actors::domain::signal::{DeliveryKey, Origin};
use trade_actors::engine::Engine;
use utoipa::ToSchema;
use uuid::Uuid;
use warp::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use warp::http::{HeaderMap, Response, StatusCode};

use super::near::{INVALID_SYMBOL, not_traded};
use crate::intake::{Reading, Refusal, read_webhook, redact};
use crate::keys::token_hash;
use crate::web::call::{Answer, Call, address_of, caller};
use crate::web::edge::Edge;
use crate::web::meters::Outcome;
use crate::web::problem::Problem;
use crate::web::server::Arrived;
use crate::web::{body, router};

/// An alert. Other spellings, and text, are understood too.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alert)]
pub(crate) struct AlertBody {
    /// What to trade.
    #[schema(example = "AAPL")]
    ticker: String,
    /// `buy`, `sell` or `close`.
    #[schema(example = "buy")]
    action: String,
    /// How much; absent: the risk settings size the order.
    #[schema(example = "10")]
    quantity: Option<String>,
    /// Names the delivery: the same id is never executed twice.
    id: Option<String>,
}

/// What became of a delivery.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivered)]
pub(crate) struct DeliveredBody {
    /// The signal it is.
    pub(crate) signal_id: Uuid,
    /// `accepted`, or `duplicate` when it had come before.
    #[schema(example = "accepted")]
    pub(crate) status: &'static str,
}

/// Why a delivery is not carried out: an answer, and perhaps a fact for the source's owner.
enum No {
    Refused(Box<Refused>),
    Other(Problem),
}

struct Refused {
    source: Source,
    why: Why,
    body: Bytes,
}

struct Why {
    code: &'static str,
    field: Option<String>,
    message: String,
}

impl From<Refusal> for Why {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code.as_str(), field: refusal.field, message: refusal.detail }
    }
}

impl From<Problem> for No {
    fn from(problem: Problem) -> Self {
        Self::Other(problem)
    }
}

/// The table's entry; requests are answered by [`answer`].
pub(crate) async fn receive(_: Call) -> Result<Answer, Problem> {
    Err(router::not_by_table())
}

/// Answers a delivery.
pub(crate) async fn answer<S, B>(
    edge: &Edge,
    token: &str,
    arrived: Arrived,
    headers: &HeaderMap,
    stream: S,
) -> Answer
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let (outcome, answer) = match take(edge, token, arrived, headers, stream).await {
        Ok(delivered) if delivered.duplicate => (Outcome::Duplicate, said(delivered)),
        Ok(delivered) => (Outcome::Accepted, said(delivered)),
        Err(No::Refused(refused)) => {
            (Outcome::Refused, arrived.say(&refuse(edge, arrived, headers, *refused)))
        }
        Err(No::Other(problem)) => {
            let busy = problem.status.is_server_error() || problem.status == StatusCode::TOO_MANY_REQUESTS;
            (if busy { Outcome::Unavailable } else { Outcome::Refused }, arrived.say(&problem))
        }
    };
    edge.meters.signal(Origin::Tradingview, outcome);
    edge.meters.webhook(arrived.at.elapsed());
    answer
}

/// Words the acknowledgement.
pub(crate) fn said(delivered: Delivered) -> Answer {
    let (status, word) =
        if delivered.duplicate { (StatusCode::OK, "duplicate") } else { (StatusCode::ACCEPTED, "accepted") };
    let body = format!(r#"{{"signal_id":"{}","status":"{word}"}}"#, delivered.signal);
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

async fn take<S, B>(
    edge: &Edge,
    token: &str,
    arrived: Arrived,
    headers: &HeaderMap,
    stream: S,
) -> Result<Delivered, No>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let engine = edge.engine()?;
    body::refuse_encoded(
        headers.get(CONTENT_ENCODING).map(|encoding| encoding.to_str().unwrap_or("unknown")),
    )?;
    let limit = usize::try_from(edge.web.config.webhook_body_max_bytes).unwrap_or(usize::MAX);
    let body = body::within(edge, body::read(stream, body::announced(headers), limit)).await?;
    let (received_at, received) = (engine.clock().now(), engine.clock().stamp());
    let source = source(engine, token)?;
    match understand(engine, &source, &body, received_at) {
        Ok((reading, key)) => {
            let delivery = Delivery {
                source: source.id,
                owner: source.owner,
                origin: Origin::Tradingview,
                instruction: reading.instruction,
                key,
                received_at,
                received,
                excerpt: redact(&body),
                caller: caller(headers, address_of(edge, arrived.peer.ip(), headers)),
            };
            engine.deliver(delivery).await.map_err(|refused| No::Other(refused.into()))
        }
        Err(why) => Err(No::Refused(Box::new(Refused { source, why, body }))),
    }
}

/// Finds the source of an address; an unknown one costs the same look-ups.
fn source(engine: &Engine, token: &str) -> Result<Source, Problem> {
    let views = engine.views();
    match views.source_by_token(&token_hash(token))? {
        Some(source) => Ok(source),
        None => {
            views.source(SourceId::new(Uuid::nil()))?;
            Err(Problem::not_found())
        }
    }
}

/// Reads a body and judges what needs no account: its age and its symbol.
fn understand(
    engine: &Engine,
    source: &Source,
    body: &Bytes,
    received_at: DateTime<Utc>,
) -> Result<(Reading, DeliveryKey), Why> {
    let reading = read_webhook(body)?;
    let key = reading.identity.key(source.id, body);
    if let Err(stale) = reading.check_fresh(received_at) {
        // A late repeat is still a repeat, not a late order.
        let seen = engine.views().seen(source.id, key).ok().flatten();
        if !seen.is_some_and(|seen| key.repeats(seen.at, received_at)) {
            return Err(stale.into());
        }
    }
    let symbol = reading.instruction.symbol;
    // What cannot be read condemns nothing: the delivery itself will say so.
    if let Some(places) = engine.nobody_trades(source, symbol).ok().flatten() {
        let step = reading.receipt.iter().find(|step| step.field == "symbol");
        let field = step.map(|step| step.from.clone()).filter(|from| !from.is_empty());
        let message = not_traded(symbol, &places);
        return Err(Why { code: INVALID_SYMBOL, field, message });
    }
    Ok((reading, key))
}

/// Tells the owner what was refused, and words the answer.
fn refuse(edge: &Edge, arrived: Arrived, headers: &HeaderMap, refused: Refused) -> Problem {
    let Refused { source, why: Why { code, field, message }, body } = refused;
    let mut problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, message.clone());
    if let Some(pointer) = &field {
        problem = problem.at(pointer.as_str());
    }
    if let Ok(engine) = edge.engine() {
        let excerpt = redact(&body);
        let event =
            Event::SignalRefused { source: source.id, code: code.to_owned(), field, message, excerpt };
        let caller = caller(headers, address_of(edge, arrived.peer.ip(), headers));
        edge.record(engine, vec![Fact::by(Some(source.owner), event, &caller)]);
    }
    problem
}
