// The summary: equity with its curve, cash, buying power, and profit and loss open and closed.

import { curveChart } from "./chart.js";
import { byId, h, play, setAttribute, setText, svg } from "./dom.js";
import { compare, money, percent, sign, time } from "./format.js";

/** Makes the summary; the returned function draws a state. */
export function summaryView() {
  const draw = curveChart(byId("curve"));
  const invested = svg("rect", { class: "invested", x: 0, y: 0, width: 0, height: 4 });
  const share = h("span", { class: "muted" });
  byId("split").append(
    svg("svg", { class: "share", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { class: "track", x: 0, y: 0, width: 100, height: 4 }), invested),
    share);

  return (state) => {
    const { portfolio, positions, curve } = state;
    if (!portfolio) return;
    const currency = portfolio.currency;
    figure(byId("equity"), portfolio.equity, money(portfolio.equity, { currency }));
    figure(byId("cash"), portfolio.cash, money(portfolio.cash, { currency }));
    figure(byId("buying-power"), portfolio.buying_power, money(portfolio.buying_power, { currency }));
    gain(byId("unrealized"), portfolio.unrealized_pnl, currency);
    gain(byId("realized"), portfolio.realized_pnl, currency);
    still(byId("day"), portfolio.day_pnl, currency);
    setText(byId("position-count"), count(positions.length, "position"));

    const part = investedPart(portfolio);
    invested.setAttribute("width", (part * 100).toFixed(1));
    setText(share, `${Math.round(part * 100)}% invested`);
    if (curve.length > 0) {
      const first = curve[0];
      const label = `Equity since ${time(new Date(first.at).toISOString())}: `
        + `from ${money(first.text, { currency })} to ${money(portfolio.equity, { currency })}`;
      draw(curve, label, direction(compare(portfolio.equity, first.text)));
    }
  };
}

/** The drawn share of equity in positions, between 0 and 1; a picture, not an amount. */
function investedPart({ positions_value: value, equity }) {
  const part = Math.abs(Number(value)) / Number(equity);
  return Number.isFinite(part) ? Math.min(1, Math.max(0, part)) : 0;
}

/** Shows an amount, flashing up or down when it moved. */
export function figure(element, value, text) {
  const before = element.dataset.value;
  if (before === value && element.textContent === text) return;
  setAttribute(element, "data-value", value);
  setText(element, text);
  const moved = before === undefined ? 0 : compare(value, before);
  if (moved !== 0) {
    element.classList.remove("flash-up", "flash-down");
    play(element, moved > 0 ? "flash-up" : "flash-down");
  }
}

/** Shows a gain or loss: sign, and colour beside it. */
export function gain(element, value, currency) {
  figure(element, value, money(value, { currency, plus: true }));
  setAttribute(element, "data-direction", direction(sign(value)));
}

/** Shows a gain or loss without a flash, where one beside it flashes already. */
function still(element, value, currency) {
  setText(element, money(value, { currency, plus: true }));
  setAttribute(element, "data-value", value);
  setAttribute(element, "data-direction", direction(sign(value)));
}

/** Shows a signed percentage with its colour. */
export function change(element, value) {
  setText(element, percent(value));
  setAttribute(element, "data-direction", direction(sign(value)));
}

/** `up`, `down` or `flat`. */
export function direction(number) {
  return number > 0 ? "up" : number < 0 ? "down" : "flat";
}

/** `no positions`, `1 position`, `3 positions`. */
export function count(number, noun) {
  return `${number === 0 ? "no" : number} ${noun}${number === 1 ? "" : "s"}`;
}
