// The result screen: keeps player, timeline, list, inspector and sliders in step, and turns what the editor does into corrections.
import { getBlob, getFeedback, getResult } from "./api.js";
import { clock } from "./clock.js";
import { Corrections, draftKey } from "./corrections.js";
import { openCut } from "./cuts.js";
import { $, percent, store } from "./dom.js";
import { Editor } from "./editor.js";
import { hoverCard, inspect } from "./inspector.js";
import { nameOf, setLabels } from "./labels.js";
import { Overview } from "./overview.js";
import { Player } from "./player.js";
import { followRow, listFilter, listSegments, listWarnings, resetList, setUpList, summarize } from "./segments.js";
import { say, text } from "./strings.js";
import { TagEditor } from "./tags.js";
import { findingsOf, segmentsOf } from "./task_findings.js";
import { Thumbs } from "./thumbs.js";
import { Transport } from "./transport.js";
import { Timeline } from "./timeline.js";
import { canDecode, readWave, servedWave } from "./wave.js";

// The options of the cut, with the largest values that the server takes.
const MOST = { threshold: 1, min_length: 3600, merge_gap: 3600 };
const OPTIONS = Object.keys(MOST);

export class View {
  job;
  file;
  shown = null;
  result;
  findings;
  cut;
  options;

  constructor() {
    this.timeline = new Timeline($("timeline"));
    this.overview = new Overview($("overview"), this.timeline);
    this.player = new Player();
    this.corrections = new Corrections();
    this.corrections.reset();
    this.editor = new Editor(this);
    this.thumbs = new Thumbs();
    this.transport = new Transport(this);
    this.tags = new TagEditor($("tags"));
    this.wire();
  }

  wire() {
    const on = (type, act) => this.timeline.addEventListener(type, (event) => act(/** @type {CustomEvent} */ (event).detail));
    on("seek", (seconds) => this.seekFree(seconds));
    on("scrub", (seconds) => this.player.seek(seconds));
    on("choose", (thing) => this.choose(thing));
    on("moved", ({ segment, ...side }) => this.editor.move(segment, side));
    on("add", ({ time, label }) => this.editor.addAround(time, label));
    on("hover", (place) => this.hover(place));
    this.player.addEventListener("time", () => this.tell());
    this.corrections.addEventListener("change", () => {
      this.keepDraft();
      this.refresh();
    });
    for (const type of ["saved", "noted"]) {
      this.corrections.addEventListener(type, () => {
        this.keepDraft();
        this.showCorrections();
      });
    }
    $("note").addEventListener("input", () => this.corrections.setNote($("note").value));
    for (const name of OPTIONS) $(name).addEventListener("input", () => this.slide(name));
    $("tune").addEventListener("submit", (event) => event.preventDefault());
    $("reset").addEventListener("click", () => this.setOptions(this.result.options));
    setUpList(() => this.refresh());
  }

  // The data that `open` shows, fetched while another screen is in view.
  async load(job) {
    await this.editor.settled(job);
    const result = await getResult(job.id);
    const findings = findingsOf(result);
    const [cut, saved] = await Promise.all([openCut(job, result, findings), findings.editable ? getFeedback(job.id) : { feedback: [], tag: null }]);
    return { result, findings, cut, saved };
  }

  // Synchronous, even while the video is still being fetched, so that nothing of the previous job stays in view or is
  // changed.
  open(job, { result, findings, cut, saved: { feedback, tag } }, file, link) {
    Object.assign(this, { job, file, result, findings, cut, tag, found: [], chosen: null, savedAt: null });
    this.counter = this.transport.open(result.video);
    setLabels(findings.labels);
    resetList(findings.labels);
    this.corrections.reset();
    if (feedback.length) {
      this.corrections.load(merged(feedback), [...result.segments, ...cut.candidates]);
      this.savedAt = feedback.at(-1).at;
    }
    this.openDraft();
    $("result").dataset.task = findings.task;
    $("editing").hidden = $("noting").hidden = !findings.editable;
    $("result-title").textContent = job.source.name;
    this.tags.open(job);
    $("compare").href = `web/compare.html?first=${job.id}`;
    listWarnings(result.warnings ?? [], (seconds) => this.seekFree(seconds));
    $("made").textContent = [say.made(result.model), say.rate(this.counter, result.video), say.track(result.video.audio_track), ...say.metadata(job.options?.metadata)].filter(Boolean).join(" · ");
    document.title = `${job.source.name} · Sentiloc`;
    this.thumbs.open(this.player.open(job, result.video.duration, file), serverPictures(result));
    this.setLoop(false);
    this.timeline.show(findings);
    this.setOptions({ ...result.options, ...optionsOf(link) });
    this.player.seek(Number(link.get("t")) || 0);
    this.drawWave(job, file);
  }

  close() {
    this.player.close();
    this.thumbs.open(null);
  }

  // For printing: the light theme, and the whole video in view.
  print(begins) {
    if (!this.findings || $("result").hidden || Boolean(this.shown) === begins) return;
    const root = document.documentElement;
    const before = { theme: root.dataset.theme, span: this.timeline.span };
    const { theme, span } = begins ? { theme: "light", span: [0, this.findings.duration] } : this.shown;
    this.shown = begins ? before : null;
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
    // The names of the lanes lie where the lanes are drawn, so the timeline is drawn at the paper's width.
    root.toggleAttribute("data-paper", begins);
    this.timeline.restyle();
    this.timeline.resize();
    this.timeline.look(span[0], span[1]);
    this.timeline.paint();
  }

  // Unsaved corrections, or that all were discarded, are kept in this browser until they are saved or undone. A draft
  // remembers what it was made on.
  openDraft() {
    const draft = JSON.parse(store(draftKey(this.job)) ?? "null");
    if (!draft) return;
    this.corrections.restore(draft.doc);
    if (this.corrections.dirty) this.tag = draft.tag;
    // Restored items have new keys, which `settleDraft` compares.
    this.keepDraft();
  }

  keepDraft() {
    const { doc, dirty } = this.corrections;
    store(draftKey(this.job), dirty ? JSON.stringify({ doc, tag: this.tag }) : null);
  }

  // The server has `doc` of this job now. By now, the corrections may be others, and the job in view another.
  saved(job, doc, { at, tag }) {
    if (this.job !== job) return settleDraft(job, doc, tag);
    Object.assign(this, { savedAt: at, tag });
    this.corrections.markSaved(doc);
  }

  // Somebody else saved first: either their corrections are loaded, or ours replace them.
  async takeTheirs() {
    const { job, file } = this;
    const loaded = await this.load(job);
    if (this.job !== job || $("result").hidden) return;
    store(draftKey(job), null);
    this.open(job, loaded, file, new URLSearchParams());
  }

  async replaceTheirs() {
    const { job } = this;
    const { tag } = await getFeedback(job.id);
    if (this.job !== job) return;
    this.tag = tag;
    await this.editor.save();
  }

  // The server's measurement is drawn at once; a file that this browser can decode is then drawn in finer detail.
  async drawWave(job, file) {
    const show = (wave, words = "") => {
      Object.assign(this.timeline, { wave, waveNote: words });
      this.timeline.draw();
    };
    if (!this.findings.hasAudio) return show(null, text.waveNone);
    const { sound } = this.result;
    const served = sound?.loudness.length ? servedWave(sound) : null;
    if (!canDecode(file?.size ?? job.source.bytes, this.findings.duration, Boolean(file))) return show(served, text.waveTooLong);
    show(served, text.waveWaits);
    // The same job may be opened again meanwhile.
    const { opened: { signal }, whole } = this.player;
    const wave = await readWave(job, whole, signal).catch(() => null);
    if (!signal.aborted) show(wave ?? served, text.waveUnread);
  }

  // Options and what they cut

  // The exact options are kept here: a slider stands at its nearest step, and counts only once it is moved.
  setOptions(options) {
    this.options = options;
    for (const name of OPTIONS) {
      // A slider reaches as far as this job's own options need.
      const { dataset } = $(name);
      dataset.reach ??= $(name).max;
      $(name).max = Math.max(Number(dataset.reach), options[name]);
      $(name).value = options[name];
    }
    this.tune();
  }

  slide(name) {
    this.options = { ...this.options, [name]: Number($(name).value) };
    this.tune();
  }

  async tune() {
    const { cut } = this;
    this.refresh();
    if ((await cut.prepare(this.options).catch(() => false)) && cut === this.cut) this.tune();
  }

  refresh() {
    this.found = this.cut.segments(this.options);
    this.segments = this.corrections.segments(this.found);
    const { timeline, chosen } = this;
    timeline.setThings(this.segments, this.corrections.points, chosen);
    this.overview.paint();
    listSegments(this.segments, chosen, this.findings, this.thumbs, (segment) => this.choose(segment));
    summarize(this.segments, this.findings);
    this.inspect();
    this.tellTimeline(this.under);
    this.showOptions();
    this.showCorrections();
  }

  inspect() {
    const thing = this.thing;
    if (this.player.loop && thing?.start !== undefined) this.player.loop = thing;
    inspect(thing, this.findings, this.counter, {
      move: (one, changes) => this.editor.move(one, changes),
      flip: () => this.editor.flip(),
      remove: () => this.editor.remove(),
    });
  }

  showOptions() {
    for (const output of $("tune").querySelectorAll("output")) {
      const name = output.htmlFor.value;
      const value = this.options[name];
      output.textContent = name === "threshold" ? `${percent(value)} %` : `${value.toFixed(2)} s`;
      $(name).setAttribute("aria-valuetext", output.textContent);
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
    $("confirm").disabled = Boolean(corrections.doc?.segments);
    if ($("note").value !== corrections.note) $("note").value = corrections.note;
    $("note-read").textContent = this.editor.able || !corrections.note ? "" : `${text.note}: ${corrections.note}`;
    for (const id of ["theirs", "mine"]) $(id).hidden = true;
    const saved = this.savedAt ? say.savedAt(new Date(this.savedAt * 1000)) : "";
    const points = corrections.points.length ? say.points(corrections.points.length) : "";
    const what = corrections.dirty ? `${text.corrections}: ${text.unsaved}` : corrections.active ? `${text.corrections}: ${saved}` : "";
    $("edited").textContent = [what, points].filter(Boolean).join(" · ");
  }

  // Moving about

  get thing() {
    return [...this.segments, ...this.corrections.points].find((one) => one.key === this.chosen) ?? null;
  }

  // Choosing goes to the segment's first frame, as exports count it, and comes so close that its edges can be grabbed.
  choose(thing, seek = true) {
    this.chosen = thing?.key ?? null;
    this.refresh();
    if (thing && seek) this.player.seek(this.counter.snap(thing.start ?? thing.time));
    if (thing?.start !== undefined) this.timeline.reveal(thing);
  }

  reveal() {
    if (this.thing?.start !== undefined) this.timeline.reveal(this.thing, true);
  }

  // A click outside the segments seeks; the selection stays, so that I and O can move its edges here.
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

  get under() {
    const { now } = this.player;
    return this.segments?.find((one) => one.start <= now && one.end > now);
  }

  tell() {
    const { now, playing } = this.player;
    if (!this.findings) return;
    const { under } = this;
    this.timeline.setTime(now);
    this.transport.tell(under);
    followRow(under);
    if (!playing || Math.floor(now) !== this.told) this.tellTimeline(under);
    this.told = Math.floor(now);
  }

  // For screen readers: every manual step, but once a second during playback.
  tellTimeline(under) {
    const { now, duration } = this.player;
    const line = $("timeline");
    line.setAttribute("aria-valuemax", duration.toFixed(1));
    line.setAttribute("aria-valuenow", now.toFixed(1));
    line.setAttribute("aria-valuetext", say.here(clock(now), under && nameOf(under.label)));
  }

  hover(place) {
    const peak = place?.segment && (place.segment.peak ?? this.findings.peak(place.segment.label, place.segment.start, place.segment.end));
    hoverCard(place, this.timeline, this.findings, peak && this.thumbs.at(peak));
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
    const { label, least } = listFilter();
    const notes = [label ? say.exportOnly(nameOf(label), note) : note, least && say.exportBelow(least, !corrections.doc?.segments)];
    return { id: this.job.id, name: this.job.source.name, query: label ? { ...query, labels: label } : query, note: notes.filter(Boolean).join(" ") };
  }

  get link() {
    const parts = new URLSearchParams(this.query);
    if (this.player.now > 0.05) parts.set("t", this.player.now.toFixed(2));
    const query = parts.toString();
    return `${location.origin}${location.pathname}#${this.job.id}${query && `?${query}`}`;
  }
}

// The saved corrections as the server counts them: marks without segments leave the segments of an earlier save.
function merged(feedback) {
  const last = feedback.at(-1).feedback;
  return { ...last, segments: feedback.findLast((one) => one.feedback.segments)?.feedback.segments ?? null };
}

// After a save of a job that is no longer in view: its draft is removed, or follows the new tag if it has changed since.
function settleDraft(job, doc, tag) {
  const draft = JSON.parse(store(draftKey(job)) ?? "null");
  if (!draft) return;
  const isSaved = JSON.stringify(draft.doc) === JSON.stringify(doc);
  store(draftKey(job), isSaved ? null : JSON.stringify({ ...draft, tag }));
}

// The options that a link sets; values that the server would refuse are ignored.
function optionsOf(link) {
  const isAllowed = (name) => Boolean(link.get(name)) && Number(link.get(name)) >= 0 && Number(link.get(name)) <= MOST[name];
  return Object.fromEntries(OPTIONS.filter(isAllowed).map((name) => [name, Number(link.get(name))]));
}

// Pictures that the server has: for the peaks of the model's own segments.
function serverPictures(result) {
  const { thumbnails = [] } = result;
  const paths = new Map(segmentsOf(result).map(({ peak }, i) => [peak.toFixed(2), thumbnails[i]]));
  return async (seconds) => {
    const path = paths.get(seconds.toFixed(2));
    const picture = path && (await getBlob(path).catch(() => null));
    return picture ? URL.createObjectURL(picture.blob) : null;
  };
}
