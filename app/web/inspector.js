// What is chosen, with its evidence and the means to correct it; and the card that follows the mouse.
import { clock, parseClock } from "./clock.js";
import { $, make, percent, sureness } from "./dom.js";
import { nameOf, signOf, toneOf } from "./labels.js";
import { say, text } from "./strings.js";

export const tag = (label) => make("span", { class: `tag ${toneOf(label)}` }, `${signOf(label)} ${nameOf(label)}`);

export function meter(share, kind = "") {
  const fill = make("i");
  fill.style.width = `${percent(share)}%`;
  return make("span", { class: `meter ${kind}`, "aria-hidden": "true" }, fill);
}

// A bar for each share, in the colour of its own label or of `label`.
export function bars(shares, label) {
  const rows = Object.entries(shares).flatMap(([name, share]) => [
    make("dt", {}, say.streams[name] ?? nameOf(name)),
    make("dd", {}, meter(share, name in say.streams && !label ? "" : toneOf(label ?? name))),
    make("dd", {}, `${percent(share)} %`),
  ]);
  return make("dl", { class: "bars" }, ...rows);
}

const why = (evidence, label) => (evidence ? bars(evidence, label) : make("p", {}, say.noEvidence));

// `edit` has move(thing, changes), flip(thing) and remove(thing).
export function inspect(thing, findings, fps, edit) {
  const box = $("inspector");
  const focused = box.contains(document.activeElement) ? /** @type {HTMLInputElement} */ (document.activeElement).name : null;
  if (!thing) box.replaceChildren(make("p", {}, findings.editable ? text.nothingSelected : text.nothingChosen));
  else if (thing.time !== undefined) box.replaceChildren(tag(thing.label), make("p", {}, say.pointAt(clock(thing.time, true))), ...buttons(thing, edit));
  else if (!findings.editable) box.replaceChildren(tag(thing.label), make("b", {}, say.confidence(sureness(thing.confidence))), facts(thing, findings));
  else {
    const sure = thing.confidence === undefined ? say.byHand : say.confidence(sureness(thing.confidence));
    const evidence = findings.evidence(thing.label, thing.start, thing.end);
    const fields = ["start", "end"].map((side) => field(thing, side, fps, edit));
    box.replaceChildren(tag(thing.label), make("b", {}, sure), ...fields, ...buttons(thing, edit), why(evidence, thing.label));
  }
  if (focused) box.querySelector(`[name="${focused}"]`)?.focus();
}

// Moments of a segment that nobody corrects here.
function facts(thing, findings) {
  const names = say.moments[findings.task];
  const parts = ["start", "peak", "end"].flatMap((part) => [make("dt", {}, names[part]), make("dd", {}, clock(thing[part], true))]);
  return make("dl", { class: "facts" }, ...parts, make("dt", {}, text.length), make("dd", {}, say.seconds(thing.end - thing.start)));
}

function field(thing, side, fps, edit) {
  const input = make("input", { name: side, value: clock(thing[side], true), inputMode: "decimal", autocomplete: "off" });
  const commit = () => {
    const seconds = parseClock(input.value);
    const wrong = Number.isNaN(seconds);
    input.setAttribute("aria-invalid", String(wrong));
    input.setCustomValidity(wrong ? say.badTime : "");
    if (wrong) input.reportValidity();
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
  const { segment } = place;
  const shot = picture && make("img", { src: picture, alt: "", width: 80 });
  const head = make("header", {}, make("b", {}, clock(place.time, true)), segment ? tag(segment.label) : "");
  const parts = [head, shot, bars(findings.shares(findings.index(place.time))), becauseOf(place, findings)];
  card.replaceChildren(...parts.filter(Boolean));
  const widest = timeline.left + timeline.width - card.offsetWidth - 6;
  const right = place.x + 16;
  card.style.transform = `translateX(${right > widest ? Math.max(0, place.x - card.offsetWidth - 16) : right}px)`;
}

const LEAST = 0.1;

function becauseOf({ time, segment }, findings) {
  if (!findings.editable) return segment ? make("p", {}, findings.why(segment)) : null;
  const { label, value } = segment ?? findings.strongest(time);
  const evidence = segment ? findings.evidence(label, segment.start, segment.end) : value >= LEAST && findings.evidence(label, time, time);
  return evidence ? bars(evidence, label) : null;
}
