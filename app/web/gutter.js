// The names of the lanes, left of the timeline.
import { make } from "./dom.js";
import { nameOf, signOf, toneOf } from "./labels.js";
import { text } from "./strings.js";

const LINE = 17;
const HALF_LETTER = 6;

export function fillGutter(gutter, findings, { lanes }) {
  const { up, upTone, down, downTone, middle, shade, lines = [] } = findings.gutter;
  const at = (lane) => lanes[lane].middle - HALF_LETTER;
  const legend = [...lines.map((label) => [nameOf(label), toneOf(label)]), ...(shade && lines.length ? [[shade, "shade"]] : [])];
  const spans = [
    name(up, "up", at("up"), upTone),
    down && name(down, "down", at("down"), downTone),
    middle && name(middle, "middle", at("curve")),
    shade && !lines.length && name(shade, "middle swatch shade", at("curve")),
    ...legend.map(([words, tone], i) => name(words, `line swatch ${tone}`, lanes.curve.top + HALF_LETTER + i * LINE)),
    name(text.voice, "wave", at("wave")),
    name(text.faces, "face", at("faces")),
  ];
  gutter.replaceChildren(...spans.filter(Boolean));
  gutter.style.setProperty("--curve-top", `${lanes.curve.top}px`);
  gutter.style.setProperty("--curve-bottom", `${lanes.curve.bottom}px`);
}

function name(words, kind, top, tone) {
  const sign = tone === "positive" || tone === "negative" ? `${signOf(tone)} ` : "";
  const span = make("span", { class: tone ? `${kind} strong ${toneOf(tone)}` : kind, title: words }, sign + words);
  span.style.setProperty("--at", `${top}px`);
  return span;
}
