// The page: asks for one choice over one range, and draws what comes, once a second.

import { Histogram, TimeChart, clock, html, interval, number, percent, signed, sparkline }
  from "./charts.js";
import { fleetCard, fleetTile } from "./fleet.js";
import { ago, badge, bytes, table, tile } from "./parts.js";

const RANGES = { "5m": "5 min", "1h": "1 h", "24h": "24 h", "14d": "14 d", "1y": "1 y" };
const COLORS = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];
const REASONS = { learned: "c-learned", holdback: "c-default", control: "c5",
  shadow: "c-other", off: "c-other", killed: "c-bad", bad_context: "c-warn", busy: "c2",
  no_model: "c7", learner_failed: "c3", default_failed: "c3" };
const MANY = 10;  // choices, from which on they can be searched
const SNIPPET = `import acumen

codec = acumen.Choice("codec", arms=["lz4", "zstd"],
                      context={"size": float}, default="zstd",
                      metric=acumen.minimize("seconds"),
                      journal=DIRECTORY)
codec.choose(size=81_920).feedback(seconds=0.012)`;
const JOIN = `from acumen import fleet

follower = fleet.join(codec, "s3://bucket/acumen/codec", address="head:6379")`;
const by = (id) => document.getElementById(id);

const charts = {
  traffic: new TimeChart("Traffic", "Decisions and feedback per second.", { zero: true }),
  difference: new TimeChart("Learned against default",
    "In mean reward, from the random holdback; the interval holds at all times at once.",
    { zero: true, format: signed }),
  arms: new TimeChart("Arms over time", "Share of decisions.", { stacked: true }),
  rewards: new TimeChart("Reward", "Mean of the feedback that came, with a 95 % interval."),
  reasons: new TimeChart("Who decided", "Share of decisions by reason.", { stacked: true }),
  propensity: new Histogram("Propensities",
    "Probability with which the arm was sampled; decisions in this range."),
};
by("charts").append(...Object.values(charts).map((chart) => chart.element));

let wanted = asked();
let source = null;
let newest = null;
let received = 0;

function asked() {
  const said = new URLSearchParams(location.hash.slice(1));
  const range = said.get("range");
  return { choice: said.get("choice"), range: range in RANGES ? range : "5m" };
}

function want(changes) {
  wanted = { ...wanted, ...changes };
  const hash = new URLSearchParams({ range: wanted.range });
  if (wanted.choice) hash.set("choice", wanted.choice);
  history.replaceState(null, "", `#${hash}`);
  follow();
}

function follow() {
  source?.close();
  const query = new URLSearchParams({ range: wanted.range });
  if (wanted.choice) query.set("choice", wanted.choice);
  source = new EventSource(`/api/events?${query}`);
  source.onmessage = (event) => show(JSON.parse(event.data));
  source.onerror = async () => {
    pulse("lost", "connection lost");
    const answer = await fetch("/api/state").catch(() => null);
    if (answer?.status === 401) location.href = "/login";
    // Browsers give up on some answers for good; then this does it.
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 3000);
  };
}

function pulse(kind, text) {
  by("pulse").className = `pulse ${kind}`;
  by("pulse-text").textContent = text;
}

function show(state) {
  newest = state;
  received = Date.now();
  by("directory").textContent = state.directory;
  by("directory").title = state.directory;
  const gone = state.present ? "" : "The directory is not there at the moment. "
    + "What was read of it is still shown.";
  const crowd = state.selected?.crowded
    ? "More processes at a time than can be compared: the comparison leaves decisions out." : "";
  const fleet = state.source === "fleet";
  const quiet = state.selected?.fleet?.silent_for > 0
    ? `The hub does not answer: this is what it knew ${ago(state.selected.fleet.silent_for)} ago.`
    : fleet && state.silent > 0 && !state.choices.length
      ? `There are hubs (${state.silent}), but none has been told of a choice yet.` : "";
  const more = state.left_out > 0 ? `${state.left_out} further choices are not shown`
    + (fleet ? "." : ": acumen watch --choice NAME shows those that you want.") : "";
  const banner = state.trouble || gone || quiet || crowd || more;
  by("banner").textContent = banner;
  by("banner").hidden = !banner;
  ranges();
  choices(state);
  const choice = state.selected;
  by("main").hidden = !choice;
  by("empty").hidden = Boolean(choice);
  empty(state, fleet);
  document.title = choice ? `${choice.name} · Acumen watch` : "Acumen watch";
  if (choice) detail(choice, state.now);
  beat();
  const name = choice?.name ?? "empty";
  if (document.body.dataset.drawn !== name) {
    document.querySelector("[aria-current=true]")?.scrollIntoView({ inline: "nearest",
      block: "nearest" });
  }
  document.body.dataset.drawn = name;
  // What was shown first stays, whatever else appears.
  if (choice && !wanted.choice) want({ choice: name });
}

function empty(state, fleet) {
  by("empty-hint").textContent = fleet
    ? "As soon as a choice has joined this fleet, it appears. No need to reload."
    : "As soon as a choice writes its journal to this directory, it appears. No need to reload.";
  by("snippet").textContent = fleet ? JOIN
    : SNIPPET.replace("DIRECTORY", JSON.stringify(state.directory));
}

function beat() {
  if (!newest) return;
  const late = (Date.now() - received) / 1000;
  if (late > 12) return pulse("lost", "connection lost");
  if (newest.reading) return pulse("", "reading what was written before");
  const choice = newest.selected;
  if (!choice) return pulse("", "waiting for the first choice");
  if (choice.live) return pulse("live", "live");
  return pulse("", `silent for ${ago(newest.now + late - choice.newest)}`);
}

function keep(parent, children) {
  // What has the focus, or was scrolled, stays so: children are replaced one by one, by key.
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  for (const [i, child] of children.entries()) {
    const before = old.get(child.dataset.key);
    if (before && before.isEqualNode(child)) {
      if (parent.children[i] !== before) parent.insertBefore(before, parent.children[i]);
    } else if (before) {
      const focused = before === document.activeElement;
      before.replaceWith(child);
      if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i]);
      if (focused) child.focus();
    } else {
      parent.insertBefore(child, parent.children[i] ?? null);
    }
  }
  while (parent.children.length > children.length) parent.lastChild.remove();
}

function ranges() {
  keep(by("ranges"), Object.entries(RANGES).map(([key, text]) =>
    html("button", { type: "button", "data-key": key,
      "aria-pressed": String(key === wanted.range) }, text)));
}
by("ranges").addEventListener("click", (event) => {
  const key = event.target.closest("button")?.dataset.key;
  if (key) want({ range: key });
});

function choices(state) {
  const many = state.choices.length > MANY;
  const words = many ? by("find-name").value.trim().toLowerCase() : "";
  const list = state.choices.filter((c) => c.name.toLowerCase().includes(words));
  by("find").hidden = !many;
  by("found").textContent = words ? `${list.length} of ${state.choices.length} choices`
    : `${state.choices.length} choices`;
  by("choices").hidden = state.choices.length < 2;
  by("choices").classList.toggle("many", many);
  keep(by("choices"), list.map((c) => html("button", { type: "button", "data-key": c.name,
    "aria-current": String(c.name === state.selected?.name), title: c.name },
    html("span", { class: "line" }, html("b", {}, c.name), badge(c.mode, c.mode)),
    html("span", { class: "line" },
      html("span", { class: "rate" }, c.live ? `${number(c.rate)} / s` : "silent"),
      c.alarms ? html("span", { class: "badge drift" }, "drift") : null,
      c.verdict && c.verdict !== "undecided" ? badge(c.verdict, c.verdict) : null),
    sparkline(c.spark))));
}
by("find-name").addEventListener("input", () => newest && choices(newest));
by("choices").addEventListener("click", (event) => {
  const key = event.target.closest("button")?.dataset.key;
  if (key !== undefined) want({ choice: key });
});

function detail(choice, now) {
  by("name").textContent = choice.name;
  by("facts").textContent = [choice.goal, choice.default && `default: ${choice.default}`,
    choice.learner.split("(")[0], `model version ${number(choice.model_version)}`]
    .filter(Boolean).join(" · ");
  tiles(choice, now);
  overTime(choice);
  happenings(choice);
  arms(choice);
  by("source-title").textContent = choice.fleet ? "Fleet" : "Journal";
  if (choice.fleet) fleetCard(choice, now);
  else journal(choice, now);
}

function tiles(choice, now) {
  const { comparison: c, totals } = choice;
  const sure = c.low !== null;
  const tone = { better: "c-good", worse: "c-bad" }[c.verdict] ?? "c-other";
  const said = c.learned.decisions + c.default.decisions === 0
    ? "no coin decides in this mode: nothing to compare"
    : sure ? `${Math.round(100 * c.confidence)} %: ${signed(c.low)} … ${signed(c.high)}; `
      + `${number(c.learned.decisions)} against ${number(c.default.decisions)} decisions`
      : "from 30 decisions of each on";
  const switched = choice.happenings.find((h) => h.kind === "mode"
    && h.title.split(" ")[0] === choice.mode);
  const learned = totals.reasons.learned ?? 0;
  const mode = (switched ? `since ${clock(switched.time, now - switched.time < 72_000 ? 500 : 1e7)}`
    + (switched.who ? `, by ${switched.who}; ` : "; ") : "")
    + `${percent(learned / (choice.decisions || 1))} of all decisions were learned`;
  const open = choice.decisions - (totals.fates.learned ?? 0) - (totals.fates.recorded ?? 0);
  by("tiles").replaceChildren(
    tile("Mode", [choice.mode || "–"], mode, ladder(choice.mode)),
    tile("Learned against default", sure ? [signed(c.difference)] : ["–"], said,
      interval(c.low, c.difference, c.high, tone), badge(c.verdict, c.verdict)),
    tile("Decisions", [choice.live ? number(choice.rate) : "0", html("small", {}, " / s")],
      `${number(choice.decisions)} in all; ${choice.decisions
        ? percent(Math.max(0, open) / choice.decisions) : "–"} without feedback so far`,
      sparkline(choice.spark)),
    choice.fleet ? fleetTile(choice.fleet, now) : journalTile(choice, now),
  );
}

function journalTile({ health, totals, stream_count: streams }, now) {
  const problems = health.problem_count + totals.dropped + health.torn_bytes + health.refused;
  const state = !health.present ? "gone" : problems ? "damaged" : "healthy";
  const lag = health.live ? `durable ${ago(now - health.durable)} ago` : "nobody is writing";
  return tile("Journal", [html("span", { class: state === "healthy" ? "good" : "bad" }, state)],
    `${lag} · ${bytes(health.bytes)} · ${number(streams)} stream${streams === 1 ? "" : "s"} · `
    + `${number(totals.events)} events`);
}

/** How far the learned policy has come: off, shadow, canary, on. */
function ladder(mode) {
  const steps = ["off", "shadow", "canary", "on"];
  const at = steps.indexOf(mode);
  return html("div", { class: `ladder ${mode}`, "aria-hidden": "true" },
    ...steps.map((step, i) => html("i", { class: i <= at ? "done" : "" })));
}

function overTime(choice) {
  const frame = { start: choice.start, end: choice.end, marks: choice.happenings
    .filter((h) => ["mode", "drift", "objective"].includes(h.kind))
    .map((h) => ({ time: h.time, kind: h.kind, title: `${h.title} ${h.who}` })) };
  const fine = choice.width, wide = choice.width * choice.group;
  charts.traffic.draw({ ...frame, nothing: "no decision in this range", series: [
    { name: "decisions", color: "c-accent", values: choice.traffic.decisions, step: fine,
      area: true },
    { name: "feedback", color: "c1", values: choice.traffic.feedback, step: fine, dashed: true },
  ].map((s) => (s.values.some((v) => v) ? s : { ...s, values: [] })) });
  const d = choice.difference;
  const verdict = { better: "c-good", worse: "c-bad" }[choice.comparison.verdict] ?? "c-learned";
  charts.difference.draw({ ...frame, nothing: "There is nothing to compare in this range: it takes "
    + "30 decisions of each side, in canary or on.", series: [{ name: "learned − default",
    color: verdict, values: d.difference, low: d.low, high: d.high, step: fine,
    bridge: true }] });
  const r = choice.rewards;
  const sides = ["learned", "default", "other"].filter((s) => r[s].mean.some((v) => v !== null));
  charts.rewards.draw({ ...frame, nothing: "no feedback in this range",
    series: sides.map((side) => ({ name: side === "other" ? "where no coin decided" : side,
      color: `c-${side}`, values: r[side].mean, low: r[side].low, high: r[side].high,
      step: wide })) });
  charts.arms.draw({ ...frame, nothing: "no decision in this range",
    series: choice.arms.map((arm, i) => ({ name: arm.name, values: choice.arm_counts[i],
      color: arm.others ? "c8" : COLORS[i % 8], step: wide })) });
  charts.reasons.draw({ ...frame, nothing: "no decision in this range",
    series: Object.entries(choice.reasons).map(([name, values]) => ({ name, values,
      color: REASONS[name] ?? "c-other", step: wide })) });
  const mean = choice.propensity.findLast((v) => v !== null);
  charts.propensity.draw(choice.propensities, `${number(mean)} in the mean lately`);
}

function happenings(choice) {
  const list = choice.happenings.map((h) => html("li", { "data-key": `${h.time}${h.title}` },
    html("time", { title: new Date(h.time * 1000).toISOString() },
      clock(h.time, newest.now - h.time < 72_000 ? 500 : 1e7)),
    html("div", {}, badge(h.kind === "mode" ? h.title.split(" ")[0] : h.kind, h.title),
      h.who ? html("span", { class: "who" }, `by ${h.who}`) : null,
      h.why ? html("p", {}, h.why) : null)));
  keep(by("happenings"), list);
  if (!list.length) by("happenings").append(html("li", {}, "", html("p", {}, "Nothing yet.")));
}

function arms(choice) {
  const since = choice.fleet ? "in what the hub has counted" : "since the beginning";
  by("arms-hint").textContent = `The most taken ones, ${since}; reward since the objective is `
    + "what it is.";
  const total = choice.decisions || 1;
  table(by("arms"), [["arm", ""], ["share", ""], ["decisions", "n"], ["mean reward", "n"]],
    choice.arms.map((arm, i) => [
      html("td", { class: `name ${arm.others ? "c8" : COLORS[i % 8]}`, title: arm.name },
        html("i"), html("span", {}, arm.name)),
      html("td", { class: `share ${arm.others ? "c8" : COLORS[i % 8]}` },
        html("meter", { min: 0, max: 1, value: arm.decisions / total,
          title: percent(arm.decisions / total) })),
      number(arm.decisions), number(arm.mean)]));
  const { fates, reasons } = choice.totals;
  const all = { ...Object.fromEntries(Object.entries(fates).map(([k, v]) => [`feedback ${k}`, v])),
    "timed out": choice.totals.timeouts, ...reasons };
  by("fates").replaceChildren(...Object.entries(all).filter(([, v]) => v).map(([k, v]) =>
    html("span", {}, `${k} `, html("b", {}, number(v)))));
}

function journal(choice, now) {
  const h = choice.health;
  by("journal-hint").textContent = [
    `${number(h.sealed)} sealed segment${h.sealed === 1 ? "" : "s"}`,
    `${number(h.live)} being written`, h.unsealed ? `${h.unsealed} left unsealed` : "",
    bytes(h.bytes), `${number(choice.totals.dropped)} events dropped`,
    `${bytes(h.torn_bytes)} torn`, h.durable ? `last durable ${clock(h.durable, 500)}` : ""]
    .filter(Boolean).join(" · ");
  const told = [...h.torn.map((t) => `${t.name}: ${t.bytes} bytes behind the last whole batch`),
    ...h.problems];
  by("problems").replaceChildren(...told.map((text) => html("li", {}, text)));
  table(by("streams"), [["process", "mono"], ["began", ""], ["last event", ""], ["mode", ""],
    ["decisions", "n"], ["events", "n"], ["dropped", "n"], ["model version", "n"]],
    choice.streams.map((s) => [s.name, clock(s.first, now - s.first < 72_000 ? 500 : 1e6),
      `${ago(now - s.last)} ago`, s.mode || "–", number(s.decisions), number(s.events),
      number(s.dropped), number(s.model_version)]));
}

window.addEventListener("hashchange", () => { wanted = asked(); follow(); });
document.addEventListener("visibilitychange", () => {
  // A page that nobody looks at costs nothing.
  if (document.hidden) source?.close();
  else follow();
});
setInterval(beat, 1000);
follow();
