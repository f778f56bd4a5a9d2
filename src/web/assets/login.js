// The login page's one act: follow a pasted one-time link, if it belongs to this address.

import { byId, setText } from "./dom.js";

const WHY = {
  expired: "Your session has ended. Log in again to go on; open orders are not affected.",
  signed_out: "You are logged out. The program keeps running and trading as set.",
  link: "That login link was already used or is too old.",
};

const why = WHY[new URLSearchParams(location.search).get("reason")];
if (why) {
  setText(byId("why"), why);
  byId("why").hidden = false;
}

byId("link-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const problem = follow(byId("link").value.trim());
  setText(byId("link-error"), problem);
  byId("link").setAttribute("aria-invalid", String(problem !== ""));
});

/** Goes where the link points, or returns why not. */
function follow(text) {
  if (!text) return "Paste the whole link, from http to its end.";
  let link;
  try {
    link = new URL(text, location.origin);
  } catch {
    return "This is not a link. Paste the whole line from http to its end.";
  }
  if (!/^\/login\/[^/]+$/.test(link.pathname)) return "This is not a login link: it has no /login/… part.";
  if (link.origin !== location.origin) {
    return `This link belongs to ${link.origin}, and this page to ${location.origin}. Open the link itself instead.`;
  }
  location.assign(link.pathname);
  return "";
}
