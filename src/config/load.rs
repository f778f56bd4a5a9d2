//! Reads the settings from file, environment and command line, and finds everything that is wrong with them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use config::{File, FileFormat, Value, ValueKind};

use super::key::{self, Key, keys};
use super::problem::{Invalid, Problem, nearest};
use super::{Config, show};

const PREFIX: &str = "TRADE_EXECUTOR__";

/// Where a value was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere.
    Default,
    /// In a file, on a line where that is known.
    File(PathBuf, Option<usize>),
    /// In an environment variable.
    Environment(String),
    /// On the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, Some(line)) => write!(f, "file {}:{line}", path.display()),
            Self::File(path, None) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// The environment variables that are settings.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Reads those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
    }

    /// Returns whether the person asked for output without colours.
    #[must_use]
    pub fn no_color(&self) -> bool {
        self.0.contains_key("NO_COLOR")
    }
}

impl FromIterator<(String, String)> for Environment {
    /// Keeps what concerns this program; an empty variable is one that is not set.
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        let ours = |name: &str| name.starts_with(PREFIX) || name == "PORT" || name == "NO_COLOR";
        Self(variables.into_iter().filter(|(name, value)| ours(name) && !value.is_empty()).collect())
    }
}

impl fmt::Debug for Environment {
    /// Shows names only: a value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A value said on the command line.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The key it sets.
    pub key: &'static str,
    /// The flag: `--listen`.
    pub name: &'static str,
    /// The value.
    pub value: String,
}

/// Where settings are looked for.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A file that must be there.
    pub file: Option<PathBuf>,
    /// Files of which the first that is there is read, when none was named.
    pub search: Vec<PathBuf>,
    /// The environment.
    pub environment: Environment,
    /// The command line.
    pub flags: Vec<Flag>,
}

/// Settings that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Where each key that is no default was said.
    pub origins: BTreeMap<&'static str, Origin>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

impl Loaded {
    /// Returns where a key's value comes from.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }
}

/// Reads all sources.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(sources: &Sources) -> Result<Loaded, Invalid> {
    let mut reading = Reading::default();
    let searched = || sources.search.iter().find(|path| path.is_file()).cloned();
    let file = sources.file.clone().or_else(searched);
    if let Some(path) = &file {
        reading.file(path);
    }
    reading.environment(&sources.environment);
    for flag in &sources.flags {
        reading.text(flag.key, &flag.value, Origin::Flag(flag.name));
    }
    reading.finish(file)
}

/// A value that was said and can be read, with its place.
#[derive(Debug)]
struct Said {
    key: &'static Key,
    value: Value,
    origin: Origin,
}

#[derive(Debug, Default)]
struct Reading {
    said: Vec<Said>,
    problems: Vec<Problem>,
}

impl Reading {
    fn problem(&mut self, origin: Origin, key: &str, why: impl Into<String>) {
        self.problems.push(Problem { origin, key: key.to_owned(), why: why.into() });
    }

    fn file(&mut self, path: &Path) {
        let place = |line| Origin::File(path.to_owned(), line);
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return self.problem(place(None), "", format!("cannot be read: {error}")),
        };
        let parsed = config::Config::builder().add_source(File::from_str(&text, FileFormat::Toml)).build();
        let values = match parsed {
            Ok(parsed) => parsed.cache,
            Err(error) => {
                let why = error.to_string().trim_end().replace('\n', "\n    ");
                return self.problem(place(None), "", format!("is not TOML: {why}"));
            }
        };
        let mut leaves = BTreeMap::new();
        flatten("", values, &mut leaves);
        for (name, value) in leaves {
            let line = line_of(&text, &name);
            self.value(&name, value, place(line));
        }
    }

    fn environment(&mut self, environment: &Environment) {
        if let Some(port) = environment.0.get("PORT") {
            let origin = Origin::Environment("PORT".to_owned());
            match port.trim().parse::<u16>() {
                Ok(port) => self.text("server.listen", &format!("0.0.0.0:{port}"), origin),
                Err(_) => {
                    self.problem(origin, "PORT", format!("must be a port from 0 to 65535, not {port:?}"))
                }
            }
        }
        for (variable, value) in &environment.0 {
            if let Some(name) = variable.strip_prefix(PREFIX) {
                let name = name.to_ascii_lowercase().replace("__", ".");
                self.text(&name, value, Origin::Environment(variable.clone()));
            }
        }
    }

    /// Takes a value that is text, as outside of files; a list's items are separated by commas.
    fn text(&mut self, name: &str, text: &str, origin: Origin) {
        let is_list = show::default_of(name).is_some_and(|value| value.is_array());
        let kind = if is_list {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            ValueKind::Array(items.map(|item| Value::new(None, item)).collect())
        } else {
            ValueKind::String(text.to_owned())
        };
        self.value(name, Value::new(None, kind), origin);
    }

    fn value(&mut self, name: &str, value: Value, origin: Origin) {
        let Some(key) = keys().find(|key| key.name == name) else {
            let meant = nearest(name, keys().map(|key| key.name));
            let hint = meant.map(|meant| format!("; did you mean {meant}?"));
            return self.problem(origin, name, format!("is not a setting{}", hint.unwrap_or_default()));
        };
        match assemble(&[(key.name, &value)]) {
            Ok(_) => self.said.push(Said { key, value, origin }),
            Err(_) => self.problem(origin, name, refusal(key, &told(key, &value))),
        }
    }

    fn finish(mut self, file: Option<PathBuf>) -> Result<Loaded, Invalid> {
        let values: Vec<_> = self.said.iter().map(|said| (said.key.name, &said.value)).collect();
        let assembled = assemble(&values);
        // What is said last holds.
        let last: BTreeMap<_, _> = self.said.drain(..).map(|said| (said.key.name, said)).collect();
        match &assembled {
            Err(error) => {
                self.problem(Origin::Default, "", format!("the settings do not fit together: {error}"))
            }
            Ok(config) => {
                for key in keys().filter(|key| !(key.holds)(config)) {
                    let said = last.get(key.name);
                    let origin = said.map_or(Origin::Default, |said| said.origin.clone());
                    let shown = said.map_or_else(|| "the default".to_owned(), |said| told(key, &said.value));
                    self.problem(origin, key.name, refusal(key, &shown));
                }
                for unusable in config.paper.problems() {
                    let name = format!("paper.{}", unusable.key);
                    let said = last.values().find(|said| is_within(&name, said.key.name));
                    let origin = said.map_or(Origin::Default, |said| said.origin.clone());
                    self.problem(origin, &name, format!("must be {}", unusable.allowed));
                }
            }
        }
        match assembled {
            Ok(config) if self.problems.is_empty() => {
                let origins = last.into_iter().map(|(name, said)| (name, said.origin)).collect();
                Ok(Loaded { config, origins, file })
            }
            Ok(_) | Err(_) => Err(Invalid { problems: self.problems }),
        }
    }
}

/// Lays values over the defaults.
fn assemble(values: &[(&str, &Value)]) -> Result<Config, config::ConfigError> {
    let empty = config::Config::builder();
    let laid = values
        .iter()
        .try_fold(empty, |builder, (name, value)| builder.set_override(*name, (*value).clone()))?;
    laid.build()?.try_deserialize()
}

fn refusal(key: &Key, shown: &str) -> String {
    format!("must be {}, not {shown}", key.allowed)
}

fn told(key: &Key, value: &Value) -> String {
    match &value.kind {
        _ if key.is_secret() => "what was given".to_owned(),
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Nil
        | ValueKind::Boolean(_)
        | ValueKind::I64(_)
        | ValueKind::I128(_)
        | ValueKind::U64(_)
        | ValueKind::U128(_)
        | ValueKind::Float(_)
        | ValueKind::Table(_)
        | ValueKind::Array(_) => value.kind.to_string(),
    }
}

/// Returns whether a name is a key or a part of its value.
fn is_within(name: &str, key: &str) -> bool {
    name.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Collects values under their dotted names, down to the keys that are known.
fn flatten(prefix: &str, value: Value, into: &mut BTreeMap<String, Value>) {
    let is_known = keys().any(|key| key.name == prefix);
    let is_table = matches!(value.kind, ValueKind::Table(_));
    if is_known || !is_table {
        into.insert(prefix.to_owned(), value);
        return;
    }
    // Sorted, so that problems come in the same order every time.
    let table: BTreeMap<String, Value> = value.into_table().unwrap_or_default().into_iter().collect();
    for (name, value) in table {
        let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        flatten(&name, value, into);
    }
}

/// Finds the line on which a file sets a key.
fn line_of(text: &str, name: &str) -> Option<usize> {
    let mut section = String::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            section = line.trim_start_matches('[').split(']').next().unwrap_or_default().trim().to_owned();
            if section == name {
                return Some(at + 1);
            }
        } else if let Some((key, _)) = line.split_once('=') {
            let key = key.trim().trim_matches('"');
            let full = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
            if full == name {
                return Some(at + 1);
            }
        }
    }
    None
}

/// Returns the value as it may be shown.
pub(super) fn masked(name: &str, shown: String) -> String {
    if key::is_secret(name) && shown != "unset" { "\"********\"".to_owned() } else { shown }
}
