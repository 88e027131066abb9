// A job's row at a glance: a picture of its first segment, and a bar with all segments. Both are fetched when they come into view.
import { getBlob, getSegments, thumbnailPath } from "./api.js";
import { make } from "./dom.js";
import { labelsIn, toneOf } from "./labels.js";

const MOST_KEPT = 300;
const known = new Map();

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    fill(/** @type {HTMLElement} */ (target));
  }
});

export function preview(job) {
  const box = make("span", { class: "preview", "aria-hidden": "true" });
  if (job.state !== "succeeded" || !job.duration || job.kind === "reel") return box;
  box.dataset.id = job.id;
  box.dataset.seconds = job.duration;
  if (job.labels_found?.length) box.dataset.found = "yes";
  if (labelsIn(job).length) box.dataset.shown = "yes";
  // Segments that a person corrects are drawn again.
  box.dataset.version = `${job.id} ${job.corrected?.at ?? ""}`;
  if (known.has(box.dataset.version)) box.append(...known.get(box.dataset.version));
  else watcher.observe(box);
  return box;
}

async function fill(box) {
  const { id, seconds, found, shown, version } = box.dataset;
  const [picture, segments] = await Promise.all([found ? getBlob(thumbnailPath(id)).catch(() => null) : null, shown ? getSegments(id).catch(() => []) : []]);
  const shot = make("img", { alt: "", ...(picture ? { src: URL.createObjectURL(picture.blob) } : {}) });
  const parts = [make("span", { class: "shot" }, shot), bar(segments, Number(seconds))];
  if (known.size >= MOST_KEPT) known.clear();
  known.set(version, parts);
  box.append(...parts);
}

const SVG = "http://www.w3.org/2000/svg";

function drawn(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  return node;
}

function bar(segments, seconds) {
  const svg = drawn("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", class: "mini" });
  svg.append(drawn("rect", { class: "axis", x: 0, y: 4.75, width: 100, height: 0.5 }));
  for (const { start, end, label } of segments) {
    const place = { x: (start / seconds) * 100, width: Math.max(0.6, ((end - start) / seconds) * 100) };
    svg.append(drawn("rect", { class: toneOf(label), y: label === "negative" ? 5.5 : 0.5, height: 4, ...place }));
  }
  return svg;
}
