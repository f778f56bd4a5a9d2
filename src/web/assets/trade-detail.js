// The opened trade: why it is as it is, its facts, what happened when, and how fast.

import * as api from "./api.js";
import { h, setText } from "./dom.js";
import {
  fullTime, micros, orderLine, price, purposeLabel, purposeMeaning, quantity, statusMeaning, time, words,
} from "./format.js";
import { isOpen, isOwn } from "./state.js";

/** Makes the panel; `show(trade)` draws it at once and fetches the timeline that belongs to it. */
export function tradeDetail() {
  const lead = h("p", { class: "lead" });
  const facts = h("dl", { class: "facts" });
  const cancel = h("button", { type: "button", class: "button danger small", "data-testid": "cancel-order" }, "Cancel order");
  const answer = h("span", { class: "muted", role: "status" });
  const actions = h("p", { class: "actions" }, cancel, answer);
  const history = h("div", { class: "history" }, h("p", { class: "muted" }, "Loading the timeline…"));
  const element = h("div", { class: "detail-box" }, h("div", null, lead, facts, actions), history);
  let trade = null;
  let asked = 0;
  let shown = null;

  cancel.addEventListener("click", async () => {
    cancel.disabled = true;
    setText(answer, "Sending…");
    try {
      await api.cancelTrade(trade.id);
      setText(answer, trade.status === "queued" ? "Cancelled before it was sent." : "Cancel requested. Waiting for the broker to confirm.");
    } catch (problem) {
      if (problem.status === 401) return api.leave("expired");
      setText(answer, problem.message);
      cancel.disabled = false;
    }
  });

  const fetchHistory = async () => {
    asked += 1;
    const mine = asked;
    let parts;
    try {
      parts = timeline(await api.trade(trade.id));
    } catch (problem) {
      if (problem.status === 401) return api.leave("expired");
      parts = [h("p", { class: "muted" }, `The timeline could not be loaded. ${problem.message}`)];
    }
    if (mine === asked) history.replaceChildren(...parts);
  };

  const show = (next) => {
    if (next === shown) return;
    shown = next;
    trade = next;
    setText(lead, [next.reason || statusMeaning(next.status), purposeMeaning(next)].filter(Boolean).join(" "));
    facts.replaceChildren(...factsOf(next));
    // A stop that is cancelled by hand would only be placed again.
    actions.hidden = !isOpen(next) || !isOwn(next);
    cancel.disabled = false;
    setText(answer, "");
    fetchHistory();
  };
  return { element, show };
}

function factsOf(trade) {
  const known = [
    ["Order", orderLine(trade)],
    ["Purpose", purposeLabel(trade)],
    ["Queued until", trade.status === "queued" && trade.queued_until ? fullTime(trade.queued_until) : null],
    ["Type", words(trade.order_type)],
    ["Filled", `${quantity(trade.filled_quantity ?? "0")} of ${quantity(trade.quantity)}`],
    ["Average price", trade.average_price == null ? null : price(trade.average_price)],
    ["Limit", trade.limit_price == null ? null : price(trade.limit_price)],
    ["Stop", trade.stop_price == null ? null : price(trade.stop_price)],
    ["Account", [trade.broker, (trade.mode ?? "").toUpperCase()].filter(Boolean).join(" · ")],
    ["Created", fullTime(trade.created_at)],
    ["Updated", fullTime(trade.updated_at)],
    ["Signal", trade.signal_id ?? trade.position_signal_id],
    ["Order id", trade.client_order_id],
  ];
  return pairs(known);
}

function pairs(entries) {
  return entries
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .flatMap(([name, value]) => [h("dt", null, name), h("dd", null, String(value))]);
}

function timeline(answer) {
  const parts = [];
  const history = answer?.history ?? [];
  parts.push(h("h3", null, "What happened"));
  if (history.length === 0) parts.push(h("p", { class: "muted" }, "Nothing recorded yet."));
  parts.push(h("ol", { class: "timeline" }, history.map((step) => h("li", null,
    h("time", { datetime: step.at, title: fullTime(step.at) }, time(step.at)),
    h("span", null, h("strong", null, words(step.event)), said(step.detail))))));
  parts.push(...attemptsOf(answer?.attempts ?? []));
  if (answer?.signal?.excerpt) {
    parts.push(h("h3", null, "What the signal said"), h("p", null, h("code", null, answer.signal.excerpt)));
  }
  const stages = Object.entries(answer?.stages ?? {}).filter(([, at]) => Number.isFinite(Number(at)));
  if (stages.length > 0) {
    parts.push(h("h3", null, "How fast, from arrival"));
    parts.push(h("ol", { class: "stages" }, stages.sort((a, b) => Number(a[1]) - Number(b[1])).map(([name, at]) =>
      h("li", null, h("span", null, words(name)), h("b", null, Number(at) === 0 ? "0" : micros(at))))));
  }
  const decision = flattened(answer?.decision ?? {});
  if (decision.length > 0) {
    parts.push(h("h3", null, "Risk decision"), h("dl", { class: "facts" }, pairs(decision)));
  }
  return parts;
}

/** The attempts to send the order, where there is more to tell than that the first was taken. */
function attemptsOf(attempts) {
  if (attempts.every((one) => one.outcome === "accepted")) return [];
  const line = (one) => h("li", null,
    one.sent_at ? h("time", { datetime: one.sent_at, title: fullTime(one.sent_at) }, time(one.sent_at)) : "",
    h("span", null, h("strong", null, words(one.outcome)), said(one.detail)),
    one.latency_us === null ? "" : h("b", null, micros(one.latency_us)));
  return [h("h3", null, "Attempts to send it"), h("ol", { class: "timeline" }, attempts.map(line))];
}

function said(detail) {
  if (detail === null || detail === undefined || detail === "") return "";
  if (typeof detail === "string") return ` ${detail}`;
  return ` ${flattened(detail).map(([name, value]) => `${name}: ${value}`).join(", ")}`;
}

/** Any small JSON object as name and value pairs in words. */
function flattened(object, prefix = "") {
  return Object.entries(object).flatMap(([name, value]) => {
    const label = prefix ? `${prefix} ${words(name).toLowerCase()}` : words(name);
    if (value === null || value === undefined) return [];
    if (Array.isArray(value)) return value.length ? [[label, value.map(short).join(", ")]] : [];
    if (typeof value === "object") return flattened(value, label);
    if (typeof value === "boolean") return [[label, value ? "yes" : "no"]];
    return [[label, String(value)]];
  });
}

function short(value) {
  if (value === null || typeof value !== "object") return String(value);
  return flattened(value).map(([name, inner]) => `${name} ${inner}`).join(" ");
}
