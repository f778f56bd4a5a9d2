// The dialogs: halting in one confirmation, resuming as the slower act, and the list of keys.

import * as api from "./api.js";
import { byId, h, setText } from "./dom.js";
import { fullTime, money } from "./format.js";
import { isByRules, isOpen, isOwn } from "./state.js";
import { toast } from "./toast.js";
import { count } from "./view-summary.js";

/** Opens a dialog with a title; it goes when it is closed. */
export function openDialog(name, title, ...content) {
  const headline = `${name}-title`;
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": headline },
    h("h2", { id: headline }, title), ...content);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** True while a dialog is open. */
export function isDialogOpen() {
  return document.querySelector("dialog[open]") !== null;
}

function reasonField(placeholder) {
  return h("input", { id: "reason", type: "text", maxlength: "200", autocomplete: "off", placeholder });
}

/** Sends the switch and reports what the server did; `answered` hears the confirmed facts. */
function submit(form, { active, reason, error, buttons, close, answered }) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const act = form.querySelector("button[type=submit]");
    const label = act.textContent;
    buttons.forEach((button) => { button.disabled = true; });
    setText(act, "Sending…");
    setText(error, "");
    try {
      const answer = await api.killSwitch(active, reason());
      close();
      answered({ active: answer?.active ?? active, reason: reason() });
      toast({ key: "risk", level: active ? "warning" : "success", ...outcome(active, answer) });
    } catch (problem) {
      if (problem.status === 401) return api.leave("expired");
      setText(error, problem.message);
      setText(act, label);
      buttons.forEach((button) => { button.disabled = false; });
    }
  });
}

function outcome(active, answer) {
  const cancelled = answer?.cancelled_orders ?? 0;
  const said = active ? `${count(cancelled, "open order")} cancelled. New signals are refused.` : "New signals are traded again.";
  const words = said[0].toUpperCase() + said.slice(1);
  return { title: active ? "Trading halted" : "Trading resumed", message: answer?.message ?? words };
}

/** Opens the halt or, once halted, the resume dialog. */
export function openKillSwitch(state, answered) {
  if (isDialogOpen()) return;
  if (isByRules(state.trading)) openLocked(state);
  else if (state.trading.state === "halted") openResume(state, answered);
  else openHalt(state, answered);
}

/** Losses stopped trading, and no switch of the user's lifts that: it says so, and offers nothing else. */
function openLocked({ trading }) {
  const review = trading.cause === "circuit_breaker";
  const close = h("button", { type: "button", class: "button", autofocus: true }, "Close");
  const next = review ? "Only the operator resumes trading for this account, once it was looked into."
    : `It ends by itself${trading.until ? ` on ${fullTime(trading.until)}` : ""}.`;
  const dialog = openDialog("locked-dialog", review ? "Account under review" : "Stopped by your limit on losses",
    h("p", { "data-testid": "locked-reason" }, trading.reason ?? ""), h("p", null, next), h("p", { class: "buttons" }, close));
  close.addEventListener("click", () => dialog.close());
}

function openHalt(state, answered) {
  const open = state.trades.filter((trade) => isOpen(trade) && isOwn(trade)).length;
  const currency = state.portfolio?.currency ?? "USD";
  const mode = state.mode.toUpperCase();
  const held = state.positions.length;
  const worth = held ? ` (worth ${money(state.portfolio?.positions_value, { currency })})` : "";
  const facts = [
    `Cancels ${count(open, "open order")}.`,
    "New signals will be refused until you resume.",
    held ? `Keeps ${count(held, "position")}${worth} and protective stops: nothing is sold.` : "There are no positions to keep.",
  ];
  if (!state.ready) facts[0] = "Cancels every open order (the count is not known: no connection yet).";
  const reason = reasonField("For the record, optional");
  const error = h("p", { class: "field-error", role: "alert" });
  const back = h("button", { type: "button", class: "button" }, "Keep trading");
  const act = h("button", { type: "submit", class: "button danger solid", "data-testid": "kill-confirm", autofocus: true },
    "Halt trading now");
  const form = h("form", null,
    h("ul", { class: "effects" }, facts.map((fact) => h("li", null, fact))),
    h("label", { for: "reason" }, "Reason"), reason, error, h("p", { class: "buttons" }, back, act));
  const dialog = openDialog("halt-dialog", "Halt all trading?",
    h("p", { class: "badge inline" }, mode), form);
  back.addEventListener("click", () => dialog.close());
  submit(form, { active: true, reason: () => reason.value.trim() || "Halted from the dashboard", error, buttons: [back, act],
    close: () => dialog.close(), answered });
}

function openResume(state, answered) {
  const { by, reason: why } = state.trading;
  const reason = reasonField("What was checked, optional");
  const typed = h("input", { id: "resume-word", type: "text", autocomplete: "off", autocapitalize: "characters",
    spellcheck: "false", "data-testid": "resume-word", autofocus: true });
  const error = h("p", { class: "field-error", role: "alert" });
  const back = h("button", { type: "button", class: "button" }, "Stay halted");
  const act = h("button", { type: "submit", class: "button primary", disabled: true, "data-testid": "resume-confirm" },
    "Resume trading");
  typed.addEventListener("input", () => { act.disabled = typed.value.trim() !== "RESUME"; });
  const form = h("form", null,
    h("p", null, `Halted${by ? ` by ${by}` : ""}${why ? `: “${why}”` : ""}. Cancelled orders do not come back. `
      + "From now on new signals become orders again."),
    state.globalHalt ? h("p", { class: "notice" }, "The operator's halt stays in force until the operator lifts it.") : null,
    h("label", { for: "resume-word" }, "Type RESUME"), typed,
    h("label", { for: "reason" }, "Reason"), reason, error, h("p", { class: "buttons" }, back, act));
  const dialog = openDialog("resume-dialog", "Resume trading?",
    h("p", { class: "badge inline" }, state.mode.toUpperCase()), form);
  back.addEventListener("click", () => dialog.close());
  submit(form, { active: false, reason: () => reason.value.trim() || "Resumed from the dashboard", error, buttons: [back, act],
    close: () => dialog.close(), answered });
}

const KEYS = [
  ["k", "Kill switch (or resume)"],
  ["s", "Show or hide set-up"],
  ["t", "Go to the newest trade"],
  ["?", "This list"],
  ["Esc", "Close what is open"],
];

/** Opens the list of keys. */
export function openHelp() {
  if (isDialogOpen()) return;
  const close = h("button", { type: "button", class: "button", autofocus: true }, "Close");
  const dialog = openDialog("help", "Keyboard shortcuts",
    h("dl", { class: "keys" }, KEYS.flatMap(([key, does]) => [h("dt", null, h("kbd", null, key)), h("dd", null, does)])),
    h("p", { class: "buttons" }, close));
  close.addEventListener("click", () => dialog.close());
}

/** Wires the single keys, which stay quiet while the user types or a dialog is open. */
export function wireKeys(acts) {
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLElement && event.target.closest("input, textarea, select");
    if (event.ctrlKey || event.metaKey || event.altKey || typing || isDialogOpen()) return;
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

/** The halt button in the banner and the switch in the header open the same dialogs. */
export function wireKillSwitch(current, answered) {
  const open = () => openKillSwitch(current(), answered);
  byId("kill-switch").addEventListener("click", open);
  byId("halt-resume").addEventListener("click", open);
  return open;
}
