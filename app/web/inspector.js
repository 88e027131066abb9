// Shows the selection with its evidence and the controls to correct it, and the card that follows the mouse.
import { moment, parseMoment } from "./clock.js";
import { $, make, percent, sureness } from "./dom.js";
import { nameOf, signOf, toneOf } from "./labels.js";
import { say, text } from "./strings.js";

export const tag = (label) => make("span", { class: `tag ${toneOf(label)}` }, `${signOf(label)} ${nameOf(label)}`);

export function meter(share, kind = "") {
  const fill = make("i");
  fill.style.width = `${percent(share)}%`;
  return make("span", { class: `meter ${kind}`, "aria-hidden": "true" }, fill);
}

// A bar for each share, in the colour of its own label or of `label`. Bars have no numbers: a percentage is always a confidence.
export function bars(shares, label) {
  const rows = Object.entries(shares).flatMap(([name, share]) => [
    make("dt", {}, say.streams[name] ?? nameOf(name)),
    make("dd", {}, meter(share, name in say.streams && !label ? "" : toneOf(label ?? name))),
  ]);
  return make("dl", { class: "bars" }, ...rows);
}

// Why a segment was found: in words, and a bar for each of face, voice and picture.
function why(evidence, label) {
  if (!evidence) return "";
  return make("div", { class: "why" }, make("p", {}, say.because(evidence)), bars(evidence, label));
}

// `counter` counts the video's frames; `edit` has move(thing, changes), flip(thing) and remove(thing).
export function inspect(thing, findings, counter, edit) {
  const box = $("inspector");
  const focused = box.contains(document.activeElement) ? /** @type {HTMLInputElement} */ (document.activeElement).name : null;
  if (!thing) box.replaceChildren(make("p", {}, findings.editable ? text.nothingSelected : text.nothingChosen));
  else if (thing.time !== undefined) box.replaceChildren(tag(thing.label), make("p", {}, say.pointAt(moment(thing.time, true))), buttons(thing, edit));
  else if (!findings.editable) box.replaceChildren(tag(thing.label), make("b", {}, say.sure(sureness(thing.confidence))), facts(thing, findings));
  else {
    const sure = thing.confidence === undefined ? say.byHand : say.sure(sureness(thing.confidence));
    const evidence = findings.evidence(thing.label, thing.start, thing.end, thing.peak);
    const fields = ["start", "end"].map((side) => field(thing, side, findings.duration, counter, edit));
    box.replaceChildren(tag(thing.label), make("b", {}, sure), make("div", { class: "row" }, ...fields), buttons(thing, edit), why(evidence, thing.label));
  }
  if (focused) box.querySelector(`[name="${focused}"]`)?.focus();
}

// The times of a segment that cannot be corrected here.
function facts(thing, findings) {
  const names = say.moments[findings.task];
  const parts = ["start", "peak", "end"].flatMap((part) => [make("dt", {}, names[part]), make("dd", {}, moment(thing[part], true))]);
  return make("dl", { class: "facts" }, ...parts, make("dt", {}, text.length), make("dd", {}, say.seconds(thing.end - thing.start)));
}

function field(thing, side, duration, counter, edit) {
  const input = make("input", { name: side, value: moment(thing[side], true), title: text.timeHint, autocomplete: "off" });
  const commit = () => {
    // Frames count from the edge that is shown, which is the nearest one. The video's own end may be shown rounded up.
    const seconds = parseMoment(input.value, counter.snap(thing[side]), duration + 1 / counter.rate);
    const wrong = Number.isNaN(seconds);
    input.setAttribute("aria-invalid", String(wrong));
    input.setCustomValidity(wrong ? say.badTimecode(counter.format(0), counter.format(duration, true)) : "");
    if (wrong) input.reportValidity();
    if (!Number.isNaN(seconds) && input.value !== moment(thing[side], true)) edit.move(thing, { [side]: seconds });
  };
  input.addEventListener("change", commit);
  input.addEventListener("keydown", (event) => {
    const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    edit.move(thing, { [side]: thing[side] + way / counter.rate });
  });
  return make("label", {}, text[side], input);
}

function buttons(thing, edit) {
  return make("div", { class: "row" },
    make("button", { type: "button", name: "flip", onclick: () => edit.flip(thing) }, text.flip),
    make("button", { type: "button", name: "remove", onclick: () => edit.remove(thing) }, text.deleteSegment));
}

// The card at the mouse: how strong each label is at this moment, and why.
export function hoverCard(place, timeline, findings, picture) {
  const card = $("card");
  card.hidden = !place;
  if (!place) return;
  const { segment } = place;
  const shot = picture && make("img", { src: picture, alt: "", width: 80 });
  const sure = segment?.confidence === undefined ? "" : ` ${say.confidence(sureness(segment.confidence))}`;
  const head = make("header", {}, make("b", {}, moment(place.time, true)), segment ? make("span", {}, tag(segment.label), sure) : "");
  const strength = make("p", { class: "soft" }, findings.editable ? text.strengthHere : text.here);
  const parts = [head, shot, strength, bars(findings.shares(findings.index(place.time))), becauseOf(place, findings)];
  card.replaceChildren(...parts.filter(Boolean));
  const widest = timeline.left + timeline.width - card.offsetWidth - 6;
  const right = place.x + 16;
  card.style.transform = `translateX(${right > widest ? Math.max(0, place.x - card.offsetWidth - 16) : right}px)`;
}

const LEAST = 0.1;

function becauseOf({ time, segment }, findings) {
  if (!findings.editable) return segment ? make("p", {}, findings.why(segment)) : null;
  if (segment) return make("p", {}, findings.why(segment));
  const { label, value } = findings.strongest(time);
  return value >= LEAST ? make("p", {}, say.because(findings.evidence(label, time, time, time))) : null;
}
