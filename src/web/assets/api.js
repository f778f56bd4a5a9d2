// Calls the HTTP API with the session cookie and its CSRF token, and turns problem+json into errors people can read.

/** What the server refused, in its own words. */
export class Problem extends Error {
  constructor(status, body, retryAfterMs) {
    super(body?.detail || body?.title || `The server answered ${status}.`);
    this.name = "Problem";
    this.status = status;
    this.code = body?.code ?? "";
    this.retryAfterMs = retryAfterMs;
  }
}

function csrfToken() {
  const name = location.protocol === "https:" ? "__Host-csrf" : "csrf";
  const pair = document.cookie.split("; ").find((entry) => entry.startsWith(`${name}=`));
  return pair ? decodeURIComponent(pair.slice(name.length + 1)) : "";
}

async function call(method, path, body) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRF-Token"] = csrfToken();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      signal: AbortSignal.timeout(15_000),
    });
  } catch {
    throw new Problem(0, { detail: "The server did not answer, so it is not known whether this took effect. Try again." });
  }
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  const retryAfterMs = Number(response.headers.get("Retry-After")) * 1000 || 0;
  throw new Problem(response.status, answer, retryAfterMs);
}

/** Fetches a single-use socket ticket. */
export async function ticket() {
  return (await call("POST", "/api/v1/ws-ticket")).ticket;
}

/** Halts (`true`) or resumes (`false`) the user's trading. */
export function killSwitch(active, reason) {
  return call("POST", "/api/v1/kill-switch", { active, reason });
}

/** Fetches one trade with its decision, stages and history. */
export function trade(id) {
  return call("GET", `/api/v1/trades/${encodeURIComponent(id)}`);
}

/** Asks for an open order to be cancelled. */
export function cancelTrade(id) {
  return call("POST", `/api/v1/trades/${encodeURIComponent(id)}/cancel`);
}

/** Changes what protects the position in a symbol; what is left out stays. */
export function protectPosition(symbol, change) {
  return call("PUT", `/api/v1/positions/${encodeURIComponent(symbol)}`, change);
}

/** Leaves the position in a symbol, at the market. */
export function closePosition(symbol) {
  return call("POST", `/api/v1/positions/${encodeURIComponent(symbol)}/close`);
}

/** Sends a test alert through the whole path. */
export function testSource(id) {
  return call("POST", `/api/v1/sources/${encodeURIComponent(id)}/test`);
}

/** Ends the session. */
export function logout() {
  return call("POST", "/auth/logout");
}

/** Leaves for the login page, saying why. */
export function leave(reason) {
  location.assign(`/login?reason=${reason}`);
}
