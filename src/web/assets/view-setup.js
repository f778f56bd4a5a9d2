// Get started: a test signal through the whole path, the webhook address, and the text for a TradingView alert.

import * as api from "./api.js";
import { byId, copyButton, h, setAttribute, setText } from "./dom.js";
import { isPrivateUrl, isReachableUrl, orderLine, price, statusLabel, statusMeaning } from "./format.js";
import { isOpen } from "./state.js";

const TEMPLATES = {
  strategy: ["Strategy", {
    ticker: "{{ticker}}",
    action: "{{strategy.order.action}}",
    quantity: "{{strategy.order.contracts}}",
    sentiment: "{{strategy.market_position}}",
    price: "{{close}}",
    time: "{{timenow}}",
  }, "For an alert on a strategy. Entries and exits follow the strategy's own orders."],
  indicator: ["Indicator", {
    ticker: "{{ticker}}",
    action: "buy",
    quantity: "1",
    price: "{{close}}",
    time: "{{timenow}}",
  }, "For an alert on an indicator: set action and quantity yourself. Indicators do not fill {{strategy.…}}."],
  close: ["Close", {
    ticker: "{{ticker}}",
    action: "close",
    price: "{{close}}",
    time: "{{timenow}}",
  }, "Leaves the whole position in the chart's symbol."],
};

/** The alert text for TradingView, of one kind. */
export function alertTemplate(kind) {
  return JSON.stringify(TEMPLATES[kind][1], null, 2);
}

/** A curl command that buys one share by webhook; quoted so that a shell takes it as it is. */
export function curlCommand(url) {
  const quoted = `'${url.replaceAll("'", "'\\''")}'`;
  const body = '{"ticker":"AAPL","action":"buy","quantity":1}';
  return `curl -X POST ${quoted} \\\n  -H 'Content-Type: application/json' \\\n  -d '${body}'`;
}

/** Makes the panel, which hides by itself only at first; returns `update(state)` and `toggle()`. */
export function setupView() {
  const panel = byId("setup");
  const button = byId("setup-toggle");
  const test = testStep();
  const hook = hookStep();
  const alert = templateStep();
  let decided = false;
  const setOpen = (open) => {
    panel.hidden = !open;
    setAttribute(button, "aria-expanded", String(open));
  };
  const hide = h("button", { type: "button", class: "button quiet small" }, "Hide");
  hide.addEventListener("click", () => {
    setOpen(false);
    button.focus();
  });
  panel.append(
    h("header", { class: "card-head" }, h("h2", { id: "setup-title" }, "Get started"),
      h("span", { class: "muted" }, "From alert to paper order in a minute"), hide),
    h("div", { class: "steps" }, h("div", { class: "step-column" }, test.element, hook.element), alert.element));
  const toggle = () => setOpen(panel.hidden);
  button.addEventListener("click", toggle);

  return {
    toggle,
    update(state) {
      if (!state.ready) return;
      if (!decided) {
        decided = true;
        if (state.trades.length === 0) setOpen(true);
      }
      const source = state.sources.find((known) => known.kind === "tradingview") ?? state.sources[0];
      test.update(state, source);
      hook.update(source);
      alert.update(source);
    },
  };
}

function step(number, title, ...content) {
  const mark = h("span", { class: "step-mark", "aria-hidden": "true" }, number);
  const element = h("section", { class: "step" }, h("h3", null, mark, title), ...content);
  return element;
}

function testStep() {
  const send = h("button", { type: "button", class: "button primary", "data-testid": "send-test" }, "Send test signal");
  const news = h("p", { class: "step-news", role: "status" });
  const element = step("1", "Send a test signal",
    h("p", null, "A tiny paper buy goes the whole way: alert, risk checks, order, fill. Watch it land below."),
    h("p", { class: "actions" }, send), news);
  let source = null;
  let signalId = null;
  let seen = null;

  const say = (text, tone) => {
    setText(news, text);
    setAttribute(news, "data-tone", tone);
  };
  send.addEventListener("click", async () => {
    send.disabled = true;
    signalId = null;
    say("Sending…", "busy");
    try {
      signalId = (await api.testSource(source.id))?.signal_id ?? null;
      say("Received. Waiting for the order…", "busy");
    } catch (problem) {
      if (problem.status === 401) return api.leave("expired");
      say(problem.message, "bad");
    }
    send.disabled = false;
    follow();
  });

  /** Tells how far the test got; the order may be here before the answer that names it. */
  const follow = () => {
    if (!signalId) return;
    const trade = seen.trades.find((known) => known.signal_id === signalId);
    const signal = seen.signals.find((known) => known.id === signalId);
    if (trade) say(tradeNews(trade), isOpen(trade) ? "busy" : trade.status === "filled" ? "good" : "bad");
    else if (signal?.outcome === "rejected") say(`Refused. ${signal.reason ?? ""}`, "bad");
  };

  return {
    element,
    update(state, next) {
      seen = state;
      source = next;
      send.hidden = !next;
      if (!next) say("There is no signal source yet: add one to send a test.", "quiet");
      if (state.trades.some((trade) => trade.status === "filled")) element.classList.add("done");
      follow();
    },
  };
}

function tradeNews(trade) {
  const line = orderLine(trade);
  if (trade.status === "filled") return `Filled: ${line} at ${price(trade.average_price)}. Open its row below for every step.`;
  return `${statusLabel(trade.status)}: ${line}. ${trade.reason || statusMeaning(trade.status)}`;
}

function hookStep() {
  const url = h("code", { "data-testid": "webhook-url" });
  const curl = h("code");
  const element = step("2", "Or send one yourself",
    h("p", null, "Your webhook address. Whoever knows it can send signals: keep it like a password."),
    h("div", { class: "code row" }, url, copyButton("Copy the webhook address", () => url.textContent)),
    h("div", { class: "code row" }, h("pre", null, curl), copyButton("Copy the curl command", () => curl.textContent)),
    h("p", { class: "muted" }, "The same text again within a minute counts as a repeat and is not traded twice."));
  return {
    element,
    update(source) {
      element.hidden = !source;
      const address = source?.webhook_url ?? "";
      if (url.textContent === address) return;
      setText(url, address);
      setText(curl, curlCommand(address));
    },
  };
}

/** What keeps TradingView from reaching an address, or nothing. */
function unreachable(address) {
  if (!address || isReachableUrl(address)) return "";
  if (!isPrivateUrl(address)) return "TradingView sends only to ports 80 and 443. Put the program behind https on port 443.";
  return "Your webhook address is on your own machine, where TradingView cannot reach it. It needs a public https address "
    + `on port 443: a domain with a reverse proxy, or a tunnel such as “cloudflared tunnel --url ${new URL(address).origin}”.`;
}

function templateStep() {
  const local = h("p", { class: "notice" });
  const text = h("code");
  const hint = h("p", { class: "muted" });
  const pick = (kind) => {
    setText(text, alertTemplate(kind));
    setText(hint, TEMPLATES[kind][2]);
  };
  const choices = Object.entries(TEMPLATES).map(([kind, [label]], index) => {
    const radio = h("input", { type: "radio", name: "template", value: kind, checked: index === 0 });
    radio.addEventListener("change", () => pick(kind));
    return h("label", null, radio, h("span", null, label));
  });
  pick("strategy");
  const element = step("3", "Connect TradingView",
    h("ol", { class: "how" },
      h("li", null, "In the alert's Notifications, tick Webhook URL and paste the address."),
      h("li", null, "In its Message, replace everything with this text:")),
    h("div", { class: "choices", role: "radiogroup", "aria-label": "Kind of alert" }, choices),
    h("div", { class: "code row" }, h("pre", null, text), copyButton("Copy the alert text", () => text.textContent)),
    hint,
    h("p", { class: "muted" }, "TradingView sends webhooks only on a paid plan with two-factor login."),
    local);
  return {
    element,
    update(source) {
      setText(local, unreachable(source?.webhook_url));
      local.hidden = local.textContent === "";
    },
  };
}
