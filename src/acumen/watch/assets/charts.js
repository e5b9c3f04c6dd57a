// Charts in SVG, drawn by hand: lines with bands, stacked shares, bars, and an interval.
// Colours come from classes, texts go in as text: nothing from a journal becomes markup.

const SVG = "http://www.w3.org/2000/svg";
const HOLE = 3;  // buckets without a value that a line goes across
const LEFT = 46, RIGHT = 8, TOP = 12, BOTTOM = 20;

/** An HTML element; `null` children are left out. */
export function html(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A number for people: 1,234, 0.0123, 1.2M. */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1e5) {
    return new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 })
      .format(value);
  }
  if (size >= 100) return new Intl.NumberFormat("en", { maximumFractionDigits: 0 }).format(value);
  if (size !== 0 && size < 1e-4) return value.toExponential(1).replace("-", "−");
  return String(Number(value.toPrecision(3))).replace("-", "−");
}

export const percent = (share) => `${number(Number((100 * share).toPrecision(3)))} %`;
export const signed = (value) => (value > 0 ? "+" : "") + number(value);

/** A time of day, or a date where the range is long. */
export function clock(seconds, range) {
  const date = new Date(seconds * 1000);
  const two = (n) => String(n).padStart(2, "0");
  const time = `${two(date.getHours())}:${two(date.getMinutes())}`;
  if (range <= 600) return `${time}:${two(date.getSeconds())}`;
  if (range <= 100_000) return time;
  const day = date.toLocaleDateString("en", { day: "numeric", month: "short" });
  return range <= 2e6 ? `${day} ${time}` : day;
}

// One crosshair for all charts: where the pointer is in one, the others show the same time.
const charts = new Set();
let hovered = null;

function hover(time, source) {
  hovered = time === null ? null : { time, source };
  for (const chart of charts) chart.point();
}

/** A chart over time in a card of its own. */
export class TimeChart {
  constructor(title, hint, { stacked = false, format = number, zero = false } = {}) {
    this.options = { stacked, format, zero };
    this.legend = html("div", { class: "legend" });
    this.plot = html("div", { class: "plot" });
    this.element = html("article", { class: "card" }, html("h2", {}, title),
      html("p", { class: "hint" }, hint), this.legend, this.plot);
    this.tip = html("div", { class: "tip", hidden: "" });
    this.title = title;
    this.data = null;
    charts.add(this);
    new ResizeObserver(() => this.data && this.draw(this.data)).observe(this.plot);
    this.plot.addEventListener("pointermove", (event) => this.moved(event));
    this.plot.addEventListener("pointerleave", () => hover(null));
  }

  /** data: {start, end, series: [{name, color, values, step, low, high, area, dashed}],
   *         marks: [{time, kind, title}], nothing: text} */
  draw(data) {
    this.data = data;
    this.width = this.plot.clientWidth;
    this.height = this.plot.clientHeight;
    if (!this.width) return;
    const shown = data.series.filter((s) => s.values.some((v) => v !== null));
    this.shown = shown;
    this.legend.replaceChildren(...data.series.map((s) =>
      html("span", { class: s.color, title: s.name }, html("i"), html("em", {}, s.name))));
    const [low, high] = this.options.stacked ? [0, 1] : domain(shown, this.options.zero);
    this.x = (t) => LEFT + (t - data.start) / (data.end - data.start)
      * (this.width - LEFT - RIGHT);
    this.y = (v) => TOP + (high - v) / (high - low) * (this.height - TOP - BOTTOM);
    const inner = svg("svg", { x: LEFT, y: 0, width: Math.max(1, this.width - LEFT - RIGHT),
      height: this.height - BOTTOM + 1, overflow: "hidden" });
    const shift = svg("g", { transform: `translate(${-LEFT} 0)` });
    inner.append(shift);
    this.cross = svg("line", { class: "cross", y1: TOP, y2: this.height - BOTTOM,
      visibility: "hidden" });
    const picture = svg("svg", { role: "img", "aria-label": this.describe(shown) },
      ...this.axes(low, high), inner, ...this.marks(data.marks ?? []), this.cross);
    if (this.options.stacked) this.stack(shift, shown);
    else for (const s of shown) this.line(shift, s);
    this.plot.replaceChildren(picture, this.tip);
    if (!shown.length) {
      this.plot.append(html("div", { class: "nothing" }, data.nothing ?? "nothing yet"));
    }
    this.point();
  }

  describe(shown) {
    const last = (s) => s.values.findLast((v) => v !== null);
    return `${this.title}: ` + (shown.map((s) => `${s.name} ${this.options.format(last(s))}`)
      .join(", ") || "nothing yet");
  }

  axes(low, high) {
    const parts = [];
    const marks = this.options.stacked ? [0, 0.5, 1] : ticks(low, high, 4);
    for (const value of marks) {
      const y = this.y(value);
      const zero = value === 0 && low < 0;
      parts.push(svg("line", { class: zero ? "zero" : "grid", x1: LEFT,
        x2: this.width - RIGHT, y1: y, y2: y }));
      parts.push(svg("text", { x: LEFT - 7, y: y + 3.5, "text-anchor": "end" },
        this.options.stacked ? `${100 * value} %` : this.options.format(value)));
    }
    const { start, end } = this.data;
    const count = Math.max(3, Math.min(6, Math.floor((this.width - LEFT) / 80)));
    for (const time of times(start, end, count)) {
      const x = this.x(time);
      if (x < LEFT + 8 || x > this.width - RIGHT - 12) continue;
      parts.push(svg("text", { x, y: this.height - 4, "text-anchor": "middle" },
        clock(time, end - start)));
    }
    return parts;
  }

  marks(marks) {
    const { start, end } = this.data;
    return marks.filter((m) => m.time >= start && m.time <= end).flatMap((m) => {
      const x = this.x(m.time);
      const top = TOP - 6;
      return [
        svg("line", { class: `mark ${m.kind}`, x1: x, x2: x, y1: TOP, y2: this.height - BOTTOM }),
        svg("path", { class: `mark-top ${m.kind}`, d: `M${x - 4} ${top}h8l-4 6z` },
          svg("title", {}, m.title)),
      ];
    });
  }

  at(series, i) {
    return this.data.start + (i + 0.5) * series.step;
  }

  line(parent, s) {
    const known = s.values.map((v, i) => i).filter((i) => s.values[i] !== null);
    const sure = s.low ? known.filter((i) => s.low[i] !== null && s.high[i] !== null) : [];
    const x = (i) => this.x(this.at(s, i)).toFixed(1);
    const path = (list, values) => list.map((i) => `${x(i)} ${this.y(values[i]).toFixed(1)}`)
      .join("L");
    const bands = runs(sure, s.bridge).filter((run) => run.length > 1).map((run) =>
      `M${path(run, s.high)}L${path(run.toReversed(), s.low)}Z`);
    const base = this.y(0).toFixed(1);
    const lines = runs(known, s.bridge);
    const areas = s.area ? lines.map((run) =>
      `M${x(run[0])} ${base}L${path(run, s.values)}L${x(run.at(-1))} ${base}Z`) : [];
    const fill = [...bands, ...areas].join("");
    if (fill) parent.append(svg("path", { class: `fill-path ${s.color}`, d: fill }));
    // A point by itself becomes a dot: a line of no length with round ends.
    const drawn = lines.map((run) => `M${path(run.length > 1 ? run : [run[0], run[0]], s.values)}`);
    parent.append(svg("path", { class: `line-path ${s.dashed ? "dashed" : ""} ${s.color}`,
      d: drawn.join("") }));
  }

  stack(parent, shown) {
    const n = shown[0]?.values.length ?? 0;
    const totals = Array.from({ length: n }, (_, i) =>
      shown.reduce((sum, s) => sum + (s.values[i] ?? 0), 0));
    const below = new Array(n).fill(0);
    for (const s of shown) {
      const steps = [];
      for (let i = 0; i < n; i += 1) {
        if (!totals[i]) continue;
        const share = (s.values[i] ?? 0) / totals[i];
        const [a, b] = [0, 1].map((k) => this.x(this.data.start + (i + k) * s.step));
        steps.push({ i, a, b, from: this.y(below[i]), to: this.y(below[i] + share) });
        below[i] += share;
      }
      const runs = [];
      for (const step of steps) {
        const run = runs.at(-1);
        if (run && run.at(-1).i === step.i - 1) run.push(step);
        else runs.push([step]);
      }
      const d = runs.map((run) => {
        const up = run.map((p) => `${p.a.toFixed(1)} ${p.to.toFixed(1)}L${(p.b + 0.3).toFixed(1)}`
          + ` ${p.to.toFixed(1)}`);
        const down = run.reverse().map((p) => `${(p.b + 0.3).toFixed(1)} ${p.from.toFixed(1)}`
          + `L${p.a.toFixed(1)} ${p.from.toFixed(1)}`);
        return `M${up.join("L")}L${down.join("L")}Z`;
      }).join("");
      parent.append(svg("path", { class: `fill-path solid ${s.color}`, d }));
    }
  }

  moved(event) {
    const box = this.plot.getBoundingClientRect();
    const x = event.clientX - box.left;
    if (!this.data || x < LEFT || x > this.width - RIGHT) return hover(null);
    const { start, end } = this.data;
    hover(start + (x - LEFT) / (this.width - LEFT - RIGHT) * (end - start), this);
  }

  point() {
    if (!this.data || !this.cross) return;
    const time = hovered?.time;
    const inside = hovered && time >= this.data.start && time <= this.data.end;
    this.cross.setAttribute("visibility", inside ? "visible" : "hidden");
    this.tip.hidden = !(inside && hovered.source === this && this.shown.length);
    if (!inside) return;
    const x = this.x(time);
    this.cross.setAttribute("x1", x);
    this.cross.setAttribute("x2", x);
    if (this.tip.hidden) return;
    const index = (s) => Math.min(s.values.length - 1,
      Math.max(0, Math.floor((time - this.data.start) / s.step)));
    const total = this.shown.reduce((sum, s) => sum + (s.values[index(s)] ?? 0), 0);
    this.tip.replaceChildren(html("b", {}, clock(time, this.data.end - this.data.start)),
      ...this.shown.map((s) => {
        const value = s.values[index(s)];
        const text = this.options.stacked ? (total ? percent((value ?? 0) / total) : "–")
          : this.options.format(value);
        return html("div", {}, html("span", { class: s.color }, html("i"),
          html("em", {}, s.name)), html("em", {}, text));
      }));
    const right = x > this.width / 2;
    this.tip.style.left = right ? "" : `${x + 12}px`;
    this.tip.style.right = right ? `${this.width - x + 12}px` : "";
  }
}

/** Indices in stretches without larger holes; `bridge`: what is not there was as before. */
function runs(indices, bridge = false) {
  const found = [];
  for (const i of indices) {
    const run = found.at(-1);
    if (run && (bridge || i - run.at(-1) <= HOLE)) run.push(i);
    else found.push([i]);
  }
  return found;
}

function domain(series, zero) {
  const values = series.flatMap((s) => s.values.filter((v) => v !== null));
  if (!values.length) return [0, 1];
  // An interval is endless at first: the axis is for most of it.
  for (const s of series) {
    for (const [edge, share] of [[s.low, 0.12], [s.high, 0.88]]) {
      const sorted = (edge ?? []).filter((v) => v !== null).sort((a, b) => a - b);
      if (sorted.length) values.push(sorted[Math.round(share * (sorted.length - 1))],
        (edge ?? []).findLast((v) => v !== null));
    }
  }
  let low = Math.min(...values), high = Math.max(...values);
  if (zero || series.some((s) => s.area)) [low, high] = [Math.min(0, low), Math.max(0, high)];
  if (low === high) {
    const half = (Math.abs(low) || 1) / 2;
    [low, high] = [low - half, high + half];
  }
  const room = (high - low) * 0.07;
  return [low === 0 ? 0 : low - room, high === 0 ? 0 : high + room];
}

function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough) ?? rough;
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) {
    found.push(Math.abs(v) < step * 1e-9 ? 0 : v);
    if (found.length > 12) break;
  }
  return found;
}

function times(start, end, count) {
  const steps = [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400,
    172800, 345600, 604800, 1209600, 2592000, 5184000];
  const step = steps.find((s) => s >= (end - start) / count) ?? (end - start) / count;
  const zone = new Date(end * 1000).getTimezoneOffset() * 60;
  const found = [];
  for (let t = Math.ceil((start - zone) / step) * step + zone; t <= end; t += step) found.push(t);
  return found;
}

/** A line without axes, for a list. */
export function sparkline(values) {
  const most = Math.max(...values, 1e-9);
  const n = values.length - 1;
  const points = values.map((v, i) => `${(100 * i / n).toFixed(1)} ${(25 - 23 * v / most)
    .toFixed(1)}`).join("L");
  return svg("svg", { viewBox: "0 0 100 26", preserveAspectRatio: "none", "aria-hidden": "true",
    class: "c-accent" },
    svg("path", { class: "fill-path", d: `M0 26L${points}L100 26Z` }),
    svg("path", { class: "line-path", d: `M${points}`, "vector-effect": "non-scaling-stroke" }));
}

/** An interval and its middle beside zero; null where it is endless. */
export function interval(low, value, high, color) {
  const width = 240;
  const picture = svg("svg", { viewBox: `0 0 ${width} 26`, "aria-hidden": "true", class: color });
  if (low === null || high === null) return picture;
  const most = 1.15 * Math.max(Math.abs(low), Math.abs(high), 1e-12);
  const x = (v) => (width / 2) * (1 + v / most);
  picture.append(
    svg("line", { x1: 0, x2: width, y1: 13, y2: 13, stroke: "var(--faint)" }),
    svg("line", { x1: width / 2, x2: width / 2, y1: 2, y2: 24, stroke: "var(--soft)",
      "stroke-dasharray": "2 2" }),
    svg("rect", { x: x(low), width: Math.max(2, x(high) - x(low)), y: 9, height: 8, rx: 4,
      fill: "currentColor", opacity: 0.35 }),
    svg("circle", { cx: x(value), cy: 13, r: 5, fill: "currentColor" }));
  return picture;
}

/** Bars of equal width over 0 to 1. */
export class Histogram {
  constructor(title, hint) {
    this.plot = html("div", { class: "plot" });
    this.legend = html("div", { class: "legend" });
    this.element = html("article", { class: "card" }, html("h2", {}, title),
      html("p", { class: "hint" }, hint), this.legend, this.plot);
    this.title = title;
    new ResizeObserver(() => this.counts && this.draw(this.counts)).observe(this.plot);
  }

  draw(counts, note = this.note) {
    this.counts = counts;
    this.note = note;
    const width = this.plot.clientWidth, height = this.plot.clientHeight;
    if (!width) return;
    this.legend.replaceChildren(html("span", { class: "c-accent" }, html("i"),
      html("em", {}, note ?? "")));
    const total = counts.reduce((a, b) => a + b, 0);
    const most = Math.max(...counts) / (total || 1) || 1;
    const step = (width - LEFT - RIGHT) / counts.length;
    const y = (share) => TOP + (1 - share / most) * (height - TOP - BOTTOM);
    const marks = ticks(0, most, 3).flatMap((v) => [
      svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(v), y2: y(v) }),
      svg("text", { x: LEFT - 7, y: y(v) + 3.5, "text-anchor": "end" }, percent(v)),
    ]);
    const bars = counts.map((count, i) => {
      const share = count / (total || 1);
      const [from, to] = [i, i + 1].map((k) => (k / counts.length).toFixed(2));
      return svg("rect", { x: LEFT + i * step + 1, width: Math.max(1, step - 2), rx: 2,
        y: y(share), height: Math.max(0, height - BOTTOM - y(share)), class: "c-accent",
        fill: "currentColor", opacity: 0.85 },
        svg("title", {}, `${from} to ${to}: ${percent(share)}`));
    });
    const labels = [0, 0.25, 0.5, 0.75, 1].map((v) => svg("text", { x: LEFT + v * step
      * counts.length, y: height - 4, "text-anchor": v === 1 ? "end" : "middle" }, String(v)));
    this.plot.replaceChildren(svg("svg", { role: "img", "aria-label": this.title },
      ...marks, ...bars, ...labels));
    if (!total) this.plot.append(html("div", { class: "nothing" }, "no decision in this range"));
  }
}
