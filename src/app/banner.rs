//! What a person reads when it is up: where to click, and one command that shows it work.

use std::fmt;
use std::path::Path;

use super::Ready;

/// The text for a person. Written to standard error, as it is no data.
#[derive(Debug)]
pub struct Banner<'a> {
    /// How to reach it.
    pub ready: &'a Ready,
    /// Where the data lies.
    pub data_dir: &'a Path,
    /// Whether escape codes may be used.
    pub colours: bool,
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ready { url, login_url, webhook_url, metrics_url, first_run, .. } = self.ready;
        writeln!(f)?;
        let version = env!("CARGO_PKG_VERSION");
        writeln!(f, "  {} {version}  {}", self.bold("Trade Executor"), self.badge())?;
        writeln!(f)?;
        self.line(f, "Dashboard", url)?;
        if let Some(login_url) = login_url {
            self.line(f, "Log in", login_url)?;
            self.line(f, "", "works once, for one hour")?;
        }
        if *first_run {
            self.line(f, "Webhook", webhook_url)?;
            self.line(f, "", "keep it secret: whoever has it can trade for you")?;
        }
        if let Some(metrics_url) = metrics_url {
            self.line(f, "Metrics", metrics_url)?;
        }
        self.line(f, "Data", &self.data_dir.display().to_string())?;
        if *first_run {
            writeln!(f)?;
            writeln!(f, "  Paste this to buy five shares of AAPL with paper money, and watch them arrive:")?;
            writeln!(f)?;
            writeln!(f, "{}", curl(webhook_url))?;
        }
        writeln!(f)?;
        writeln!(f, "  Ctrl-C stops it; every order and position is kept.")
    }
}

impl Banner<'_> {
    fn line(&self, f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
        writeln!(f, "  {name:<11}{value}")
    }

    fn bold(&self, text: &str) -> String {
        if self.colours { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn badge(&self) -> String {
        let text = " PAPER: no real money ";
        if self.colours { format!("\x1b[30;43m{text}\x1b[0m") } else { format!("[{}]", text.trim()) }
    }
}

/// Returns a command for a shell that makes a visible trade; each time it is run, the signal is a new one.
fn curl(webhook_url: &str) -> String {
    format!(
        "curl -sS '{webhook_url}' \\\n  -H 'Content-Type: application/json' \\\n  \
         -d '{{\"id\":\"hello-'\"$(date +%s)\"'\",\"ticker\":\"AAPL\",\"action\":\"buy\",\"quantity\":5}}'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(first_run: bool) -> Ready {
        Ready {
            url: "http://127.0.0.1:8080".into(),
            metrics_url: Some("http://127.0.0.1:9464/metrics".into()),
            login_url: first_run.then(|| "http://127.0.0.1:8080/login/L".to_owned()),
            api_token: "te_never_shown".into(),
            webhook_url: "http://127.0.0.1:8080/webhooks/tradingview/W".into(),
            first_run,
        }
    }

    fn text(ready: &Ready) -> String {
        Banner { ready, data_dir: Path::new("./data"), colours: false }.to_string()
    }

    #[test]
    fn the_first_banner_has_the_link_the_webhook_and_a_command_that_a_shell_takes() {
        let text = text(&ready(true));
        for part in ["http://127.0.0.1:8080/login/L", "/webhooks/tradingview/W", "PAPER", "./data"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        assert!(!text.contains("te_never_shown") && !text.contains('\x1b'));
        let (_, from_command) = text.split_once("\n\ncurl").unwrap();
        let (arguments, _) = from_command.split_once("\n\n  Ctrl-C").unwrap();
        let script = format!("curl() {{ for last; do :; done; printf %s \"$last\"; }}\ncurl{arguments}\n");
        let ran = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
        let body: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        assert_eq!((&body["ticker"], &body["quantity"]), (&"AAPL".into(), &5.into()));
        assert!(body["id"].as_str().unwrap().starts_with("hello-1"), "{body}");
    }

    #[test]
    fn a_later_banner_is_short_and_keeps_the_webhook_to_itself() {
        let text = text(&ready(false));
        assert!(
            text.contains("http://127.0.0.1:8080") && !text.contains("webhooks") && !text.contains("curl")
        );
    }
}
