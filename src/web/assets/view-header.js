// The header: mode badge, connection pill, who is logged in, the kill switch, and the halt banner under it.

import { byId, setAttribute, setText } from "./dom.js";
import { ago, fullTime, span } from "./format.js";
import { isByRules, isHalted } from "./state.js";

const MODES = {
  paper: ["PAPER", "Simulated fills. No order reaches a real market.", "Paper mode: simulated fills, no real money."],
  live: ["LIVE", "Orders use real money.", "Live mode: orders use real money."],
};

/** Draws everything that says where the user stands; called on changes and once a second. */
export function updateHeader(state, link, now) {
  const [badge, hint, long] = MODES[state.mode] ?? [state.mode.toUpperCase(), "", ""];
  setAttribute(document.body, "data-mode", state.mode);
  setText(byId("mode-badge"), badge);
  setAttribute(byId("mode-badge"), "title", hint);
  setText(byId("foot-mode"), long);
  setText(byId("who"), state.user?.name ?? "");
  setText(byId("foot-version"), state.version ? `Trade Executor ${state.version}` : "");
  updatePill(link, now);
  updateHalt(state, now);
}

function updatePill(link, now) {
  const pill = byId("connection-pill");
  setAttribute(pill, "data-phase", link.phase);
  setAttribute(document.body, "data-phase", link.synced ? "live" : link.phase);
  setText(byId("connection-text"), pillText(link, now));
  byId("connection-retry").hidden = link.phase !== "waiting" || link.until - now < 1_500;
}

/** What the pill says: the phase, its age or its countdown. */
export function pillText(link, now) {
  switch (link.phase) {
    case "live": return "Live";
    case "syncing": return "Reconnected. Syncing portfolio…";
    case "stale": return `Stale ${span(Math.max(1, Math.round((now - link.since) / 1000)))}`;
    case "waiting": {
      const left = Math.max(0, Math.ceil((link.until - now) / 1000));
      const old = Math.round((now - link.since) / 1000);
      return `Reconnecting in ${left} s${old >= 5 ? ` · data\u00a0${span(old).replace(" ", "\u00a0")}\u00a0old` : ""}`;
    }
    default: return link.again ? "Reconnecting…" : "Connecting…";
  }
}

/** The words for a screen reader when the phase changes; countdowns would only be noise. */
export function phaseNews(phase) {
  switch (phase) {
    case "waiting": return "Connection lost. The numbers shown may be old. Reconnecting.";
    case "stale": return "The server is silent. The numbers shown may be old.";
    case "syncing": return "Reconnected. Syncing portfolio.";
    case "live": return "Live.";
    default: return "";
  }
}

function updateHalt(state, now) {
  const halted = isHalted(state);
  const own = state.trading.state === "halted";
  const halt = own ? state.trading : (state.globalHalt ?? {});
  byId("halt").hidden = !halted;
  const ruled = own && isByRules(halt);
  byId("halt-resume").hidden = !own || ruled;
  setAttribute(document.body, "data-halted", halted ? "" : null);
  setText(byId("kill-text"), own ? "Halted" : "Kill switch");
  document.title = halted ? "HALTED · Trade Executor" : "Trade Executor";
  if (!halted) return;
  setText(byId("halt-title"), haltTitle(own, halt));
  const facts = [
    ruled ? halt.reason : "",
    halt.by && !ruled ? `By ${halt.by}` : "",
    halt.at ? ago(halt.at, now) : "",
    halt.reason && !ruled ? `“${halt.reason}”` : "",
    halt.until ? `Until ${fullTime(halt.until)}.` : "",
    "New signals are refused.",
  ];
  setText(byId("halt-detail"), facts.filter(Boolean).join(" · "));
}

/** Who stopped trading, in one sentence. */
export function haltTitle(own, halt) {
  if (!own) return "Trading is halted for everyone by the operator.";
  if (halt.cause === "circuit_breaker") return "Account under review.";
  return isByRules(halt) ? "Trading is stopped by your limit on losses." : "Trading is halted.";
}
