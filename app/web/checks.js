// Checks of a file before it is sent: whether it is no video, too large, or too long for this server.
import { getLimits } from "./api.js";
import { clock } from "./clock.js";
import { say, text } from "./strings.js";

const HEAD = 65536;
const PATIENCE = 3000;
// Pictures that move (GIF, WebP, APNG) are missing: in a folder they are nearly always still pictures.
const CONTAINERS = /\.(mp4|m4v|mov|qt|3gp|3g2|webm|mkv|avi|ts|mts|m2ts|mxf|wmv|asf|flv|f4v|ogv|ogg|dv|mpg|mpeg|vob|m2v|ivf|y4m)$/i;
// Streams without a fixed start, because junk may come before the first packet.
const LOOSE = /\.(ts|mts|m2ts|mxf|dv|mpg|mpeg|vob|m2v)$/i;
// How the other containers begin, as bytes of Latin-1: Matroska, Ogg, ASF, FLV, MXF, MPEG, GIF, IVF, YUV4MPEG.
const BEGINNINGS = ["\x1aE\xdf\xa3", "OggS", "0&\xb2u", "FLV", "\x06\x0e+4", "\0\0\x01\xba", "\0\0\x01\xb3", "GIF8", "DKIF", "YUV4"];
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

// Recognized by its bytes, as on the server, not by its name. Transport streams may begin with any bytes.
async function isVideo(file) {
  const head = Array.from(new Uint8Array(await file.slice(0, HEAD).arrayBuffer()), (byte) => String.fromCharCode(byte)).join("");
  if (ATOMS.includes(head.slice(4, 8)) || BEGINNINGS.some((beginning) => head.startsWith(beginning))) return true;
  if (head.startsWith("RIFF") && head.startsWith("AVI ", 8)) return true;
  // PNG and WebP files are mostly still pictures: only those with a chunk about their animation may be sent.
  if (head.startsWith("\x89PNG") && head.includes("acTL")) return true;
  if (head.startsWith("WEBP", 8) && head.includes("ANIM")) return true;
  return [0, 4].some((start) => head[start] === "G" && head[start + 188 + start] === "G") || LOOSE.test(file.name);
}

// The length in seconds if this browser can read it; else 0.
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

// The files of a folder that may be videos; the others are skipped without a message each.
export const looksLikeVideo = ({ name, type }) => !name.startsWith(".") && (CONTAINERS.test(name) || type.startsWith("video/"));

// Every file that was dropped, those of folders too: { files, fromFolder }.
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return { files: [...transfer.files], fromFolder: false };
  return { files: (await Promise.all(entries.map(walk))).flat(), fromFolder: true };
}

// The path of a file in the chosen or dropped folder, else its name.
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
