// Highlights: found by the server, then put into order, trimmed, played, cut and rendered here.
import { apiKey, ask, cancelJob, fileName, getBlob, getJob, offline, reelPath, startReel, videoPath } from "./api.js";
import { $, make, pause, reached, sureness } from "./dom.js";
import { setUpReels, showReels } from "./reels.js";
import { readRights } from "./rights.js";

const SHORTEST = 0.2;
const STAGES = { queued: "Waiting for a worker", rendering: "Rendering" };
const KINDS = { positive: "▲ Positive", negative: "▼ Negative", turning_point: "↕ Turning point" };

/** @type {{ job: string, name: string, kind: string, start: number, end: number, confidence: number | null, thumbnail: string | null }[]} */
let moments = [];
let playing = -1;
// Incremented at each start and stop, so that pending results of earlier ones are dropped.
let turn = 0;
// Whether the player is in the moment that is marked, and not on its way there.
let isThere = false;
let reel = null;
let rendering = false;
let searches = 0;
// Earlier orders and edges of the moments, the latest last.
let past = [];
const films = new Map();
// The order made by hand, and the reel in progress, stored while this tab is open.
const KEPT = `sentiloc.cut${location.search}`;

// All errors are reported in one place.
const tell = (message) => ($("told").textContent = message);
const tried = (work) => (event) => work(event).catch((error) => tell(error.message));

async function find(event) {
  event.preventDefault();
  tell("Looking…");
  const search = ++searches;
  const since = new Date(Date.now() - Number($("days").value) * 86_400_000).toISOString();
  const query = new URLSearchParams({ count: $("count").value, handle: $("handle").value });
  if ($("kind").value) query.set("kind", $("kind").value);
  const given = new URLSearchParams(location.search);
  for (const job of given.getAll("job")) query.append("job", job);
  // A batch is searched completely, whatever its age.
  if (given.has("batch")) query.set("batch", given.get("batch"));
  else query.set("created_after", since);
  const found = await (await ask(`/highlights?${query}`)).json();
  if (search !== searches) return;
  halt();
  past = [];
  moments = found.highlights.map(({ job, name, kind, cut, confidence, by_hand, thumbnail }) => ({
    job, name, kind, start: cut.start, end: cut.end, confidence: by_hand ? null : confidence, thumbnail,
  }));
  const weaker = found.not_searched ? `. Only the videos with the most certain segments were searched, not the ${plural(found.not_searched, "other")}` : "";
  tell(`${plural(moments.length, "moment")} in ${plural(found.videos, "video")}, ${length().toFixed(1)} s${weaker}`);
  show();
  // A reel of the previous cut: one that is being rendered is still offered when it is ready; a finished one is
  // removed.
  if (rendering) return keep();
  reel = null;
  $("made").hidden = $("share-reel").hidden = true;
  sessionStorage.removeItem(KEPT);
}

const keep = () => sessionStorage.setItem(KEPT, JSON.stringify({ moments, reel }));

// After a reload: the stored moments, or else a search.
async function begin() {
  const formats = await (await ask("/cuts/formats")).json();
  $("format").replaceChildren(...formats.map(({ name, title }) => new Option(title, name)));
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  if (!kept) return $("find").requestSubmit();
  ({ moments, reel } = kept);
  show();
  tell(`Your cut is as you left it: ${plural(moments.length, "moment")}, ${length().toFixed(1)} s. Find starts again.`);
  if (reel) await making();
}

const plural = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;

const length = () => moments.reduce((total, one) => total + one.end - one.start, 0);

// Store the current moments, so that `undo` can restore them.
const remember = () => past.push(moments.map((one) => ({ ...one })));

function undo() {
  if (!past.length) return;
  moments = past.pop();
  changed(`Undone: ${plural(moments.length, "moment")}, ${length().toFixed(1)} s`);
}

// After each change by hand.
function changed(words) {
  halt();
  show();
  keep();
  tell(words);
}

function enable() {
  $("undo").disabled = past.length === 0;
  $("film").hidden = $("leave").hidden = moments.length === 0 && past.length === 0;
  $("play").disabled = $("cut").disabled = moments.length === 0;
  $("render").disabled = moments.length === 0 || rendering;
}

function show() {
  enable();
  $("moments").replaceChildren(...moments.map(item));
  mark();
}

function item(moment, index) {
  const sure = moment.confidence === null ? "by hand" : `${sureness(moment.confidence)}\u00a0%`;
  const button = (label, sign, onclick, disabled = false) => make("button", { type: "button", class: "icon", "aria-label": `${label} ${index + 1}`, title: label, onclick, disabled }, sign);
  const edge = (name) => make("input", {
    type: "number", step: 0.04, defaultValue: moment[name].toFixed(2), "aria-label": `${name === "start" ? "Start" : "End"} of ${index + 1} in seconds`,
    onchange: ({ target }) => trim(index, name, target),
  });
  return make("li", {},
    picture(moment),
    make("b", { class: moment.kind }, `${KINDS[moment.kind]} ${sure}`),
    make("span", { class: "name soft" }, moment.name),
    make("div", { class: "row" },
      button("Play", "▶", () => play(index)),
      edge("start"), edge("end"),
      button("Earlier", "←", () => move(index, -1), index === 0),
      button("Later", "→", () => move(index, 1), index === moments.length - 1),
      button("Remove", "✕", () => remove(index))));
}

function picture(moment) {
  if (!moment.thumbnail) return make("span", { class: "blank" });
  const image = make("img", { alt: "", loading: "lazy" });
  if (apiKey()) getBlob(moment.thumbnail).then(({ blob }) => (image.src = URL.createObjectURL(blob)), () => {});
  else image.src = moment.thumbnail;
  return image;
}

// Its steps count from its default value, so that every time is valid.
function setField(field, seconds) {
  field.value = field.defaultValue = seconds.toFixed(2);
}

// The field stays where it is, so that Tab goes on from it.
function trim(index, edge, field) {
  const moment = moments[index];
  const seconds = field.value === "" ? moment[edge] : Number(field.value);
  remember();
  moment[edge] = edge === "start" ? Math.max(0, Math.min(seconds, moment.end - SHORTEST)) : Math.max(seconds, moment.start + SHORTEST);
  setField(field, moment[edge]);
  halt();
  enable();
  keep();
  tell(`${length().toFixed(1)} s`);
}

function move(index, by) {
  remember();
  const [moment] = moments.splice(index, 1);
  moments.splice(index + by, 0, moment);
  changed(`${moment.name}: ${index + by + 1} of ${moments.length}`);
  const signs = by < 0 ? ["Earlier", "Later"] : ["Later", "Earlier"];
  const [next] = signs.map((sign) => document.querySelector(`[aria-label="${sign} ${index + by + 1}"]:enabled`)).filter(Boolean);
  /** @type {HTMLElement | undefined} */ (next)?.focus();
}

function remove(index) {
  remember();
  moments.splice(index, 1);
  changed(`${plural(moments.length, "moment")}, ${length().toFixed(1)} s`);
  // The focus stays in the list, on the element at the same position.
  const next = document.querySelectorAll('#moments [aria-label^="Remove "]')[Math.min(index, moments.length - 1)] ?? $("undo");
  /** @type {HTMLElement} */ (next).focus();
}

// Playing: one moment after the other, each from its own video.

async function source(job) {
  if (!apiKey()) return videoPath(job);
  // The request is cached, too, so that a video is fetched only once however often it is started meanwhile.
  if (!films.has(job)) films.set(job, getBlob(videoPath(job)).then(({ blob }) => URL.createObjectURL(blob)));
  return films.get(job).catch((error) => {
    films.delete(job);
    throw error;
  });
}

async function play(index) {
  halt();
  const moment = moments[index];
  if (!moment) return;
  const mine = turn;
  playing = index;
  mark();
  try {
    const isPlayable = await prepare(moment.job, mine);
    if (mine !== turn) return;
    if (!isPlayable) {
      tell(`This browser cannot play ${moment.name}: it is skipped here, but not in the cut or the reel.`);
      return await play(index + 1);
    }
    const video = $("player");
    if (!video.videoWidth) tell(`This browser can play only the sound of ${moment.name}.`);
    video.currentTime = moment.start;
    isThere = true;
    await video.play();
  } catch (error) {
    if (mine !== turn) return;
    halt();
    tell(error.message);
  }
}

// Whether the browser can play the video of the job, which is then in the player.
async function prepare(job, mine) {
  const video = $("player");
  video.hidden = false;
  const path = new URL(await source(job), location.href).href;
  // Meanwhile another moment, or none, may have been selected.
  if (mine !== turn) return false;
  return (video.src === path && video.readyState > 0) || load(video, path);
}

// False if the browser cannot play the video.
function load(video, path) {
  video.src = path;
  return new Promise((resolve) => {
    video.onloadedmetadata = () => resolve(true);
    video.onerror = () => resolve(false);
  });
}

function halt() {
  turn += 1;
  playing = -1;
  isThere = false;
  $("player").pause();
  mark();
}

function mark() {
  $("play").textContent = playing < 0 ? "Play all" : "Stop";
  $("now").textContent = playing < 0 ? "" : `${playing + 1} of ${moments.length}`;
  [...$("moments").children].forEach((node, index) => node.setAttribute("aria-current", String(index === playing)));
}

// A moment may end after the last picture that the browser shows. Then the video's own end counts.
function watch() {
  const { currentTime, ended } = $("player");
  if (isThere && (ended || currentTime >= moments[playing].end)) play(playing + 1);
}

// Download a cut, or render a reel.

const clips = () => moments.map(({ job, start, end, kind, confidence }) => ({ job, start, end, label: kind, confidence }));

async function cut() {
  const response = await ask("/cuts", { format: $("format").value, title: $("title").value || "Highlights", clips: clips() });
  const link = make("a", { href: URL.createObjectURL(await response.blob()), download: fileName(response) ?? "cut" });
  link.click();
  const notes = response.headers.get("Sentiloc-Notes");
  tell(notes ? notes.replace(/^\d+; /, "") : "The cut is downloaded. Keep it beside the videos.");
}

async function render() {
  const body = { title: $("title").value || "Highlights", clips: clips(), crossfade: Number($("crossfade").value), captions: $("captions").checked };
  await making(async () => {
    reel = await startReel(body);
    keep();
  });
}

// From a reel's job to its file. `begun` orders the job: before there is one, there is nothing to stop.
async function making(begun = async () => {}) {
  $("render").disabled = rendering = true;
  try {
    await begun();
    showReels();
    $("made").hidden = $("share-reel").hidden = true;
    $("rendering").hidden = $("stop").hidden = false;
    await follow();
  } finally {
    rendering = false;
    showReels();
    $("rendering").hidden = $("stop").hidden = true;
    $("render").disabled = moments.length === 0;
  }
}

// A server that does not answer is asked again; for a job that does not exist, polling stops.
function unlessGone(error) {
  if (error.status) throw error;
  return null;
}

async function follow() {
  for (;;) {
    const job = await getJob(reel.id).catch(unlessGone);
    if (!job) {
      await pause(1000);
      continue;
    }
    $("rendering").value = job.progress;
    tell(`${STAGES[job.stage ?? job.state] ?? "Starting"}, ${reached(job.progress)} %`);
    if (job.state === "failed") throw new Error(job.error.detail);
    if (job.state === "cancelled") return tell("Stopped.");
    if (job.state === "succeeded") return offer();
    await pause(1000);
  }
}

async function offer() {
  const path = reelPath(reel.id);
  $("made").href = apiKey() ? URL.createObjectURL((await getBlob(path)).blob) : path;
  $("made").download = `${reel.title}.mp4`;
  $("made").hidden = $("share-reel").hidden = false;
  tell(`The reel is ready: ${reel.seconds.toFixed(1)} s.`);
}

$("find").addEventListener("submit", tried(find));
$("undo").addEventListener("click", undo);
document.addEventListener("keydown", (event) => {
  const typing = /** @type {Element} */ (event.target).matches("input, select");
  if (typing || event.key !== "z" || event.shiftKey || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  undo();
});
$("play").addEventListener("click", tried(async () => (playing < 0 ? play(0) : halt())));
for (const type of ["timeupdate", "ended"]) $("player").addEventListener(type, watch);
$("cut").addEventListener("click", tried(cut));
$("render").addEventListener("click", tried(render));
$("share-reel").addEventListener("click", tried(async () => (await import("./share.js").catch(offline)).openShare(reel.id, reel.title)));
$("stop").addEventListener("click", tried(async () => void (await cancelJob(reel.id))));
setUpReels();
readRights();
tried(begin)();
showReels();
