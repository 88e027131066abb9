// The list of segments beside the video, sorted and filtered, and the summary above it.
import { clock, moment } from "./clock.js";
import { $, make, store, sureness } from "./dom.js";
import { meter, tag } from "./inspector.js";
import { nameOf, toneOf } from "./labels.js";
import { say, text } from "./strings.js";

// From this many on, rows are single lines.
const MANY = 40;
const SORT = "sentiloc.sort";
const LEAST_SURE = ["0", "0.5", "0.7", "0.9"];

const certainty = ({ confidence }) => confidence ?? 1;
const ORDERS = {
  time: (a, b) => a.start - b.start,
  confidence: (a, b) => certainty(b) - certainty(a) || a.start - b.start,
  length: (a, b) => b.end - b.start - (a.end - a.start),
};

let rows = new Map();
let here = null;
// The row that Tab reaches. Arrows move among the rows, because a long video has hundreds.
let stop = null;

// `changed()` draws the list again when another order or filter is chosen.
export function setUpList(changed) {
  $("sort-rows").replaceChildren(...Object.keys(ORDERS).map((name) => new Option(text.orders[name], name)));
  $("sort-rows").value = store(SORT) in ORDERS ? store(SORT) : "time";
  $("sure-rows").replaceChildren(...LEAST_SURE.map((least) => new Option(say.atLeast(Number(least)), least)));
  for (const id of ["sort-rows", "label-rows", "sure-rows"]) $(id).addEventListener("change", changed);
  $("sort-rows").addEventListener("change", () => store(SORT, $("sort-rows").value));
  $("rows").addEventListener("focusin", ({ target }) => target.dataset.key && stopAt(target));
  $("rows").addEventListener("keydown", walk);
}

function stopAt(button) {
  if (stop) stop.tabIndex = -1;
  stop = button ?? null;
  if (stop) stop.tabIndex = 0;
}

function walk(event) {
  const item = event.target.closest("li");
  const next = { ArrowDown: item?.nextElementSibling, ArrowUp: item?.previousElementSibling }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  next?.firstElementChild.focus();
}

// A new video: show all of its labels at any confidence.
export function resetList(labels) {
  $("label-rows").replaceChildren(new Option(text.anyLabel, ""), ...labels.map((label) => new Option(nameOf(label), label)));
  $("label-rows").value = "";
  $("sure-rows").value = "0";
}

// The label and the minimum confidence that the list is narrowed to; empty and 0 for all.
export const listFilter = () => ({ label: $("label-rows").value, least: Number($("sure-rows").value) });

export function listSegments(segments, chosen, findings, thumbs, choose) {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement?.closest?.("#rows button"))?.dataset.key;
  const { label, least } = listFilter();
  const fits = (one) => (!label || one.label === label) && certainty(one) >= least;
  const shown = segments.filter(fits).sort(ORDERS[$("sort-rows").value]);
  thumbs.forget();
  const made = shown.map((one) => row(one, one.key === chosen, findings, thumbs, choose));
  rows = new Map(shown.map((one, i) => [one.key, made[i].firstElementChild]));
  here = null;
  $("rows").classList.toggle("many", shown.length > MANY);
  $("rows").replaceChildren(...made);
  $("row-count").textContent = shown.length === segments.length ? String(segments.length) : say.some(shown.length, segments.length);
  $("none").hidden = shown.length > 0;
  $("none").textContent = segments.length ? text.noneFits : text.none;
  stopAt(rows.get(keyOf(focused)) ?? rows.get(chosen) ?? made[0]?.firstElementChild);
  rows.get(keyOf(focused))?.focus({ preventScroll: true });
  bring(rows.get(chosen));
}

const keyOf = (written) => [...rows.keys()].find((key) => String(key) === written);

// Scroll into view within the list only; the page itself does not scroll.
function bring(button) {
  if (!button) return;
  const list = $("rows");
  const [box, row] = [list.getBoundingClientRect(), button.getBoundingClientRect()];
  if (row.top < box.top) list.scrollTop -= box.top - row.top;
  else if (row.bottom > box.bottom) list.scrollTop += row.bottom - box.bottom;
}

// The row of the segment under the playhead follows: it is marked, and scrolled to when another segment comes.
export function followRow(segment) {
  const button = segment ? rows.get(segment.key) : null;
  if (button === here) return;
  if (here?.getAttribute("aria-current") === "time") here.removeAttribute("aria-current");
  if (button && !button.hasAttribute("aria-current")) button.setAttribute("aria-current", "time");
  here = button ?? null;
  bring(button);
}

function row(segment, isChosen, findings, thumbs, choose) {
  const { label, start, end, confidence } = segment;
  const shot = make("img", { alt: "" });
  thumbs.fill(shot, segment.peak ?? findings.peak(label, start, end));
  const sure = confidence === undefined
    ? make("span", { class: "sure" }, say.byHand)
    : make("span", { class: "sure", title: text.confidence }, say.confidence(sureness(confidence)), meter(confidence, toneOf(label)));
  const when = make("span", { class: "when" }, tag(label), ` ${moment(start, findings.fine)} – ${moment(end, findings.fine)}`);
  const button = make("button", { type: "button", tabIndex: -1, onclick: () => choose(segment) }, make("span", { class: "shot" }, shot), when, sure, make("span", { class: "why" }, findings.why(segment)));
  button.dataset.key = segment.key;
  if (isChosen) button.setAttribute("aria-current", "true");
  return make("li", {}, button);
}

// The video's length and a summary: the share of each label, or the emotion of the whole video.
export function summarize(segments, findings) {
  const { duration, headline } = findings;
  const parts = headline
    ? headline.map(({ label, words }) => bold(label, words))
    : findings.labels.map((label) => bold(label, share(label, segments)));
  $("result-length").textContent = say.length(clock(duration));
  $("summary").replaceChildren(...parts, ...(headline ? [make("span", {}, say.segments(segments.length))] : []));
}

function share(label, segments) {
  const mine = segments.filter((segment) => segment.label === label);
  const seconds = mine.reduce((sum, { start, end }) => sum + end - start, 0);
  return say.share(label, mine.length, clock(seconds));
}

const bold = (label, words) => make("span", { class: `mark ${toneOf(label)}` }, make("b", {}, words));

// The warnings of the server about the video, one line each; a warning about a range is a button that seeks to it.
export function listWarnings(warnings, go) {
  const line = ({ detail, start }) =>
    make("li", {}, `⚠ ${detail} `, start === undefined || start === null ? "" : make("button", { type: "button", onclick: () => go(start) }, say.goTo(clock(start))));
  $("warnings").replaceChildren(...warnings.map(line));
  $("warnings").hidden = warnings.length === 0;
}
