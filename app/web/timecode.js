// SMPTE timecode (ST 12-1) as the server counts it (app/formats/timeline.py): legal rates, drop frame, the file's own start.
const WRITTEN = /^(\d{1,2}):([0-5]\d):([0-5]\d)[:;.](\d{2,3})$/;
const BARE = /^\d{7,8}$/;
const FASTEST = 60;
const NTSC = 1001;
// Share of a frame: a time this little before a frame's start counts as in the frame, as players round.
const SLACK = 0.02;

const two = (value) => String(value).padStart(2, "0");

function rateOf({ timebase, fps }) {
  const [over, under = 1] = timebase ? timebase.split("/").map(Number) : nearest(fps);
  return over / under > FASTEST ? [over, under * 2] : [over, under];
}

// Results of old versions state no rate: whole frames a second, or the NTSC rate that is nearer.
function nearest(fps) {
  const whole = Math.max(1, Math.round(fps));
  return Math.abs(fps - (whole * 1000) / NTSC) < Math.abs(fps - whole) ? [whole * 1000, NTSC] : [whole, 1];
}

export class Counter {
  constructor(video) {
    const [over, under] = rateOf(video);
    this.rate = over / under;
    this.nominal = Math.round(this.rate);
    const canDrop = under % NTSC === 0 && this.nominal % 30 === 0;
    this.drops = canDrop && (video.drop_frame ?? (!video.start_timecode || video.start_timecode.includes(";")));
    this.skipped = this.drops ? (2 * this.nominal) / 30 : 0;
    this.day = this.number(24, 0, 0, 0);
    this.first = this.startOf(video);
  }

  // Number of the file's first frame. Its frames field counts at the pictures' own rate.
  startOf({ start_timecode: written, fps }) {
    const parts = written && WRITTEN.exec(written);
    if (!parts) return 0;
    const [hours, minutes, seconds, frames] = parts.slice(1).map(Number);
    const own = Math.max(1, Math.round(fps), frames + 1);
    const scaled = own === this.nominal ? frames : Math.floor((frames * this.nominal) / own);
    const least = minutes % 10 && seconds === 0 ? this.skipped : 0;
    return this.number(hours % 24, minutes, seconds, Math.max(scaled, least));
  }

  number(hours, minutes, seconds, frames) {
    const passed = hours * 60 + minutes;
    return (passed * 60 + seconds) * this.nominal + frames - this.skipped * (passed - Math.floor(passed / 10));
  }

  // The picture that is shown at a moment.
  frame(seconds) {
    return Math.floor(seconds * this.rate + SLACK);
  }

  // The boundary between two frames that is nearest to a moment, in seconds.
  snap(seconds) {
    return Math.round(seconds * this.rate) / this.rate;
  }

  // Timecode of the picture at a moment; `edge`: of the frame boundary nearest to it, as exports write segments.
  format(seconds, edge = false) {
    return this.written((edge ? Math.round(seconds * this.rate) : this.frame(seconds)) + this.first);
  }

  written(frame) {
    const number = ((frame % this.day) + this.day) % this.day;
    const counted = number + this.missing(number);
    const [rest, frames] = [Math.floor(counted / this.nominal), counted % this.nominal];
    const fields = [Math.floor(rest / 3600) % 24, Math.floor(rest / 60) % 60, rest % 60].map(two);
    return `${fields.join(":")}${this.drops ? ";" : ":"}${two(frames)}`;
  }

  // The number of frame numbers that were skipped up to a frame: two (or four) at each minute except every tenth.
  missing(number) {
    if (!this.drops) return 0;
    const minute = this.nominal * 60 - this.skipped;
    const ten = minute * 10 + this.skipped;
    const [tens, rest] = [Math.floor(number / ten), number % ten];
    const minutes = rest < this.skipped ? 0 : Math.floor((rest - this.skipped) / minute);
    return this.skipped * (9 * tens + minutes);
  }

  // Seconds of a timecode; NaN where no frame has it. Also `+12` and `-12`, frames from `now`; and 00000912 for 00:00:09:12.
  parse(text, now = 0) {
    const words = text.trim();
    if (/^[+-]\d+$/.test(words)) return (this.frame(now) + Number(words)) / this.rate;
    const parts = WRITTEN.exec(BARE.test(words) ? words.padStart(8, "0").replace(/(..)(..)(..)(..)/, "$1:$2:$3:$4") : words);
    if (!parts) return NaN;
    const [hours, minutes, seconds, frames] = parts.slice(1).map(Number);
    const number = this.number(hours, minutes, seconds, frames);
    const same = [hours, minutes, seconds, frames].map(two).join(":") === this.written(number).replace(";", ":");
    const from = (number - this.first + this.day) % this.day;
    return hours < 24 && frames < this.nominal && same ? from / this.rate : NaN;
  }
}
