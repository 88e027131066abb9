// The player of a shared link: the video, and buttons that go to its segments.
import { clock } from "./clock.js";
import { $, make, sureness } from "./dom.js";

const token = location.pathname.split("/").at(-1);
const API = new URL("../v1", import.meta.url).pathname;

function segment({ start, end, label, confidence, source }) {
  const sure = source === "person" ? "by hand" : `${sureness(confidence)} %`;
  const go = () => {
    $("player").currentTime = start;
    $("player").play();
  };
  const sign = { positive: "▲ ", negative: "▼ " }[label] ?? "";
  return make("li", {}, make("button", { type: "button", class: label, onclick: go }, `${clock(start)} – ${clock(end)} ${sign}${label} ${sure}`));
}

async function show() {
  const response = await fetch(`${API}/shared/${token}`);
  const body = await response.json();
  if (!response.ok) throw new Error(body.detail);
  document.title = $("name").textContent = body.name;
  $("player").src = body.video;
  $("found").replaceChildren(...body.segments.map(segment));
}

show().catch((error) => ($("told").textContent = error.message));
