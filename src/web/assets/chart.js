// The equity curve: a small SVG line over time, drawn from the values seen since the page was opened.

import { svg } from "./dom.js";

const WIDTH = 600;
const HEIGHT = 120;
const PAD = 6;

/** Returns the x,y pairs of a curve scaled into the box, with the lowest and highest point. */
export function scaled(points) {
  const first = points[0];
  const last = points.at(-1);
  const values = points.map((point) => point.value);
  const low = Math.min(...values);
  const high = Math.max(...values);
  const time = last.at - first.at || 1;
  const range = high - low;
  const y = (value) => (range === 0 ? HEIGHT / 2 : PAD + (1 - (value - low) / range) * (HEIGHT - 2 * PAD));
  const xy = points.map((point) => [((point.at - first.at) / time) * WIDTH, y(point.value)]);
  return { xy, start: y(first.value) };
}

/** Makes the empty chart; the returned function draws a curve into it and puts `label` in words. */
export function curveChart(parent) {
  const start = svg("line", { class: "start", x1: 0, x2: WIDTH, "vector-effect": "non-scaling-stroke" });
  const area = svg("path", { class: "area" });
  const line = svg("path", { class: "line", "vector-effect": "non-scaling-stroke" });
  const shade = svg("linearGradient", { id: "shade", x1: 0, x2: 0, y1: 0, y2: 1 },
    svg("stop", { class: "shade-top", offset: "0" }), svg("stop", { class: "shade-end", offset: "1" }));
  const chart = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    svg("defs", null, shade), area, start, line);
  parent.append(chart);

  return (points, label, direction) => {
    chart.setAttribute("aria-label", label);
    parent.dataset.direction = direction;
    if (points.length === 0) return;
    const flat = { ...points[0], at: points[0].at + 1 };
    const { xy, start: y } = scaled(points.length === 1 ? [points[0], flat] : points);
    const path = xy.map(([x, top], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${top.toFixed(1)}`).join("");
    line.setAttribute("d", path);
    area.setAttribute("d", xy.every(([, top]) => top === y) ? "" : `${path}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z`);
    start.setAttribute("y1", y.toFixed(1));
    start.setAttribute("y2", y.toFixed(1));
  };
}
