// The timeline: its view, and the element at a position. Drawing is in paint.js, mouse and touch in gestures.js.
// Events: seek (seconds), choose (thing or null), moved ({ segment, start or end }), add ({ time, label }), view.
import { Backdrop } from "./backdrop.js";
import { Gestures } from "./gestures.js";
import { fillGutter } from "./gutter.js";
import { TONES } from "./labels.js";
import * as paint from "./paint.js";

const SHORTEST_VIEW = 1;
const JUMP = 0.4;
// Narrower segments are drawn as the share of each pixel that they cover.
const NARROW = 3;
// A segment at least this wide has edges that can be grabbed; one that is chosen fills this share of the width.
const GRIP = 40;
const CHOSEN_SHARE = 0.25;
const LOW_WINDOW = 840;
const COLOURS = [...TONES, "saliency", "card", "face", "wave", "line", "ink", "ink-soft", "paper", "on-block"];

export class Timeline extends EventTarget {
  chosen = null;
  backdrop = new Backdrop();

  constructor(root) {
    super();
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.cursor = root.querySelector(".cursor");
    this.hair = root.querySelector(".hair");
    this.span = [0, 1];
    this.segments = [];
    this.points = [];
    this.now = 0;
    new ResizeObserver(() => this.resize()).observe(root);
    addEventListener("resize", () => this.resize());
    this.gestures = new Gestures(this);
    for (const wish of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) matchMedia(wish).addEventListener("change", () => this.restyle());
    this.restyle();
  }

  show(findings) {
    this.findings = findings;
    this.wave = null;
    this.waveNote = "";
    this.duration = findings.duration;
    this.span = [0, this.duration];
    this.layout = null;
    this.resize();
  }

  // Lower lanes in low windows, so that the picture stays large.
  layOut() {
    const layout = paint.layoutOf(this.findings.layout, innerHeight < LOW_WINDOW);
    if (layout === this.layout) return;
    this.layout = layout;
    this.canvas.style.height = `${layout.height}px`;
    fillGutter(this.root.querySelector(".gutter"), this.findings, layout);
  }

  setThings(segments, points, chosen) {
    Object.assign(this, { segments, points, chosen });
    this.draw();
  }

  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // A canvas cannot use CSS variables, so their current values are read.
  restyle() {
    const probe = this.root.appendChild(document.createElement("i"));
    this.colours = {};
    for (const name of COLOURS) {
      probe.style.color = `var(--${name})`;
      this.colours[name] = getComputedStyle(probe).color;
    }
    probe.remove();
    this.draw();
    this.emit("restyle");
  }

  resize() {
    if (this.findings) this.layOut();
    const gutter = parseFloat(getComputedStyle(this.root).getPropertyValue("--gutter")) || 0;
    this.left = gutter;
    this.width = Math.max(1, this.root.clientWidth - gutter);
    this.draw();
  }

  get view() {
    const [start, end] = this.span;
    const { left, width, layout } = this;
    const scale = width / (end - start);
    const side = (label) => this.findings.side(label);
    const editable = Boolean(this.findings?.editable);
    return { start, end, left, width, right: left + width, scale, layout, side, editable, x: (seconds) => left + (seconds - start) * scale };
  }

  time(x) {
    const { start, left, scale } = this.view;
    return Math.min(this.duration, Math.max(0, start + (x - left) / scale));
  }

  look(start, end) {
    const length = Math.min(this.duration, Math.max(Math.min(SHORTEST_VIEW, this.duration), end - start));
    const from = Math.min(Math.max(0, start), this.duration - length);
    this.span = [from, from + length];
    this.draw();
    this.emit("view", this.span);
  }

  zoom(factor, around = this.now) {
    const [start, end] = this.span;
    const at = Math.min(end, Math.max(start, around));
    this.look(at - (at - start) * factor, at + (end - at) * factor);
  }

  pan(seconds) {
    this.look(this.span[0] + seconds, this.span[1] + seconds);
  }

  fit() {
    this.look(0, this.duration);
  }

  // Bring a segment into view, and closer if it is too narrow to be grabbed (or `always`).
  reveal({ start, end }, always = false) {
    const [from, to] = this.span;
    const middle = (start + end) / 2;
    const narrow = (end - start) * this.view.scale < GRIP;
    if (!narrow && !always && start >= from && end <= to) return;
    const length = narrow || always ? (end - start) / CHOSEN_SHARE : Math.max(to - from, (end - start) * 1.2);
    this.look(middle - length / 2, middle + length / 2);
  }

  // During playback, the view scrolls when the playhead leaves it, unless the user has scrolled elsewhere. A jump is
  // always shown.
  setTime(seconds) {
    const [start, end] = this.span;
    const within = (time) => time >= start && time <= end;
    const follow = within(this.now) || Math.abs(seconds - this.now) > JUMP;
    this.now = seconds;
    if (!within(seconds) && follow && !this.gestures.busy) this.look(seconds - (end - start) * 0.1, seconds + (end - start) * 0.9);
    this.placeCursor();
  }

  placeCursor() {
    const x = this.view.x(this.now);
    this.cursor.hidden = x < this.left - 1 || x > this.left + this.width + 1;
    this.cursor.style.transform = `translateX(${x}px)`;
  }

  draw() {
    if (!this.findings || this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      this.paint();
    });
  }

  paint() {
    const scale = Math.min(2, devicePixelRatio || 1);
    const { height } = this.layout;
    const size = [Math.round((this.left + this.width) * scale), Math.round(height * scale)];
    if (this.canvas.width !== size[0] || this.canvas.height !== size[1]) [this.canvas.width, this.canvas.height] = size;
    const pen = this.canvas.getContext("2d");
    const { view, colours } = this;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, view.right, height);
    pen.save();
    pen.beginPath();
    pen.rect(view.left, 0, view.width, height);
    pen.clip();
    this.backdrop.draw(pen, view, scale, this);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    paint.paintRuler(pen, view, colours);
    if (!this.wave) paint.paintNote(pen, view, "wave", this.waveNote, this.nameEnd("wave"), colours["ink-soft"]);
    this.paintThings(pen, view);
    pen.restore();
    this.placeCursor();
  }

  // On a phone the names of the lanes lie in the lanes.
  nameEnd(lane) {
    const { offsetLeft, offsetWidth } = this.root.querySelector(`.gutter .${lane}`);
    return offsetLeft + offsetWidth;
  }

  paintThings(pen, view) {
    const seen = this.segments.filter((one) => one.end > view.start && one.start < view.end);
    const { dragged } = this.gestures;
    const drawn = (one) => (dragged?.segment.key === one.key ? { ...one, ...dragged.span } : one);
    const isNarrow = (one) => one.key !== this.chosen && (one.end - one.start) * view.scale < NARROW;
    paint.paintDensity(pen, view, seen.filter(isNarrow), this.colours);
    for (const one of seen) if (!isNarrow(one)) paint.paintSegment(pen, view, drawn(one), one.key === this.chosen, this.colours);
    if (this.findings.apexes) for (const one of seen) paint.paintApex(pen, view, one, one.key === this.chosen, this.colours);
    for (const one of this.points) paint.paintPoint(pen, view, one, one.key === this.chosen, this.colours);
  }

  // The element at a position: { kind: ruler | edge | segment | point | lane, … }.
  at(x, y, reach = 6) {
    const { view } = this;
    const { lanes, axis } = this.layout;
    if (y < lanes.ruler.bottom) return { kind: "ruler" };
    const near = (seconds) => Math.abs(view.x(seconds) - x) <= reach;
    const point = this.points.find((one) => near(one.time) && Math.abs(y - axis) < 20);
    if (point) return { kind: "point", point };
    const inLane = ({ label }) => (y - lanes[view.side(label)].top) * (lanes[view.side(label)].bottom - y) >= 0;
    const candidates = this.segments.filter((one) => inLane(one) || one.key === this.chosen);
    candidates.sort((a, b) => Number(b.key === this.chosen) - Number(a.key === this.chosen));
    const edged = this.findings.editable && candidates.find((one) => (near(one.start) || near(one.end)) && view.x(one.end) - view.x(one.start) > 6);
    if (edged) {
      const side = Math.abs(view.x(edged.start) - x) < Math.abs(view.x(edged.end) - x) ? "start" : "end";
      return { kind: "edge", segment: edged, side };
    }
    const over = (one) => x >= view.x(one.start) - 2 && x <= view.x(one.end) + 2;
    const segment = this.segments.filter(inLane).find(over);
    return segment ? { kind: "segment", segment } : { kind: "lane" };
  }
}
