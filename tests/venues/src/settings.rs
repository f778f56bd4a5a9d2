//! What one venue can be told beyond what all can: values by name, which the venue declares.

use std::collections::BTreeMap;

use serde_json::Value;

/// A venue's own settings.
#[derive(Clone, Debug, Default)]
pub struct Settings(BTreeMap<&'static str, Value>);

impl Settings {
    /// Makes a setting known, with the value it has until it is set.
    pub fn declare(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.insert(name, value.into());
    }

    /// Changes a setting. Returns false if there is none of that name, or the value is of another kind.
    pub fn set(&mut self, name: &str, value: Value) -> bool {
        let slot = self.0.iter_mut().find(|(known, _)| **known == name).map(|(_, slot)| slot);
        let Some(slot) = slot.filter(|slot| is_like(slot, &value)) else { return false };
        *slot = value;
        true
    }

    /// Returns a setting that is a number; zero if it is none.
    #[must_use]
    pub fn number(&self, name: &str) -> u32 {
        let number = self.0.get(name).and_then(Value::as_u64);
        number.and_then(|number| number.try_into().ok()).unwrap_or_default()
    }

    /// Returns a setting that is a text; empty if it is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns all of them by name.
    #[must_use]
    pub fn all(&self) -> &BTreeMap<&'static str, Value> {
        &self.0
    }
}

fn is_like(old: &Value, new: &Value) -> bool {
    let counts = new.as_u64().is_some_and(|number| u32::try_from(number).is_ok());
    (old.is_u64() && counts) || (old.is_string() && new.is_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_was_declared_can_be_set() {
        let mut settings = Settings::default();
        settings.declare("lag_ms", 5_u32);
        settings.declare("where", "here");
        assert!(settings.set("lag_ms", json!(7)));
        assert!(settings.set("where", json!("there")));
        for (name, wrong) in
            [("lag_ms", json!("7")), ("lag_ms", json!(-1)), ("where", json!(1)), ("x", json!(1))]
        {
            assert!(!settings.set(name, wrong));
        }
        assert_eq!((settings.number("lag_ms"), settings.text("where")), (7, "there"));
    }
}
