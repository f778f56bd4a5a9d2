// The dashboard's promises that need no browser: run with `node --test tests/it/dashboard.test.mjs`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { BACKOFF_S, Connection, backoffMs } from "../../src/web/assets/connection.js";
import * as format from "../../src/web/assets/format.js";
import { stopChange } from "../../src/web/assets/position-dialogs.js";
import {
  TRADES_KEPT, announcement, initial, isByRules, isHalted, isOwn, isReachable, reduce, watched,
} from "../../src/web/assets/state.js";
import { haltTitle } from "../../src/web/assets/view-header.js";
import { protectionLines } from "../../src/web/assets/view-positions.js";

const PORTFOLIO = {
  cash: "50000", equity: "50000", buying_power: "50000", positions_value: "0", day_pnl: "0", unrealized_pnl: "0",
  realized_pnl: "0", currency: "USD", as_of: "2026-01-05T14:30:00Z",
};

function envelope(type, seq, data = {}) {
  return { v: 1, seq, ts: "2026-01-05T14:30:00.000Z", type, data };
}

function sync(seq, data = {}) {
  return envelope("state.sync", seq, {
    user: { id: "u1", name: "Owner", role: "owner" }, mode: "paper", trading: { state: "active" }, global_halt: false,
    portfolio: PORTFOLIO, positions: [], trades: [], signals: [], sources: [], quotes: [], server: { version: "1" }, ...data,
  });
}

function trade(id, status, minute = 0, more = {}) {
  const at = `2026-01-05T14:${String(minute).padStart(2, "0")}:00Z`;
  return { id, status, symbol: "AAPL", side: "buy", quantity: "10", created_at: at, updated_at: at, ...more };
}

const played = (...envelopes) => envelopes.reduce(reduce, initial());

test("events count up from the sync and each is applied once", () => {
  const state = played(sync(7), envelope("trade.created", 8, trade("t1", "pending")));
  assert.equal(state.seq, 8);
  const again = reduce(state, envelope("trade.cancelled", 8, trade("t1", "cancelled")));
  assert.equal(again, state);
  assert.equal(state.trades[0].status, "pending");
});

test("a missing event sets the gap, applies nothing, and only a full sync mends it", () => {
  const state = played(sync(7), envelope("trade.filled", 9, trade("t1", "filled")));
  assert.equal(state.gap, true);
  assert.equal(state.seq, 7);
  assert.deepEqual(state.trades, []);
  const mended = reduce(state, sync(9, { trades: [trade("t1", "filled")] }));
  assert.equal(mended.gap, false);
  assert.equal(mended.seq, 9);
  assert.equal(mended.trades.length, 1);
});

test("conflated updates leave the sequence alone and replace what they carry", () => {
  const richer = { ...PORTFOLIO, cash: "32000", as_of: "2026-01-05T14:31:00Z" };
  const position = { symbol: "AAPL", quantity: "100", market_value: "18000" };
  const state = played(sync(7, { positions: [{ symbol: "TSLA" }] }),
    envelope("portfolio.updated", 9, { portfolio: richer, positions: [position] }));
  assert.equal(state.seq, 7);
  assert.equal(state.gap, false);
  assert.equal(state.portfolio.cash, "32000");
  assert.deepEqual(state.positions, [position]);
});

test("before the first sync no event is applied", () => {
  const state = played(envelope("trade.created", 1, trade("t1", "pending")));
  assert.deepEqual(state.trades, []);
});

test("a trade is found by its id and stays one row through its life, newest first", () => {
  const state = played(sync(0, { trades: [trade("t0", "filled", 1)] }),
    envelope("trade.created", 1, trade("t1", "pending", 2)),
    envelope("trade.submitted", 2, trade("t1", "submitted", 2)),
    envelope("trade.filled", 3, { ...trade("t1", "filled", 2), fill: { price: "175.20" } }));
  assert.deepEqual(state.trades.map((t) => [t.id, t.status]), [["t1", "filled"], ["t0", "filled"]]);
  assert.equal("fill" in state.trades[0], false);
});

test("old closed trades go, an old open order stays", () => {
  const many = Array.from({ length: TRADES_KEPT }, (_, i) => trade(`t${i}`, "filled", 1 + (i % 50)));
  const state = played(sync(0, { trades: [...many, trade("waiting", "submitted", 0), trade("gone", "filled", 0)] }));
  assert.equal(state.trades.length, TRADES_KEPT + 1);
  assert.ok(state.trades.some((t) => t.id === "waiting"));
  assert.ok(!state.trades.some((t) => t.id === "gone"));
});

test("positions open, change and close by symbol", () => {
  const opened = played(sync(0), envelope("portfolio.position.opened", 1, { symbol: "AAPL", quantity: "1" }),
    envelope("portfolio.position.modified", 2, { symbol: "AAPL", quantity: "3" }));
  assert.deepEqual(opened.positions, [{ symbol: "AAPL", quantity: "3" }]);
  const closed = reduce(opened, envelope("portfolio.position.closed", 3, { symbol: "AAPL", realized_pnl: "5" }));
  assert.deepEqual(closed.positions, []);
});

test("one symbol at two accounts is two positions, and an event keeps what protects one", () => {
  const here = { connection_id: "c1", symbol: "AAPL", quantity: "1", stop_loss: "180", broker: "paper" };
  const there = { connection_id: "c2", symbol: "AAPL", quantity: "5", stop_loss: null, broker: "alpaca" };
  const state = played(sync(0, { account: "c1", positions: [here, there] }),
    envelope("portfolio.position.modified", 1, { connection_id: "c1", symbol: "AAPL", quantity: "3" }));
  assert.deepEqual(state.positions, [{ ...here, quantity: "3" }, there]);
  assert.deepEqual(state.positions.map((p) => isReachable(state, p)), [true, false]);
  const closed = reduce(state, envelope("portfolio.position.closed", 2, { connection_id: "c2", symbol: "AAPL" }));
  assert.deepEqual(closed.positions.map((p) => p.connection_id), ["c1"]);
});

test("a halt for losses is told from one's own, stands before it, and leaves it behind", () => {
  const fact = { scope: "user", by: "risk", reason: "Account under review.", at: "2026-01-05T14:30:00Z" };
  const own = envelope("risk.halted", 1, { ...fact, by: "Owner", reason: "news", cause: "person" });
  const ruled = (seq) => envelope("risk.halted", seq, { ...fact, cause: "circuit_breaker" });
  const both = played(sync(0), own, ruled(2));
  assert.ok(isByRules(both.trading) && isHalted(both));
  assert.equal(haltTitle(true, both.trading), "Account under review.");
  const after = reduce(both, envelope("risk.resumed", 3, { scope: "user" }));
  assert.deepEqual([after.trading.by, isByRules(after.trading), isHalted(after)], ["Owner", false, true]);
  const alone = played(sync(0), ruled(1));
  const behind = reduce(alone, { ...own, seq: 2 });
  assert.ok(isByRules(behind.trading), "one's own halt does not hide why nothing may be resumed");
  assert.equal(reduce(behind, envelope("risk.resumed", 3, { scope: "user" })).trading.by, "Owner");
  assert.ok(!isHalted(reduce(alone, envelope("risk.resumed", 2, { scope: "user" }))));
  const synced = played(sync(0, { trading: { state: "halted", cause: "daily_loss" }, own_halt: { state: "halted", by: "Owner", cause: "person" } }));
  assert.equal(reduce(synced, envelope("risk.resumed", 1, { scope: "user" })).trading.by, "Owner");
});

test("what protects or leaves a position is not mistaken for an order of one's own", () => {
  const label = (purpose, order_type) => format.purposeLabel({ purpose, order_type });
  assert.deepEqual([label("signal", "stop"), label("protection", "stop"), label("protection", "limit")], ["", "Stop", "Target"]);
  assert.deepEqual([label("protection", "oco"), label("exit", "market"), label(undefined, "market")], ["Stop + target", "Exit", ""]);
  assert.deepEqual(["signal", "protection", "exit", undefined].map((purpose) => isOwn({ purpose })), [true, false, false, true]);
  const said = announcement(envelope("trade.rejected", 1, { symbol: "SPY", purpose: "protection", order_type: "stop", reason: "no" }));
  assert.equal(said.title, "SPY stop rejected");
});

test("what protects a position reads at a glance, and a typed stop is a price or nothing", () => {
  assert.deepEqual(protectionLines({ stop_loss: null, take_profits: [] }), ["No stop"]);
  assert.deepEqual(protectionLines({ stop_loss: "180", trail_percent: "2", take_profits: ["200", "210.5"] }),
    ["Stop 180.00", "trails by 2%", "Target 200.00, 210.50"]);
  assert.deepEqual(stopChange(" 1,185.50 "), { stop_loss: "1185.50" });
  assert.deepEqual(stopChange("  "), { stop_loss: null });
  for (const odd of ["-5", "+5", "1e3", "abc", "12.3.4"]) assert.equal(stopChange(odd), null, odd);
});

test("a repeated delivery is counted and does not hide what became of the first", () => {
  const first = { id: "s1", symbol: "AAPL", outcome: "accepted", order_id: "t1" };
  const state = played(sync(0), envelope("signal.received", 1, first),
    envelope("signal.received", 2, { ...first, outcome: "duplicate", order_id: null }));
  assert.equal(state.signals.length, 1);
  assert.deepEqual(state.signals[0], { ...first, repeats: 1 });
});

test("a signal learns its order from the trade", () => {
  const state = played(sync(0), envelope("signal.received", 1, { id: "s1", outcome: "pending" }),
    envelope("trade.created", 2, trade("t1", "pending", 0, { signal_id: "s1" })));
  assert.equal(state.signals[0].order_id, "t1");
});

test("the user's halt and the operator's are kept apart", () => {
  const fact = { by: "Owner", reason: "news", at: "2026-01-05T14:30:00Z" };
  const both = played(sync(0), envelope("risk.halted", 1, { scope: "user", ...fact }),
    envelope("risk.halted", 2, { scope: "global", ...fact, by: "operator" }));
  assert.equal(both.trading.by, "Owner");
  assert.equal(both.globalHalt.by, "operator");
  const own = reduce(both, envelope("risk.resumed", 3, { scope: "user", ...fact }));
  assert.ok(isHalted(own));
  assert.ok(!isHalted(reduce(own, envelope("risk.resumed", 4, { scope: "global" }))));
});

test("the curve grows with time only and stays bounded", () => {
  let state = played(sync(0));
  for (let i = 0; i < 2_000; i += 1) {
    const as_of = new Date(Date.UTC(2026, 0, 5, 15) + i * 1000).toISOString();
    state = reduce(state, envelope("portfolio.updated", 0, { portfolio: { ...PORTFOLIO, as_of }, positions: [] }));
  }
  assert.ok(state.curve.length <= 600);
  assert.ok(state.curve.every((point, i) => i === 0 || point.at > state.curve[i - 1].at));
  assert.equal(state.curve[0].at, Date.parse(PORTFOLIO.as_of));
  const older = envelope("portfolio.updated", 0, { portfolio: PORTFOLIO, positions: [] });
  assert.equal(reduce(state, older).curve, state.curve);
});

test("quotes are watched for what is held and what is listed, once each", () => {
  const state = played(sync(0, { quotes: [{ symbol: "TSLA" }, { symbol: "AAPL" }], positions: [{ symbol: "AAPL" }, { symbol: "BTC/USDT" }] }));
  assert.deepEqual(watched(state), ["AAPL", "BTC/USDT", "TSLA"]);
});

test("unknown and empty envelopes change nothing", () => {
  const state = played(sync(3));
  for (const odd of [undefined, null, {}, { type: 4 }, envelope("market.moon", 3), { type: "market.quote", seq: 3 }]) {
    assert.equal(reduce(state, odd), state);
  }
});

test("a refusal is announced with its reason, a fill is not shouted", () => {
  const said = announcement(envelope("trade.rejected", 1, { symbol: "SPY", reason: "over the limit" }));
  assert.deepEqual(said, { level: "warning", title: "SPY order rejected", message: "over the limit" });
  assert.equal(announcement(envelope("trade.filled", 1, trade("t1", "filled"))), null);
});

test("money is rounded on digits, not on floats", () => {
  assert.equal(format.money("50000.5"), "$50,000.50");
  assert.equal(format.money("0.005"), "$0.01");
  assert.equal(format.money("1.005"), "$1.01");
  assert.equal(format.money("-1234567.891"), "\u2212$1,234,567.89");
  assert.equal(format.money("90071992547409930.13"), "$90,071,992,547,409,930.13");
  assert.equal(format.money("999.999"), "$1,000.00");
  assert.equal(format.money("-0.001"), "$0.00");
  assert.equal(format.money("12", { plus: true }), "+$12.00");
  assert.equal(format.money("0", { plus: true }), "$0.00");
  assert.equal(format.money("5", { currency: "EUR" }), "5.00\u00a0EUR");
  for (const odd of [null, undefined, "", "1e5", "NaN", "abc"]) assert.equal(format.money(odd), "\u2013");
});

test("prices and quantities keep the digits that matter", () => {
  assert.equal(format.price("175"), "175.00");
  assert.equal(format.price("61240.50000"), "61,240.50");
  assert.equal(format.price("1.23456"), "1.2346");
  assert.equal(format.price("0.00001234"), "0.00001234");
  assert.equal(format.quantity("100.000"), "100");
  assert.equal(format.quantity("0.12500000"), "0.125");
  assert.equal(format.quantity("1234567"), "1,234,567");
  assert.equal(format.percent("1.5"), "+1.50%");
  assert.equal(format.percent("-0.534"), "\u22120.53%");
});

test("decimals compare exactly whatever their length", () => {
  assert.equal(format.compare("1.10", "1.1"), 0);
  assert.equal(format.compare("-2", "-1.9"), -1);
  assert.equal(format.compare("90071992547409930.02", "90071992547409930.01"), 1);
  assert.equal(format.sign("-0.00"), 0);
  assert.equal(format.sign("-0.01"), -1);
});

test("orders, times and ages read as people say them", () => {
  assert.equal(format.orderLine({ side: "buy", quantity: "10", symbol: "AAPL", order_type: "market" }), "BUY 10 AAPL");
  assert.equal(format.orderLine({ side: "sell", quantity: "2", symbol: "TSLA", order_type: "stop_limit", limit_price: "250" }),
    "SELL 2 TSLA stop limit 250.00");
  const now = Date.parse("2026-01-05T14:30:00Z");
  assert.equal(format.time("2026-01-05T14:29:07Z", now, "en-GB", "UTC"), "14:29:07");
  assert.match(format.time("2026-01-03T09:05:00Z", now, "en-GB", "UTC"), /3 Jan.*09:05/);
  assert.equal(format.ago("2026-01-05T14:29:58Z", now), "just now");
  assert.equal(format.ago("2026-01-05T14:00:00Z", now), "30 min ago");
  assert.equal(format.micros(312), "312 µs");
  assert.equal(format.micros(26411), "26 ms");
});

test("an address TradingView cannot reach is noticed", () => {
  for (const url of ["http://127.0.0.1:8080/w", "http://localhost/w", "https://192.168.1.4/w", "http://[::1]:8080/w", "http://nas.local/w"]) {
    assert.ok(format.isPrivateUrl(url), url);
    assert.ok(!format.isReachableUrl(url), url);
  }
  assert.ok(format.isReachableUrl("https://trade.example.com/webhooks/tradingview/x"));
  assert.ok(!format.isReachableUrl("https://trade.example.com:8443/webhooks/tradingview/x"));
});

/** A connection over scripted sockets and hand-turned time. */
function rig() {
  const rigged = { time: 0, sockets: [], timers: [], phases: [], state: initial(), signIns: 0, refuse: null };
  rigged.connection = new Connection({
    now: () => rigged.time,
    random: () => 0,
    setTimeout: (act, ms) => rigged.timers.push({ act, ms, due: rigged.time + ms }),
    clearTimeout: (due) => { if (due) delete rigged.timers[due - 1]; },
    ticket: async () => {
      if (rigged.refuse) throw rigged.refuse;
      return "ticket";
    },
    socket: (_ticket, since) => {
      const socket = { since, sent: [], readyState: 1, send: (text) => socket.sent.push(JSON.parse(text)), close() { socket.readyState = 3; } };
      rigged.sockets.push(socket);
      return socket;
    },
    seq: () => rigged.state.seq,
    receive: (message) => {
      const before = rigged.state;
      rigged.state = reduce(before, message);
      return rigged.state.gap && !before.gap;
    },
    changed: (link) => rigged.phases.push(link.phase),
    signIn: () => { rigged.signIns += 1; },
  });
  rigged.settle = () => new Promise((resolve) => { setImmediate(resolve); });
  rigged.says = (...messages) => messages.forEach((message) => rigged.sockets.at(-1).onmessage({ data: JSON.stringify(message) }));
  rigged.drops = async (code = 1006) => {
    rigged.sockets.at(-1).onclose({ code });
    await rigged.settle();
  };
  rigged.turn = async () => {
    const index = rigged.timers.findLastIndex((timer) => timer);
    const [timer] = rigged.timers.splice(index, 1, undefined);
    rigged.time = Math.max(rigged.time, timer.due);
    timer.act();
    await rigged.settle();
    return timer.ms;
  };
  rigged.start = async () => {
    rigged.connection.open();
    await rigged.settle();
    rigged.says(envelope("connection.authorized", 5), sync(5));
  };
  return rigged;
}

test("attempts wait 1, 2, 4, 8, 16 and then 30 s, shortened by at most a fifth", async () => {
  assert.deepEqual(BACKOFF_S, [1, 2, 4, 8, 16, 30]);
  for (let attempt = 0; attempt < 9; attempt += 1) {
    const full = BACKOFF_S[Math.min(attempt, 5)] * 1000;
    assert.equal(backoffMs(attempt, 0), full);
    assert.equal(backoffMs(attempt, 1), full * 0.8);
  }
  const r = rig();
  await r.start();
  r.refuse = { status: 503 };
  await r.drops();
  const waits = [];
  for (let i = 0; i < 7; i += 1) waits.push(await r.turn());
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16000, 30000, 30000]);
});

test("a dropped socket resumes after the last event, says so, and is live again", async () => {
  const r = rig();
  await r.start();
  assert.equal(r.sockets[0].since, 0);
  assert.equal(r.connection.link.phase, "live");
  await r.drops();
  assert.equal(r.connection.link.phase, "waiting");
  await r.turn();
  assert.equal(r.sockets[1].since, 5);
  r.says(envelope("connection.authorized", 6));
  assert.equal(r.connection.link.phase, "syncing");
  assert.ok(!r.connection.link.synced);
  r.says(envelope("trade.created", 6, trade("t1", "pending")));
  assert.ok(r.connection.link.synced);
  await r.turn();
  assert.equal(r.connection.link.phase, "live");
  assert.equal(r.state.trades.length, 1);
});

test("a gap asks for everything again, once", async () => {
  const r = rig();
  await r.start();
  r.time = 10_000;
  r.says(envelope("trade.filled", 9, trade("t1", "filled")));
  await r.settle();
  assert.equal(r.sockets.length, 2);
  assert.equal(r.sockets[1].since, 0);
  r.says(envelope("connection.authorized", 9));
  await r.settle();
  assert.equal(r.sockets.length, 2);
  r.says(sync(9));
  assert.equal(r.state.gap, false);
});

test("a server that counts from an earlier number is asked for everything", async () => {
  const r = rig();
  await r.start();
  await r.drops();
  await r.turn();
  r.says(envelope("connection.authorized", 2));
  await r.settle();
  assert.equal(r.sockets.at(-1).since, 0);
});

test("1013 reconnects at once with since, a second one soon after waits", async () => {
  const r = rig();
  await r.start();
  r.time = 10_000;
  await r.drops(1013);
  assert.equal(r.sockets.length, 2);
  assert.equal(r.sockets[1].since, 5);
  await r.drops(1013);
  assert.equal(r.sockets.length, 2);
  assert.equal(r.connection.link.phase, "waiting");
});

test("4401 and a refused ticket lead to the login page", async () => {
  const r = rig();
  await r.start();
  await r.drops(4401);
  assert.equal(r.signIns, 1);
  r.refuse = { status: 401 };
  r.connection.open();
  await r.settle();
  assert.equal(r.signIns, 2);
});

test("silence is first shown as stale, then ends the socket; an answer makes it live", async () => {
  const r = rig();
  await r.start();
  r.time = 10_000;
  r.connection.tick();
  assert.deepEqual(r.sockets[0].sent, [{ type: "ping" }]);
  r.time = 15_000;
  r.connection.tick();
  assert.equal(r.connection.link.phase, "stale");
  r.says(envelope("pong", 5));
  assert.equal(r.connection.link.phase, "live");
  r.time = 25_000;
  r.connection.tick();
  r.time = 41_000;
  r.connection.tick();
  assert.equal(r.connection.link.phase, "waiting");
  await r.turn();
  r.connection.tick();
  assert.equal(r.sockets.length, 2);
  assert.equal(r.sockets[1].readyState, 1);
});

test("a socket that never opens is given up", async () => {
  const r = rig();
  r.connection.open();
  await r.settle();
  r.sockets[0].readyState = 0;
  r.time = 16_000;
  r.connection.tick();
  assert.equal(r.connection.link.phase, "waiting");
});

test("quotes are asked for once, and again on a new socket", async () => {
  const r = rig();
  await r.start();
  r.connection.watch(["AAPL"]);
  r.connection.watch(["AAPL"]);
  r.connection.watch(["AAPL", "TSLA"]);
  assert.deepEqual(r.sockets[0].sent.map((m) => [m.type, m.data.symbols]), [["subscribe", ["AAPL"]], ["subscribe", ["TSLA"]]]);
  await r.drops();
  await r.turn();
  r.connection.watch(["AAPL", "TSLA"]);
  assert.deepEqual(r.sockets[1].sent[0].data.symbols, ["AAPL", "TSLA"]);
});
