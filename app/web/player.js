// The video and its clock. Without a playable video, time still moves where the timeline is clicked.
// Events: time (seconds), state.
import { apiKey, asProblem, getBlob, request, videoPath } from "./api.js";
import { $, store } from "./dom.js";
import { text } from "./strings.js";

const FASTEST = 8;
const VOLUME = "sentiloc.volume";

export class Player extends EventTarget {
  constructor() {
    super();
    this.video = $("video");
    this.now = 0;
    this.loop = null;
    this.speed = 1;
    this.back = 0;
    this.frame = 0;
    // The video's bytes if they are available or must be fetched for the player; else null.
    /** @type {Promise<Blob | null>} */
    this.whole = Promise.resolve(null);
    // Whether a moment was selected before the video was loaded.
    this.isAwaited = false;
    this.setVolume(Number(store(VOLUME) ?? 1));
    for (const type of ["play", "pause", "ended", "ratechange", "volumechange"]) this.video.addEventListener(type, () => this.emit("state"));
    this.video.addEventListener("click", () => this.toggle());
    this.video.addEventListener("dblclick", () => this.fullscreen());
    this.video.addEventListener("seeked", () => this.back || this.tell(this.video.currentTime));
    this.video.addEventListener("error", () => this.video.hasAttribute("src") && this.fail());
    // A codec that the browser does not know leaves the picture out and plays the sound.
    this.video.addEventListener("loadedmetadata", () => this.video.videoWidth || this.replacePicture(text.pictureUnplayable));
    this.video.addEventListener("ended", () => this.loop && this.again());
    this.video.addEventListener("loadedmetadata", () => this.arrive());
  }

  emit(type) {
    this.dispatchEvent(new Event(type));
    if (type === "state") this.wake();
  }

  // Animation frames are requested only while it plays, so that an idle page uses no processor time.
  wake() {
    if (this.frame || !this.playing) return;
    let last = performance.now();
    const tick = (at) => {
      this.frame = 0;
      this.tick((at - last) / 1000);
      last = at;
      if (this.playing) this.frame = requestAnimationFrame(tick);
    };
    this.frame = requestAnimationFrame(tick);
  }

  // A loop also restarts at the video's end.
  again() {
    this.seek(this.loop.start);
    this.run(this.speed);
  }

  // Where the video comes from: the file at hand, else the server; a player cannot send a key, so then it is fetched whole.
  // Resolves to that place; to null if the player was closed or opened again before.
  async open(job, duration, file) {
    this.close();
    this.duration = duration;
    this.now = 0;
    this.loop = null;
    this.isAwaited = false;
    this.setSpeed(1);
    this.opened = new AbortController();
    const { signal } = this.opened;
    const mustFetch = !file && apiKey();
    if (mustFetch) this.replacePicture(text.videoFetched);
    this.whole = mustFetch ? getBlob(videoPath(job.id), signal).then(({ blob }) => blob) : Promise.resolve(file);
    const blob = await this.whole.catch(() => null);
    if (signal.aborted) return null;
    this.video.hidden = false;
    $("no-video").hidden = true;
    if (blob) this.made = URL.createObjectURL(blob);
    this.source = this.made ?? videoPath(job.id);
    this.video.src = this.source;
    return this.source;
  }

  close() {
    this.opened?.abort();
    this.halt();
    this.video.removeAttribute("src");
    this.video.load();
    if (this.made) URL.revokeObjectURL(this.made);
    this.made = this.source = null;
  }

  async fail() {
    const { made, source } = this;
    this.replacePicture("");
    const words = made ? text.videoUnplayable : await whyNot(source);
    if (source === this.source) $("no-video").textContent = words;
  }

  replacePicture(words) {
    this.video.hidden = true;
    $("no-video").hidden = false;
    $("no-video").textContent = words;
  }

  get playing() {
    return this.back > 0 || (!this.video.paused && !this.video.ended);
  }

  // The speed: 0 when paused, negative for backwards.
  get pace() {
    if (!this.playing) return 0;
    return this.back ? -this.back : this.video.playbackRate;
  }

  toggle() {
    if (this.playing) this.halt();
    else this.run(this.speed);
  }

  halt() {
    this.back = 0;
    this.video.pause();
    this.emit("state");
  }

  run(pace) {
    this.back = pace < 0 ? -pace : 0;
    if (this.back) this.video.pause();
    else {
      this.video.playbackRate = pace;
      this.video.play().catch(() => {});
    }
    this.emit("state");
  }

  // J and L: each press doubles the speed in its direction; the other direction begins at once.
  shuttle(direction) {
    const { pace } = this;
    const faster = Math.sign(pace) === direction ? Math.min(FASTEST, Math.abs(pace) * 2) : this.speed;
    this.run(direction * faster);
  }

  setSpeed(speed) {
    this.speed = speed;
    if (this.pace > 0) this.run(speed);
    this.emit("state");
  }

  get volume() {
    return this.video.muted ? 0 : this.video.volume;
  }

  setVolume(volume) {
    this.video.volume = Math.min(1, Math.max(0, Number.isFinite(volume) ? volume : 1));
    this.video.muted = this.video.volume === 0;
    store(VOLUME, String(this.video.volume));
  }

  mute() {
    if (this.video.volume === 0) this.setVolume(1);
    else this.video.muted = !this.video.muted;
  }

  fullscreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.video.closest(".screen").requestFullscreen?.().catch(() => {});
  }

  seek(seconds) {
    const at = Math.min(Math.max(0, seconds), this.duration);
    if (this.video.readyState) this.video.currentTime = at;
    else this.isAwaited = true;
    this.tell(at);
  }

  // Seek to the moment that was selected before the video was loaded.
  arrive() {
    if (this.isAwaited) this.video.currentTime = this.now;
    this.isAwaited = false;
  }

  tell(seconds) {
    this.now = seconds;
    this.emit("time");
  }

  tick(passed) {
    if (this.back) return this.rewind(passed);
    // A video that is not loaded yet "plays" at 0, but the selected moment stays.
    if (!this.playing || this.video.seeking || this.isAwaited || !this.video.readyState) return;
    const { loop } = this;
    if (loop && this.video.currentTime >= loop.end) this.seek(loop.start);
    else this.tell(this.video.currentTime);
  }

  // Browsers play forwards only: backwards, pictures are sought one after the other, as fast as they come.
  rewind(passed) {
    const at = this.now - Math.min(passed, 0.25) * this.back;
    if (at <= 0) this.halt();
    if (this.video.seeking) this.tell(Math.max(0, at));
    else this.seek(at);
  }
}

const GONE = [404, 410];

// Why a video of the server does not play. The server redirects to an object store only for a video that is there; the
// redirect is not followed, because the store may have no rule for scripts.
async function whyNot(source) {
  try {
    const response = await request(source, { headers: { Range: "bytes=0-0" }, redirect: "manual" });
    if (response.type === "opaqueredirect") return text.videoUnreached;
    if (response.ok) return text.videoUnplayable;
    return GONE.includes(response.status) ? text.videoGone : (await asProblem(response)).message;
  } catch (error) {
    return error.message;
  }
}
