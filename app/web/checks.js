// What can be said of a file before a byte is sent: that it is no video, too large, or too long for this server.
import { getLimits } from "./api.js";
import { clock } from "./clock.js";
import { say, text } from "./strings.js";

const HEAD = 400;
const PATIENCE = 3000;
const CONTAINERS = /\.(mp4|m4v|mov|qt|3gp|webm|mkv|avi|ts|mts|m2ts)$/i;
const ATOMS = ["ftyp", "moov", "mdat", "wide", "free", "skip", "pnot", "uuid"];

let known = null;
const limits = () => (known ??= getLimits().catch(() => (known = null)));

// Null for a file that may be sent; else { code, message }.
export async function refusal(file) {
  if (!file.size) return { code: "empty_file", message: text.emptyFile };
  if (!(await isVideo(file))) return { code: "unsupported_format", message: text.notVideo };
  const most = await limits();
  if (!most) return null;
  if (file.size > most.max_upload_bytes) return { code: "upload_too_large", message: say.tooLarge(say.size(file.size), say.size(most.max_upload_bytes)) };
  const seconds = await lengthOf(file);
  if (seconds > most.max_duration_seconds) return { code: "limit_exceeded", message: say.tooLong(clock(seconds), clock(most.max_duration_seconds)) };
  return null;
}

// By its bytes, as the server tells, not by its name; transport streams may begin with anything.
async function isVideo(file) {
  const bytes = new Uint8Array(await file.slice(0, HEAD).arrayBuffer());
  const letters = (from, to) => String.fromCharCode(...bytes.slice(from, to));
  if (ATOMS.includes(letters(4, 8)) || letters(0, 4) === "\x1aE\xdf\xa3") return true;
  if (letters(0, 4) === "RIFF" && letters(8, 12) === "AVI ") return true;
  return [[0, 188], [4, 196]].some(([a, b]) => bytes[a] === 0x47 && bytes[b] === 0x47) || /\.(ts|mts|m2ts)$/i.test(file.name);
}

// Seconds, where this browser can tell; else 0.
function lengthOf(file) {
  const video = document.createElement("video");
  const url = URL.createObjectURL(file);
  return new Promise((resolve) => {
    const done = () => {
      resolve(Number.isFinite(video.duration) ? video.duration : 0);
      video.removeAttribute("src");
      video.load();
      URL.revokeObjectURL(url);
    };
    video.addEventListener("loadedmetadata", done, { once: true });
    video.addEventListener("error", done, { once: true });
    setTimeout(done, PATIENCE);
    video.preload = "metadata";
    video.src = url;
  });
}

// Files of a folder that are worth asking about; the others are left out without a word each.
export const looksLikeVideo = ({ name, type }) => !name.startsWith(".") && (CONTAINERS.test(name) || type.startsWith("video/"));

// Every file that was dropped, those of folders too: { files, fromFolder }.
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return { files: [...transfer.files], fromFolder: false };
  return { files: (await Promise.all(entries.map(walk))).flat(), fromFolder: true };
}

// Where a file lies in the folder that was chosen or dropped, else its name.
const places = new WeakMap();
export const placeOf = (file) => places.get(file) || file.webkitRelativePath || file.name;

async function walk(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    places.set(file, entry.fullPath.slice(1));
    return [file];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    found.push(...(await Promise.all(some.map(walk))).flat());
  }
}
