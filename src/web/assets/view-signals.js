// The signal feed: what arrived, what became of it, and why.

import { byId, h, keyedList, play, setAttribute, setText } from "./dom.js";
import { ago, fullTime, orderLine, price, quantity, statusLabel, statusTone, words } from "./format.js";

const TONES = { accepted: "good", rejected: "bad", refused: "bad", duplicate: "quiet", pending: "busy" };
const OUTCOMES = { accepted: "Accepted", rejected: "Refused", refused: "Unreadable", duplicate: "Repeat", pending: "Working" };

/** Makes the feed; the returned function draws a state, `open(tradeId)` follows a signal to its order. */
export function signalsView(open) {
  const list = byId("signals");
  let settled = false;
  const draw = keyedList(list, () => entry(open, () => settled));
  return (state) => {
    const trades = new Map(state.trades.map((trade) => [trade.id, trade]));
    const sources = new Map(state.sources.map((source) => [source.id, source.name]));
    const rows = draw(state.signals, (signal) => signal.id);
    for (const row of rows.values()) row.follow(trades, sources);
    settled = state.ready;
    const none = state.signals.length === 0;
    list.hidden = none;
    byId("signals-empty").hidden = !none || !state.ready;
    setText(byId("signals-empty"),
      "No signals yet. Every alert that arrives is listed here with what became of it, the refused ones too.");
  };
}

function entry(open, settled) {
  const side = h("span", { class: "side" });
  const order = h("span", { class: "order" });
  const chip = h("span", { class: "chip" });
  const fate = h("button", { type: "button", class: "fate" });
  const reason = h("p", { class: "reason" });
  const from = h("span");
  const at = h("time", { class: "ago" });
  const repeats = h("span", { class: "repeats" });
  const element = h("li", { class: "signal" },
    h("p", { class: "headline" }, h("span", { class: "what" }, side, " ", order), chip),
    reason, fate,
    h("p", { class: "meta" }, from, at, repeats));
  let signal = null;
  fate.addEventListener("click", () => open(signal.order_id));

  return {
    elements: [element],
    update(next, isNew) {
      signal = next;
      setAttribute(element, "data-id", next.id);
      setAttribute(element, "data-outcome", next.outcome);
      setText(side, String(next.action ?? "").toUpperCase());
      setAttribute(side, "data-side", next.action);
      setText(order, next.symbol ? orderLine({ ...next, action: "" }) : "Unreadable message");
      setText(chip, OUTCOMES[next.outcome] ?? words(next.outcome));
      setAttribute(chip, "data-tone", TONES[next.outcome] ?? "quiet");
      setText(reason, next.reason ?? "");
      reason.hidden = !next.reason;
      setAttribute(at, "datetime", next.received_at);
      setAttribute(at, "title", fullTime(next.received_at));
      setText(at, ago(next.received_at));
      setText(repeats, next.repeats ? `${next.repeats} repeat${next.repeats === 1 ? "" : "s"} ignored` : "");
      if (settled() && isNew) play(element, "arrived");
    },
    follow(trades, sources) {
      setText(from, sources.get(signal.source) ?? signal.source ?? words(signal.origin));
      const trade = trades.get(signal.order_id);
      fate.hidden = !trade;
      if (!trade) return;
      setAttribute(fate, "data-tone", statusTone(trade.status));
      setText(fate, fateOf(trade));
    },
  };
}

/** The order's end in a few words: `Filled 10 at 175.20`. */
function fateOf(trade) {
  const filled = trade.average_price != null && (trade.status === "filled" || trade.status === "partial_fill");
  if (!filled) return `Order: ${statusLabel(trade.status).toLowerCase()}`;
  return `${statusLabel(trade.status)} ${quantity(trade.filled_quantity)} at ${price(trade.average_price)}`;
}
