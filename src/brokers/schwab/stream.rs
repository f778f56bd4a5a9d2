//! The streamer: who one is there, what is said, and what is heard.

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use trade_actors::domain::ids::ClientOrderId;

use super::wire;
use crate::brokers::venue::{Ear, Heard, Opening};

/// That a command was done: zero, and what the documentation has for subscriptions.
const DONE: [i64; 2] = [0, 26];
/// The login is refused.
const DENIED: i64 = 3;
/// News of steps that change nothing that is kept: on the way to the market, or asked for and not done.
const STEPS: [&str; 11] = [
    "SUBSCRIBED",
    "OrderCreated",
    "OrderAccepted",
    "ExecutionRequested",
    "ExecutionRequestCreated",
    "ExecutionRequestCompleted",
    "ExecutionCreated",
    "CancelAccepted",
    "ChangeCreated",
    "OrderMonitorCreated",
    "OrderMonitorCompleted",
];

/// Returns how the streamer is opened: with the login, which all else waits for.
pub(super) fn opening(url: Url, streamer: &wire::Streamer, token: &SecretString) -> Opening {
    let parameters = json!({
        "Authorization": token.expose_secret(),
        "SchwabClientChannel": streamer.schwab_client_channel,
        "SchwabClientFunctionId": streamer.schwab_client_function_id,
    });
    let (customer, correl) = (&streamer.schwab_client_customer_id, &streamer.schwab_client_correl_id);
    Opening::at(url).saying(said(("ADMIN", "LOGIN"), (customer, correl), &parameters))
}

fn said((service, command): (&str, &str), (customer, correl): (&str, &str), parameters: &Value) -> String {
    let request = json!({
        "service": service,
        "command": command,
        "requestid": "1",
        "SchwabClientCustomerId": customer,
        "SchwabClientCorrelId": correl,
        "parameters": parameters,
    });
    json!({"requests": [request]}).to_string()
}

/// Reads a frame. `customer` knows the customer that goes by a correlation id, `ours` our id of an account's order.
pub(super) fn hear(
    ear: &mut Ear,
    frame: &str,
    customer: impl Fn(&str) -> Option<String>,
    ours: impl Fn(&str, i64) -> Option<ClientOrderId>,
) -> Vec<Heard> {
    let Ok(frame) = serde_json::from_str::<wire::Frame>(frame) else { return vec![Heard::Gap] };
    let mut heard: Vec<_> =
        frame.response.iter().filter_map(|response| answered(response, &customer)).collect();
    let over = frame.notify.into_iter().filter_map(|notice| notice.content);
    heard.extend(over.filter(|told| told.code != 0).map(ended));
    for news in
        frame.data.into_iter().filter(|data| data.service == "ACCT_ACTIVITY").flat_map(|data| data.content)
    {
        // What is told again has the same number.
        let is_again = news.seq.is_some_and(|seq| seq > 0 && ear.number == Some(seq));
        ear.number = news.seq.or(ear.number);
        if !is_again {
            heard.extend(happened(&news, &ours));
        }
    }
    heard
}

fn answered(response: &wire::Response, customer: impl Fn(&str) -> Option<String>) -> Option<Heard> {
    let told = &response.content;
    let is_done = DONE.contains(&told.code);
    match (response.service.as_str(), response.command.as_str()) {
        ("ADMIN", "LOGIN") if told.code == DENIED => Some(Heard::Refused),
        ("ADMIN", "LOGIN") if is_done => Some(match customer(&response.correl) {
            Some(customer) => {
                let parameters = json!({"keys": "orders", "fields": "0,1,2,3"});
                Heard::Reply(said(("ACCT_ACTIVITY", "SUBS"), (&customer, &response.correl), &parameters))
            }
            None => Heard::Over("the streamer answered somebody else".to_owned()),
        }),
        ("ACCT_ACTIVITY", "SUBS") if is_done => Some(Heard::Ready),
        (_, _) if is_done => None,
        (service, command) => {
            Some(Heard::Over(format!("{service} {command}: code {}, {}", told.code, told.msg)))
        }
    }
}

fn ended(told: wire::Told) -> Heard {
    Heard::Over(format!("code {}, {}", told.code, told.msg))
}

/// Reads news of an account. Its shape is not documented: what it changes, a look-up tells.
fn happened(news: &wire::News, ours: impl Fn(&str, i64) -> Option<ClientOrderId>) -> Option<Heard> {
    if STEPS.contains(&news.what.as_str()) {
        return None;
    }
    let id =
        serde_json::from_str::<wire::Payload>(&news.payload).ok().and_then(|payload| match payload.order {
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.as_i64(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        });
    match id {
        // Of an order that is none of ours, nothing is to be known.
        Some(id) => ours(&news.account, id).map(Heard::Changed),
        None => Some(Heard::Gap),
    }
}
