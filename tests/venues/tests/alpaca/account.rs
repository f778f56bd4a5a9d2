//! What an account owns, what happens to it outside, and how an application gets in.

use reqwest::Method;
use serde_json::json;
use venues::book::Side;
use venues::faults::Action;
use venues::faults::Rule;
use venues::feed::Price;
use venues::world::OutsideTrade;

use crate::support::{Reply, Venue, d, market};

#[tokio::test]
async fn an_account_shows_what_it_owns() {
    let venue = Venue::start().await;
    venue.world().set_price(&Price::flat("AAPL", d("100")));
    venue.place(&market("buy", "100", "long")).await;
    venue.world().set_price(&Price::flat("AAPL", d("110")));
    let account = venue.get("/v2/account").await.json();
    let shown = ["cash", "equity", "portfolio_value", "long_market_value", "buying_power", "multiplier"];
    let shown = shown.map(|name| account[name].as_str().unwrap());
    // Twice 101000, of which 11000 are invested.
    assert_eq!(shown, ["90000", "101000", "101000", "11000", "191000", "2"]);
    let position = venue.get("/v2/positions").await.json()[0].clone();
    let shown = ["qty", "avg_entry_price", "cost_basis", "market_value", "unrealized_pl", "unrealized_plpc"];
    let shown = shown.map(|name| position[name].as_str().unwrap());
    assert_eq!(shown, ["100", "100", "10000", "11000", "1000", "0.1"]);
    assert_eq!(venue.get("/v2/positions/AAPL").await.json(), position);
    let by_id = format!("/v2/positions/{}", position["asset_id"].as_str().unwrap());
    assert_eq!(venue.get(&by_id).await.json(), position);
}

#[tokio::test]
async fn money_and_trades_come_from_outside() {
    let venue = Venue::start().await;
    venue.world().deposit("K", d("50.5")).unwrap();
    venue.world().deposit("K", d("-100000")).unwrap();
    assert_eq!(venue.get("/v2/account").await.json()["cash"], "50.5");
    let trade = OutsideTrade { symbol: "AAPL".to_owned(), side: Side::Sell, qty: d("2"), price: d("190.25") };
    venue.world().trade_outside("K", &trade).unwrap();
    let position = venue.get("/v2/positions/AAPL").await.json();
    assert_eq!((&position["qty"], &position["side"]), (&json!("-2"), &json!("short")));
    assert_eq!(venue.get("/v2/account").await.json()["cash"], "431");
    assert_eq!(venue.get("/v2/orders?status=all").await.json(), json!([]), "no order says why");
    assert!(venue.world().deposit("nobody", d("1")).is_err());
    assert!(venue.world().trade_outside("nobody", &trade).is_err());
}

#[tokio::test]
async fn positions_are_closed_whole_and_in_part() {
    let venue = Venue::start().await;
    venue.place(&market("buy", "10", "entry")).await;
    venue.world().set_price(&Price::flat("MSFT", d("400")));
    let mut short = market("sell", "2", "short");
    short["symbol"] = json!("MSFT");
    venue.place(&short).await;
    let part = venue.delete("/v2/positions/AAPL?percentage=25").await.json();
    assert_eq!(
        (&part["qty"], &part["side"], &part["position_intent"]),
        (&json!("2.5"), &json!("sell"), &json!("sell_to_close"))
    );
    assert_eq!(venue.get("/v2/positions/AAPL").await.json()["qty"], "7.5");
    for wrong in ["qty=0", "percentage=101", "qty=1&percentage=1", "qty=x"] {
        venue.delete(&format!("/v2/positions/AAPL?{wrong}")).await.refuses(422, 42210000, "");
    }
    venue.delete("/v2/positions/AAPL?qty=8").await.refuses(403, 40310000, "insufficient qty available");
    let exit = json!({"symbol": "AAPL", "qty": "7", "side": "sell", "type": "limit", "time_in_force": "gtc",
        "limit_price": "300"});
    venue.place(&exit).await;
    venue.delete("/v2/positions/AAPL").await.refuses(403, 40310000, "insufficient qty available");
    let all = venue.delete("/v2/positions").await;
    assert_eq!(
        (all.status, &all.json()[0]["status"], &all.json()[1]["status"]),
        (207, &json!(403), &json!(200))
    );
    let all = venue.delete("/v2/positions?cancel_orders=true").await.json();
    assert_eq!((&all[0]["symbol"], &all[0]["status"]), (&json!("AAPL"), &json!(200)));
    assert_eq!(venue.get("/v2/positions").await.json(), json!([]));
}

#[tokio::test]
async fn fills_are_listed_page_by_page() {
    let venue = Venue::start().await;
    for qty in ["1", "2", "3"] {
        venue.place(&market("buy", qty, qty)).await;
    }
    let all = venue.get("/v2/account/activities/FILL").await.json();
    let quantities = |list: &serde_json::Value| {
        list.as_array()
            .unwrap()
            .iter()
            .map(|fill| fill["qty"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(quantities(&all), ["3", "2", "1"]);
    assert_eq!(
        (&all[0]["type"], &all[0]["cum_qty"], &all[0]["leaves_qty"]),
        (&json!("fill"), &json!("3"), &json!("0"))
    );
    let order = venue.get("/v2/orders:by_client_order_id?client_order_id=3").await.json();
    assert_eq!(all[0]["order_id"], order["id"]);
    let page = venue.get("/v2/account/activities/FILL?direction=asc&page_size=2").await.json();
    assert_eq!(quantities(&page), ["1", "2"]);
    let token = page[1]["id"].as_str().unwrap();
    let next = format!("/v2/account/activities?activity_types=FILL&direction=asc&page_token={token}");
    assert_eq!(quantities(&venue.get(&next).await.json()), ["3"]);
    venue.get("/v2/account/activities/FILL?page_size=101").await.refuses(422, 42210000, "page_size");
    venue.get("/v2/account/activities/FILL?page_token=x").await.refuses(422, 42210000, "page_token");
    assert_eq!(venue.get("/v2/account/activities/DIV").await.json(), json!([]));
    let after = all[0]["transaction_time"].as_str().unwrap();
    assert_eq!(venue.get(&format!("/v2/account/activities/FILL?after={after}")).await.json(), json!([]));
}

async fn exchange(venue: &Venue, fields: &str) -> Reply {
    let form = [("content-type", "application/x-www-form-urlencoded")];
    venue.send(Method::POST, "/oauth/token", &form, Some(fields)).await.unwrap()
}

/// Lets the user agree. Returns the code that the browser brings back.
async fn code(venue: &Venue) -> String {
    let no_redirects =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let query =
        "response_type=code&client_id=app&redirect_uri=http%3A%2F%2Fapp%2Fback&state=a%20b&scope=trading";
    let answer = no_redirects.get(format!("{}/oauth/authorize?{query}", venue.url)).send().await.unwrap();
    assert_eq!(answer.status(), 302);
    let back = answer.headers()["location"].to_str().unwrap().to_owned();
    let (code, state) = back.strip_prefix("http://app/back?code=").unwrap().split_once('&').unwrap();
    assert_eq!(state, "state=a%20b");
    code.to_owned()
}

#[tokio::test]
async fn an_application_gets_a_token_once_for_a_code() {
    let venue = Venue::start().await;
    venue.world().add_oauth_client("app", "hush");
    let fields = |code: &str, secret: &str, back: &str| {
        format!(
            "grant_type=authorization_code&code={code}&client_id=app&client_secret={secret}&redirect_uri={back}"
        )
    };
    let back = "http%3A%2F%2Fapp%2Fback";
    let good = code(&venue).await;
    exchange(&venue, &fields(&good, "wrong", back)).await.refuses(401, 40110000, "invalid_client");
    exchange(&venue, "grant_type=password").await.refuses(400, 40010000, "unsupported_grant_type");
    let granted = exchange(&venue, &fields(&good, "hush", back)).await;
    let body = granted.json();
    assert_eq!(
        (granted.status, &body["token_type"], &body["scope"]),
        (200, &json!("bearer"), &json!("trading"))
    );
    let bearer = format!("Bearer {}", body["access_token"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str())];
    let account = venue.send(Method::GET, "/v2/account", &headers, None).await.unwrap();
    assert_eq!(account.json(), venue.get("/v2/account").await.json());
    exchange(&venue, &fields(&good, "hush", back)).await.refuses(400, 40010000, "invalid_grant");
    let other = code(&venue).await;
    exchange(&venue, &fields(&other, "hush", "http%3A%2F%2Fevil")).await.refuses(
        400,
        40010000,
        "invalid_grant",
    );
    let stranger = "/oauth/authorize?response_type=code&client_id=other&redirect_uri=x&state=y";
    venue.get(stranger).await.refuses(401, 40110000, "invalid_client");
    venue.get("/oauth/authorize?client_id=app&state=y").await.refuses(
        400,
        40010000,
        "redirect_uri is required",
    );
    venue.world().add_fault(Rule::on("POST /oauth/token", Action::status(503)));
    assert_eq!(exchange(&venue, "").await.status, 503);
}

/// Where the browser is sent with a query, or the refusal.
async fn sent(venue: &Venue, query: &str) -> Result<String, u16> {
    let no_redirects =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = no_redirects.get(format!("{}/oauth/authorize?{query}", venue.url)).send().await.unwrap();
    match answer.headers().get("location") {
        Some(back) => Ok(back.to_str().unwrap().to_owned()),
        None => Err(answer.status().as_u16()),
    }
}

#[tokio::test]
async fn a_code_with_a_challenge_is_for_whoever_knows_its_verifier() {
    let venue = Venue::start().await;
    venue.world().add_oauth_client("app", "hush");
    // RFC 7636, appendix B.
    let (verifier, challenge) =
        ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    let base = "response_type=code&client_id=app&redirect_uri=http%3A%2F%2Fapp%2Fback&state=s";
    let challenged = format!("{base}&code_challenge={challenge}&code_challenge_method=S256");
    let asked = async |query: &str, with: &str| {
        let back = sent(&venue, query).await.unwrap();
        let code = back.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
        let form = "grant_type=authorization_code&client_id=app&client_secret=hush";
        exchange(&venue, &format!("{form}&redirect_uri=http%3A%2F%2Fapp%2Fback&code={code}{with}")).await
    };
    let known = format!("&code_verifier={verifier}");
    assert_eq!(asked(&challenged, &known).await.status, 200);
    asked(&challenged, "").await.refuses(400, 40010000, "invalid_grant");
    asked(&challenged, &format!("{known}x")).await.refuses(400, 40010000, "invalid_grant");
    asked(base, &known).await.refuses(400, 40010000, "invalid_grant");
    assert_eq!(sent(&venue, &format!("{base}&code_challenge={challenge}")).await, Err(400));
}

#[tokio::test]
async fn the_browser_is_sent_back_only_to_where_the_application_is_registered() {
    let venue = Venue::start().await;
    venue.world().add_oauth_client("app", "hush");
    venue.world().set_setting("redirect_uri", "https://app/back").unwrap();
    let query = |back: &str, more: &str| {
        format!("response_type=code&client_id=app&redirect_uri={back}&state=s{more}")
    };
    assert_eq!(sent(&venue, &query("https://evil/back", "")).await, Err(400));
    for wrong in ["&scope=everything", "&env=demo"] {
        assert_eq!(sent(&venue, &query("https://app/back", wrong)).await, Err(400), "{wrong}");
    }
    let back = sent(&venue, &query("https://app/back", "&scope=trading%20data&env=paper")).await.unwrap();
    assert!(back.starts_with("https://app/back?code=") && back.ends_with("&state=s"), "{back}");
    venue.world().set_setting("consent", "no").unwrap();
    let back = sent(&venue, &query("https://app/back", "")).await.unwrap();
    assert_eq!(back, "https://app/back?error=access_denied&state=s");
}
