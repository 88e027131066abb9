// The sentiment timeline: curve and saliency on a canvas, segments as buttons above it.
// Positive is drawn above the axis, negative below; only what is in view is drawn, so two hours cost no more than ten seconds.
import { clock } from "./clock.js";
import { say, text } from "./strings.js";

const FACE_LANE = 8;
const BLOCK_LANE = 34;
const RULER = 18;
const SHORTEST_VIEW = 2;

// The fused curve that segments are cut from: the mean of class × (1 − non-sentiment) and class × saliency.
function fuse(curve, label) {
  return curve[label].map((score, i) => (score * (1 - curve.non_sentiment[i] + curve.saliency[i])) / 2);
}

export class Timeline extends EventTarget {
  constructor(root) {
    super();
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.blocks = root.querySelector("#blocks");
    this.cursor = root.querySelector("#cursor");
    this.readout = root.querySelector("#readout");
    this.view = [0, 1];
    this.segments = [];
    new ResizeObserver(() => this.draw()).observe(root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.listen();
  }

  show(result) {
    if (this.result?.video !== result.video) this.view = [0, result.video.duration];
    this.result = result;
    this.duration = result.video.duration;
    this.curves = { positive: fuse(result.curve, "positive"), negative: fuse(result.curve, "negative") };
    this.setSegments(result.segments);
  }

  setSegments(segments) {
    this.segments = segments;
    this.blocks.replaceChildren(...segments.map((segment) => this.block(segment)));
    this.draw();
  }

  block(segment) {
    const block = document.createElement("button");
    block.type = "button";
    block.className = `block ${segment.label}`;
    block.textContent = `${Math.round(segment.confidence * 100)} %`;
    const name = say.block(text[segment.label], clock(segment.start), clock(segment.end), Math.round(segment.confidence * 100));
    block.setAttribute("aria-label", name);
    block.title = name;
    block.addEventListener("click", (event) => {
      event.stopPropagation();
      this.emit("pick", segment);
    });
    return block;
  }

  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  get width() {
    return this.root.clientWidth;
  }

  x(seconds) {
    return ((seconds - this.view[0]) / (this.view[1] - this.view[0])) * this.width;
  }

  time(x) {
    return this.view[0] + (x / this.width) * (this.view[1] - this.view[0]);
  }

  look(start, end) {
    const length = Math.min(this.duration, Math.max(Math.min(SHORTEST_VIEW, this.duration), end - start));
    const from = Math.min(Math.max(0, start), this.duration - length);
    this.view = [from, from + length];
    this.draw();
  }

  zoom(factor, around = (this.view[0] + this.view[1]) / 2) {
    const [start, end] = this.view;
    this.look(around - (around - start) * factor, around + (end - around) * factor);
  }

  pan(seconds) {
    this.look(this.view[0] + seconds, this.view[1] + seconds);
  }

  fit() {
    this.look(0, this.duration);
  }

  setTime(seconds) {
    this.now = seconds;
    const [start, end] = this.view;
    if (seconds > end || seconds < start) this.look(seconds - (end - start) * 0.1, seconds + (end - start) * 0.9);
    this.placeCursor();
  }

  placeCursor() {
    this.cursor.style.transform = `translateX(${this.x(this.now ?? 0)}px)`;
  }

  draw() {
    if (!this.result || !this.width) return;
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      this.paint();
    });
  }

  paint() {
    const scale = devicePixelRatio || 1;
    const [width, height] = [this.width, this.root.clientHeight];
    if (this.canvas.width !== Math.round(width * scale) || this.canvas.height !== Math.round(height * scale)) {
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    const colour = (name) => getComputedStyle(this.root).getPropertyValue(name);
    const axis = (height - RULER - FACE_LANE) / 2;
    const reach = axis - BLOCK_LANE;
    this.paintSaliency(pen, colour("--saliency"), height - RULER - FACE_LANE);
    this.paintCurve(pen, this.curves.positive, axis, -reach, colour("--positive"));
    this.paintCurve(pen, this.curves.negative, axis, reach, colour("--negative"));
    pen.fillStyle = colour("--line");
    pen.fillRect(0, axis - 0.5, width, 1);
    this.paintFaces(pen, colour("--face"), height - RULER - FACE_LANE);
    this.paintRuler(pen, colour("--ink-soft"), colour("--line"), height);
    this.placeBlocks();
    this.placeCursor();
  }

  // First and last snippet in view, and how many fall on one pixel.
  range() {
    const { step, positive } = this.result.curve;
    const first = Math.max(0, Math.floor(this.view[0] / step) - 1);
    const last = Math.min(positive.length - 1, Math.ceil(this.view[1] / step));
    return [first, last, Math.max(1, Math.floor((last - first) / (this.width * 2)))];
  }

  paintCurve(pen, values, axis, reach, colour) {
    const { step } = this.result.curve;
    const [first, last, stride] = this.range();
    pen.beginPath();
    pen.moveTo(this.x(first * step), axis);
    for (let i = first; i <= last; i += stride) {
      let highest = 0;
      for (let k = i; k < Math.min(i + stride, last + 1); k++) highest = Math.max(highest, values[k]);
      pen.lineTo(this.x((i + 0.5) * step), axis + reach * highest);
    }
    pen.lineTo(this.x((last + 1) * step), axis);
    pen.closePath();
    pen.fillStyle = colour;
    pen.globalAlpha = 0.75;
    pen.fill();
    pen.globalAlpha = 1;
  }

  paintSaliency(pen, colour, height) {
    const { step, saliency } = this.result.curve;
    const [first, last, stride] = this.range();
    pen.fillStyle = colour;
    for (let i = first; i <= last; i += stride) {
      pen.globalAlpha = saliency[i] * 0.35;
      const left = this.x(i * step);
      pen.fillRect(left, 0, this.x((i + stride) * step) - left + 0.5, height);
    }
    pen.globalAlpha = 1;
  }

  paintFaces(pen, colour, top) {
    const { step, face_present: present } = this.result.curve;
    const [first, last, stride] = this.range();
    pen.fillStyle = colour;
    for (let i = first; i <= last; i += stride) {
      if (!present[i]) continue;
      const left = this.x(i * step);
      pen.fillRect(left, top + 2, this.x((i + stride) * step) - left + 0.5, FACE_LANE - 4);
    }
  }

  paintRuler(pen, ink, line, height) {
    const span = this.view[1] - this.view[0];
    const steps = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800];
    const gap = steps.find((seconds) => (seconds / span) * this.width > 70) ?? 3600;
    pen.font = "11px system-ui, sans-serif";
    for (let at = Math.ceil(this.view[0] / gap) * gap; at <= this.view[1]; at += gap) {
      const x = this.x(at);
      pen.fillStyle = line;
      pen.fillRect(x, 0, 1, height - RULER);
      pen.fillStyle = ink;
      pen.fillText(clock(at), Math.min(x + 3, this.width - 36), height - 5);
    }
  }

  placeBlocks() {
    [...this.blocks.children].forEach((block, i) => {
      const { start, end } = this.segments[i];
      const seen = end > this.view[0] && start < this.view[1];
      block.hidden = !seen;
      if (!seen) return;
      const left = Math.max(-4, this.x(start));
      const width = Math.max(4, Math.min(this.width + 4, this.x(end)) - left);
      block.style.transform = `translateX(${left}px)`;
      block.style.width = `${width}px`;
      block.classList.toggle("narrow", width < 36);
    });
  }

  listen() {
    this.root.addEventListener("pointerdown", (event) => this.grab(event));
    this.root.addEventListener("pointermove", (event) => this.hover(event));
    this.root.addEventListener("pointerleave", () => (this.readout.textContent = ""));
    this.root.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const at = this.time(event.clientX - this.root.getBoundingClientRect().left);
        const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
        const distance = ((event.deltaX || event.deltaY) / this.width) * (this.view[1] - this.view[0]);
        if (sideways) this.pan(distance);
        else this.zoom(Math.exp(event.deltaY / 400), at);
      },
      { passive: false },
    );
  }

  // A press that does not move is a jump; one that moves pans.
  grab(event) {
    if (event.button !== 0 || event.target.classList.contains("block")) return;
    const view = [...this.view];
    const from = event.clientX;
    let moved = false;
    const move = (next) => {
      moved ||= Math.abs(next.clientX - from) > 4;
      const shift = ((from - next.clientX) / this.width) * (view[1] - view[0]);
      if (moved) this.look(view[0] + shift, view[1] + shift);
    };
    const drop = (last) => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", drop);
      if (!moved) this.emit("seek", this.time(last.clientX - this.root.getBoundingClientRect().left));
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", drop);
  }

  hover(event) {
    if (!this.result) return;
    const at = this.time(event.clientX - this.root.getBoundingClientRect().left);
    const { step, positive } = this.result.curve;
    const i = Math.min(positive.length - 1, Math.max(0, Math.floor(at / step)));
    const percent = (label) => `${text[label]} ${Math.round(this.curves[label][i] * 100)} %`;
    this.readout.textContent = `${clock(at)} · ${percent("positive")} · ${percent("negative")}`;
  }
}
