"use strict";
// Draws the plots from the data in the page, in the colours of the page's theme.
(() => {
  const race = JSON.parse(document.getElementById("race").textContent);
  const narrow = () => window.innerWidth < 560;
  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const config = { displayModeBar: false, responsive: true };
  const escape = (text) =>
    String(text).replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);
  const short = (text, length) => (text.length > length ? text.slice(0, length - 1) + "…" : text);
  const number = (value) => (value === null ? "–" : Number(value).toPrecision(4));
  const signed = (value) => (value > 0 ? "+" : "") + (100 * value).toFixed(1) + " %";

  // Times differ by powers of ten.
  const logTicks = { tickvals: [1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 100000] };
  // Numbers by size; names in the order of the alphabet.
  const bySetting = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b));
  const shown = (setting) =>
    (Number.isInteger(setting) ? setting.toLocaleString("en-US") : String(setting));

  function layout(extra) {
    const axis = {
      gridcolor: colour("faint"), linecolor: colour("faint"), zeroline: false,
      tickfont: { color: colour("soft"), size: 12 }, fixedrange: true,
      title: { font: { color: colour("soft"), size: 12 } },
    };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
      font: { color: colour("ink"), family: getComputedStyle(document.body).fontFamily },
      hoverlabel: { bgcolor: colour("panel"), bordercolor: colour("soft"),
                    font: { color: colour("ink") }, align: "left" },
      hovermode: "closest", dragmode: false,
      ...extra,
      xaxis: { ...axis, ...extra.xaxis, title: { ...axis.title, ...(extra.xaxis || {}).title } },
      yaxis: { ...axis, ...extra.yaxis, title: { ...axis.title, ...(extra.yaxis || {}).title } },
    };
  }

  // One line a cell: a ring for the best heuristic, a dot for the learned contender.
  function drawCells() {
    const cells = race.cells.filter((c) => c.residual !== null && c.best_residual !== null);
    if (!cells.length) {
      document.getElementById("cells-section")?.remove();
      return;
    }
    cells.sort((a, b) => (b.residual - b.best_residual) - (a.residual - a.best_residual));
    const length = narrow() ? 19 : 34;
    const names = cells.map((cell) => {
      const setting = shown(cell.setting);
      return `${short(cell.workload, length - setting.length)}  ${setting}`;
    });
    const shapes = cells.map((cell, row) => ({
      type: "line", x0: cell.best_residual, x1: cell.residual, y0: row, y1: row, layer: "below",
      line: { width: 4, color: colour(cell.residual <= cell.best_residual ? "won" : "lost") },
    }));
    for (const x of [0, 1]) {
      shapes.push({ type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, layer: "below",
                    line: { width: 1.5, dash: x ? "dot" : "dash",
                            color: colour(x ? "default" : "bound") } });
    }
    const text = cells.map((cell) =>
      `<b>${escape(cell.workload)}</b> at ${shown(cell.setting)}<br>` +
      `${escape(race.learned)} ${number(cell.value)} (residual ${cell.residual.toFixed(3)})<br>` +
      `${escape(cell.best)} ${number(cell.best_value)} ` +
      `(residual ${cell.best_residual.toFixed(3)})<br>` +
      `${cell.verdict}: ${signed(cell.excess)}`);
    const rows = cells.map((_, row) => row);
    const dots = (x, marker) => ({
      type: "scatter", mode: "markers", x, y: rows, text, hovertemplate: "%{text}<extra></extra>",
      marker,
    });
    const plot = document.getElementById("cells-plot");
    plot.style.height = `${70 + 24 * cells.length}px`;
    Plotly.react(plot, [
      dots(cells.map((cell) => cell.best_residual),
           { size: 10, color: colour("panel"), line: { width: 2, color: colour("best") } }),
      dots(cells.map((cell) => cell.residual), { size: 11, color: colour("learned") }),
    ], layout({
      shapes, margin: { l: narrow() ? 150 : 240, r: 14, t: 6, b: 44 },
      xaxis: { title: { text: "residual: 0 the bound, 1 " + race.default } },
      yaxis: { tickvals: rows, ticktext: names, range: [-0.7, cells.length - 0.3],
               showgrid: false },
    }), config);
  }

  function drawStandings() {
    const list = race.standings.filter((s) => s.mean_residual !== null && s.kind !== "bound")
      .reverse();
    // What takes a hundred times as long leaves nothing to see of the others: see drawPrices.
    if (!list.length || race.price_label) {
      document.getElementById("standings-section")?.remove();
      return;
    }
    const plot = document.getElementById("standings-plot");
    plot.style.height = `${50 + 25 * list.length}px`;
    Plotly.react(plot, [{
      type: "bar", orientation: "h", x: list.map((s) => s.mean_residual),
      y: list.map((s) => s.contender),
      marker: { color: list.map((s) => colour(s.kind === "learned" ? "learned" : "others")) },
      text: list.map((s) => s.mean_residual.toFixed(3) +
        (narrow() ? "" : `   ${s.cells} cells, best in ${s.best_in}`) +
        (narrow() || s.rank === null ? "" : `, median rank ${s.rank}`)),
      textposition: "auto", insidetextanchor: "end", cliponaxis: false,
      textfont: { color: list.map((s) => colour(s.kind === "learned" ? "panel" : "ink")) },
      hoverinfo: "none",
    }], layout({
      margin: { l: 100, r: 14, t: 4, b: 40 }, bargap: 0.25,
      xaxis: { title: { text: "mean residual" }, rangemode: "tozero" },
      yaxis: { showgrid: false, type: "category" },
    }), config);
  }

  // Time over the bound's against the price, a point a contender. Where the price is 0 there is no
  // logarithm: such points stand at the left edge, below the smallest price that is drawn.
  function drawPrices() {
    const list = race.standings.filter((s) =>
      s.price !== null && s.times_bound !== null && s.contender !== race.control);
    if (!list.length) {
      document.getElementById("prices-section")?.remove();
      return;
    }
    const positive = list.map((s) => s.price).filter((price) => price > 0);
    const first = Math.floor(Math.log10(Math.min(1, ...positive)));
    const last = Math.ceil(Math.log10(Math.max(10, ...positive)));
    const place = (price) => (price > 0 ? Math.max(Math.log10(price), first) : first - 1);
    const ticks = Array.from({ length: last - first + 2 }, (_, i) => first - 1 + i);
    const kind = (s) => (s.contender === race.default ? "default"
      : s.kind === "heuristic" ? "best" : s.kind);
    const heights = list.map((s) => Math.log10(s.times_bound));
    // A name stands on the side where no neighbour is; between two, above and below in turns.
    const aside = (i, sign) => list.some((other, j) =>
      j !== i && Math.abs(heights[j] - heights[i]) < 0.13 &&
      sign * (place(other.price) - place(list[i].price)) >= 0 &&
      Math.abs(place(other.price) - place(list[i].price)) < 0.7);
    let between = 0;
    const positions = list.map((_, i) => {
      if (!aside(i, 1)) return "middle right";
      if (!aside(i, -1)) return "middle left";
      between += 1;
      return between % 2 ? "top center" : "bottom center";
    });
    const plot = document.getElementById("prices-plot");
    plot.style.height = narrow() ? "380px" : "440px";
    Plotly.react(plot, [{
      type: "scatter", mode: "markers+text", x: list.map((s) => place(s.price)),
      y: list.map((s) => s.times_bound), text: list.map((s) => escape(s.contender)),
      textposition: positions,
      textfont: { size: 12,
                  color: list.map((s) => colour(s.kind === "learned" ? "learned" : "ink")) },
      customdata: list.map((s) => `<b>${escape(s.contender)}</b> ${number(s.times_bound)} times ` +
        `the bound, ${number(s.price)} ${escape(race.price_label)}`),
      hovertemplate: "%{customdata}<extra></extra>", cliponaxis: false,
      marker: { opacity: 1, size: list.map((s) => (s.contender === race.learned ? 13 : 9)),
                color: list.map((s) => colour(kind(s))) },
    }], layout({
      margin: { l: 56, r: 60, t: 14, b: 46 },
      xaxis: { title: { text: race.price_label }, tickvals: ticks, range: [first - 1.6, last + 0.2],
               ticktext: ticks.map((t) => (t < first ? "0" : String(+(10 ** t).toPrecision(1)))) },
      yaxis: { type: "log", title: { text: "time, times the bound's" }, dtick: 1 },
    }), config);
  }

  // The settings stand in equal steps: they are few, and often powers of ten apart.
  function drawWorkload(workload, plot) {
    if (new Set(workload.rows.map((row) => row.setting)).size === 1) {
      drawSingle(workload, plot);
      return;
    }
    const settings = [...new Set(workload.rows.map((row) => row.setting))].sort(bySetting);
    const labels = settings.map(shown);
    const series = new Map();
    for (const row of workload.rows) {
      if (!series.has(row.contender)) series.set(row.contender, []);
      series.get(row.contender).push(row);
    }
    const looks = {
      learned: { color: colour("learned"), width: 3.5, size: 9, order: 5 },
      bound: { color: colour("bound"), width: 2, size: 6, dash: "dash", order: 2 },
      default: { color: colour("default"), width: 2, size: 6, dash: "dot", order: 3 },
      best: { color: colour("best"), width: 2, size: 7, order: 4 },
      heuristic: { color: colour("others"), width: 1.2, size: 5, order: 1 },
      also: { color: colour("learned"), width: 1.2, size: 5, order: 3 },
    };
    const trace = (name, rows, look) => ({
      type: "scatter", mode: "lines+markers", name,
      x: rows.map((row) => shown(row.setting)), y: rows.map((row) => row.value),
      text: rows.map((row) => `<b>${escape(row.contender)}</b> ${number(row.value)}`),
      hovertemplate: "%{text}<extra></extra>",
      line: { color: look.color, width: look.width, dash: look.dash || "solid" },
      marker: { color: look.color, size: look.size },
      error_y: { type: "data", symmetric: false, color: look.color, thickness: 1.5, width: 3,
                 visible: look === looks.learned,
                 array: rows.map((row) => row.high - row.value),
                 arrayminus: rows.map((row) => row.value - row.low) },
      order: look.order,
    });
    const traces = [];
    for (const [name, rows] of series) {
      rows.sort((a, b) => bySetting(a.setting, b.setting));
      const also = rows[0].kind === "learned" && name !== race.learned;
      const kind = name === race.default ? "default" : also ? "also" : rows[0].kind;
      traces.push(trace(name, rows, looks[kind]));
    }
    const sign = race.goal === "minimize" ? 1 : -1;
    const better = (a, b) => sign * a.value < sign * b.value;
    const best = settings.map((setting) => workload.rows
      .filter((row) => row.setting === setting && row.kind === "heuristic")
      .reduce((a, b) => (a === null || better(b, a) ? b : a), null)).filter(Boolean);
    if (best.length) traces.push(trace("best heuristic", best, looks.best));
    traces.sort((a, b) => a.order - b.order);
    Plotly.react(plot, traces, layout({
      margin: { l: 46, r: 10, t: 8, b: 40 },
      xaxis: { type: "category", categoryorder: "array", categoryarray: labels,
               title: { text: race.setting_label }, range: [-0.4, labels.length - 0.6] },
      yaxis: race.timed ? { type: "log", ...logTicks } : { nticks: 6 },
    }), config);
  }

  // One setting only makes no line: the contenders stand in their order instead.
  function drawSingle(workload, plot) {
    const sign = race.goal === "minimize" ? 1 : -1;
    const rows = [...workload.rows].sort((a, b) => sign * (b.value - a.value));
    const kind = (row) => (row.contender === race.default ? "default"
      : row.kind === "heuristic" ? "heuristic" : row.kind);
    const tint = { learned: "learned", bound: "bound", default: "default", heuristic: "best" };
    const learned = (row) => row.contender === race.learned;
    Plotly.react(plot, [{
      type: "scatter", mode: "markers", x: rows.map((row) => row.value),
      y: rows.map((row) => row.contender),
      text: rows.map((row) => `<b>${escape(row.contender)}</b> ${number(row.value)}`),
      hovertemplate: "%{text}<extra></extra>",
      marker: { opacity: 1, size: rows.map((row) => (learned(row) ? 11 : 7)),
                color: rows.map((row) => colour(tint[kind(row)])) },
    }], layout({
      margin: { l: 84, r: 12, t: 4, b: 40 },
      xaxis: { ...(race.timed ? { type: "log", ...logTicks } : { nticks: 5 }),
               title: { text: `${race.label} at ${shown(rows[0].setting)}` } },
      yaxis: { type: "category", tickvals: rows.map((row) => row.contender), tickfont: { size: 10,
               color: colour("soft") },
               ticktext: rows.map((row) => (learned(row) ? `<b>${escape(row.contender)}</b>`
                                                         : escape(row.contender))) },
    }), config);
  }

  function cards() {
    const grid = document.getElementById("workloads");
    return race.workloads.map((workload) => {
      const card = document.createElement("div");
      card.className = "card";
      const chips = race.cells.filter((cell) => cell.workload === workload.name && cell.verdict)
        .map((cell) => `<span>${shown(cell.setting)}: <b class="${cell.verdict}-text">` +
                       `${cell.verdict} ${signed(cell.excess)}</b> vs ${escape(cell.best)}</span>`);
      card.innerHTML = `<h3>${escape(workload.name)}</h3>` +
        `<p class="detail">${escape(workload.detail)}</p>` +
        `<p class="chips">${chips.join("")}</p><div class="plot"></div>`;
      grid.append(card);
      return [workload, card.querySelector(".plot")];
    });
  }

  const plots = cards();
  function draw() {
    drawCells();
    drawStandings();
    drawPrices();
    for (const [workload, plot] of plots) drawWorkload(workload, plot);
    document.documentElement.dataset.drawn = "yes";
  }
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  matchMedia("(max-width: 559px)").addEventListener("change", draw);
})();
