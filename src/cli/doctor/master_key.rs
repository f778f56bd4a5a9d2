//! Whether the versions of the master key are whole, young enough, and all that credentials need.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, Utc};

use super::{Finding, Verdict};
use crate::keys::MasterKey;
use crate::keys::schedule::{Plan, Rows, plan};

const WHAT: &str = "master key";

/// Looks at the versions; nothing when there is no key yet.
pub(super) fn versions(dir: &Path, rotate_after_days: u32, now: DateTime<Utc>) -> Option<Finding> {
    let path = dir.join("master.key");
    if !path.exists() {
        return None;
    }
    let keys = match MasterKey::load_or_create(&path) {
        Ok(keys) => keys,
        Err(error) => {
            return Some(Finding::new(WHAT, Verdict::Bad, format!("the server does not start: {error}")));
        }
    };
    let plan = plan(&keys.versions(), &Rows::default(), rotate_after_days, now)?;
    Some(judged(&plan))
}

fn judged(plan: &Plan) -> Finding {
    let (number, made) = (plan.newest.number, plan.newest.made.format("%Y-%m-%d"));
    if plan.is_old || plan.is_due {
        let next = if plan.is_due {
            "a running server makes the next one by itself; without one, run: trade-executor keys rotate"
        } else {
            "stop the server and run: trade-executor keys rotate"
        };
        let text = format!("version {number}, the newest, is of {made}, which is too long ago; {next}");
        return Finding::new(WHAT, Verdict::Mind, text);
    }
    let earlier: Vec<_> = plan.kept.iter().map(|(version, _)| *version).collect();
    let kept = if earlier.is_empty() { String::new() } else { format!("; kept beside it: {earlier:?}") };
    Finding::new(WHAT, Verdict::Good, format!("version {number}, the newest, is of {made}{kept}"))
}

/// Words rows whose version is not here or no longer read.
pub(super) fn lost(lost: &BTreeMap<u32, usize>) -> Option<Finding> {
    if lost.is_empty() {
        return None;
    }
    let told: Vec<_> = lost.iter().map(|(version, rows)| format!("{rows} under version {version}")).collect();
    let text = format!(
        "credentials are sealed under versions that are not here or no longer read ({}); put master.key.N of that \
         version back from its copy, or connect the accounts named below again",
        told.join(", ")
    );
    Some(Finding::new(WHAT, Verdict::Bad, text))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use chrono::TimeDelta;
    use trade_actors::ports::clock::{Clock, SystemClock};

    use super::*;

    #[test]
    fn a_key_older_than_a_year_is_noted_with_the_command_to_run() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemClock::new().now();
        assert!(versions(dir.path(), 0, now).is_none());
        MasterKey::load_or_create(&dir.path().join("master.key")).unwrap();
        let found = |days, after| versions(dir.path(), after, now + TimeDelta::days(days)).unwrap();
        assert_eq!(found(364, 0).verdict, Verdict::Good);
        for (days, after) in [(366, 0), (366, 365), (31, 30), (366, 3_650)] {
            let found = found(days, after);
            assert!(found.verdict == Verdict::Mind && found.text.contains("keys rotate"), "{found:?}");
        }
        assert!(found(366, 365).text.contains("by itself"));
    }

    #[test]
    fn a_version_that_is_not_whole_is_a_problem() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemClock::new().now();
        let keys = MasterKey::load_or_create(&dir.path().join("master.key")).unwrap();
        keys.make(2, now).unwrap();
        assert!(versions(dir.path(), 365, now).unwrap().text.contains("kept beside it: [1]"));
        let file = keys.file(2);
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..32]).unwrap();
        let found = versions(dir.path(), 365, now).unwrap();
        assert!(found.verdict == Verdict::Bad && found.text.contains("40 bytes"), "{found:?}");
    }
}
