use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use tempfile::TempDir;
use trade_actors::domain::record::{Statement, Status};
use trade_actors::ports::log::{Entry, Log};

use super::*;
use crate::store::segments::{Options, SegmentLog};

fn statement(user: &str, action: &str, agent: &str) -> Statement {
    Statement {
        user_id: Some(user.into()),
        action: action.into(),
        resource_type: "Session".into(),
        resource_id: None,
        ip_address: Some("203.0.113.7".into()),
        user_agent: Some(agent.into()),
        status: Status::Failure,
        error_message: Some("wrong, \"again\"".into()),
        payload: Some(r#"{"price":"175.00"}"#.into()),
    }
}

fn data() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let key = SigningKey::from_bytes(&[1; 32]);
    let (mut log, _) =
        SegmentLog::open(&dir.path().join("log"), Options { segment_bytes: 4096 }, key).unwrap();
    for (timestamp, user, action, agent) in [
        ("2026-01-04T23:59:59.999Z", "u1", "LOGIN_FAILED", "=HYPERLINK(\"http://x\")"),
        ("2026-01-05T00:00:00.000Z", "u2", "LOGIN_FAILED", "curl/8"),
        ("2026-01-05T23:59:59.999Z", "u1", "ORDER_CREATED", "-5"),
        ("2026-01-06T00:00:00.000Z", "u1", "ORDER_CREATED", "+cmd"),
    ] {
        log.append(&[Entry { timestamp, statement: &statement(user, action, agent) }]).unwrap();
    }
    log.checkpoint("2026-01-06T00:00:01.000Z").unwrap();
    dir
}

fn args(change: impl FnOnce(&mut ExportArgs)) -> ExportArgs {
    let mut args =
        ExportArgs { csv: true, output: "-".into(), from: None, to: None, user: None, action: None };
    change(&mut args);
    args
}

fn exported(dir: &Path, args: &ExportArgs) -> Vec<csv::StringRecord> {
    let mut out = Vec::new();
    export(&dir.join("log"), args, &mut out, &ProgressBar::hidden()).unwrap();
    let mut table = csv::Reader::from_reader(out.as_slice());
    assert_eq!(table.headers().unwrap(), COLUMNS.as_slice());
    table.records().map(Result::unwrap).collect()
}

fn seqs(dir: &Path, args: &ExportArgs) -> Vec<String> {
    exported(dir, args).iter().map(|row| row[0].to_owned()).collect()
}

#[test]
fn every_field_is_exported_and_formulas_are_inert() {
    let dir = data();
    let rows = exported(dir.path(), &args(|_| ()));
    assert_eq!(rows.len(), 4);
    let first: Vec<_> = rows[0].iter().take(11).collect();
    assert_eq!(
        first,
        [
            "1",
            "2026-01-04T23:59:59.999Z",
            "u1",
            "LOGIN_FAILED",
            "Session",
            "",
            "203.0.113.7",
            "'=HYPERLINK(\"http://x\")",
            "failure",
            "wrong, \"again\"",
            r#"{"price":"175.00"}"#,
        ]
    );
    assert_eq!((&rows[2][7], &rows[3][7]), ("-5", "'+cmd"));
    assert_eq!(rows[0][12], rows[1][11], "the chain can be followed in the table");
}

#[test]
fn filters_choose_days_users_and_actions() {
    let dir = data();
    let day = "2026-01-05";
    let of_day = args(|args| {
        args.from = Some(first_moment(day).unwrap());
        args.to = Some(moment_after(day).unwrap());
    });
    assert_eq!(seqs(dir.path(), &of_day), ["2", "3"]);
    let until = args(|args| args.to = Some(moment_after("2026-01-06T01:00:00+01:00").unwrap()));
    assert_eq!(seqs(dir.path(), &until), ["1", "2", "3", "4"]);
    assert_eq!(seqs(dir.path(), &args(|args| args.user = Some("u2".into()))), ["2"]);
    assert_eq!(seqs(dir.path(), &args(|args| args.action = Some("ORDER_CREATED".into()))), ["3", "4"]);
    assert!(first_moment("yesterday").unwrap_err().contains("2026-01-31"));
}

#[test]
fn a_file_appears_whole_or_not_at_all() {
    let dir = data();
    let output = dir.path().join("audit.csv");
    let export =
        |output: &Path| run(AuditCommand::Export(args(|args| args.output = output.into())), dir.path());
    assert_eq!(export(&output).unwrap(), ExitCode::SUCCESS);
    assert_eq!(fs::read_to_string(&output).unwrap().lines().count(), 5);
    let segment = dir.path().join("log/00000000000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[200] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let other = dir.path().join("other.csv");
    assert!(export(&other).is_err());
    assert!(!other.exists() && !dir.path().join("other.csv.part").exists());
}

#[test]
fn verify_answers_clean_damaged_and_absent_by_exit_code() {
    let dir = data();
    let verify = |json| run(AuditCommand::Verify { json }, dir.path());
    assert_eq!(verify(false).unwrap(), ExitCode::SUCCESS);
    assert_eq!(verify(true).unwrap(), ExitCode::SUCCESS);
    let segment = dir.path().join("log/00000000000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[200] ^= 1;
    fs::write(&segment, bytes).unwrap();
    assert_eq!(verify(false).unwrap(), ExitCode::FAILURE);
    assert_eq!(verify(true).unwrap(), ExitCode::FAILURE);
    assert!(run(AuditCommand::Verify { json: true }, &dir.path().join("absent")).is_err());
}

#[test]
fn the_report_names_head_checkpoint_and_an_unproven_tail() {
    let dir = data();
    let log = dir.path().join("log");
    let proven = verify(&log, &mut |_, _| ()).unwrap();
    let text = verified_text(&proven);
    assert!(text.contains("records          4") && text.contains(&proven.head.hash.to_string()), "{text}");
    assert!(text.contains("record 4 at 2026-01-06T00:00:01.000Z"), "{text}");
    assert_eq!(verified_json(&proven)["proven_to"], 4);
    fs::remove_file(log.join("checkpoints")).unwrap();
    assert!(verified_text(&verify(&log, &mut |_, _| ()).unwrap()).contains("tail unproven"));
}

proptest! {
    /// No cell can begin a formula unless it is a plain number, and nothing else of it changes.
    #[test]
    fn no_cell_is_a_formula(cell in "[=+@\t\r-]{0,2}[0-9.]{0,4}.{0,4}") {
        let safe = inert(&cell);
        prop_assert!(safe == cell || safe.strip_prefix('\'') == Some(cell.as_str()));
        let formula = safe.starts_with(['=', '+', '-', '@', '\t', '\r']);
        prop_assert!(!formula || safe.bytes().skip(1).all(|byte| byte.is_ascii_digit() || byte == b'.'));
    }
}
