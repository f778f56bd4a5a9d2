//! One intent through every rule; budget 5 us.

use std::hint::black_box;

use chrono::{DateTime, Utc};
use criterion::{Criterion, criterion_group, criterion_main};
use rust_decimal::Decimal;
use uuid::Uuid;

use trade_actors::domain::calendar::MarketStatus;
use trade_actors::domain::ids::{ConnectionId, SignalId, SourceId, UserId};
use trade_actors::domain::instrument::{AssetClass, Instrument, Symbol};
use trade_actors::domain::intent::Intent;
use trade_actors::domain::money::{Money, Net, Percent, Price, Quantity};
use trade_actors::domain::order::Mode;
use trade_actors::domain::portfolio::{Balance, Quote};
use trade_actors::domain::risk::day::Standing;
use trade_actors::domain::risk::{Limits, Snapshot, review};
use trade_actors::domain::signal::{Action, DeliveryKey, Instruction, OrderKind, Origin, Signal};
use trade_actors::domain::user::{Connection, Plan, Trading};

fn price(units: i64) -> Price {
    Price::new(Decimal::from(units)).expect("a price")
}

fn signal(symbol: Symbol, units: i64) -> Signal {
    Signal {
        id: SignalId::new(Uuid::from_u128(3)),
        source: SourceId::new(Uuid::from_u128(4)),
        origin: Origin::Tradingview,
        received_at: DateTime::UNIX_EPOCH,
        delivery: DeliveryKey::Named(1),
        instruction: Instruction {
            action: Action::Buy,
            symbol,
            quantity: Quantity::new(Decimal::from(units)).ok(),
            kind: OrderKind::Limit { limit: price(180) },
            reference: None,
            stop_loss: None,
            take_profits: Vec::new(),
            account: None,
            via: None,
            leverage: None,
        },
    }
}

fn snapshot<'a>(connection: &'a Connection, limits: &'a Limits, symbol: Symbol) -> Snapshot<'a> {
    let now: DateTime<Utc> = DateTime::UNIX_EPOCH;
    let lot = Quantity::new(Decimal::ONE).expect("a lot");
    let min_notional = Money::new(Decimal::ONE);
    let equity = Money::new(Decimal::from(10_000));
    Snapshot {
        now,
        received_at: now,
        connection,
        trading: &Trading::Active,
        own_halt: None,
        global_halt: None,
        suspended: None,
        plan: Plan::Free,
        limits,
        instrument: Some(Instrument {
            symbol,
            class: AssetClass::Equity,
            tick: Price::new(Decimal::new(1, 2)).expect("a tick"),
            lot,
            size_step: lot,
            min_notional,
            tradable: true,
        }),
        locked_out: None,
        quote: Some(Quote {
            symbol,
            price: price(180),
            bid: price(180),
            ask: price(180),
            change_pct: Percent::new(Decimal::ZERO),
            at: now,
        }),
        market: MarketStatus::Open,
        balance: Some(Balance {
            cash: equity,
            equity,
            buying_power: Money::new(Decimal::from(20_000)),
            at: now,
        }),
        reserved: Money::ZERO,
        position: Net::FLAT,
        pending: Net::FLAT,
        recent_orders: 1,
        source_limits: None,
        recent_from_source: 1,
        day: Some(Standing { opening: equity, equity, breached: None }),
        together: None,
    }
}

fn rules(criterion: &mut Criterion) {
    let symbol = "AAPL".parse().expect("a symbol");
    let connection = Connection::new(ConnectionId::new(Uuid::from_u128(2)), "paper", Mode::Paper);
    let limits = Limits::default();
    let seen = snapshot(&connection, &limits, symbol);
    let user = UserId::new(Uuid::from_u128(1));
    for (name, units) in [("passes", 5), ("is shrunk", 100), ("is denied", 1_000)] {
        let signal = signal(symbol, units);
        criterion.bench_function(&format!("an intent {name}"), |bencher| {
            bencher.iter(|| {
                let intent = Intent::draft(user, black_box(&signal), &seen).size(&signal, &seen);
                black_box(intent.and_then(|intent| review(intent, &seen)))
            });
        });
    }
}

criterion_group!(benches, rules);
criterion_main!(benches);
