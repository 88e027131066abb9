// The list of reels on the server: their state, their file, and their deletion.
import { FINAL, apiKey, cancelJob, deleteForGood, getBlob, listReels, offline, reelPath } from "./api.js";
import { clock } from "./clock.js";
import { onSecondPress, pressOnce } from "./confirming.js";
import { $, make, reached } from "./dom.js";
import { say, text } from "./strings.js";

const PAGE = 20;
const REFRESH = 4000;

let reels = [];
let cursor = null;
let pages = 1;
let asked = 0;
let timer = 0;
// Why the list could not be read at the last time.
let failure = "";

const tell = (words) => ($("reels-told").textContent = words);
const tried = (work) => (event) => work(event).catch((error) => tell(error.message));

export function setUpReels() {
  $("reels-title").textContent = text.reels;
  $("reels-more").textContent = text.more;
  $("reels-more").addEventListener("click", () => showReels(pages + 1));
  $("reel-list").addEventListener("keydown", pressOnce);
}

// All shown pages are read again, because reels on any of them may have progressed.
export async function showReels(wanted = pages) {
  const mine = ++asked;
  clearTimeout(timer);
  let pause = REFRESH;
  try {
    const found = [];
    let next = "";
    do {
      const page = await listReels({ limit: PAGE, ...(next ? { cursor: next } : {}) });
      found.push(...page.reels);
      next = page.next_cursor;
    } while (next && found.length < wanted * PAGE && mine === asked);
    if (mine !== asked) return;
    [reels, cursor, pages] = [found, next, wanted];
    draw();
    if ($("reels-told").textContent === failure) tell("");
  } catch (error) {
    if (mine !== asked) return;
    tell((failure = error.message));
    pause = Math.max(pause, 1000 * (error.retrySeconds ?? 0));
  }
  if (mine === asked && reels.some(({ state }) => !FINAL.includes(state))) timer = setTimeout(() => showReels(), pause);
}

// A button that waits for its second press is not removed; the focus stays on the same button of the same reel.
function draw() {
  $("reels").hidden = reels.length === 0;
  $("reels-more").hidden = !cursor;
  if ($("reel-list").querySelector("[data-sure]")) return;
  const row = document.activeElement?.closest?.("#reel-list li");
  const place = row ? [...row.querySelectorAll("a, button")].indexOf(document.activeElement) : -1;
  $("reel-list").replaceChildren(...reels.map(item));
  const again = row && $("reel-list").querySelector(`[data-id="${row.getAttribute("data-id")}"]`);
  if (place >= 0) /** @type {HTMLElement | undefined} */ (again?.querySelectorAll("a, button")[place])?.focus({ preventScroll: true });
}

function item(reel) {
  const isDone = reel.state === "succeeded";
  const isOver = FINAL.includes(reel.state);
  const parts = [new Date(reel.created_at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }), clock(reel.seconds), say.clips(reel.clips), isDone && reel.expires_at && say.keptUntil(new Date(reel.expires_at)), reel.error?.detail];
  const name = make("div", {}, make("b", {}, reel.title), make("small", { class: "soft" }, parts.filter(Boolean).join(" · ")));
  const words = isOver || reel.state === "queued" ? say.states[reel.state] : `${text.rendering} ${reached(reel.progress)} %`;
  const row = make("li", {}, name, make("span", { class: `chip ${reel.state}` }, words), make("span", { class: "row" }, ...(isDone ? [download(reel), share(reel)] : []), ending(reel, isOver)));
  row.dataset.id = reel.id;
  return row;
}

// A link cannot send a key.
function download(reel) {
  const name = `${reel.title}.mp4`;
  if (!apiKey()) return make("a", { class: "button", href: reelPath(reel.id), download: name, "aria-label": say.downloadReel(reel.title) }, text.download);
  const fetched = async () => {
    tell(text.loading);
    const link = make("a", { href: URL.createObjectURL((await getBlob(reelPath(reel.id))).blob), download: name });
    link.click();
    tell("");
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  return make("button", { type: "button", "aria-label": say.downloadReel(reel.title), onclick: tried(fetched) }, text.download);
}

function share(reel) {
  const open = async () => (await import("./share.js").catch(offline)).openShare(reel.id, reel.title);
  return make("button", { type: "button", class: "needs-write", "aria-haspopup": "dialog", "aria-label": say.shareOf(reel.title), onclick: tried(open) }, text.shareOut);
}

function ending(reel, isOver) {
  const button = make("button", { type: "button", class: "removal needs-write", "aria-label": (isOver ? say.removeJob : say.cancelJob)(reel.title) }, isOver ? text.remove : text.cancel);
  if (isOver) onSecondPress(button, tried(() => remove(reel)));
  else button.addEventListener("click", tried(() => cancelJob(reel.id).then(() => showReels())));
  return button;
}

// The focus goes to the button of the reel that took this one's place.
async function remove(reel) {
  const at = reels.indexOf(reel);
  await deleteForGood(reel.id);
  tell(say.reelDeleted(reel.title));
  await showReels();
  const buttons = $("reel-list").querySelectorAll(".removal");
  /** @type {HTMLElement} */ (buttons[Math.min(at, buttons.length - 1)] ?? $("reels-told")).focus();
}
