// A sentiment result's numbers as the page needs them: the fused curves, evidence, and segments cut again without asking the server.
import { percent } from "./dom.js";
import { nameOf } from "./labels.js";
import { say, text } from "./strings.js";

export const LABELS = ["positive", "negative"];
export const STREAMS = ["face", "audio", "visual"];

// The server's rule looks for segments of at least this length, unless a shorter one is asked for.
export const RULE_MIN_LENGTH = 1;

// The curves fill their lane, unless even their highest is lower than this.
export const LEAST_SCALE = 0.4;

// The curve that segments are cut from: the mean of class × (1 − non-sentiment) and class × saliency.
function fuse(curve, label) {
  return Float32Array.from(curve[label], (score, i) => (score * (1 - curve.non_sentiment[i] + curve.saliency[i])) / 2);
}

function smooth(curve) {
  const at = (i) => curve[Math.min(Math.max(i, 0), curve.length - 1)];
  return curve.map((value, i) => (at(i - 1) + 2 * value + at(i + 1)) / 4);
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
    this.saliency = Float32Array.from(curve.saliency);
    this.faces = curve.face_present;
    this.hasAudio = video.has_audio;
    this.curves = Object.fromEntries(LABELS.map((label) => [label, fuse(curve, label)]));
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

  // Shares to show at a moment.
  shares(i) {
    return { positive: this.curves.positive[i], negative: this.curves.negative[i] };
  }

  // What a segment is made of, in a line.
  why({ label, start, end }) {
    const shares = Object.entries(this.evidence(label, start, end) ?? {}).filter(([, share]) => share >= 0.05);
    const lines = shares.sort(([, a], [, b]) => b - a).map(([stream, share]) => `${say.streams[stream]} ${percent(share)} %`);
    return lines.join(" · ") || say.noEvidence;
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

  // How sure the curves are at a moment: { label, value } of the stronger one.
  strongest(seconds) {
    const i = this.index(seconds);
    const label = this.curves.positive[i] >= this.curves.negative[i] ? "positive" : "negative";
    return { label, value: this.curves[label][i] };
  }

  // Shares by stream of what holds a label's curve up between two moments; null where no single stream does.
  evidence(label, start, end) {
    // Snippets whose centre lies inside, as the server counts them.
    const first = Math.ceil(start / this.step - 0.5);
    const last = Math.min(this.length - 1, Math.floor(end / this.step - 0.5));
    if (first > last) return this.evidenceOf(label, this.index((start + end) / 2));
    return this.evidenceOf(label, first, last);
  }

  evidenceOf(label, first, last = first) {
    const mean = (values) => {
      let total = 0;
      for (let i = first; i <= last; i++) total += values[i];
      return total / (last - first + 1);
    };
    const full = mean(this.curves[label]);
    const drops = this.streams.map((stream) => Math.max(0, full - mean(this.without[stream][label])));
    const total = drops.reduce((sum, drop) => sum + drop, 0);
    if (total < 1e-4) return null;
    return Object.fromEntries(this.streams.map((stream, i) => [stream, drops[i] / total]));
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
    const shortest = Math.min(minLength, this.duration, this.length * this.step);
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
