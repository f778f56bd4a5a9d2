//! Orders over HTTP: their shape, their lists, their families, their replacements.

use serde_json::{Value, json};
use venues::book::FillMode;
use venues::feed::Price;

use crate::support::{Venue, d, limit, market};

fn names(list: &Value) -> Vec<String> {
    let all = list.as_array().unwrap().iter();
    all.map(|order| order["client_order_id"].as_str().unwrap().to_owned()).collect()
}

fn path(order: &Value) -> String {
    format!("/v2/orders/{}", order["id"].as_str().unwrap())
}

#[tokio::test]
async fn an_order_has_alpacas_shape() {
    let venue = Venue::start().await;
    let order = venue.place(&limit("buy", "10", "180.50", "shape")).await;
    let expected = json!({
        "client_order_id": "shape", "symbol": "AAPL", "asset_class": "us_equity", "qty": "10", "notional": null,
        "filled_qty": "0", "filled_avg_price": null, "order_class": "", "order_type": "limit", "type": "limit",
        "side": "buy", "time_in_force": "day", "limit_price": "180.5", "stop_price": null, "status": "pending_new",
        "extended_hours": false, "legs": null, "trail_percent": null, "trail_price": null, "hwm": null,
        "filled_at": null, "canceled_at": null, "expired_at": null, "expires_at": null, "failed_at": null,
        "replaced_at": null, "replaced_by": null, "replaces": null, "position_intent": "buy_to_open",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&order[name], value, "{name}");
    }
    for name in ["id", "asset_id", "created_at", "updated_at", "submitted_at"] {
        assert!(order[name].is_string(), "{name}");
    }
    assert_eq!(order.as_object().unwrap().len(), expected.as_object().unwrap().len() + 5);
    assert_eq!(venue.get(&path(&order)).await.json()["status"], "new");
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_cut() {
    let venue = Venue::start().await;
    venue.world().set_price(&Price::flat("MSFT", d("400")));
    venue.place(&market("buy", "1", "a")).await;
    let second = venue.place(&limit("buy", "1", "1", "b")).await;
    let mut other = limit("buy", "1", "2", "c");
    other["symbol"] = json!("MSFT");
    venue.place(&other).await;
    venue.place(&limit("sell", "1", "300", "d")).await;
    let list = async |query: &str| names(&venue.get(&format!("/v2/orders?{query}")).await.json());
    assert_eq!(list("").await, ["d", "c", "b"]);
    assert_eq!(list("status=closed").await, ["a"]);
    assert_eq!(list("status=all&direction=asc").await, ["a", "b", "c", "d"]);
    assert_eq!(list("status=all&direction=asc&limit=2").await, ["a", "b"]);
    assert_eq!(list("status=all&symbols=MSFT,NONE").await, ["c"]);
    assert_eq!(list("status=all&side=sell").await, ["d"]);
    let time = second["submitted_at"].as_str().unwrap();
    assert_eq!(list(&format!("status=all&after={time}")).await, ["d", "c"], "after excludes");
    assert_eq!(list(&format!("status=all&until={time}")).await, ["a"], "until excludes");
}

#[tokio::test]
async fn a_bracket_is_nested_when_asked() {
    let venue = Venue::start().await;
    let mut bracket = limit("buy", "2", "190", "bracket");
    bracket["order_class"] = json!("bracket");
    bracket["take_profit"] = json!({"limit_price": "200"});
    bracket["stop_loss"] = json!({"stop_price": "180", "limit_price": "179"});
    let entry = venue.place(&bracket).await;
    let kinds: Vec<&Value> = entry["legs"].as_array().unwrap().iter().map(|leg| &leg["type"]).collect();
    assert_eq!(
        (&entry["order_class"], kinds),
        (&json!("bracket"), vec![&json!("limit"), &json!("stop_limit")])
    );
    assert_eq!(venue.get("/v2/orders").await.json().as_array().unwrap().len(), 3);
    assert_eq!(names(&venue.get("/v2/orders?nested=true").await.json()), ["bracket"]);
    assert_eq!(venue.get(&path(&entry)).await.json()["legs"], Value::Null);
    venue.world().set_price(&Price::flat("AAPL", d("190")));
    let nested = venue.get(&format!("{}?nested=true", path(&entry))).await.json();
    assert_eq!((&nested["status"], &nested["legs"][0]["status"]), (&json!("filled"), &json!("new")));
    let open = venue.get("/v2/orders?nested=true").await.json();
    assert_eq!(open.as_array().unwrap().len(), 2, "exits whose entry is closed stand for themselves");
    venue.world().set_price(&Price::flat("AAPL", d("179.5")));
    let nested = venue.get(&format!("{}?nested=true", path(&entry))).await.json();
    assert_eq!(
        (&nested["legs"][0]["status"], &nested["legs"][1]["status"]),
        (&json!("canceled"), &json!("filled"))
    );
    assert_eq!(nested["legs"][1]["filled_avg_price"], "179.5");
    assert_eq!(venue.get("/v2/positions").await.json(), json!([]));
}

#[tokio::test]
async fn two_exits_of_a_position_are_one_promise() {
    let venue = Venue::start().await;
    venue.place(&market("buy", "10", "entry")).await;
    let oco = json!({"symbol": "AAPL", "qty": "10", "side": "sell", "type": "limit", "time_in_force": "gtc",
        "order_class": "oco", "take_profit": {"limit_price": "200"}, "stop_loss": {"stop_price": "180"},
        "client_order_id": "exit"});
    venue.world().set_fill_mode(None, FillMode::Manual);
    let exit = venue.place(&oco).await;
    assert_eq!((&exit["limit_price"], &exit["legs"][0]["stop_price"]), (&json!("200"), &json!("180")));
    assert_eq!(venue.get("/v2/positions/AAPL").await.json()["qty_available"], "0");
    let id = venue.world().order("K", "exit").unwrap().id;
    venue.world().fill(id, Some(d("4")), d("200")).unwrap();
    let loss = venue.get(&path(&exit["legs"][0])).await.json();
    assert_eq!((&loss["qty"], &loss["status"]), (&json!("6"), &json!("new")));
    assert_eq!(venue.delete(&path(&loss)).await.status, 204);
    let gain = venue.get(&path(&exit)).await.json();
    assert_eq!((&gain["status"], &gain["filled_qty"]), (&json!("canceled"), &json!("4")));
}

#[tokio::test]
async fn one_exit_waits_for_its_entry() {
    let venue = Venue::start().await;
    let mut oto = market("buy", "1", "oto");
    oto["order_class"] = json!("oto");
    oto["stop_loss"] = json!({"stop_price": "180"});
    let entry = venue.place(&oto).await;
    assert_eq!((&entry["legs"][0]["status"], entry["legs"].as_array().unwrap().len()), (&json!("held"), 1));
    assert_eq!(venue.get(&path(&entry["legs"][0])).await.json()["status"], "new");
}

#[tokio::test]
async fn a_replacement_is_another_order() {
    let venue = Venue::start().await;
    let old = venue.place(&limit("buy", "10", "180", "old")).await;
    let change = json!({"qty": "12", "limit_price": 181.5, "time_in_force": "gtc", "client_order_id": "new"});
    let new = venue.patch(&path(&old), &change).await.json();
    let shown = ["qty", "limit_price", "time_in_force", "client_order_id"];
    assert_eq!(shown.map(|name| new[name].as_str().unwrap()), ["12", "181.5", "gtc", "new"]);
    assert_eq!(new["replaces"], old["id"]);
    let old = venue.get(&path(&old)).await.json();
    assert_eq!((&old["status"], &old["replaced_by"]), (&json!("replaced"), &new["id"]));
    venue.patch(&path(&old), &change).await.refuses(422, 42210000, "order is already in \"replaced\" state");
    let here = path(&new);
    venue.patch(&here, &json!({"client_order_id": "old"})).await.refuses(422, 40010001, "must be unique");
    venue.patch(&here, &json!({"qty": "12"})).await.refuses(422, 42210000, "parameters are not changed");
    venue.patch(&here, &json!({"limit_price": "1.001"})).await.refuses(422, 42210000, "sub-penny");
    venue.patch(&here, &json!({"stop_price": "1"})).await.refuses(422, 42210000, "does not fit");
    venue.patch(&here, &json!({"trail": "1"})).await.refuses(422, 42210000, "trail is only for");
    venue.patch(&here, &json!({"qty": "0"})).await.refuses(422, 42210000, "qty must be > 0");
    venue.patch(&here, &json!({"qty": "1.5"})).await.refuses(422, 42210000, "must be an integer");
    venue.patch(&here, &json!({"side": "sell"})).await.refuses(400, 40010000, "body format is invalid");
    venue.patch(&here, &json!({"qty": "100000"})).await.refuses(403, 40310000, "insufficient buying power");
    assert_eq!(venue.get(&here).await.json()["status"], "new");
    let money = json!({"symbol": "AAPL", "notional": "100", "side": "buy", "type": "limit", "limit_price": "1",
        "time_in_force": "day"});
    let money = venue.place(&money).await;
    assert_eq!((&money["notional"], &money["qty"]), (&json!("100"), &Value::Null));
    venue.patch(&path(&money), &json!({"limit_price": "2"})).await.refuses(
        422,
        42210000,
        "unable to replace",
    );
}

#[tokio::test]
async fn a_cancel_is_asked_for_and_may_come_too_late() {
    let venue = Venue::start().await;
    venue.world().set_cancel_takes(5000);
    let order = venue.place(&limit("buy", "1", "180", "race")).await;
    assert_eq!(venue.delete(&path(&order)).await.status, 204);
    assert_eq!(venue.get(&path(&order)).await.json()["status"], "pending_cancel");
    venue.world().set_price(&Price::flat("AAPL", d("180")));
    assert_eq!(venue.get(&path(&order)).await.json()["status"], "filled");
    venue.delete(&path(&order)).await.refuses(422, 42210000, "order is already in \"filled\" state");
}

#[tokio::test]
async fn all_orders_are_canceled_at_once() {
    let venue = Venue::start().await;
    let ids: Vec<Value> =
        [venue.place(&limit("buy", "1", "1", "a")).await, venue.place(&limit("buy", "1", "2", "b")).await]
            .map(|order| order["id"].clone())
            .into();
    let all = venue.delete("/v2/orders").await;
    assert_eq!(all.status, 207);
    let ended: Vec<Value> = all.json().as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ended, ids);
    assert!(all.json().as_array().unwrap().iter().all(|one| one["status"] == 200));
    assert_eq!(venue.get("/v2/orders").await.json(), json!([]));
    assert_eq!(venue.delete("/v2/orders").await.json(), json!([]));
}
