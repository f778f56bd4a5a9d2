//! `trade-executor health`: asks a running server whether it takes signals, so that an image needs no curl.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use super::{Global, say};
use crate::config::Environment;

const PATIENCE: Duration = Duration::from_secs(3);

/// Whom to ask.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  HEALTHCHECK CMD [\"trade-executor\", \"health\"]")]
pub(super) struct HealthArgs {
    /// Base address of the server [default: the one the settings say]
    #[arg(value_name = "URL")]
    url: Option<String>,
}

/// Asks; succeeds when the server is ready.
///
/// # Errors
/// When the settings are wrong, or nothing that speaks HTTP answers.
pub(super) fn run(args: &HealthArgs, global: &Global, environment: Environment) -> anyhow::Result<ExitCode> {
    let url = match &args.url {
        Some(url) => url.clone(),
        None => {
            let listen = global.settings(environment)?.config.server.listen;
            // Asked from the same machine: the public address may lead round the world.
            crate::config::web::WebConfig::default().base_url(listen)
        }
    };
    let status = status(&url, "/ready")?;
    say(if status == 200 { "ready" } else { "not ready" });
    Ok(if status == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the status with which a server answers a GET.
///
/// # Errors
/// When the address is not plain HTTP, or nothing that speaks HTTP answers.
pub(super) fn status(base: &str, path: &str) -> anyhow::Result<u16> {
    let Some(rest) = base.strip_prefix("http://") else {
        bail!("{base} does not start with http://; ask the server itself, not the proxy before it");
    };
    let host = rest.split('/').next().unwrap_or_default();
    let with_port = if host.rsplit(']').next().is_some_and(|end| end.contains(':')) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let address = with_port.to_socket_addrs().ok().and_then(|mut found| found.next());
    let address = address.with_context(|| format!("{host} is no address"))?;
    match ask(address, host, path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            bail!("{base} did not answer within {} s", PATIENCE.as_secs())
        }
        answer => answer.with_context(|| format!("no answer from {base}")),
    }
}

fn ask(address: std::net::SocketAddr, host: &str, path: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(io::Read::take(stream, 1024)).read_line(&mut line)?;
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    status.ok_or_else(|| io::Error::other("the answer is not HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Answers one request with `text`; returns the server's base address.
    fn server(text: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while !lines.next().unwrap().unwrap().is_empty() {}
            stream.write_all(text.as_bytes()).unwrap();
        });
        format!("http://{address}")
    }

    #[test]
    fn the_status_is_read_from_the_first_line() {
        assert_eq!(status(&server("HTTP/1.1 200 OK\r\n\r\n"), "/ready").unwrap(), 200);
        assert_eq!(status(&server("HTTP/1.1 503 Service Unavailable\r\n\r\n"), "/ready").unwrap(), 503);
    }

    #[test]
    fn what_is_not_http_is_an_error() {
        assert!(status(&server("hello\r\n"), "/ready").is_err());
        assert!(status("https://127.0.0.1", "/ready").is_err());
        assert!(status("http://", "/ready").is_err());
    }
}
