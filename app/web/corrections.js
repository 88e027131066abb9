// An editor's corrections: segments, points and a note, with undo and redo. Until the first change, they are the model's
// segments.
// Where this browser keeps what is not saved yet.
export const draftKey = ({ id }) => `sentiloc.draft.${id}`;

let lastKey = 0;
export const keyed = (thing) => ({ ...thing, key: thing.key ?? ++lastKey });
const keyedAnew = (thing) => keyed({ ...thing, key: undefined });

const byTime = (a, b) => (a.start ?? a.time) - (b.start ?? b.time);

export class Corrections extends EventTarget {
  reset() {
    this.past = [];
    this.future = [];
    this.doc = null;
    this.savedDoc = null;
    this.typed = null;
  }

  // Start from saved feedback: { segments, points, note }. Unchanged segments of the `model` remain the model's.
  load(feedback, model) {
    this.reset();
    const same = (one) => (own) => own.label === one.label && Math.abs(own.start - one.start) + Math.abs(own.end - one.end) < 0.003;
    this.doc = {
      segments: feedback.segments && feedback.segments.map((one) => keyed({ ...model.find(same(one)), ...stated(one) })),
      points: (feedback.points ?? []).map(keyed),
      note: feedback.note ?? "",
    };
    this.savedDoc = this.doc;
  }

  get active() {
    return this.doc !== null;
  }

  get dirty() {
    return this.doc !== this.savedDoc;
  }

  // The segments to show, where the model's are `found`.
  segments(found) {
    return this.doc?.segments ?? found;
  }

  get points() {
    return this.doc?.points ?? [];
  }

  get note() {
    return this.doc?.note ?? "";
  }

  change(next) {
    this.past.push(this.doc);
    this.future = [];
    this.doc = next;
    this.dispatchEvent(new Event("change"));
  }

  setSegments(segments) {
    this.change({ segments: segments.toSorted(byTime), points: this.points, note: this.note });
  }

  setPoints(points) {
    this.change({ segments: this.doc?.segments ?? null, points: points.toSorted(byTime), note: this.note });
  }

  // What is typed without a pause by another change is undone as one step.
  setNote(note) {
    const goesOn = this.doc !== null && this.doc === this.typed && this.dirty;
    if (!goesOn) this.past.push(this.doc);
    this.future = [];
    this.doc = this.typed = { segments: this.doc?.segments ?? null, points: this.points, note };
    this.dispatchEvent(new Event("noted"));
  }

  move(from, to) {
    if (!from.length) return;
    to.push(this.doc);
    this.doc = from.pop();
    this.dispatchEvent(new Event("change"));
  }

  undo() {
    this.move(this.past, this.future);
  }

  redo() {
    this.move(this.future, this.past);
  }

  discard() {
    if (this.active) this.change(null);
  }

  // Continue with unsaved changes. Their keys come from an earlier visit and may be in use now.
  // Without a `doc`, the saved corrections were discarded.
  restore(doc) {
    if (!doc && !this.doc) return;
    this.past.push(this.doc);
    this.doc = doc && { segments: doc.segments?.map(keyedAnew) ?? null, points: doc.points.map(keyedAnew), note: doc.note ?? "" };
  }

  // The feedback for the API; points alone say nothing about segments. An unchanged segment keeps the model's
  // confidence.
  feedback(found) {
    const points = this.points.map(({ time, label }) => ({ time: tidy(time), label }));
    const note = this.note.trim() ? { note: this.note } : {};
    if (this.doc && !this.doc.segments) return { points, ...note };
    return { segments: this.segments(found).map(asGiven), points, ...note };
  }

  // `doc` is saved now; later changes are not. A field that is being edited is left unchanged.
  markSaved(doc) {
    this.savedDoc = doc;
    this.dispatchEvent(new Event("saved"));
  }
}

const asGiven = ({ start, end, label, confidence }) => ({ start: tidy(start), end: tidy(end), label, confidence: confidence ?? null });

// A segment of saved feedback, where a missing confidence is left out.
const stated = ({ confidence, ...rest }) => (confidence === null || confidence === undefined ? rest : { ...rest, confidence });

const tidy = (seconds) => Math.round(seconds * 1000) / 1000;

// The gap between its neighbours in which a segment (or a moment: { start, end } alike) may lie; segments do not overlap.
export function room(segments, { start, end, key }, duration) {
  const others = segments.filter((other) => other.key !== key);
  const low = Math.max(0, ...others.filter((other) => other.end <= start + 1e-6).map((other) => other.end));
  const high = Math.min(duration, ...others.filter((other) => other.start >= end - 1e-6).map((other) => other.start));
  return [low, high];
}
