// Pictures of moments: from the video in the browser, one after the other, each only when it comes into view.
import { pause } from "./dom.js";

const WIDTH = 172;
const PATIENCE = 8000;
const FRAME_PATIENCE = 400;

export class Thumbs {
  constructor() {
    this.video = document.createElement("video");
    // Pictures of a video that comes from an object store can be read only if the store allows it.
    Object.assign(this.video, { muted: true, preload: "auto", playsInline: true, crossOrigin: "anonymous" });
    this.pictures = new Map();
    this.queue = [];
    this.watcher = new IntersectionObserver((entries) => this.seen(entries));
  }

  // A new video: drop the previous pictures. `source` resolves to its URL, or to null if there is none.
  // `known(seconds)` may give a path of a picture that the server has.
  open(source, known = (_seconds) => null) {
    for (const picture of this.pictures.values()) if (picture.startsWith("blob:")) URL.revokeObjectURL(picture);
    this.pictures.clear();
    this.queue = [];
    this.known = known;
    this.source = source;
    this.video.removeAttribute("src");
  }

  at(seconds) {
    return this.pictures.get(seconds.toFixed(2));
  }

  // Fill `image` with the picture of that moment, as soon as it is in view.
  fill(image, seconds) {
    image.dataset.at = seconds.toFixed(2);
    const have = this.at(seconds);
    if (have) image.src = have;
    else this.watcher.observe(image);
  }

  // The list is rebuilt, so its previous pictures need no longer be observed.
  forget() {
    this.watcher.disconnect();
  }

  seen(entries) {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      this.watcher.unobserve(target);
      this.queue.push(target);
    }
    if (!this.busy) this.work();
  }

  async work() {
    this.busy = true;
    while (this.queue.length) {
      const image = this.queue.shift();
      if (!image.isConnected) continue;
      const { at } = image.dataset;
      const { source } = this;
      try {
        const picture = this.pictures.get(at) ?? (await this.known(Number(at))) ?? (await this.grab(Number(at)));
        if (source !== this.source) continue;
        this.pictures.set(at, picture);
        image.src = picture;
      } catch {
        // No picture for this moment; the server may have pictures of others.
      }
    }
    this.busy = false;
  }

  async grab(seconds) {
    const { source, video } = this;
    const place = await source;
    if (!place || source !== this.source) throw new Error("no video");
    if (!video.src) video.src = place;
    if (video.error) throw video.error;
    await once(video, video.readyState >= 1 ? null : "loadedmetadata");
    const shown = video.requestVideoFrameCallback && new Promise((resolve) => video.requestVideoFrameCallback(resolve));
    video.currentTime = Math.min(seconds, video.duration - 0.05);
    await once(video, "seeked");
    await Promise.race([shown, pause(FRAME_PATIENCE)]);
    const canvas = document.createElement("canvas");
    canvas.width = WIDTH;
    canvas.height = Math.round((WIDTH * video.videoHeight) / video.videoWidth);
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.7));
    return URL.createObjectURL(blob);
  }
}

function once(target, type) {
  if (!type) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const late = setTimeout(reject, PATIENCE);
    const done = (act) => () => {
      clearTimeout(late);
      act();
    };
    target.addEventListener(type, done(resolve), { once: true });
    target.addEventListener("error", done(reject), { once: true });
  });
}
