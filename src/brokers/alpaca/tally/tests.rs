use super::*;
use proptest::prelude::*;
use serde_json::json;
use trade_actors::domain::ids::{ConnectionId, SignalId, UserId};
use uuid::Uuid;

fn our_id() -> ClientOrderId {
    let id = Uuid::from_u128;
    ClientOrderId::derive(UserId::new(id(1)), ConnectionId::new(id(2)), SignalId::new(id(3)), 0)
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

fn order(id: &str, client: &str, status: &str, filled: &str, average: Option<&str>) -> wire::Order {
    let value = json!({
        "id": id, "client_order_id": client, "symbol": "AAPL", "qty": "10", "filled_qty": filled,
        "filled_avg_price": average, "order_class": "", "side": "sell", "status": status, "type": "limit",
        "limit_price": "200", "updated_at": "2024-06-06T13:46:03.1Z", "legs": null
    });
    serde_json::from_value(value).unwrap()
}

fn pair(limit: (&str, &str), stop: (&str, &str)) -> wire::Order {
    let average = |filled: &str, price: &'static str| (filled != "0").then_some(price);
    let mut parent = order("limit", &our_id().to_string(), limit.0, limit.1, average(limit.1, "200"));
    parent.order_class = Some("oco".to_owned());
    let mut leg = order("stop", "a1b2", stop.0, stop.1, average(stop.1, "185"));
    leg.order_class = Some("oco".to_owned());
    parent.legs = Some(vec![leg]);
    parent
}

fn done(report: &OrderReport) -> Option<(String, String)> {
    report.done.map(|done| (done.quantity.to_string(), done.price.unwrap().to_string()))
}

fn sums(quantity: &str, price: &str) -> Option<(String, String)> {
    Some((quantity.to_owned(), price.to_owned()))
}

#[test]
fn an_order_is_ours_by_the_version_of_its_id() {
    let ours_is = |client: &str| ours(&order("1", client, "new", "0", None));
    assert_eq!(ours_is(&our_id().to_string()), Some(our_id()));
    assert_eq!(ours_is("904837e3-3b76-47ec-b432-046db621571b"), None, "made up by Alpaca");
    assert_eq!(ours_is("my-order"), None);
    assert_eq!(Tally::default().take(&order("1", "my-order", "new", "0", None), now()), None);
}

#[test]
fn what_was_done_is_never_taken_back() {
    let (mut tally, id) = (Tally::default(), our_id().to_string());
    let mut told = |status, filled, average| {
        let known = tally.take(&order("1", &id, status, filled, average), now()).unwrap();
        (known.report.state.clone(), done(&known.report))
    };
    assert_eq!(told("new", "0", None), (ReportedState::Open, None));
    assert_eq!(told("partially_filled", "4", Some("190.5")), (ReportedState::Open, sums("4", "190.5")));
    assert_eq!(told("new", "0", None), (ReportedState::Open, sums("4", "190.5")), "an older word");
    assert_eq!(told("filled", "10", Some("191.2")), (ReportedState::Filled, sums("10", "191.2")));
    assert_eq!(told("partially_filled", "4", Some("190.5")), (ReportedState::Filled, sums("10", "191.2")));
    assert_eq!(told("canceled", "4", Some("190.5")), (ReportedState::Filled, sums("10", "191.2")));
}

#[test]
fn a_fill_after_a_cancel_counts() {
    let (mut tally, id) = (Tally::default(), our_id().to_string());
    tally.take(&order("1", &id, "canceled", "0", None), now()).unwrap();
    let known = tally.take(&order("1", &id, "filled", "10", Some("190")), now()).unwrap();
    assert_eq!((known.report.state.clone(), done(&known.report)), (ReportedState::Filled, sums("10", "190")));
}

#[test]
fn the_legs_of_a_pair_are_one_order() {
    let cases = [
        (("new", "0"), ("held", "0"), ReportedState::Open, None),
        (("partially_filled", "4"), ("new", "0"), ReportedState::Open, sums("4", "200")),
        (("filled", "10"), ("canceled", "0"), ReportedState::Filled, sums("10", "200")),
        (("canceled", "0"), ("filled", "10"), ReportedState::Filled, sums("10", "185")),
        (("canceled", "4"), ("new", "0"), ReportedState::Open, sums("4", "200")),
        (("canceled", "4"), ("filled", "6"), ReportedState::Filled, sums("10", "191")),
        (("canceled", "0"), ("canceled", "0"), ReportedState::Canceled, None),
        (("expired", "0"), ("expired", "0"), ReportedState::Expired, None),
        (("filled", "10"), ("new", "0"), ReportedState::Filled, sums("10", "200")),
    ];
    for (limit, stop, state, sum) in cases {
        let known = Tally::default().take(&pair(limit, stop), now()).unwrap();
        assert_eq!((known.report.state.clone(), done(&known.report)), (state, sum), "{limit:?} {stop:?}");
        assert_eq!(known.missing, None);
        assert_eq!(known.report.broker_order.as_str(), "limit");
    }
}

#[test]
fn a_pair_without_its_stop_is_open_until_that_is_known() {
    let mut tally = Tally::default();
    let mut alone = pair(("canceled", "0"), ("new", "0"));
    alone.legs = None;
    let known = tally.take(&alone, now()).unwrap();
    assert_eq!(known.report.state, ReportedState::Open);
    assert_eq!(known.missing, Some(Missing::Legs("limit".to_owned())));
    let known = tally.take(&pair(("canceled", "0"), ("new", "0")), now()).unwrap();
    assert_eq!((known.report.state, known.missing), (ReportedState::Open, None));
    // From now on the stop's own news are ours.
    let stop = order("stop", "a1b2", "filled", "10", Some("184.9"));
    let known = tally.take(&stop, now()).unwrap();
    assert_eq!(known.report.order, our_id());
    assert_eq!(
        (known.report.state.clone(), done(&known.report)),
        (ReportedState::Filled, sums("10", "184.9"))
    );
}

#[test]
fn a_pair_whose_head_alone_was_seen_to_end_is_asked_for_its_leg() {
    let mut tally = Tally::default();
    assert_eq!(tally.take(&pair(("new", "0"), ("held", "0")), now()).unwrap().missing, None);
    // The stop has sold all of it, and the stream that would have said so was down.
    let mut head = pair(("canceled", "0"), ("filled", "10"));
    let legs = head.legs.take();
    let known = tally.take(&head, now()).unwrap();
    assert_eq!(known.report.state, ReportedState::Open, "how much of it was sold is not known");
    assert_eq!(known.missing, Some(Missing::Legs("limit".to_owned())));
    head.legs = legs;
    let known = tally.take(&head, now()).unwrap();
    assert_eq!((known.report.state.clone(), known.missing), (ReportedState::Filled, None));
    assert_eq!(done(&known.report), sums("10", "185"));
}

#[test]
fn a_replaced_order_lives_on_in_its_successor() {
    let mut tally = Tally::default();
    let id = our_id().to_string();
    let mut replaced = order("1", &id, "replaced", "3", Some("190"));
    replaced.replaced_by = Some("2".to_owned());
    let known = tally.take(&replaced, now()).unwrap();
    assert_eq!(known.report.state, ReportedState::Open);
    assert_eq!(known.missing, Some(Missing::Replacement("2".to_owned())));
    let known = tally.take(&order("2", "dashboard", "new", "0", None), now()).unwrap();
    assert_eq!((known.report.state.clone(), known.missing), (ReportedState::Open, None));
    assert_eq!(done(&known.report), sums("3", "190"));
    assert_eq!(tally.newest(our_id()).as_deref(), Some("2"));
    let known = tally.take(&order("2", "dashboard", "canceled", "5", Some("191")), now()).unwrap();
    assert_eq!(
        (known.report.state.clone(), done(&known.report)),
        (ReportedState::Canceled, sums("5", "191"))
    );
    // The old one's news change nothing any more.
    let known = tally.take(&replaced, now()).unwrap();
    assert_eq!((known.report.state, known.missing), (ReportedState::Canceled, None));
}

#[test]
fn a_rejection_after_the_fact_says_what_to_do() {
    let known =
        Tally::default().take(&order("1", &our_id().to_string(), "rejected", "0", None), now()).unwrap();
    let ReportedState::Rejected(refusal) = known.report.state else { panic!() };
    assert_eq!(refusal.code, RefusalCode::OrderRejected);
    assert!(refusal.message.contains("Nothing was executed"));
}

#[test]
fn only_open_buys_hold_money_back() {
    let mut tally = Tally::default();
    let mut buy = order("1", &our_id().to_string(), "partially_filled", "4", Some("199"));
    buy.side = Some("buy".to_owned());
    tally.take(&buy, now());
    assert_eq!(tally.held().get(&our_id()), Some(&Money::new(Decimal::from(1_200))));
    tally.listed(&BTreeSet::new());
    assert!(tally.held().is_empty());
    tally.take(&buy, now());
    buy.status = "canceled".to_owned();
    tally.take(&buy, now());
    assert!(tally.held().is_empty());
}

#[test]
fn ended_orders_are_forgotten_in_time() {
    let mut tally = Tally::default();
    for leg in 0..600_u16 {
        let id = Uuid::from_u128;
        let client =
            ClientOrderId::derive(UserId::new(id(1)), ConnectionId::new(id(2)), SignalId::new(id(3)), leg);
        tally.take(&order(&leg.to_string(), &client.to_string(), "filled", "10", Some("1")), now());
    }
    assert_eq!((tally.families.len(), tally.owners.len()), (REMEMBERED, REMEMBERED));
}

fn any_status() -> impl Strategy<Value = String> {
    const KNOWN: &[&str] = &[
        "pending_new",
        "new",
        "accepted",
        "accepted_for_bidding",
        "held",
        "stopped",
        "suspended",
        "calculated",
        "done_for_day",
        "pending_cancel",
        "pending_replace",
        "pending_review",
        "partially_filled",
        "filled",
        "canceled",
        "expired",
        "rejected",
        "replaced",
    ];
    prop_oneof![
        9 => proptest::sample::select(KNOWN).prop_map(str::to_owned),
        1 => "[a-z_]{0,12}",
    ]
}

proptest! {
    /// Whatever Alpaca says, in whatever order: what is done never falls, and what has ended never opens again.
    #[test]
    fn the_sum_never_falls(news in proptest::collection::vec((any::<bool>(), any_status(), 0_u32..=10), 1..40)) {
        let mut tally = Tally::default();
        tally.take(&pair(("new", "0"), ("new", "0")), now());
        let (mut sum, mut ended) = (Quantity::ZERO, false);
        for (is_stop, status, filled) in news {
            let (id, client) = if is_stop { ("stop", "a1b2".to_owned()) } else { ("limit", our_id().to_string()) };
            let known = tally.take(&order(id, &client, &status, &filled.to_string(), Some("190")), now()).unwrap();
            let next = known.report.done.map_or(Quantity::ZERO, |done| done.quantity);
            prop_assert!(next >= sum);
            let is_open = known.report.state == ReportedState::Open;
            prop_assert!(!(ended && is_open), "{status}");
            (sum, ended) = (next, !is_open);
        }
    }
}
