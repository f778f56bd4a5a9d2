//! Any bytes as a webhook body: no panic, the same answer twice, and a short and plain text to show.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trade_executor::intake::{SHOWN_MAX, read_webhook, redact};

fuzz_target!(|body: &[u8]| {
    let read = read_webhook(body);
    assert_eq!(read, read_webhook(body));
    if let Err(refusal) = &read {
        assert!(!refusal.detail.is_empty() && !refusal.detail.chars().any(char::is_control));
    }
    let shown = redact(body);
    assert!(shown.len() <= SHOWN_MAX && !shown.chars().any(char::is_control));
});
