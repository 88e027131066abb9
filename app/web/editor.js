// Edits of segments and points: move, add, delete, relabel. Every change goes through `view.corrections`.
import { sendFeedback, withdrawFeedback } from "./api.js";
import { keyed, room } from "./corrections.js";
import { $ } from "./dom.js";
import { text } from "./strings.js";

const NEW_SEGMENT = 2;
const SHORTEST = 0.04;

export class Editor {
  constructor(view) {
    this.view = view;
    // The last save of each job, by its id.
    this.saves = new Map();
  }

  get able() {
    return Boolean(this.view.findings?.editable) && document.body.dataset.rights !== "read";
  }

  get duration() {
    return this.view.findings.duration;
  }

  peak(label, start, end) {
    return this.view.findings.peak(label, start, end);
  }

  snap(seconds) {
    return Math.min(this.duration, Math.max(0, this.view.counter.snap(seconds)));
  }

  replace(thing, changes) {
    const list = this.view.segments.map((one) => (one.key === thing.key ? { ...one, ...changes, confidence: undefined } : one));
    this.view.corrections.setSegments(list);
  }

  // `thing` may be out of date: a drag starts before the edited field commits its value, so the segment is looked up by key.
  move(thing, changes) {
    const segment = this.view.segments.find((one) => one.key === thing.key);
    if (!segment) return;
    const [low, high] = room(this.view.segments, segment, this.duration);
    const start = Math.max(low, changes.start === undefined ? segment.start : this.snap(changes.start));
    const end = Math.min(high, changes.end === undefined ? segment.end : this.snap(changes.end));
    if (end - start < SHORTEST - 1e-6) return this.view.refresh();
    this.view.chosen = segment.key;
    this.replace(segment, { start, end, peak: this.peak(segment.label, start, end) });
  }

  moveEdge(side) {
    const { thing, player } = this.view;
    if (this.able && thing?.start !== undefined) this.move(thing, { [side]: player.now });
  }

  // Add a segment from `at` on that contains the moment `point`; if there is one already, select it.
  add(at, label, point = at) {
    const { view } = this;
    if (!this.able) return;
    const taken = view.segments.find((one) => one.start <= point && one.end > point);
    if (taken) return view.choose(taken, false);
    const [low, high] = room(view.segments, { start: point, end: point, key: null }, this.duration);
    const start = Math.max(low, this.snap(Math.min(at, high - NEW_SEGMENT)));
    const end = Math.min(high, this.snap(start + NEW_SEGMENT));
    if (end - start < SHORTEST) {
      $("edited").textContent = text.noRoom;
      return;
    }
    const kind = label ?? view.findings.strongest((start + end) / 2).label;
    const segment = keyed({ start, end, label: kind, peak: this.peak(kind, start, end) });
    view.chosen = segment.key;
    view.corrections.setSegments([...view.segments, segment]);
  }

  addAround(time, label) {
    this.add(time - NEW_SEGMENT / 2, label, time);
  }

  mark() {
    const { view } = this;
    if (!this.able) return;
    const time = this.snap(view.player.now);
    const point = keyed({ time, label: view.findings.strongest(time).label });
    view.chosen = point.key;
    view.corrections.setPoints([...view.corrections.points, point]);
  }

  flip() {
    const { thing, corrections } = this.view;
    if (!this.able || !thing) return;
    const label = thing.label === "positive" ? "negative" : "positive";
    if (thing.time === undefined) this.replace(thing, { label, peak: this.peak(label, thing.start, thing.end) });
    else corrections.setPoints(corrections.points.map((one) => (one.key === thing.key ? { ...one, label } : one)));
  }

  remove() {
    const { thing, corrections, segments } = this.view;
    if (!this.able || !thing) return;
    const without = (list) => list.filter((one) => one.key !== thing.key);
    if (thing.time === undefined) corrections.setSegments(without(segments));
    else corrections.setPoints(without(corrections.points));
    $("timeline").focus({ preventScroll: true });
  }

  // Saves of a job run one after the other, because each needs the ETag that the previous one returns.
  save() {
    const { job, corrections, found } = this.view;
    const { doc } = corrections;
    // The data to send is copied now, because another result may be in view when the previous save has ended.
    const body = doc && corrections.feedback(found);
    const done = this.settled(job).then((last) => this.send(job, doc, body, last));
    this.saves.set(job.id, done);
    return done;
  }

  // Resolves when no save of the job is in progress, to what the last one saved, with its ETag.
  settled(job) {
    return (this.saves.get(job.id) ?? Promise.resolve()).catch(() => {});
  }

  // Without corrections the model's own result applies again, so the saved feedback is withdrawn.
  // Without a `last` save, a job that is no longer in view is not saved, and its draft stays.
  async send(job, doc, body, last) {
    const { view } = this;
    const isShown = view.job === job;
    if (isShown ? doc === view.corrections.savedDoc : !last || doc === last.doc) return last;
    const before = isShown ? view.corrections.savedDoc : last.doc;
    let tag = isShown ? view.tag : last.tag;
    try {
      // Marks without segments would leave the segments that were saved before.
      if (doc && !doc.segments && before?.segments) {
        ({ tag } = await withdrawFeedback(job.id, tag));
        if (view.job === job) view.tag = tag;
      }
      const answer = await (doc ? sendFeedback(job.id, body, tag) : withdrawFeedback(job.id, tag));
      view.saved(job, doc, answer);
      return { doc, tag: answer.tag };
    } catch (error) {
      if (view.job === job) throw error;
    }
  }

  // A person confirms that the model is right. Only then are its segments stored as ground truth.
  async confirm() {
    const { view } = this;
    view.corrections.setSegments(view.found);
    await this.save();
  }
}
