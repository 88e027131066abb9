// The list of segments beside the video, and the summary above it.
import { clock } from "./clock.js";
import { $, make, percent, sureness } from "./dom.js";
import { meter, tag } from "./inspector.js";
import { toneOf } from "./labels.js";
import { say } from "./strings.js";

export function listSegments(segments, chosen, findings, thumbs, choose) {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement?.closest?.("#rows button"))?.dataset.key;
  $("rows").replaceChildren(...segments.map((one) => row(one, one.key === chosen, findings, thumbs, choose)));
  $("none").hidden = segments.length > 0;
  const find = (key) => (key ? $("rows").querySelector(`[data-key="${CSS.escape(key)}"]`) : null);
  find(focused)?.focus({ preventScroll: true });
  find(String(chosen ?? ""))?.scrollIntoView({ block: "nearest" });
}

function row(segment, isChosen, findings, thumbs, choose) {
  const { label, start, end, confidence } = segment;
  const shot = make("img", { alt: "" });
  thumbs.fill(shot, segment.peak ?? findings.peak(label, start, end));
  const sure = confidence === undefined
    ? make("span", { class: "sure" }, say.byHand)
    : make("span", { class: "sure" }, say.confidence(sureness(confidence)), meter(confidence, toneOf(label)));
  const when = make("span", { class: "when" }, tag(label), ` ${clock(start, findings.fine)} – ${clock(end, findings.fine)}`);
  const button = make("button", { type: "button", onclick: () => choose(segment) }, make("span", { class: "shot" }, shot), when, sure, make("span", { class: "why" }, findings.why(segment)));
  button.dataset.key = segment.key;
  if (isChosen) button.setAttribute("aria-current", "true");
  return make("li", {}, button);
}

// What was found in all: how much of the video each label has; of emotions, the video's own.
export function summarize(segments, findings) {
  const { duration, headline } = findings;
  const parts = headline
    ? headline.map(({ label, words }) => bold(label, words))
    : findings.labels.map((label) => bold(label, share(label, segments, duration)));
  const count = headline ? say.segments(segments.length) : "";
  $("summary").replaceChildren(...parts, make("span", {}, `${count} ${say.length(clock(duration))}`));
}

function share(label, segments, duration) {
  const mine = segments.filter((segment) => segment.label === label);
  const seconds = mine.reduce((sum, { start, end }) => sum + end - start, 0);
  return say.share(label, mine.length, clock(seconds), percent(seconds / duration));
}

const bold = (label, words) => make("span", { class: `mark ${toneOf(label)}` }, make("b", {}, words));

// What the server could not read or had to mend in the video, a line each.
export function listWarnings(warnings) {
  $("warnings").replaceChildren(...warnings.map(({ detail }) => make("li", {}, detail)));
  $("warnings").hidden = warnings.length === 0;
}
