//! The house style, as far as a program can judge it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::Setup;

/// What stands at the top of the repository.
const TOP: [&str; 25] = [
    ".cargo",
    ".ci",
    ".clippy.toml",
    ".config",
    ".dockerignore",
    ".editorconfig",
    ".git",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "LICENSE",
    "README.md",
    "actors",
    "benches",
    "config",
    "deny.toml",
    "docs",
    "rustfmt.toml",
    "rust-toolchain.toml",
    "src",
    "tests",
];
/// What git leaves out.
const IGNORED: [&str; 4] = ["target", "data", "artifacts", ".env"];
const LINES_MAX: usize = 600;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every file of ours below a folder, with one of these endings.
fn files(below: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !IGNORED.contains(&name.as_str()) && name != ".git" {
                found.extend(files(&path, endings));
            }
        } else if endings.iter().any(|end| name.ends_with(end)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Returns the lines of a source that are not comments, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[test]
fn the_domain_knows_no_actor_no_clock_and_no_waiting() {
    let domain = root().join("actors/src/domain");
    let mut sources = files(&domain, &[".rs"]);
    sources.push(root().join("actors/src/domain.rs"));
    assert!(sources.len() > 10);
    for path in sources {
        let text = fs::read_to_string(&path).unwrap();
        for (at, line) in code(&text) {
            for word in [
                "ractor",
                "actix",
                "tokio",
                "async ",
                ".await",
                "now()",
                "Instant::",
                "SystemTime",
                "std::fs",
                "std::net",
            ] {
                assert!(!line.contains(word), "{}:{at} names {word}: {line}", shown(&path));
            }
        }
    }
}

#[test]
fn the_actors_depend_on_no_door_and_no_database() {
    let manifest = fs::read_to_string(root().join("actors/Cargo.toml")).unwrap();
    for outside in [
        "warp",
        "hyper",
        "reqwest",
        "tungstenite",
        "serenity",
        "sled",
        "redis",
        "clap",
        "config",
        "trade-executor",
    ] {
        let named = manifest
            .lines()
            .any(|line| line.starts_with(&format!("{outside}.")) || line.starts_with(&format!("{outside} ")));
        assert!(!named, "actors/Cargo.toml names {outside}");
    }
    for path in files(&root().join("actors/src"), &[".rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            !code(&text).any(|(_, line)| line.contains("trade_executor::")),
            "{} looks outside",
            shown(&path)
        );
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    for path in files(&root(), &[".rs", ".js", ".mjs", ".css", ".html", ".sh", ".py"]) {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", shown(&path));
    }
}

#[test]
fn every_source_says_what_it_is_for_and_none_is_left_half_done() {
    let unfinished = [
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("db", "g!("),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
    ];
    for path in files(&root(), &[".rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("//!") || text.starts_with("#!") || path.ends_with("tests.rs"),
            "{} has no purpose at its top",
            shown(&path)
        );
        assert!(!path.ends_with("mod.rs"), "{} should be named after its module", shown(&path));
        for word in unfinished {
            assert!(!text.contains(word), "{} holds {word}", shown(&path));
        }
    }
    for name in ["util", "utils", "common", "helpers", "misc"] {
        let found = files(&root(), &[&format!("/{name}.rs"), &format!("{name}.rs")]);
        let named = found.iter().find(|path| path.file_stem().is_some_and(|stem| stem == name));
        assert!(named.is_none(), "{named:?} is named after nothing");
    }
}

#[test]
fn the_top_of_the_repository_is_tidy() {
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(
            TOP.contains(&name.as_str()) || IGNORED.contains(&name.as_str()),
            "{name} does not belong at the top"
        );
    }
}

#[test]
fn pages_load_nothing_from_elsewhere() {
    for path in files(&root().join("src/web/assets"), &[".html", ".css", ".js", ".svg"]) {
        let text = fs::read_to_string(&path).unwrap();
        for foreign in [
            "src=\"http",
            "href=\"http",
            "url(http",
            "from \"http",
            "import(\"http",
            "@import",
            " style=\"",
            "onclick=",
        ] {
            assert!(!text.contains(foreign), "{} holds {foreign}", shown(&path));
        }
    }
}

#[tokio::test]
async fn every_asset_is_served_as_it_is() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let mut types = BTreeSet::new();
    for path in files(&root().join("src/web/assets"), &[".css", ".js", ".svg"]) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let answer = api.get(&format!("/assets/{name}")).await;
        assert_eq!(answer.status, 200, "{name}");
        assert!(answer.text == fs::read_to_string(&path).unwrap(), "{name} is another file");
        types.insert(answer.header("content-type").split(';').next().unwrap().to_owned());
    }
    assert_eq!(
        types.iter().map(String::as_str).collect::<Vec<_>>(),
        ["image/svg+xml", "text/css", "text/javascript"]
    );
    for outside in ["..%2frouter.rs", "%2e%2e/router.rs", "index.html", "nothing.js"] {
        assert_eq!(api.get(&format!("/assets/{outside}")).await.status, 404, "{outside}");
    }
}
