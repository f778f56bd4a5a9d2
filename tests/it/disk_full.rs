//! A full disk refuses new signals, loses nothing that was accepted, and is over once there is room.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::api::order;
use crate::support::log::{self, Story};
use crate::support::{Setup, wait_until};

const DISK: &str = "size=24m";
/// How long the disk stays full at most.
const FULL: Duration = Duration::from_secs(5);

/// A small disk of its own; taken away when dropped.
#[derive(Debug)]
struct Disk(PathBuf);

impl Disk {
    /// Returns nothing where mounting is not allowed.
    fn mount(at: PathBuf) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(&at).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(at))
    }

    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        for size in [1 << 16, 1 << 10, 1] {
            let block = vec![b'x'; size];
            while file.write_all(&block).is_ok() {}
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

fn room(path: &Path) -> u64 {
    let output = Command::new("df").args(["--output=avail", "-k"]).arg(path).output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().nth(1).unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_new_signals_and_loses_none() {
    let home = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(home.path().join("disk")) else {
        println!("skipped: a small disk can only be mounted by root");
        return;
    };
    let setup = Setup::new().fixed_port().data(&disk.0.join("data"));
    let mut server =
        setup.set("store.segment_bytes", 65_536).set("store.cache_bytes", 1_048_576).start().await;
    let api = server.owner();
    let mut told = Vec::new();
    let mut number = 0;
    let mut next = || {
        number += 1;
        order(&format!("n{number}"), "AAPL", if number % 2 == 1 { "buy" } else { "sell" }, "1")
    };
    for _ in 0..10 {
        told.push(api.signal(&next()).await.expect(202)["signal_id"].as_str().unwrap().to_owned());
    }
    let filler = disk.fill();
    assert_eq!(room(&disk.0), 0);

    let (mut refused, mut named, mut behind) = (0, 0, false);
    let started = Instant::now();
    // What is left of preallocated files holds some more; then the log is full, and later its index too.
    while !behind && started.elapsed() < FULL {
        let answer = api.signal(&next()).await;
        if answer.status == 202 {
            told.push(answer.str("signal_id").to_owned());
            continue;
        }
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert!(!answer.header("retry-after").is_empty());
        refused += 1;
        named += u32::from(answer.body["code"] == "DISK_FULL");
        let health = api.get("/health").await;
        assert_eq!(health.status, 200, "it is alive");
        behind = refused > 20 && health.body["parts"]["index_lag"].as_u64().is_some_and(|lag| lag > 0);
    }
    println!("{} accepted, {refused} refused, {named} by name; the index is behind: {behind}", told.len());
    assert!(refused > 0, "the disk never seemed full");

    fs::remove_file(filler).unwrap();
    let body = next();
    let signal = api.insist(&body).await.str("signal_id").to_owned();
    told.push(signal.clone());
    api.settled(&signal, "filled").await;
    assert_eq!(log::count(&server.data, "USER_SUSPENDED"), 0, "a full disk is nobody's fault");
    server.assert_log_is_whole();
    server.restart().await;
    wait_until("every order to have ended", || async {
        let trades = api.trades().await;
        let ended = ["filled", "rejected", "expired", "cancelled"];
        trades.iter().all(|trade| ended.iter().any(|end| trade["status"] == *end))
    })
    .await;
    server.stop().await;
    server.assert_log_is_whole();
    Story::read(&server.data).assert_all_is_settled(told.iter().map(String::as_str));
}
