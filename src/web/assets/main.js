// Wires the page: the socket feeds the state, the state feeds the views, once a frame at most.

import * as api from "./api.js";
import { Connection } from "./connection.js";
import { openHelp, wireKeys, wireKillSwitch } from "./dialog.js";
import { byId, setText } from "./dom.js";
import { ago, orderLine, price } from "./format.js";
import { announcement, initial, isSequenced, reduce, watched } from "./state.js";
import { dismiss, toast } from "./toast.js";
import { phaseNews, updateHeader } from "./view-header.js";
import { positionsView } from "./view-positions.js";
import { quotesView } from "./view-quotes.js";
import { setupView } from "./view-setup.js";
import { signalsView } from "./view-signals.js";
import { summaryView } from "./view-summary.js";
import { tradesView } from "./view-trades.js";

/** What became of an account whose owner comes back from the broker's page. */
const CAME_BACK = {
  connected: ["Broker account connected", "Its permission is sealed. Choose it as the default to have signals go there."],
  renewed: ["Broker account open again", "What opened it before is replaced. Everything else is as it was."],
};

let state = initial();
let drawn = null;
let due = false;
let phase = "connecting";

const trades = tradesView();
const setup = setupView();
const views = [summaryView(), quotesView(), positionsView(), trades.update, signalsView(trades.reveal), setup.update];

const connection = new Connection({
  ticket: api.ticket,
  seq: () => state.seq,
  receive,
  changed: linkChanged,
  signIn: () => api.leave("expired"),
});

function receive(envelope) {
  const before = state;
  state = reduce(state, envelope);
  const repeated = state === before && isSequenced(envelope.type);
  if (!repeated && !state.gap) {
    const news = announcement(envelope);
    if (news) toast(news);
    if (envelope.type === "trade.filled") {
      announce(`Filled: ${orderLine(envelope.data)} at ${price(envelope.data.average_price)}.`);
    }
  }
  if (state !== before) schedule();
  return state.gap && !before.gap;
}

function linkChanged(link) {
  if (link.phase !== phase) {
    phase = link.phase;
    announce(phaseNews(phase));
  }
  updateHeader(state, link, Date.now());
  schedule();
}

/** Says something to screen readers only. */
function announce(text) {
  if (text) setText(byId("announcer"), text);
}

function schedule() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    draw();
  });
}

function draw() {
  updateHeader(state, connection.link, Date.now());
  if (state === drawn) return;
  drawn = state;
  views.forEach((view) => view(state));
  connection.watch(watched(state));
}

function everySecond() {
  connection.tick();
  updateHeader(state, connection.link, Date.now());
  document.querySelectorAll("time.ago").forEach((at) => setText(at, ago(at.getAttribute("datetime"))));
}

function welcomeBack() {
  const news = CAME_BACK[new URLSearchParams(location.search).get("broker")];
  if (!news) return;
  toast({ level: "success", title: news[0], message: news[1] });
  history.replaceState(null, "", "/");
}

/** The server's confirmed answer counts while the socket, which repeats it, is down. */
function switchAnswered({ active, reason }) {
  if (connection.link.phase === "live") return;
  const at = new Date().toISOString();
  state = { ...state, trading: { state: active ? "halted" : "active", by: state.user?.name ?? "you", reason, at } };
  schedule();
}

const openKill = wireKillSwitch(() => state, switchAnswered);
wireKeys({
  "?": openHelp,
  k: openKill,
  s: setup.toggle,
  t: () => document.querySelector("#trades .toggle")?.focus(),
  Escape: dismiss,
});
byId("help-open").addEventListener("click", openHelp);
byId("connection-retry").addEventListener("click", () => connection.retry());
byId("logout").addEventListener("click", async () => {
  try {
    await api.logout();
    api.leave("signed_out");
  } catch (problem) {
    if (problem.status === 401) api.leave("signed_out");
    else toast({ level: "error", title: "Not logged out", message: problem.message });
  }
});
addEventListener("online", () => connection.retry());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) everySecond();
});
setText(byId("foot-zone"), `Times in ${Intl.DateTimeFormat().resolvedOptions().timeZone}`);
setInterval(everySecond, 1_000);
welcomeBack();
connection.open();
