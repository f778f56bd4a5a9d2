// Builds and updates elements without markup strings: everything the outside sends becomes text, never HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Makes an HTML element: `h("p", { class: "note" }, "text", child)`; `onclick` and the like add listeners. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Makes an SVG element. */
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** An icon from the page's own sprite of outlines. */
export function icon(name) {
  return svg("svg", { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true" },
    svg("path", { d: OUTLINES[name] }));
}

const OUTLINES = {
  copy: "M7 7V4.5A1.5 1.5 0 0 1 8.5 3h7A1.5 1.5 0 0 1 17 4.5v7a1.5 1.5 0 0 1-1.5 1.5H13M4.5 7h7A1.5 1.5 0 0 1 13 8.5v7a1.5 1.5 0 0 1-1.5 1.5h-7A1.5 1.5 0 0 1 3 15.5v-7A1.5 1.5 0 0 1 4.5 7Z",
  done: "m4 10.5 4 4 8-9",
  close: "m5 5 10 10M15 5 5 15",
  chevron: "m7.5 5 5 5-5 5",
};

/** Sets an element's text only when it differs. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets or, with null, removes an attribute only when it differs. */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** The page's element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Keeps a parent's children in step with a list: one `row` per key, updated in place, so focus and open details
 * survive. `make(item)` returns `{ elements, update(item, isNew) }`; returns the rows by key.
 */
export function keyedList(parent, make) {
  let rows = new Map();
  return (items, keyOf) => {
    const next = new Map();
    let cursor = parent.firstElementChild;
    for (const item of items) {
      const key = keyOf(item);
      if (next.has(key)) continue;
      const known = rows.get(key);
      const row = known ?? make(item);
      if (row.item !== item) {
        row.update(item, !known);
        row.item = item;
      }
      next.set(key, row);
      for (const element of row.elements) {
        if (element === cursor) cursor = cursor.nextElementSibling;
        else parent.insertBefore(element, cursor);
      }
    }
    for (const [key, row] of rows) {
      if (!next.has(key)) row.elements.forEach((element) => element.remove());
    }
    rows = next;
    return rows;
  };
}

/** Plays a short CSS animation class again from its start. */
export function play(element, name) {
  element.classList.remove(name);
  void element.getBoundingClientRect();
  element.classList.add(name);
}

/** A button that copies what `text()` returns and says so. */
export function copyButton(label, text) {
  const words = h("span", null, "Copy");
  const button = h("button", { type: "button", class: "button small", "aria-label": label }, icon("copy"), words);
  let timer;
  button.addEventListener("click", async () => {
    const copied = await copy(text());
    setText(words, copied ? "Copied" : "Press Ctrl-C");
    button.classList.toggle("copied", copied);
    clearTimeout(timer);
    timer = setTimeout(() => {
      setText(words, "Copy");
      button.classList.remove("copied");
    }, 2_000);
  });
  return button;
}

/** Copies text; plain-http addresses other than localhost have no clipboard API, so a selection stands in. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { class: "offscreen", "aria-hidden": "true", tabindex: "-1" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
