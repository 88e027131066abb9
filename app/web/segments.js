// The list of segments beside the video, and the summary above it.
import { clock } from "./clock.js";
import { $, make, percent, sureness } from "./dom.js";
import { LABELS } from "./findings.js";
import { meter, tag } from "./inspector.js";
import { say, text } from "./strings.js";

export function listSegments(segments, chosen, findings, thumbs, choose) {
  const focused = document.activeElement?.closest?.("#rows button")?.dataset.key;
  $("rows").replaceChildren(...segments.map((one) => row(one, one.key === chosen, findings, thumbs, choose)));
  $("none").hidden = segments.length > 0;
  const find = (key) => (key ? $("rows").querySelector(`[data-key="${CSS.escape(key)}"]`) : null);
  find(focused)?.focus({ preventScroll: true });
  find(String(chosen ?? ""))?.scrollIntoView({ block: "nearest" });
}

function row(segment, isChosen, findings, thumbs, choose) {
  const { label, start, end, confidence } = segment;
  const evidence = findings.evidence(label, start, end);
  const reasons = Object.entries(evidence ?? {}).filter(([, share]) => share >= 0.05).sort(([, a], [, b]) => b - a);
  const why = reasons.map(([stream, share]) => `${say.evidence[stream]} ${percent(share)} %`).join(" · ") || say.noEvidence;
  const shot = make("img", { alt: "" });
  thumbs.fill(shot, segment.peak ?? findings.peak(label, start, end));
  const sure = confidence === undefined
    ? make("span", { class: "sure" }, say.byHand)
    : make("span", { class: "sure" }, say.confidence(sureness(confidence)), meter(confidence, label));
  const when = make("span", { class: "when" }, tag(label), ` ${clock(start)} – ${clock(end)}`);
  const button = make("button", { type: "button", onclick: () => choose(segment) }, make("span", { class: "shot" }, shot), when, sure, make("span", { class: "why" }, why));
  button.dataset.key = segment.key;
  if (isChosen) button.setAttribute("aria-current", "true");
  return make("li", {}, button);
}

export function summarize(segments, duration) {
  const parts = LABELS.map((label) => {
    const mine = segments.filter((segment) => segment.label === label);
    const seconds = mine.reduce((sum, { start, end }) => sum + end - start, 0);
    const line = say.share(text[label].toLowerCase(), mine.length, clock(seconds), percent(seconds / duration));
    return make("span", { class: label }, make("b", {}, line));
  });
  $("summary").replaceChildren(...parts, make("span", {}, say.length(clock(duration))));
}
