// The list of jobs on the first screen: searched, filtered and sorted by the server; chosen ones are exported or deleted together.
import { FINAL, cancelJob, countJobs, deleteForGood, listJobs, offline } from "./api.js";
import { clock } from "./clock.js";
import { onSecondPress, pressOnce, restore } from "./confirming.js";
import { draftKey } from "./corrections.js";
import { $, make, reached, store } from "./dom.js";
import { foundIn, labelsIn, nameOf } from "./labels.js";
import { isDefault, setUpModels } from "./models.js";
import { formats, say, text } from "./strings.js";
import { preview } from "./preview.js";
import { addTags, readTags, removeTags, tagList, tagsOf } from "./tags.js";

/** @type {Intl.DateTimeFormatOptions} */
const MOMENT = { dateStyle: "medium", timeStyle: "short" };
const PAGE = 50;
const REFRESH = 4000;
const SETTLED = 250;
// Milliseconds for which the number of a long list stands while videos are added.
const COUNTED_FOR = 15_000;
const STATES = { "": [], working: ["queued", "decoding", "extracting", "localizing"], succeeded: ["succeeded"], unchecked: ["succeeded"], checked: ["succeeded"], failed: ["failed"], cancelled: ["cancelled"] };
// Results that a person has saved corrections of, or has confirmed; and those that still wait for one.
const CHECKED = { checked: "true", unchecked: "false" };
const SORTS = ["-created", "created", "name", "-duration", "-confidence"];
const FILTERS = ["job-state", "job-label", "job-tag", "job-sort"];

// The filters and the videos of the list as they were shown last, kept for this tab: a reload loses neither.
const KEPT = "sentiloc.list";

let jobs = [];
let isRead = false;
// The list as it was last shown, or as it was before a reload: only of the videos with a result.
let shown = [];
let cursor = null;
// How many pages of the list are shown.
let pages = 1;
let timer = 0;
let typing = 0;
let asked = 0;
let chosen = new Set();
let isPacking = false;
// Every tag that was seen, and what the server counted for which list.
let tags = new Set();
// Whether a person has just changed the filter, and waits for the number of videos.
let isAnswer = false;
let counted = { of: "", top: "", at: 0, summary: null };
// What is being deleted.
const removing = new Set();

export function setUpJobs() {
  const names = { "": text.anyState, ...say.states, ...text.checkedStates, working: say.states.extracting };
  $("job-state").replaceChildren(...Object.keys(STATES).map((state) => new Option(names[state], state)));
  $("job-label").replaceChildren(new Option(text.anyFinding, ""), ...["positive", "negative"].map((label) => new Option(nameOf(label), label)));
  $("job-tag").replaceChildren(new Option(text.anyTag, ""));
  $("job-sort").replaceChildren(...SORTS.map((sort) => new Option(text.sorts[sort], sort)));
  restoreList();
  for (const id of FILTERS) $(id).addEventListener("change", () => search());
  $("search").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(search, SETTLED);
  });
  $("search").placeholder = text.searchJobs;
  $("chosen-tag").placeholder = text.tagFilter;
  $("more").addEventListener("click", () => load(pages + 1));
  setUpChosen();
  for (const id of ["job-list", "chosen-delete"]) $(id).addEventListener("keydown", pressOnce);
}

function search() {
  isAnswer = true;
  load();
}

const isDone = ({ state }) => state === "succeeded";

function keepList() {
  const filters = Object.fromEntries(["search", ...FILTERS].map((id) => [id, $(id).value]));
  const done = jobs.filter(isDone).map(({ id, state, source: { name } }) => ({ id, state, source: { name } }));
  sessionStorage.setItem(KEPT, JSON.stringify({ filters, done }));
}

function restoreList() {
  const { filters, done } = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
  if (!filters) return;
  const tag = filters["job-tag"];
  if (tag) $("job-tag").append(new Option(tag, tag));
  for (const [id, value] of Object.entries(filters)) $(id).value = value;
  shown = done;
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
  const wanted = [["q", $("search").value.trim()], ["label", $("job-label").value], ["tag", $("job-tag").value], ["corrected", CHECKED[$("job-state").value]], ["sort", $("job-sort").value], ["cursor", after]];
  const states = STATES[$("job-state").value].map((state) => ["state", state]);
  return [["limit", PAGE], ...states, ...wanted.filter(([, value]) => value)];
}

// The default order is not a filter.
const isNarrowed = () => ["job-state", "job-label", "job-tag"].some((id) => $(id).value) || Boolean($("search").value.trim());

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
    shown = jobs;
    keepList();
    cursor = page.next_cursor;
    pages = wanted;
    chosen = new Set(jobs.map(({ id }) => id).filter((id) => chosen.has(id)));
    draw();
    await count();
  } catch (error) {
    why = error.message;
    pause = Math.max(pause, 1000 * (error.retrySeconds ?? 0));
  }
  // The list may be out of date, or not match the search. A failed deletion has already been reported.
  if (mine === asked) $("list-note").textContent = $("chosen-note").textContent.includes(why) ? "" : why;
  const goesOn = why || jobs.some(({ state }) => !FINAL.includes(state)) || isAwaitingSecondPress();
  if (goesOn && mine === asked && !$("intake").hidden) timer = setTimeout(() => load(pages), pause);
}

// A list that is shown to its end is counted here. The server counts longer ones, which takes it a while: only for
// another filter, and when other videos have come to the top for a while.
async function count() {
  const [of, top] = [whatIsListed(), jobs.slice(0, PAGE).map(({ id }) => id).join()];
  const isOld = counted.top !== top && Date.now() - counted.at > COUNTED_FOR;
  if (cursor && (counted.of !== of || isOld)) {
    const summary = await countJobs(listed()).catch(() => null);
    // The list may have been read again meanwhile; the count is still that of this search.
    if (of !== whatIsListed()) return;
    // What could not be counted is not asked for at every reading of the list.
    counted = { of, top: summary ? top : "", at: Date.now(), summary: summary ?? (counted.of === of ? counted.summary : null) };
  }
  drawCount();
}

const listed = () => query().filter(([name]) => !["limit", "sort"].includes(name));
const whatIsListed = () => JSON.stringify(listed());

function drawCount() {
  const summary = cursor ? (counted.of === whatIsListed() ? counted.summary : null) : ownCount();
  const states = summary?.states ?? {};
  const working = STATES.working.reduce((sum, state) => sum + (states[state] ?? 0), 0);
  const words = summary?.count ? say.count(summary.count, working, states.failed, !summary.complete) : "";
  $("job-count").textContent = words;
  // Screen readers hear the count of what they searched for, not every job that ends.
  if (isAnswer && summary) {
    $("job-count-told").textContent = words || text.noMatch;
    isAnswer = false;
  }
  drawTags(Object.keys(summary?.tags ?? {}));
}

function ownCount() {
  const states = {};
  for (const { state } of jobs) states[state] = (states[state] ?? 0) + 1;
  return { count: jobs.length, states, tags: Object.fromEntries(jobs.flatMap(tagsOf).map((tag) => [tag, 1])), complete: true };
}

// The filter by tag has every tag of the list; narrowed lists do not know the others.
function drawTags(found) {
  const chosenTag = $("job-tag").value;
  tags = new Set([...(isNarrowed() ? tags : []), ...jobs.flatMap(tagsOf), ...found, ...(chosenTag ? [chosenTag] : [])]);
  const names = [...tags].sort((a, b) => a.localeCompare(b));
  const options = [...$("job-tag").options].slice(1).map(({ value }) => value);
  if (names.join("\n") !== options.join("\n")) {
    $("job-tag").replaceChildren(new Option(text.anyTag, ""), ...names.map((name) => new Option(name, name)));
    $("job-tag").value = chosenTag;
    $("known-tags").replaceChildren(...names.map((name) => make("option", { value: name })));
  }
  $("job-tag").hidden = !names.length;
}

function chooseTag(tag) {
  if (![...$("job-tag").options].some(({ value }) => value === tag)) $("job-tag").append(new Option(tag, tag));
  $("job-tag").value = tag;
  search();
  $("job-tag").focus();
}

const isAwaitingSecondPress = () => $("job-list").querySelector("[data-sure]") !== null;

function draw() {
  const row = document.activeElement?.closest?.("#job-list > li");
  const [focused, place] = [row?.getAttribute("data-id"), row ? parts(row).findIndex((part) => part === document.activeElement) : -1];
  // A button that waits for its second press is not removed.
  if (!isAwaitingSecondPress()) $("job-list").replaceChildren(...jobs.map(item));
  drawChosen();
  const again = focused && $("job-list").querySelector(`[data-id="${focused}"]`);
  if (again && !row.isConnected) parts(again)[place]?.focus({ preventScroll: true });
  $("more").hidden = !cursor;
  const isEmpty = !jobs.length && !isNarrowed();
  for (const id of ["search", ...FILTERS]) $(id).hidden = isEmpty;
  drawCount();
  // Unknown without a server.
  $("no-jobs").hidden = !isRead || jobs.length > 0;
  $("no-jobs").textContent = isEmpty ? text.noJobs : text.noMatch;
}

/** @type {(row: Element) => HTMLElement[]} What can have the focus in a row. */
const parts = (row) => [...row.querySelectorAll("a, button, input")].map((one) => /** @type {HTMLElement} */ (one));

function item(job) {
  const when = new Date(job.created_at);
  const time = make("time", { dateTime: job.created_at, title: when.toLocaleString() }, when.toLocaleString([], MOMENT));
  const more = [job.duration && clock(job.duration), job.source.bytes && say.size(job.source.bytes), isDefault(job.model) ? null : job.model, job.corrected && say.checked(new Date(job.corrected.at)), store(draftKey(job)) && text.draft, job.error?.detail];
  const about = make("small", {}, time, more.filter(Boolean).map((words) => ` · ${words}`).join(""));
  const name = make("div", { class: "name" }, make("a", { href: `#${job.id}` }, job.source.name), about, tagList(job, chooseTag));
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
  const labels = job.state === "succeeded" ? labelsIn(job) : [];
  const marks = labels.map((label) => make("i", { class: `swatch ${label}` }));
  const working = !["queued", ...FINAL].includes(job.state);
  const words = job.state === "succeeded" ? say.found(foundIn(job)) : say.states[job.state] ?? job.state;
  return make("span", { class: `chip ${job.state}` }, ...marks, working ? `${words} ${reached(job.progress)} %` : words);
}

// A row shown as running may have finished since, so Cancel never deletes.
function removal(job) {
  const final = FINAL.includes(job.state);
  const button = make("button", { type: "button", class: "removal needs-write", "aria-label": (final ? say.removeJob : say.cancelJob)(job.source.name) }, final ? text.remove : text.cancel);
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

const buttonOf = (id) => $("job-list").querySelector(`[data-id="${id}"] .removal`);

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
  counted.of = "";
  if (failures.length) note(say.notDeleted(failures.length, failures[0].message));
  await load(pages);
  // Without a server, the list was not updated.
  drawChosen();
  // Do not move the focus if the user has moved it elsewhere.
  if ([document.body, pressed].includes(document.activeElement)) next()?.focus({ preventScroll: true });
}

async function deleteOne(id) {
  await deleteForGood(id);
  chosen.delete(id);
}

// The row of the button may be far below the note.
function note(words) {
  $("chosen-note").textContent = words;
  $("chosen-note").scrollIntoView({ block: "nearest" });
}

function drawRemoving() {
  for (const row of $("job-list").children) row.querySelector(".removal").disabled = removing.has(row.dataset.id);
  $("chosen-delete").disabled = [...chosen].some((id) => removing.has(id));
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
  $("chosen-tags").addEventListener("submit", (event) => {
    event.preventDefault();
    tagChosen(addTags, say.tagged);
  });
  $("chosen-untag").addEventListener("click", () => $("chosen-tags").reportValidity() && tagChosen(removeTags, say.untagged));
  onSecondPress($("chosen-delete"), () => remove([...chosen], () => (chosen.size ? $("chosen-delete") : outside())));
}

// Changes the tags of all chosen jobs, one after the other, so that a refusal of one leaves the others changed.
async function tagChosen(change, done) {
  const words = readTags($("chosen-tag").value);
  const [ids, failures] = [[...chosen], []];
  for (const id of ids) await change(id, words).catch((error) => failures.push(error));
  if (failures.length < ids.length) $("chosen-tag").value = "";
  await load(pages);
  note(failures.length ? say.notTagged(failures.length, failures[0].message) : done(ids.length, words));
}

// The videos with a result above and below one in the list, as it was last shown.
export function around(id) {
  const done = shown.filter((job) => isDone(job) || job.id === id);
  const at = done.findIndex((job) => job.id === id);
  return at < 0 ? [] : [done[at - 1], done[at + 1]];
}

function drawChosen() {
  $("chosen").hidden = jobs.length === 0;
  $("choose-all-words").textContent = say.chooseAll(jobs.length, Boolean(cursor));
  $("choose-all").checked = chosen.size > 0 && chosen.size === jobs.length;
  $("choose-all").indeterminate = chosen.size > 0 && chosen.size < jobs.length;
  $("chosen-acts").hidden = chosen.size === 0;
  const two = jobs.filter(({ id, state }) => chosen.has(id) && state === "succeeded");
  $("chosen-compare").hidden = chosen.size !== 2 || two.length !== 2;
  $("chosen-compare").href = `web/compare.html?${new URLSearchParams(two.map(({ id }, i) => [i ? "second" : "first", id]))}`;
  if (chosen.size === 0) restore($("chosen-delete"));
  $("chosen-count").textContent = say.chosen(chosen.size);
  drawRemoving();
}
