//! A client library from PyPI, a venue in a process of its own, and a script that makes them meet.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use venues::journal::{Entry, Note};

/// What a script says last.
const ALL_WELL: &str = "all as it should be\n";

/// A client library: what pip installs, at which versions, and what Python imports then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Library {
    pub(crate) packages: &'static [&'static str],
    pub(crate) modules: &'static [&'static str],
}

/// What happened while a script ran.
#[derive(Debug)]
pub(crate) struct Seen(Vec<Entry>);

impl Seen {
    /// Returns how often something happened to an order.
    pub(crate) fn events(&self, name: &str) -> usize {
        self.0
            .iter()
            .filter(|entry| matches!(&entry.note, Note::Order { event, .. } if event == name))
            .count()
    }

    /// Returns how often a request was answered with this status.
    pub(crate) fn answers(&self, wanted: u16) -> usize {
        let is_it =
            |entry: &&Entry| matches!(entry.note, Note::Answered { status, .. } if status == Some(wanted));
        self.0.iter().filter(is_it).count()
    }
}

struct Venue(Child);

impl Drop for Venue {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            eprintln!("the venue cannot be stopped: {error}");
        }
    }
}

/// Runs a script of this folder against a venue, and checks that it is content. Returns what the venue saw; nothing
/// where Python cannot be had.
///
/// The script is called with the venue's ready file. It is not to be called like a module of the library: its folder
/// comes first where Python looks for them.
pub(crate) fn run(venue: &str, script: &str, library: Library) -> Option<Seen> {
    let python = match python(library) {
        Ok(python) => python,
        Err(reason) => {
            println!("skipped: {reason}");
            return None;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let (ready, journal) = (folder.path().join("ready.json"), folder.path().join("journal.jsonl"));
    let _venue = started(venue, &ready, &journal);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vendors").join(script);
    let run = Command::new(python).arg("-B").arg(script).arg(&ready).output().unwrap();
    assert!(run.status.success(), "{}", shown(&run));
    assert_eq!(String::from_utf8_lossy(&run.stdout), ALL_WELL);
    let journal = std::fs::read_to_string(journal).unwrap();
    Some(Seen(journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect()))
}

fn started(name: &str, ready: &Path, journal: &Path) -> Venue {
    let mut program = Command::new(env!("CARGO_BIN_EXE_venues"));
    program.args(["--venue", name, "--ready-file"]).arg(ready).arg("--journal").arg(journal);
    let venue = Venue(program.spawn().unwrap());
    let start = Instant::now();
    while !ready.exists() {
        assert!(start.elapsed() < Duration::from_secs(10), "the venue is not ready");
        std::thread::sleep(Duration::from_millis(5));
    }
    let urls: Value = serde_json::from_slice(&std::fs::read(ready).unwrap()).unwrap();
    assert!(urls.get("admin_url").is_some(), "{urls}");
    venue
}

/// Returns a Python that has a library, or why there is none. Two tests of one library make it once.
fn python(library: Library) -> Result<PathBuf, String> {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let home = tmp.join(library.packages.join("-").replace("==", "-"));
    let lock = File::create(home.with_added_extension("lock")).unwrap();
    lock.lock().unwrap();
    let python = home.join("bin/python");
    let has_it = || {
        let import = format!("import {}", library.modules.join(", "));
        let asked = Command::new(&python).args(["-c", &import]).output();
        asked.is_ok_and(|output| output.status.success())
    };
    if has_it() {
        return Ok(python);
    }
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home).output();
    let made = made.map_err(|error| format!("python3 cannot be run: {error}"))?;
    if !made.status.success() {
        return Err(format!("python3 makes no venv: {}", shown(&made)));
    }
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let pip = Command::new(&python).args(install).args(library.packages).output().unwrap();
    assert!(pip.status.success(), "pip cannot install {:?}: {}", library.packages, shown(&pip));
    assert!(has_it(), "pip installed {:?}, and it cannot be imported", library.packages);
    Ok(python)
}

fn shown(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}
