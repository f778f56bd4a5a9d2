// The dialogs of a position: another stop, and leaving it.

import * as api from "./api.js";
import { isDialogOpen, openDialog } from "./dialog.js";
import { h, setText } from "./dom.js";
import { money, parseDecimal, price, quantity } from "./format.js";
import { toast } from "./toast.js";

/** What a typed stop means: the change for the API, or nothing when it is no price. An empty field takes the stop away. */
export function stopChange(text) {
  const typed = text.trim().replaceAll(",", "");
  if (typed === "") return { stop_loss: null };
  const decimal = parseDecimal(typed);
  if (!decimal || decimal.negative || typed.startsWith("+")) return null;
  return { stop_loss: typed };
}

/** Opens the dialog in which a position's stop is changed. */
export function openStop(position) {
  if (isDialogOpen()) return;
  const field = h("input", { id: "stop-price", type: "text", inputmode: "decimal", autocomplete: "off", maxlength: "30",
    autofocus: true, "data-testid": "stop-price" });
  field.value = position.stop_loss ?? "";
  const trails = position.trail_percent != null || position.trail_amount != null;
  const side = position.side === "short" ? "above" : "below";
  confirm({
    name: "stop-dialog",
    title: `Stop of ${position.symbol}`,
    content: [
      h("p", null, `${quantity(position.quantity)} ${position.side}, now at ${price(position.price)}. The stop must be ${side} the price.`),
      trails ? h("p", { class: "notice" }, "The stop follows the price. A price typed here stays where it is put.") : null,
      h("label", { for: "stop-price" }, "Stop price (empty: no stop)"), field,
    ],
    keep: "Leave as it is",
    act: h("button", { type: "submit", class: "button primary", "data-testid": "stop-confirm" }, "Move the stop"),
    send: () => {
      const change = stopChange(field.value);
      if (!change) throw new Error("Write a price in digits, such as 185.50. Nothing was changed.");
      return api.protectPosition(position.symbol, change);
    },
    done: (answer) => ({
      level: answer?.stop_loss == null ? "warning" : "success",
      title: `${position.symbol} stop ${answer?.stop_loss == null ? "removed" : "moved"}`,
      message: answer?.stop_loss == null ? "The position has no stop now." : `It is at ${price(answer.stop_loss)} now.`,
    }),
  });
}

/** Asks before a position is left. */
export function openClose(position, state) {
  if (isDialogOpen()) return;
  const { currency = "USD" } = state.portfolio ?? {};
  const how = position.side === "short" ? "Buys back" : "Sells";
  const facts = [
    `${how} ${quantity(position.quantity)} ${position.symbol} at the market, worth about ${money(position.market_value, { currency })}.`,
    `Takes ${money(position.unrealized_pnl, { currency, plus: true })} at the price of this moment.`,
    "Its stop and targets are cancelled.",
  ];
  confirm({
    name: "close-dialog",
    title: `Close ${position.symbol}?`,
    content: [
      h("p", { class: "badge inline" }, `${state.mode.toUpperCase()}${position.broker ? ` · ${position.broker}` : ""}`),
      h("ul", { class: "effects" }, facts.map((fact) => h("li", null, fact))),
    ],
    keep: "Keep it",
    act: h("button", { type: "submit", class: "button danger solid", autofocus: true, "data-testid": "close-confirm" },
      "Close the position"),
    send: () => api.closePosition(position.symbol),
    done: (answer) => (answer?.status === "rejected"
      ? { level: "error", title: `${position.symbol} was not closed`, message: answer.reason ?? "" }
      : { level: "info", title: `Closing ${position.symbol}`, message: "The order is on its way; its row shows what becomes of it." }),
  });
}

/** A dialog that sends one thing, says what went wrong in it, and closes once it went right. */
function confirm({ name, title, content, keep, act, send, done }) {
  const error = h("p", { class: "field-error", role: "alert" });
  const back = h("button", { type: "button", class: "button" }, keep);
  const form = h("form", null, content, error, h("p", { class: "buttons" }, back, act));
  const dialog = openDialog(name, title, form);
  const label = act.textContent;
  back.addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    back.disabled = act.disabled = true;
    setText(act, "Sending…");
    setText(error, "");
    try {
      const answer = await send();
      dialog.close();
      toast(done(answer));
    } catch (problem) {
      if (problem.status === 401) return api.leave("expired");
      setText(error, problem.message);
      setText(act, label);
      back.disabled = act.disabled = false;
    }
  });
}
