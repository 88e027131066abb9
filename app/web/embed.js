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

const UNKNOWN = [404, 422];
const BROKEN = "It is incomplete, or it has ended. Ask the person who sent it for a new one.";
const UNREACHED = "The server does not answer. Try again in a few minutes.";
const NO_VIDEO = "The video is no longer stored, or this browser cannot play it.";
const NOTHING = "No moment of this video stands out.";
const SURE = "A percentage says how sure the model is. It can be wrong.";

async function ask() {
  const response = await fetch(`${API}/shared/${token}`).catch(() => {
    throw new Error(UNREACHED);
  });
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  throw new Error(UNKNOWN.includes(response.status) ? BROKEN : (body.detail ?? UNREACHED));
}

async function show() {
  const body = await ask();
  document.title = $("name").textContent = body.name;
  $("player").onerror = () => ($("told").textContent = NO_VIDEO);
  $("player").src = body.video;
  $("film").hidden = false;
  $("found").replaceChildren(...body.segments.map(segment));
  if (body.kind === "localize" && !body.segments.length) $("told").textContent = NOTHING;
  $("sure").textContent = body.segments.some(({ source }) => source === "model") ? SURE : "";
}

show().catch((error) => {
  document.title = $("name").textContent = "This link cannot be opened";
  $("told").textContent = error.message;
});
