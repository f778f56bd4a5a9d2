//! The accept loop: a cap on connections, a time limit on heads and requests, and a stop that finishes what it began.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use warp::Reply;
use warp::http::{Method, Request, Response, StatusCode, header};

use super::call::Answer;
use super::edge::Edge;
use super::headers::{RequestId, complete};
use super::problem::Problem;
use super::router;

/// Largest head of a request, in bytes.
const HEAD_MAX: usize = 16 << 10;
/// Most lines in a head.
const HEADERS_MAX: usize = 64;
/// How long requests and sockets may take to finish when the server stops.
const FINISH: Duration = Duration::from_secs(8);
/// Connections over the cap that are told so at once; more are just closed.
const REFUSALS_MAX: usize = 64;

/// When, from where and under which id a request came; an extension of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    pub(super) peer: SocketAddr,
    pub(super) id: RequestId,
    pub(super) at: Instant,
}

impl Arrived {
    /// Renders a problem of this request.
    pub(super) fn say(self, problem: &Problem) -> Answer {
        problem.answer(&self.id.to_string())
    }
}

/// Serves until `stop` turns true, then finishes.
pub(super) async fn run(edge: Arc<Edge>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let routes = TowerToHyperService::new(warp::service(router::filter(Arc::clone(&edge))));
    let room =
        Arc::new(Semaphore::new(usize::try_from(edge.web.config.max_connections).unwrap_or(usize::MAX)));
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Most often no file descriptors: giving some back takes a moment.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            edge.meters.refused_connection();
            if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
                connections.spawn(async move {
                    refuse(stream).await;
                    drop(permit);
                });
            }
            continue;
        };
        let (edge, routes, stop) = (Arc::clone(&edge), routes.clone(), stop.clone());
        connections.spawn(async move {
            let timeout = edge.web.config.header_timeout();
            let service = service_fn(move |request: Request<Incoming>| {
                let (edge, routes) = (Arc::clone(&edge), routes.clone());
                async move { Ok::<_, Infallible>(answer(&edge, &routes, request, peer).await) }
            });
            serve_connection(stream, service, timeout, stop).await;
            drop(permit);
        });
    }
    drop(listener);
    finish(&edge, connections).await;
}

/// Waits until the server is to stop; a sender that is gone means the same.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        tracing::debug!("nobody is left to stop the server; it stops");
    }
}

async fn finish(edge: &Edge, mut connections: JoinSet<()>) {
    let under_way = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(FINISH, under_way).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "connections did not finish in time and were dropped"
        );
    }
    edge.tasks.finish(FINISH).await;
}

async fn serve_connection<S, B>(
    stream: TcpStream,
    service: S,
    timeout: Duration,
    mut stop: watch::Receiver<bool>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection closed before it was served");
        return;
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// Answers one request through warp, within the time limit, and adds what every answer carries.
async fn answer<S>(
    edge: &Edge,
    routes: &S,
    mut request: Request<Incoming>,
    peer: SocketAddr,
) -> warp::reply::Response
where
    S: Service<Request<Incoming>, Response = warp::reply::Response, Error = Infallible>,
{
    let arrived = Arrived { peer, id: edge.ids.next(), at: Instant::now() };
    request.extensions_mut().insert(arrived);
    let limit = edge.web.config.request_timeout();
    let mut response = match tokio::time::timeout(limit, routes.call(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => {
            let detail =
                "the request took too long; whether it was done is not known; look before trying again";
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "TIMEOUT", detail).retry_after(1);
            arrived.say(&problem).into_response()
        }
    };
    complete(response.headers_mut(), arrived.id, edge.web.config.is_https());
    response
}

/// Tells a client over the cap to come back, and reads a little so that it can read that.
async fn refuse(mut stream: TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
        retry-after: 1\r\nconnection: close\r\ncontent-length: 117\r\n\r\n\
        {\"title\":\"Service Unavailable\",\"status\":503,\"code\":\"TOO_MANY_CONNECTIONS\",\
        \"detail\":\"too many connections; come back\"}";
    let told = async {
        stream.write_all(ANSWER).await?;
        stream.shutdown().await?;
        let mut rest = [0; 1_024];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    if !matches!(tokio::time::timeout(Duration::from_millis(500), told).await, Ok(Ok(()))) {
        tracing::debug!("a connection over the cap was closed");
    }
}

/// Serves `/metrics` until `stop` turns true.
pub async fn serve_metrics(handle: PrometheusHandle, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (handle, stop) = (handle.clone(), stop.clone());
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = measurements(&handle, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            serve_connection(stream, service, Duration::from_secs(5), stop).await;
        });
    }
    connections.shutdown().await;
}

fn measurements<B>(handle: &PrometheusHandle, request: &Request<B>) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&(Method::GET | Method::HEAD), "/metrics") => (StatusCode::OK, handle.render()),
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "GET only\n".to_owned()),
        (_, _) => (StatusCode::NOT_FOUND, "the measurements are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}
