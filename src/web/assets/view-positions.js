// Open positions with their live profit and loss: a table on a desk, cards on a phone.

import { byId, h, keyedList, setAttribute, setText } from "./dom.js";
import { fullTime, money, price, quantity, words } from "./format.js";
import { change, figure, gain } from "./view-summary.js";

/** Makes the list; the returned function draws a state. */
export function positionsView() {
  const body = byId("positions");
  let currency = "USD";
  const draw = keyedList(body, () => row(() => currency));
  return (state) => {
    currency = state.portfolio?.currency ?? "USD";
    draw([...state.positions].sort((a, b) => a.symbol.localeCompare(b.symbol)), (position) => position.symbol);
    const none = state.positions.length === 0;
    setText(byId("positions-count"), none ? "" : String(state.positions.length));
    body.parentElement.hidden = none;
    byId("positions-empty").hidden = !none || !state.ready;
    setText(byId("positions-empty"), "No open positions. A filled order appears here with its live profit and loss.");
  };
}

function row(currency) {
  const cell = (label, name) => h("td", { role: "cell", "data-label": label, class: name });
  const symbol = cell("Symbol", "symbol");
  const side = cell("Side", "side");
  const amount = cell("Quantity", "number");
  const average = cell("Avg price", "number");
  const last = h("span");
  const value = cell("Value", "number");
  const profit = h("span", { class: "delta strong" });
  const rate = h("span", { class: "delta" });
  const element = h("tr", { role: "row", "data-testid": "position-row" }, symbol, side, amount, average,
    h("td", { role: "cell", "data-label": "Price", class: "number" }, last), value,
    h("td", { role: "cell", "data-label": "P&L", class: "number pnl" }, profit, " ", rate));
  return {
    elements: [element],
    update(position) {
      setAttribute(element, "data-symbol", position.symbol);
      setAttribute(element, "title", position.opened_at ? `Opened ${fullTime(position.opened_at)}` : null);
      setText(symbol, position.symbol);
      setText(side, words(position.side));
      setAttribute(side, "data-side", position.side);
      setText(amount, quantity(position.quantity));
      setText(average, price(position.average_price));
      figure(last, position.price, price(position.price));
      setText(value, money(position.market_value, { currency: currency() }));
      gain(profit, position.unrealized_pnl, currency());
      change(rate, position.unrealized_pnl_pct);
    },
  };
}
