use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use chrono::TimeDelta;
use ed25519_dalek::{Signer as _, SigningKey};
use hyper::{HeaderMap, Method};
use serde_json::Value;

use super::*;
use crate::account::{AccountChange, AccountSpec, KeyRights};
use crate::feed::Price;
use crate::signed::Signed;

const NAME: &str = "organizations/1/apiKeys/2";
const AT: &str = "127.0.0.1:99";
const PLACE: &str = "/api/v3/brokerage/orders";

/// A venue with one account of 100,000 dollars, and its client.
struct Desk {
    world: Arc<World>,
    manners: Manners,
    key: SigningKey,
    tokens: AtomicU64,
}

impl Desk {
    fn open() -> Self {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = Signed(key.verifying_key().to_bytes().to_vec()).base64();
        let spec = AccountSpec::spot(NAME, &public, "USD", Decimal::from(100_000));
        let world = World::new(&Options { accounts: vec![spec], ..options() }).unwrap();
        world.set_price(&Price::flat("BTC/USD", Decimal::from(60_000)));
        Self { world, manners: Manners::default(), key, tokens: AtomicU64::new(0) }
    }

    /// Makes a token that names a request, made so many seconds later than now.
    fn token(&self, uri: &str, later: i64) -> String {
        let now = self.world.look(|state| state.clock.now()) + TimeDelta::seconds(later);
        let nonce = format!("{:032x}", self.tokens.fetch_add(1, Ordering::Relaxed));
        let head = json!({"alg": "EdDSA", "kid": NAME, "nonce": nonce, "typ": "JWT"});
        let (begins, ends) = (now.timestamp(), now.timestamp() + 120);
        let claims = json!({"sub": NAME, "iss": "cdp", "nbf": begins, "exp": ends, "uri": uri});
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(head), encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()).to_bytes());
        format!("{signed}.{signature}")
    }

    fn send(&self, method: &Method, target: &str, body: &str, token: &str) -> (u16, Value) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = HeaderMap::new();
        headers.insert("host", AT.parse().unwrap());
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        let request = Request {
            method: method.clone(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let answer = self.world.act(|state, now| self.manners.answer(state, now, &request));
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    fn get(&self, target: &str) -> (u16, Value) {
        let path = target.split('?').next().unwrap();
        self.send(&Method::GET, target, "", &self.token(&format!("GET {AT}{path}"), 0))
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(&Method::POST, path, &body.to_string(), &self.token(&format!("POST {AT}{path}"), 0))
    }

    fn order(&self, name: &str, product: &str, configuration: &Value) -> (u16, Value) {
        let order = json!({"client_order_id": name, "product_id": product, "side": "BUY",
                           "order_configuration": configuration});
        self.post(PLACE, &order)
    }
}

fn limit(size: &str, price: &str) -> Value {
    json!({"limit_limit_gtc": {"base_size": size, "limit_price": price, "post_only": false}})
}

#[test]
fn a_token_is_good_once_and_for_what_it_names() {
    let desk = Desk::open();
    let path = "/api/v3/brokerage/accounts";
    let uri = format!("GET {AT}{path}");
    let status = |token: &str| desk.send(&Method::GET, path, "", token).0;
    let token = desk.token(&uri, 0);
    assert_eq!((status(&token), status(&token)), (200, 401), "the second time it is not fresh");
    for wrong in
        [format!("POST {AT}{path}"), format!("GET {path}"), format!("{uri}?limit=250"), String::new()]
    {
        assert_eq!(status(&desk.token(&wrong, 0)), 401, "{wrong}");
    }
    assert_eq!(status(&desk.token(&format!("GET http://{AT}{path}"), 0)), 200);
    assert_eq!((status(&desk.token(&uri, 5)), status(&desk.token(&uri, -120))), (401, 401));
    assert_eq!(status(&desk.token(&uri, -119)), 200);
    assert_eq!(status("no token"), 401);
    desk.world.revoke(NAME, true).unwrap();
    assert_eq!(status(&desk.token(&uri, 0)), 401);
}

#[test]
fn a_key_does_what_it_may() {
    let desk = Desk::open();
    let rights = |key: KeyRights| {
        let change = AccountChange { key: Some(key), ..AccountChange::default() };
        desk.world.change_account(NAME, &change).unwrap();
    };
    rights(KeyRights { trade: false, ..KeyRights::default() });
    let (status, said) = desk.order("a", "BTC-USD", &limit("0.01", "50000"));
    assert_eq!((status, said["error"].as_str()), (403, Some("PERMISSION_DENIED")));
    assert_eq!(desk.get("/api/v3/brokerage/key_permissions").1["can_trade"], false);
    rights(KeyRights { read: false, ..KeyRights::default() });
    assert_eq!(desk.get("/api/v3/brokerage/accounts").0, 403);
    assert_eq!(desk.world.orders(None), []);
}

#[test]
fn what_cannot_be_read_is_an_error_and_what_is_not_taken_is_no_success() {
    let desk = Desk::open();
    let fields = |fields: Value| json!({"limit_limit_gtc": fields});
    let both = json!({"market_market_ioc": {"base_size": "1"}, "limit_limit_gtc": {"base_size": "1", "limit_price": "1"}});
    for unread in [
        json!({}),
        both,
        fields(json!({"base_size": 0.01, "limit_price": "50000"})),
        fields(json!({"base_size": "1e-2", "limit_price": "50000"})),
        fields(json!({"base_size": "0.01", "limit_price": "50000", "extra": 1})),
        fields(json!({"base_size": "0.01"})),
        json!({"sor_limit_ioc": {"base_size": "0.01", "limit_price": "50000", "post_only": true}}),
    ] {
        let (status, said) = desk.order("a", "BTC-USD", &unread);
        assert_eq!((status, said["error"].as_str()), (400, Some("INVALID_ARGUMENT")), "{unread}");
    }
    let failed = |product: &str, configuration: &Value| {
        let (status, said) = desk.order("a", product, configuration);
        assert_eq!((status, &said["success"]), (200, &json!(false)), "{said}");
        let why = &said["error_response"];
        (
            why["error"].as_str().unwrap().to_owned(),
            why["preview_failure_reason"].as_str().unwrap().to_owned(),
        )
    };
    let unknown = errors::UNKNOWN;
    for (product, configuration, error, preview) in [
        ("BTC-EUR", limit("0.01", "50000"), "INVALID_PRODUCT_ID", ""),
        ("BTC/USD", limit("0.01", "50000"), "INVALID_PRODUCT_ID", ""),
        ("BTC-USD", limit("0.01", "50000.001"), "INVALID_PRICE_PRECISION", ""),
        ("BTC-USD", limit("0.000000015", "50000"), "INVALID_SIZE_PRECISION", ""),
        ("BTC-USD", limit("0.00001", "50000"), unknown, "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL"),
        ("BTC-USD", limit("4000", "50000"), unknown, "PREVIEW_INVALID_BASE_SIZE_TOO_LARGE"),
        ("BTC-USD", limit("2", "50000"), "INSUFFICIENT_FUND", "PREVIEW_INSUFFICIENT_FUND"),
        ("BTC-USD", json!({"trigger_bracket_gtc": {}}), "UNSUPPORTED_ORDER_CONFIGURATION", ""),
    ] {
        assert_eq!(
            failed(product, &configuration),
            (error.to_owned(), preview.to_owned()),
            "{configuration}"
        );
    }
    desk.world.set_halted("BTC/USD", true);
    assert_eq!(failed("BTC-USD", &limit("0.01", "50000")).0, "ORDER_ENTRY_DISABLED");
    assert_eq!(desk.world.orders(None), []);
}

#[test]
fn a_repeated_name_is_answered_with_the_first_order() {
    let desk = Desk::open();
    let (_, first) = desk.order("a", "BTC-USD", &limit("0.01", "50000"));
    assert_eq!(
        (&first["success"], &first["success_response"]["client_order_id"]),
        (&json!(true), &json!("a"))
    );
    let (_, again) = desk.order("a", "BTC-USD", &limit("0.5", "40000"));
    assert_eq!(again, first);
    let id = &first["order_id"];
    let cancel = || desk.post("/api/v3/brokerage/orders/batch_cancel", &json!({"order_ids": [id]})).1;
    assert_eq!(cancel()["results"][0]["success"], true);
    assert_eq!(cancel()["results"][0]["failure_reason"], "INVALID_CANCEL_REQUEST");
    let (_, third) = desk.order("a", "BTC-USD", &limit("0.01", "50000"));
    assert_eq!((third, desk.world.orders(None).len()), (first, 1), "also when it is over");
}

#[test]
fn lists_have_pages_and_take_no_unknown_words() {
    let desk = Desk::open();
    let list = "/api/v3/brokerage/orders/historical/batch";
    for number in 0..5 {
        assert_eq!(desk.order(&format!("n{number}"), "BTC-USD", &limit("0.01", "50000")).0, 200);
    }
    let names = |said: &Value| -> Vec<String> {
        let orders = said["orders"].as_array().unwrap().iter();
        orders.map(|order| order["client_order_id"].as_str().unwrap().to_owned()).collect()
    };
    let (_, first) =
        desk.get(&format!("{list}?order_status=OPEN&product_ids=BTC-USD&product_ids=X-Y&limit=3"));
    assert_eq!(
        (names(&first), &first["has_next"]),
        (["n4", "n3", "n2"].map(str::to_owned).to_vec(), &json!(true))
    );
    let (_, rest) = desk.get(&format!("{list}?limit=3&cursor={}", first["cursor"].as_str().unwrap()));
    assert_eq!((names(&rest), &rest["has_next"]), (["n1", "n0"].map(str::to_owned).to_vec(), &json!(false)));
    assert_eq!(names(&desk.get(&format!("{list}?start_date=2999-01-01T00:00:00Z")).1).len(), 0);
    for bad in [
        "limit=0",
        "limit=251",
        "order_status=NEW",
        "client_order_id=n1",
        "start_date=now",
        "limit=1&limit=2",
    ] {
        assert_eq!(desk.get(&format!("{list}?{bad}")).0, 400, "{bad}");
    }
    assert_eq!(desk.get("/api/v3/brokerage/orders/historical/0c01bace-0000-4000-8000-0000000000ff").0, 404);
    assert_eq!(desk.get("/api/v3/brokerage/nothing").0, 404);
}
