// The name, sign and colour of a label: two sentiments, two kinds of expression, or a model's own emotions.
import { labelNames } from "./strings.js";

const SIGNS = { positive: "▲", negative: "▼" };
const COLOURS = 8;

let order = [];

// The labels of the result that is shown; their order gives their colours.
export function setLabels(labels) {
  order = labels;
}

// As everywhere on the page: positive first, all others as they are.
export const inOrder = (labels) => labels.toSorted((a, b) => Number(b === "positive") - Number(a === "positive"));

// The labels of a job's segments: those that a person corrected them to, or else the model's.
export const labelsIn = ({ labels_found: found, corrected }) => inOrder(corrected ? Object.keys(corrected.labels) : found ?? []);

// What is in a job, in words: how many segments of each label.
export function foundIn(job) {
  const found = job.corrected?.labels ?? job.found;
  return labelsIn(job).map((label) => [found?.[label]?.segments, nameOf(label)].filter(Boolean).join(" "));
}

export const signOf = (label) => SIGNS[label] ?? "●";
export const nameOf = (label) => labelNames[label] ?? label.charAt(0).toUpperCase() + label.slice(1).replaceAll("_", " ");

// The name of a CSS colour, and of the class that sets it.
export function toneOf(label) {
  return label in SIGNS ? label : `class-${Math.max(0, order.indexOf(label)) % COLOURS}`;
}

export const TONES = [...Object.keys(SIGNS), ...Array.from({ length: COLOURS }, (_, i) => `class-${i}`)];
