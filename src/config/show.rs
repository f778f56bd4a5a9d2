//! Shows the settings that hold, each with where it was said.

use serde_json::Value;

use super::load::masked;
use super::{Config, Loaded, Origin, keys};

/// A setting as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Section and name.
    pub key: &'static str,
    /// The value as in a TOML file; secrets are masked.
    pub value: String,
    /// Where it was said.
    pub origin: Origin,
}

/// Returns every setting that holds.
#[must_use]
pub fn show(loaded: &Loaded) -> Vec<Shown> {
    let all = tree(&loaded.config);
    keys()
        .map(|key| Shown {
            key: key.name,
            value: masked(key.name, text(at(&all, key.name).unwrap_or(&Value::Null))),
            origin: loaded.origin(key.name),
        })
        .collect()
}

/// Returns the default value of a key; `None` when there is no such key.
pub(super) fn default_of(name: &str) -> Option<Value> {
    at(&tree(&Config::default()), name).cloned()
}

/// Returns settings as a tree of JSON.
pub(super) fn tree(config: &Config) -> Value {
    serde_json::to_value(config).unwrap_or_default()
}

fn at<'a>(tree: &'a Value, name: &str) -> Option<&'a Value> {
    name.split('.').try_fold(tree, |value, part| value.get(part))
}

/// JSON's form of texts, numbers and lists is TOML's too.
fn text(value: &Value) -> String {
    if value.is_null() { "unset".to_owned() } else { value.to_string() }
}
