use proptest::prelude::*;

use super::*;

fn day(day: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_600_000, 0).unwrap() + TimeDelta::days(day)
}

/// Versions by number and the day they were made.
fn versions(made: &[(u32, i64)]) -> Vec<Version> {
    made.iter().map(|(number, on)| Version { number: *number, made: day(*on) }).collect()
}

fn rows(by_version: &[(u32, usize)]) -> Rows {
    Rows { by_version: by_version.iter().copied().collect(), unknown: 0 }
}

fn planned(made: &[(u32, i64)], by_version: &[(u32, usize)], now: i64) -> Plan {
    plan(&versions(made), &rows(by_version), 365, day(now)).unwrap()
}

#[test]
fn a_version_is_due_after_its_days_and_old_after_a_year() {
    let it = |after, now| {
        let plan = plan(&versions(&[(1, 0)]), &Rows::default(), after, day(now)).unwrap();
        (plan.is_due, plan.is_old)
    };
    assert_eq!((it(365, 364), it(365, 365)), ((false, false), (true, true)));
    assert_eq!((it(0, 364), it(0, 9_999)), ((false, false), (false, true)));
    assert_eq!((it(30, 29), it(30, 30)), ((false, false), (true, false)));
    assert_eq!(it(365, -9), (false, false), "a clock that was set back makes nothing due");
    assert_eq!(plan(&[], &Rows::default(), 365, day(0)), None);
}

#[test]
fn a_version_goes_when_no_row_needs_it_and_its_days_are_over() {
    let made = [(1, 0), (2, 100), (3, 130)];
    assert_eq!(planned(&made, &[(3, 5)], 159).kept, [(1, day(160)), (2, day(190))]);
    assert_eq!(planned(&made, &[(3, 5)], 159).droppable, [0_u32; 0]);
    assert_eq!(planned(&made, &[(3, 5)], 160).droppable, [1]);
    assert_eq!(planned(&made, &[(3, 5)], 190).droppable, [1, 2]);
    assert_eq!(planned(&made, &[(1, 1), (3, 5)], 9_999).droppable, [2], "a row still needs it");
    assert_eq!(planned(&made, &[(1, 0)], 9_999).droppable, [1, 2], "the newest stays without a row");
    let unknown = Rows { unknown: 1, ..rows(&[(3, 5)]) };
    assert_eq!(plan(&versions(&made), &unknown, 365, day(9_999)).unwrap().droppable, [0_u32; 0]);
}

#[test]
fn rows_are_behind_or_lost_by_whether_their_version_is_read() {
    let plan =
        planned(&[(2, 0), (3, 1), (4, 2), (5, 3)], &[(1, 7), (2, 6), (3, 5), (4, 4), (5, 3), (9, 2)], 4);
    assert_eq!(plan.behind, 9);
    assert_eq!(plan.lost, BTreeMap::from([(1, 7), (2, 6), (9, 2)]));
    assert_eq!(planned(&[(1, 0)], &[(1, 3)], 0).behind, 0);
}

#[test]
fn no_new_version_is_made_while_rows_could_then_not_be_read() {
    let made = [(1, 0), (2, 1), (3, 2)];
    assert_eq!(planned(&made, &[(2, 1), (3, 1)], 3).next, Ok(4));
    assert_eq!(planned(&made, &[(1, 8)], 3).next, Err(Blocked::Needed { version: 1, rows: 8 }));
    // Put back from its copy, a version that was lost must still be one of those that are read.
    assert_eq!(planned(&[(2, 1), (3, 2)], &[(1, 8)], 3).next, Err(Blocked::Needed { version: 1, rows: 8 }));
    assert_eq!(planned(&[(2, 1), (3, 2), (4, 3)], &[(1, 8)], 3).next, Ok(5), "it is out of reach already");
    // One that is lost takes no place from those that are here.
    let lost_between = planned(&[(1, 0), (4, 0), (6, 0)], &[(1, 1), (7, 1)], 0);
    assert_eq!(lost_between.next, Err(Blocked::Needed { version: 1, rows: 1 }));
}

#[test]
fn a_number_that_a_row_names_is_not_given_again() {
    assert_eq!(planned(&[(1, 0), (2, 1)], &[(2, 1), (3, 1)], 3).next, Ok(4));
    assert_eq!(planned(&[(1, 0), (2, 1)], &[(2, 1), (u32::MAX, 1)], 3).next, Ok(3), "damaged, not believed");
    assert_eq!(planned(&[(u32::MAX, 0)], &[], 3).next, Err(Blocked::NoNumber));
}

proptest! {
    /// Whatever there is, a row that is read now is read after one more rotation too, and no version it needs goes.
    #[test]
    fn nothing_that_is_read_becomes_unreadable(
        made in prop::collection::btree_map(1_u32..9, 0_i64..500, 1..6),
        counts in prop::collection::btree_map(1_u32..9, 0_usize..3, 0..6),
        now in 0_i64..1_000,
    ) {
        let made: Vec<_> = made.into_iter().collect();
        let counts: Vec<_> = counts.into_iter().collect();
        let plan = planned(&made, &counts, now);
        let here: Vec<u32> = made.iter().map(|(number, _)| *number).collect();
        let read = are_read(here.iter().copied());
        let needed: Vec<u32> =
            counts.iter().filter(|(version, rows)| *rows > 0 && read.contains(version)).map(|(v, _)| *v).collect();
        for version in &needed {
            prop_assert!(!plan.droppable.contains(version));
        }
        prop_assert!(!plan.droppable.contains(&plan.newest.number));
        if let Ok(next) = plan.next {
            let after = are_read(here.iter().copied().chain([next]));
            prop_assert!(next > plan.newest.number);
            prop_assert!(needed.iter().all(|version| after.contains(version)));
        }
    }
}
