// The list of jobs on the first screen: searched, filtered and sorted by the server; chosen ones are exported or deleted together.
import { FINAL, cancelJob, deleteJob, listJobs, offline } from "./api.js";
import { clock } from "./clock.js";
import { $, make, reached } from "./dom.js";
import { foundIn, inOrder, nameOf } from "./labels.js";
import { isDefault, setUpModels } from "./models.js";
import { formats, say, text } from "./strings.js";
import { preview } from "./preview.js";

/** @type {Intl.DateTimeFormatOptions} */
const MOMENT = { dateStyle: "medium", timeStyle: "short" };
const PAGE = 50;
const REFRESH = 4000;
const SETTLED = 250;
const STATES = { "": [], working: ["queued", "decoding", "extracting", "localizing"], succeeded: ["succeeded"], failed: ["failed"], cancelled: ["cancelled"] };
const SORTS = ["-created", "created", "name", "-duration", "-confidence"];
const FILTERS = ["job-state", "job-label", "job-sort"];

let jobs = [];
let isRead = false;
let cursor = null;
// How many pages of the list are shown.
let pages = 1;
let timer = 0;
let typing = 0;
let asked = 0;
let chosen = new Set();
let isPacking = false;
// What is being deleted.
const removing = new Set();

export function setUpJobs() {
  const names = { "": text.anyState, ...say.states, working: say.states.extracting };
  $("job-state").replaceChildren(...Object.keys(STATES).map((state) => new Option(names[state], state)));
  $("job-label").replaceChildren(new Option(text.anyFinding, ""), ...["positive", "negative"].map((label) => new Option(nameOf(label), label)));
  $("job-sort").replaceChildren(...SORTS.map((sort) => new Option(text.sorts[sort], sort)));
  for (const id of FILTERS) $(id).addEventListener("change", () => load());
  $("search").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(load, SETTLED);
  });
  $("search").placeholder = text.searchJobs;
  $("more").addEventListener("click", () => load(pages + 1));
  setUpChosen();
  for (const id of ["job-list", "chosen-delete"]) $(id).addEventListener("keydown", pressOnce);
}

export async function showJobs() {
  clearTimeout(timer);
  const models = setUpModels();
  await load(pages);
  await models;
  draw();
}

export function hideJobs() {
  clearTimeout(timer);
  document.querySelectorAll("#jobs [data-sure]").forEach(restore);
}

function query(after) {
  const wanted = [["q", $("search").value.trim()], ["label", $("job-label").value], ["sort", $("job-sort").value], ["cursor", after]];
  const states = STATES[$("job-state").value].map((state) => ["state", state]);
  return [["limit", PAGE], ...states, ...wanted.filter(([, value]) => value)];
}

// The default order is not a filter.
const isNarrowed = () => Boolean($("search").value.trim() || $("job-state").value || $("job-label").value);

// All shown pages are read again, because jobs on any of them may have progressed. More pages are read less often.
async function load(wanted = 1) {
  const mine = ++asked;
  let why = "";
  let pause = REFRESH * wanted;
  clearTimeout(timer);
  try {
    let page = await listJobs(query());
    const found = page.jobs;
    for (let read = 1; read < wanted && page.next_cursor && mine === asked; read++) {
      page = await listJobs(query(page.next_cursor));
      found.push(...page.jobs);
    }
    if (mine !== asked) return;
    jobs = found;
    isRead = true;
    cursor = page.next_cursor;
    pages = wanted;
    chosen = new Set(jobs.map(({ id }) => id).filter((id) => chosen.has(id)));
    draw();
  } catch (error) {
    why = error.message;
    pause = Math.max(pause, 1000 * (error.retrySeconds ?? 0));
  }
  // The list may be out of date, or not match the search. A failed deletion has already been reported.
  if (mine === asked) $("list-note").textContent = $("chosen-note").textContent.includes(why) ? "" : why;
  const goesOn = why || jobs.some(({ state }) => !FINAL.includes(state)) || isAwaitingSecondPress();
  if (goesOn && mine === asked && !$("intake").hidden) timer = setTimeout(() => load(pages), pause);
}

const isAwaitingSecondPress = () => $("job-list").querySelector("[data-sure]") !== null;

function draw() {
  const focused = document.activeElement?.closest?.("#job-list li")?.getAttribute("data-id");
  const part = document.activeElement?.tagName;
  // A button that waits for its second press is not removed.
  if (!isAwaitingSecondPress()) $("job-list").replaceChildren(...jobs.map(item));
  drawChosen();
  if (focused) /** @type {HTMLElement} */ ($("job-list").querySelector(`[data-id="${focused}"] ${part}`))?.focus({ preventScroll: true });
  $("more").hidden = !cursor;
  const isEmpty = !jobs.length && !isNarrowed();
  for (const id of ["search", ...FILTERS]) $(id).hidden = isEmpty;
  // Unknown without a server.
  $("no-jobs").hidden = !isRead || jobs.length > 0;
  $("no-jobs").textContent = isEmpty ? text.noJobs : text.noMatch;
}

function item(job) {
  const when = new Date(job.created_at);
  const time = make("time", { dateTime: job.created_at, title: when.toLocaleString() }, when.toLocaleString([], MOMENT));
  const more = [job.duration && clock(job.duration), job.source.bytes && say.size(job.source.bytes), isDefault(job.model) ? null : job.model, job.error?.detail];
  const about = make("small", {}, time, more.filter(Boolean).map((words) => ` · ${words}`).join(""));
  const name = make("div", { class: "name" }, make("a", { href: `#${job.id}` }, job.source.name), about);
  const row = make("li", {}, box(job), preview(job), name, chip(job), removal(job));
  row.dataset.id = job.id;
  return row;
}

function box(job) {
  const tick = make("input", { type: "checkbox", checked: chosen.has(job.id), "aria-label": say.chooseJob(job.source.name) });
  tick.addEventListener("change", () => {
    if (tick.checked) chosen.add(job.id);
    else chosen.delete(job.id);
    drawChosen();
  });
  return tick;
}

// Labels with their numbers of segments.
function chip(job) {
  const labels = job.state === "succeeded" ? inOrder(job.labels_found ?? []) : [];
  const marks = labels.map((label) => make("i", { class: `swatch ${label}` }));
  const working = !["queued", ...FINAL].includes(job.state);
  const words = job.state === "succeeded" ? say.found(foundIn(job)) : say.states[job.state] ?? job.state;
  return make("span", { class: `chip ${job.state}` }, ...marks, working ? `${words} ${reached(job.progress)} %` : words);
}

// A row shown as running may have finished since, so Cancel never deletes.
function removal(job) {
  const final = FINAL.includes(job.state);
  const button = make("button", { type: "button", class: "needs-write", "aria-label": (final ? say.removeJob : say.cancelJob)(job.source.name) }, final ? text.remove : text.cancel);
  if (final) onSecondPress(button, () => remove([job.id], placeFrom(job.id)));
  else button.addEventListener("click", () => cancel(job.id));
  return button;
}

// The button of the row, or of the next one that is left then.
function placeFrom(id) {
  const ids = [...$("job-list").children].map((row) => row.dataset.id);
  const rest = ids.slice(ids.indexOf(id));
  return () => rest.map(buttonOf).find((button) => button?.disabled === false) ?? outside();
}

// The element that gets the focus if no row is left. Without any video there is no search field.
const outside = () => $($("search").hidden ? "url" : "search");

const buttonOf = (id) => $("job-list").querySelector(`[data-id="${id}"] button`);

async function cancel(id) {
  $("chosen-note").textContent = "";
  await cancelJob(id).catch((error) => note(error.message));
  await load(pages);
}

// Deletes jobs one after the other. Jobs that could not be deleted stay selected. `next()` gets the focus, because
// disabled buttons lose it.
async function remove(ids, next) {
  const pressed = document.activeElement;
  const failures = [];
  $("chosen-note").textContent = "";
  for (const id of ids) removing.add(id);
  drawRemoving();
  for (const id of ids) await deleteOne(id).catch((error) => failures.push(error));
  for (const id of ids) removing.delete(id);
  if (failures.length) note(say.notDeleted(failures.length, failures[0].message));
  await load(pages);
  // Without a server, the list was not updated.
  drawChosen();
  // Do not move the focus if the user has moved it elsewhere.
  if ([document.body, pressed].includes(document.activeElement)) next()?.focus({ preventScroll: true });
}

// A job that is already gone counts as deleted. For a running job, the first request only cancels it (200).
async function deleteOne(id) {
  try {
    const { status } = await deleteJob(id);
    if (status === 200) await deleteJob(id);
  } catch (error) {
    if (error.status !== 404) throw error;
  }
  chosen.delete(id);
}

// The row of the button may be far below the note.
function note(words) {
  $("chosen-note").textContent = words;
  $("chosen-note").scrollIntoView({ block: "nearest" });
}

function drawRemoving() {
  for (const row of $("job-list").children) row.querySelector("button").disabled = removing.has(row.dataset.id);
  $("chosen-delete").disabled = [...chosen].some((id) => removing.has(id));
}

// A second press confirms, because deleting cannot be undone. The first one counts as long as the button has the focus.
function onSecondPress(button, act) {
  // Safari gives the focus of a button that is pressed to what is around it.
  button.addEventListener("mousedown", (event) => button.dataset.sure && event.preventDefault());
  button.addEventListener("blur", () => restore(button));
  button.addEventListener("click", () => confirmed(button) && act());
}

// A key that is held down neither confirms nor continues with the next row.
function pressOnce(event) {
  if (event.repeat && event.key === "Enter") event.preventDefault();
}

function confirmed(button) {
  if (button.dataset.sure) {
    restore(button);
    return true;
  }
  button.dataset.sure = button.textContent;
  button.textContent = text.sure;
  // Screen readers read the label, where there is one, instead of the text.
  const label = button.getAttribute("aria-label");
  if (label) {
    button.dataset.label = label;
    button.setAttribute("aria-label", `${text.sure} ${label}`);
  }
  // Safari does not focus a button that is clicked.
  button.focus();
  return false;
}

// Also called when a button is hidden, because it may then lose the focus without an event.
function restore(button) {
  button.textContent = button.dataset.sure ?? button.textContent;
  if (button.dataset.label) button.setAttribute("aria-label", button.dataset.label);
  delete button.dataset.sure;
  delete button.dataset.label;
}

// Several at once

function setUpChosen() {
  $("chosen-format").replaceChildren(...Object.entries({ ...formats, json: formats.json }).map(([name, [title]]) => new Option(title, name)));
  $("choose-all").addEventListener("change", () => {
    chosen = new Set($("choose-all").checked ? jobs.map(({ id }) => id) : []);
    draw();
  });
  $("chosen-export").addEventListener("click", async () => {
    if (isPacking) return;
    const wanted = jobs.filter(({ id, state }) => chosen.has(id) && state === "succeeded");
    const without = chosen.size - wanted.length;
    const tell = (words) => ($("chosen-note").textContent = words);
    if (!wanted.length) return tell(say.noResult(without));
    const packing = (done) => tell(say.packing(done, wanted.length));
    const pack = async () => (await import("./bulk.js").catch(offline)).exportAll(wanted, $("chosen-format").value, packing);
    packing(0);
    isPacking = true;
    await pack().then((count) => tell(say.packed(count, without)), (error) => tell(error.message));
    isPacking = false;
  });
  onSecondPress($("chosen-delete"), () => remove([...chosen], () => (chosen.size ? $("chosen-delete") : outside())));
}

function drawChosen() {
  $("chosen").hidden = jobs.length === 0;
  $("choose-all-words").textContent = say.chooseAll(jobs.length, Boolean(cursor));
  $("choose-all").checked = chosen.size > 0 && chosen.size === jobs.length;
  $("choose-all").indeterminate = chosen.size > 0 && chosen.size < jobs.length;
  $("chosen-acts").hidden = chosen.size === 0;
  if (chosen.size === 0) restore($("chosen-delete"));
  $("chosen-count").textContent = say.chosen(chosen.size);
  drawRemoving();
}
