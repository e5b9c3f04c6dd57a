// What the page says of a fleet: its hubs, the processes that they have heard, what was refused.

import { clock, html, number } from "./charts.js";
import { ago, table, tile } from "./parts.js";

const by = (id) => document.getElementById(id);
const version = (stamp) => (stamp && stamp[0] > 0 ? `${stamp[0]}.${stamp[1]}` : "–");

/** Whether all is well, in one word, and how much there is. */
export function fleetTile(fleet, now) {
  const lost = (fleet.report?.lost ?? 0) + fleet.refused;
  const silent = fleet.hubs.filter((hub) => hub.problem);
  const state = silent.length ? "no answer" : lost ? "damaged" : "healthy";
  const kept = fleet.checkpoint_s ? `kept ${ago(fleet.hub_now - fleet.checkpoint_s)} ago`
    : "not kept yet by this hub";
  return tile("Hub", [html("span", { class: state === "healthy" ? "good" : "bad" }, state)],
    `model ${version(fleet.stamp)}, ${number(fleet.lessons)} lessons · ${kept} · `
    + `${number(fleet.streams)} process${fleet.streams === 1 ? "" : "es"}`);
}

/** Hubs, processes, and what went wrong. */
export function fleetCard(choice, now) {
  const { fleet } = choice;
  const r = fleet.report ?? {};
  by("journal-hint").textContent = [`kind ${fleet.kind}`, `${number(r.events)} events learned from`,
    r.duplicates ? `${number(r.duplicates)} batches came twice` : "",
    r.early ? `${number(r.early)} came too early` : "",
    r.lost ? `${number(r.lost)} events lost` : "",
    r.ambiguous ? `${number(r.ambiguous)} feedbacks may be for several processes` : "",
    r.unjoined ? `${number(r.unjoined)} feedbacks found no decision` : "",
    fleet.refused ? `${number(fleet.refused)} batches refused` : "",
    fleet.uncounted ? `${number(fleet.uncounted)} events came before anybody looked: `
      + "they are learned from, but not in these curves" : "",
    `curves since ${clock(fleet.since, 1e6)} at the earliest`].filter(Boolean).join(" · ");
  const told = [...fleet.problems,
    ...Object.entries(fleet.foreign).map(([name, why]) => `${name} is left out: ${why}`),
    ...fleet.hubs.filter((hub) => hub.problem).map((hub) => `${hub.part}: ${hub.problem}`)];
  by("problems").replaceChildren(...told.map((text) => html("li", {}, text)));
  by("hubs").hidden = false;
  table(by("hubs"), [["hub", ""], ["answered", ""], ["model", "n"], ["lessons", "n"],
    ["processes", "n"], ["calls", "n"], ["events", "n"], ["refused", "n"],
    ["checkpoint", "n"], ["kept", ""], ["in", "mono"]],
    fleet.hubs.map((hub) => [hub.part,
      hub.answered ? `${ago(now - hub.answered)} ago` : "never", version(hub.stamp),
      number(hub.lessons), number(hub.streams), number(hub.calls), number(hub.events),
      number(hub.refused), version(hub.checkpoint),
      hub.checkpoint_s ? `${ago(hub.now - hub.checkpoint_s)} ago` : "–",
      html("td", { class: "mono cut", title: hub.checkpoints ?? "" }, hub.checkpoints ?? "–")]));
  const streams = new Map(choice.streams.map((s) => [s.name, s]));
  table(by("streams"), [["process", "mono"], ["heard", ""], ["mode", ""], ["events", "n"],
    ["decisions seen", "n"], ["chose with version", "n"], ["has model", "n"],
    ["came twice", "n"], ["too early", "n"]],
    fleet.heard.map((h) => [h.name, `${ago(fleet.hub_now - h.heard_s)} ago`,
      streams.get(h.name)?.mode || "–", number(h.events),
      number(streams.get(h.name)?.decisions), number(streams.get(h.name)?.model_version),
      version(h.have), number(h.repeated), number(h.early)]));
}
