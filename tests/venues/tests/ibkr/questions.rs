//! What the gateway asks before it transmits an order, and what becomes of orders nobody answers for.

use serde_json::json;
use venues::book::Status;
use venues::feed::Price;
use venues::ibkr::questions::Ask;

use crate::support::{Venue, bracket, d, limit, market, with};

#[tokio::test]
async fn a_far_limit_is_asked_about_and_transmitted_once_confirmed() {
    let venue = Venue::start().await;
    venue.place(&limit("BUY", 1, 186.0, "near")).await;
    let asked = venue.submit(&[limit("BUY", 1, 184.0, "far")]).await;
    let (id, kind) = asked.question();
    assert_eq!(kind, "o163");
    assert_eq!(asked.json()[0]["isSuppressed"], false);
    let text = asked.json()[0]["message"][0].as_str().unwrap().replace('\n', "");
    assert!(text.contains("price exceeds the Percentage constraint of 3%"), "{text}");
    assert!(!venue.has("far"));
    let placed = venue.reply(&id, true).await.ok();
    assert_eq!(placed[0]["local_order_id"], "far");
    assert_eq!(placed[0]["order_status"], "Submitted");
    assert!(venue.has("far"));
    venue.reply(&id, true).await.refuses(400, &format!("reply id not found: '{id}'"));
}

#[tokio::test]
async fn a_declined_or_unanswered_question_transmits_nothing() {
    let venue = Venue::start().await;
    let (id, _) = venue.submit(&[limit("BUY", 1, 100.0, "declined")]).await.question();
    venue.reply(&id, false).await.refuses(200, "");
    venue.reply(&id, true).await.refuses(400, "reply id not found");
    let (id, _) = venue.submit(&[limit("BUY", 1, 100.0, "overtaken")]).await.question();
    venue.place(&market("BUY", 1, "overtaking")).await;
    venue.reply(&id, true).await.refuses(400, "reply id not found");
    venue.submit(&[limit("BUY", 1, 100.0, "left")]).await.question();
    venue.ibkr.compete("DU1");
    venue.post("/iserver/auth/ssodh/init", &json!({"publish": true, "compete": true})).await.ok();
    venue.prime().await;
    let names: Vec<_> =
        venue.world().orders(Some("DU1")).into_iter().map(|order| order.client_order_id).collect();
    assert_eq!(names, ["overtaking"]);
    // What was never transmitted has not used its name.
    let (id, _) = venue.submit(&[limit("BUY", 1, 100.0, "left")]).await.question();
    venue.reply(&id, true).await.ok();
    assert!(venue.has("left"));
}

#[tokio::test]
async fn questions_follow_one_another() {
    let venue = Venue::start().await;
    venue.ibkr.ask(Ask::always("o10151").of_type("LMT"));
    venue.ibkr.ask(Ask { text: Some("a new one".to_owned()), ..Ask::always("o99999") });
    let (first, kind) = venue.submit(&[limit("BUY", 1, 100.0, "a")]).await.question();
    assert_eq!(kind, "o163");
    let (second, kind) = venue.reply(&first, true).await.question();
    assert_eq!(kind, "o10151");
    let reply = venue.reply(&second, true).await;
    let (third, kind) = reply.question();
    assert_eq!((kind.as_str(), &reply.json()[0]["message"][0]), ("o99999", &json!("a new one")));
    venue.reply(&first, true).await.refuses(400, "reply id not found");
    venue.reply(&third, true).await.ok();
    assert!(venue.has("a"));
}

#[tokio::test]
async fn suppressed_questions_are_not_asked_until_they_are_again() {
    let venue = Venue::start().await;
    venue.ibkr.ask(Ask::always("o10151").of_type("MKT"));
    let suppress = json!({"messageIds": ["o163", "o10151"]});
    assert_eq!(
        venue.post("/iserver/questions/suppress", &suppress).await.ok(),
        json!({"status": "submitted"})
    );
    venue.place(&limit("BUY", 1, 100.0, "a")).await;
    venue.place(&market("BUY", 1, "b")).await;
    venue.poke("/iserver/questions/suppress/reset").await.ok();
    assert_eq!(venue.submit(&[market("BUY", 1, "c")]).await.question().1, "o10151");
    let many: Vec<String> = (0..52).map(|n| format!("o{n}")).collect();
    assert_eq!(venue.post("/iserver/questions/suppress", &json!({"messageIds": many})).await.status, 500);
}

#[tokio::test]
async fn a_prompt_is_answered_elsewhere_and_says_nothing_of_the_order() {
    let venue = Venue::start().await;
    venue.ibkr.ask(Ask::always("p12").times(1));
    let prompt = venue.submit(&[market("BUY", 1, "a")]).await.ok();
    assert_eq!((&prompt["prompt"], &prompt["options"]), (&json!(true), &json!(["Yes"])));
    assert_eq!(prompt["messageId"], "p12");
    assert!(!venue.has("a"));
    let answer = json!({"orderId": prompt["orderId"], "reqId": prompt["reqId"], "text": "Yes"});
    venue.post("/iserver/notification", &answer).await.ok();
    assert!(venue.has("a"));
    venue.post("/iserver/notification", &answer).await.refuses(400, "no such prompt");
    venue.place(&market("BUY", 1, "b")).await;
}

#[tokio::test]
async fn what_looks_odd_is_asked_about() {
    let venue = Venue::start().await;
    venue.ibkr.manage(|gateways, _| {
        gateways.policy.size_limit = Some(d("100"));
        gateways.policy.value_limit = Some(d("20000"));
        gateways.availability.insert("MSFT".to_owned(), 'N');
    });
    venue.world().set_price(&Price::flat("MSFT", d("10")));
    let ask = |order| {
        let venue = &venue;
        async move { venue.submit(&[order]).await.question().1 }
    };
    assert_eq!(ask(market("BUY", 101, "size")).await, "o383");
    venue.ibkr.manage(|gateways, _| gateways.policy.size_limit = None);
    assert_eq!(ask(limit("BUY", 110, 190.0, "value")).await, "o451");
    let stop = with(market("SELL", 1, "stop"), json!({"orderType": "STP", "price": 191}));
    assert_eq!(ask(stop).await, "o403");
    let blind = with(market("BUY", 1, "blind"), json!({"conid": venues::ibkr::conid("MSFT")}));
    assert_eq!(ask(blind).await, "o354");
    let cash = with(market("BUY", 1, "cash"), json!({"quantity": null, "cashQty": 1000}));
    assert_eq!(ask(cash).await, "o10223");
    venue.place(&limit("BUY", 1, 189.0, "standing")).await;
    assert_eq!(ask(limit("SELL", 1, 188.0, "crossing")).await, "o2137");
}

#[tokio::test]
async fn a_family_is_asked_about_once_and_placed_whole() {
    let venue = Venue::start().await;
    let mut orders = bracket("b");
    orders[1]["price"] = json!(300.0);
    orders[0]["price"] = json!(100.0);
    let (id, kind) = venue.submit(&orders).await.question();
    assert_eq!(kind, "o163");
    let placed = venue.reply(&id, true).await.ok();
    assert_eq!(placed.as_array().unwrap().len(), 3);
    assert_eq!(venue.world().orders(Some("DU1")).len(), 3);
}

#[tokio::test]
async fn a_change_is_asked_about_like_an_order() {
    let venue = Venue::start().await;
    let id = venue.place(&limit("BUY", 2, 189.0, "a")).await;
    let path = format!("/iserver/account/DU1/order/{id}");
    let (question, kind) = venue.post(&path, &limit("BUY", 2, 100.0, "a")).await.question();
    assert_eq!(kind, "o163");
    assert_eq!(venue.state(&id).await["limit_price"], "189");
    venue.reply(&question, true).await.ok();
    assert_eq!(venue.state(&id).await["limit_price"], "100");
    let order = venue.world().order("DU1", "a").unwrap();
    assert_eq!((order.status, venue.world().orders(None).len()), (Status::New, 1));
}
