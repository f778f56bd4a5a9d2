//! What is wrong with the settings, all of it at once, in words that say what to do.

use std::fmt;

use super::load::Origin;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was said.
    pub origin: Origin,
    /// The key; empty when the place could not be read at all.
    pub key: String,
    /// What is wrong with it and what is allowed.
    pub why: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.origin, self.why)
        } else {
            write!(f, "{}: {} {}", self.origin, self.key, self.why)
        }
    }
}

/// The settings cannot be used; nothing was started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Invalid {
    /// All that is wrong, in the order in which it was read.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        write!(f, "the settings have {count} {noun}; nothing was started")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// Returns the name a person most likely meant.
pub(super) fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let leaf = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let wrong_leaf = leaf(wrong);
    let tolerated = (wrong.len() / 4).clamp(2, 6);
    names
        .map(|name| {
            let whole = distance(wrong, name);
            // The right name in the wrong section is as near as one slip.
            (if leaf(name) == wrong_leaf { whole.min(1) } else { whole }, name)
        })
        .min_by_key(|(distance, name)| (*distance, *name))
        .filter(|(distance, _)| *distance <= tolerated)
        .map(|(_, name)| name)
}

/// Counts the letters to insert, remove or replace (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (done, letter) in from.chars().enumerate() {
        let mut left = done + 1;
        let mut diagonal = done;
        for (cell, other) in row.iter_mut().skip(1).zip(&to) {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = *cell;
            left = replaced.min(*cell + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = done + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_name_that_was_meant() {
        let names = ["server.listen", "server.public_url", "metrics.listen", "store.cache_bytes"];
        let meant = |wrong| nearest(wrong, names.into_iter());
        assert_eq!(meant("server.lisen"), Some("server.listen"));
        assert_eq!(meant("server.publicurl"), Some("server.public_url"));
        assert_eq!(meant("cache_bytes"), Some("store.cache_bytes"));
        assert_eq!(meant("discord.bot_name"), None);
    }

    #[test]
    fn the_distance_counts_slips() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
