//! Orders over HTTP: their shape, their lists, their families, their replacements, their late rejections.

use reqwest::Method;
use serde_json::{Value, json};
use venues::account::AccountSpec;
use venues::book::{FillMode, Status};
use venues::feed::Price;
use venues::journal::Note;

use crate::support::{Venue, d, limit, market, oco, stop, trigger, with};

fn ids(list: &[Value]) -> Vec<i64> {
    list.iter().map(|order| order["orderId"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn an_order_is_answered_with_its_place_and_nothing_else() {
    let venue = Venue::start().await;
    let reply = venue.ask(&limit("BUY", 10, 180.5)).await;
    let id = reply.id();
    let place = format!("https://api.schwabapi.com/trader/v1/accounts/{}/orders/{id}", venue.hash);
    assert_eq!(reply.header("location"), Some(place.as_str()));
    assert!(reply.header("schwab-client-correlid").is_some());
    let order = venue.order(id).await;
    let expected = json!({
        "session": "NORMAL", "duration": "DAY", "orderType": "LIMIT", "quantity": 10.0, "filledQuantity": 0.0,
        "remainingQuantity": 10.0, "price": 180.5, "orderStrategyType": "SINGLE", "orderId": id, "cancelable": true,
        "editable": true, "status": "WORKING", "tag": "API",
        "accountNumber": venue.schwab.number_of("K").parse::<i64>().unwrap(),
        "orderLegCollection": [{
            "legId": 1, "instrument": {"assetType": "EQUITY", "cusip": "037833100", "symbol": "AAPL"},
            "instruction": "BUY", "positionEffect": "OPENING", "quantity": 10.0,
        }],
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&order[name], value, "{name}");
    }
    assert_eq!(order.as_object().unwrap().len(), expected.as_object().unwrap().len() + 1);
    let entered = order["enteredTime"].as_str().unwrap();
    assert!(entered.ends_with("+0000") && entered.len() == 24, "{entered}");
    let text = venue.get(&format!("/trader/v1/accounts/{}/orders/{id}", venue.hash)).await.text;
    assert!(text.contains("\"quantity\":10.0"), "{text}");
}

#[tokio::test]
async fn every_type_is_taken_in_numbers_and_in_strings() {
    let venue = Venue::start().await;
    let types = [
        (market("BUY", 2), "FILLED", json!({"filledQuantity": 2.0, "remainingQuantity": 0.0})),
        (with(limit("BUY", 2, 1.0), json!({"price": "180.25"})), "WORKING", json!({"price": 180.25})),
        (
            stop("SELL", 1, 180.0),
            "AWAITING_STOP_CONDITION",
            json!({"stopPrice": 180.0, "stopType": "STANDARD"}),
        ),
        (
            with(stop("SELL", 1, 180.0), json!({"orderType": "STOP_LIMIT", "price": 179.5})),
            "AWAITING_STOP_CONDITION",
            json!({"stopPrice": 180.0, "price": 179.5}),
        ),
    ];
    for (order, status, shown) in types {
        let id = venue.place(&order).await;
        let order = venue.order(id).await;
        assert_eq!(order["status"], status, "{order}");
        for (name, value) in shown.as_object().unwrap() {
            assert_eq!(&order[name], value, "{name}");
        }
        assert_eq!(venue.cancel(id).await.status, if status == "FILLED" { 400 } else { 200 });
    }
    let trailing = json!({"orderType": "TRAILING_STOP", "stopPriceLinkBasis": "LAST", "stopPriceLinkType": "VALUE",
        "stopPriceOffset": 5, "stopType": "STANDARD", "duration": "GOOD_TILL_CANCEL"});
    let id = venue.place(&with(market("SELL", 2), trailing)).await;
    let order = venue.order(id).await;
    assert_eq!((&order["stopPrice"], &order["stopPriceOffset"]), (&json!(185.5), &json!(5.0)));
    assert_eq!(
        (&order["stopPriceLinkBasis"], &order["stopPriceLinkType"]),
        (&json!("LAST"), &json!("VALUE"))
    );
    venue.world().set_price(&Price::flat("AAPL", d("195")));
    assert_eq!(venue.order(id).await["stopPrice"], json!(190.0));
    venue.world().set_price(&Price::flat("AAPL", d("189.9")));
    let sold = venue.order(id).await;
    assert_eq!((&sold["status"], &sold["duration"]), (&json!("FILLED"), &json!("GOOD_TILL_CANCEL")));
    assert_eq!(sold["orderActivityCollection"][0]["executionLegs"][0]["price"], json!(189.9));
    let percent = json!({"orderType": "TRAILING_STOP", "stopPriceLinkBasis": "MARK", "stopPriceLinkType": "PERCENT",
        "stopPriceOffset": 10});
    let id = venue.place(&with(market("SELL_SHORT", 1), percent)).await;
    assert_eq!(venue.order(id).await["stopPrice"], json!(170.91));
}

#[tokio::test]
async fn what_has_traded_is_told_part_by_part() {
    let venue = Venue::start().await;
    venue.world().set_fill_mode(None, FillMode::Manual);
    let id = venue.place(&limit("BUY", 10, 190.5)).await;
    let number = venue.schwab.order_of(id).unwrap().id;
    venue.world().fill(number, Some(d("4")), d("190.49")).unwrap();
    let order = venue.order(id).await;
    assert_eq!(
        (&order["status"], &order["filledQuantity"]),
        (&json!("WORKING"), &json!(4.0)),
        "no word for parts"
    );
    let activity = &order["orderActivityCollection"][0];
    assert_eq!(
        (&activity["activityType"], &activity["executionType"]),
        (&json!("EXECUTION"), &json!("FILL"))
    );
    assert_eq!((&activity["quantity"], &activity["orderRemainingQuantity"]), (&json!(4.0), &json!(6.0)));
    let leg = &activity["executionLegs"][0];
    assert_eq!((&leg["legId"], &leg["quantity"], &leg["price"]), (&json!(1), &json!(4.0), &json!(190.49)));
    assert!(leg["time"].as_str().unwrap().ends_with("+0000"));
    assert_eq!(venue.cancel(id).await.status, 200);
    let order = venue.order(id).await;
    assert_eq!((&order["status"], &order["remainingQuantity"]), (&json!("CANCELED"), &json!(0.0)));
    assert!(order["closeTime"].is_string() && order["cancelable"] == false);
    let all = order["orderActivityCollection"].as_array().unwrap();
    let kinds: Vec<&Value> = all.iter().map(|one| &one["executionType"]).collect();
    assert_eq!(kinds, ["FILL", "CANCELED"], "what was canceled is no trade");
}

#[tokio::test]
async fn an_order_that_costs_too_much_is_taken_and_rejected_soon_after() {
    let venue = Venue::start().await;
    venue.world().set_setting("reject_after_ms", 60_000).unwrap();
    let id = venue.place(&market("BUY", 100_000)).await;
    let first = venue.order(id).await;
    assert_eq!((&first["status"], &first["cancelable"]), (&json!("PENDING_ACKNOWLEDGEMENT"), &json!(false)));
    assert_eq!(first.get("statusDescription"), None);
    let now = venue.world().look(|state| state.clock.now());
    venue.world().set_now(now + chrono::TimeDelta::seconds(61));
    let order = venue.order(id).await;
    assert_eq!(order["status"], "REJECTED");
    venue.world().set_setting("reject_after_ms", 20).unwrap();
    assert_eq!(
        order["statusDescription"],
        "You do not have enough available cash/buying power for this order."
    );
    assert!(order["closeTime"].is_string() && order["filledQuantity"] == json!(0.0));
    for (wrong, words) in [
        (limit("BUY", 1, 180.505), "decimals"),
        (limit("BUY", 1, 0.12345), "decimals"),
        (stop("BUY", 1, 190.0), "wrong side"),
        (stop("SELL_SHORT", 1, 191.0), "wrong side"),
        (market("SELL", 1), "oversold"),
        (market("BUY_TO_COVER", 1), "oversold"),
    ] {
        let id = venue.place(&wrong).await;
        let order = venue.until(id, "REJECTED").await;
        assert!(order["statusDescription"].as_str().unwrap().contains(words), "{order}");
    }
    assert!(venue.world().account("K").unwrap().holdings.is_empty());
    let cheap = venue.place(&limit("BUY", 1, 0.1234)).await;
    assert_eq!(venue.order(cheap).await["status"], "WORKING");
}

#[tokio::test]
async fn a_doomed_order_promises_nothing_and_may_be_slow_to_die() {
    let venue = Venue::start().await;
    venue.world().set_setting("reject_after_ms", 60_000).unwrap();
    venue.place(&market("BUY", 5)).await;
    let doomed = venue.place(&limit("SELL", 6, 300.0)).await;
    assert_eq!(venue.order(doomed).await["status"], "PENDING_ACKNOWLEDGEMENT");
    let good = venue.place(&limit("SELL", 5, 300.0)).await;
    assert_eq!(venue.order(good).await["status"], "WORKING");
    let now = venue.world().look(|state| state.clock.now());
    venue.world().set_now(now + chrono::TimeDelta::seconds(61));
    assert_eq!(venue.order(doomed).await["status"], "REJECTED");
    assert_eq!(venue.order(good).await["status"], "WORKING");
}

#[tokio::test]
async fn a_bracket_waits_and_one_exit_ends_the_other() {
    let venue = Venue::start().await;
    let exits = oco(
        with(limit("SELL", 2, 200.0), json!({"duration": "GOOD_TILL_CANCEL"})),
        with(stop("SELL", 2, 180.0), json!({"duration": "GOOD_TILL_CANCEL"})),
    );
    let id = venue.place(&trigger(limit("BUY", 2, 190.0), exits)).await;
    let order = venue.order(id).await;
    assert_eq!((&order["orderStrategyType"], &order["status"]), (&json!("TRIGGER"), &json!("WORKING")));
    let pair = &order["childOrderStrategies"][0];
    assert_eq!((&pair["orderStrategyType"], pair.get("session")), (&json!("OCO"), None));
    let children = pair["childOrderStrategies"].as_array().unwrap();
    let shown =
        |order: &Value| [order["orderType"].clone(), order["status"].clone(), order["duration"].clone()];
    let gtc = "GOOD_TILL_CANCEL";
    assert_eq!(shown(&children[0]), ["LIMIT", "AWAITING_PARENT_ORDER", gtc]);
    assert_eq!(shown(&children[1]), ["STOP", "AWAITING_PARENT_ORDER", gtc]);
    let [gain, loss] = [0, 1].map(|at: usize| children[at]["orderId"].as_i64().unwrap());
    let wrapper = pair["orderId"].as_i64().unwrap();
    assert!(id < wrapper && wrapper < gain && gain < loss);
    assert_eq!(ids(&venue.list("").await), [id], "one request, one thing at the top of the list");
    assert_eq!(venue.order(wrapper).await, *pair);
    for stranger in [id - 1, wrapper + 2] {
        venue.cancel(stranger).await.refuses(404, "Order not found");
    }
    venue.world().set_price(&Price::flat("AAPL", d("190")));
    assert_eq!(venue.order(id).await["status"], "FILLED");
    assert_eq!(venue.order(gain).await["status"], "WORKING");
    venue.world().set_price(&Price::flat("AAPL", d("179.5")));
    assert_eq!(venue.order(loss).await["status"], "FILLED");
    assert_eq!(venue.order(gain).await["status"], "CANCELED");
    assert!(venue.world().account("K").unwrap().holdings.is_empty());
}

#[tokio::test]
async fn a_canceled_entry_takes_its_exits_along() {
    let venue = Venue::start().await;
    let id = venue.place(&trigger(limit("BUY", 2, 180.0), stop("SELL", 2, 170.0))).await;
    let child = venue.order(id).await["childOrderStrategies"][0]["orderId"].as_i64().unwrap();
    assert_eq!(venue.order(child).await["status"], "AWAITING_PARENT_ORDER");
    assert_eq!(venue.cancel(id).await.status, 200);
    assert_eq!(venue.order(child).await["status"], "CANCELED");
    let rejected = venue.place(&trigger(market("BUY", 1_000_000), stop("SELL", 2, 170.0))).await;
    let order = venue.until(rejected, "REJECTED").await;
    assert_eq!(order["childOrderStrategies"][0]["status"], "CANCELED");
}

#[tokio::test]
async fn two_exits_of_a_position_are_one_thing() {
    let venue = Venue::start().await;
    venue.place(&market("BUY", 10)).await;
    venue.world().set_fill_mode(None, FillMode::Manual);
    let reply = venue.ask(&oco(limit("SELL", 10, 200.0), stop("SELL", 10, 180.0))).await;
    let wrapper = reply.id();
    let pair = venue.order(wrapper).await;
    assert_eq!((&pair["orderStrategyType"], pair.get("orderLegCollection")), (&json!("OCO"), None));
    let children: Vec<i64> = ids(pair["childOrderStrategies"].as_array().unwrap());
    assert_eq!(venue.order(children[0]).await["orderStrategyType"], "SINGLE");
    assert_eq!(ids(&venue.list("").await)[0], wrapper);
    venue.world().fill(venue.schwab.order_of(children[0]).unwrap().id, Some(d("4")), d("200")).unwrap();
    assert_eq!(venue.order(children[1]).await["quantity"], json!(6.0));
    assert_eq!(venue.cancel(wrapper).await.status, 200);
    for child in children {
        assert_eq!(venue.order(child).await["status"], "CANCELED");
    }
    venue.cancel(wrapper).await.refuses(400, "cannot be canceled");
    let naked = venue.ask(&oco(limit("SELL", 100, 200.0), stop("SELL", 100, 180.0))).await.id();
    venue.world().set_setting("reject_after_ms", 0).unwrap();
    let pair = venue.order(naked).await;
    for child in ids(pair["childOrderStrategies"].as_array().unwrap()) {
        venue.until(child, "REJECTED").await;
    }
}

#[tokio::test]
async fn a_replacement_is_another_order_for_all_it_asks() {
    let venue = Venue::start().await;
    venue.world().set_fill_mode(None, FillMode::Manual);
    let old = venue.place(&limit("BUY", 10, 180.0)).await;
    venue.world().fill(venue.schwab.order_of(old).unwrap().id, Some(d("3")), d("180")).unwrap();
    let reply = venue.replace(old, &limit("BUY", 7, 181.5)).await;
    let new = reply.id();
    assert!(new > old);
    let (before, after) = (venue.order(old).await, venue.order(new).await);
    assert_eq!((&before["status"], &before["filledQuantity"]), (&json!("REPLACED"), &json!(3.0)));
    assert!(before["closeTime"].is_string());
    let shown = ["status", "quantity", "filledQuantity", "price"].map(|name| after[name].clone());
    assert_eq!(shown, [json!("WORKING"), json!(7.0), json!(0.0), json!(181.5)]);
    let changed = venue.replace(new, &market("BUY", 7)).await.id();
    assert_eq!(venue.order(changed).await["orderType"], "MARKET", "another type is another order");
    assert_eq!(ids(&venue.list("").await), [changed, new, old]);
    venue.replace(old, &limit("BUY", 7, 181.5)).await.refuses(400, "cannot be replaced");
    venue.replace(changed, &limit("SELL", 7, 181.5)).await.refuses(400, "cannot be replaced");
    venue
        .replace(changed, &with(limit("BUY", 7, 181.5), json!({"session": null})))
        .await
        .refuses(400, "session");
    let rejected = venue.replace(changed, &limit("BUY", 7_000, 181.5)).await.id();
    venue.until(rejected, "REJECTED").await;
    assert_eq!(venue.order(changed).await["status"], "WORKING", "what is rejected replaces nothing");
}

#[tokio::test]
async fn an_exit_is_replaced_within_its_family() {
    let venue = Venue::start().await;
    let exits = oco(limit("SELL", 2, 200.0), stop("SELL", 2, 180.0));
    let id = venue.place(&trigger(market("BUY", 2), exits)).await;
    let pair = venue.order(id).await["childOrderStrategies"][0].clone();
    let [gain, loss]: [i64; 2] = ids(pair["childOrderStrategies"].as_array().unwrap()).try_into().unwrap();
    let wrapper = pair["orderId"].as_i64().unwrap();
    let tighter = venue.replace(loss, &stop("SELL", 2, 185.0)).await.id();
    let farther = venue.replace(gain, &limit("SELL", 2, 210.0)).await.id();
    assert_eq!(
        ids(venue.order(wrapper).await["childOrderStrategies"].as_array().unwrap()),
        [farther, tighter]
    );
    assert_eq!(venue.order(id).await["childOrderStrategies"][0]["orderId"], json!(wrapper), "the pair stays");
    assert_eq!(ids(&venue.list("").await), [loss, gain, id], "what was replaced stands for itself");
    venue.world().set_price(&Price::flat("AAPL", d("184")));
    assert_eq!(venue.order(tighter).await["status"], "FILLED");
    assert_eq!(venue.order(farther).await["status"], "CANCELED");
}

#[tokio::test]
async fn lists_are_of_a_time_and_a_status() {
    let venue = Venue::start().await;
    let (a, b) = (venue.place(&limit("BUY", 1, 100.0)).await, venue.place(&market("BUY", 1)).await);
    assert_eq!(ids(&venue.list("").await), [b, a]);
    assert_eq!(ids(&venue.list("&status=FILLED").await), [b]);
    assert_eq!(ids(&venue.list("&maxResults=1").await), [b]);
    let orders = format!("/trader/v1/accounts/{}/orders", venue.hash);
    let (from, to) = ("fromEnteredTime=2024-06-06T13:46:03.000Z", "toEnteredTime=2024-06-07T13:46:03Z");
    assert_eq!(venue.get(&format!("{orders}?{from}&{to}")).await.json(), json!([]));
    for (query, words) in [
        (to.to_owned(), "fromEnteredTime must not be null"),
        (from.to_owned(), "toEnteredTime must not be null"),
        (format!("{from}&toEnteredTime=2024-06-07"), "toEnteredTime must be"),
        (format!("{from}&toEnteredTime=2024-06-07T13:46:03%2B0000"), "toEnteredTime must be"),
        (format!("{from}&toEnteredTime=2025-06-08T13:46:03.000Z"), "366 days"),
        (format!("{from}&{to}&status=OPEN"), "status is not"),
        (format!("{from}&{to}&maxResults=0"), "maxResults"),
        (format!("{from}&{to}&maxResults=3001"), "maxResults"),
    ] {
        venue.get(&format!("{orders}?{query}")).await.refuses(400, words);
    }
    venue.world().add_account(AccountSpec::new("L", "unused", d("1000")));
    let (both, _) = venue.log_in("K,L").await;
    let now = venue.world().look(|state| state.clock.now());
    let from = (now - chrono::TimeDelta::days(59)).format("%Y-%m-%dT%H:%M:%S%.3fZ");
    let to = (now + chrono::TimeDelta::hours(1)).format("%Y-%m-%dT%H:%M:%S%.3fZ");
    let all = format!("/trader/v1/orders?fromEnteredTime={from}&toEnteredTime={to}");
    assert_eq!(ids(venue.with_token(&both, Method::GET, &all).await.json().as_array().unwrap()), [b, a]);
    let from = (now - chrono::TimeDelta::days(61)).format("%Y-%m-%dT%H:%M:%S%.3fZ");
    let all = format!("/trader/v1/orders?fromEnteredTime={from}&toEnteredTime={to}");
    venue.with_token(&both, Method::GET, &all).await.refuses(400, "60 days");
}

#[tokio::test]
async fn a_list_may_be_behind_what_is_there() {
    let venue = Venue::start().await;
    venue.world().set_setting("list_lag_ms", 5_000).unwrap();
    let id = venue.place(&limit("BUY", 1, 100.0)).await;
    assert_eq!(venue.list("").await, Vec::<Value>::new());
    assert_eq!(venue.order(id).await["status"], "WORKING");
    let now = venue.world().look(|state| state.clock.now());
    venue.world().set_now(now + chrono::TimeDelta::seconds(6));
    assert_eq!(ids(&venue.list("").await), [id]);
}

#[tokio::test]
async fn a_cancel_is_asked_for_and_may_come_too_late() {
    let venue = Venue::start().await;
    venue.world().set_cancel_takes(5000);
    let id = venue.place(&limit("BUY", 1, 180.0)).await;
    let reply = venue.cancel(id).await;
    assert_eq!((reply.status, reply.text.as_str()), (200, ""));
    assert_eq!(venue.order(id).await["status"], "PENDING_CANCEL");
    venue.replace(id, &limit("BUY", 1, 181.0)).await.refuses(400, "cannot be replaced");
    venue.world().set_price(&Price::flat("AAPL", d("180")));
    assert_eq!(venue.order(id).await["status"], "FILLED");
    venue.cancel(id).await.refuses(400, "cannot be canceled");
    for stranger in [id + 1, id + 2, 7] {
        venue.cancel(stranger).await.refuses(404, "Order not found");
        let path = format!("/trader/v1/accounts/{}/orders/{stranger}", venue.hash);
        venue.get(&path).await.refuses(404, "Order not found");
    }
}

#[tokio::test]
async fn a_preview_says_what_would_become_of_an_order_and_places_none() {
    let venue = Venue::start().await;
    let path = format!("/trader/v1/accounts/{}/previewOrder", venue.hash);
    let fine = venue.post(&path, &limit("BUY", 10, 190.5)).await.json();
    assert_eq!((&fine["orderId"], &fine["orderStrategy"]["status"]), (&json!(0), &json!("ACCEPTED")));
    let balance = json!({
        "orderValue": 1905.0, "projectedAvailableFund": 99047.5, "projectedBuyingPower": 198095.0,
    });
    assert_eq!(fine["orderStrategy"]["orderBalance"], balance);
    assert_eq!(fine["orderValidationResult"]["rejects"], json!([]));
    let dear = venue.post(&path, &limit("BUY", 10_000, 190.5)).await.json();
    let reject = &dear["orderValidationResult"]["rejects"][0];
    assert_eq!(reject["originalSeverity"], "REJECT");
    assert!(reject["activityMessage"].as_str().unwrap().contains("buying power"));
    let exits = oco(limit("SELL", 2, 200.0), stop("SELL", 2, 180.0));
    assert_eq!(venue.post(&path, &trigger(market("BUY", 2), exits)).await.status, 200);
    assert_eq!(venue.world().orders(None), []);
}

#[tokio::test]
async fn the_journal_counts_what_was_taken() {
    let venue = Venue::start().await;
    venue.place(&market("BUY", 1)).await;
    venue.place(&limit("BUY", 1, 100.0)).await;
    venue.place(&limit("BUY", 1_000_000, 100.0)).await;
    assert_eq!(venue.ask(&json!({})).await.status, 400);
    let mut taken: Vec<Value> = Vec::new();
    for entry in venue.world().journal(0) {
        assert!(entry.account.is_none() || entry.account.as_deref() == Some("K"));
        if let Note::Order { event, order, .. } = entry.note
            && ["new", "accepted"].contains(&event.as_str())
        {
            taken.push(order["id"].clone());
        }
    }
    assert_eq!(taken, [1, 2, 3]);
    let worth = venue.world().orders(Some("K"));
    assert_eq!(
        worth.iter().filter(|order| order.status != Status::Rejected && order.why.is_none()).count(),
        2
    );
}
