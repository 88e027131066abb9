// The page: intake → progress → result. The job's id is in the address, so a reload or a shared link continues at the
// same job.
import { Problem, cancelJob, logOut, offline, onKeyNeeded, provider, rerunJob, returnFromSignIn, signIn, signOut, startJobOfUrl } from "./api.js";
import { $, make, store } from "./dom.js";
import { droppedFiles, looksLikeVideo, placeOf, refusal } from "./checks.js";
import { setUpExports } from "./exports.js";
import { around, hideJobs, setUpJobs, showJobs } from "./joblist.js";
import { hasLetterKeys, isTyping, pressKey, setLetterKeys } from "./keys.js";
import { jobOptions, setUpOptions } from "./models.js";
import { adopt, enqueue, isSending, setUpQueue } from "./queue.js";
import { follow, showProgress } from "./progress.js";
import { readRights } from "./rights.js";
import { help, hints, say, text } from "./strings.js";
import { Upload } from "./upload.js";
import { View } from "./view.js";

/** @type {(selector: string) => NodeListOf<HTMLElement>} */
const all = (selector) => document.querySelectorAll(selector);

for (const node of all("[data-text]")) node.textContent = text[node.dataset.text];
for (const node of all("[data-label]")) node.setAttribute("aria-label", text[node.dataset.label]);
for (const node of all("button[data-label]")) node.title = text[node.dataset.label];
$("url").placeholder = text.urlPlaceholder;
$("url").title = text.urlPattern;
$("timecode").title = text.timecodeHint;
$("new-tags").placeholder = text.newTags;

const view = new View();
let running = new AbortController();
let sent = null;
let stop = () => {};
// The file whose upload is shown on the screen, with the upload once it has begun.
/** @type {{ file: File, options: object, sending: Upload | null } | null} */
let uploading = null;

function showOnly(name) {
  for (const id of ["intake", "progress", "problem", "result"]) $(id).hidden = id !== name;
  document.body.dataset.screen = name;
  if (name === "intake") showJobs().then(showKey);
  else hideJobs();
  if (name !== "result") view.close();
}

// The owner of the key, if the server needs keys.
async function showKey() {
  const key = await readRights();
  $("whose").hidden = $("log-out").hidden = !key;
  if (!key) return;
  $("whose").textContent = key.person ? say.signedInAs(key.person) : say.keyOf(key.name);
  $("log-out").onclick = key.person ? () => signOut().catch(fail) : logOut;
  $("read-only").hidden = !key.isReadOnly;
}

// `name` is the name of the video at fault, if there is one, and `job` its job.
function fail(error, name = "", job = null) {
  showOnly("problem");
  showFacts(job);
  const title = job?.state === "cancelled" ? say.cancelledTitle(name) : say.problem(name);
  $("problem-title").textContent = title;
  document.title = `${title} · Sentiloc`;
  $("problem-detail").textContent = error.message;
  $("problem-hint").textContent = hints[error.code] ?? "";
  $("again").focus();
}

function showFacts(job) {
  $("problem-facts").hidden = $("rerun").hidden = !job;
  $("rerun-note").textContent = "";
  if (!job) return;
  $("problem-facts").replaceChildren(...say.facts(job).flatMap(([what, value]) => [make("dt", {}, what), make("dd", {}, value)]));
  $("rerun").onclick = () => told("rerun-note", async () => {
    const { id } = await rerunJob(job.id);
    if (location.hash.slice(1).startsWith(job.id)) location.hash = id;
  });
  showKey();
}

// Start over: everything that ran before is aborted.
function begin() {
  running.abort();
  running = new AbortController();
  return running.signal;
}

// Intake

// One file is followed on its own screen; several go into the queue.
async function take(files, fromFolder = false) {
  const wanted = fromFolder ? files.filter(looksLikeVideo).sort(byPlace) : files;
  const leftOut = files.length - wanted.length;
  if (wanted.length === 1 && !leftOut && !uploading && !isSending()) return send(wanted[0]);
  if (!uploading && $("intake").hidden) goHome();
  enqueue(wanted, jobOptions(), leftOut);
}

const byPlace = (one, two) => placeOf(one).localeCompare(placeOf(two), undefined, { numeric: true });

async function send(file) {
  const signal = begin();
  const options = jobOptions();
  const mine = (uploading = { file, options, sending: null });
  showOnly("progress");
  const title = say.uploading(file.name);
  $("pause").hidden = true;
  showProgress(title, "upload", 0, text.queueChecking);
  stop = () => {
    uploading = null;
    mine.sending?.cancel();
    goHome();
  };
  // Only "Cancel" ends the upload. If the screen is left in another way, the file moves to the queue.
  signal.addEventListener("abort", () => {
    if (uploading !== mine) return;
    uploading = null;
    adopt(mine);
  });
  try {
    const refused = await refusal(file);
    if (signal.aborted) return;
    if (refused) return fail(refused, file.name);
    mine.sending = new Upload(file, options, meter(title, file.size));
    showPause(mine.sending);
    const id = await mine.sending.done;
    if (signal.aborted) return;
    sent = { id, file };
    location.hash = id;
  } catch (error) {
    if (!signal.aborted) fail(error, file.name);
  } finally {
    if (uploading === mine) uploading = null;
  }
}

// Reports of an upload as lines; speed and remaining time are measured from the last interruption.
function meter(title, size) {
  let [began, from, now] = [performance.now(), null, 0];
  const show = (line) => showProgress(title, "upload", size ? now / size : 0, line);
  const restart = (line) => {
    from = null;
    show(line);
  };
  show("");
  return {
    progress(bytes) {
      now = bytes;
      if (from === null) [began, from] = [performance.now(), bytes];
      const seconds = (performance.now() - began) / 1000;
      const speed = seconds > 1 ? (bytes - from) / seconds : 0;
      const left = speed ? (size - bytes) / speed : 0;
      show(say.uploaded(bytes / size, speed ? say.speed(speed) : "", left > 3 ? say.left(left) : ""));
    },
    retrying: (why) => restart(say.retrying(why)),
    paused: () => restart(say.pausedAt(size ? now / size : 0)),
  };
}

function showPause(sending) {
  const button = $("pause");
  button.hidden = false;
  button.textContent = text.pause;
  button.onclick = () => {
    if (sending.held) sending.resume();
    else sending.pause();
    button.textContent = sending.held ? text.resume : text.pause;
  };
}

async function sendUrl(event) {
  event.preventDefault();
  const signal = begin();
  const url = $("url").value.trim();
  const button = $("url-form").querySelector("button");
  button.disabled = true;
  try {
    const { id } = await startJobOfUrl({ url, options: jobOptions() });
    if ($("url").value === url) $("url").value = "";
    // If another screen was opened meanwhile, it stays; the new job is in the list.
    if (!signal.aborted) location.hash = id;
    else if (!$("intake").hidden) await showJobs();
  } catch (error) {
    if (!signal.aborted) fail(error);
  } finally {
    button.disabled = false;
  }
}

// A job, by the address

async function openJob(id, link) {
  const signal = begin();
  showOnly("progress");
  $("pause").hidden = true;
  if (sent?.id === id) showProgress(sent.file.name, "queued", 0, "");
  else showProgress(text.loading, "", 0, "");
  const cancel = () => cancelJob(id).then(goHome, fail);
  // Until we know that the job is running, Cancel ends only a job that this page sent.
  stop = sent?.id === id ? cancel : goHome;
  try {
    const job = await follow(id, signal, () => (stop = cancel));
    if (!job) return;
    stop = goHome;
    if (job.state === "cancelled") return fail({ message: text.wasCancelled }, job.source.name, job);
    if (job.state === "failed") return fail(new Problem(job.error), job.source.name, job);
    showProgress(text.loading, "", 0, "");
    const loaded = await view.load(job);
    if (signal.aborted) return;
    showOnly("result");
    showKey();
    view.open(job, loaded, sent?.id === id ? sent.file : null, link);
    showAround(id);
    $("timeline").focus({ preventScroll: true });
  } catch (error) {
    if (!signal.aborted) fail(error);
  }
}

// Links to the results above and below this one in the list.
function showAround(id) {
  const [before, after] = around(id);
  for (const [link, job, named] of [["video-before", before, say.videoBefore], ["video-after", after, say.videoAfter]]) {
    $(link).hidden = !job;
    if (!job) continue;
    $(link).href = `#${job.id}`;
    $(link).title = named(job.source.name);
    $(link).setAttribute("aria-label", $(link).title);
  }
}

function goHome() {
  history.pushState(null, "", location.pathname);
  route();
}

function route() {
  const [id, query = ""] = location.hash.slice(1).split("?");
  $("shared").textContent = "";
  if (id) return openJob(id, new URLSearchParams(query));
  begin();
  document.title = "Sentiloc";
  showOnly("intake");
}

// Wiring

const saving = (work) => work().catch((error) => {
  $("edited").textContent = error.status === 412 ? text.conflict : error.message;
  for (const id of ["theirs", "mine"]) $(id).hidden = error.status !== 412;
});
const save = () => saving(() => view.editor.save());
// Errors that do not concern the result leave it in view.
const told = (id, work) => {
  $(id).textContent = "";
  return work().catch((error) => ($(id).textContent = error.message));
};

// `told` is a key that another tab may still send.
function askForKey(wrong, told) {
  $("key").value = "";
  $("key-note").textContent = wrong ? text.keyWrong : signInNote();
  offerSignIn();
  $("key-box").showModal();
  told.then((key) => {
    if (!$("key-box").open) return;
    $("key").value = key;
    $("key-box").close();
  });
  return new Promise((resolve) => {
    $("key-box").addEventListener("close", () => resolve($("key").value.trim()), { once: true });
  });
}

// The provider's button is in the box for the key, where the server has a provider.
async function offerSignIn() {
  const name = await provider();
  $("sign-in").hidden = !name;
  if (name) $("sign-in").textContent = say.signInWith(name);
}

// The reason of a failed sign-in is in the address, once.
function signInNote() {
  const why = new URLSearchParams(location.search).get("signin");
  if (why) history.replaceState(null, "", location.pathname + location.hash);
  const notes = { refused: "signInRefused", expired: "signInExpired", failed: "signInFailed", busy: "signInBusy" };
  return text[notes[why]] ?? "";
}

function dropped(event) {
  event.preventDefault();
  $("drop").classList.toggle("over", event.type === "dragover");
  if (event.type !== "drop" || !event.dataTransfer.types.includes("Files")) return;
  droppedFiles(event.dataTransfer).then(
    ({ files, fromFolder }) => (files.length || fromFolder) && take(files, fromFolder),
    () => fail({ message: text.unreadableDrop }),
  );
}

async function share() {
  const copied = await navigator.clipboard.writeText(view.link).then(() => true, () => false);
  history.replaceState(null, "", view.link);
  $("shared").textContent = copied ? text.copied : text.copyFailed;
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  store("sentiloc.theme", root.dataset.theme);
  view.timeline.restyle();
}

const BUTTONS = {
  theme: switchTheme,
  "sign-in": signIn,
  cancel: () => stop(),
  again: goHome,
  play: () => view.player.toggle(),
  previous: () => view.jump(-1),
  next: () => view.jump(1),
  loop: () => view.setLoop(!view.player.loop),
  numbers: () => told("shared", async () => (await import("./numbers.js").catch(offline)).explainNumbers(view.findings, view.result)),
  mute: () => view.player.mute(),
  fullscreen: () => view.player.fullscreen(),
  "zoom-in": () => view.timeline.zoom(0.5),
  "zoom-out": () => view.timeline.zoom(2),
  "zoom-fit": () => view.timeline.fit(),
  help: () => $("help-box").showModal(),
  add: () => view.editor.add(view.player.now),
  mark: () => view.editor.mark(),
  undo: () => view.corrections.undo(),
  redo: () => view.corrections.redo(),
  discard: () => view.corrections.discard(),
  confirm: () => saving(() => view.editor.confirm()),
  theirs: () => told("edited", () => view.takeTheirs()),
  mine: () => saving(() => view.replaceTheirs()),
  save,
  share,
  "share-out": () => told("shared", async () => (await import("./share.js").catch(offline)).openShare(view.job.id, view.job.source.name)),
};

for (const [id, act] of Object.entries(BUTTONS)) $(id).addEventListener("click", act);
// Navigation within the page, so uploads continue.
for (const link of all("#home, header h1 a")) {
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    goHome();
  });
}
for (const type of ["dragover", "dragleave", "drop"]) addEventListener(type, dropped);
for (const id of ["file", "folder"]) {
  $(id).addEventListener("change", () => {
    const files = [...$(id).files];
    $(id).value = "";
    if (files.length || id === "folder") take(files, id === "folder");
  });
  $(id).addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    $(id).click();
  });
}
$("url-form").addEventListener("submit", sendUrl);
// Pasted addresses often have spaces around them, which the field would reject.
$("url").addEventListener("input", () => ($("url").value = $("url").value.trim()));
$("letter-keys").checked = hasLetterKeys();
$("letter-keys").addEventListener("change", () => setLetterKeys($("letter-keys").checked));
$("help-box").querySelector("dl").append(...help.flatMap(([key, what]) => [make("dt", {}, key), make("dd", {}, what)]));
addEventListener("keydown", (event) => {
  if ($("result").hidden || document.querySelector("dialog[open]")) return;
  const near = { n: "video-after", p: "video-before" }[event.key];
  if (near && hasLetterKeys() && !isTyping(event)) $(near).hidden || $(near).click();
  else if (event.key === "?" && hasLetterKeys()) $("help-box").showModal();
  else if (!pressKey(view, event, save)) return;
  event.preventDefault();
});
addEventListener("beforeunload", (event) => {
  const unsaved = !$("result").hidden && view.corrections.dirty;
  const underWay = uploading && !uploading.sending?.held;
  if (unsaved || underWay || isSending()) event.preventDefault();
});
addEventListener("beforeprint", () => view.print(true));
addEventListener("afterprint", () => view.print(false));
addEventListener("hashchange", route);
addEventListener("popstate", (event) => event.state === null && !location.hash && route());

onKeyNeeded(askForKey);
returnFromSignIn();
setUpJobs();
setUpOptions();
setUpQueue(() => $("intake").hidden || showJobs());
setUpExports(() => view.exported).catch(() => {});
route();
