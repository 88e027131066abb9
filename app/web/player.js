// The video and its clock. Without a playable video, time still moves where the timeline is clicked.
// Events: time (seconds), state.
import { apiKey, getBlob, request, videoPath } from "./api.js";
import { $ } from "./dom.js";
import { text } from "./strings.js";

export class Player extends EventTarget {
  constructor() {
    super();
    this.video = $("video");
    this.now = 0;
    this.loop = null;
    for (const type of ["play", "pause", "ended"]) this.video.addEventListener(type, () => this.emit("state"));
    this.video.addEventListener("click", () => this.toggle());
    this.video.addEventListener("seeked", () => this.tell(this.video.currentTime));
    this.video.addEventListener("error", () => this.video.hasAttribute("src") && this.fail());
    const tick = () => {
      this.tick();
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  emit(type) {
    this.dispatchEvent(new Event(type));
  }

  // Where the video comes from: the file at hand, else the server; a player cannot send a key, so then it is fetched whole.
  async open(job, duration, file) {
    this.duration = duration;
    this.now = 0;
    this.loop = null;
    this.video.hidden = false;
    $("no-video").hidden = true;
    if (this.made) URL.revokeObjectURL(this.made);
    this.made = null;
    const blob = file ?? (apiKey() ? (await getBlob(videoPath(job.id)).catch(() => null))?.blob : null);
    if (blob) this.made = URL.createObjectURL(blob);
    this.source = this.made ?? videoPath(job.id);
    this.video.src = this.source;
    return this.source;
  }

  close() {
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
  }

  async fail() {
    this.video.hidden = true;
    $("no-video").hidden = false;
    const there = await request(this.source, { headers: { Range: "bytes=0-0" } }).then((response) => response.ok, () => false);
    $("no-video").textContent = there ? text.videoUnplayable : text.videoGone;
  }

  get playing() {
    return !this.video.paused && !this.video.ended;
  }

  toggle() {
    if (this.playing) this.video.pause();
    else this.video.play().catch(() => {});
  }

  seek(seconds) {
    const at = Math.min(Math.max(0, seconds), this.duration);
    if (this.video.readyState) this.video.currentTime = at;
    else this.video.addEventListener("loadedmetadata", () => (this.video.currentTime = this.now), { once: true });
    this.tell(at);
  }

  tell(seconds) {
    this.now = seconds;
    this.emit("time");
  }

  tick() {
    if (!this.playing || this.video.seeking) return;
    const { loop } = this;
    if (loop && this.video.currentTime >= loop.end) this.seek(loop.start);
    else this.tell(this.video.currentTime);
  }
}
