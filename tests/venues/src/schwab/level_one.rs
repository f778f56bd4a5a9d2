//! Prices of shares as one connection wants them told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::frames::{ADD_FAILED, Command, SUBS_FAILED, TOO_MANY, UNSUBS_FAILED, VIEW_FAILED};
use super::wire::double;
use crate::feed::Quote;

/// The most symbols of a connection.
const SYMBOLS_MAX: usize = 500;

/// The prices that a connection asked for, and what it was told of each.
#[derive(Default)]
pub(super) struct LevelOne {
    keys: BTreeSet<String>,
    fields: BTreeSet<u16>,
    told: BTreeMap<String, BTreeMap<u16, Value>>,
}

impl LevelOne {
    /// Returns whether it asked for none.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Changes which prices are told. Returns the symbols whose prices are told from now on.
    pub(super) fn change(&mut self, command: &Command) -> Result<Vec<String>, u16> {
        let failed = match command.command.as_str() {
            "SUBS" => SUBS_FAILED,
            "UNSUBS" => UNSUBS_FAILED,
            "ADD" => ADD_FAILED,
            _ => VIEW_FAILED,
        };
        let keys: Vec<String> = command.keys().into_iter().map(str::to_owned).collect();
        if command.command == "VIEW" {
            self.fields = command.fields().ok_or(failed)?;
            return Ok(Vec::new());
        }
        if keys.is_empty() {
            return Err(failed);
        }
        if command.command == "UNSUBS" {
            self.keys.retain(|key| !keys.contains(key));
            self.told.retain(|key, _| !keys.contains(key));
            return Ok(Vec::new());
        }
        let fields = command.fields().ok_or(failed)?;
        let adds = command.command == "ADD";
        let mut all: BTreeSet<String> = keys.iter().cloned().collect();
        if adds {
            all.extend(self.keys.iter().cloned());
        }
        if all.len() > SYMBOLS_MAX {
            return Err(TOO_MANY);
        }
        self.keys = all;
        if adds {
            self.fields.extend(fields);
        } else {
            self.fields = fields;
            self.told.clear();
        }
        Ok(keys)
    }

    /// Returns those fields of a quote that have changed since they were last told.
    pub(super) fn changes(&mut self, symbol: &str, quote: &Quote, halted: bool) -> Option<Value> {
        if !self.keys.contains(symbol) {
            return None;
        }
        let ms = quote.at.timestamp_millis();
        let all = [
            (1, double(quote.bid)),
            (2, double(quote.ask)),
            (3, double(quote.last)),
            (4, json!(3)),
            (5, json!(2)),
            (8, json!(0)),
            (12, double(quote.last)),
            (32, json!(if halted { "Halted" } else { "Normal" })),
            (33, double(quote.last)),
            (34, json!(ms)),
            (35, json!(ms)),
        ];
        let told = self.told.entry(symbol.to_owned()).or_default();
        let mut entry = Map::new();
        for (field, value) in all.into_iter().filter(|(field, _)| self.fields.contains(field)) {
            if told.get(&field) != Some(&value) {
                entry.insert(field.to_string(), value.clone());
                told.insert(field, value);
            }
        }
        if entry.is_empty() {
            return None;
        }
        entry.insert("key".to_owned(), json!(symbol));
        entry.insert("delayed".to_owned(), json!(false));
        Some(Value::Object(entry))
    }
}
