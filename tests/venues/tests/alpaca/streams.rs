//! The streams tell what happens, and fail as asked.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use venues::account::AccountSpec;
use venues::book::{FillMode, Status};
use venues::feed::Price;
use venues::streams::{Channel, StreamFaults};
use venues::world::Options;

use crate::support::{Venue, d, limit, market};

fn pair(event: &str, name: &str) -> (String, String) {
    (event.to_owned(), name.to_owned())
}

#[tokio::test]
async fn updates_tell_of_every_step() {
    let venue = Venue::start().await;
    let mut stream = venue.listen().await;
    venue.world().set_fill_mode(None, FillMode::Parts { parts: 2, every_ms: 1 });
    venue.place(&market("buy", "10", "bought")).await;
    let new = stream.hear().await;
    assert_eq!((&new["data"]["event"], &new["data"]["price"]), (&json!("new"), &Value::Null));
    let part = stream.hear().await["data"].clone();
    assert_eq!(
        (&part["event"], &part["qty"], &part["price"]),
        (&json!("partial_fill"), &json!("5"), &json!("190.52"))
    );
    assert_eq!((&part["position_qty"], &part["order"]["filled_qty"]), (&json!("5"), &json!("5")));
    let fill = stream.hear().await["data"].clone();
    assert_eq!(
        (&fill["event"], &fill["qty"], &fill["order"]["filled_qty"]),
        (&json!("fill"), &json!("5"), &json!("10"))
    );
    assert_ne!(part["execution_id"], fill["execution_id"]);
    let id = venue.place(&limit("buy", "1", "10", "changed")).await["id"].as_str().unwrap().to_owned();
    let path = format!("/v2/orders/{id}");
    let change = json!({"limit_price": "11", "client_order_id": "change"});
    let new = venue.patch(&path, &change).await.json();
    venue.delete(&format!("/v2/orders/{}", new["id"].as_str().unwrap())).await;
    let other = venue.place(&limit("buy", "1", "10", "rejected")).await;
    let order = venue.alpaca.order_of(other["id"].as_str().unwrap()).unwrap();
    venue.world().end(order.id, Status::Rejected).unwrap();
    for expected in [
        pair("new", "changed"),
        pair("replaced", "changed"),
        pair("new", "change"),
        pair("canceled", "change"),
        pair("new", "rejected"),
        pair("rejected", "rejected"),
    ] {
        assert_eq!(stream.update().await, expected);
    }
}

#[tokio::test]
async fn one_account_hears_nothing_of_another() {
    let venue = Venue::start().await;
    venue.world().add_account(AccountSpec::new("K2", "S2", d("1000")));
    let mut stream = venue.open("/stream").await;
    let wrong = json!({"action": "authenticate", "data": {"key_id": "K2", "secret_key": "S"}});
    stream.say(&wrong).await;
    let refused =
        json!({"stream": "authorization", "data": {"status": "unauthorized", "action": "authenticate"}});
    assert_eq!(stream.hear().await, refused);
    stream.say(&json!({"action": "listen", "data": {"streams": ["trade_updates"]}})).await;
    assert_eq!(stream.hear().await["data"]["status"], "unauthorized");
    stream.say(&json!({"action": "authenticate", "data": {"key_id": "K2", "secret_key": "S2"}})).await;
    let granted =
        json!({"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}});
    assert_eq!(stream.hear().await, granted);
    venue.place(&market("buy", "1", "not yours")).await;
    stream.say(&json!({"action": "listen", "data": {"streams": ["trade_updates"]}})).await;
    assert_eq!(stream.hear().await["stream"], "listening");
    venue.place(&market("buy", "1", "not yours either")).await;
    stream.is_silent().await;
    let mut token = venue.open("/stream").await;
    token.say(&json!({"action": "authenticate", "data": {"oauth_token": "T"}})).await;
    assert_eq!(token.hear().await["data"]["status"], "authorized");
}

#[tokio::test]
async fn frames_are_binary_unless_they_are_to_be_text_or_msgpack() {
    async fn first(venue: &Venue, codec: Option<&str>, said: Message) -> Message {
        use futures_util::{SinkExt, StreamExt};
        let mut request = (venue.url.replace("http", "ws") + "/stream").into_client_request().unwrap();
        if let Some(codec) = codec {
            request.headers_mut().insert("content-type", codec.parse().unwrap());
        }
        let mut stream = connect_async(request).await.unwrap().0;
        stream.send(said).await.unwrap();
        stream.next().await.unwrap().unwrap()
    }
    let auth = json!({"action": "auth", "key": "K", "secret": "S"});
    let binary = Venue::start().await;
    let answer = first(&binary, None, Message::text(auth.to_string())).await;
    assert!(answer.is_binary() && answer.into_data().starts_with(b"{"));
    let packed = Message::binary(rmp_serde::to_vec_named(&auth).unwrap());
    let answer = first(&binary, Some("application/msgpack"), packed).await;
    let answer: Value = rmp_serde::from_slice(&answer.into_data()).unwrap();
    assert_eq!(answer["data"]["status"], "authorized");
    let text = Venue::with(Options { text_frames: true, ..Options::default() }).await;
    assert!(first(&text, None, Message::text(auth.to_string())).await.is_text());
}

#[tokio::test]
async fn streams_are_cut_and_refused() {
    let venue = Venue::start().await;
    venue.world().add_account(AccountSpec::new("K2", "S2", d("1000")));
    let (mut one, mut two) = (venue.listen().await, venue.listen().await);
    assert_eq!(venue.world().drop_streams(Some("K2")), 0);
    assert_eq!(venue.world().drop_streams(None), 2);
    for stream in [&mut one, &mut two] {
        let end = stream.frame().await;
        assert!(matches!(&end, Some(Err(error)) if error.to_lowercase().contains("reset")), "{end:?}");
    }
    assert_eq!(venue.world().listening(None, Channel::Orders), 0);
    venue.world().refuse_streams(800);
    let url = venue.alpaca.urls().stream_url;
    let refused = connect_async(url.as_str()).await.unwrap_err();
    assert!(refused.to_string().contains("503"), "{refused}");
    let start = Instant::now();
    while connect_async(url.as_str()).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let kept = venue.listen().await;
    kept.close().await;
    assert_eq!(venue.world().listening(Some("K"), Channel::Orders), 0);
}

#[tokio::test]
async fn messages_are_doubled_swallowed_delayed_and_shuffled() {
    let venue = Venue::start().await;
    let mut stream = venue.listen().await;
    venue.world().set_stream_faults(StreamFaults { duplicate: true, ..StreamFaults::default() });
    venue.place(&limit("buy", "1", "1", "twice")).await;
    let (first, second) = (stream.hear().await, stream.hear().await);
    assert_eq!(first, second, "one event, one execution id");

    venue.world().set_stream_faults(StreamFaults { swallow: 1, ..StreamFaults::default() });
    venue.place(&market("buy", "1", "half told")).await;
    assert_eq!(stream.update().await, pair("fill", "half told"));

    let delayed = StreamFaults { delay_ms: 150, ..StreamFaults::default() };
    venue.world().set_stream_faults(delayed);
    let start = Instant::now();
    venue.place(&limit("buy", "1", "2", "late")).await;
    assert_eq!(stream.update().await, pair("new", "late"));
    assert!(start.elapsed() >= Duration::from_millis(150));

    venue.world().set_stream_faults(StreamFaults { window: 3, ..StreamFaults::default() });
    venue.place(&market("buy", "1", "first")).await;
    stream.is_silent().await;
    venue.place(&limit("buy", "1", "3", "second")).await;
    for expected in [pair("new", "second"), pair("fill", "first"), pair("new", "first")] {
        assert_eq!(stream.update().await, expected);
    }
    venue.place(&limit("buy", "1", "4", "held")).await;
    venue.world().clear_faults();
    assert_eq!(stream.update().await, pair("new", "held"));

    let held =
        StreamFaults { window: 9, hold_ms: 50, account: Some("K".to_owned()), ..StreamFaults::default() };
    venue.world().set_stream_faults(held);
    venue.place(&market("buy", "1", "short hold")).await;
    assert_eq!(stream.update().await, pair("fill", "short hold"));
    assert_eq!(stream.update().await, pair("new", "short hold"));
}

#[tokio::test]
async fn market_data_is_for_those_who_ask() {
    let venue = Venue::start().await;
    let mut stream = venue.open("/v2/iex").await;
    assert_eq!(stream.hear().await, json!([{"T": "success", "msg": "connected"}]));
    stream.say(&json!({"action": "subscribe", "quotes": ["AAPL"]})).await;
    assert_eq!(stream.hear().await, json!([{"T": "error", "code": 401, "msg": "not authenticated"}]));
    stream.say(&json!({"action": "auth", "key": "K", "secret": "S"})).await;
    assert_eq!(stream.hear().await, json!([{"T": "success", "msg": "authenticated"}]));
    stream.say(&json!({"action": "auth", "key": "K", "secret": "S"})).await;
    assert_eq!(stream.hear().await[0]["code"], 403);
    stream.say(&json!({"action": "subscribe", "quotes": ["AAPL"], "trades": ["MSFT"], "bars": []})).await;
    let subscribed = json!([{"T": "subscription", "trades": ["MSFT"], "quotes": ["AAPL"], "bars": []}]);
    assert_eq!(stream.hear().await, subscribed);
    venue.world().set_price(&Price::flat("NONE", d("1")));
    venue.world().set_price(&Price::spread("AAPL", d("191.01"), d("191.03")));
    let quote = stream.hear().await[0].clone();
    assert_eq!((&quote["T"], &quote["S"]), (&json!("q"), &json!("AAPL")));
    assert_eq!((&quote["bp"], &quote["ap"]), (&json!(191.01), &json!(191.03)));
    venue.world().set_price(&Price::flat("MSFT", d("400")));
    let trade = stream.hear().await[0].clone();
    assert_eq!((&trade["T"], &trade["S"], &trade["p"]), (&json!("t"), &json!("MSFT"), &json!(400)));
    let many: Vec<String> = (0..31).map(|number| format!("S{number}")).collect();
    stream.say(&json!({"action": "subscribe", "quotes": many})).await;
    assert_eq!(stream.hear().await[0]["code"], 405);
    stream.say(&json!({"action": "unsubscribe", "quotes": ["AAPL"]})).await;
    assert_eq!(stream.hear().await[0]["quotes"], json!([]));
    stream.say(&json!({"action": "dance"})).await;
    assert_eq!(stream.hear().await[0]["code"], 400);

    let mut second = venue.open("/v2/iex").await;
    second.hear().await;
    second.say(&json!({"action": "auth", "key": "K", "secret": "S"})).await;
    assert_eq!(second.hear().await[0]["code"], 406);
    let mut wrong = venue.open("/v2/sip").await;
    wrong.hear().await;
    wrong.say(&json!({"action": "auth", "key": "K", "secret": "no"})).await;
    assert_eq!(wrong.hear().await[0]["code"], 402);
}
