// Results of the tasks besides sentiment, with the numbers that the timeline draws. They cannot be corrected here.
import { clock } from "./clock.js";
import { percent } from "./dom.js";
import { Findings, LEAST_SCALE } from "./findings.js";
import { nameOf } from "./labels.js";
import { say, text } from "./strings.js";

const SHOWN = 3;

class TaskFindings {
  constructor(result) {
    const { curve, video } = result;
    this.task = result.task;
    this.editable = false;
    this.step = curve.step;
    this.duration = video.duration;
    this.hasAudio = video.has_audio;
    this.faces = curve.face_present;
    this.series = Object.fromEntries(Object.entries(curve.series).map(([name, values]) => [name, Float32Array.from(values)]));
    this.length = Object.values(this.series)[0].length;
  }

  index(seconds) {
    return Math.min(this.length - 1, Math.max(0, Math.floor(seconds / this.step)));
  }

  peak(label, start, end) {
    return (start + end) / 2;
  }

  evidence() {
    return null;
  }
}

// Emotions over time: a line for each class, the network's attention as shading.
class EmotionFindings extends TaskFindings {
  constructor(result) {
    super(result);
    this.layout = "stack";
    this.labels = Object.keys(result.probabilities);
    this.probabilities = result.probabilities;
    this.curves = this.series;
    this.scale = 1;
    const { attention_visual: seen, attention_audio: heard } = this.series;
    this.saliency = seen.map((value, i) => (value + heard[i]) / 2);
  }

  side() {
    return "up";
  }

  get gutter() {
    return { up: text.emotions, shade: text.attention, lines: this.labels };
  }

  why({ peak }) {
    return say.strongestAt(clock(peak));
  }

  // The shares to show at a moment.
  shares(i) {
    const likeliest = this.labels.toSorted((a, b) => this.series[b][i] - this.series[a][i]).slice(0, SHOWN);
    return Object.fromEntries([...likeliest.map((label) => [label, this.series[label][i]]), ["attention", this.saliency[i]]]);
  }

  get headline() {
    const sorted = this.labels.toSorted((a, b) => this.probabilities[b] - this.probabilities[a]).slice(0, SHOWN);
    return sorted.map((label) => ({ label, words: `${nameOf(label)} ${percent(this.probabilities[label])} %` }));
  }
}

// Expressions of a face: how much it moves, split into the kind of movement that the network takes it for.
class ExpressionFindings extends TaskFindings {
  constructor(result) {
    super(result);
    this.layout = "split";
    this.labels = result.classes;
    const { intensity } = this.series;
    this.curves = Object.fromEntries(this.labels.map((label) => [label, intensity.map((value, i) => value * this.series[label][i])]));
    this.scale = intensity.reduce((most, value) => Math.max(most, value), LEAST_SCALE);
    this.apexes = true;
    this.fine = true;
  }

  side(label) {
    return this.labels.indexOf(label) === 0 ? "up" : "down";
  }

  get gutter() {
    const [up, down] = this.labels;
    return { up: nameOf(up), upTone: up, down: nameOf(down), downTone: down, middle: text.intensity };
  }

  why({ peak }) {
    return say.apexAt(clock(peak, true));
  }

  shares(i) {
    return { intensity: this.series.intensity[i], ...Object.fromEntries(this.labels.map((label) => [label, this.series[label][i]])) };
  }
}

const KINDS = { emotion: EmotionFindings, expression: ExpressionFindings };

export const findingsOf = (result) => new (KINDS[result.task] ?? Findings)(result);

// The segments of any task's document as the page calls their parts.
export function segmentsOf(result) {
  const rows = result.expressions?.map(({ onset, apex, offset, ...rest }) => ({ start: onset, peak: apex, end: offset, ...rest }));
  return (rows ?? result.segments).map((row) => ({ ...row, key: `${row.label} ${row.start}` }));
}
