// Sends a file in chunks that can be resumed (tus 1.0.0): a pause, a lost connection or a closed tab loses nothing.
import { Problem, UPLOADS, apiKey, asProblem, request, startJobOfUpload } from "./api.js";
import { pause as wait, store } from "./dom.js";

const VERSION = { "Tus-Resumable": "1.0.0" };
// A proxy may allow less, which its answer 413 shows. Chunks then become smaller, for the following files as well.
let pieceBytes = 32 * 1024 * 1024;
const SMALLEST_PIECE = 128 * 1024;
const RETRIES = [500, 1000, 2000, 4000];
// A busy server states when to retry. The next attempt is made after this time at the latest.
const LONGEST_WAIT = 300_000;
const BUSY = [429, 503];
// Refusals that a retry does not change. After the last two, the bytes that were sent are useless.
const SETTLED = ["quota_exceeded", "storage_quota_exceeded", "storage_full", "upload_used", "upload_elsewhere"];
const USELESS = ["upload_used", "upload_elsewhere"];

const base64 = (text) => btoa(String.fromCodePoint(...new TextEncoder().encode(text)));

// `report.progress(bytes)`, `report.retrying(why)` and `report.paused()` say how it goes, `why` in the words of a
// busy server; `done` resolves to the job's id.
export class Upload {
  constructor(file, options, report) {
    this.file = file;
    this.options = options;
    this.report = report;
    const { model = "", audio_track: track, quality, tags } = options;
    this.memory = ["sentiloc.upload", file.name, file.size, file.lastModified, model, track, quality, tags].filter((part) => part !== undefined).join(" ");
    this.offset = 0;
    // Bytes sent so far, including those of the current chunk.
    this.reached = 0;
    this.failures = 0;
    this.tried = 0;
    this.done = this.run();
  }

  pause() {
    if (this.held) return;
    /** @type {Promise<void> | null} */
    this.held = new Promise((resolve) => (this.goOn = resolve));
    this.sending?.abort();
    this.wake?.();
    this.report.paused(this.offset);
  }

  resume() {
    this.held = null;
    this.goOn?.();
    this.wake?.();
  }

  async cancel() {
    if (this.finished) return;
    this.cancelled = true;
    this.sending?.abort();
    this.resume();
    store(this.memory, null);
    if (this.path) await request(this.path, { method: "DELETE", headers: VERSION }).catch(() => {});
  }

  async run() {
    this.path = store(this.memory);
    let known = false;
    while (!this.cancelled) {
      if (this.held) {
        known = await this.held.then(() => false);
        continue;
      }
      try {
        if (!this.path) await this.create();
        else if (!known) await this.ask();
        known = true;
        while (this.offset < this.file.size && !this.cancelled && !this.held) await this.sendPiece();
        if (!this.held && !this.cancelled) return await this.finish();
      } catch (error) {
        known = false;
        if (!this.held) await this.recover(error);
      }
    }
    throw new DOMException("", "AbortError");
  }

  async recover(error) {
    if (this.cancelled) return;
    // The server's own refusals have a code. Another upload may have reduced the chunk size since this chunk was sent.
    if (error instanceof Problem && error.status === 413 && !error.code && this.tried > SMALLEST_PIECE) {
      pieceBytes = Math.max(SMALLEST_PIECE, Math.min(pieceBytes, this.tried / 4));
      return;
    }
    if (USELESS.includes(error.code)) this.forget();
    if (SETTLED.includes(error.code)) throw error;
    const lost = error instanceof Problem && [404, 410].includes(error.status);
    const passing = !(error instanceof Problem) || error.status >= 500 || [401, 409, 423, 429].includes(error.status);
    if (!lost && !passing) throw error;
    if (lost && !this.path) throw error;
    if (lost) this.forget();
    this.report.retrying(error.code && BUSY.includes(error.status) ? error.message : "");
    const asked = Math.min(1000 * (error.retrySeconds ?? 0), LONGEST_WAIT);
    await this.sleep(Math.max(asked, RETRIES[Math.min(this.failures++, RETRIES.length - 1)]));
  }

  // "Pause", "Resume" and "Cancel" take effect at once.
  sleep(milliseconds) {
    return Promise.race([wait(milliseconds), new Promise((resolve) => (this.wake = () => resolve(null)))]);
  }

  forget() {
    this.path = null;
    this.offset = 0;
    store(this.memory, null);
  }

  async create() {
    const { name, size, type } = this.file;
    const about = [["filename", name], ["filetype", type], ["localize", JSON.stringify(this.options)]].filter(([, value]) => value);
    const headers = {
      ...VERSION,
      "Upload-Length": String(size),
      "Upload-Metadata": about.map(([key, value]) => `${key} ${base64(value)}`).join(","),
    };
    const response = await request(UPLOADS, { method: "POST", headers });
    if (response.status !== 201) throw await asProblem(response);
    this.path = new URL(response.headers.get("Location"), location.origin).pathname;
    this.offset = 0;
    store(this.memory, this.path);
  }

  tell(bytes) {
    this.reached = bytes;
    this.report.progress(bytes);
  }

  // The server's offset. By GET instead of tus's HEAD, because a refused HEAD has no body that explains the reason.
  async ask() {
    const response = await request(this.path, { headers: VERSION, cache: "no-store" });
    if (!response.ok) throw await asProblem(response);
    const { offset, job } = await response.json();
    this.offset = offset;
    this.job = job;
    if (!this.held) this.tell(this.offset);
  }

  // XMLHttpRequest, because fetch reports no upload progress.
  sendPiece() {
    const from = this.offset;
    this.tried = pieceBytes;
    const piece = this.file.slice(from, from + pieceBytes);
    return /** @type {Promise<void>} */ (new Promise((resolve, reject) => {
      const sending = (this.sending = new XMLHttpRequest());
      sending.open("PATCH", this.path);
      /** @type {Record<string, string>} */
      const headers = { ...VERSION, "Upload-Offset": String(from), "Content-Type": "application/offset+octet-stream" };
      if (apiKey()) headers.Authorization = `Bearer ${apiKey()}`;
      for (const [name, value] of Object.entries(headers)) sending.setRequestHeader(name, value);
      sending.upload.onprogress = (event) => this.tell(from + event.loaded);
      sending.onerror = () => reject(new TypeError("broken"));
      sending.onabort = () => reject(new DOMException("", "AbortError"));
      sending.onload = () => {
        if (sending.status !== 204) return reject(new Problem(parse(sending.responseText), sending.status, sending.getResponseHeader("Retry-After")));
        this.offset = Number(sending.getResponseHeader("Upload-Offset"));
        this.job = sending.getResponseHeader("Sentiloc-Job");
        this.failures = 0;
        this.tell(this.offset);
        return resolve();
      };
      sending.send(piece);
    }));
  }

  // The server creates the job by itself when it has all bytes (`localize`); requesting it again creates no second job.
  async finish() {
    const id = this.path.split("/").pop();
    if (!this.job) await startJobOfUpload({ upload: id, options: this.options });
    store(this.memory, null);
    this.finished = true;
    return (this.job ?? id).split("/").pop();
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
