//! When the master key is due for a new version, what is read meanwhile, and when an earlier one may go. Pure.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

/// How many versions before the newest are still read.
pub const READ_BEFORE: usize = 2;
/// How many days an earlier version is kept after the next one was made, however few rows need it: backups may.
pub const KEEP_DAYS: i64 = 60;
/// After how many days a version is old.
pub const OLD_DAYS: i64 = 365;
/// How far ahead of the newest version a row's may be to be believed: a damaged row must not use up the numbers.
const AHEAD_MAX: u32 = 100;

/// A version of the master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// 1 for the first.
    pub number: u32,
    /// When it was made.
    pub made: DateTime<Utc>,
}

/// How many rows of credentials were sealed under which version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// By the version's number.
    pub by_version: BTreeMap<u32, usize>,
    /// Of a form that does not tell: they might need any.
    pub unknown: usize,
}

/// What is to be done about the versions, and what there is to tell of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Under which everything is sealed from now on.
    pub newest: Version,
    /// Whether the newest is older than a year.
    pub is_old: bool,
    /// Whether a new one is to be made by itself.
    pub is_due: bool,
    /// The number of the next version.
    pub next: Result<u32, Blocked>,
    /// Rows to seal anew under the newest version.
    pub behind: usize,
    /// Rows whose version is not here or is no longer read, by that version.
    pub lost: BTreeMap<u32, usize>,
    /// Earlier versions that may go now.
    pub droppable: Vec<u32>,
    /// Earlier versions that stay, and until when at least.
    pub kept: Vec<(u32, DateTime<Utc>)>,
}

/// Why no new version may be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// Rows could not be read any more.
    #[error(
        "{rows} row(s) of credentials are still sealed under version {version}, which could no longer be read after one \
         more rotation"
    )]
    Needed {
        /// The version they need.
        version: u32,
        /// How many.
        rows: usize,
    },
    /// There is no number left.
    #[error("no number is left for another version")]
    NoNumber,
}

/// Returns which of some versions are read: the newest, and two before.
#[must_use]
pub fn are_read(versions: impl IntoIterator<Item = u32>) -> BTreeSet<u32> {
    let all: BTreeSet<u32> = versions.into_iter().collect();
    all.into_iter().rev().take(READ_BEFORE + 1).collect()
}

/// Returns whether a version is older than a year.
#[must_use]
pub fn is_old(version: Version, now: DateTime<Utc>) -> bool {
    now.signed_duration_since(version.made) >= TimeDelta::days(OLD_DAYS)
}

/// Returns what is to be done; `None`: there is no version at all.
///
/// `rotate_after_days` is after how many days a new version is made without being asked for; 0: never.
#[must_use]
pub fn plan(versions: &[Version], rows: &Rows, rotate_after_days: u32, now: DateTime<Utc>) -> Option<Plan> {
    let made: BTreeMap<u32, DateTime<Utc>> = versions.iter().map(|it| (it.number, it.made)).collect();
    let newest = made.last_key_value().map(|(number, made)| Version { number: *number, made: *made })?;
    let age = now.signed_duration_since(newest.made);
    let read = are_read(made.keys().copied());
    let count = |version: u32| rows.by_version.get(&version).copied().unwrap_or_default();
    let needed = rows.by_version.iter().filter(|(_, rows)| **rows > 0);
    let (mut droppable, mut kept) = (Vec::new(), Vec::new());
    for (version, next) in made.keys().zip(made.values().skip(1)) {
        let until = next.checked_add_signed(TimeDelta::days(KEEP_DAYS)).unwrap_or(DateTime::<Utc>::MAX_UTC);
        if until <= now && count(*version) == 0 && rows.unknown == 0 {
            droppable.push(*version);
        } else {
            kept.push((*version, until));
        }
    }
    Some(Plan {
        newest,
        is_old: is_old(newest, now),
        is_due: rotate_after_days > 0 && age >= TimeDelta::days(i64::from(rotate_after_days)),
        next: next(&made.keys().copied().collect(), rows, newest.number),
        behind: read.iter().filter(|version| **version != newest.number).map(|version| count(*version)).sum(),
        lost: needed.filter(|(version, _)| !read.contains(version)).map(|(v, rows)| (*v, *rows)).collect(),
        droppable,
        kept,
    })
}

/// Returns the number of the next version: above every one that is here, and above every one that a row names, so that a
/// version that was lost and is put back never meets another of its number.
fn next(here: &BTreeSet<u32>, rows: &Rows, newest: u32) -> Result<u32, Blocked> {
    let believed = newest.saturating_add(AHEAD_MAX);
    let named = rows.by_version.iter().filter(|(version, rows)| **rows > 0 && **version <= believed);
    let named: BTreeMap<u32, usize> = named.map(|(version, rows)| (*version, *rows)).collect();
    let all: BTreeSet<u32> = here.iter().chain(named.keys()).copied().collect();
    let next = all.last().and_then(|last| last.checked_add(1)).ok_or(Blocked::NoNumber)?;
    let after = are_read(all.iter().copied().chain([next]));
    let mut read = are_read(here.iter().copied());
    read.extend(are_read(all));
    let cut_off = read.into_iter().find_map(|version| {
        let rows = named.get(&version).filter(|_| !after.contains(&version))?;
        Some(Blocked::Needed { version, rows: *rows })
    });
    cut_off.map_or(Ok(next), Err)
}

#[cfg(test)]
mod tests;
