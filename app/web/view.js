// The result screen: keeps player, timeline, list, inspector and sliders in step, and turns what the editor does into corrections.
import { getBlob, getCandidates, getFeedback, getResult, resultPath, sendFeedback } from "./api.js";
import { clock } from "./clock.js";
import { Corrections, keyed, room } from "./corrections.js";
import { $, make, percent } from "./dom.js";
import { Findings, RULE_MIN_LENGTH } from "./findings.js";
import { hoverCard, inspect } from "./inspector.js";
import { Overview } from "./overview.js";
import { Player } from "./player.js";
import { listSegments, summarize } from "./segments.js";
import { say, text } from "./strings.js";
import { Thumbs } from "./thumbs.js";
import { Timeline } from "./timeline.js";
import { canDecode, readWave } from "./wave.js";

const OPTIONS = ["threshold", "min_length", "merge_gap"];
const NEW_SEGMENT = 2;
const SHORTEST = 0.04;

export class View {
  constructor() {
    this.timeline = new Timeline($("timeline"));
    this.overview = new Overview($("overview"), this.timeline);
    this.player = new Player();
    this.corrections = new Corrections();
    this.corrections.reset();
    this.thumbs = new Thumbs();
    this.wire();
  }

  wire() {
    const on = (type, act) => this.timeline.addEventListener(type, (event) => act(event.detail));
    on("seek", (seconds) => this.seekFree(seconds));
    on("scrub", (seconds) => this.player.seek(seconds));
    on("choose", (thing) => this.choose(thing));
    on("moved", ({ segment, start, end }) => this.move(segment, { start, end }));
    on("add", ({ time, label }) => this.add(time - NEW_SEGMENT / 2, label, time));
    on("hover", (place) => this.hover(place));
    this.player.addEventListener("time", () => this.tell());
    this.player.addEventListener("state", () => $("play").classList.toggle("playing", this.player.playing));
    this.corrections.addEventListener("change", () => this.refresh());
    for (const name of OPTIONS) $(name).addEventListener("input", () => this.tune());
    $("tune").addEventListener("submit", (event) => event.preventDefault());
    $("reset").addEventListener("click", () => this.setOptions(this.result.options));
  }

  async open(job, file, link) {
    const result = await getResult(job.id);
    if (!result.curve?.positive) throw new Error(`${text.otherTask}${resultPath(job.id)}`);
    const [candidates, { feedback }] = await Promise.all([getCandidates(job.id, RULE_MIN_LENGTH), getFeedback(job.id)]);
    Object.assign(this, { job, result, candidates, found: [], chosen: null, savedAt: null });
    this.candidatesFrom = RULE_MIN_LENGTH;
    this.findings = new Findings(result);
    this.corrections.reset();
    if (feedback.length) {
      this.corrections.load(feedback.at(-1).feedback, [...result.segments, ...candidates]);
      this.savedAt = feedback.at(-1).at;
    }
    $("result-title").textContent = job.source.name;
    $("made").textContent = say.made(result.model.name, result.model.version, result.model.device);
    document.title = `${job.source.name} · Sentiloc`;
    this.thumbs.open(await this.player.open(job, result.video.duration, file), serverPictures(result));
    this.timeline.show(this.findings);
    const asked = Object.fromEntries(OPTIONS.filter((name) => link.has(name)).map((name) => [name, Number(link.get(name))]));
    this.setOptions({ ...result.options, ...asked });
    this.player.seek(Number(link.get("t")) || 0);
    this.drawWave(job, file);
  }

  close() {
    this.player.close();
  }

  async drawWave(job, file) {
    const note = (words) => {
      this.timeline.waveNote = words;
      this.timeline.draw();
    };
    if (!this.findings.hasAudio) return note(text.waveNone);
    const bytes = file?.size ?? job.source.bytes;
    if (!canDecode(bytes, this.findings.duration, Boolean(file))) return note(text.waveTooLong);
    note(text.waveWaits);
    const wave = await readWave(job, file).catch(() => null);
    if (this.job !== job) return;
    this.timeline.wave = wave;
    note(wave ? "" : text.waveNone);
  }

  // Options and what they cut

  get options() {
    return { ...Object.fromEntries(OPTIONS.map((name) => [name, Number($(name).value)])), labels: this.result.options.labels };
  }

  setOptions(options) {
    for (const name of OPTIONS) {
      $(name).max = Math.max(Number($(name).max), options[name]);
      $(name).value = options[name];
    }
    this.tune();
  }

  async tune() {
    this.refresh();
    const wanted = Math.min(RULE_MIN_LENGTH, this.options.min_length);
    if (wanted === this.candidatesFrom || this.fetching) return;
    this.fetching = true;
    try {
      const { job } = this;
      const candidates = await getCandidates(job.id, wanted);
      if (job === this.job) Object.assign(this, { candidates, candidatesFrom: wanted });
    } finally {
      this.fetching = false;
    }
    this.tune();
  }

  refresh() {
    this.found = this.findings.cut(this.candidates, this.options);
    this.segments = this.corrections.segments(this.found);
    const { timeline, chosen } = this;
    timeline.setThings(this.segments, this.corrections.points, chosen);
    this.overview.paint();
    listSegments(this.segments, chosen, this.findings, this.thumbs, (segment) => this.choose(segment));
    summarize(this.segments, this.findings.duration);
    this.inspect();
    this.showOptions();
    this.showCorrections();
  }

  inspect() {
    const thing = this.thing;
    if (this.player.loop && thing?.start !== undefined) this.player.loop = thing;
    inspect(thing, this.findings, this.result.video.fps, {
      move: (one, changes) => this.move(one, changes),
      flip: () => this.flip(),
      remove: () => this.remove(),
    });
  }

  showOptions() {
    for (const output of $("tune").querySelectorAll("output")) {
      const { value } = $(output.htmlFor.value);
      output.textContent = output.htmlFor.value === "threshold" ? `${percent(value)} %` : `${Number(value).toFixed(2)} s`;
    }
    const locked = Boolean(this.corrections.doc?.segments);
    $("tune").querySelector("fieldset").disabled = locked;
    $("tune-locked").hidden = !locked;
  }

  showCorrections() {
    const { corrections } = this;
    $("undo").disabled = !corrections.past.length;
    $("redo").disabled = !corrections.future.length;
    $("discard").disabled = !corrections.active;
    $("save").disabled = !corrections.dirty;
    const saved = this.savedAt ? say.savedAt(new Date(this.savedAt * 1000).toLocaleTimeString()) : "";
    const points = corrections.points.length ? say.points(corrections.points.length) : "";
    const what = corrections.dirty ? `${text.corrections}: ${text.unsaved}` : corrections.active ? `${text.corrections}: ${saved}` : "";
    $("edited").textContent = [what, points].filter(Boolean).join(" · ");
  }

  // Moving about

  get thing() {
    return [...this.segments, ...this.corrections.points].find((one) => one.key === this.chosen) ?? null;
  }

  choose(thing, seek = true) {
    this.chosen = thing?.key ?? null;
    this.refresh();
    if (thing && seek) this.player.seek(thing.start ?? thing.time);
  }

  // A click beside the segments: go there; what was chosen stays, so that I and O can move its edges here.
  seekFree(seconds) {
    const { loop } = this.player;
    if (loop && (seconds < loop.start || seconds > loop.end)) this.setLoop(false);
    this.player.seek(seconds);
  }

  step(seconds) {
    this.seekFree(this.player.now + seconds);
  }

  jump(direction) {
    const now = this.player.now + direction * 0.05;
    const next = direction > 0 ? this.segments.find((one) => one.start > now) : this.segments.findLast((one) => one.start < now - 0.2);
    if (next) this.choose(next);
  }

  setLoop(on) {
    const here = (one) => one.start <= this.player.now && one.end > this.player.now;
    const segment = on && (this.thing?.start !== undefined ? this.thing : this.segments.find(here) ?? this.segments[0]);
    this.player.loop = segment || null;
    $("loop").setAttribute("aria-pressed", String(Boolean(segment)));
    if (segment && segment.key !== this.chosen) this.choose(segment);
  }

  tell() {
    const { now, duration } = this.player;
    if (!this.findings) return;
    this.timeline.setTime(now);
    const short = clock(now, true);
    $("time").replaceChildren(make("b", {}, short), ` / ${clock(duration)}`);
    if (!this.player.playing || Math.floor(now) !== this.told) this.tellTimeline();
    this.told = Math.floor(now);
  }

  // For screen readers: every step by hand, but once a second while it plays.
  tellTimeline() {
    const { now, duration } = this.player;
    const under = this.segments?.find((one) => one.start <= now && one.end > now);
    const line = $("timeline");
    line.setAttribute("aria-valuemax", duration.toFixed(1));
    line.setAttribute("aria-valuenow", now.toFixed(1));
    line.setAttribute("aria-valuetext", say.here(clock(now), under && text[under.label]));
  }

  hover(place) {
    const peak = place?.segment && (place.segment.peak ?? this.findings.peak(place.segment.label, place.segment.start, place.segment.end));
    hoverCard(place, this.timeline, this.findings, peak && this.thumbs.at(peak));
  }

  // Corrections

  snap(seconds) {
    const { fps } = this.result.video;
    return Math.min(this.findings.duration, Math.max(0, Math.round(seconds * fps) / fps));
  }

  replace(thing, changes) {
    const list = this.segments.map((one) => (one.key === thing.key ? { ...one, ...changes, confidence: undefined } : one));
    this.corrections.setSegments(list);
  }

  move(segment, changes) {
    const [low, high] = room(this.segments, segment, this.findings.duration);
    const start = Math.max(low, changes.start === undefined ? segment.start : this.snap(changes.start));
    const end = Math.min(high, changes.end === undefined ? segment.end : this.snap(changes.end));
    if (end - start < SHORTEST - 1e-6) return this.refresh();
    this.chosen = segment.key;
    this.replace(segment, { start, end, peak: this.findings.peak(segment.label, start, end) });
  }

  moveEdge(side) {
    const { thing } = this;
    if (thing?.start !== undefined) this.move(thing, { [side]: this.player.now });
  }

  // A segment from `at` on, which holds the moment `point`; where one is already, that is chosen.
  add(at, label, point = at) {
    const taken = this.segments.find((one) => one.start <= point && one.end > point);
    if (taken) return this.choose(taken, false);
    const [low, high] = room(this.segments, { start: point, end: point, key: null }, this.findings.duration);
    const start = Math.max(low, this.snap(Math.min(at, high - NEW_SEGMENT)));
    const end = Math.min(high, this.snap(start + NEW_SEGMENT));
    if (end - start < SHORTEST) return;
    const kind = label ?? this.findings.strongest((start + end) / 2).label;
    const segment = keyed({ start, end, label: kind, peak: this.findings.peak(kind, start, end) });
    this.chosen = segment.key;
    this.corrections.setSegments([...this.segments, segment]);
  }

  mark() {
    const time = this.snap(this.player.now);
    const point = keyed({ time, label: this.findings.strongest(time).label });
    this.chosen = point.key;
    this.corrections.setPoints([...this.corrections.points, point]);
  }

  flip() {
    const { thing } = this;
    if (!thing) return;
    const label = thing.label === "positive" ? "negative" : "positive";
    if (thing.time === undefined) this.replace(thing, { label, peak: this.findings.peak(label, thing.start, thing.end) });
    else this.corrections.setPoints(this.corrections.points.map((one) => (one.key === thing.key ? { ...one, label } : one)));
  }

  remove() {
    const { thing } = this;
    if (!thing) return;
    const without = (list) => list.filter((one) => one.key !== thing.key);
    if (thing.time === undefined) this.corrections.setSegments(without(this.segments));
    else this.corrections.setPoints(without(this.corrections.points));
    $("timeline").focus({ preventScroll: true });
  }

  async save() {
    if (!this.corrections.dirty) return;
    const kept = await sendFeedback(this.job.id, this.corrections.feedback(this.found));
    this.savedAt = kept.at;
    this.corrections.markSaved();
  }

  // What leaves the page

  get query() {
    const now = this.options;
    return Object.fromEntries(OPTIONS.filter((name) => now[name] !== this.result.options[name]).map((name) => [name, now[name]]));
  }

  get exported() {
    const { corrections } = this;
    const byHand = Boolean(corrections.savedDoc?.segments);
    const note = corrections.dirty ? text.exportUnsaved : byHand ? text.exportCorrected : text.exportNote;
    const query = byHand && !corrections.dirty ? { corrected: true } : this.query;
    return { id: this.job.id, name: this.job.source.name, query, note };
  }

  get link() {
    const parts = new URLSearchParams(this.query);
    if (this.player.now > 0.05) parts.set("t", this.player.now.toFixed(2));
    const query = parts.toString();
    return `${location.origin}${location.pathname}#${this.job.id}${query && `?${query}`}`;
  }
}

// Pictures that the server has: for the peaks of the model's own segments.
function serverPictures({ segments, thumbnails = [] }) {
  const paths = new Map(segments.map(({ peak }, i) => [peak.toFixed(2), thumbnails[i]]));
  return async (seconds) => {
    const path = paths.get(seconds.toFixed(2));
    const picture = path && (await getBlob(path).catch(() => null));
    return picture ? URL.createObjectURL(picture.blob) : null;
  };
}
