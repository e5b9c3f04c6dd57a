// What several parts of the page are made of: tiles, tables, badges, and words for amounts.

import { html } from "./charts.js";

export const badge = (kind, text) => html("span", { class: `badge ${kind}` }, text || "–");

/** A number with a name, and what there is to say about it. */
export function tile(label, value, note, extra = null, side = null) {
  return html("div", { class: "tile" },
    html("div", { class: "label" }, html("span", {}, label), side),
    html("div", { class: "number" }, ...value), extra, html("div", { class: "note" }, note));
}

/** Fills a table. heads: [text, class] each; a cell is a text or a `td`. */
export function table(element, heads, rows) {
  element.replaceChildren(
    html("thead", {}, html("tr", {}, ...heads.map(([text, kind]) =>
      html("th", { class: kind }, text)))),
    html("tbody", {}, ...rows.map((row) => html("tr", {}, ...row.map((cell, i) =>
      cell instanceof Node ? cell : html("td", { class: heads[i][1] }, cell))))));
}

export function ago(seconds) {
  if (seconds < 0.95) return "under 1 s";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

export function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = n ? Math.min(4, Math.floor(Math.log10(n) / 3)) : 0;
  return `${Number((n / 1000 ** power).toPrecision(3))} ${units[power]}`;
}
