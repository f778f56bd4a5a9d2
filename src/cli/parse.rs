//! `trade-executor parse`: explains how one body is read, or grades a file of cases; nothing is traded.

use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::Context;
use chrono::{DateTime, Duration, Utc};
use serde_json::{Map, Value, json};
use trade_actors::domain::ids::SourceId;
use trade_actors::domain::signal::{Action, Holding, Instruction, Level, OrderKind, Trail};

use crate::intake::{self, Reading, Refusal};

/// Longest body that is read from standard input, in bytes.
const INPUT_MAX: u64 = 1 << 20;

/// Explains how a webhook body is read.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  trade-executor parse 'BUY AAPL 10 @market'\n  \
    trade-executor parse --json '{\"ticker\":\"AAPL\",\"action\":\"buy\"}'\n  \
    trade-executor parse --cases signals.jsonl")]
pub struct ParseArgs {
    /// The body; read from standard input when absent.
    #[arg(conflicts_with = "cases")]
    pub text: Option<String>,
    /// Answer in JSON.
    #[arg(long, conflicts_with = "cases")]
    pub json: bool,
    /// Read a file of cases, one JSON object a line, and print one outcome a line.
    #[arg(long, value_name = "FILE")]
    pub cases: Option<PathBuf>,
}

/// Runs the command; returns whether the body holds an instruction.
///
/// # Errors
/// When a file or standard input cannot be read, a case is not JSON, or the answer cannot be written.
pub fn run(args: &ParseArgs, out: &mut impl Write) -> anyhow::Result<bool> {
    if let Some(path) = &args.cases {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the cases in {}", path.display()))?;
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let case = serde_json::from_str(line).with_context(|| format!("line {} is not JSON", at + 1))?;
            writeln!(out, "{}", outcome_line(&case))?;
        }
        return Ok(true);
    }
    let body = match &args.text {
        Some(text) => text.clone().into_bytes(),
        None => {
            let mut body = Vec::new();
            std::io::stdin().take(INPUT_MAX).read_to_end(&mut body).context("cannot read standard input")?;
            body
        }
    };
    let read = intake::read_webhook(&body);
    if args.json {
        writeln!(out, "{}", explained(&read))?;
    } else {
        explain(&read, out)?;
    }
    Ok(read.is_ok())
}

/// Writes for a person what was read and from where, or why nothing will be traded.
fn explain(read: &Result<Reading, Refusal>, out: &mut impl Write) -> std::io::Result<()> {
    match read {
        Ok(reading) => {
            writeln!(out, "{}", headline(&reading.instruction))?;
            for step in &reading.receipt {
                let from = if step.from.is_empty() { "the fields together" } else { &step.from };
                writeln!(out, "  {:<12} {:<16} from {from}", step.field, step.read_as)?;
            }
            match reading.sent_at {
                Some(sent_at) => writeln!(out, "  {:<12} {sent_at}", "sent"),
                None => Ok(()),
            }
        }
        Err(refusal) => {
            let verdict = if refusal.nothing_asked { "nothing asked" } else { "refused" };
            match &refusal.field {
                Some(field) => writeln!(out, "{verdict}: {} at {}", refusal.code, field.escape_debug())?,
                None => writeln!(out, "{verdict}: {}", refusal.code)?,
            }
            writeln!(out, "  {}", refusal.detail)
        }
    }
}

fn headline(instruction: &Instruction) -> String {
    let mut text = instruction.action.as_str().to_uppercase();
    if let Some(quantity) = instruction.quantity {
        text += &format!(" {quantity}");
    }
    text += &format!(" {}", instruction.symbol);
    if instruction.action != Action::Modify {
        text += &format!(" · {}", instruction.kind.as_str().replace('_', " "));
    }
    if let Some(limit) = instruction.kind.limit() {
        text += &format!(" at {limit}");
    }
    text
}

fn explained(read: &Result<Reading, Refusal>) -> Value {
    match read {
        Ok(reading) => json!({
            "accepted": true,
            "format": reading.format,
            "instruction": reading.instruction,
            "sent_at": reading.sent_at,
            "max_lag_s": reading.max_lag_s,
            "receipt": reading.receipt,
        }),
        Err(refusal) => json!({
            "accepted": false,
            "code": refusal.code,
            "field": refusal.field,
            "detail": refusal.detail,
            "nothing_asked": refusal.nothing_asked,
        }),
    }
}

/// Returns the outcome of one case: `signals`, `none` or `error`.
///
/// A case has an `id`, a `kind` and an `input` with the `body` (a text, or `parts` to repeat and join) and,
/// where they matter, `received_at` and `previous_deliveries`. Chat messages are not read yet.
#[must_use]
pub fn outcome_line(case: &Value) -> Value {
    let id = case.get("id").cloned().unwrap_or_default();
    let verdict = match case.get("kind").and_then(Value::as_str) {
        Some("tradingview") => webhook_outcome(case.get("input").unwrap_or(&Value::Null)),
        Some(_) | None => ("none", "not_supported_yet".into()),
    };
    let (name, value) = verdict;
    json!({ "id": id, name: value })
}

fn webhook_outcome(input: &Value) -> (&'static str, Value) {
    let body = input.get("body").map(whole_text).unwrap_or_default();
    let received_at = input
        .get("received_at")
        .and_then(Value::as_str)
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok())
        .map(|time| time.with_timezone(&Utc));
    let refused = |refusal: Refusal| {
        let name = if refusal.nothing_asked { "none" } else { "error" };
        (name, refusal.code.as_str().to_ascii_lowercase().into())
    };
    let reading = match intake::read_webhook(body.as_bytes()) {
        Ok(reading) => reading,
        Err(refusal) => return refused(refusal),
    };
    if is_repeat(&reading, &body, received_at.unwrap_or_default(), input) {
        return ("none", "duplicate".into());
    }
    match received_at.map_or(Ok(()), |received_at| reading.check_fresh(received_at)) {
        Ok(()) => ("signals", json!([signal(&reading)])),
        Err(refusal) => refused(refusal),
    }
}

/// Returns whether an earlier delivery that was executed is the same one.
fn is_repeat(reading: &Reading, body: &str, now: DateTime<Utc>, input: &Value) -> bool {
    let source = SourceId::new(uuid::Uuid::nil());
    let key = reading.identity.key(source, body.as_bytes());
    let earlier = input.get("previous_deliveries").and_then(Value::as_array).into_iter().flatten();
    earlier.filter(|delivery| delivery.get("executed").and_then(Value::as_bool) == Some(true)).any(
        |delivery| {
            let body = delivery.get("body").map(whole_text).unwrap_or_default();
            let ago = delivery.get("seconds_ago").and_then(Value::as_i64).and_then(Duration::try_seconds);
            let first = now - ago.unwrap_or_default();
            intake::read_webhook(body.as_bytes()).is_ok_and(|other| {
                other.identity.key(source, body.as_bytes()) == key && key.repeats(first, now)
            })
        },
    )
}

/// Returns a text, joined from `parts` when it is written so.
fn whole_text(value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return text.to_owned();
    }
    let parts = value.get("parts").and_then(Value::as_array).into_iter().flatten();
    let repeated = parts.map(|part| {
        let times = part.get("times").and_then(Value::as_u64).unwrap_or(1);
        let text = part.get("text").and_then(Value::as_str).unwrap_or_default();
        text.repeat(usize::try_from(times).unwrap_or(usize::MAX).min(1 << 20))
    });
    repeated.collect()
}

fn signal(reading: &Reading) -> Value {
    let instruction = &reading.instruction;
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("action", instruction.action.as_str().into());
    put("symbol", instruction.symbol.as_str().into());
    if instruction.action != Action::Modify {
        put("order_type", instruction.kind.as_str().into());
    }
    if let Some(quantity) = instruction.quantity {
        put("quantity", quantity.to_string().into());
    }
    if let Action::Close { fraction: Some(pct), .. } = instruction.action {
        put("fraction", (pct.get() / rust_decimal::Decimal::ONE_HUNDRED).normalize().to_string().into());
    }
    let price = match instruction.kind {
        OrderKind::Market => instruction.reference,
        OrderKind::Stop { trigger } => Some(trigger),
        OrderKind::Limit { limit } | OrderKind::StopLimit { limit, .. } | OrderKind::Oco { limit, .. } => {
            Some(limit)
        }
        OrderKind::TrailingStop { .. } => None,
    };
    if let Some(price) = price {
        put("price", price.to_string().into());
    }
    if let OrderKind::StopLimit { trigger, .. } = instruction.kind {
        put("stop_price", trigger.to_string().into());
    }
    if let OrderKind::TrailingStop { trail } = instruction.kind {
        let distance = match trail {
            Trail::Amount(amount) => amount.to_string(),
            Trail::Percent(pct) => format!("{pct}%"),
        };
        put("trailing_stop", distance.into());
    }
    if let Some(stop) = instruction.stop_loss {
        put("stop_loss", level(stop).into());
    }
    if !instruction.take_profits.is_empty() {
        put("take_profits", instruction.take_profits.iter().copied().map(level).collect());
    }
    if let Some(leverage) = instruction.leverage {
        put("leverage", leverage.to_string().into());
    }
    let told = ["position", "notional", "size_percent", "risk_percent", "risk"];
    for step in reading.receipt.iter().filter(|step| told.contains(&step.field)) {
        put(step.field, step.read_as.clone().into());
    }
    if let Action::Close { holding: Some(holding), .. } = instruction.action {
        let word = match holding {
            Holding::Long => "long",
            Holding::Short => "short",
        };
        put("position", word.into());
    }
    Value::Object(out)
}

fn level(level: Level) -> String {
    match level {
        Level::At(price) => price.to_string(),
        Level::Distance(pct) => format!("{pct}%"),
        Level::BreakEven => "breakeven".to_owned(),
        Level::Trailing(trail) => format!("trailing {trail:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, json: bool) -> (bool, String) {
        let mut out = Vec::new();
        let args = ParseArgs { text: Some(text.to_owned()), json, cases: None };
        let accepted = run(&args, &mut out).unwrap();
        (accepted, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_person_sees_what_was_read_and_from_where() {
        let (accepted, text) =
            told(r#"{"ticker":"NASDAQ:MSFT","side":"buy","qty":3,"type":"limit","price":400.5}"#, false);
        assert!(accepted);
        assert!(text.starts_with("BUY 3 MSFT · limit at 400.5\n"), "{text}");
        assert!(text.contains("from /side") && text.contains("from /qty"), "{text}");
    }

    #[test]
    fn a_person_sees_why_nothing_is_traded() {
        let (accepted, text) = told(r#"{"ticker":"MSFT","action":"buy","quantity":"ten"}"#, false);
        assert!(!accepted);
        assert!(text.starts_with("refused: BAD_QUANTITY at /quantity\n  the quantity is \"ten\""), "{text}");
        assert!(told("MSFT Crossing 400", false).1.starts_with("nothing asked: NO_INSTRUCTION"));
    }

    #[test]
    fn json_answers_are_json() {
        for text in ["buy MSFT", "buy", ""] {
            let (accepted, answer) = told(text, true);
            let answer: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(answer["accepted"], accepted);
        }
    }

    #[test]
    fn a_case_is_judged_with_what_came_before_it() {
        let case = |seconds_ago: i64, executed: bool| {
            let body = r#"{"ticker":"MSFT","action":"buy"}"#;
            outcome_line(&json!({"id": "x", "kind": "tradingview", "input": {"body": body,
                "previous_deliveries": [{"body": body, "seconds_ago": seconds_ago, "executed": executed}]}}))
        };
        assert_eq!(case(20, true), json!({"id": "x", "none": "duplicate"}));
        assert!(case(61, true).get("signals").is_some());
        assert!(case(20, false).get("signals").is_some());
        assert_eq!(
            outcome_line(&json!({"id": 7, "kind": "discord"})),
            json!({"id": 7, "none": "not_supported_yet"})
        );
    }
}
