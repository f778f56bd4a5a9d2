// Trades, newest first; a row opens to its facts, its timeline and, while it is open, its cancel button.

import { byId, h, icon, keyedList, play, setAttribute, setText } from "./dom.js";
import {
  fullTime, orderLine, price, purposeLabel, purposeMeaning, quantity, statusLabel, statusMeaning, statusTone, time,
} from "./format.js";
import { isOpen, isOwn } from "./state.js";
import { tradeDetail } from "./trade-detail.js";

/** Makes the list; returns `update(state)` and `reveal(id)`, which opens a trade's row. */
export function tradesView() {
  const body = byId("trades");
  let rows = new Map();
  let settled = false;
  const draw = keyedList(body, () => row(() => settled));
  return {
    update(state) {
      rows = draw(state.trades, (trade) => trade.id);
      settled = state.ready;
      const none = state.trades.length === 0;
      const open = state.trades.filter(isOpen);
      const own = open.filter(isOwn).length;
      const guards = open.length - own;
      setText(byId("trades-count"), [own ? `${own} open` : "", guards ? `${guards} protecting` : ""].filter(Boolean).join(", "));
      body.parentElement.hidden = none;
      byId("trades-empty").hidden = !none || !state.ready;
      setText(byId("trades-empty"), "No trades yet. Send a test signal from Set-up and watch it arrive here.");
    },
    reveal(id) {
      rows.get(id)?.reveal();
    },
  };
}

/** The chip for a trade's status. */
export function statusChip() {
  const chip = h("span", { class: "chip" });
  return [chip, (status) => {
    setText(chip, statusLabel(status));
    setAttribute(chip, "data-tone", statusTone(status));
    setAttribute(chip, "title", statusMeaning(status));
  }];
}

function row(settled) {
  const parts = rowParts();
  const { element, toggle, detail, detailCell } = parts;
  let trade = null;
  let inside = null;

  const setOpen = (open) => {
    setAttribute(toggle, "aria-expanded", String(open));
    detail.hidden = !open;
    element.classList.toggle("open", open);
    if (!open) return;
    if (!inside) {
      inside = tradeDetail();
      detailCell.append(inside.element);
    }
    inside.show(trade);
  };
  toggle.addEventListener("click", () => setOpen(detail.hidden));
  element.addEventListener("click", (event) => {
    const selecting = String(getSelection()) !== "";
    if (!selecting && !event.target.closest("button")) setOpen(detail.hidden);
  });

  return {
    elements: [element, detail],
    update(next, isNew) {
      const before = trade;
      trade = next;
      parts.draw(next, detail);
      if (settled() && isNew) play(element, "arrived");
      else if (before && before.status !== next.status) play(element, "moved");
      if (!detail.hidden) inside.show(next);
    },
    reveal() {
      setOpen(true);
      element.scrollIntoView({ block: "center" });
      toggle.focus({ preventScroll: true });
    },
  };
}

function rowParts() {
  const cell = (label, name, ...children) => h("td", { role: "cell", "data-label": label, class: name }, ...children);
  const at = h("time");
  const side = h("span", { class: "side" });
  const order = h("span", { class: "order" });
  const purpose = h("span", { class: "purpose" });
  const wait = h("span", { class: "wait" });
  const mode = h("span", { class: "mode" });
  const toggle = h("button", { type: "button", class: "toggle", "aria-expanded": "false" }, icon("chevron"));
  const filled = h("span");
  const average = cell("Avg price", "number average");
  const broker = h("span");
  const [chip, setStatus] = statusChip();
  const element = h("tr", { role: "row", "data-testid": "trade-row" },
    cell("Time", "when", toggle, at), cell("Order", "what", side, " ", order, " ", purpose), cell("Filled", "number filled", filled),
    average, cell("Broker", "broker", broker, " ", mode), cell("Status", "status", chip, wait));
  const detailCell = h("td", { role: "cell", colspan: "6" });
  const detail = h("tr", { role: "row", class: "detail", hidden: true }, detailCell);

  const draw = (trade) => {
    setAttribute(element, "data-id", trade.id);
    setAttribute(element, "data-status", trade.status);
    setAttribute(element, "data-tone", statusTone(trade.status));
    setAttribute(element, "data-purpose", trade.purpose);
    setText(purpose, purposeLabel(trade));
    setAttribute(purpose, "title", purposeMeaning(trade));
    setAttribute(toggle, "aria-label", `Details of ${orderLine(trade)}`);
    setText(at, time(trade.created_at));
    setAttribute(at, "datetime", trade.created_at);
    setAttribute(at, "title", fullTime(trade.created_at));
    setText(side, String(trade.side ?? "").toUpperCase());
    setAttribute(side, "data-side", trade.side);
    setText(order, orderLine({ ...trade, side: "" }));
    setText(filled, `${quantity(trade.filled_quantity ?? "0")} / ${quantity(trade.quantity)}`);
    setText(average, trade.average_price == null ? "–" : price(trade.average_price));
    setText(broker, trade.broker ?? "");
    setText(mode, trade.mode ?? "");
    setStatus(trade.status);
    const until = trade.status === "queued" ? trade.queued_until : null;
    setText(wait, until ? `until ${time(until)}` : "");
    setAttribute(wait, "title", until ? trade.reason || fullTime(until) : null);
  };
  return { element, toggle, detail, detailCell, draw };
}
