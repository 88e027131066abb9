// Draws the timeline's lanes. Only what is in view is read, so two hours cost no more than ten seconds.
import { clock } from "./clock.js";
import { sureness } from "./dom.js";
import { nameOf, signOf, toneOf } from "./labels.js";

// Lanes from top to bottom, in CSS pixels. Curves rise and hang from an axis in the middle, or all rise from the bottom.
function layOut(ruler, up, curve, down, wave, faces) {
  const lanes = {};
  let top = 0;
  for (const [name, height] of Object.entries({ ruler, up, curve, down, wave, faces })) {
    lanes[name] = { top, height, middle: top + height / 2, bottom: top + height };
    top += height + (name === "down" || name === "wave" ? 4 : 0);
  }
  const axis = down ? lanes.curve.middle : lanes.curve.bottom - 2;
  return { lanes, axis, reach: axis - lanes.curve.top - (down ? 3 : 6), mirrored: down > 0, height: top + 4 };
}

const LAYOUTS = {
  split: [layOut(22, 28, 136, 28, 40, 14), layOut(20, 24, 86, 24, 26, 12)],
  stack: [layOut(22, 28, 164, 0, 40, 14), layOut(20, 24, 140, 0, 26, 12)],
};

export const layoutOf = (name, low) => LAYOUTS[name][low ? 1 : 0];
const STEPS = [0.04, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const FONT = "system-ui, sans-serif";

// First and last value in view, and how many fall on one pixel. Groups of values start at multiples of their size, so
// that a moved view groups them as before.
function range(view, step, length) {
  const stride = Math.max(1, Math.floor(1 / (step * view.scale)));
  const first = Math.max(0, (Math.floor(view.start / step / stride) - 2) * stride);
  const last = Math.min(length - 1, Math.ceil(view.end / step) + 2 * stride);
  return [first, last, stride];
}

export function paintSaliency(pen, view, findings, colour) {
  const [first, last, stride] = range(view, findings.step, findings.length);
  const { curve } = view.layout.lanes;
  pen.fillStyle = colour;
  for (let i = first; i <= last; i += stride) {
    let most = 0;
    for (let k = i; k < i + stride && k <= last; k++) most = Math.max(most, findings.saliency[k]);
    pen.globalAlpha = most * most * 0.5;
    const left = Math.round(view.x(i * findings.step));
    pen.fillRect(left, curve.top, Math.round(view.x((i + stride) * findings.step)) - left, curve.height);
  }
  pen.globalAlpha = 1;
}

export function paintCurve(pen, view, findings, label, colours) {
  const { axis, reach, mirrored } = view.layout;
  const colour = colours[toneOf(label)];
  const values = findings.curves[label];
  const [first, last, stride] = range(view, findings.step, findings.length);
  const sign = findings.side(label) === "up" ? -1 : 1;
  pen.beginPath();
  pen.moveTo(view.x(first * findings.step), axis);
  for (let i = first; i <= last; i += stride) {
    let highest = 0;
    for (let k = i; k < i + stride && k <= last; k++) highest = Math.max(highest, values[k]);
    pen.lineTo(view.x((i + stride / 2) * findings.step), axis + sign * reach * Math.min(1, highest / findings.scale));
  }
  pen.lineTo(view.x((last + 1) * findings.step), axis);
  pen.fillStyle = colour;
  pen.globalAlpha = mirrored ? 0.6 : 0.15;
  pen.fill();
  pen.globalAlpha = 1;
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5;
  pen.lineJoin = "round";
  pen.stroke();
}

export function paintAxis(pen, view, colours) {
  const { axis, reach, mirrored } = view.layout;
  pen.fillStyle = colours.line;
  for (const part of [0.5, 1]) {
    pen.fillRect(view.left, axis - reach * part, view.width, 0.5);
    if (mirrored) pen.fillRect(view.left, axis + reach * part, view.width, 0.5);
  }
  pen.fillStyle = colours["ink-soft"];
  pen.fillRect(view.left, axis - 0.5, view.width, 1);
}

// The gap in seconds between the ruler's lines, and where they are.
function ruled(view) {
  const gap = STEPS.find((seconds) => seconds * view.scale > 76) ?? 7200;
  const times = [];
  for (let n = Math.ceil(view.start / gap - 1e-9); n * gap <= view.end + 1e-9; n++) times.push(n * gap);
  return { gap, times };
}

export function paintGrid(pen, view, colours) {
  pen.fillStyle = colours.line;
  for (const time of ruled(view).times) pen.fillRect(Math.round(view.x(time)), view.layout.lanes.ruler.top + 4, 1, view.layout.height);
}

export function paintRuler(pen, view, colours) {
  const { gap, times } = ruled(view);
  pen.font = `11px ${FONT}`;
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  pen.fillStyle = colours["ink-soft"];
  for (const time of times) {
    const x = Math.round(view.x(time));
    if (x + 42 < view.right) pen.fillText(clock(time, gap < 0.1), x + 4, view.layout.lanes.ruler.middle);
  }
}

export function paintFaces(pen, view, findings, colour) {
  const { faces, step } = findings;
  const [first, last, stride] = range(view, step, findings.length);
  const lane = view.layout.lanes.faces;
  pen.fillStyle = colour;
  for (let i = first; i <= last; i += stride) {
    let seen = false;
    for (let k = i; k < i + stride && k <= last; k++) seen ||= faces[k];
    if (!seen) continue;
    const left = Math.round(view.x(i * step));
    pen.fillRect(left, lane.top + 3, Math.round(view.x((i + stride) * step)) - left, lane.height - 6);
  }
}

export function paintWave(pen, view, wave, colour) {
  const level = wave.levels.findLast(({ step }) => step * view.scale <= 1.5) ?? wave.levels[0];
  const [first, last] = range(view, level.step, level.values.length);
  const { middle, height } = view.layout.lanes.wave;
  pen.fillStyle = colour;
  const thick = Math.max(1, level.step * view.scale - (level.step * view.scale > 4 ? 1 : 0));
  for (let i = first; i <= last; i++) {
    const tall = Math.max(1, level.values[i] * (height - 4));
    pen.fillRect(view.x(i * level.step), middle - tall / 2, thick, tall);
  }
}

// `left`: where the lane's name ends.
export function paintNote(pen, view, lane, note, left, colour) {
  pen.font = `11px ${FONT}`;
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  pen.fillStyle = colour;
  pen.fillText(note, Math.max(view.left, left) + 8, view.layout.lanes[lane].middle);
}

// For each of `width` pixels that a stretch of time is drawn on, the share of its time that segments take.
export function density(segments, start, end, width) {
  const shares = new Float32Array(Math.max(1, Math.floor(width)));
  const scale = shares.length / (end - start);
  for (const one of segments) {
    const from = Math.max(0, (one.start - start) * scale);
    const to = Math.min(shares.length, (one.end - start) * scale);
    for (let x = Math.floor(from); x < to; x++) shares[x] = Math.min(1, shares[x] + Math.min(to, x + 1) - Math.max(from, x));
  }
  return shares;
}

const LOWEST_BAR = 4;

// Many short segments: bars that are as tall as the share of the time they take, away from the axis.
export function paintDensity(pen, view, segments, colours) {
  for (const label of new Set(segments.map((one) => one.label))) {
    const side = view.side(label);
    const lane = view.layout.lanes[side];
    const most = lane.height - 4;
    pen.fillStyle = colours[toneOf(label)];
    density(segments.filter((one) => one.label === label), view.start, view.end, view.width).forEach((share, x) => {
      if (!share) return;
      const tall = Math.max(LOWEST_BAR, share * most);
      pen.fillRect(view.left + x, side === "up" ? lane.bottom - 2 - tall : lane.top + 2, 1, tall);
    });
  }
}

// One segment as a block in its lane; the chosen one also shades the lanes and has grips.
export function paintSegment(pen, view, segment, chosen, colours) {
  const { lanes } = view.layout;
  const lane = lanes[view.side(segment.label)];
  const left = Math.max(view.left - 8, view.x(segment.start));
  // Neighbours stay apart, however narrow they are.
  const width = Math.max(2, Math.min(view.right + 8, view.x(segment.end)) - left - (chosen ? 0 : 1));
  const colour = colours[toneOf(segment.label)];
  if (chosen) {
    pen.globalAlpha = 0.13;
    pen.fillStyle = colour;
    pen.fillRect(left, lanes.up.top, width, view.layout.height - lanes.up.top);
    pen.globalAlpha = 1;
  }
  const [blockTop, tall] = [lane.top + 2, lane.height - 4];
  pen.fillStyle = colour;
  pen.beginPath();
  pen.roundRect(left, blockTop, width, tall, Math.min(4, width / 2));
  pen.fill();
  if (chosen) {
    pen.lineWidth = 2;
    pen.strokeStyle = colours.ink;
    pen.stroke();
    if (width > 14 && view.editable) {
      pen.fillStyle = colours.ink;
      for (const x of [left + 2.5, left + width - 4.5]) pen.fillRect(x, blockTop + 5, 2, tall - 10);
    }
  }
  paintName(pen, segment, left, width, blockTop + tall / 2, colours, !view.layout.mirrored);
}

// `named`: the label itself comes before its confidence, since the lane does not tell it.
function paintName(pen, segment, left, width, middle, colours, named) {
  const { label, confidence } = segment;
  const share = confidence === undefined ? "✎" : `${sureness(confidence)} %`;
  const isSentiment = label in colours;
  const long = `${isSentiment ? `${signOf(label)} ` : ""}${nameOf(label)} ${share}`;
  const names = [long, ...(named ? [nameOf(label)] : []), share, share.replace(" %", "")];
  pen.font = `600 12px ${FONT}`;
  pen.textBaseline = "middle";
  pen.textAlign = "center";
  const name = names.find((candidate) => pen.measureText(candidate).width < width - 8);
  if (!name) return;
  pen.fillStyle = colours["on-block"];
  pen.fillText(name, left + width / 2, middle + 0.5);
}

// Where an expression is strongest: a line through the curve, and a diamond at the edge of its block.
export function paintApex(pen, view, segment, chosen, colours) {
  const { lanes, axis } = view.layout;
  const up = view.side(segment.label) === "up";
  const x = view.x(segment.peak);
  const edge = up ? lanes.up.bottom - 1 : lanes.down.top + 1;
  pen.strokeStyle = chosen ? colours.ink : colours[toneOf(segment.label)];
  pen.lineWidth = 1.5;
  pen.setLineDash(chosen ? [] : [3, 3]);
  pen.beginPath();
  pen.moveTo(x, edge);
  pen.lineTo(x, axis);
  pen.stroke();
  pen.setLineDash([]);
  diamond(pen, x, edge, 5, colours.ink, colours.card);
}

function diamond(pen, x, y, size, fill, rim) {
  pen.beginPath();
  pen.moveTo(x, y - size);
  pen.lineTo(x + size, y);
  pen.lineTo(x, y + size);
  pen.lineTo(x - size, y);
  pen.closePath();
  pen.fillStyle = fill;
  pen.fill();
  pen.lineWidth = 2;
  pen.strokeStyle = rim;
  pen.stroke();
}

export function paintPoint(pen, view, point, chosen, colours) {
  const x = view.x(point.time);
  const y = view.layout.axis + (point.label === "positive" ? -9 : 9);
  diamond(pen, x, y, chosen ? 8 : 6, colours[point.label], chosen ? colours.ink : colours.paper);
}
