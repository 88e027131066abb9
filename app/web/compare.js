// Two results of one video on one timeline: another model, another minimum confidence, or before and after corrections.
import { apiKey, getBlob, getJob, getResult, listJobs, listModels, videoPath } from "./api.js";
import { clock } from "./clock.js";
import { compare, disagreement, startOf } from "./difference.js";
import { $, make, percent, sureness } from "./dom.js";
import { nameOf, setLabels, signOf, toneOf } from "./labels.js";
import { segmentsOf } from "./task_findings.js";

const SIDES = ["first", "second"];
const CHANGES = { kept: "The same", moved: "Other edges", lost: "Only in the first", new: "Only in the second" };
const LANE = 64;
const STRIP = 14;
const TOP = 22;
// Two copies of a video may differ by this many seconds in length.
const SAME_LENGTH = 0.5;
const MOST_LISTED = 100;
// Without another result, the second side is cut at this share of the first one's minimum confidence.
const LOWER = 0.5;

// What each side shows: { id, corrected, threshold }, and what was read for it: { job, result, segments }.
const wanted = { first: null, second: null };
const read = { first: null, second: null };
let jobs = [];
let rows = [];
let chosen = null;
let reads = 0;

const tell = (message) => ($("told").textContent = message);

// A side in the address: `first=ID`, `first.corrected=1`, `first.threshold=0.3`.
function fromAddress(side) {
  const given = new URLSearchParams(location.search);
  if (!given.get(side)) return null;
  const threshold = given.get(`${side}.threshold`);
  const isShare = threshold && Number(threshold) >= 0 && Number(threshold) <= 1;
  return { id: given.get(side), corrected: given.has(`${side}.corrected`), threshold: isShare ? Number(threshold) : null };
}

function toAddress() {
  const query = new URLSearchParams();
  for (const side of SIDES) {
    const { id, corrected, threshold } = wanted[side];
    query.set(side, id);
    if (corrected) query.set(`${side}.corrected`, "1");
    else if (threshold !== null) query.set(`${side}.threshold`, String(threshold));
  }
  history.replaceState(null, "", `${location.pathname}?${query}`);
}

async function begin() {
  wanted.first = fromAddress("first");
  if (!wanted.first) return tell("Open a result under Videos, and choose Compare there.");
  wanted.second = fromAddress("second");
  tell("Loading…");
  const job = await getJob(wanted.first.id);
  jobs = await resultsOf(job);
  if (wanted.second && jobs.every(({ id }) => id !== wanted.second.id)) jobs.push(await getJob(wanted.second.id));
  $("name").textContent = job.source.name;
  $("name").href = `../#${job.id}`;
  document.title = `Compare ${job.source.name} · Sentiloc`;
  wanted.second ??= await counterpart(job);
  // The comparison stands without the video, which may be deleted already.
  film(job).catch(() => ($("player").hidden = true));
  await show();
}

// Other results of the same video, of models with the same task: reruns, and videos with the same name and size.
async function resultsOf(job) {
  const [{ jobs: named }, models] = await Promise.all([
    listJobs({ q: job.source.name, state: "succeeded", limit: MOST_LISTED }),
    listModels().catch(() => []),
  ]);
  const task = (name) => models.find((model) => model.name === name)?.task;
  const root = (one) => one.rerun_of ?? one.id;
  const isCopy = (one) => one.source.name === job.source.name && one.source.bytes === job.source.bytes;
  const others = named.filter((one) => one.id !== job.id && task(one.model) === task(job.model) && (root(one) === root(job) || isCopy(one)));
  return [job, ...others];
}

// With corrections, before and after; else another result; else a lower minimum confidence.
async function counterpart(job) {
  const second = { id: job.id, corrected: false, threshold: null };
  if (job.corrected && !wanted.first.corrected) return { ...second, corrected: true };
  if (wanted.first.corrected) return second;
  if (jobs.length > 1) return { ...second, id: jobs[1].id };
  const { options } = await getResult(job.id);
  return { ...second, threshold: Math.round(options.threshold * LOWER * 100) / 100 };
}

// The form of both sides

function drawSides() {
  for (const side of SIDES) {
    const box = $(side);
    const focused = /** @type {HTMLElement} */ (document.activeElement)?.dataset.part;
    const isHere = box.contains(document.activeElement);
    box.replaceChildren(box.firstElementChild, ...fields(side));
    if (isHere) /** @type {HTMLElement} */ (box.querySelector(`[data-part="${focused}"]`))?.focus();
  }
}

function fields(side) {
  const { id, corrected, threshold } = wanted[side];
  const job = jobs.find((one) => one.id === id);
  const result = make("select", { value: id, onchange: ({ target }) => change(side, { id: target.value, corrected: false, threshold: null }) }, ...jobs.map((one) => new Option(titleOf(one), one.id, false, one.id === id)));
  const kinds = [new Option("The model's", "", false, !corrected), ...(job?.corrected ? [new Option("As a person corrected them", "1", false, corrected)] : [])];
  const kind = make("select", { onchange: ({ target }) => change(side, { corrected: Boolean(target.value), threshold: null }) }, ...kinds);
  const own = read[side]?.result.options?.threshold;
  const least = make("input", { type: "number", min: 0, max: 100, step: 1, disabled: corrected, value: threshold === null ? "" : String(percent(threshold)), placeholder: own === undefined || corrected ? "" : String(percent(own)) });
  least.addEventListener("change", () => least.reportValidity() && change(side, { threshold: least.value === "" ? null : Number(least.value) / 100 }));
  const named = { result, kind, least };
  for (const [part, field] of Object.entries(named)) field.dataset.part = part;
  return [make("label", {}, "Result", result), make("label", {}, "Segments", kind), make("label", {}, "Minimum confidence, %", least)];
}

const titleOf = (job) => [job.model, new Date(job.created_at).toLocaleString([], { dateStyle: "short", timeStyle: "medium" }), job.source.name === jobs[0].source.name ? "" : job.source.name].filter(Boolean).join(" · ");

function change(side, changes) {
  wanted[side] = { ...wanted[side], ...changes };
  return show().catch((error) => tell(error.message));
}

// Reading and drawing

async function show() {
  const mine = ++reads;
  toAddress();
  drawSides();
  const both = await Promise.all(SIDES.map((side) => readSide(wanted[side])));
  if (mine !== reads) return;
  SIDES.forEach((side, i) => (read[side] = both[i]));
  setLabels([...new Set(both.flatMap(({ result }) => result.classes ?? []))]);
  rows = compare(both[0].segments, both[1].segments);
  chosen = null;
  $("both").hidden = false;
  drawSides();
  drawLanes();
  drawRows();
  tell(sentence());
}

async function readSide({ id, corrected, threshold }) {
  const result = await getResult(id, corrected ? { corrected: true } : threshold === null ? {} : { threshold });
  const segments = segmentsOf(result).map(({ start, end, label, confidence, source }) => ({ start, end, label, confidence: source === "person" ? null : confidence }));
  return { result, segments };
}

const lengthOf = (side) => read[side].result.video.duration;
const duration = () => Math.max(...SIDES.map(lengthOf));

function sentence() {
  const count = (change) => rows.filter((row) => row.change === change).length;
  const apart = disagreement(read.first.segments, read.second.segments).reduce((sum, [start, end]) => sum + end - start, 0);
  const counts = [`${count("kept")} the same`, `${count("moved")} with other edges`, `${count("lost")} only in the first`, `${count("new")} only in the second`];
  const strangers = Math.abs(lengthOf("first") - lengthOf("second")) > SAME_LENGTH ? " These are two different videos." : "";
  return `${counts.join(", ")}. The results differ during ${clock(apart)} of ${clock(duration())}.${strangers}`;
}

const SVG = "http://www.w3.org/2000/svg";

function drawn(name, attributes, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(key, String(value));
  node.append(...children);
  return node;
}

function drawLanes() {
  const whole = duration();
  const share = (seconds) => `${(seconds / whole) * 100}%`;
  const lane = (side, top) => {
    const middle = top + LANE / 2;
    const blocks = rows.filter((row) => row[side === "first" ? "before" : "after"]).map((row) => block(row, row[side === "first" ? "before" : "after"], middle, share));
    return [drawn("text", { x: 6, y: top - 5 }, side === "first" ? "First" : "Second"), drawn("line", { class: "axis", x1: 0, x2: "100%", y1: middle, y2: middle }), ...blocks];
  };
  const strip = TOP + LANE + 4;
  const apart = disagreement(read.first.segments, read.second.segments).map(([start, end]) => drawn("rect", { class: "apart", x: share(start), width: share(end - start), y: strip, height: STRIP / 2 }));
  $("lanes").replaceChildren(...lane("first", TOP), ...apart, ...lane("second", strip + STRIP + TOP), drawn("line", { class: "head", id: "head", y1: 0, y2: "100%" }));
  $("lanes").setAttribute("aria-label", `Both results on one timeline. ${sentence()} The table lists every segment.`);
  $("legend").textContent = "▲ positive above the line, ▼ negative below it. A frame marks a segment that differs; the bar in the middle, the time in which the results differ.";
  moveHead();
}

function block(row, { start, end, label }, middle, share) {
  const isDown = label === "negative";
  const classes = [toneOf(label), row.change === "kept" ? "kept" : "differs", row === chosen ? "chosen" : ""].join(" ");
  return drawn("rect", { class: classes, x: share(start), width: share(Math.max(end - start, duration() / 300)), y: isDown ? middle + 2 : middle - 28, height: 26, rx: 3 });
}

function drawRows() {
  const hasChanges = rows.some(({ change }) => change !== "kept");
  const shown = rows.filter(({ change }) => !$("only").checked || change !== "kept");
  $("only").disabled = !hasChanges;
  $("rows").replaceChildren(...shown.map(line));
  $("no-rows").hidden = hasChanges;
}

function line(row) {
  const cell = (segment) => make("td", {}, segment ? make("button", { type: "button", onclick: () => go(row, segment.start) }, words(segment)) : "–");
  const node = make("tr", {}, make("th", { scope: "row" }, CHANGES[row.change]), cell(row.before), cell(row.after));
  node.dataset.change = row.change;
  if (row === chosen) node.setAttribute("aria-current", "true");
  return node;
}

function words({ start, end, label, confidence }) {
  const sure = confidence === null || confidence === undefined ? "by hand" : `${sureness(confidence)}\u00a0%`;
  return `${signOf(label)} ${nameOf(label)} ${clock(start, true)}–${clock(end, true)}, ${sure}`;
}

// The focus stays on the button, so rows are only marked.
function go(row, seconds) {
  chosen = row;
  const shown = rows.filter(({ change }) => !$("only").checked || change !== "kept");
  [...$("rows").children].forEach((node, i) => (shown[i] === row ? node.setAttribute("aria-current", "true") : node.removeAttribute("aria-current")));
  drawLanes();
  seek(seconds);
}

// The video

function seek(seconds) {
  $("player").currentTime = seconds;
  moveHead(seconds);
}

function moveHead(seconds = $("player").currentTime) {
  if (!$("head")) return;
  for (const name of ["x1", "x2"]) $("head").setAttribute(name, `${(seconds / duration()) * 100}%`);
}

async function film(job) {
  const path = videoPath(job.id);
  // A player cannot send a key.
  $("player").src = apiKey() ? URL.createObjectURL((await getBlob(path)).blob) : path;
}

$("player").addEventListener("timeupdate", () => moveHead());
$("player").addEventListener("error", () => ($("player").hidden = true));
$("lanes").addEventListener("click", ({ clientX }) => {
  const { left, width } = $("lanes").getBoundingClientRect();
  const seconds = ((clientX - left) / width) * duration();
  const under = rows.filter((row) => [row.before, row.after].some((one) => one && one.start <= seconds && seconds < one.end)).sort((a, b) => startOf(b) - startOf(a));
  if (under.length) go(under[0], seconds);
  else seek(seconds);
});
$("sides").addEventListener("submit", (event) => event.preventDefault());
$("only").addEventListener("change", drawRows);
begin().catch((error) => tell(error.message));
