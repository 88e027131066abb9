// Seconds as people read them: 1:02.5, or 1:02:03 from an hour on.
export function clock(seconds) {
  const tenths = Math.max(0, Math.round(seconds * 10));
  const hours = Math.floor(tenths / 36000);
  const minutes = Math.floor(tenths / 600) % 60;
  const rest = Math.floor(tenths / 10) % 60;
  const two = (value) => String(value).padStart(2, "0");
  if (hours) return `${hours}:${two(minutes)}:${two(rest)}`;
  return `${minutes}:${two(rest)}${tenths % 10 ? `.${tenths % 10}` : ""}`;
}
