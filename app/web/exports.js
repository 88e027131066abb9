// The export menu: every format of the server with its purpose.
import { formatNames, getBlob, resultPath } from "./api.js";
import { $, make, store } from "./dom.js";
import { formats, text } from "./strings.js";

const RATES = ["23.976", "24", "25", "29.97", "30", "47.952", "48", "50", "59.94", "60"];
const COUNTING = "sentiloc.timeline";

let current = null;

// `wanted()` returns { id, query, note } of the current export.
export async function setUpExports(wanted) {
  current = wanted;
  $("export").addEventListener("click", () => toggle($("export-list").hidden));
  addEventListener("pointerdown", (event) => /** @type {Element} */ (event.target).closest(".menu") || toggle(false));
  $("export").closest(".menu").addEventListener("keydown", (event) => keys(event));
  $("export-list").addEventListener("focusout", ({ relatedTarget: to }) => to && !to.closest(".menu") && toggle(false));
  const known = (await formatNames()).map(({ name, title, extension }) => [name, formats[name] ?? [title, `.${extension}`]]);
  const order = Object.keys(formats);
  const all = [["json", formats.json], ...known].sort(([a], [b]) => order.indexOf(a) - order.indexOf(b));
  const items = all.slice(1).concat(all.slice(0, 1)).map(([name, [title, hint]]) => {
    const button = make("button", { type: "button", onclick: () => download(name).catch(tell) }, title, make("small", {}, hint));
    button.dataset.format = name;
    return make("li", {}, button);
  });
  $("export-list").querySelector("ul").replaceChildren(...items);
  setUpCounting();
}

// How editing formats count, remembered from one video to the next; empty fields are left to the server.
function setUpCounting() {
  const kept = JSON.parse(store(COUNTING) ?? "{}");
  $("fps").replaceChildren(new Option(text.rateOfVideo, ""), ...RATES.map((rate) => new Option(rate, rate)));
  $("drop_frame").replaceChildren(new Option(text.dropAuto, ""), new Option(text.dropYes, "true"), new Option(text.dropNo, "false"));
  for (const id of ["start_timecode", "fps", "drop_frame"]) {
    $(id).value = kept[id] ?? "";
    $(id).addEventListener("change", () => store(COUNTING, JSON.stringify(counting())));
  }
}

function counting() {
  const given = ["start_timecode", "fps", "drop_frame"].map((id) => [id, $(id).value.trim()]);
  return Object.fromEntries(given.filter(([, value]) => value));
}

// A failed export is reported in its menu; the page and unsaved corrections stay.
function tell(error) {
  $("export-note").textContent = error.message;
}

function toggle(open) {
  if (open) $("export-note").textContent = current().note;
  const list = $("export-list");
  list.hidden = !open;
  // If the button is near the left edge, the menu opens to the right.
  if (open) list.classList.toggle("rightwards", $("export").getBoundingClientRect().right < list.offsetWidth);
  $("export").setAttribute("aria-expanded", String(open));
}

function keys(event) {
  if (event.key !== "Escape" && event.target.closest(".counting")) return event.stopPropagation();
  const items = [...$("export-list").querySelectorAll("button")];
  const at = items.indexOf(document.activeElement);
  if (event.key === "Escape") {
    toggle(false);
    $("export").focus();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    if ($("export-list").hidden) toggle(true);
    const next = event.key === "ArrowDown" ? at + 1 : at - 1;
    items[(next + items.length) % items.length].focus();
  } else return;
  event.stopPropagation();
}

async function download(format) {
  const { id, query, name } = current();
  const { blob, name: given } = await getBlob(resultPath(id, { ...query, ...counting(), format }));
  const link = make("a", { href: URL.createObjectURL(blob), download: given ?? `${name}.${format}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  toggle(false);
  $("export").focus();
}
