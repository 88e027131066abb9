// Seconds as people read them: 1:02.5, or 1:02:03 from an hour on; `fine` gives hundredths.
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
