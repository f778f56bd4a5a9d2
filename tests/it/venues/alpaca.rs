//! Alpaca, whose adapter has its own tests.

use trade_actors::domain::order::Mode;

use super::place::{Place, url};

pub(crate) const PLACE: Place = Place {
    name: "alpaca",
    mode: Mode::Paper,
    money: "USD",
    coin: "AAPL",
    per_coin: 100,
    key: ("PKTWELVESIGNALS", "a-secret-of-the-tests"),
    lead: |urls, config| {
        let url = url(urls, "url");
        let alpaca = &mut config.alpaca;
        alpaca.data_stream_url = url.replace("http://", "ws://");
        (alpaca.live_url, alpaca.paper_url, alpaca.data_url) = (url.clone(), url.clone(), url);
        // What the tests ask in seconds, a person asks in minutes.
        alpaca.requests_per_minute = 10_000;
    },
    orders: "POST /v2/orders",
};
