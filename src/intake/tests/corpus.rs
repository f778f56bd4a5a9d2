//! The shared corpus of real messages: nothing unsafe may ever be read from it.

use std::path::PathBuf;
use std::process::Command;

use crate::cli::parse::outcome_line;

#[test]
fn no_body_of_the_corpus_is_read_unsafely() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let Ok(text) = std::fs::read_to_string(folder.join("signals.jsonl")) else {
        println!("skipped: no corpus");
        return;
    };
    let cases: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|case: &serde_json::Value| case["kind"] == "tradingview")
        .collect();
    let lines = |values: Vec<String>| values.join("\n") + "\n";
    let temporary = tempfile::tempdir().unwrap();
    let (asked, answered) = (temporary.path().join("cases.jsonl"), temporary.path().join("outcomes.jsonl"));
    std::fs::write(&asked, lines(cases.iter().map(ToString::to_string).collect())).unwrap();
    std::fs::write(&answered, lines(cases.iter().map(|case| outcome_line(case).to_string()).collect()))
        .unwrap();
    let grade = |show: &str| {
        let graded = Command::new("python3")
            .arg(folder.join("score.py"))
            .args([&asked, &answered])
            .args(["--show", show])
            .output();
        graded.map(|output| (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
    };
    let Ok((safe, table)) = grade("unsafe") else {
        println!("skipped: no python3 to grade with");
        return;
    };
    println!("{table}");
    for short_of in ["safe miss", "noisy/silent"] {
        println!("{}", grade(short_of).unwrap().1);
    }
    assert!(safe, "unsafe readings:\n{table}");
    let exact = table.split("exact=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    let exact: usize = exact.parse().unwrap();
    assert!(exact * 100 >= cases.len() * 97, "only {exact} of {} read exactly", cases.len());
}
