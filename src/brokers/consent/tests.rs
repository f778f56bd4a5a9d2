use super::*;
use crate::config::AlpacaConfig;

const BACK: &str = "https://t.example.com/oauth/callback";

fn set() -> BrokersConfig {
    let mut config = BrokersConfig {
        alpaca: AlpacaConfig {
            client_id: "app one".to_owned(),
            client_secret: Some(Secret::from("hush")),
            ..AlpacaConfig::default()
        },
        ..BrokersConfig::default()
    };
    (config.schwab.app_key, config.schwab.app_secret) = (Some("key".into()), Some("quiet".into()));
    config
}

fn application(broker: &str) -> Application {
    Consents::open(&set()).unwrap().get(broker, BACK).unwrap().clone()
}

fn query(url: &Url) -> BTreeMap<String, String> {
    url.query_pairs().into_owned().collect()
}

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, headers: HeaderMap::new(), body: body.as_bytes().to_vec() }
}

#[test]
fn what_is_not_set_is_named() {
    let consents = Consents::open(&BrokersConfig::default()).unwrap();
    let why = consents.get("alpaca", BACK).unwrap_err().to_string();
    assert!(why.contains("the operator has not set brokers.alpaca.client_id and"), "{why}");
    assert!(consents.get("schwab", BACK).unwrap_err().to_string().contains("brokers.schwab.app_key"));
    let why = consents.get("kraken", BACK).unwrap_err().to_string();
    assert!(why.starts_with("broker must be one of: alpaca, schwab;"), "{why}");
    let set = Consents::open(&set()).unwrap();
    assert_eq!(set.get("schwab", "http://127.0.0.1:8080/x").unwrap_err(), NoPage::NotHttps("Charles Schwab"));
    assert!(set.get("alpaca", "http://127.0.0.1:8080/x").is_ok());
}

#[test]
fn a_person_is_sent_to_the_brokers_page_with_all_that_it_wants() {
    let verifier = Verifier::random();
    assert_eq!(verifier.0.expose_secret().len(), VERIFIER);
    let page = application("alpaca").page(BACK, "st", Mode::Paper, &verifier);
    assert!(page.as_str().starts_with("https://app.alpaca.markets/oauth/authorize?response_type=code&"));
    let fields = query(&page);
    assert_eq!(
        ["client_id", "redirect_uri", "state", "scope", "env", "code_challenge_method"]
            .map(|name| fields[name].as_str()),
        ["app one", BACK, "st", "trading data", "paper", "S256"]
    );
    assert_eq!(fields["code_challenge"], verifier.challenge());
    let page = application("schwab").page(BACK, "st", Mode::Live, &verifier);
    assert!(page.as_str().starts_with("https://api.schwabapi.com/v1/oauth/authorize?"));
    let names: Vec<_> = query(&page).into_keys().collect();
    assert_eq!(names, ["client_id", "redirect_uri", "response_type", "state"]);
}

/// RFC 7636, appendix B.
#[test]
fn the_challenge_is_the_one_of_the_standard() {
    let verifier = Verifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into());
    assert_eq!(verifier.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    assert!(!format!("{verifier:?}").contains("dBjft"));
}

#[test]
fn the_application_proves_itself_as_the_broker_wants_it() {
    let verifier = Verifier::random();
    let sent = |broker| application(broker).request(&"C0.a@".into(), BACK, &verifier).unwrap();
    let (alpaca, schwab) = (sent("alpaca"), sent("schwab"));
    let form = String::from_utf8(alpaca.body).unwrap();
    assert!(form.contains("&client_id=app%20one&client_secret=hush&code_verifier="), "{form}");
    assert!(!alpaca.headers.contains_key(AUTHORIZATION));
    let form = String::from_utf8(schwab.body).unwrap();
    let back = "https%3A%2F%2Ft.example.com%2Foauth%2Fcallback";
    assert_eq!(form, format!("grant_type=authorization_code&code=C0.a%40&redirect_uri={back}"));
    assert_eq!(schwab.headers[AUTHORIZATION], "Basic a2V5OnF1aWV0");
    assert!(schwab.headers[AUTHORIZATION].is_sensitive());
}

#[test]
fn what_is_given_becomes_what_the_adapter_takes() {
    let (alpaca, schwab) = (application("alpaca"), application("schwab"));
    let given = r#"{"access_token":"a","refresh_token":"r","token_type":"Bearer","scope":"trading data","expires_in":1800}"#;
    assert_eq!(alpaca.read(reply(200, given)).unwrap().kind(), Kind::OAuth);
    assert_eq!(schwab.read(reply(200, given)).unwrap().kind(), Kind::Login);
    for (status, body, why) in [
        (200, r#"{"access_token":"a","scope":"data"}"#, ExchangeError::Narrow),
        (200, r#"{"access_token":"a b","scope":"trading"}"#, ExchangeError::Unreadable),
        (200, r#"{"access_token":"a","token_type":"mac"}"#, ExchangeError::Unreadable),
        (200, r#"{"token_type":"bearer"}"#, ExchangeError::Unreadable),
        (200, "<html>", ExchangeError::Unreadable),
        (302, "", ExchangeError::Unreadable),
        (401, "", ExchangeError::NotKnown),
        (400, r#"{"message":"invalid_client"}"#, ExchangeError::NotKnown),
        (400, r#"{"message":"invalid_grant"}"#, ExchangeError::Refused),
        (429, "", ExchangeError::Unavailable),
        (503, "", ExchangeError::Unavailable),
    ] {
        assert_eq!(alpaca.read(reply(status, body)).unwrap_err(), (status, why), "{body}");
    }
    assert!(schwab.read(reply(200, r#"{"access_token":"a"}"#)).is_err(), "it ends in half an hour");
}
