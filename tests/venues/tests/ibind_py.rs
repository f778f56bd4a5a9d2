//! ibind, the client that most people use, trades with the simulated gateway as it would with the real one.
//!
//! Skipped, with the reason printed, only where there is no Python or its `venv` cannot be made.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

/// The version whose manners are simulated.
const VERSION: &str = "0.2.2";

struct Venue(Child);

impl Drop for Venue {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            eprintln!("the venue cannot be stopped: {error}");
        }
    }
}

fn shown(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Returns a Python that has ibind, or why there is none.
fn python(tmp: &Path) -> Result<PathBuf, String> {
    let home = tmp.join(format!("ibind-{VERSION}"));
    let python = home.join("bin/python");
    let has_it = |python: &Path| {
        let asked = Command::new(python).args(["-c", "import ibind"]).output();
        asked.is_ok_and(|output| output.status.success())
    };
    if has_it(&python) {
        return Ok(python);
    }
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home).output();
    let made = made.map_err(|error| format!("python3 cannot be run: {error}"))?;
    if !made.status.success() {
        return Err(format!("python3 makes no venv: {}", shown(&made)));
    }
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let pip = Command::new(&python).args(install).arg(format!("ibind=={VERSION}")).output().unwrap();
    assert!(pip.status.success(), "pip installs no ibind: {}", shown(&pip));
    assert!(has_it(&python), "pip installed an ibind that cannot be imported");
    Ok(python)
}

#[test]
fn the_usual_client_cannot_tell_the_difference() {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let python = match python(tmp) {
        Ok(python) => python,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready.json");
    let journal = folder.path().join("journal.jsonl");
    let _venue = Venue(
        Command::new(env!("CARGO_BIN_EXE_venues"))
            .args(["--venue", "ibkr", "--ready-file"])
            .arg(&ready)
            .arg("--journal")
            .arg(&journal)
            .spawn()
            .unwrap(),
    );
    let start = Instant::now();
    while !ready.exists() {
        assert!(start.elapsed() < Duration::from_secs(10), "the venue is not ready");
        std::thread::sleep(Duration::from_millis(5));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ibind_py.py");
    let run = Command::new(python).arg(script).arg(&ready).output().unwrap();
    assert!(run.status.success(), "{}", shown(&run));
    assert_eq!(String::from_utf8_lossy(&run.stdout), "all as it should be\n");
    let journal = std::fs::read_to_string(journal).unwrap();
    let fills = journal.lines().filter(|line| line.contains("\"event\":\"fill\"")).count();
    assert_eq!(fills, 5, "what the client saw is what happened");
}
