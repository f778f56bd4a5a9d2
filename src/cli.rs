//! The command line: one file a subcommand. Data goes to standard output, what people read to standard error.

pub mod audit;
mod completions;
mod config_command;
mod doctor;
mod health;
mod keys;
pub mod parse;
mod serve;
mod user;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::{Environment, Flag, Invalid, Loaded, Sources, load};

/// Exit code of a wrong command line or wrong settings; 0 is success, 1 any other failure.
const USAGE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  trade-executor                                start with data in ./data, on http://127.0.0.1:8080
  trade-executor --listen 0.0.0.0:80 --data-dir /var/lib/trade-executor
  trade-executor parse 'BUY AAPL 10 @market'    explain how a message is read; nothing is traded
  trade-executor config show                    what holds, and where it was said
  trade-executor doctor                         find what is wrong with this machine or its settings
  trade-executor audit verify                   check the event log from end to end

Exit codes: 0 done, 1 failed, 2 wrong command line or settings.";

/// Turns trading signals into risk-checked orders at each follower's own broker.
#[derive(Debug, Parser)]
#[command(name = "trade-executor", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(flatten)]
    serve: serve::ServeArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every subcommand takes.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Where the data is kept
    #[arg(long, global = true, value_name = "DIR", default_value = "data")]
    data_dir: PathBuf,
    /// File of settings [default: config.toml in the data directory, else ./trade-executor.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to serve on (setting server.listen)
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server; what happens without a command
    Serve(serve::ServeArgs),
    /// Explain how a signal is read; nothing is traded
    Parse(parse::ParseArgs),
    /// Check or show the settings
    #[command(subcommand)]
    Config(config_command::ConfigCommand),
    /// Look for what is wrong with this machine, its data or its settings
    Doctor(doctor::DoctorArgs),
    /// Check or export the event log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Renew the master key, under which broker credentials are sealed
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Add people, list them, or let one in
    #[command(subcommand)]
    User(user::UserCommand),
    /// Ask a running server whether it takes signals; for container health checks
    Health(health::HealthArgs),
    /// Print a shell's completions
    Completions(completions::CompletionsArgs),
}

impl Global {
    /// Reads the settings.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(crate) fn settings(&self, environment: Environment) -> Result<Loaded, Invalid> {
        let listen = self.listen.clone();
        load(&Sources {
            file: self.config.clone(),
            search: vec![self.data_dir.join("config.toml"), PathBuf::from("trade-executor.toml")],
            environment,
            flags: listen
                .map(|value| Flag { key: "server.listen", name: "--listen", value })
                .into_iter()
                .collect(),
        })
    }
}

/// Runs the process's command line.
#[must_use]
pub fn main() -> ExitCode {
    let environment = Environment::of_process();
    match run(Cli::parse(), environment) {
        Ok(code) => code,
        // Whoever read standard output has seen enough.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            let is_usage = error.downcast_ref::<Invalid>().is_some();
            if is_usage { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

fn run(cli: Cli, environment: Environment) -> anyhow::Result<ExitCode> {
    let Cli { global, serve: before, command } = cli;
    match command {
        None => serve::run(&global, before, environment),
        Some(Command::Serve(args)) => serve::run(&global, args.or(before), environment),
        Some(Command::Parse(args)) => {
            let understood = parse::run(&args, &mut io::stdout().lock())?;
            Ok(if understood { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Some(Command::Config(command)) => config_command::run(&command, &global, environment),
        Some(Command::Doctor(args)) => doctor::run(&args, &global, environment),
        Some(Command::Audit(command)) => audit::run(command, &global.data_dir),
        Some(Command::Keys(command)) => keys::run(&command, &global, environment),
        Some(Command::User(command)) => user::run(&command, &global, environment),
        Some(Command::Health(args)) => health::run(&args, &global, environment),
        Some(Command::Completions(args)) => completions::run(&args, Cli::command()),
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let is_it = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(is_it))
}

/// Writes a line for people. That nobody reads it is no reason to fail.
pub(crate) fn say(text: &str) {
    if writeln!(io::stderr(), "{text}").is_err() {
        tracing::debug!("standard error is closed");
    }
}

/// Returns the address people are given, as far as it is known before the server listens.
pub(crate) fn base_url(loaded: &Loaded) -> String {
    let listen: SocketAddr = loaded.config.server.listen;
    loaded.config.server.base_url(listen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_shows_examples() {
        Cli::command().debug_assert();
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("Examples:") && help.contains("Exit codes"));
    }

    #[test]
    fn options_of_serve_may_stand_before_or_after_it() {
        for line in [
            &["trade-executor", "--data-dir", "d", "--listen", "127.0.0.1:0", "--ready-file", "r"][..],
            &["trade-executor", "serve", "--data-dir", "d", "--listen", "127.0.0.1:0", "--ready-file", "r"],
            &["trade-executor", "--ready-file", "r", "--data-dir", "d", "serve", "--listen", "127.0.0.1:0"],
        ] {
            let Cli { global, serve, command } = Cli::try_parse_from(line).unwrap();
            let args = match command {
                Some(Command::Serve(args)) => args.or(serve),
                None => serve,
                Some(other) => panic!("{other:?}"),
            };
            assert_eq!(global.data_dir, PathBuf::from("d"), "{line:?}");
            assert_eq!(args.ready_file, Some(PathBuf::from("r")), "{line:?}");
            let loaded = global.settings(Environment::default()).unwrap();
            assert_eq!(loaded.config.server.listen.port(), 0);
        }
    }

    #[test]
    fn a_reader_who_has_seen_enough_is_no_failure() {
        let closed = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe)).context("writing");
        assert!(is_closed_pipe(&closed));
        assert!(!is_closed_pipe(&anyhow::anyhow!("broken pipe")));
    }

    #[test]
    fn the_contracts_subcommands_are_there() {
        let command = Cli::command();
        for name in ["serve", "parse", "config", "doctor", "audit", "keys", "user", "completions", "health"] {
            assert!(command.find_subcommand(name).is_some(), "{name}");
        }
    }
}
