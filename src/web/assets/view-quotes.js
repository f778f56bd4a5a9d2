// The strip of quotes: one tile a symbol, flashing with the price.

import { byId, h, keyedList, setAttribute, setText } from "./dom.js";
import { fullTime, price } from "./format.js";
import { change, figure } from "./view-summary.js";

/** Makes the strip; the returned function draws a state. */
export function quotesView() {
  const strip = byId("quotes");
  const draw = keyedList(strip, tile);
  return (state) => {
    strip.hidden = state.quotes.length === 0;
    draw([...state.quotes].sort((a, b) => a.symbol.localeCompare(b.symbol)), (quote) => quote.symbol);
  };
}

function tile() {
  const symbol = h("span", { class: "symbol" });
  const last = h("span", { class: "last" });
  const moved = h("span", { class: "delta" });
  const element = h("div", { class: "quote" }, symbol, last, moved);
  return {
    elements: [element],
    update(quote) {
      setText(symbol, quote.symbol);
      figure(last, quote.price, price(quote.price));
      change(moved, quote.change_pct);
      setAttribute(element, "data-symbol", quote.symbol);
      setAttribute(element, "title", fullTime(quote.at));
    },
  };
}
