// Keeps one WebSocket to the server alive: tickets, back-off, resuming by `since`, and noticing silence.

/** Waits between attempts, in seconds (the last one repeats). */
export const BACKOFF_S = [1, 2, 4, 8, 16, 30];
const PING_MS = 10_000;
const STALE_MS = 4_000;
const DEAD_MS = 15_000;
const SYNC_SHOWN_MS = 1_500;
const HURRY_APART_MS = 5_000;
const TRY_AGAIN_LATER = 1013;
const SIGN_IN_AGAIN = 4401;

/** The wait before attempt number `attempt` (from 0) in milliseconds: up to a fifth shorter, so crowds spread. */
export function backoffMs(attempt, random = Math.random()) {
  const seconds = BACKOFF_S[Math.min(attempt, BACKOFF_S.length - 1)];
  return Math.round(seconds * 1000 * (1 - 0.2 * random));
}

/**
 * Connects and stays connected.
 *
 * `deps.ticket()` resolves to a ticket or rejects with `{status}`; `deps.seq()` is the last event applied (0 before
 * the first sync); `deps.receive(envelope)` applies one and returns true when a gap was found; `deps.changed(link)`
 * hears every phase: connecting, syncing, live, stale, waiting, offline; `deps.signIn()` leaves for the login page.
 */
export class Connection {
  #deps;
  #socket = null;
  #attempt = 0;
  #full = true;
  #everLive = false;
  #due = null;
  #heard = 0;
  #pinged = 0;
  #attachedAt = 0;
  #target = null;
  #generation = 0;
  #watching = "";
  #hurriedAt = -Infinity;
  #link = { phase: "connecting" };

  constructor(deps) {
    this.#deps = {
      now: () => Date.now(),
      random: () => Math.random(),
      setTimeout: (act, ms) => setTimeout(act, ms),
      clearTimeout: (due) => clearTimeout(due),
      socket: openSocket,
      ...deps,
    };
  }

  /** The current phase and what belongs to it. */
  get link() {
    return this.#link;
  }

  /** Opens the socket now, whatever the back-off says. */
  async open() {
    this.#deps.clearTimeout(this.#due);
    const generation = this.#abandon();
    const since = this.#full ? 0 : this.#deps.seq();
    this.#show({ phase: "connecting", again: this.#everLive });
    let ticket;
    try {
      ticket = await this.#deps.ticket();
    } catch (problem) {
      if (generation !== this.#generation) return;
      if (problem?.status === 401) this.#deps.signIn();
      else this.#later(problem?.retryAfterMs ?? 0);
      return;
    }
    if (generation !== this.#generation) return;
    this.#attach(this.#deps.socket(ticket, since), generation, since);
  }

  /** Tries at once when the network came back or the user asked. */
  retry() {
    if (this.#link.phase !== "live" && this.#link.phase !== "syncing") this.open();
  }

  /** Asks for quotes of exactly these symbols. */
  watch(symbols) {
    const wanted = symbols.join(",");
    if (!this.#isUp() || wanted === this.#watching) return;
    const before = this.#watching ? this.#watching.split(",") : [];
    const added = symbols.filter((symbol) => !before.includes(symbol));
    const gone = before.filter((symbol) => !symbols.includes(symbol));
    if (added.length) this.#send({ type: "subscribe", data: { symbols: added } });
    if (gone.length) this.#send({ type: "unsubscribe", data: { symbols: gone } });
    this.#watching = wanted;
  }

  /** Once a second: sends pings, and notices a server that has fallen silent. Safe under throttled timers. */
  tick() {
    const now = this.#deps.now();
    if (this.#socket?.readyState === 0 && now - this.#attachedAt > DEAD_MS) {
      this.#abandon();
      return this.#later(0);
    }
    if (!this.#isUp()) return;
    const waiting = this.#pinged > this.#heard;
    if (waiting && now - this.#pinged > DEAD_MS) {
      this.#abandon();
      this.#later(0);
    } else if (waiting && now - this.#pinged > STALE_MS) {
      if (this.#link.phase === "live") this.#show({ phase: "stale", since: this.#heard });
    } else if (!waiting && now - this.#heard >= PING_MS) {
      this.#pinged = now;
      this.#send({ type: "ping" });
    }
  }

  #attach(socket, generation, since) {
    this.#socket = socket;
    this.#attachedAt = this.#deps.now();
    this.#pinged = 0;
    this.#target = null;
    this.#watching = "";
    socket.onmessage = (event) => {
      if (generation === this.#generation) this.#heardFrom(event.data, since);
    };
    socket.onclose = (event) => {
      if (generation === this.#generation) this.#lost(event.code);
    };
  }

  #heardFrom(text, since) {
    let envelope;
    try {
      envelope = JSON.parse(text);
    } catch {
      return;
    }
    this.#heard = Math.max(this.#deps.now(), this.#pinged);
    if (this.#link.phase === "stale") this.#show({ phase: "live" });
    if (envelope.type === "connection.authorized") {
      if (this.#everLive) this.#show({ phase: "syncing", until: this.#deps.now() + SYNC_SHOWN_MS });
      if (since > 0) this.#target = envelope.seq ?? 0;
      if (this.#target !== null && this.#target < since) return this.#resync();
    }
    if (this.#deps.receive(envelope)) return this.#resync();
    const caughtUp = this.#target !== null && this.#deps.seq() >= this.#target;
    if (envelope.type === "state.sync" || caughtUp) this.#live();
  }

  /** What was missed cannot be replayed: start over with a full sync, at once unless that was just tried. */
  #resync() {
    this.#full = true;
    this.#atOnceOrLater();
  }

  #atOnceOrLater() {
    const now = this.#deps.now();
    const first = now - this.#hurriedAt > HURRY_APART_MS;
    this.#abandon();
    if (!first) return this.#later(0);
    this.#hurriedAt = now;
    return this.open();
  }

  #live() {
    this.#full = false;
    this.#attempt = 0;
    this.#target = null;
    this.#everLive = true;
    const wait = (this.#link.until ?? 0) - this.#deps.now();
    if (this.#link.phase === "syncing" && wait > 0) {
      const generation = this.#generation;
      this.#show({ ...this.#link, synced: true });
      this.#deps.setTimeout(() => {
        if (generation === this.#generation && this.#link.phase === "syncing") this.#show({ phase: "live" });
      }, wait);
    } else if (this.#link.phase !== "live") {
      this.#show({ phase: "live" });
    }
  }

  #lost(code) {
    this.#abandon();
    if (code === SIGN_IN_AGAIN) return this.#deps.signIn();
    if (code === TRY_AGAIN_LATER) return this.#atOnceOrLater();
    return this.#later(0);
  }

  #later(atLeastMs) {
    const wait = Math.max(atLeastMs, backoffMs(this.#attempt, this.#deps.random()));
    this.#attempt += 1;
    const now = this.#deps.now();
    this.#show({ phase: "waiting", until: now + wait, since: this.#heard || now });
    this.#due = this.#deps.setTimeout(() => this.open(), wait);
  }

  /** Lets go of the present socket; what it still says is ignored. */
  #abandon() {
    this.#generation += 1;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    return this.#generation;
  }

  #isUp() {
    return this.#socket?.readyState === 1;
  }

  #send(message) {
    if (this.#isUp()) this.#socket.send(JSON.stringify(message));
  }

  #show(link) {
    this.#link = link;
    this.#deps.changed(link);
  }
}

function openSocket(ticket, since) {
  const url = new URL("/ws", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.searchParams.set("ticket", ticket);
  if (since > 0) url.searchParams.set("since", String(since));
  return new WebSocket(url);
}
