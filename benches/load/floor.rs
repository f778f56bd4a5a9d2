//! What the machine itself needs: a write made durable, and a request answered by a server that does nothing else.

use std::cell::Cell;
use std::convert::Infallible;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::client::Connection;
use crate::figures::Times;

const FILE_BYTES: u64 = 64 << 20;
/// What one record is taken to be, in bytes.
pub(crate) const WRITE_BYTES: usize = 1 << 10;

/// A file whose bytes were all written, as a segment's are.
#[derive(Debug)]
pub(crate) struct Preallocated {
    file: File,
    at: Cell<u64>,
}

impl Preallocated {
    /// Makes the file.
    pub(crate) fn new(path: &Path) -> anyhow::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        let zeros = vec![0; 1 << 20];
        for part in 0..FILE_BYTES >> 20 {
            file.write_all_at(&zeros, part << 20)?;
        }
        file.sync_all()?;
        Ok(Self { file, at: Cell::new(0) })
    }

    /// Writes bytes behind the last ones and returns once they survive a power cut.
    pub(crate) fn append(&self, bytes: &[u8]) -> std::io::Result<()> {
        let length = bytes.len() as u64;
        let at = if self.at.get() + length > FILE_BYTES { 0 } else { self.at.get() };
        self.file.write_all_at(bytes, at)?;
        self.file.sync_data()?;
        self.at.set(at + length);
        Ok(())
    }
}

/// Makes writes durable for many at once, on a thread of its own: what queues during one sync is the next batch.
#[derive(Debug)]
struct Group(mpsc::Sender<oneshot::Sender<()>>);

impl Group {
    fn start(file: Preallocated) -> Self {
        let (queue, queued) = mpsc::channel::<oneshot::Sender<()>>();
        let _ended_by_exit = thread::spawn(move || {
            while let Ok(first) = queued.recv() {
                let batch: Vec<_> = std::iter::once(first).chain(queued.try_iter().take(1_023)).collect();
                if file.append(&vec![0xa5; batch.len() * WRITE_BYTES]).is_err() {
                    return;
                }
                for done in batch {
                    if done.send(()).is_err() {
                        eprintln!("the floor's client did not wait");
                    }
                }
            }
        });
        Self(queue)
    }

    async fn append(&self) -> bool {
        let (done, answer) = oneshot::channel();
        self.0.send(done).is_ok() && answer.await.is_ok()
    }
}

/// What the floor's server writes to.
#[derive(Debug)]
struct Disk {
    alone: Preallocated,
    group: Group,
}

/// Serves `/` at once, `/durable` after a durable write of 1 KiB and `/grouped` after one shared with others.
///
/// Ends with whoever started it.
pub(crate) async fn serve(path: &Path) -> anyhow::Result<()> {
    let group = Group::start(Preallocated::new(&path.with_extension("group"))?);
    let disk = Rc::new(Disk { alone: Preallocated::new(path)?, group });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let tasks = LocalSet::new();
    let serving = async {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let disk = Rc::clone(&disk);
            let _served = tasks.spawn_local(async move {
                let answers = service_fn(|request| answer(request, Rc::clone(&disk)));
                if let Err(error) =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), answers).await
                {
                    eprintln!("the floor's server: {error}");
                }
            });
        }
    };
    tasks.run_until(serving).await
}

async fn answer(request: Request<Incoming>, disk: Rc<Disk>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let read = request.into_body().collect().await.is_ok();
    let done = read
        && match path.as_str() {
            "/durable" => disk.alone.append(&[0xa5; WRITE_BYTES]).is_ok(),
            "/grouped" => disk.group.append().await,
            _ => true,
        };
    let mut response = Response::new(Full::from(r#"{"signal_id":"00000000-0000-0000-0000-000000000000"}"#));
    *response.status_mut() = if done { StatusCode::ACCEPTED } else { StatusCode::INTERNAL_SERVER_ERROR };
    Ok(response)
}

/// The floor's server as a child process.
#[derive(Debug)]
pub(crate) struct Floor {
    child: Child,
    file: Preallocated,
    connection: Connection,
    address: SocketAddr,
}

impl Floor {
    /// Starts it with its files in `dir`.
    pub(crate) async fn start(dir: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--inner", "floor"]).arg(dir.join("floor-child"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("the floor's server says nothing")?)
            .read_line(&mut line)?;
        let address: SocketAddr = line.trim().parse().context("the floor's address")?;
        let connection = Connection::open(address).await?;
        let file = Preallocated::new(&dir.join("floor-own"))?;
        Ok(Self { child, file, connection, address })
    }

    /// Returns where it takes requests.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns a request of the size of a delivery.
    pub(crate) fn request(&self, path: &str) -> Vec<u8> {
        let body = r#"{"ticker":"AAPL","action":"sell","quantity":1,"alert_id":"n0000000000000000"}"#;
        let (address, length) = (self.address, body.len());
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        [head, body.to_owned()].concat().into_bytes()
    }

    /// Times round trips, one at a time.
    pub(crate) async fn round_trips(
        &mut self,
        path: &str,
        count: usize,
        times: &mut Times,
    ) -> anyhow::Result<()> {
        let request = self.request(path);
        for _ in 0..count {
            let began = Instant::now();
            self.connection.exchange(&request).await?;
            times.add(began.elapsed());
        }
        Ok(())
    }

    /// Times durable writes without a round trip.
    pub(crate) fn writes(&self, count: usize, times: &mut Times) -> anyhow::Result<()> {
        for _ in 0..count {
            let began = Instant::now();
            self.file.append(&[0xa5; WRITE_BYTES])?;
            times.add(began.elapsed());
        }
        Ok(())
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        if self.child.kill().is_ok() && self.child.wait().is_err() {
            eprintln!("process {} may still run", self.child.id());
        }
    }
}
