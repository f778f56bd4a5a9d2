// Turns the server's decimal strings, times and codes into the words and digits a person reads.
//
// Money arrives as decimal strings and stays one: rounding and comparing work on digits, never on floats.

const MINUS = "\u2212";
const NONE = "\u2013";
const DECIMAL = /^([+-]?)(\d+)(?:\.(\d*))?$/;

/** Splits a decimal string into sign, integer digits and fraction digits, or null when it is not one. */
export function parseDecimal(text) {
  const match = DECIMAL.exec(String(text ?? "").trim());
  if (!match) return null;
  const whole = match[2].replace(/^0+(?=\d)/, "");
  const fraction = (match[3] ?? "").replace(/0+$/, "");
  const zero = whole === "0" && fraction === "";
  return { negative: match[1] === "-" && !zero, whole, fraction };
}

/** Rounds half away from zero to at most `most` fraction digits, keeping at least `least`. */
function digits(decimal, least, most) {
  const { whole, fraction } = decimal;
  const kept = fraction.slice(0, most).padEnd(most, "0");
  let scaled = BigInt(whole + kept);
  if (fraction.length > most && fraction[most] >= "5") scaled += 1n;
  const all = scaled.toString().padStart(most + 1, "0");
  const head = all.slice(0, all.length - most);
  let tail = most === 0 ? "" : all.slice(-most);
  while (tail.length > least && tail.endsWith("0")) tail = tail.slice(0, -1);
  const grouped = head.replace(/\B(?=(\d{3})+$)/g, ",");
  return { text: tail ? `${grouped}.${tail}` : grouped, zero: scaled === 0n };
}

function signed(decimal, least, most, always) {
  const { text, zero } = digits(decimal, least, most);
  const sign = zero ? "" : decimal.negative ? MINUS : always ? "+" : "";
  return { sign, text };
}

/** Returns 1, 0 or -1: the sign of a decimal string (0 for what is not a number). */
export function sign(text) {
  const decimal = parseDecimal(text);
  if (!decimal) return 0;
  if (decimal.whole === "0" && decimal.fraction === "") return 0;
  return decimal.negative ? -1 : 1;
}

/** Compares two decimal strings exactly: negative, zero or positive like any comparator. */
export function compare(left, right) {
  const a = parseDecimal(left);
  const b = parseDecimal(right);
  if (!a || !b) return 0;
  const places = Math.max(a.fraction.length, b.fraction.length);
  const scaled = (d) => BigInt(d.whole + d.fraction.padEnd(places, "0")) * (d.negative ? -1n : 1n);
  const difference = scaled(a) - scaled(b);
  return difference === 0n ? 0 : difference > 0n ? 1 : -1;
}

/** `"50000.5"` becomes `$50,000.50`; with `plus`, a gain carries its sign as a loss does. */
export function money(text, { currency = "USD", plus = false } = {}) {
  const decimal = parseDecimal(text);
  if (!decimal) return NONE;
  const { sign: mark, text: body } = signed(decimal, 2, 2, plus);
  return currency === "USD" ? `${mark}$${body}` : `${mark}${body}\u00a0${currency}`;
}

/** A price: two digits at least, four from one upwards, eight below it. */
export function price(text) {
  const decimal = parseDecimal(text);
  if (!decimal) return NONE;
  const { sign: mark, text: body } = signed(decimal, 2, decimal.whole === "0" ? 8 : 4, false);
  return mark + body;
}

/** A quantity: thousands grouped, no trailing zeros. */
export function quantity(text) {
  const decimal = parseDecimal(text);
  if (!decimal) return NONE;
  const { sign: mark, text: body } = signed(decimal, 0, 8, false);
  return mark + body;
}

/** A signed percentage: `"1.5"` becomes `+1.50%`. */
export function percent(text) {
  const decimal = parseDecimal(text);
  if (!decimal) return NONE;
  const { sign: mark, text: body } = signed(decimal, 2, 2, true);
  return `${mark}${body}%`;
}

const STATUS = {
  pending: "Pending",
  queued: "Queued",
  submitted: "Working",
  partial_fill: "Part filled",
  filled: "Filled",
  cancelled: "Cancelled",
  rejected: "Rejected",
  expired: "Expired",
  failed: "Failed",
  unknown: "Unknown",
};

/** What a trade's status means, in one sentence. */
const MEANING = {
  pending: "Recorded, not sent yet.",
  queued: "Waits before it is sent; it may be cancelled until then.",
  submitted: "At the broker, waiting for a fill.",
  partial_fill: "Filled in part; the rest is still working.",
  filled: "Filled in full.",
  cancelled: "Cancelled before it was filled.",
  rejected: "Refused; nothing was bought or sold.",
  expired: "Too old to send; nothing was bought or sold.",
  failed: "Could not be sent; nothing was bought or sold.",
  unknown: "The broker's answer was lost. It is being looked up and is never sent twice.",
};

/** The chip's word for a trade status. */
export function statusLabel(status) {
  return STATUS[status] ?? words(status);
}

/** The sentence behind a trade status. */
export function statusMeaning(status) {
  return MEANING[status] ?? "";
}

/** The chip's colour group for a trade status. */
export function statusTone(status) {
  switch (status) {
    case "filled": return "good";
    case "rejected":
    case "failed": return "bad";
    case "unknown": return "warn";
    case "pending":
    case "submitted":
    case "queued":
    case "partial_fill": return "busy";
    default: return "quiet";
  }
}

/** `"stop_limit"` becomes `Stop limit`. */
export function words(code) {
  const text = String(code ?? "").replace(/[_.]+/g, " ").trim();
  return text ? text[0].toUpperCase() + text.slice(1) : NONE;
}

/** One line for an order: `BUY 10 AAPL`, `SELL 2 TSLA limit 250.00`. */
export function orderLine(order) {
  const parts = [String(order.side ?? order.action ?? "").toUpperCase()];
  if (order.quantity != null) parts.push(quantity(order.quantity));
  if (order.symbol) parts.push(order.symbol);
  if (order.order_type && order.order_type !== "market") parts.push(words(order.order_type).toLowerCase());
  if (order.limit_price != null) parts.push(price(order.limit_price));
  return parts.filter(Boolean).join(" ");
}

/** What an order is for when no signal asked for it: `Stop`, `Target`, `Stop + target` or `Exit`; else nothing. */
export function purposeLabel(order) {
  if (order.purpose === "exit") return "Exit";
  if (order.purpose !== "protection") return "";
  if (order.order_type === "oco") return "Stop + target";
  return order.order_type === "limit" ? "Target" : "Stop";
}

/** What is behind that word, in one sentence. */
export function purposeMeaning(order) {
  switch (order.purpose) {
    case "protection": return "Protects a position: the program placed it and keeps it in step. Change the stop in Positions.";
    case "exit": return "Leaves a position: its stop or target was reached, or a limit on losses called for it.";
    default: return "";
  }
}

/** A local clock time today, a short date and time otherwise. */
export function time(iso, now = Date.now(), locale = undefined, zone = undefined) {
  const at = Date.parse(iso ?? "");
  if (Number.isNaN(at)) return NONE;
  const day = new Intl.DateTimeFormat("en-CA", { timeZone: zone, dateStyle: "short" });
  const clock = { timeZone: zone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const shape = day.format(at) === day.format(now)
    ? { ...clock, second: "2-digit" }
    : { ...clock, month: "short", day: "numeric" };
  return new Intl.DateTimeFormat(locale, shape).format(at);
}

/** The full local date and time, for titles. */
export function fullTime(iso, locale = undefined, zone = undefined) {
  const at = Date.parse(iso ?? "");
  if (Number.isNaN(at)) return "";
  return new Intl.DateTimeFormat(locale, { timeZone: zone, dateStyle: "medium", timeStyle: "long" }).format(at);
}

/** How long ago, roughly: `just now`, `45 s ago`, `3 min ago`, `2 h ago`, `5 d ago`. */
export function ago(iso, now = Date.now()) {
  const at = Date.parse(iso ?? "");
  if (Number.isNaN(at)) return "";
  const seconds = Math.max(0, Math.round((now - at) / 1000));
  return seconds < 5 ? "just now" : `${span(seconds)} ago`;
}

/** A length of time in its largest sensible unit. */
export function span(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** Microseconds as the eye wants them: `312 µs`, `4.1 ms`, `1.20 s`. */
export function micros(value) {
  const us = Number(value);
  if (!Number.isFinite(us)) return NONE;
  if (us < 1000) return `${us} µs`;
  if (us < 1_000_000) return `${(us / 1000).toFixed(us < 10_000 ? 1 : 0)} ms`;
  return `${(us / 1_000_000).toFixed(2)} s`;
}

/** True for an address only this machine or network can reach, so TradingView cannot. */
export function isPrivateUrl(text) {
  let host;
  try {
    host = new URL(text).hostname.replace(/^\[|\]$/g, "");
  } catch {
    return false;
  }
  return host === "localhost" || host.endsWith(".localhost") || host.endsWith(".local") || host.endsWith(".lan")
    || host === "0.0.0.0" || host === "::1" || host === "::"
    || /^(127|10)\./.test(host) || /^192\.168\./.test(host) || /^169\.254\./.test(host)
    || /^172\.(1[6-9]|2\d|3[01])\./.test(host);
}

/** True for an address TradingView accepts: public, http on 80 or https on 443. */
export function isReachableUrl(text) {
  try {
    const url = new URL(text);
    return url.port === "" && (url.protocol === "https:" || url.protocol === "http:") && !isPrivateUrl(text);
  } catch {
    return false;
  }
}
