//! Alpaca, whose adapter has its own tests.

use trade_actors::domain::order::Mode;

use super::desk::Place;

pub(crate) const PLACE: Place = Place {
    name: "alpaca",
    mode: Mode::Paper,
    money: "USD",
    coin: "AAPL",
    per_coin: 100,
    key: ("PKTWELVESIGNALS", "a-secret-of-the-tests"),
    lead: |urls, config| {
        let url = urls["url"].as_str().unwrap();
        let alpaca = &mut config.alpaca;
        (alpaca.live_url, alpaca.paper_url, alpaca.data_url) =
            (url.to_owned(), url.to_owned(), url.to_owned());
        alpaca.data_stream_url = url.replace("http://", "ws://");
        // What the tests ask in seconds, a person asks in minutes.
        alpaca.requests_per_minute = 10_000;
    },
    orders: "POST /v2/orders",
};
