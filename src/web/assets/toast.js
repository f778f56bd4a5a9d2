// Short messages at the edge of the page; read aloud politely, kept while pointed at or focused.

import { byId, h, icon } from "./dom.js";

const SHOWN_MS = { error: 20_000, warning: 12_000 };
const TONES = { error: "bad", warning: "warn", success: "good" };
const AT_MOST = 4;
const SAME_MS = 3_000;
let last = [];

/** Shows a message; of two that tell the same news within three seconds, the one that says more stays. */
export function toast({ key, level = "info", title, message = "" }) {
  const now = Date.now();
  last = last.filter((shown) => now - shown.at < SAME_MS);
  const same = last.find((shown) => shown.title === title && (key ? shown.key === key : shown.message === message));
  if (same && same.message.length >= message.length) return;
  same?.element.remove();
  const box = byId("toasts");
  const close = h("button", { type: "button", class: "close", "aria-label": "Dismiss" }, icon("close"));
  const element = h("div", { class: "toast", "data-testid": "toast", "data-tone": TONES[level] ?? "busy" },
    h("div", null, h("strong", null, title), message ? h("p", null, message) : null), close);
  close.addEventListener("click", () => element.remove());
  last.push({ key, title, message, at: now, element });
  box.append(element);
  while (box.children.length > AT_MOST) box.firstElementChild.remove();
  fade(element, SHOWN_MS[level] ?? 6_000);
}

function fade(element, after) {
  setTimeout(() => {
    if (element.matches(":hover, :focus-within")) fade(element, 2_000);
    else element.remove();
  }, after);
}

/** Removes the newest message; true when there was one. */
export function dismiss() {
  const newest = byId("toasts").lastElementChild;
  newest?.remove();
  return newest !== null;
}
