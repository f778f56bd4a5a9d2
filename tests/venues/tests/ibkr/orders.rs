//! What becomes of orders.

use chrono::TimeDelta;
use serde_json::{Value, json};
use venues::book::{FillMode, Side, Status};
use venues::clock::Hours;
use venues::feed::Price;
use venues::ibkr::gateway::Unpaid;
use venues::world::OutsideTrade;

use crate::support::{AAPL, Venue, bracket, d, limit, market, with};

#[tokio::test]
async fn a_market_order_is_submitted_then_filled() {
    let venue = Venue::start().await;
    let placed = venue.submit(&[market("BUY", 10, "a")]).await.ok();
    let id = placed[0]["order_id"].as_str().unwrap().to_owned();
    assert_eq!(
        placed,
        json!([{"order_id": id, "local_order_id": "a", "order_status": "Submitted", "encrypt_message": "1"}])
    );
    let state = venue.state(&id).await;
    assert_eq!((&state["order_id"], &state["conid"]), (&json!(id.parse::<u64>().unwrap()), &json!(AAPL)));
    assert_eq!((&state["order_status"], &state["side"]), (&json!("Filled"), &json!("B")));
    assert_eq!((&state["total_size"], &state["cum_fill"]), (&json!("10.0"), &json!("10.0")));
    assert_eq!((&state["average_price"], &state["tif"]), (&json!("190.52"), &json!("DAY")));
    assert_eq!(venue.world().account("DU1").unwrap().qty("AAPL"), d("10"));
}

#[tokio::test]
async fn every_type_waits_for_its_price() {
    let venue = Venue::start().await;
    venue.ibkr.manage(|gateways, _| gateways.policy.price_pct = None);
    venue.place(&market("BUY", 100, "entry")).await;
    let sell = |name: &str, changes: Value| with(market("SELL", 10, name), changes);
    let stop = venue.place(&sell("stop", json!({"orderType": "STP", "price": 180}))).await;
    let stop_limit = sell("sl", json!({"orderType": "STOP_LIMIT", "price": 179.5, "auxPrice": 181}));
    let stop_limit = venue.place(&stop_limit).await;
    let trail = sell("trail", json!({"orderType": "TRAIL", "trailingType": "%", "trailingAmt": 2}));
    let trail = venue.place(&trail).await;
    for id in [&stop, &stop_limit, &trail] {
        assert_eq!(venue.state(id).await["order_status"], "PreSubmitted");
    }
    let price = |text: &str| venue.world().set_price(&Price::flat("AAPL", d(text)));
    price("200");
    price("196");
    assert_eq!(venue.state(&trail).await["order_status"], "Filled");
    assert_eq!(venue.state(&stop_limit).await["order_status"], "PreSubmitted");
    price("179");
    assert_eq!(venue.state(&stop).await["order_status"], "Filled");
    assert_eq!(venue.state(&stop_limit).await["order_status"], "Submitted", "woken, below its limit");
    price("179.50");
    assert_eq!(venue.state(&stop_limit).await["order_status"], "Filled");
}

#[tokio::test]
async fn a_name_is_good_once_a_day() {
    let venue = Venue::start().await;
    venue.place(&market("BUY", 1, "once")).await;
    let again = venue.submit(&[market("BUY", 1, "once")]).await;
    again.refuses(200, "Order couldn't be submitted: Local order ID=once is already registered");
    assert_eq!(venue.world().orders(Some("DU1")).len(), 1);
    let now = venue.world().look(|state| state.clock.now());
    venue.world().set_now(now + TimeDelta::hours(24));
    venue.ibkr.log_in("DU1");
    venue.prime().await;
    venue.place(&market("BUY", 1, "once")).await;
    assert_eq!(venue.world().orders(Some("DU1")).len(), 2);
    venue.get("/iserver/account/orders").await.ok();
    let orders = venue.get("/iserver/account/orders").await.ok();
    assert_eq!(orders["orders"].as_array().unwrap().len(), 1, "today's only");
    assert_eq!(orders["orders"][0]["order_ref"], "once");
}

#[tokio::test]
async fn a_bracket_waits_for_its_entry_and_one_exit_ends_the_other() {
    let venue = Venue::start().await;
    let placed = venue.submit(&bracket("b")).await.ok();
    let of = |field: &str| -> Vec<Value> {
        placed.as_array().unwrap().iter().map(|leg| leg[field].clone()).collect()
    };
    assert_eq!(of("order_status"), ["Submitted", "PreSubmitted", "PreSubmitted"]);
    assert_eq!(of("local_order_id"), [json!("b"), json!(null), json!(null)]);
    assert_eq!(of("parent_order_id"), [json!(null), json!("b"), json!("b")]);
    let ids: Vec<String> = of("order_id").iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    let states = || async {
        let mut states = Vec::new();
        for id in &ids {
            states.push(venue.state(id).await["order_status"].as_str().unwrap().to_owned());
        }
        states
    };
    venue.world().set_price(&Price::flat("AAPL", d("190")));
    assert_eq!(states().await, ["Filled", "Submitted", "PreSubmitted"]);
    venue.world().set_price(&Price::flat("AAPL", d("184.99")));
    assert_eq!(states().await, ["Filled", "Cancelled", "Filled"]);
    assert_eq!(venue.world().account("DU1").unwrap().qty("AAPL"), d("0"));
}

#[tokio::test]
async fn a_leg_can_fail_alone() {
    let venue = Venue::start().await;
    venue.ibkr.manage(|gateways, _| gateways.policy.failing_legs = [2].into());
    let placed = venue.submit(&bracket("b")).await.ok();
    assert_eq!((&placed[2]["order_id"], &placed[2]["order_status"]), (&json!("-1"), &json!("Failed")));
    assert_eq!(placed[2]["parent_order_id"], "b");
    assert_eq!(venue.world().orders(Some("DU1")).len(), 2);
    let mut orders = bracket("c");
    orders[1]["price"] = json!(195.001);
    let placed = venue.submit(&orders).await.ok();
    assert_eq!((&placed[1]["order_id"], &placed[2]["order_status"]), (&json!("-1"), &json!("PreSubmitted")));
}

#[tokio::test]
async fn exits_can_come_later_and_to_an_entry_that_is_cut() {
    let venue = Venue::start().await;
    venue.place(&limit("BUY", 3, 190.0, "b")).await;
    let exits = &bracket("b")[1..];
    venue.submit(exits).await.ok();
    let ids: Vec<_> = venue.world().orders(Some("DU1")).iter().map(|order| order.id).collect();
    assert_eq!(ids.len(), 3);
    venue.delete("/iserver/account/DU1/order/-1").await.ok();
    let states: Vec<_> = venue.world().orders(Some("DU1")).iter().map(|order| order.status).collect();
    assert_eq!(states, [Status::Canceled; 3]);
    venue.submit(exits).await.refuses(200, "parent order not found");
}

#[tokio::test]
async fn of_a_group_one_cancels_the_other() {
    let venue = Venue::start().await;
    venue.place(&market("BUY", 3, "entry")).await;
    let grouped = |order: Value| with(order, json!({"isSingleGroup": true}));
    let profit = grouped(limit("SELL", 3, 195.0, "profit"));
    let stop = grouped(with(market("SELL", 3, "loss"), json!({"orderType": "STP", "price": 185})));
    let placed = venue.submit(&[profit.clone(), stop]).await.ok();
    assert_eq!(
        (&placed[0]["local_order_id"], &placed[1]["local_order_id"]),
        (&json!("profit"), &json!("loss"))
    );
    venue.world().set_price(&Price::flat("AAPL", d("195")));
    let status = |name: &str| venue.world().order("DU1", name).unwrap().status;
    assert_eq!((status("profit"), status("loss")), (Status::Filled, Status::Canceled));
    let lone = [with(profit, json!({"cOID": "c"})), limit("SELL", 1, 195.0, "d")];
    venue.submit(&lone).await.refuses(200, "unrelated orders cannot be placed in bulk");
}

#[tokio::test]
async fn a_change_keeps_the_order_and_what_has_filled() {
    let venue = Venue::start().await;
    let id = venue.place(&limit("BUY", 10, 189.0, "a")).await;
    let number = venue.ibkr.order_of(&id).unwrap().id;
    venue.world().fill(number, Some(d("4")), d("189")).unwrap();
    let path = format!("/iserver/account/DU1/order/{id}");
    let changed = venue.post(&path, &limit("BUY", 6, 190.0, "a")).await.ok();
    assert_eq!((&changed[0]["order_id"], &changed[0]["order_status"]), (&json!(id), &json!("Submitted")));
    let state = venue.state(&id).await;
    assert_eq!((&state["total_size"], &state["cum_fill"]), (&json!("6.0"), &json!("4.0")));
    venue.post(&path, &limit("BUY", 4, 190.0, "a")).await.refuses(200, "Order couldn't be submitted");
    venue.post(&path, &limit("SELL", 6, 190.0, "a")).await.refuses(200, "must be repeated");
    venue.post(&path, &limit("BUY", 6, 190.0, "b")).await.refuses(200, "must be repeated");
    venue.post(&path, &market("BUY", 6, "a")).await.refuses(200, "must be repeated");
    venue.post(&path, &json!({"price": 190.0})).await.refuses(400, "conid is required");
    venue.post(&path, &limit("BUY", 6, 190.60, "a")).await.ok();
    let state = venue.state(&id).await;
    assert_eq!((&state["order_status"], &state["cum_fill"]), (&json!("Filled"), &json!("6.0")));
    venue
        .post(&path, &limit("BUY", 7, 190.0, "a"))
        .await
        .refuses(200, &format!("OrderID {id} doesn't exist"));
}

#[tokio::test]
async fn a_cancel_is_acknowledged_before_it_works() {
    let venue = Venue::start().await;
    venue.world().set_cancel_takes(60_000);
    let id = venue.place(&limit("BUY", 1, 189.0, "a")).await;
    let path = format!("/iserver/account/DU1/order/{id}");
    let ack = venue.delete(&path).await.ok();
    let number: u64 = id.parse().unwrap();
    assert_eq!(
        ack,
        json!({"msg": "Request was submitted", "order_id": number, "conid": AAPL, "account": "DU1"})
    );
    assert_eq!(venue.state(&id).await["order_status"], "PendingCancel");
    venue.world().set_price(&Price::flat("AAPL", d("189")));
    assert_eq!(venue.state(&id).await["order_status"], "Filled");
    venue.delete(&path).await.refuses(200, &format!("OrderID {id} doesn't exist"));
    venue.delete("/iserver/account/DU1/order/987654").await.refuses(200, "OrderID 987654 doesn't exist");
}

#[tokio::test]
async fn an_order_that_cannot_be_paid_for_is_taken_and_inactive() {
    let venue = Venue::start().await;
    let id = venue.place(&limit("BUY", 10_000, 190.0, "dear")).await;
    let state = venue.state(&id).await;
    assert_eq!(state["order_status"], "Inactive");
    let why = state["order_status_description"].as_str().unwrap();
    assert!(why.contains("Available Funds are insufficient"), "{why}");
    venue.ibkr.manage(|gateways, _| gateways.policy.unpaid = Unpaid::AtOnce);
    let refused = venue.submit(&[limit("BUY", 10_000, 190.0, "dearer")]).await;
    refused.refuses(200, "Available Funds are insufficient");
    refused.refuses(200, "Equity with Loan Value");
    assert!(!venue.has("dearer"));
}

#[tokio::test]
async fn an_order_may_trade_through_a_position_and_exits_promise_it_twice() {
    let venue = Venue::start().await;
    venue.place(&market("BUY", 5, "long")).await;
    venue.place(&limit("SELL", 5, 195.0, "one")).await;
    venue.place(&limit("SELL", 5, 196.0, "two")).await;
    venue.place(&market("SELL", 8, "through")).await;
    assert_eq!(venue.world().account("DU1").unwrap().qty("AAPL"), d("-3"));
    let id = venue.place(&market("SELL", 10_000, "too far")).await;
    assert_eq!(venue.state(&id).await["order_status"], "Inactive");
}

#[tokio::test]
async fn lists_begin_empty_and_show_today() {
    let venue = Venue::start().await;
    venue.world().set_fill_mode(None, FillMode::Manual);
    let id = venue.place(&limit("BUY", 10, 190.0, "a")).await;
    let number = venue.ibkr.order_of(&id).unwrap().id;
    venue.world().fill(number, Some(d("4")), d("190.5")).unwrap();
    let path = "/iserver/account/orders?force=true";
    assert_eq!(venue.get(path).await.ok(), json!({"orders": [], "snapshot": false}));
    let list = venue.get(path).await.ok();
    assert_eq!(list["snapshot"], true);
    let order = &list["orders"][0];
    assert_eq!((&order["acct"], &order["conid"]), (&json!("DU1"), &json!(AAPL)));
    assert_eq!(order["orderId"], json!(id.parse::<u64>().unwrap()));
    assert_eq!((&order["order_ref"], &order["ticker"]), (&json!("a"), &json!("AAPL")));
    assert_eq!((&order["side"], &order["totalSize"]), (&json!("BUY"), &json!(10.0)));
    assert_eq!((&order["filledQuantity"], &order["remainingQuantity"]), (&json!(4.0), &json!(6.0)));
    assert_eq!((&order["status"], &order["avgPrice"]), (&json!("Submitted"), &json!("190.5")));
    assert_eq!((&order["price"], &order["origOrderType"]), (&json!("190"), &json!("LIMIT")));
    assert_eq!(order["timeInForce"], "CLOSE");
    assert!(order["lastExecutionTime_r"].as_i64().unwrap() > 1_700_000_000_000);

    assert_eq!(venue.get("/iserver/account/trades").await.ok(), json!([]));
    let trade = &venue.get("/iserver/account/trades?days=7").await.ok()[0];
    assert_eq!((&trade["order_ref"], &trade["side"]), (&json!("a"), &json!("B")));
    assert_eq!((&trade["size"], &trade["price"]), (&json!(4.0), &json!("190.50")));
    assert_eq!((&trade["commission"], &trade["account"]), (&json!("1.0"), &json!("DU1")));
    venue.get("/iserver/account/trades?days=8").await.refuses(400, "days is not valid");
    let filled = venue.get("/iserver/account/orders?filters=filled").await.ok();
    assert_eq!(filled["orders"], json!([]));
}

#[tokio::test]
async fn what_was_over_before_a_session_is_known_once_it_is_listed() {
    let venue = Venue::start().await;
    let id = venue.place(&market("BUY", 1, "a")).await;
    let path = format!("/iserver/account/order/status/{id}");
    assert_eq!(venue.get("/iserver/account/order/status/1").await.status, 503);
    venue.ibkr.log_in("DU1");
    venue.prime().await;
    assert_eq!(venue.get(&path).await.status, 503);
    venue.get("/iserver/account/orders").await.ok();
    assert_eq!(venue.get(&path).await.ok()["order_status"], "Filled");
}

#[tokio::test]
async fn at_night_orders_wait_and_a_days_order_lapses_with_it() {
    let venue = Venue::start().await;
    venue.world().set_hours(Hours::Nyse);
    let at = |time: &str| {
        venue.world().set_now(time.parse().unwrap());
        venue.ibkr.log_in("DU1");
    };
    at("2024-06-06T03:00:00-04:00");
    venue.prime().await;
    let night = venue.place(&market("BUY", 1, "night")).await;
    let outside = with(limit("BUY", 1, 190.52, "outside"), json!({"outsideRTH": true}));
    let outside = venue.place(&outside).await;
    assert_eq!(venue.state(&night).await["order_status"], "PreSubmitted");
    at("2024-06-06T05:00:00-04:00");
    venue.prime().await;
    venue.get("/iserver/account/orders").await.ok();
    assert_eq!(venue.state(&outside).await["order_status"], "Filled");
    assert_eq!(venue.state(&night).await["order_status"], "PreSubmitted");
    at("2024-06-06T10:00:00-04:00");
    venue.prime().await;
    venue.get("/iserver/account/orders").await.ok();
    assert_eq!(venue.state(&night).await["order_status"], "Filled");
    let day = venue.place(&limit("BUY", 1, 189.0, "day")).await;
    at("2024-06-06T17:00:00-04:00");
    venue.prime().await;
    venue.get("/iserver/account/orders").await.ok();
    assert_eq!(venue.state(&day).await["order_status"], "Cancelled");
}

#[tokio::test]
async fn a_preview_places_nothing() {
    let venue = Venue::start().await;
    let body = json!({"orders": [limit("BUY", 10, 100.0, "a")]});
    let preview = venue.post("/iserver/account/DU1/orders/whatif", &body).await.ok();
    assert_eq!(preview["amount"]["amount"], "1000 USD");
    assert_eq!(preview["initial"], json!({"current": "0", "change": "500", "after": "500"}));
    assert!(preview["warn"].as_str().unwrap().contains("Percentage constraint"));
    assert_eq!(venue.world().orders(None), []);
}

#[tokio::test]
async fn the_journal_counts_each_accounts_orders() {
    let venue = Venue::start().await;
    venue.submit(&bracket("b")).await.ok();
    venue.place(&market("BUY", 1, "a")).await;
    venue.submit(&[market("BUY", 1, "a")]).await.refuses(200, "already registered");
    let trade = OutsideTrade { symbol: "AAPL".to_owned(), side: Side::Buy, qty: d("1"), price: d("1") };
    venue.world().trade_outside("DU1", &trade).unwrap();
    let told = serde_json::to_value(venue.world().journal(0)).unwrap();
    let taken = told.as_array().unwrap().iter().filter(|entry| {
        entry["kind"] == "order"
            && entry["account"] == "DU1"
            && ["new", "accepted", "held"].contains(&entry["event"].as_str().unwrap())
    });
    assert_eq!(taken.count(), 4);
}
