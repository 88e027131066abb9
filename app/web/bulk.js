// Results of several jobs in one ZIP file (stored, not compressed), packed in the browser.
import { getBlob, resultPath } from "./api.js";
import { make } from "./dom.js";

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function checksum(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 0xff] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

// Little-endian numbers: [bytes, value] each.
function pack(...fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [size]) => sum + size, 0)));
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return new Uint8Array(view.buffer);
}

const UTF8 = 1 << 11;
const FIRST_DAY = 0x21;

export function zip(files) {
  const [parts, directory] = [[], []];
  let at = 0;
  for (const { name, bytes } of files) {
    const title = new TextEncoder().encode(name);
    const shared = [[2, 20], [2, UTF8], [2, 0], [2, 0], [2, FIRST_DAY], [4, checksum(bytes)], [4, bytes.length], [4, bytes.length], [2, title.length], [2, 0]];
    const head = pack([4, 0x04034b50], ...shared);
    directory.push(pack([4, 0x02014b50], [2, 20], ...shared, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]), title);
    parts.push(head, title, bytes);
    at += head.length + title.length + bytes.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = pack([4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, at], [2, 0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

// Resolves to the number of files, which contain saved corrections. `packed(count)` is called for each.
export async function exportAll(jobs, format, packed) {
  const files = [];
  const taken = new Set();
  for (const job of jobs) {
    const { blob, name } = await getBlob(resultPath(job.id, { format, corrected: true }));
    files.push({ name: unlike(ofModel(name ?? `${job.source.name}.${format}`, job, jobs), taken), bytes: new Uint8Array(await blob.arrayBuffer()) });
    packed(files.length);
  }
  const link = make("a", { href: URL.createObjectURL(zip(files)), download: `sentiloc ${format}.zip` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  return files.length;
}

// With the model's name, if another of the jobs has the results of another model for a video with the same name.
export function ofModel(name, job, jobs) {
  const isCompared = jobs.some((other) => other.source.name === job.source.name && other.model !== job.model);
  return isCompared ? name.replace(/(\.[^.]+)?$/, ` ${job.model}$1`) : name;
}

// A name that is not in `taken`, even on disks that ignore case or the encoding of accents.
export function unlike(name, taken) {
  const folded = (one) => one.normalize("NFC").toLowerCase();
  let found = name;
  for (let count = 2; taken.has(folded(found)); count++) found = name.replace(/(\.[^.]+)?$/, ` (${count})$1`);
  taken.add(folded(found));
  return found;
}
