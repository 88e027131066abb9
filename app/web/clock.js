// Times as people read and write them: minutes and seconds, or timecode, as chosen.

// Seconds: 1:02.5, or 1:02:03 from an hour on; `fine` gives hundredths.
export function clock(seconds, fine = false) {
  const scale = fine ? 100 : 10;
  const ticks = Math.max(0, Math.round(seconds * scale));
  const [hours, minutes, rest] = [Math.floor(ticks / 3600 / scale), Math.floor(ticks / 60 / scale) % 60, Math.floor(ticks / scale) % 60];
  const two = (value) => String(value).padStart(2, "0");
  const part = ticks % scale;
  const decimals = fine ? `.${two(part)}` : part && !hours ? `.${part}` : "";
  return hours ? `${hours}:${two(minutes)}:${two(rest)}${decimals}` : `${minutes}:${two(rest)}${decimals}`;
}

// The reverse: 75, 1:15, 1:15.5 or 1:02:03 in seconds; NaN for anything else.
export function parseClock(written) {
  if (!/^\s*(\d+:){0,2}\d+([.,]\d+)?\s*$/.test(written)) return NaN;
  return written.replace(",", ".").split(":").reduce((total, part) => total * 60 + Number(part), 0);
}

let counter = null;
let byFrames = false;

// Count as this video does; `frames` shows timecode instead of minutes and seconds.
export function countBy(video, frames) {
  counter = video;
  byFrames = frames;
}

// A moment of the shown video: an edge of a segment, as exports write it.
export const moment = (seconds, fine = false) => (byFrames && counter ? counter.format(seconds, true) : clock(seconds, fine));

// Parses timecode, frames from `now` (+12), or minutes and seconds; NaN for anything else and for times after the end.
export function parseMoment(written, now, duration) {
  const exact = counter?.parse(written, now) ?? NaN;
  const seconds = Number.isNaN(exact) ? parseClock(written) : exact;
  return seconds <= duration + 1e-6 ? Math.max(0, seconds) : NaN;
}
