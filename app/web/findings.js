// A sentiment result's numbers as the page needs them: the fused curves, evidence, and segments cut again without asking the server.
import { nameOf } from "./labels.js";
import { say, text } from "./strings.js";

export const LABELS = ["positive", "negative"];
export const STREAMS = ["face", "audio", "visual"];

// The server's rule looks for segments of at least this length, unless a shorter one is asked for.
export const RULE_MIN_LENGTH = 1;

// The curves fill their lane, unless their highest value is below this.
export const LEAST_SCALE = 0.4;

// The curve that segments are cut from: the mean of class × (1 − non-sentiment) and class × saliency. Rounded as the server
// reads it (single precision), so that evidence comes out the same.
function fuse(curve, label) {
  const { fround } = Math;
  return curve[label].map((score, i) => fround(score) * ((1 - fround(curve.non_sentiment[i]) + fround(curve.saliency[i])) / 2));
}

function smooth(curve) {
  const at = (i) => curve[Math.min(Math.max(i, 0), curve.length - 1)];
  return curve.map((value, i) => (at(i - 1) + 2 * value + at(i + 1)) / 4);
}

// Seconds from the first snippet with a score to the end of the last one. A job for a time range has scores only there
// (model/results/cut.py).
function knownRange(curve) {
  const isKnown = (i) => curve.non_sentiment[i] !== 1 || curve.saliency[i] || curve.positive[i] || curve.negative[i];
  let [first, stop] = [0, curve.positive.length];
  while (stop > first && !isKnown(stop - 1)) stop--;
  while (first < stop && !isKnown(first)) first++;
  return [first * curve.step, stop * curve.step];
}

export class Findings {
  constructor(result) {
    const { curve, video } = result;
    this.task = "sentiment";
    this.editable = true;
    this.layout = "split";
    this.labels = LABELS;
    this.step = curve.step;
    this.length = curve.positive.length;
    this.duration = video.duration;
    this.known = knownRange(curve);
    this.saliency = Float32Array.from(curve.saliency);
    this.faces = curve.face_present;
    this.hasAudio = video.has_audio;
    this.exact = Object.fromEntries(LABELS.map((label) => [label, fuse(curve, label)]));
    this.curves = Object.fromEntries(LABELS.map((label) => [label, Float32Array.from(this.exact[label])]));
    this.smooth = Object.fromEntries(LABELS.map((label) => [label, smooth(this.curves[label])]));
    this.scale = LABELS.reduce((most, label) => this.curves[label].reduce((a, b) => Math.max(a, b), most), LEAST_SCALE);
    this.without = curve.without;
    this.streams = STREAMS.filter((stream) => stream in curve.without);
  }

  side(label) {
    return label === "positive" ? "up" : "down";
  }

  get gutter() {
    return { up: nameOf("positive"), upTone: "positive", down: nameOf("negative"), downTone: "negative", shade: text.saliency };
  }

  // How strong each label is at a moment, as a part of the lane's height.
  shares(i) {
    return Object.fromEntries(LABELS.map((label) => [label, Math.min(1, this.curves[label][i] / this.scale)]));
  }

  // The evidence of a segment, in one line.
  why({ label, start, end, peak }) {
    return say.because(this.evidence(label, start, end, peak));
  }

  index(seconds) {
    return Math.min(this.length - 1, Math.max(0, Math.floor(seconds / this.step)));
  }

  // The moment at which a label's curve is highest between two moments.
  peak(label, start, end) {
    const values = this.smooth[label];
    let best = this.index(start);
    for (let i = best; i <= this.index(end - 1e-6); i++) if (values[i] > values[best]) best = i;
    return Math.min(Math.max((best + 0.5) * this.step, start), end);
  }

  // The stronger curve at a moment: { label, value }.
  strongest(seconds) {
    const i = this.index(seconds);
    const label = this.curves.positive[i] >= this.curves.negative[i] ? "positive" : "negative";
    return { label, value: this.curves[label][i] };
  }

  // Shares by stream of what holds a label's curve up between two moments, by the server's rule
  // (model/results/evidence.py): of the snippets whose centre lies inside, or else of the one under the peak.
  evidence(label, start, end, peak = this.peak(label, start, end)) {
    const centre = (i) => (i + 0.5) * this.step;
    let first = Math.max(0, Math.floor(start / this.step - 0.5));
    while (first < this.length && centre(first) < start) first++;
    let last = first - 1;
    while (last + 1 < this.length && centre(last + 1) <= end) last++;
    if (first <= last) return this.evidenceOf(label, first, last);
    const under = this.index(peak);
    const nearest = [under - 1, under, under + 1].filter((i) => i >= 0 && i < this.length);
    return this.evidenceOf(label, nearest.reduce((best, i) => (Math.abs(centre(i) - peak) < Math.abs(centre(best) - peak) ? i : best)));
  }

  // Null if the model has no streams to mask; equal shares if none of them contributes alone.
  evidenceOf(label, first, last = first) {
    if (!this.streams.length) return null;
    const mean = (values) => {
      let total = 0;
      for (let i = first; i <= last; i++) total += values[i];
      return total / (last - first + 1);
    };
    const full = mean(this.exact[label]);
    const drops = this.streams.map((stream) => Math.max(0, full - mean(this.without[stream][label])));
    const total = drops.reduce((sum, drop) => sum + drop, 0);
    return Object.fromEntries(this.streams.map((stream, i) => [stream, total > 0 ? drops[i] / total : 1 / drops.length]));
  }

  // The same segments as the server's for these options (model/proposals/rule.py): filter, join, filter.
  cut(candidates, { threshold, min_length: minLength, merge_gap: gap, labels = LABELS }) {
    const merged = [];
    for (const row of candidates) {
      if (row.confidence < threshold) continue;
      const last = merged.at(-1);
      const apart = !last || last.label !== row.label || row.start - last.end > gap || parted(last, row, candidates);
      if (apart) merged.push({ ...row });
      else this.join(last, row);
    }
    const [first, last] = this.known;
    const shortest = Math.min(minLength, this.duration - first, last - first);
    const shown = merged.filter((row) => labels.includes(row.label) && row.end - row.start >= shortest - 1e-6);
    return shown.map((row) => ({ ...row, key: `${row.label} ${row.start}` }));
  }

  join(last, row) {
    const [before, after] = [last.end - last.start, row.end - row.start];
    last.confidence = (last.confidence * before + row.confidence * after) / (before + after);
    const height = (peak) => this.smooth[row.label][this.index(peak)];
    if (height(row.peak) > height(last.peak)) last.peak = row.peak;
    last.end = row.end;
  }
}

function parted(last, row, candidates) {
  return candidates.some((other) => other.label !== row.label && last.end <= other.start && other.end <= row.start);
}
