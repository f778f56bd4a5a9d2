//! What goes wrong on purpose.

use venues::faults::{Action, Rule, When};

use crate::support::{Venue, market};

const ORDERS: &str = "POST /0/private/AddOrder";

#[tokio::test]
async fn troubles_are_told_in_its_words() {
    let venue = Venue::start().await;
    let fail = |action| venue.world().add_fault(Rule::on(ORDERS, action).times(1));
    fail(Action::status(520));
    let reply = venue.order(&market("buy", "0.01", "a")).await;
    assert_eq!((reply.status, reply.text.as_str()), (520, "<html><body><h1>520</h1></body></html>"));
    fail(Action::status(429));
    let reply = venue.order(&market("buy", "0.01", "a")).await;
    assert_eq!(reply.status, 429);
    assert!(reply.text.contains("EAPI:Rate limit exceeded"), "{}", reply.text);
    fail(Action::Duplicate);
    let reply = venue.order(&market("buy", "0.01", "a")).await;
    reply.refuses("EGeneral:Invalid arguments:cl_ord_id not unique");
    let message = "EService:Busy".to_owned();
    fail(Action::Refuse { status: 200, code: 0, message });
    venue.order(&market("buy", "0.01", "a")).await.refuses("EService:Busy");
    assert_eq!(venue.world().orders(None), []);
}

#[tokio::test]
async fn answers_are_lost_and_orders_are_not() {
    let venue = Venue::start().await;
    venue.world().add_fault(Rule::on(ORDERS, Action::Reset { when: When::After }).times(1));
    let params = format!("pair=XBTUSD&{}", market("buy", "0.01", "a"));
    venue.try_call("AddOrder", &params).await.unwrap_err();
    assert_eq!(venue.world().orders(None).len(), 1);
    venue.world().add_fault(Rule::on(ORDERS, Action::Reset { when: When::Before }).times(1));
    venue.try_call("AddOrder", &params).await.unwrap_err();
    assert_eq!(venue.world().orders(None).len(), 1);
    venue.world().add_fault(Rule::on(ORDERS, Action::Reject).times(1));
    let txid = venue.place(&market("buy", "0.01", "b")).await;
    assert_eq!(venue.shown(&txid).await["status"], "canceled");
}
