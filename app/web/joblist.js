// The list of jobs on the first screen: newest first, searched by name, filtered by state.
import { deleteJob, listJobs } from "./api.js";
import { $, make, percent } from "./dom.js";
import { nameOf } from "./labels.js";
import { isDefault, setUpModels } from "./models.js";
import { say, text } from "./strings.js";

/** @type {Intl.DateTimeFormatOptions} */
const MOMENT = { dateStyle: "medium", timeStyle: "short" };
const PAGE = 50;
const REFRESH = 4000;
const STATES = { "": [], working: ["queued", "decoding", "extracting", "localizing"], succeeded: ["succeeded"], failed: ["failed"], cancelled: ["cancelled"] };

let jobs = [];
let cursor = null;
let timer = 0;
let asked = 0;

export function setUpJobs() {
  const names = { "": text.anyState, ...say.states, working: say.states.extracting };
  $("job-state").replaceChildren(...Object.keys(STATES).map((state) => new Option(names[state], state)));
  $("job-state").addEventListener("change", () => load());
  $("search").addEventListener("input", () => draw());
  $("search").placeholder = text.searchJobs;
  $("more").addEventListener("click", () => load(cursor));
}

export async function showJobs() {
  clearTimeout(timer);
  await load();
  await setUpModels();
  draw();
}

export const hideJobs = () => clearTimeout(timer);

async function load(after = null) {
  const mine = ++asked;
  clearTimeout(timer);
  try {
    const states = STATES[$("job-state").value].map((state) => ["state", state]);
    const page = await listJobs([["limit", PAGE], ...states, ...(after ? [["cursor", after]] : [])]);
    if (mine !== asked) return;
    jobs = after ? [...jobs, ...page.jobs] : page.jobs;
    cursor = page.next_cursor;
    draw();
  } catch {
    // The list is a convenience: without the server the rest of the screen still says what is wrong.
  }
  const busy = jobs.some((job) => !["succeeded", "failed", "cancelled"].includes(job.state));
  if (busy && !after && !$("intake").hidden) timer = setTimeout(load, REFRESH);
}

function draw() {
  const wanted = $("search").value.trim().toLowerCase();
  const found = jobs.filter((job) => job.source.name.toLowerCase().includes(wanted));
  $("job-list").replaceChildren(...found.map(item));
  $("more").hidden = !cursor;
  const isEmpty = !jobs.length && !$("job-state").value;
  for (const id of ["search", "job-state"]) $(id).hidden = isEmpty;
  $("no-jobs").hidden = found.length > 0;
  $("no-jobs").textContent = isEmpty ? text.noJobs : text.noMatch;
}

function item(job) {
  const when = new Date(job.created_at);
  const time = make("time", { dateTime: job.created_at, title: when.toLocaleString() }, when.toLocaleString([], MOMENT));
  const more = [job.source.bytes && say.size(job.source.bytes), isDefault(job.model) ? null : job.model, job.error?.detail];
  const about = make("small", {}, time, more.filter(Boolean).map((words) => ` · ${words}`).join(""));
  const name = make("div", {}, make("a", { href: `#${job.id}` }, job.source.name), about);
  return make("li", {}, name, chip(job), removal(job));
}

function chip(job) {
  const labels = job.state === "succeeded" ? (job.labels_found ?? []) : [];
  const marks = labels.map((label) => make("i", { class: `swatch ${label}` }));
  const working = !["succeeded", "failed", "cancelled", "queued"].includes(job.state);
  const words = job.state === "succeeded" ? say.found(labels.map(nameOf)) : say.states[job.state] ?? job.state;
  return make("span", { class: `chip ${job.state}` }, ...marks, working ? `${words} ${percent(job.progress)} %` : words);
}

// A second press confirms: deleting cannot be undone.
function removal(job) {
  const final = ["succeeded", "failed", "cancelled"].includes(job.state);
  const button = make("button", { type: "button", "aria-label": (final ? say.removeJob : say.cancelJob)(job.source.name) }, final ? text.remove : text.cancel);
  button.addEventListener("click", async () => {
    if (final && !button.dataset.sure) {
      button.dataset.sure = "yes";
      button.textContent = text.sure;
      button.addEventListener("blur", draw, { once: true });
      return;
    }
    await deleteJob(job.id).catch(() => {});
    await load();
  });
  return button;
}
