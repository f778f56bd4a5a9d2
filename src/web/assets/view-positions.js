// Open positions with their live profit and loss, what protects them, and the ways out: a table on a desk, cards on a phone.

import { byId, h, keyedList, setAttribute, setText } from "./dom.js";
import { fullTime, money, price, quantity, words } from "./format.js";
import { openClose, openStop } from "./position-dialogs.js";
import { isReachable, positionKey } from "./state.js";
import { change, figure, gain } from "./view-summary.js";

/** Makes the list; the returned function draws a state. */
export function positionsView() {
  const body = byId("positions");
  let shown = null;
  const draw = keyedList(body, () => row(() => shown));
  return (state) => {
    // Whether a position can be reached is the account's: when that changes, every row is drawn anew.
    const moved = shown?.account !== state.account;
    shown = state;
    if (moved) draw([], positionKey);
    draw([...state.positions].sort((a, b) => a.symbol.localeCompare(b.symbol)
      || positionKey(a).localeCompare(positionKey(b))), positionKey);
    const none = state.positions.length === 0;
    setText(byId("positions-count"), none ? "" : String(state.positions.length));
    body.parentElement.hidden = none;
    byId("positions-empty").hidden = !none || !state.ready;
    setText(byId("positions-empty"), "No open positions. A filled order appears here with its live profit and loss.");
  };
}

/** What protects a position, in words: the stop first, then how it follows and the targets. */
export function protectionLines(position) {
  const stop = position.stop_loss == null ? "No stop" : `Stop ${price(position.stop_loss)}`;
  const far = position.trail_percent != null ? `${quantity(position.trail_percent)}%`
    : position.trail_amount != null ? price(position.trail_amount) : "";
  const targets = (position.take_profits ?? []).map(price);
  return [stop, far ? `trails by ${far}` : "", targets.length ? `Target ${targets.join(", ")}` : ""].filter(Boolean);
}

function row(current) {
  const cell = (label, name, ...children) => h("td", { role: "cell", "data-label": label, class: name }, ...children);
  const symbol = h("span", { class: "name" });
  const broker = h("span", { class: "sub" });
  const side = cell("Side", "side");
  const amount = cell("Quantity", "number");
  const average = cell("Avg price", "number");
  const last = h("span");
  const value = cell("Value", "number");
  const profit = h("span", { class: "delta strong" });
  const rate = h("span", { class: "delta" });
  const stop = h("span", { class: "stop", "data-testid": "position-stop" });
  const more = h("span", { class: "sub" });
  const edit = h("button", { type: "button", class: "button small", "data-testid": "edit-stop" }, "Stop…");
  const close = h("button", { type: "button", class: "button small danger", "data-testid": "close-position" }, "Close…");
  const state = h("span", { class: "chip", "data-tone": "busy" });
  const element = h("tr", { role: "row", "data-testid": "position-row" }, cell("Symbol", "symbol", symbol, broker), side,
    amount, average, cell("Price", "number", last), value, cell("P&L", "number pnl", profit, " ", rate),
    cell("Protection", "guard", stop, more), cell("", "acts", state, edit, " ", close));
  let position = null;
  edit.addEventListener("click", () => openStop(position));
  close.addEventListener("click", () => openClose(position, current()));
  return {
    elements: [element],
    update(next) {
      position = next;
      const { currency = "USD" } = current().portfolio ?? {};
      setAttribute(element, "data-symbol", next.symbol);
      setAttribute(element, "data-account", next.connection_id);
      setAttribute(element, "title", next.opened_at ? `Opened ${fullTime(next.opened_at)}` : null);
      setText(symbol, next.symbol);
      setText(broker, next.broker ?? "");
      setText(side, words(next.side));
      setAttribute(side, "data-side", next.side);
      setText(amount, quantity(next.quantity));
      setText(average, price(next.average_price));
      figure(last, next.price, price(next.price));
      setText(value, money(next.market_value, { currency }));
      gain(profit, next.unrealized_pnl, currency);
      change(rate, next.unrealized_pnl_pct);
      const [first, ...others] = protectionLines(next);
      setText(stop, first);
      setText(more, others.join(" · "));
      const reachable = isReachable(current(), next);
      state.hidden = !next.closing && reachable;
      setText(state, next.closing ? "Closing" : "Other account");
      setAttribute(state, "title", next.closing || "Orders go to another account: make this one the default to act on it.");
      edit.hidden = close.hidden = Boolean(next.closing) || !reachable;
      setAttribute(edit, "aria-label", `Change the stop of ${next.symbol}`);
      setAttribute(close, "aria-label", `Close the position in ${next.symbol}`);
    },
  };
}
