// The page: intake → progress → result. The job's id is in the address, so a reload or a shared link goes on where it was.
import { Problem, cancelJob, formatNames, getJob, getResult, resultPath, upload } from "./api.js";
import { clock } from "./clock.js";
import { forget, recentJobs, remember } from "./recent.js";
import { say, text } from "./strings.js";
import { Timeline } from "./timeline.js";

const $ = (id) => document.getElementById(id);
const OPTIONS = ["threshold", "min_length", "merge_gap"];
const timeline = new Timeline($("timeline"));
const state = { run: 0 };

for (const node of document.querySelectorAll("[data-text]")) node.textContent = text[node.dataset.text];
for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", text[node.dataset.label]);
$("search").placeholder = text.searchJobs;

function showOnly(name) {
  for (const id of ["intake", "progress", "problem", "result"]) $(id).hidden = id !== name;
  if (name === "intake") listRecent();
}

function fail(error) {
  showOnly("problem");
  $("problem-detail").textContent = error.message;
  $("again").focus();
}

// Intake

function listRecent() {
  const wanted = $("search").value.trim().toLowerCase();
  const jobs = recentJobs();
  $("recent").hidden = jobs.length === 0;
  const items = jobs.filter((job) => job.name.toLowerCase().includes(wanted)).map((job) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = `#${job.id}`;
    link.textContent = job.name;
    const when = document.createElement("time");
    when.dateTime = job.at;
    when.textContent = new Date(job.at).toLocaleString();
    item.append(link, " ", when);
    return item;
  });
  $("recent-list").replaceChildren(...items);
}

async function send(file) {
  const run = ++state.run;
  showOnly("progress");
  $("progress-title").textContent = say.uploading(file.name);
  const began = performance.now();
  const sending = upload(file, (part) => {
    const left = ((performance.now() - began) / 1000) * (1 / part - 1);
    report(part, say.uploaded(part, left > 3 ? say.left(left) : ""));
  });
  state.stop = sending.abort;
  try {
    const job = await sending.done;
    if (run !== state.run) return;
    remember(job);
    state.file = { id: job.id, url: URL.createObjectURL(file) };
    location.hash = job.id;
  } catch (error) {
    if (run !== state.run) return;
    if (error.name === "AbortError") showOnly("intake");
    else fail(error);
  }
}

function report(part, line) {
  $("bar").value = part;
  if ($("stage").textContent !== line) $("stage").textContent = line;
}

// Following a job

async function follow(id) {
  const run = ++state.run;
  state.id = id;
  state.stop = () => cancelJob(id);
  const pace = { progress: 0, at: performance.now() };
  while (run === state.run) {
    let job;
    try {
      job = await getJob(id);
    } catch (error) {
      if (error instanceof Problem && error.status < 500) return gone(id, error);
      report($("bar").value, say.reconnecting);
      await pause(2000);
      continue;
    }
    if (run !== state.run) return;
    if (job.state === "succeeded") return open(job);
    if (job.state === "cancelled") return showOnly("intake");
    if (job.state === "failed") return fail(new Error(job.error.detail));
    showJob(job, pace);
    await pause(500);
  }
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function gone(id, error) {
  forget(id);
  fail(error);
}

function showJob(job, pace) {
  showOnly("progress");
  $("progress-title").textContent = say.working(job.source.name);
  const seconds = (performance.now() - pace.at) / 1000;
  const left = job.progress > 0.05 && seconds > 2 ? (seconds / job.progress) * (1 - job.progress) : 0;
  const line = job.stage ? say.stages[job.stage] : say.queued(job.queue_position);
  report(job.progress, left > 3 ? `${line} · ${say.left(left)}` : line);
}

// The result

async function open(job) {
  try {
    const result = await getResult(job.id);
    remember(job);
    showOnly("result");
    $("result-title").textContent = job.source.name;
    $("video").src = state.file?.id === job.id ? state.file.url : `/jobs/${job.id}/video`;
    $("video").hidden = false;
    $("no-video").hidden = true;
    for (const name of OPTIONS) $(name).value = result.options[name];
    show(result);
    $("timeline").focus({ preventScroll: true });
  } catch (error) {
    fail(error);
  }
}

function show(result) {
  state.result = result;
  timeline.show(result);
  const count = (label) => result.segments.filter((segment) => segment.label === label).length;
  const found = result.segments.length > 0;
  const duration = clock(result.video.duration);
  $("summary").textContent = found ? say.summary(count("positive"), count("negative"), duration) : say.none;
  $("rows").replaceChildren(...result.segments.map(row));
  showOptions();
}

function row(segment) {
  const line = document.createElement("tr");
  const jump = document.createElement("button");
  jump.type = "button";
  jump.textContent = text[segment.label];
  jump.className = segment.label;
  jump.addEventListener("click", () => pick(segment));
  const evidence = Object.entries(segment.evidence ?? {})
    .filter(([, share]) => share >= 0.005)
    .map(([stream, share]) => `${say.evidence[stream]} ${Math.round(share * 100)} %`)
    .join(", ");
  const cells = [jump, clock(segment.start), clock(segment.end), `${Math.round(segment.confidence * 100)} %`, evidence];
  for (const content of cells) line.insertCell().append(content);
  return line;
}

function query() {
  return Object.fromEntries(OPTIONS.map((name) => [name, $(name).value]));
}

function showOptions() {
  const seconds = (value) => `${Number(value).toFixed(1)} s`;
  $("options").querySelectorAll("output").forEach((output) => {
    const value = $(output.htmlFor.value).value;
    output.textContent = output.htmlFor.value === "threshold" ? `${Math.round(value * 100)} %` : seconds(value);
  });
  $("export").href = resultPath(state.id, { ...query(), format: $("format").value || "json" });
}

let asked = 0;
async function recut() {
  showOptions();
  const mine = ++asked;
  try {
    const result = await getResult(state.id, query());
    if (mine !== asked) return;
    result.video = state.result.video;
    show(result);
  } catch (error) {
    if (mine === asked) $("summary").textContent = error.message;
  }
}

// Moving about

function seek(seconds) {
  const at = Math.min(Math.max(0, seconds), state.result.video.duration);
  $("video").currentTime = at;
  timeline.setTime(at);
}

function pick(segment) {
  state.segment = segment;
  seek(segment.start);
}

function jump(direction) {
  const now = (timeline.now ?? 0) + direction * 0.05;
  const starts = state.result.segments;
  const next = direction > 0 ? starts.find((s) => s.start > now) : starts.findLast((s) => s.start < now - 0.2);
  if (next) pick(next);
}

function play() {
  const video = $("video");
  if (video.paused) video.play().catch(() => {});
  else video.pause();
}

const KEYS = {
  " ": play,
  ArrowLeft: () => seek((timeline.now ?? 0) - 1),
  ArrowRight: () => seek((timeline.now ?? 0) + 1),
  "[": () => jump(-1),
  "]": () => jump(1),
  "+": () => timeline.zoom(0.5, timeline.now),
  "=": () => timeline.zoom(0.5, timeline.now),
  "-": () => timeline.zoom(2, timeline.now),
  Home: () => seek(0),
  End: () => seek(Infinity),
};

function tick() {
  const video = $("video");
  if (!video.paused) {
    const segment = state.segment;
    if ($("loop").checked && segment && video.currentTime >= segment.end) video.currentTime = segment.start;
    timeline.setTime(video.currentTime);
  }
  requestAnimationFrame(tick);
}

// Wiring

$("file").addEventListener("change", () => $("file").files[0] && send($("file").files[0]));
for (const type of ["dragover", "dragleave", "drop"]) {
  addEventListener(type, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", type === "dragover");
    if (type === "drop" && !$("intake").hidden && event.dataTransfer.files[0]) send(event.dataTransfer.files[0]);
  });
}
$("search").addEventListener("input", listRecent);
$("cancel").addEventListener("click", () => state.stop?.());
for (const id of ["again", "new"]) {
  $(id).addEventListener("click", () => {
    history.pushState(null, "", location.pathname);
    start();
  });
}
timeline.addEventListener("seek", (event) => seek(event.detail));
timeline.addEventListener("pick", (event) => pick(event.detail));
$("timeline").addEventListener("keydown", (event) => {
  const act = KEYS[event.key];
  if (!act || event.target.closest(".block") && event.key === " ") return;
  event.preventDefault();
  act();
});
$("zoom-in").addEventListener("click", () => timeline.zoom(0.5, timeline.now));
$("zoom-out").addEventListener("click", () => timeline.zoom(2, timeline.now));
$("zoom-fit").addEventListener("click", () => timeline.fit());
$("previous").addEventListener("click", () => jump(-1));
$("next").addEventListener("click", () => jump(1));
$("video").addEventListener("seeked", () => timeline.setTime($("video").currentTime));
$("video").addEventListener("error", () => {
  $("video").hidden = true;
  $("no-video").hidden = false;
});
for (const name of OPTIONS) $(name).addEventListener("input", recut);
$("options").addEventListener("submit", (event) => event.preventDefault());
$("format").addEventListener("change", showOptions);
$("share").addEventListener("click", async () => {
  await navigator.clipboard.writeText(location.href);
  $("shared").textContent = text.copied;
});
addEventListener("hashchange", start);
addEventListener("popstate", start);

async function listFormats() {
  const formats = await formatNames();
  $("format").replaceChildren(...formats.map((format) => new Option(format.title, format.name)));
}

function start() {
  const id = location.hash.slice(1);
  $("video").pause();
  $("file").value = "";
  $("shared").textContent = "";
  if (id) {
    follow(id);
  } else {
    state.run += 1;
    showOnly("intake");
  }
}

listFormats().catch(() => {});
start();
requestAnimationFrame(tick);
