// Handles mouse, touch and wheel on the timeline.
import { room } from "./corrections.js";

const CLICK = 4;
const CLEARANCE = 0.04;
const REACH = { mouse: 6, touch: 14 };

export class Gestures {
  constructor(timeline) {
    this.timeline = timeline;
    this.pointers = new Map();
    this.dragged = null;
    const { root } = timeline;
    root.addEventListener("pointerdown", (event) => this.press(event));
    root.addEventListener("pointermove", (event) => this.hover(event));
    root.addEventListener("pointerleave", () => this.leave());
    root.addEventListener("dblclick", (event) => this.double(event));
    root.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    addEventListener("pointermove", (event) => this.drag(event));
    for (const type of ["pointerup", "pointercancel"]) addEventListener(type, (event) => this.release(event));
  }

  get busy() {
    return this.pointers.size > 0;
  }

  place(event) {
    const box = this.timeline.root.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  wheel(event) {
    const { timeline } = this;
    if (!timeline.findings) return;
    const [x] = this.place(event);
    const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (event.ctrlKey || event.metaKey || event.altKey) timeline.zoom(Math.exp(event.deltaY / 300), timeline.time(x));
    else if (sideways) timeline.pan((event.deltaX || event.deltaY) / timeline.view.scale);
    else return;
    event.preventDefault();
  }

  double(event) {
    const { timeline } = this;
    const [x, y] = this.place(event);
    if (!timeline.findings?.editable || timeline.at(x, y).kind !== "lane" || y > timeline.layout.lanes.down.bottom) return;
    timeline.emit("add", { time: timeline.time(x), label: y < timeline.layout.axis ? "positive" : "negative" });
  }

  press(event) {
    const { timeline } = this;
    if (event.button !== 0 || !timeline.findings) return;
    const [x, y] = this.place(event);
    this.pointers.set(event.pointerId, x);
    this.leave();
    if (this.pointers.size === 2) return this.startPinch();
    const hit = timeline.at(x, y, REACH[event.pointerType] ?? REACH.mouse);
    this.grip = { hit, x, span: [...timeline.span], moved: false, pointer: event.pointerId };
    if (hit.kind === "ruler") timeline.emit("seek", timeline.time(x));
  }

  startPinch() {
    const [a, b] = [...this.pointers.values()];
    this.grip = null;
    this.dragged = null;
    this.pinch = { apart: Math.max(8, Math.abs(a - b)), at: this.timeline.time((a + b) / 2), span: [...this.timeline.span] };
  }

  drag(event) {
    if (!this.pointers.has(event.pointerId)) return;
    const [x] = this.place(event);
    this.pointers.set(event.pointerId, x);
    if (this.pinch && this.pointers.size === 2) return this.spread();
    const { grip, timeline } = this;
    if (!grip) return;
    grip.moved ||= Math.abs(x - grip.x) > CLICK;
    if (!grip.moved) return;
    const { kind } = grip.hit;
    if (kind === "ruler") timeline.emit("seek", timeline.time(x));
    else if (kind === "edge") this.dragEdge(grip.hit, x);
    else this.pull(grip, x);
  }

  spread() {
    const [a, b] = [...this.pointers.values()];
    const { apart, at, span } = this.pinch;
    const factor = apart / Math.max(8, Math.abs(a - b));
    this.timeline.look(at - (at - span[0]) * factor, at + (span[1] - at) * factor);
  }

  pull({ x: from, span }, x) {
    const shift = ((from - x) / this.timeline.width) * (span[1] - span[0]);
    this.timeline.look(span[0] + shift, span[1] + shift);
  }

  // The current segment, because text typed into its fields is applied just after the press.
  dragEdge({ segment: { key }, side }, x) {
    const { timeline } = this;
    const segment = timeline.segments.find((one) => one.key === key);
    if (!segment) return;
    const [low, high] = room(timeline.segments, segment, timeline.duration);
    const to = side === "start"
      ? Math.min(Math.max(low, timeline.time(x)), segment.end - CLEARANCE)
      : Math.max(Math.min(high, timeline.time(x)), segment.start + CLEARANCE);
    this.dragged = { segment, span: { [side]: to } };
    timeline.emit("scrub", to);
    timeline.draw();
  }

  release(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (this.pointers.size < 2) this.pinch = null;
    const { grip, dragged, timeline } = this;
    this.grip = this.dragged = null;
    if (dragged) return timeline.emit("moved", { segment: dragged.segment, ...dragged.span });
    if (grip && !grip.moved && event.type === "pointerup") this.click(grip.hit, timeline.time(grip.x));
  }

  click(hit, time) {
    const thing = hit.segment ?? hit.point;
    if (thing) this.timeline.emit("choose", thing);
    else if (hit.kind === "lane") this.timeline.emit("seek", time);
  }

  hover(event) {
    const { timeline } = this;
    if (!timeline.findings || this.busy || event.pointerType === "touch") return;
    const [x, y] = this.place(event);
    if (x < timeline.left) return this.leave();
    const hit = timeline.at(x, y);
    timeline.root.dataset.under = hit.kind;
    timeline.hair.hidden = false;
    timeline.hair.style.transform = `translateX(${x}px)`;
    timeline.emit("hover", { time: timeline.time(x), x, segment: hit.segment });
  }

  leave() {
    this.timeline.hair.hidden = true;
    this.timeline.emit("hover", null);
  }
}
