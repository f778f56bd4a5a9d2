// What the dashboard knows: a pure fold of the server's envelopes, (state, envelope) -> state. No DOM, no clock.

import { purposeLabel } from "./format.js";

/** Trades kept besides those still open. */
export const TRADES_KEPT = 50;
const SIGNALS_KEPT = 100;
const CURVE_KEPT = 600;

const OPEN = new Set(["pending", "queued", "submitted", "partial_fill", "unknown"]);
const SEQUENCED = /^(trade\.|portfolio\.position\.|signal\.|risk\.|notification$)/;

/** True while an order may still be filled. */
export function isOpen(trade) {
  return OPEN.has(trade.status);
}

/** True for an order that a person or a signal asked for; the others protect or leave a position. */
export function isOwn(trade) {
  return (trade.purpose ?? "signal") === "signal";
}

/** What tells a position from all others: the account that holds it, and its symbol. */
export function positionKey(position) {
  return `${position.connection_id ?? ""}/${position.symbol}`;
}

/** True for the position at the account that orders go to: only there does closing or a new stop reach it. */
export function isReachable(state, position) {
  return !state.account || !position.connection_id || position.connection_id === state.account;
}

/** True for the types whose `seq` counts up by one; the others carry the current `seq`. */
export function isSequenced(type) {
  return SEQUENCED.test(type);
}

/** The state before the first `state.sync`. */
export function initial() {
  return {
    ready: false,
    seq: 0,
    gap: false,
    user: null,
    mode: "paper",
    trading: { state: "active" },
    ownHalt: null,
    globalHalt: null,
    account: null,
    portfolio: null,
    positions: [],
    trades: [],
    signals: [],
    sources: [],
    quotes: [],
    curve: [],
    version: "",
  };
}

/**
 * Folds one envelope in.
 *
 * A repeat changes nothing; a sequenced event that is not the next one sets `gap` and changes nothing else, for
 * only a full sync can mend it. The same object comes back when nothing changed.
 */
export function reduce(state, envelope) {
  const { type, seq } = envelope ?? {};
  if (typeof type !== "string") return state;
  if (type === "state.sync") return synced(state, envelope);
  if (!isSequenced(type)) return apply(state, envelope);
  if (!state.ready || seq <= state.seq) return state;
  if (seq > state.seq + 1) return state.gap ? state : { ...state, gap: true };
  return { ...apply(state, envelope), seq };
}

function apply(state, { type, data, ts }) {
  if (!data) return state;
  if (type.startsWith("trade.")) return withTrade(state, data);
  switch (type) {
    case "portfolio.updated":
      return withPortfolio(state, data, ts);
    case "portfolio.balance":
      return withPortfolio(state, { portfolio: { ...state.portfolio, ...(data.portfolio ?? data) } }, ts);
    case "portfolio.position.opened":
    case "portfolio.position.modified":
      return { ...state, positions: withPosition(state.positions, data) };
    case "portfolio.position.closed":
      return { ...state, positions: state.positions.filter((p) => positionKey(p) !== positionKey(data)) };
    case "signal.received":
    case "signal.rejected":
      return { ...state, signals: withSignal(state.signals, data) };
    case "risk.halted":
      return halted(state, data);
    case "risk.resumed":
      return resumed(state, data);
    case "market.quote":
      return { ...state, quotes: upsertBy(state.quotes, data, "symbol") };
    default:
      return state;
  }
}

function synced(state, { seq, data, ts }) {
  const next = {
    ...state,
    ready: true,
    gap: false,
    seq,
    user: data.user ?? state.user,
    mode: data.mode ?? "paper",
    trading: data.trading ?? { state: "active" },
    ownHalt: data.own_halt ?? null,
    account: data.account ?? null,
    globalHalt: data.global_halt ? (state.globalHalt ?? {}) : null,
    trades: sortTrades(data.trades ?? []),
    signals: data.signals ?? [],
    sources: data.sources ?? [],
    quotes: data.quotes ?? [],
    version: data.server?.version ?? "",
  };
  return withPortfolio(next, { portfolio: data.portfolio, positions: data.positions ?? [] }, ts);
}

function withPortfolio(state, data, ts) {
  const portfolio = data.portfolio ?? state.portfolio;
  const positions = data.positions ?? state.positions;
  return { ...state, portfolio, positions, curve: plotted(state.curve, portfolio, ts) };
}

/** Adds a point to the drawn curve; when full, every second older point goes. */
function plotted(curve, portfolio, ts) {
  const at = Date.parse(portfolio?.as_of ?? ts ?? "");
  const value = Number(portfolio?.equity);
  if (!Number.isFinite(at) || !Number.isFinite(value)) return curve;
  const last = curve.at(-1);
  if (last && last.at >= at) return curve;
  const next = [...curve, { at, value, text: portfolio.equity }];
  return next.length <= CURVE_KEPT ? next : next.filter((_, i) => i % 2 === 0 || i > CURVE_KEPT / 2);
}

/** An event tells how much is held; what protects it stays as it is known until the next totals. */
function withPosition(positions, data) {
  const known = positions.find((p) => positionKey(p) === positionKey(data));
  if (!known) return [data, ...positions];
  return positions.map((p) => (p === known ? { ...known, ...data } : p));
}

function withTrade(state, data) {
  if (!data.id) return state;
  const { fill: _fill, ...trade } = data;
  const trades = sortTrades(upsertBy(state.trades, trade, "id"));
  return { ...state, trades, signals: linked(state.signals, trade) };
}

/** Newest first; open orders stay however old they are. */
function sortTrades(trades) {
  const born = (t) => Date.parse(t.created_at ?? "") || 0;
  return [...trades].sort((a, b) => born(b) - born(a)).filter((t, i) => i < TRADES_KEPT || isOpen(t));
}

/** A signal whose order is now known says so. */
function linked(signals, trade) {
  if (!trade.signal_id || !signals.some((s) => s.id === trade.signal_id && !s.order_id)) return signals;
  return signals.map((s) => (s.id === trade.signal_id && !s.order_id ? { ...s, order_id: trade.id } : s));
}

/** A repeat of a delivery already listed is counted on its row; it must not hide what became of the first. */
function withSignal(signals, data) {
  const known = signals.find((s) => s.id === data.id);
  if (known && data.outcome === "duplicate" && known.outcome !== "duplicate") {
    return upsertBy(signals, { ...known, repeats: (known.repeats ?? 0) + 1 }, "id");
  }
  return upsertBy(signals, known ? { ...known, ...data } : data, "id").slice(0, SIGNALS_KEPT);
}

/** A halt that losses called for stands before the user's own, which goes on behind it. */
function halted(state, { scope, by, reason, at, cause, until }) {
  if (scope === "global") return { ...state, globalHalt: { by, reason, at } };
  const halt = { state: "halted", by, reason, at, cause, until };
  if (!isByRules(halt)) return isByRules(state.trading) ? { ...state, ownHalt: halt } : { ...state, trading: halt };
  const own = state.trading.state === "halted" && !isByRules(state.trading) ? state.trading : state.ownHalt;
  return { ...state, trading: halt, ownHalt: own };
}

function resumed(state, { scope, by, reason, at }) {
  if (scope === "global") return { ...state, globalHalt: null };
  if (state.ownHalt) return { ...state, trading: state.ownHalt, ownHalt: null };
  return { ...state, trading: { state: "active", by, reason, at } };
}

/** True for a halt that losses called for, which its owner cannot lift. */
export function isByRules(trading) {
  return trading.state === "halted" && trading.cause != null && trading.cause !== "person";
}

/** Replaces the item with the same key in place, or puts a new one in front. */
function upsertBy(items, item, key) {
  const index = items.findIndex((known) => known[key] === item[key]);
  return index < 0 ? [item, ...items] : items.with(index, item);
}

/** True when the user's own switch or the operator's stops new orders. */
export function isHalted(state) {
  return state.trading.state === "halted" || state.globalHalt !== null;
}

/** The symbols whose quotes the page shows. */
export function watched(state) {
  return [...new Set([...state.quotes, ...state.positions].map((item) => item.symbol))].sort();
}

function purposeNoun(trade) {
  return purposeLabel(trade).toLowerCase() || "order";
}

/** The message an envelope deserves beside its place on the page, or null; two with one `key` tell the same news. */
export function announcement({ type, data } = {}) {
  if (!data) return null;
  switch (type) {
    case "notification":
      return { level: data.level ?? "info", title: data.title ?? "", message: data.message ?? "" };
    case "trade.rejected":
      return { level: "warning", title: `${data.symbol} ${purposeNoun(data)} rejected`, message: data.reason ?? "" };
    case "trade.failed":
      return { level: "error", title: `${data.symbol} ${purposeNoun(data)} failed`, message: data.reason ?? "" };
    case "risk.halted":
      return { key: "risk", level: "warning", title: "Trading halted", message: data.message ?? data.reason ?? "" };
    case "risk.resumed":
      return { key: "risk", level: "success", title: "Trading resumed", message: data.message ?? data.reason ?? "" };
    case "risk.resized":
      return { level: "info", title: "Order size reduced", message: data.message ?? data.reason ?? "" };
    case "token.expiring":
      return { level: "warning", title: "Your session ends soon", message: "Log in again to keep this page live." };
    case "connection.error":
      return { level: "error", title: "Connection problem", message: data.message ?? data.code ?? "" };
    default:
      return null;
  }
}
