// The sentiment timeline: what is in view, and what mouse, touch and wheel do. Drawing is in paint.js.
// Events: seek (seconds), choose (thing or null), moved ({ segment, start, end }), add ({ time, label }), view.
import { room } from "./corrections.js";
import { LABELS } from "./findings.js";
import * as paint from "./paint.js";

const { LANES } = paint;
const SHORTEST_VIEW = 1;
const CLICK = 4;
const JUMP = 0.4;
const CLEARANCE = 0.04;
const COLOURS = ["positive", "negative", "saliency", "face", "wave", "line", "ink", "ink-soft", "paper", "on-block"];

export class Timeline extends EventTarget {
  constructor(root) {
    super();
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.cursor = root.querySelector(".cursor");
    this.hair = root.querySelector(".hair");
    this.canvas.style.height = `${paint.HEIGHT}px`;
    this.span = [0, 1];
    this.segments = [];
    this.points = [];
    this.pointers = new Map();
    this.now = 0;
    new ResizeObserver(() => this.resize()).observe(root);
    this.listen();
    this.restyle();
  }

  show(findings) {
    this.findings = findings;
    this.wave = null;
    this.waveNote = "";
    this.duration = findings.duration;
    this.span = [0, this.duration];
    this.resize();
  }

  setThings(segments, points, chosen) {
    Object.assign(this, { segments, points, chosen });
    this.draw();
  }

  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // Canvas knows no CSS variables: read what they are just now.
  restyle() {
    const probe = this.root.appendChild(document.createElement("i"));
    this.colours = {};
    for (const name of COLOURS) {
      probe.style.color = `var(--${name})`;
      this.colours[name] = getComputedStyle(probe).color;
    }
    probe.remove();
    this.draw();
  }

  resize() {
    const gutter = parseFloat(getComputedStyle(this.root).getPropertyValue("--gutter")) || 0;
    this.left = gutter;
    this.width = Math.max(1, this.root.clientWidth - gutter);
    this.draw();
  }

  get view() {
    const [start, end] = this.span;
    const { left, width } = this;
    const scale = width / (end - start);
    return { start, end, left, width, right: left + width, scale, x: (seconds) => left + (seconds - start) * scale };
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

  // Playing turns the page when the playhead leaves it; who looks elsewhere is left there. A jump is always shown.
  setTime(seconds) {
    const [start, end] = this.span;
    const within = (time) => time >= start && time <= end;
    const follow = within(this.now) || Math.abs(seconds - this.now) > JUMP;
    this.now = seconds;
    if (!within(seconds) && follow && !this.pointers.size) this.look(seconds - (end - start) * 0.1, seconds + (end - start) * 0.9);
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
    const size = [Math.round((this.left + this.width) * scale), Math.round(paint.HEIGHT * scale)];
    if (this.canvas.width !== size[0] || this.canvas.height !== size[1]) [this.canvas.width, this.canvas.height] = size;
    const pen = this.canvas.getContext("2d");
    const { view, findings, colours } = this;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, view.right, paint.HEIGHT);
    pen.save();
    pen.beginPath();
    pen.rect(view.left, 0, view.width, paint.HEIGHT);
    pen.clip();
    paint.paintSaliency(pen, view, findings, colours.saliency);
    paint.paintRuler(pen, view, colours);
    paint.paintAxis(pen, view, colours);
    for (const label of LABELS) paint.paintCurve(pen, view, findings, label, colours[label]);
    paint.paintFaces(pen, view, findings, colours.face);
    if (this.wave) paint.paintWave(pen, view, this.wave, colours.wave);
    else paint.paintNote(pen, view, "wave", this.waveNote, colours["ink-soft"]);
    this.paintThings(pen, view);
    pen.restore();
    this.placeCursor();
  }

  paintThings(pen, view) {
    const seen = this.segments.filter((one) => one.end > view.start && one.start < view.end);
    const drawn = (one) => (this.dragged?.segment.key === one.key ? { ...one, ...this.dragged.span } : one);
    for (const one of seen) paint.paintSegment(pen, view, drawn(one), one.key === this.chosen, this.colours);
    for (const one of this.points) paint.paintPoint(pen, view, one, one.key === this.chosen, this.colours);
  }

  // What lies under a place: { kind: ruler | edge | segment | point | lane, … }.
  at(x, y, reach = 6) {
    const { view } = this;
    if (y < LANES.ruler.bottom) return { kind: "ruler" };
    const near = (seconds) => Math.abs(view.x(seconds) - x) <= reach;
    const point = this.points.find((one) => near(one.time) && Math.abs(y - LANES.curve.middle) < 20);
    if (point) return { kind: "point", point };
    const inLane = (one) => (y - LANES[one.label].top) * (LANES[one.label].bottom - y) >= 0 || one.key === this.chosen;
    const candidates = this.segments.filter(inLane).sort((a, b) => (b.key === this.chosen) - (a.key === this.chosen));
    const edged = candidates.find((one) => (near(one.start) || near(one.end)) && view.x(one.end) - view.x(one.start) > 6);
    if (edged) {
      const side = Math.abs(view.x(edged.start) - x) < Math.abs(view.x(edged.end) - x) ? "start" : "end";
      return { kind: "edge", segment: edged, side };
    }
    const over = (one) => x >= view.x(one.start) - 2 && x <= view.x(one.end) + 2;
    const segment = this.segments.filter((one) => (y - LANES[one.label].top) * (LANES[one.label].bottom - y) >= 0).find(over);
    return segment ? { kind: "segment", segment } : { kind: "lane" };
  }

  place(event) {
    const box = this.root.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  listen() {
    const { root } = this;
    root.addEventListener("pointerdown", (event) => this.press(event));
    root.addEventListener("pointermove", (event) => this.hover(event));
    root.addEventListener("pointerleave", () => this.leave());
    root.addEventListener("dblclick", (event) => this.double(event));
    root.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    addEventListener("pointermove", (event) => this.drag(event));
    for (const type of ["pointerup", "pointercancel"]) addEventListener(type, (event) => this.release(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.restyle());
  }

  wheel(event) {
    if (!this.findings) return;
    const [x] = this.place(event);
    const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (event.ctrlKey || event.metaKey || event.altKey) this.zoom(Math.exp(event.deltaY / 300), this.time(x));
    else if (sideways) this.pan((event.deltaX || event.deltaY) / this.view.scale);
    else return;
    event.preventDefault();
  }

  double(event) {
    const [x, y] = this.place(event);
    if (!this.findings || this.at(x, y).kind !== "lane" || y > LANES.negative.bottom) return;
    this.emit("add", { time: this.time(x), label: y < LANES.curve.middle ? "positive" : "negative" });
  }

  press(event) {
    if (event.button !== 0 || !this.findings) return;
    const [x, y] = this.place(event);
    this.pointers.set(event.pointerId, x);
    this.leave();
    if (this.pointers.size === 2) return this.startPinch();
    const hit = this.at(x, y, event.pointerType === "touch" ? 14 : 6);
    this.grip = { hit, x, span: [...this.span], moved: false, pointer: event.pointerId };
    if (hit.kind === "ruler") this.emit("seek", this.time(x));
  }

  startPinch() {
    const [a, b] = [...this.pointers.values()];
    this.grip = null;
    this.dragged = null;
    this.pinch = { apart: Math.max(8, Math.abs(a - b)), at: this.time((a + b) / 2), span: [...this.span] };
  }

  drag(event) {
    if (!this.pointers.has(event.pointerId)) return;
    const [x] = this.place(event);
    this.pointers.set(event.pointerId, x);
    if (this.pinch && this.pointers.size === 2) return this.spread();
    const { grip } = this;
    if (!grip) return;
    grip.moved ||= Math.abs(x - grip.x) > CLICK;
    if (!grip.moved) return;
    const { kind } = grip.hit;
    if (kind === "ruler") this.emit("seek", this.time(x));
    else if (kind === "edge") this.dragEdge(grip.hit, x);
    else this.pull(grip, x);
  }

  spread() {
    const [a, b] = [...this.pointers.values()];
    const { apart, at, span } = this.pinch;
    const factor = apart / Math.max(8, Math.abs(a - b));
    this.look(at - (at - span[0]) * factor, at + (span[1] - at) * factor);
  }

  pull({ x: from, span }, x) {
    const shift = ((from - x) / this.width) * (span[1] - span[0]);
    this.look(span[0] + shift, span[1] + shift);
  }

  dragEdge({ segment, side }, x) {
    const [low, high] = room(this.segments, segment, this.duration);
    const span = { start: segment.start, end: segment.end };
    if (side === "start") span.start = Math.min(Math.max(low, this.time(x)), segment.end - CLEARANCE);
    else span.end = Math.max(Math.min(high, this.time(x)), segment.start + CLEARANCE);
    this.dragged = { segment, span };
    this.emit("scrub", span[side]);
    this.draw();
  }

  release(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (this.pointers.size < 2) this.pinch = null;
    const { grip, dragged } = this;
    this.grip = this.dragged = null;
    if (dragged) return this.emit("moved", { segment: dragged.segment, ...dragged.span });
    if (grip && !grip.moved && event.type === "pointerup") this.click(grip.hit, this.time(grip.x));
  }

  click(hit, time) {
    const thing = hit.segment ?? hit.point;
    if (thing) this.emit("choose", thing);
    else if (hit.kind === "lane") this.emit("seek", time);
  }

  hover(event) {
    if (!this.findings || this.pointers.size || event.pointerType === "touch") return;
    const [x, y] = this.place(event);
    if (x < this.left) return this.leave();
    const hit = this.at(x, y);
    this.root.dataset.under = hit.kind;
    this.hair.hidden = false;
    this.hair.style.transform = `translateX(${x}px)`;
    this.emit("hover", { time: this.time(x), x, segment: hit.segment });
  }

  leave() {
    this.hair.hidden = true;
    this.emit("hover", null);
  }
}
