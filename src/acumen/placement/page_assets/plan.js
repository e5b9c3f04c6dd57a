"use strict";
// Draws the timeline from the data in the page, in the colours of the page's theme.
(() => {
  const plan = JSON.parse(document.getElementById("plan").textContent);
  const root = document.getElementById("timeline");
  const tip = document.getElementById("tip");
  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  // Heights in CSS pixels; less of each where there are many devices.
  const many = plan.devices.length > 12;
  const COMPUTE = many ? 16 : 26, COPIES = many ? 8 : 13, CURVE = many ? 24 : 46, GAP = 3;
  const ZOOM_MAX = 1e6;
  let from = 0, span = plan.ticks; // what is seen

  const time = (ticks) => {
    const s = (ticks / plan.ticks) * plan.seconds;
    const [unit, size] = s >= 1 ? ["s", 1] : s >= 1e-3 ? ["ms", 1e-3] : ["µs", 1e-6];
    return `${Number((s / size).toPrecision(4)).toLocaleString("en-US")} ${unit}`;
  };
  const size = (bytes) => {
    for (const [unit, one] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
      if (bytes >= one) return `${(bytes / one).toFixed(2)} ${unit}`;
    }
    return `${bytes} bytes`;
  };
  const share = (part) => `${(100 * part).toFixed(part < 0.1 ? 1 : 0)} %`;

  function make(kind, name, parent) {
    const element = document.createElement(kind);
    if (name) element.className = name;
    parent.append(element);
    return element;
  }

  const axis = make("canvas", "axis", root);
  const idle = plan.devices.filter((device) =>
    !device.lanes.length && !device.bytes.some((held) => held));
  const rows = plan.devices.filter((device) => !idle.includes(device)).map((device) => {
    const busy = device.lanes.filter((lane) => lane.kind === "compute")
      .reduce((sum, lane) => sum + lane.busy.reduce((a, b) => a + b, 0), 0);
    const head = make("p", "device", root);
    make("b", "", head).textContent = device.name;
    const limit = device.limit === null ? "" : ` of ${size(device.limit)}`;
    head.append(` ${device.kind} · computes ${share(busy / plan.ticks)} of the step · ` +
                `holds up to ${size(device.peak)}${limit}`);
    let y = 0;
    const lanes = device.lanes.map((lane) => {
      const height = lane.kind === "compute" ? COMPUTE : COPIES;
      y += height + GAP;
      return { lane, top: y - height - GAP, height };
    });
    const canvas = make("canvas", "", root);
    return { device, lanes, canvas, curve: y, height: y + CURVE + 2 };
  });

  if (idle.length) {
    make("p", "device", root).textContent =
      `Nothing runs on ${idle.map((device) => device.name).join(", ")}.`;
  }

  const gutter = () => (root.clientWidth < 560 ? 0 : 88);
  const width = () => root.clientWidth - gutter();
  const x = (ticks) => gutter() + ((ticks - from) / span) * width();

  function begin(canvas, height) {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(root.clientWidth * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    pen.textBaseline = "middle";
    return pen;
  }

  // The first of ascending values that is above a limit.
  function above(values, limit) {
    let low = 0, high = values.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[middle] > limit) high = middle; else low = middle + 1;
    }
    return low;
  }

  function marks() {
    const wanted = Math.max(2, width() / 110), raw = (plan.seconds * span) / plan.ticks / wanted;
    const ten = 10 ** Math.floor(Math.log10(raw));
    const step = ([1, 2, 5, 10].find((one) => one * ten >= raw) || 10) * ten;
    const ticks = (step / plan.seconds) * plan.ticks, found = [];
    for (let n = Math.ceil(from / ticks); n * ticks <= from + span; n++) found.push(n * ticks);
    return found;
  }

  function drawAxis(ticks) {
    const pen = begin(axis, 20);
    pen.fillStyle = colour("soft");
    for (const tick of ticks) {
      const at = x(tick), label = tick ? time(tick) : "0";
      const long = pen.measureText(label).width;
      pen.fillText(label, Math.min(Math.max(at - long / 2, 0), root.clientWidth - long), 9);
      pen.fillRect(at, 16, 1, 4);
    }
  }

  function drawLane(pen, { lane, top, height }, colours) {
    const right = root.clientWidth, first = Math.max(0, above(lane.start, from) - 1);
    for (let i = first; i < lane.start.length && lane.start[i] < from + span; i++) {
      const length = lane.end[i] - lane.start[i];
      if (length <= 0) continue;
      const left = Math.max(x(lane.start[i]), gutter());
      const wide = Math.min(x(lane.end[i]), right) - left;
      if (wide <= 0) continue;
      // What stands for many is as tall as something runs in it.
      const tall = lane.count[i] > 1 ? Math.max(1, height * lane.busy[i] / length) : height;
      pen.fillStyle = lane.kind === "copies" ? colours.copies
        : lane.backward[i] ? colours.backward : colours.forward;
      pen.fillRect(left, top + height - tall, wide > 3 ? wide - 0.6 : Math.max(wide, 0.5), tall);
      if (wide > 46 && height >= 12 && lane.count[i] === 1) {
        pen.save();
        pen.beginPath();
        pen.rect(left, top, wide - 4, height);
        pen.clip();
        pen.fillStyle = colours.panel;
        pen.fillText(lane.name[i], left + 4, top + height / 2 + 0.5);
        pen.restore();
      }
    }
  }

  function drawCurve(pen, { device, curve }, colours) {
    const most = device.bytes.reduce((a, b) => Math.max(a, b), 1);
    const top = Math.max(device.limit || 0, device.peak, most) * 1.08;
    const y = (bytes) => curve + CURVE * (1 - bytes / top);
    const end = Math.min(x(plan.ticks), root.clientWidth);
    const first = Math.max(0, above(device.times, from) - 1);
    pen.beginPath();
    pen.moveTo(Math.max(x(device.times[first]), gutter()), curve + CURVE);
    for (let i = first; i < device.times.length && device.times[i] <= from + span; i++) {
      const at = Math.max(x(device.times[i]), gutter());
      if (i > first) pen.lineTo(at, y(device.bytes[i - 1]));
      pen.lineTo(at, y(device.bytes[i]));
    }
    const last = Math.max(first, above(device.times, from + span) - 1);
    pen.lineTo(end, y(device.bytes[last]));
    pen.lineTo(end, curve + CURVE);
    pen.fillStyle = colours.held;
    pen.globalAlpha = 0.45;
    pen.fill();
    pen.globalAlpha = 1;
    if (device.limit !== null) {
      pen.strokeStyle = colours.lost;
      pen.setLineDash([5, 4]);
      pen.beginPath();
      pen.moveTo(gutter(), y(device.limit));
      pen.lineTo(root.clientWidth, y(device.limit));
      pen.stroke();
      pen.setLineDash([]);
    }
  }

  function draw() {
    const ticks = marks();
    drawAxis(ticks);
    const names = ["forward", "backward", "copies", "held", "lost", "panel", "soft", "faint"];
    const colours = Object.fromEntries(names.map((name) => [name, colour(name)]));
    for (const row of rows) {
      const pen = begin(row.canvas, row.height);
      pen.fillStyle = colours.faint;
      for (const tick of ticks) pen.fillRect(x(tick), 0, 1, row.height);
      for (const one of row.lanes) drawLane(pen, one, colours);
      drawCurve(pen, row, colours);
      pen.fillStyle = colours.faint;
      pen.fillRect(gutter(), row.curve + CURVE, width(), 1);
      if (!gutter()) continue;
      pen.fillStyle = colours.soft;
      for (const { lane, top, height } of row.lanes) {
        if (height >= 10) pen.fillText(lane.label, 0, top + height / 2 + 0.5, gutter() - 6);
      }
      pen.fillText("memory", 0, row.curve + CURVE / 2, gutter() - 6);
    }
    root.dataset.drawn = "yes";
  }

  let waiting = false;
  function later() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }

  function look(start, length) {
    span = Math.min(plan.ticks, Math.max(plan.ticks / ZOOM_MAX, length));
    from = Math.min(Math.max(0, start), plan.ticks - span);
    later();
  }

  function zoom(factor, at = from + span / 2) {
    const length = Math.min(plan.ticks, Math.max(plan.ticks / ZOOM_MAX, span * factor));
    look(at - (at - from) * (length / span), length);
  }

  function found(row, at, y) {
    for (const { lane, top, height } of row.lanes) {
      if (y < top || y > top + height) continue;
      const near = (2 / width()) * span; // what is thinner than a dot can be met too
      const last = above(lane.start, at + near) - 1;
      for (let i = last; i >= 0 && i > last - 4; i--) {
        if (lane.end[i] >= at - near && lane.end[i] > lane.start[i]) return described(lane, i);
      }
      return null;
    }
    if (y < row.curve) return null;
    const i = Math.max(0, above(row.device.times, at) - 1);
    return [`${row.device.name} holds ${size(row.device.bytes[i])}`, `at ${time(at)}`];
  }

  function described(lane, i) {
    const when = `${time(lane.start[i])} to ${time(lane.end[i])}`;
    const length = lane.end[i] - lane.start[i], many = lane.count[i] > 1;
    const about = lane.kind === "copies" ? `, ${size(lane.bytes[i])}` : "";
    const where = lane.kind === "copies" ? ` to ${plan.devices[lane.to[i]].name}` : "";
    if (!many) return [`${lane.name[i]}${where}`, `${time(length)}${about}: ${when}`];
    const what = lane.kind === "copies" ? "copies" : "operators";
    return [
      `${lane.count[i].toLocaleString("en-US")} ${what}, drawn together`,
      `${time(lane.busy[i])} of ${time(length)}${about}: ${when}`,
      `the longest: ${lane.name[i]}${where}`,
    ];
  }

  function tell(lines, event) {
    tip.hidden = !lines;
    if (!lines) return;
    tip.replaceChildren();
    for (const line of lines) make("p", "", tip).textContent = line;
    const { width: wide, height: tall } = tip.getBoundingClientRect();
    const below = event.clientY + 16 + tall < window.innerHeight;
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 12, window.innerWidth - wide - 6))}px`;
    tip.style.top = `${below ? event.clientY + 16 : Math.max(4, event.clientY - tall - 12)}px`;
  }

  let held = null;
  for (const row of rows) {
    const spot = (event) => {
      const box = row.canvas.getBoundingClientRect();
      const at = from + ((event.clientX - box.left - gutter()) / width()) * span;
      return { at, y: event.clientY - box.top };
    };
    row.canvas.addEventListener("pointerdown", (event) => {
      held = { x: event.clientX, from };
      row.canvas.setPointerCapture(event.pointerId);
      const { at, y } = spot(event);
      tell(at < from ? null : found(row, at, y), event);
    });
    row.canvas.addEventListener("pointermove", (event) => {
      if (held) {
        if (Math.abs(event.clientX - held.x) > 3) tell(null);
        look(held.from - ((event.clientX - held.x) / width()) * span, span);
        return;
      }
      const { at, y } = spot(event);
      tell(at < from ? null : found(row, at, y), event);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      row.canvas.addEventListener(name, () => { held = null; });
    }
    row.canvas.addEventListener("pointerleave", () => tell(null));
    row.canvas.addEventListener("dblclick", (event) => zoom(0.4, spot(event).at));
    row.canvas.addEventListener("wheel", (event) => {
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        zoom(Math.exp(event.deltaY / 300), spot(event).at);
      } else if (event.shiftKey) {
        event.preventDefault();
        look(from + ((event.deltaY + event.deltaX) / width()) * span, span);
      }
    }, { passive: false });
  }
  document.getElementById("in").addEventListener("click", () => zoom(0.5));
  document.getElementById("out").addEventListener("click", () => zoom(2));
  document.getElementById("whole").addEventListener("click", () => look(0, plan.ticks));
  root.addEventListener("keydown", (event) => {
    const act = {
      "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => look(0, plan.ticks),
      ArrowLeft: () => look(from - span / 8, span), ArrowRight: () => look(from + span / 8, span),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    act();
  });
  window.addEventListener("resize", later);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later);
  if (plan.seconds > 0) draw(); else document.getElementById("timeline-section").remove();
})();
