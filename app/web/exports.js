// The export menu: every format the server has, each with what it is for.
import { formatNames, getBlob, resultPath } from "./api.js";
import { $, make } from "./dom.js";
import { formats } from "./strings.js";

let current = null;

// `wanted()` gives { id, query, note } of what an export would hold now.
export async function setUpExports(wanted, fail) {
  current = wanted;
  $("export").addEventListener("click", () => toggle($("export-list").hidden));
  addEventListener("pointerdown", (event) => /** @type {Element} */ (event.target).closest(".menu") || toggle(false));
  $("export").closest(".menu").addEventListener("keydown", (event) => keys(event));
  $("export-list").addEventListener("focusout", ({ relatedTarget: to }) => to && !to.closest(".menu") && toggle(false));
  const known = (await formatNames()).map(({ name, title, extension }) => [name, formats[name] ?? [title, `.${extension}`]]);
  const order = Object.keys(formats);
  const all = [["json", formats.json], ...known].sort(([a], [b]) => order.indexOf(a) - order.indexOf(b));
  const items = all.slice(1).concat(all.slice(0, 1)).map(([name, [title, hint]]) => {
    const button = make("button", { type: "button", onclick: () => download(name).catch(fail) }, title, make("small", {}, hint));
    button.dataset.format = name;
    return make("li", {}, button);
  });
  $("export-list").querySelector("ul").replaceChildren(...items);
}

function toggle(open) {
  if (open) $("export-note").textContent = current().note;
  $("export-list").hidden = !open;
  $("export").setAttribute("aria-expanded", String(open));
}

function keys(event) {
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
  const { blob, name: given } = await getBlob(resultPath(id, { ...query, format }));
  const link = make("a", { href: URL.createObjectURL(blob), download: given ?? `${name}.${format}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  toggle(false);
  $("export").focus();
}
