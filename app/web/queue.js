// The queue of files to upload, each with its progress, pause and retry. It continues while other screens are open.
import { getJob } from "./api.js";
import { placeOf, refusal } from "./checks.js";
import { $, make, pause as wait } from "./dom.js";
import { foundIn } from "./labels.js";
import { hints, say, text } from "./strings.js";
import { Upload } from "./upload.js";

const AT_ONCE = 2;
const POLL = 2000;
const ASKED_AT_ONCE = 4;
const ENDED = ["done", "failed", "refused"];
// A reload loses the files, because a page may not reopen them by itself. The jobs of sent files are stored for this
// tab.
const KEPT = "sentiloc.queue";

let items = [];
// The jobs of files that were sent before a reload ended the queue, by file and options.
let before = new Map();
let sentOne = () => {};
let isAsking = false;

// `sent()` is called when a file has become a job.
export function setUpQueue(sent) {
  sentOne = sent;
  $("queue-clear").addEventListener("click", () => {
    items = items.filter((item) => !ENDED.includes(item.state));
    keep();
    draw();
  });
  tellReload();
  $("queue-pause").addEventListener("click", () => {
    const running = items.filter((item) => ["waiting", "sending"].includes(item.state));
    if (running.length) running.forEach((item) => item.pause());
    else items.filter((item) => item.state === "paused").forEach((item) => item.resume());
  });
}

export const isSending = () => items.some(({ state }) => state === "sending");

export function enqueue(files, options, leftOut = 0) {
  const added = files.map((file) => new Item(file, options));
  items.push(...added);
  const known = added.filter(({ key }) => before.has(key));
  const notes = [leftOut && say.leftOut(leftOut), known.length && say.sentBefore(known.length), !files.length && !leftOut && text.emptyFolder];
  $("queue-note").textContent = notes.filter(Boolean).join(" ");
  draw(true);
  for (const item of known) item.sent(before.get(item.key));
  keep();
  next();
}

// An upload continues here when its own screen is left.
export function adopt({ file, options, sending }) {
  const item = new Item(file, options);
  items.push(item);
  draw();
  if (sending) item.follow(sending);
  keep();
  next();
}

// While files wait, a reload would lose them. If none waits, there is nothing to store.
function keep() {
  const waiting = items.filter(({ id, state }) => !id && state !== "refused").length;
  if (!waiting) before = new Map();
  const sent = [...before, ...items.filter(({ id }) => id).map(({ key, id }) => [key, id])];
  if (waiting) sessionStorage.setItem(KEPT, JSON.stringify({ waiting, sent }));
  else sessionStorage.removeItem(KEPT);
}

function tellReload() {
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  if (!kept) return;
  before = new Map(kept.sent);
  $("queue-note").textContent = say.reloaded(kept.waiting, before.size);
  draw(true);
}

function next() {
  const busy = items.filter(({ state }) => state === "sending" || state === "checking").length;
  items.filter(({ state }) => state === "waiting").slice(0, Math.max(0, AT_ONCE - busy)).forEach((item) => item.start());
}

// Poll the jobs. They end roughly in the order in which they were sent, so the first few are polled, and one of the
// others in turn: hundreds of files must not use up a key's rate.
async function askInTurn() {
  if (isAsking) return;
  isAsking = true;
  for (let turn = 0; ; turn++) {
    const working = items.filter(({ state }) => state === "working");
    if (!working.length) break;
    const first = working.slice(0, ASKED_AT_ONCE);
    const rest = working.slice(ASKED_AT_ONCE);
    if (rest.length) first.push(rest[turn % rest.length]);
    await Promise.all(first.map((item) => item.ask()));
    await wait(POLL);
  }
  isAsking = false;
}

// An empty queue is shown only to explain why nothing was added.
function draw(hasNote = false) {
  $("queue").hidden = !items.length && !hasNote;
  $("queue").classList.toggle("empty", !items.length);
  const list = $("queue-list");
  const rows = items.map(({ row }) => row);
  if (rows.length !== list.children.length || rows.some((row, i) => row !== list.children[i])) list.replaceChildren(...rows);
  count();
}

function count() {
  const of = (...states) => items.filter(({ state }) => states.includes(state)).length;
  $("queue-count").textContent = say.queueCount(items.filter(({ id }) => id).length, items.length, of("refused"), of("failed"));
  $("queue-clear").disabled = !of(...ENDED);
  $("queue-pause").disabled = !of("waiting", "sending", "paused");
  $("queue-pause").textContent = of("waiting", "sending") || !of("paused") ? text.pauseAll : text.resumeAll;
}

class Item {
  state = "waiting";
  part = 0;
  line = text.queueWaiting;

  constructor(file, options) {
    this.file = file;
    this.options = options;
    this.key = [file.name, file.size, file.lastModified, JSON.stringify(options)].join("/");
    const name = make("b", {}, placeOf(file));
    this.name = make("div", {}, name, make("small", {}, ` ${say.size(file.size)}`));
    this.bar = make("progress", { max: 1, value: 0, "aria-label": say.uploading(file.name) });
    this.words = make("p", { class: "soft" });
    this.act = make("button", { type: "button", onclick: () => this.press() });
    const drop = make("button", { type: "button", onclick: () => this.remove(), "aria-label": say.removeFile(file.name) }, text.removeFromQueue);
    this.row = make("li", {}, this.name, this.bar, this.words, make("span", { class: "row" }, this.act, drop));
    this.show();
  }

  set(state, line, part = this.part) {
    Object.assign(this, { state, line, part });
    this.show();
    count();
    next();
  }

  show() {
    this.row.dataset.state = this.state;
    this.bar.value = this.part;
    this.bar.hidden = this.state === "refused";
    this.words.textContent = this.line;
    const label = { sending: text.pause, waiting: text.pause, paused: text.resume, failed: text.retry }[this.state];
    this.act.hidden = !label;
    this.act.textContent = label ?? "";
    this.act.setAttribute("aria-label", `${label} ${this.file.name}`);
  }

  press() {
    if (this.state === "paused") this.resume();
    else if (this.state === "failed") this.retry();
    else this.pause();
  }

  async start() {
    this.set("checking", text.queueChecking);
    const refused = await refusal(this.file);
    if (this.state !== "checking") return;
    if (refused) {
      this.set("refused", [refused.message, hints[refused.code]].filter(Boolean).join(" "));
      return keep();
    }
    this.follow(new Upload(this.file, this.options, this));
  }

  // Callbacks of an upload.
  progress(bytes) {
    const part = bytes / this.file.size;
    if (this.state === "sending") this.set("sending", say.uploaded(part, "", ""), part);
  }

  retrying(why) {
    this.set("sending", say.retrying(why));
  }

  paused() {}

  follow(sending) {
    this.sending = sending;
    sending.report = this;
    const part = sending.reached / this.file.size;
    if (sending.held) this.set("paused", say.pausedAt(part), part);
    else this.set("sending", say.uploaded(part, "", ""), part);
    sending.done.then((id) => this.sent(id), (error) => error.name !== "AbortError" && this.set("failed", explain(error)));
  }

  pause() {
    this.sending?.pause();
    this.set("paused", say.pausedAt(this.part));
  }

  resume() {
    if (!this.sending) return this.set("waiting", text.queueWaiting);
    this.set("sending", say.uploaded(this.part, "", ""));
    this.sending.resume();
  }

  retry() {
    this.sending = this.id = null;
    before.delete(this.key);
    keep();
    this.set("waiting", text.queueWaiting);
  }

  async remove() {
    items = items.filter((item) => item !== this);
    this.state = "gone";
    keep();
    draw();
    await this.sending?.cancel();
    next();
  }

  sent(id) {
    this.name.querySelector("b").replaceChildren(make("a", { href: `#${id}` }, placeOf(this.file)));
    this.set("working", say.states.queued, 0);
    this.id = id;
    keep();
    sentOne();
    askInTurn();
  }

  async ask() {
    const job = await getJob(this.id).catch((error) => (error.status === 404 ? { state: "failed", error: { detail: error.message } } : null));
    if (job && this.state === "working") this.tell(job);
  }

  tell(job) {
    const { state, progress, error } = job;
    if (state === "succeeded") this.set("done", say.found(foundIn(job)), 1);
    else if (state === "failed" || state === "cancelled") this.set("failed", error ? explain({ message: error.detail, code: error.code }) : say.states.cancelled);
    else this.set("working", state === "queued" ? say.states.queued : say.workingAt(progress), progress);
    if (["done", "failed"].includes(this.state)) sentOne();
  }
}

const explain = ({ message, code }) => [message, hints[code]].filter(Boolean).join(" ");
