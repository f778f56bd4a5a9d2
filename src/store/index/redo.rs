//! Writing many rows in one step without making readers wait for all of them.
//!
//! A sled batch holds off every reader of the process until it is done. Here the rows are noted first, then put in one
//! by one; after a crash in between they are put in again from the note. sled keeps what was written before when it
//! keeps what was written after, and a row is a whole value, so putting it in twice is putting it in.

use std::time::Duration;

use trade_actors::ports::store::{Key, StoreError, Value};

use super::{APPLIED, failed, stored};

/// The tree of the note.
const TREE: &[u8] = b"trade-executor/redo";
/// Key of the note's last part: it is whole once this is there.
const END: &[u8] = b"end";
/// Length of a part of the note.
const PART: usize = 64 << 10;
/// Rows after which orders get their turn on the processor.
const TURN: usize = 64;
/// How long that is.
const PAUSE: Duration = Duration::from_millis(1);

/// Puts rows in, and `applied` with them: after a crash there are all of them or none.
///
/// # Errors
/// When sled fails; the index has to be opened again.
pub(super) fn write(db: &sled::Db, rows: &[(&Key, Option<Value>)], applied: u64) -> Result<(), StoreError> {
    let note = db.open_tree(TREE).map_err(failed)?;
    note.remove(END).map_err(failed)?;
    let text = encode(rows);
    for (number, part) in (0_u32..).zip(text.chunks(PART)) {
        note.insert(number.to_be_bytes(), part).map_err(failed)?;
    }
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    note.insert(END, [applied.to_be_bytes(), length.to_be_bytes()].concat()).map_err(failed)?;
    put(db, rows.iter().map(|(key, value)| (key.as_slice(), value.as_deref())), PAUSE)?;
    db.insert(APPLIED, &applied.to_be_bytes()).map_err(failed)?;
    Ok(())
}

/// Finishes a writing that a crash interrupted.
///
/// # Errors
/// When sled fails, or the note is damaged.
pub(super) fn finish(db: &sled::Db) -> Result<(), StoreError> {
    let note = db.open_tree(TREE).map_err(failed)?;
    let Some(end) = note.get(END).map_err(failed)? else { return Ok(()) };
    let damaged = || StoreError("the index's note of unwritten rows is damaged; rebuild it".to_owned());
    let (applied, length) = end.split_first_chunk::<8>().ok_or_else(damaged)?;
    let (applied, length) =
        (u64::from_be_bytes(*applied), <[u8; 8]>::try_from(length).map_err(|_| damaged())?);
    if applied <= stored(db)? {
        return Ok(());
    }
    let length = usize::try_from(u64::from_be_bytes(length)).map_err(|_| damaged())?;
    let mut text = Vec::with_capacity(length);
    let mut number = 0_u32;
    while text.len() < length {
        let part = note.get(number.to_be_bytes()).map_err(failed)?.ok_or_else(damaged)?;
        text.extend_from_slice(&part);
        number += 1;
    }
    text.truncate(length);
    let rows = decode(&text).ok_or_else(damaged)?;
    put(db, rows.into_iter(), Duration::ZERO)?;
    db.insert(APPLIED, &applied.to_be_bytes()).map_err(failed)?;
    Ok(())
}

fn put<'a>(
    db: &sled::Db,
    rows: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    pause: Duration,
) -> Result<(), StoreError> {
    for (at, (key, value)) in (1_usize..).zip(rows) {
        match value {
            Some(value) => {
                db.insert(key, value).map_err(failed)?;
            }
            // Many rows come and go before they are written once: sled never had them.
            None if db.contains_key(key).map_err(failed)? => {
                db.remove(key).map_err(failed)?;
            }
            None => {}
        }
        if at.is_multiple_of(TURN) && !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
    Ok(())
}

/// Each row is its key and its value, each with its length in front; a removed one has the length `ffffffff` alone.
fn encode(rows: &[(&Key, Option<Value>)]) -> Vec<u8> {
    let bytes = |bytes: &Vec<u8>| u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1).to_be_bytes();
    let mut text = Vec::new();
    for (key, value) in rows {
        text.extend_from_slice(&bytes(key));
        text.extend_from_slice(key);
        text.extend_from_slice(&value.as_ref().map_or(u32::MAX.to_be_bytes(), bytes));
        text.extend_from_slice(value.as_deref().unwrap_or_default());
    }
    text
}

type Rows<'a> = Vec<(&'a [u8], Option<&'a [u8]>)>;

fn decode(mut text: &[u8]) -> Option<Rows<'_>> {
    let mut rows = Vec::new();
    while !text.is_empty() {
        let key = take(&mut text)??;
        rows.push((key, take(&mut text)?));
    }
    Some(rows)
}

/// Takes bytes with their length in front; `Some(None)` for the length that stands for nothing.
fn take<'a>(text: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (length, rest) = text.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length);
    if length == u32::MAX {
        *text = rest;
        return Some(None);
    }
    let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *text = rest;
    Some(Some(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn db() -> sled::Db {
        sled::Config::new().temporary(true).open().unwrap()
    }

    /// All rows of the index's own tree.
    fn all(db: &sled::Db) -> Vec<(Vec<u8>, Vec<u8>)> {
        db.iter().map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Wherever a crash stops the rows, opening puts in all of them.
        #[test]
        fn an_interrupted_writing_is_finished(
            before in proptest::collection::btree_map(proptest::collection::vec(1_u8..9, 1..4), any::<[u8; 3]>(), 0..8),
            change in proptest::collection::btree_map(proptest::collection::vec(1_u8..9, 1..4), proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9_000)), 1..24),
            reached in 0_usize..24,
        ) {
            let (whole, cut) = (db(), db());
            let change: Vec<_> = change.iter().map(|(key, value)| (key, value.clone())).collect();
            for db in [&whole, &cut] {
                for (key, value) in &before {
                    db.insert(key, value).unwrap();
                }
                write(db, &[], 3).unwrap();
            }
            write(&whole, &change, 7).unwrap();
            write(&cut, &change, 7).unwrap();
            // As if the process had ended after `reached` rows.
            db_as_after(&cut, &before, &change, reached);
            finish(&cut).unwrap();
            prop_assert_eq!(all(&cut), all(&whole));
            prop_assert_eq!(stored(&cut).unwrap(), 7);
        }
    }

    /// Takes the rows behind the first `reached` back to what they were.
    fn db_as_after(
        db: &sled::Db,
        before: &std::collections::BTreeMap<Vec<u8>, [u8; 3]>,
        change: &[(&Key, Option<Value>)],
        reached: usize,
    ) {
        for (key, _) in change.iter().skip(reached) {
            match before.get(*key) {
                Some(value) => db.insert(key, value).unwrap(),
                None => db.remove(key).unwrap(),
            };
        }
        db.insert(APPLIED, &3_u64.to_be_bytes()).unwrap();
    }

    #[test]
    fn a_note_that_is_not_whole_is_not_used() {
        let db = db();
        let (key, row) = (b"a".to_vec(), Some(b"1".to_vec()));
        write(&db, &[(&key, row)], 4).unwrap();
        let note = db.open_tree(TREE).unwrap();
        note.remove(END).unwrap();
        note.insert(0_u32.to_be_bytes(), b"half of").unwrap();
        finish(&db).unwrap();
        assert_eq!((stored(&db).unwrap(), db.get("a").unwrap().unwrap().to_vec()), (4, b"1".to_vec()));
    }

    #[test]
    fn a_damaged_note_is_an_error() {
        let db = db();
        let (key, row) = (b"a".to_vec(), Some(b"1".to_vec()));
        write(&db, &[(&key, row)], 4).unwrap();
        db.insert(APPLIED, &3_u64.to_be_bytes()).unwrap();
        db.open_tree(TREE).unwrap().insert(0_u32.to_be_bytes(), b"\0\0\0\x09a").unwrap();
        assert!(finish(&db).is_err());
    }
}
