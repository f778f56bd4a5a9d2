//! What holds for every body: no panic, no number out of thin air, no meaning in layout.

use std::collections::BTreeSet;
use std::str::FromStr;

use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use trade_actors::domain::signal::{Action, Instruction, Level, OrderKind, Trail};

use crate::intake::{read_webhook, redact};

/// Every number of an instruction.
fn numbers(instruction: &Instruction) -> Vec<Decimal> {
    let level = |level: &Level| match level {
        Level::At(price) => Some(price.get()),
        Level::Distance(pct) => Some(pct.get()),
        Level::Trailing(_) | Level::BreakEven => None,
    };
    let mut all: Vec<Decimal> =
        instruction.take_profits.iter().chain(&instruction.stop_loss).filter_map(level).collect();
    all.extend(instruction.quantity.map(|quantity| quantity.get()));
    all.extend(instruction.reference.map(|price| price.get()));
    all.extend(instruction.leverage);
    all.extend(instruction.kind.limit().map(|price| price.get()));
    all.extend(instruction.kind.trigger().map(|price| price.get()));
    match instruction.kind {
        OrderKind::TrailingStop { trail: Trail::Amount(amount) } => all.push(amount.get()),
        OrderKind::TrailingStop { trail: Trail::Percent(pct) } => all.push(pct.get()),
        OrderKind::Market
        | OrderKind::Limit { .. }
        | OrderKind::Stop { .. }
        | OrderKind::Oco { .. }
        | OrderKind::StopLimit { .. } => {}
    }
    if let Action::Close { fraction: Some(pct), .. } = instruction.action {
        all.push(pct.get());
    }
    all
}

/// Every number that is written in a body.
fn literals(text: &str) -> BTreeSet<Decimal> {
    text.split(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .filter_map(|word| Decimal::from_str(word).ok())
        .collect()
}

const KEYS: [&str; 30] = [
    "ticker",
    "symbol",
    "action",
    "side",
    "signal",
    "quantity",
    "qty",
    "volume",
    "type",
    "order_type",
    "price",
    "close",
    "limitPrice",
    "stopPrice",
    "stopLoss",
    "sl",
    "takeProfit",
    "tp1",
    "tp2",
    "targets",
    "leverage",
    "sentiment",
    "market_position",
    "trailPercent",
    "percent",
    "strategy",
    "bar",
    "order_alert_message",
    "max_lag",
    "note",
];

fn any_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => prop::sample::select(vec!["MSFT", "SOLUSDT", "buy", "sell", "close", "flat", "long", "limit", "market", "stop", "x"])
            .prop_map(Value::from),
        3 => (1_u32..500).prop_map(Value::from),
        1 => (1_u32..50_000).prop_map(|cents| format!("{}.{:02}", cents / 100, cents % 100).into()),
        1 => (1_u32..99).prop_map(|pct| format!("{pct}%").into()),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => ".{0,8}".prop_map(Value::from),
    ]
}

fn any_order() -> impl Strategy<Value = Map<String, Value>> {
    let value = any_scalar().prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(KEYS.to_vec()), inner, 0..3).prop_map(
                |entries| {
                    Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
                }
            ),
        ]
    });
    let valid =
        prop::sample::select(vec![("MSFT", "buy"), ("SOLUSDT", "sell"), ("BINANCE:ETHUSDT.P", "close")]);
    (prop::collection::btree_map(prop::sample::select(KEYS.to_vec()), value, 0..6), valid).prop_map(
        |(entries, (ticker, action))| {
            let mut body: Map<String, Value> =
                entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            body.insert("ticker".to_owned(), ticker.into());
            body.insert("action".to_owned(), action.into());
            body
        },
    )
}

proptest! {
    /// No bytes make the parser panic, and what it reads once it reads again.
    #[test]
    fn any_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(read_webhook(&body), read_webhook(&body));
    }

    /// No text does either.
    #[test]
    fn any_text_is_answered(body in "(buy|SELL|close)?[ ,=&\n]?.{0,80}") {
        prop_assert_eq!(read_webhook(body.as_bytes()), read_webhook(body.as_bytes()));
        prop_assert!(redact(body.as_bytes()).len() <= crate::intake::SHOWN_MAX);
    }

    /// Every number of an instruction is written in the body.
    #[test]
    fn no_number_is_invented(body in any_order()) {
        let text = Value::Object(body).to_string();
        if let Ok(reading) = read_webhook(text.as_bytes()) {
            let written = literals(&text);
            for number in numbers(&reading.instruction) {
                prop_assert!(written.contains(&number), "{number} is not in {text}");
            }
        }
    }

    /// Quantities and prices arrive exactly as they were written, as numbers and as texts.
    #[test]
    fn amounts_are_exact(units in 1_u64..=1_000_000_000_000, scale in 0_u32..13, cents in 1_u64..=1_000_000_000_000, price_scale in 0_u32..13) {
        let quantity = Decimal::new(i64::try_from(units).unwrap(), scale);
        let price = Decimal::new(i64::try_from(cents).unwrap(), price_scale);
        for quote in ["", "\""] {
            let body = format!(
                r#"{{"ticker":"MSFT","action":"buy","type":"limit","quantity":{quote}{quantity}{quote},"price":{quote}{price}{quote}}}"#
            );
            let instruction = read_webhook(body.as_bytes()).unwrap().instruction;
            prop_assert_eq!(instruction.quantity.unwrap().get(), quantity);
            prop_assert_eq!(instruction.kind.limit().unwrap().get(), price);
        }
    }

    /// White space, the order of the keys and the case of keys and words mean nothing.
    #[test]
    fn layout_means_nothing(body in any_order(), seed in any::<prop::sample::Index>(), upper in any::<bool>()) {
        let plain = read_webhook(Value::Object(body.clone()).to_string().as_bytes());
        let mut entries: Vec<(String, Value)> = body.into_iter().collect();
        let turn = seed.index(entries.len());
        entries.rotate_left(turn);
        let words = ["ticker", "action", "type", "side", "sentiment"];
        let lines: Vec<String> = entries
            .into_iter()
            .map(|(key, value)| {
                let loud = value.as_str().filter(|_| upper && words.contains(&key.as_str()));
                let value = loud.map_or(value.clone(), |text| json!(format!(" {} ", text.to_ascii_uppercase())));
                let key = if upper { key.to_ascii_uppercase() } else { key };
                format!("{} :\t{}", json!(key), serde_json::to_string_pretty(&value).unwrap())
            })
            .collect();
        let laid_out = format!("\u{feff}\n {{ {} \r\n}}\n", lines.join(" ,\n"));
        let other = read_webhook(laid_out.as_bytes());
        prop_assert_eq!(plain.is_ok(), other.is_ok(), "{}", laid_out);
        if let (Ok(plain), Ok(other)) = (plain, other) {
            prop_assert_eq!(plain.instruction, other.instruction);
            prop_assert_eq!(plain.sent_at, other.sent_at);
        }
    }
}
