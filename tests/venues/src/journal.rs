//! What the venue saw and did, in order: the other half of every "exactly once" test.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What was noted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Note {
    /// A request came in.
    Received {
        /// Its method.
        method: String,
        /// Its path and query.
        path: String,
    },
    /// A request was answered, or the connection cut instead.
    Answered {
        /// The number of the note that it came in.
        request: u64,
        /// Its method.
        method: String,
        /// Its path and query.
        path: String,
        /// Its body: JSON if it is, else its text.
        body: Value,
        /// The fault that was applied.
        fault: Option<Value>,
        /// The status that was answered.
        status: Option<u16>,
        /// How it was cut, if nothing was answered: `reset` or `silence`.
        cut: Option<String>,
    },
    /// Something happened to an order.
    Order {
        /// What: `new`, `fill`, `canceled` and so on.
        event: String,
        /// The trade, if it was one.
        execution: Option<Value>,
        /// The order right after.
        order: Value,
    },
    /// A trade that no order made, or money that moved.
    Outside {
        /// What happened.
        what: Value,
    },
    /// A stream was opened, listened to, cut or closed.
    Stream {
        /// Which.
        stream: String,
        /// What happened to it.
        event: String,
    },
}

/// A note with its number, its time and its account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// One more than the one before; the first is 1.
    pub n: u64,
    /// When, by the venue's clock.
    pub at: DateTime<Utc>,
    /// Whose doing it was, if it is known.
    pub account: Option<String>,
    /// What.
    #[serde(flatten)]
    pub note: Note,
}

/// All notes, and the file they are also written to.
#[derive(Debug, Default)]
pub struct Journal {
    entries: Vec<Entry>,
    file: Option<File>,
}

impl Journal {
    /// Returns an empty journal that is also appended to a file, a JSON line each.
    ///
    /// # Errors
    ///
    /// The file cannot be opened.
    pub fn at(path: &Path) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self { entries: Vec::new(), file: Some(file) })
    }

    /// Notes something. Returns its number.
    pub fn note(&mut self, at: DateTime<Utc>, account: Option<&str>, note: Note) -> u64 {
        let n = self.entries.last().map_or(1, |last| last.n + 1);
        let entry = Entry { n, at, account: account.map(str::to_owned), note };
        if let Some(file) = &mut self.file {
            let line = serde_json::to_string(&entry).unwrap_or_default() + "\n";
            if let Err(error) = file.write_all(line.as_bytes()) {
                eprintln!("journal: {error}");
                self.file = None;
            }
        }
        self.entries.push(entry);
        n
    }

    /// Returns all notes after a number.
    #[must_use]
    pub fn since(&self, n: u64) -> &[Entry] {
        let from = self.entries.partition_point(|entry| entry.n <= n);
        self.entries.get(from..).unwrap_or_default()
    }
}
