// The whole video as a strip, with a frame around what the timeline shows.
import { toneOf } from "./labels.js";
import { density } from "./paint.js";
import { text } from "./strings.js";

// Pixels that the shortest segment of the longest video is tall.
const LEAST = 2;

export class Overview {
  width = 0;

  constructor(root, timeline) {
    this.root = root;
    this.timeline = timeline;
    this.canvas = root.querySelector("canvas");
    this.frame = root.querySelector(".frame");
    new ResizeObserver(() => this.paint()).observe(root);
    timeline.addEventListener("view", () => this.place());
    timeline.addEventListener("restyle", () => this.paint());
    root.addEventListener("pointerdown", (event) => this.press(event));
    root.addEventListener("pointermove", (event) => event.buttons === 1 && this.centre(event));
    root.setAttribute("title", text.overview);
  }

  press(event) {
    this.root.setPointerCapture(event.pointerId);
    this.centre(event);
  }

  centre(event) {
    const box = this.root.getBoundingClientRect();
    const [start, end] = this.timeline.span;
    const at = ((event.clientX - box.left) / box.width) * this.timeline.duration;
    this.timeline.look(at - (end - start) / 2, at + (end - start) / 2);
  }

  // Moved by a transform, because otherwise each frame of panning would trigger a layout of the whole page.
  place() {
    const { span, duration } = this.timeline;
    this.frame.style.width = `${((span[1] - span[0]) / duration) * 100}%`;
    this.frame.style.transform = `translateX(${(span[0] / duration) * this.width}px)`;
  }

  paint() {
    const { findings, colours, segments, layout } = this.timeline;
    if (!findings || !this.root.clientWidth) return;
    const { clientWidth: width, clientHeight: height } = this.root;
    this.width = width;
    const scale = Math.min(2, devicePixelRatio || 1);
    [this.canvas.width, this.canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
    const pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    for (const label of new Set(segments.map((one) => one.label))) {
      const up = findings.side(label) === "up";
      const tall = layout.mirrored ? height / 2 - 3 : height - 6;
      const base = !layout.mirrored ? height - 3 : up ? height / 2 - 1 : height / 2 + 1;
      pen.fillStyle = colours[toneOf(label)];
      density(segments.filter((one) => one.label === label), 0, findings.duration, width).forEach((share, x) => {
        if (share) pen.fillRect(x, up ? base - Math.max(LEAST, share * tall) : base, 1, Math.max(LEAST, share * tall));
      });
    }
    pen.fillStyle = colours.line;
    if (layout.mirrored) pen.fillRect(0, height / 2 - 0.5, width, 1);
    this.place();
  }
}
