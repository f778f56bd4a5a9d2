//! What Schwab refuses at once, the simulated one refuses; nothing of it is an order.

use reqwest::Method;
use serde_json::{Value, json};
use venues::account::AccountChange;
use venues::world::Instrument;

use crate::support::{Venue, limit, market, oco, stop, trigger, with};

async fn refuses_each(venue: &Venue, cases: Vec<(Value, &str)>) {
    for (body, words) in cases {
        let reply = venue.ask(&body).await;
        println!("{body} -> {}", reply.text);
        reply.refuses(400, words);
        assert_eq!(reply.header("location"), None);
        let preview = venue.post(&format!("/trader/v1/accounts/{}/previewOrder", venue.hash), &body).await;
        preview.refuses(400, words);
    }
    assert_eq!(venue.world().orders(None), [], "what is refused leaves nothing");
}

fn leg(changes: Value) -> Value {
    let mut order = market("BUY", 1);
    let leg = order["orderLegCollection"][0].clone();
    order["orderLegCollection"][0] = with(leg, changes);
    order
}

#[tokio::test]
async fn what_is_not_an_order_is_refused() {
    let venue = Venue::start().await;
    let bearer = format!("Bearer {}", venue.access);
    let path = format!("/trader/v1/accounts/{}/orders", venue.hash);
    for body in ["", "{", "[]", "null", "\"x\"", "{\"session\":\"NORMAL\",\"session\":\"NORMAL\"}"] {
        let headers = [("authorization", bearer.as_str())];
        venue.send(Method::POST, &path, &headers, Some(body)).await.unwrap().refuses(400, "validation error");
    }
    let order = || market("BUY", 1);
    refuses_each(
        &venue,
        vec![
            (with(order(), json!({"requestedDestination": "AUTO"})), "requestedDestination"),
            (with(order(), json!({"clientOrderId": "mine"})), "clientOrderId"),
            (with(order(), json!({"session": null})), "session must not be null"),
            (with(order(), json!({"duration": null})), "duration must not be null"),
            (with(order(), json!({"orderType": null})), "orderType must not be null"),
            (with(order(), json!({"orderStrategyType": null})), "orderStrategyType must not be null"),
            (with(order(), json!({"orderLegCollection": null})), "exactly one leg"),
            (with(order(), json!({"orderLegCollection": []})), "exactly one leg"),
            (with(order(), json!({"session": "normal"})), "normal"),
            (with(order(), json!({"duration": "GTC"})), "GTC"),
            (with(order(), json!({"orderType": "ICEBERG"})), "ICEBERG"),
            (with(order(), json!({"orderStrategyType": "CONDOR"})), "CONDOR"),
            (with(order(), json!({"complexOrderStrategyType": "VERTICAL"})), "VERTICAL"),
            (with(order(), json!({"quantity": 2})), "that of the leg"),
            (leg(json!({"quantity": 1.5})), "whole number of shares"),
            (leg(json!({"quantity": 0})), "whole number of shares"),
            (leg(json!({"quantity": -1})), "whole number of shares"),
            (leg(json!({"quantity": null})), "quantity"),
            (leg(json!({"instruction": "BUY_TO_OPEN"})), "BUY_TO_OPEN"),
            (leg(json!({"instrument": {"symbol": "ZZZZ", "assetType": "EQUITY"}})), "Invalid symbol: ZZZZ"),
            (leg(json!({"instrument": {"symbol": "AAPL", "assetType": "OPTION"}})), "OPTION"),
            (leg(json!({"instrument": {"symbol": "AAPL"}})), "assetType"),
        ],
    )
    .await;
}

#[tokio::test]
async fn prices_fit_their_type_and_hours_theirs() {
    let venue = Venue::start().await;
    let unfit = "prices do not fit";
    let trailing = json!({"orderType": "TRAILING_STOP", "stopPriceLinkBasis": "LAST", "stopPriceLinkType": "VALUE",
        "stopPriceOffset": 5});
    let trailing = || with(market("SELL", 1), trailing.clone());
    refuses_each(
        &venue,
        vec![
            (with(market("BUY", 1), json!({"price": 1})), unfit),
            (with(market("BUY", 1), json!({"orderType": "LIMIT"})), unfit),
            (with(limit("BUY", 1, 1.0), json!({"stopPrice": 1})), unfit),
            (with(limit("BUY", 1, 1.0), json!({"price": 0})), "price must be above zero"),
            (with(limit("BUY", 1, 1.0), json!({"price": "ten"})), "no decimal number"),
            (with(limit("BUY", 1, 1.0), json!({"stopType": "STANDARD"})), "stopType does not fit"),
            (with(market("BUY", 1), json!({"orderType": "STOP"})), unfit),
            (with(stop("BUY", 1, 200.0), json!({"orderType": "STOP_LIMIT"})), unfit),
            (with(stop("BUY", 1, 200.0), json!({"stopPrice": -1})), "stopPrice must be above zero"),
            (with(trailing(), json!({"stopPriceOffset": null})), "come together"),
            (with(trailing(), json!({"stopPriceLinkBasis": null})), "come together"),
            (with(trailing(), json!({"stopPriceLinkType": "TICK"})), "TICK"),
            (with(trailing(), json!({"stopPrice": 180})), unfit),
            (with(market("BUY", 1), json!({"session": "SEAMLESS"})), "must be LIMIT orders"),
            (with(stop("BUY", 1, 200.0), json!({"session": "AM"})), "must be LIMIT orders"),
            (
                with(limit("BUY", 1, 1.0), json!({"session": "PM", "duration": "GOOD_TILL_CANCEL"})),
                "AM and PM orders must be DAY",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn families_are_whole_and_belong_together() {
    let venue = Venue::start().await;
    let (gain, loss) = (|| limit("SELL", 2, 200.0), || stop("SELL", 2, 180.0));
    let other = || {
        let mut order = gain();
        order["orderLegCollection"][0]["instrument"]["symbol"] = json!("MSFT");
        order
    };
    venue.world().list(Instrument::new("MSFT"));
    let two = "two child order strategies and nothing else";
    refuses_each(
        &venue,
        vec![
            (with(market("BUY", 2), json!({"childOrderStrategies": [gain()]})), "does not fit SINGLE"),
            (json!({"orderStrategyType": "OCO"}), two),
            (json!({"orderStrategyType": "OCO", "childOrderStrategies": [gain()]}), two),
            (with(oco(gain(), loss()), json!({"session": "NORMAL"})), two),
            (oco(gain(), stop("SELL", 1, 180.0)), "must be for the same"),
            (oco(gain(), stop("BUY", 2, 200.0)), "must be for the same"),
            (oco(gain(), oco(gain(), loss())), "must be SINGLE"),
            (with(market("BUY", 2), json!({"orderStrategyType": "TRIGGER"})), "exactly one child"),
            (trigger(market("BUY", 2), trigger(gain(), loss())), "must be SINGLE or OCO"),
            (trigger(market("BUY", 2), stop("BUY", 2, 200.0)), "must be an exit"),
            (trigger(market("BUY", 2), stop("SELL", 3, 180.0)), "must be an exit"),
            (trigger(market("BUY", 2), other()), "must be an exit"),
            (trigger(market("BUY", 2), with(gain(), json!({"session": null}))), "session must not be null"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_account_that_may_not_trade_is_told_so_late() {
    let venue = Venue::start().await;
    let change = |blocked| AccountChange { trading_blocked: Some(blocked), ..AccountChange::default() };
    venue.world().change_account("K", &change(true)).unwrap();
    let id = venue.place(&market("BUY", 1)).await;
    assert!(venue.until(id, "REJECTED").await["statusDescription"].as_str().unwrap().contains("restricted"));
    let path = format!("/trader/v1/accounts/{}", venue.hash);
    let account = venue.get(&path).await.json();
    assert_eq!(account["securitiesAccount"]["isClosingOnlyRestricted"], json!(true));
    venue.world().change_account("K", &change(false)).unwrap();
    venue.world().list(Instrument { shortable: false, ..Instrument::new("AAPL") });
    let id = venue.place(&market("SELL_SHORT", 1)).await;
    venue.until(id, "REJECTED").await;
    venue.world().list(Instrument { tradable: false, ..Instrument::new("AAPL") });
    let id = venue.place(&market("BUY", 1)).await;
    venue.until(id, "REJECTED").await;
    venue.world().list(Instrument { active: false, ..Instrument::new("AAPL") });
    venue.ask(&market("BUY", 1)).await.refuses(400, "Invalid symbol");
}

#[tokio::test]
async fn a_position_is_closed_by_the_words_for_closing_it() {
    let venue = Venue::start().await;
    let rejected = async |order: Value| {
        let id = venue.place(&order).await;
        let order = venue.until(id, "REJECTED").await;
        assert!(order["statusDescription"].as_str().unwrap().contains("oversold"), "{order}");
    };
    venue.place(&market("BUY", 2)).await;
    rejected(market("SELL", 3)).await;
    rejected(market("SELL_SHORT", 1)).await;
    venue.place(&market("SELL", 2)).await;
    venue.place(&market("SELL_SHORT", 2)).await;
    rejected(market("BUY", 1)).await;
    rejected(market("SELL", 1)).await;
    rejected(market("BUY_TO_COVER", 3)).await;
    let id = venue.place(&market("BUY_TO_COVER", 2)).await;
    let order = venue.order(id).await;
    assert_eq!(
        (&order["status"], &order["orderLegCollection"][0]["positionEffect"]),
        (&json!("FILLED"), &json!("CLOSING"))
    );
    assert!(venue.world().account("K").unwrap().holdings.is_empty());
}
