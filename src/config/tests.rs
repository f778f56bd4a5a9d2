use std::path::PathBuf;

use super::*;

const DEFAULT_FILE: &str = include_str!("../../config/default.toml");

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn flag(value: &str) -> Flag {
    Flag { key: "server.listen", name: "--listen", value: value.to_owned() }
}

/// Writes a file of settings; it is there as long as the directory.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn problems(sources: &Sources) -> Vec<String> {
    load(sources).unwrap_err().problems.iter().map(ToString::to_string).collect()
}

#[test]
fn every_setting_is_in_the_table_of_keys_and_its_default_is_allowed() {
    let tree = serde_json::to_value(Config::default()).unwrap();
    let mut leaves: Vec<String> = Vec::new();
    let mut rooms: Vec<_> =
        tree.as_object().unwrap().iter().map(|(name, room)| (name.clone(), room.clone())).collect();
    while let Some((name, room)) = rooms.pop() {
        match room.as_object() {
            Some(inner) => {
                rooms.extend(inner.iter().map(|(leaf, value)| (format!("{name}.{leaf}"), value.clone())));
            }
            None => leaves.push(name),
        }
    }
    let mut named: Vec<_> = keys().map(|key| key.name.to_owned()).collect();
    leaves.sort();
    named.sort();
    assert_eq!(named, leaves);
    for key in keys() {
        assert!((key.holds)(&Config::default()), "{} must be {}", key.name, key.allowed);
    }
}

#[test]
fn without_any_source_the_defaults_hold() {
    let loaded = load(&Sources::default()).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(show(&loaded).iter().all(|shown| shown.origin == Origin::Default));
}

#[test]
fn the_default_file_holds_the_defaults_and_names_every_key() {
    let (_dir, path) = file(DEFAULT_FILE);
    let loaded = load(&Sources { file: Some(path), ..Sources::default() }).unwrap();
    assert_eq!(loaded.config, Config::default());
    for key in keys() {
        let leaf = key.name.split('.').next_back().unwrap();
        let is_set = matches!(loaded.origin(key.name), Origin::File(..));
        let is_shown = DEFAULT_FILE.lines().any(|line| line.starts_with(&format!("# {leaf} = ")));
        assert!(is_set || is_shown, "{} is not in config/default.toml", key.name);
    }
}

#[test]
fn the_command_line_goes_before_the_environment_before_the_file() {
    let (_dir, path) =
        file("[server]\nlisten = \"127.0.0.1:1\"\nmax_connections = 11\n[log]\nlevel = \"warn\"\n");
    let environment = environment(&[
        ("TRADE_EXECUTOR__SERVER__LISTEN", "127.0.0.1:2"),
        ("TRADE_EXECUTOR__SERVER__MAX_CONNECTIONS", "12"),
    ]);
    let sources = Sources {
        file: Some(path.clone()),
        environment,
        flags: vec![flag("127.0.0.1:3")],
        search: Vec::new(),
    };
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.config.server.listen.port(), 3);
    assert_eq!(loaded.config.server.max_connections, 12);
    assert_eq!(loaded.config.log.level, "warn");
    assert_eq!(loaded.origin("server.listen"), Origin::Flag("--listen"));
    let variable = "TRADE_EXECUTOR__SERVER__MAX_CONNECTIONS".to_owned();
    assert_eq!(loaded.origin("server.max_connections"), Origin::Environment(variable));
    assert_eq!(loaded.origin("log.level"), Origin::File(path, Some(5)));
    assert_eq!(loaded.origin("log.format"), Origin::Default);
}

#[test]
fn the_platforms_port_is_opened_to_the_outside_unless_an_address_is_set() {
    let port = ("PORT", "7777");
    let loaded = load(&Sources { environment: environment(&[port]), ..Sources::default() }).unwrap();
    assert_eq!(loaded.config.server.listen.to_string(), "0.0.0.0:7777");
    let both = environment(&[port, ("TRADE_EXECUTOR__SERVER__LISTEN", "127.0.0.1:5")]);
    let loaded = load(&Sources { environment: both, ..Sources::default() }).unwrap();
    assert_eq!(loaded.config.server.listen.to_string(), "127.0.0.1:5");
}

#[test]
fn text_from_the_environment_becomes_what_the_setting_is() {
    let environment = environment(&[
        ("TRADE_EXECUTOR__METRICS__ENABLED", "false"),
        ("TRADE_EXECUTOR__RISK__POSITION_MAX_PCT", "7.5"),
        ("TRADE_EXECUTOR__PAPER__LIQUIDITY", "250"),
        ("TRADE_EXECUTOR__LOG__FORMAT", "json"),
        ("TRADE_EXECUTOR__SERVER__TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ("TRADE_EXECUTOR__LOG__LEVEL", ""),
    ]);
    let config = load(&Sources { environment, ..Sources::default() }).unwrap().config;
    assert!(!config.metrics.enabled);
    assert_eq!(config.risk.position_max_pct.to_string(), "7.5");
    assert_eq!(config.paper.liquidity.map(|units| units.to_string()).as_deref(), Some("250"));
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.server.trusted_proxies, ["10.0.0.0/8", "::1"]);
    assert_eq!(config.log.level, "info", "an empty variable is not set");
}

#[test]
fn all_problems_are_told_at_once_with_place_key_and_what_is_allowed() {
    let (_dir, path) = file(
        "[server]\nlisten = \"localhost\"\nlisen = 1\n\n[store]\ncache_bytes = 5\n[paper]\nleverage = 0\n\
         [log]\nlevel = \"loud\"\n",
    );
    let environment = environment(&[("TRADE_EXECUTOR__METRICS__ENABLED", "maybe"), ("PORT", "http")]);
    let told = problems(&Sources { file: Some(path.clone()), environment, ..Sources::default() });
    let at = |line| format!("file {}:{line}: ", path.display());
    let listen = "an address and port such as 127.0.0.1:8080; port 0 takes any free port";
    let levels = "error, warn, info, debug or trace, also by module: \"info,trade_actors=debug\"";
    assert_eq!(
        told,
        [
            at(3) + "server.lisen is not a setting; did you mean server.listen?",
            at(2) + &format!("server.listen must be {listen}, not \"localhost\""),
            "environment PORT: PORT must be a port from 0 to 65535, not \"http\"".to_owned(),
            "environment TRADE_EXECUTOR__METRICS__ENABLED: metrics.enabled must be true or false, not \"maybe\""
                .to_owned(),
            at(10) + &format!("log.level must be {levels}, not \"loud\""),
            at(6) + "store.cache_bytes must be a number of bytes from 1048576 (1 MiB) to 17179869184 (16 GiB), not 5",
            at(8) + "paper.leverage must be a number from 1 to 100",
        ]
    );
}

#[test]
fn a_file_that_is_named_must_be_there_and_be_toml() {
    let missing = PathBuf::from("/nonexistent/settings.toml");
    let told = problems(&Sources { file: Some(missing), ..Sources::default() });
    assert!(told[0].starts_with("file /nonexistent/settings.toml: cannot be read"), "{told:?}");
    let (_dir, path) = file("[server\n");
    let told = problems(&Sources { file: Some(path), ..Sources::default() });
    assert!(told[0].contains("is not TOML") && told[0].contains("line 1"), "{told:?}");
    let loaded = load(&Sources { search: vec!["/nonexistent/a.toml".into()], ..Sources::default() }).unwrap();
    assert_eq!(loaded.file, None);
}

#[test]
fn metrics_do_not_listen_where_the_dashboard_does() {
    let told = problems(&Sources { flags: vec![flag("127.0.0.1:9464")], ..Sources::default() });
    assert!(told[0].contains("metrics.listen must be"), "{told:?}");
}

#[test]
fn symbols_of_the_paper_market_are_checked_one_by_one() {
    let (_dir, path) =
        file("[[paper.symbols]]\nsymbol = \"AAPL\"\nclass = \"equity\"\nprice = 190.5\ntick = 1000\n");
    let told = problems(&Sources { file: Some(path.clone()), ..Sources::default() });
    let wanted = format!(
        "file {}:1: paper.symbols.AAPL.tick must be a number above 0, up to the price",
        path.display()
    );
    assert_eq!(told, [wanted]);
}

#[test]
fn secrets_are_never_shown() {
    for name in ["billing.stripe_secret", "mail.password", "discord.bot_token", "s3.access_key", "sentry.dsn"]
    {
        assert_eq!(load::masked(name, "\"hunter2\"".to_owned()), "\"********\"", "{name}");
    }
    assert_eq!(load::masked("mail.password", "unset".to_owned()), "unset");
    assert_eq!(load::masked("server.listen", "1".to_owned()), "1");
    let environment = environment(&[("TRADE_EXECUTOR__MAIL__PASSWORD", "hunter2")]);
    assert!(!format!("{environment:?}").contains("hunter2"));
}
