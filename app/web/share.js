// The dialog that makes a read-only link to a result or a reel, copies it, and ends all links. It is built when it is first needed.
import { endShares, makeShare } from "./api.js";
import { make } from "./dom.js";
import { say, text } from "./strings.js";

const DAY = 86_400;
const SPANS = [DAY / 24, DAY, 7 * DAY, 30 * DAY, 365 * DAY];

// `id` is the job of a result or a reel. When the dialog closes, the focus returns to where it was.
export function openShare(id, name) {
  const before = /** @type {HTMLElement} */ (document.activeElement);
  const box = /** @type {HTMLDialogElement} */ (make("dialog", { id: "share-box", "aria-labelledby": "share-title" }));
  box.append(...parts(id, name));
  box.addEventListener("close", () => {
    box.remove();
    before?.focus();
  });
  document.body.append(box);
  box.showModal();
}

function parts(id, name) {
  const spans = make("select", { id: "share-span" }, ...SPANS.map((seconds) => new Option(text.shareSpans[seconds], String(seconds))));
  spans.value = String(7 * DAY);
  const note = make("p", { id: "share-note", role: "status" });
  const address = make("input", { id: "share-address", readOnly: true, "aria-label": text.shareAddress });
  const copy = make("button", { id: "share-copy", type: "button" }, text.shareCopy);
  const look = make("a", { id: "share-open", target: "_blank", rel: "noopener" }, text.shareOpen);
  const made = make("div", { id: "share-made", class: "row", hidden: true }, address, copy, look);
  const create = make("button", { id: "share-make", type: "button", class: "main" }, text.shareMake);
  const end = make("button", { id: "share-end", type: "button" }, text.shareEnd);
  const tried = (work) => () => work().catch((error) => (note.textContent = error.message));

  create.addEventListener("click", tried(async () => {
    const { embed, expires_at } = await makeShare(id, spans.value);
    address.value = look.href = new URL(embed, location.origin).href;
    made.hidden = false;
    await copyAddress(address, note, say.sharedUntil(new Date(expires_at)));
  }));
  copy.addEventListener("click", tried(() => copyAddress(address, note, "")));
  end.addEventListener("click", tried(async () => {
    await endShares(id);
    address.value = "";
    made.hidden = true;
    note.textContent = text.shareEnded;
  }));
  return [
    make("h2", { id: "share-title" }, say.shareOf(name)),
    make("p", { class: "soft" }, text.shareMeans),
    make("div", { class: "row" }, make("label", {}, `${text.shareFor} `, spans), create),
    made,
    note,
    make("form", { method: "dialog", class: "row" }, end, make("button", {}, text.closeHelp)),
  ];
}

// Without the right to use the clipboard, the address is selected, so that Ctrl+C copies it.
async function copyAddress(address, note, before) {
  address.select();
  const copied = await navigator.clipboard.writeText(address.value).then(() => true, () => false);
  note.textContent = [before, copied ? text.copied : text.shareByHand].filter(Boolean).join(" ");
}
