// The buttons and fields under the picture: speed, volume, time shown and typed, steps by frames.
import { clock, countBy, parseMoment } from "./clock.js";
import { $, make, percent, store } from "./dom.js";
import { nameOf } from "./labels.js";
import { say, text } from "./strings.js";
import { Counter } from "./timecode.js";

const UNITS = "sentiloc.units";
const SPEEDS = [0.25, 0.5, 0.75, 1, 1.5, 2, 4, 8];

export class Transport {
  constructor(view) {
    this.view = view;
    this.player = view.player;
    this.player.addEventListener("state", () => this.tellState());
    $("speed").replaceChildren(...SPEEDS.map((speed) => new Option(say.speedOf(speed), String(speed), speed === 1, speed === 1)));
    $("speed").addEventListener("change", () => this.player.setSpeed(Number($("speed").value)));
    $("volume").addEventListener("input", () => this.player.setVolume(Number($("volume").value)));
    $("units").replaceChildren(...Object.entries(text.units).map(([name, words]) => new Option(words, name)));
    $("units").value = store(UNITS) === "timecode" ? "timecode" : "clock";
    $("units").addEventListener("change", () => this.recount());
    this.wireTimecode();
    this.tellState();
  }

  wireTimecode() {
    const field = $("timecode");
    field.addEventListener("input", () => field.setCustomValidity(""));
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") field.value = this.counter.format(this.player.now);
      if (event.key === "Escape" || (event.key === "Enter" && this.goTo(field.value))) $("timeline").focus({ preventScroll: true });
    });
    field.addEventListener("blur", () => {
      field.setCustomValidity("");
      this.view.tell();
    });
  }

  // A new video: how its frames are counted.
  open(video) {
    this.counter = new Counter(video);
    this.count();
    return this.counter;
  }

  count() {
    countBy(this.counter, $("units").value === "timecode");
  }

  recount() {
    store(UNITS, $("units").value);
    this.count();
    this.view.refresh();
    this.view.tell();
  }

  // Go to the start of the next or previous picture and pause there, as an editor expects.
  stepFrames(count) {
    this.player.halt();
    this.view.seekFree((this.counter.frame(this.player.now) + count) / this.counter.rate);
  }

  ask() {
    $("timecode").focus();
    $("timecode").select();
  }

  // True if there is such a moment; otherwise the field shows the expected format.
  goTo(written) {
    const { duration } = this.player;
    const seconds = parseMoment(written, this.player.now, duration);
    const wrong = Number.isNaN(seconds);
    $("timecode").setCustomValidity(wrong ? say.badTimecode(this.counter.format(0), this.counter.format(duration)) : "");
    if (wrong) $("timecode").reportValidity();
    else if (this.counter.format(seconds) !== this.counter.format(this.player.now)) this.view.seekFree(seconds);
    return !wrong;
  }

  // `under` is the segment at the playhead.
  tell(under) {
    const { now, duration } = this.player;
    const code = this.counter.format(now);
    if (document.activeElement !== $("timecode")) $("timecode").value = code;
    $("time").replaceChildren(make("b", {}, clock(now, true)), ` / ${clock(duration)}`);
    $("burn").textContent = [code, under && nameOf(under.label)].filter(Boolean).join("  ");
  }

  tellState() {
    const { player } = this;
    $("play").classList.toggle("playing", player.playing);
    $("play").title = player.playing ? text.halt : text.play;
    $("play").setAttribute("aria-label", $("play").title);
    $("pace").textContent = [0, 1].includes(player.pace) ? "" : say.speedOf(player.pace);
    $("speed").value = String(player.speed);
    $("volume").value = String(player.volume);
    $("volume").setAttribute("aria-valuetext", say.confidence(percent(player.volume)));
    $("mute").setAttribute("aria-pressed", String(player.volume === 0));
  }
}
