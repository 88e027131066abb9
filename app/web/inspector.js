// What is chosen, with its evidence and the means to correct it; and the card that follows the mouse.
import { clock, parseClock } from "./clock.js";
import { $, make, percent, sureness } from "./dom.js";
import { say, text } from "./strings.js";

export const tag = (label) => make("span", { class: `tag ${label}` }, `${label === "positive" ? "▲" : "▼"} ${text[label]}`);

export function meter(share, kind = "") {
  const fill = make("i");
  fill.style.width = `${percent(share)}%`;
  return make("span", { class: `meter ${kind}`, "aria-hidden": "true" }, fill);
}

export function bars(shares, kind) {
  const rows = Object.entries(shares).flatMap(([name, share]) => [
    make("dt", {}, say.evidence[name] ?? text[name]), make("dd", {}, meter(share, kind ?? name)), make("dd", {}, `${percent(share)} %`),
  ]);
  return make("dl", { class: "bars" }, ...rows);
}

const why = (evidence, label) => (evidence ? bars(evidence, label) : make("p", {}, say.noEvidence));

// `edit` has move(thing, changes), flip(thing) and remove(thing).
export function inspect(thing, findings, fps, edit) {
  const box = $("inspector");
  const focused = box.contains(document.activeElement) ? document.activeElement.name : null;
  if (!thing) box.replaceChildren(make("p", {}, text.nothingSelected));
  else if (thing.time !== undefined) box.replaceChildren(tag(thing.label), make("p", {}, say.point(text[thing.label], clock(thing.time, true))), ...buttons(thing, edit));
  else {
    const sure = thing.confidence === undefined ? say.byHand : say.confidence(sureness(thing.confidence));
    const evidence = findings.evidence(thing.label, thing.start, thing.end);
    const fields = ["start", "end"].map((side) => field(thing, side, fps, edit));
    box.replaceChildren(tag(thing.label), make("b", {}, sure), ...fields, ...buttons(thing, edit), why(evidence, thing.label));
  }
  if (focused) box.querySelector(`[name="${focused}"]`)?.focus();
}

function field(thing, side, fps, edit) {
  const input = make("input", { name: side, value: clock(thing[side], true), inputMode: "decimal", autocomplete: "off" });
  const commit = () => {
    const seconds = parseClock(input.value);
    input.setAttribute("aria-invalid", String(Number.isNaN(seconds)));
    input.title = Number.isNaN(seconds) ? text.badTime : "";
    if (!Number.isNaN(seconds) && clock(seconds, true) !== clock(thing[side], true)) edit.move(thing, { [side]: seconds });
  };
  input.addEventListener("change", commit);
  input.addEventListener("keydown", (event) => {
    const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    edit.move(thing, { [side]: thing[side] + way / fps });
  });
  return make("label", {}, text[side], input);
}

function buttons(thing, edit) {
  return [
    make("button", { type: "button", name: "flip", onclick: () => edit.flip(thing) }, text.flip),
    make("button", { type: "button", name: "remove", onclick: () => edit.remove(thing) }, text.deleteSegment),
  ];
}

// The card at the mouse: how sure at this moment, and which stream says so.
export function hoverCard(place, timeline, findings, picture) {
  const card = $("card");
  card.hidden = !place;
  if (!place) return;
  const i = findings.index(place.time);
  const label = place.segment?.label ?? findings.strongest(place.time).label;
  const values = { positive: findings.curves.positive[i], negative: findings.curves.negative[i] };
  const evidence = place.segment
    ? findings.evidence(label, place.segment.start, place.segment.end)
    : values[label] >= 0.1 && findings.evidence(label, place.time, place.time);
  const shot = picture && make("img", { src: picture, alt: "", width: 80 });
  const parts = [make("b", {}, clock(place.time, true)), shot, bars(values), evidence ? bars(evidence, label) : null];
  card.replaceChildren(...parts.filter(Boolean));
  const widest = timeline.left + timeline.width - card.offsetWidth - 6;
  const right = place.x + 16;
  card.style.transform = `translateX(${right > widest ? Math.max(0, place.x - card.offsetWidth - 16) : right}px)`;
}
