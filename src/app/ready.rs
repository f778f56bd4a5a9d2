//! How to reach a running Trade Executor, also as a file for whoever started it.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;

/// How to reach it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Ready {
    /// Dashboard and API.
    pub url: String,
    /// Measurements; absent when they are not offered.
    pub metrics_url: Option<String>,
    /// Logs the owner in, once, for an hour; absent when none was made.
    pub login_url: Option<String>,
    /// The owner's API token.
    pub api_token: String,
    /// The owner's webhook.
    pub webhook_url: String,
    /// Whether the owner was made just now.
    #[serde(skip)]
    pub first_run: bool,
}

impl fmt::Debug for Ready {
    /// Leaves the secrets out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready")
            .field("url", &self.url)
            .field("metrics_url", &self.metrics_url)
            .finish_non_exhaustive()
    }
}

impl Ready {
    /// Writes it as JSON in a file for the owner alone, which is either whole or not there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(format!(".{}", std::process::id()));
        let unfinished = Path::new(&unfinished);
        let written = self.write_new(unfinished).and_then(|()| fs::rename(unfinished, path));
        if written.is_err()
            && let Err(error) = fs::remove_file(unfinished)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %unfinished.display(), "an unfinished file could not be removed");
        }
        written
    }

    fn write_new(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&text)?;
        file.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_file_is_whole_private_and_has_the_contracts_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ready.json");
        fs::write(&path, "stale and readable by all").unwrap();
        let ready = Ready {
            url: "http://127.0.0.1:1".into(),
            metrics_url: Some("http://127.0.0.1:2/metrics".into()),
            login_url: Some("http://127.0.0.1:1/login/secret".into()),
            api_token: "te_secret".into(),
            webhook_url: "http://127.0.0.1:1/webhooks/tradingview/secret".into(),
            first_run: true,
        };
        ready.write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let names: Vec<_> = read.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["api_token", "login_url", "metrics_url", "url", "webhook_url"]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left behind");
        assert!(!format!("{ready:?}").contains("secret"));
    }
}
