//! The thin shell: connections, the faults around each request, and the streams.

use std::convert::Infallible;
use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::admin;
use crate::faults::{Action, Facts};
use crate::http::{Answer, Request, decode};
use crate::journal::Note;
use crate::limits::Allowance;
use crate::world::{State, World};

/// The largest request body, in bytes.
const BODY_MAX: usize = 1 << 20;

/// An open stream.
pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// One side closed it.
    Closed,
    /// It was cut: the connection is reset.
    Cut,
}

/// What a venue has its own words for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Some HTTP status.
    Status(u16),
    /// Too many requests.
    RateLimit,
    /// The client's name for the order was used before.
    Duplicate,
    /// A refusal in given words.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The venue's code.
        code: i64,
        /// The venue's words.
        message: String,
    },
}

/// One broker's manners: its paths, its words, its streams.
pub trait Venue: Debug + Send + Sync + 'static {
    /// Returns what a request is about, whether or not it would be answered well.
    fn facts(&self, state: &State, request: &Request) -> Facts;

    /// Does what a request asks, and answers.
    fn answer(&self, state: &mut State, now: DateTime<Utc>, request: &Request) -> Answer;

    /// Returns the answer that tells of some trouble.
    fn trouble(&self, trouble: &Trouble) -> Answer;

    /// Answers what of the administration is this venue's own.
    fn administer(&self, world: &World, request: &Request) -> Option<Answer> {
        let (_, _) = (world, request);
        None
    }

    /// Returns the answer to a request that was one too many.
    fn over_limit(&self, exceeded: &Allowance) -> Answer {
        self.trouble(&Trouble::RateLimit).with("retry-after", exceeded.retry_after_s)
    }

    /// Adds to an answer how whose request it was stands to the limits, where the venue says so.
    fn metered(&self, answer: Answer, stands: &[Allowance], now: DateTime<Utc>) -> Answer {
        let (_, _) = (stands, now);
        answer
    }

    /// Returns whether there is a stream at a path.
    fn has_stream(&self, path: &str) -> bool;

    /// Returns the answer to whoever may not open a stream; `None`: it is opened.
    fn refused_stream(&self, state: &State, now: DateTime<Utc>, request: &Request) -> Option<Answer> {
        let (_, _, _) = (state, now, request);
        None
    }

    /// Talks to a client over a stream until it ends.
    fn talk(
        self: Arc<Self>,
        world: Arc<World>,
        request: Request,
        socket: Socket,
    ) -> BoxFuture<'static, Ended>;
}

/// A venue that is being served. Dropped, it stops: all connections are closed.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    #[expect(dead_code, reason = "held so that its tasks end with it")]
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    world: Arc<World>,
    venue: Arc<dyn Venue>,
    /// Work that goes on when the connection it came over is gone.
    work: mpsc::UnboundedSender<BoxFuture<'static, ()>>,
}

/// What one connection's requests may do to it.
#[derive(Default)]
struct Link {
    reset: Notify,
    stream: Mutex<Option<BoxFuture<'static, Ended>>>,
}

impl Server {
    /// Serves a venue on the caller's runtime.
    ///
    /// # Errors
    ///
    /// The address is taken.
    pub async fn start(world: Arc<World>, venue: Arc<dyn Venue>, listen: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&world).run());
        let (work, to_do) = mpsc::unbounded_channel();
        tasks.spawn(accept(listener, Arc::new(Shared { world, venue, work }), to_do));
        Ok(Self { address, tasks })
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut to_do: mpsc::UnboundedReceiver<BoxFuture<'static, ()>>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    connections.spawn(connection(stream, from.ip(), Arc::clone(&shared)));
                }
                Err(error) => {
                    eprintln!("accept: {error}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
            Some(work) = to_do.recv() => {
                connections.spawn(work);
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, peer: IpAddr, shared: Arc<Shared>) {
    if let Err(error) = serve(stream, peer, shared).await {
        eprintln!("connection: {error}");
    }
}

async fn serve(stream: TcpStream, peer: IpAddr, shared: Arc<Shared>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    // A second handle, because the first is hyper's when the linger time is to be set.
    let handle = stream.try_clone()?;
    let stream = TcpStream::from_std(stream)?;
    let link = Arc::new(Link::default());
    let service = {
        let link = Arc::clone(&link);
        service_fn(move |request| respond(Arc::clone(&shared), Arc::clone(&link), peer, request))
    };
    let http = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    let cut = tokio::select! {
        // What a client does to its own connection is its own affair.
        _ = http => false,
        () = link.reset.notified() => true,
    };
    let stream = link.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
    let ended = match stream {
        Some(stream) if !cut => stream.await,
        Some(_) | None => Ended::Closed,
    };
    if cut || ended == Ended::Cut {
        socket2::SockRef::from(&handle).set_linger(Some(Duration::ZERO))?;
    }
    Ok(())
}

async fn respond(
    shared: Arc<Shared>,
    link: Arc<Link>,
    peer: IpAddr,
    mut request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let upgrades = request
        .headers()
        .get("upgrade")
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let upgrade = upgrades.then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let request = match Limited::new(body, BODY_MAX).collect().await {
        Ok(body) => Request {
            method: parts.method,
            path: decode(parts.uri.path()),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            body: body.to_bytes(),
            peer,
        },
        Err(_) => return Ok(response(&shared, Answer::empty(413))),
    };
    if request.path.starts_with("/admin") {
        let own = shared.venue.administer(&shared.world, &request);
        let answer = own.unwrap_or_else(|| admin::answer(&shared.world, &request));
        return Ok(response(&shared, answer));
    }
    let answer = match handle(&shared, request, upgrade, &link).await {
        Outcome::Answer(answer) => answer,
        Outcome::Reset => {
            link.reset.notify_one();
            std::future::pending().await
        }
        Outcome::Silence => std::future::pending().await,
    };
    Ok(response(&shared, answer))
}

enum Outcome {
    Answer(Answer),
    Reset,
    Silence,
}

/// Does what a request asks, with what goes wrong before and after.
async fn handle(
    shared: &Arc<Shared>,
    request: Request,
    upgrade: Option<OnUpgrade>,
    link: &Arc<Link>,
) -> Outcome {
    let came = shared.receive(&request);
    let delay = Duration::from_millis(came.fault.as_ref().map_or(0, |(delay_ms, _)| *delay_ms));
    if delay.is_zero() {
        return shared.finish(&request, upgrade, link, &came);
    }
    // A venue does what it was asked even if nobody waits for the answer any longer.
    let (done, outcome) = oneshot::channel();
    let (here, link) = (Arc::clone(shared), Arc::clone(link));
    let late = async move {
        tokio::time::sleep(delay).await;
        let outcome = here.finish(&request, upgrade, &link, &came);
        drop(done.send(outcome));
    };
    drop(shared.work.send(Box::pin(late)));
    outcome.await.unwrap_or(Outcome::Silence)
}

impl Shared {
    fn receive(&self, request: &Request) -> Came {
        self.world.act(|state, now| {
            let facts = self.venue.facts(state, request);
            let stands = state.limits.count(&facts.meters, now);
            let received = Note::Received { method: request.method.to_string(), path: request.target() };
            let number = state.journal.note(now, facts.account.as_deref(), received);
            let exceeded = stands.iter().any(|stand| stand.exceeded);
            let fault = if exceeded { None } else { state.faults.decide(&facts, &mut state.rng) };
            Came { at: now, facts, stands, number, fault }
        })
    }

    fn finish(&self, request: &Request, upgrade: Option<OnUpgrade>, link: &Link, came: &Came) -> Outcome {
        let fault = came.fault.clone().map(|(_, action)| action).unwrap_or_default();
        let acted = if let Some(exceeded) = came.stands.iter().find(|stand| stand.exceeded) {
            Some(self.venue.over_limit(exceeded))
        } else if fault.acts() {
            Some(self.act(request, upgrade, link, fault == Action::Reject))
        } else {
            None
        };
        let outcome = match self.spoil(&fault, acted) {
            Outcome::Answer(answer) => Outcome::Answer(self.venue.metered(answer, &came.stands, came.at)),
            cut @ (Outcome::Reset | Outcome::Silence) => cut,
        };
        self.note(request, came, &outcome);
        outcome
    }

    fn act(&self, request: &Request, upgrade: Option<OnUpgrade>, link: &Link, doomed: bool) -> Answer {
        match upgrade {
            Some(upgrade) if self.venue.has_stream(&request.path) => self.open(request, upgrade, link),
            Some(_) | None => self.world.act(|state, now| {
                state.book.set_doomed(doomed);
                let answer = self.venue.answer(state, now, request);
                state.book.set_doomed(false);
                answer
            }),
        }
    }

    fn open(&self, request: &Request, upgrade: OnUpgrade, link: &Link) -> Answer {
        if self.world.look(|state| state.hub.refuses(state.clock.now())) {
            return self.venue.trouble(&Trouble::Status(503));
        }
        let refused = |state: &mut State, now| self.venue.refused_stream(state, now, request);
        if let Some(refused) = self.world.act(refused) {
            return refused;
        }
        let Some(key) = request.header("sec-websocket-key") else { return Answer::empty(400) };
        let accept = derive_accept_key(key.as_bytes());
        let (venue, world, request) = (Arc::clone(&self.venue), Arc::clone(&self.world), request.clone());
        let stream = async move {
            let Ok(io) = upgrade.await else { return Ended::Closed };
            let config = WebSocketConfig::default().read_buffer_size(4096).max_message_size(Some(BODY_MAX));
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Server, Some(config)).await;
            venue.talk(world, request, socket).await
        };
        *link.stream.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::pin(stream));
        Answer::empty(101)
            .with("connection", "Upgrade")
            .with("upgrade", "websocket")
            .with("sec-websocket-accept", accept)
    }

    /// Returns what becomes of an answer, or of none where the venue did not act.
    fn spoil(&self, fault: &Action, acted: Option<Answer>) -> Outcome {
        let told = |trouble: Trouble| self.venue.trouble(&trouble);
        Outcome::Answer(match fault {
            Action::Pass | Action::Reject => acted.unwrap_or_else(|| told(Trouble::Status(500))),
            Action::Status { status, retry_after_s, .. } => {
                let answer = told(if *status == 429 { Trouble::RateLimit } else { Trouble::Status(*status) });
                match retry_after_s {
                    Some(seconds) => answer.with("retry-after", seconds),
                    None => answer,
                }
            }
            Action::Reset { .. } => return Outcome::Reset,
            Action::Silence { .. } => return Outcome::Silence,
            Action::Garble => Answer {
                status: 200,
                headers: vec![("content-type", "application/json; charset=UTF-8".to_owned())],
                body: b"{\"id\":\"61e69015-8549-4bfd-b9c3-01e7".to_vec(),
            },
            Action::LoseHeader { name } => {
                let mut answer = acted.unwrap_or_else(|| told(Trouble::Status(500)));
                answer.headers.retain(|(header, _)| header != name);
                answer
            }
            Action::Duplicate => told(Trouble::Duplicate),
            Action::Refuse { status, code, message } => {
                told(Trouble::Refused { status: *status, code: *code, message: message.clone() })
            }
        })
    }

    fn note(&self, request: &Request, came: &Came, outcome: &Outcome) {
        let (status, cut) = match outcome {
            Outcome::Answer(answer) => (Some(answer.status), None),
            Outcome::Reset => (None, Some("reset".to_owned())),
            Outcome::Silence => (None, Some("silence".to_owned())),
        };
        let answered = Note::Answered {
            request: came.number,
            method: request.method.to_string(),
            path: request.target(),
            body: request.body_value(),
            fault: came.fault.as_ref().map(|(ms, action)| json!({"delay_ms": ms, "action": action})),
            status,
            cut,
        };
        self.world.act(|state, now| state.journal.note(now, came.facts.account.as_deref(), answered));
    }
}

struct Came {
    at: DateTime<Utc>,
    facts: Facts,
    stands: Vec<Allowance>,
    number: u64,
    fault: Option<(u64, Action)>,
}

fn response(shared: &Shared, answer: Answer) -> hyper::Response<Full<Bytes>> {
    let now = shared.world.look(|state| state.clock.now());
    let mut response = hyper::Response::builder()
        .status(answer.status)
        .header("date", now.format("%a, %d %b %Y %H:%M:%S GMT").to_string());
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(Bytes::from(answer.body))).unwrap_or_else(|error| {
        eprintln!("an answer cannot be sent: {error}");
        hyper::Response::new(Full::default())
    })
}
