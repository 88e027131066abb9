import { ApiError, ConnectionError, UnexpectedAnswerError, UploadError, apiError } from "./errors.js";
import { type Http, base64, pause, readJson } from "./http.js";
import type { JobOptions, UploadBody } from "./schema.js";

/** Called with the bytes that the server has stored, and the total. */
export type Progress = (sent: number, total: number) => void;

export interface UploadOptions {
  options?: JobOptions | undefined;
  /** The name of the video; default: the file's own. */
  name?: string | undefined;
  onProgress?: Progress | undefined;
  /** Called with the id of the upload. Keep it, and pass it as `resume` to continue after a restart. */
  onStart?: ((uploadId: string) => void) | undefined;
  /** The id of an upload that was begun earlier with the same file. */
  resume?: string | undefined;
  signal?: AbortSignal | undefined;
  /** Bytes of one request. Default: 8 MiB. Less is sent where a proxy allows less. */
  chunkBytes?: number | undefined;
}

const TUS = { "Tus-Resumable": "1.0.0" };
const CHUNK_BYTES = 8 * 1024 * 1024;
const SMALLEST_CHUNK = 128 * 1024;
const MOST_FAILURES = 8;
const LONGEST_WAIT = 15_000;

/** Sends a file in chunks, with the protocol tus 1.0.0. Returns the id of the complete upload. */
export async function uploadFile(http: Http, file: Blob, asked: UploadOptions): Promise<string> {
  const { signal, onProgress = () => {} } = asked;
  let chunkBytes = asked.chunkBytes ?? CHUNK_BYTES;
  if (!(chunkBytes >= 1)) throw new RangeError("chunkBytes is less than 1");
  const id = asked.resume ?? (await create(http, file, asked));
  asked.onStart?.(id);
  const path = `/v1/uploads/${encodeURIComponent(id)}`;
  let offset = asked.resume === undefined ? 0 : await offsetOf(http, path, file.size, signal);
  onProgress(offset, file.size);
  for (let failures = 0; offset < file.size; ) {
    let wait: number;
    try {
      offset = await sendChunk(http, path, file, offset, chunkBytes, signal);
      onProgress(offset, file.size);
      failures = 0;
      continue;
    } catch (error) {
      if (signal?.aborted) throw error;
      if (isOfProxy(error) && chunkBytes > SMALLEST_CHUNK) {
        chunkBytes = Math.max(SMALLEST_CHUNK, Math.floor(chunkBytes / 4));
        continue;
      }
      failures += 1;
      const least = error instanceof ApiError ? (error.retryAfter ?? 0) * 1000 : 0;
      if (!mayContinue(error) || failures >= MOST_FAILURES || least > http.longestWait) {
        const detail = error instanceof Error ? error.message : String(error);
        throw new UploadError(`The upload stopped at ${offset} of ${file.size} bytes: ${detail}`, id, { cause: error });
      }
      wait = Math.max(least, Math.min(LONGEST_WAIT, 250 * 2 ** failures));
    }
    await pause(wait, signal);
    // The server may have stored part of the chunk, or all of it.
    offset = await offsetOf(http, path, file.size, signal);
    onProgress(offset, file.size);
  }
  return id;
}

async function create(http: Http, file: Blob, asked: UploadOptions): Promise<string> {
  const name = asked.name ?? ("name" in file ? String(file.name) : "video");
  const headers = { ...TUS, "Upload-Length": String(file.size), "Upload-Metadata": `filename ${base64(name)}` };
  // An unused upload expires, so a repeated request does no harm.
  const response = await http.send({ method: "POST", path: "/v1/uploads", headers, signal: asked.signal, repeatable: true });
  const id = response.headers.get("Location")?.split("/").pop();
  if (!id) throw new UploadError("The server named no upload. A proxy may hide its header Location.", null);
  return id;
}

async function sendChunk(
  http: Http,
  path: string,
  file: Blob,
  offset: number,
  chunkBytes: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  const headers = { ...TUS, "Upload-Offset": String(offset), "Content-Type": "application/offset+octet-stream" };
  const body = file.slice(offset, offset + chunkBytes);
  const response = await http.once({ method: "PATCH", path, headers, body, signal });
  if (!response.ok) throw await apiError(response);
  const stored = Number(response.headers.get("Upload-Offset") ?? Number.NaN);
  if (!Number.isInteger(stored)) throw new UploadError("The answer has no Upload-Offset.", null);
  // Otherwise the same chunk would be sent for ever.
  if (stored <= offset || stored > offset + body.size) {
    throw new UploadError(`The answer has the Upload-Offset ${stored} after one of ${offset}.`, null);
  }
  return stored;
}

async function offsetOf(http: Http, path: string, size: number, signal: AbortSignal | undefined): Promise<number> {
  const upload = await http.read({ method: "GET", path, signal }, (response) => readJson<UploadBody>(response, "offset"));
  if (upload.length !== null && upload.length !== size) {
    throw new UploadError(`The upload is of a file with ${upload.length} bytes, this one has ${size}.`, upload.id);
  }
  if (!Number.isInteger(upload.offset) || upload.offset < 0 || upload.offset > size) {
    throw new UnexpectedAnswerError(`The upload has the offset ${upload.offset} of ${size} bytes.`);
  }
  return upload.offset;
}

/** A proxy refuses the length of the request. The server's own refusals have a code. */
function isOfProxy(error: unknown): boolean {
  return error instanceof ApiError && error.status === 413 && error.code === "unknown";
}

function mayContinue(error: unknown): boolean {
  if (error instanceof ConnectionError) return true;
  // Busy with an earlier request, a different offset, too many requests, or a temporary fault.
  return error instanceof ApiError && ([408, 409, 423, 429].includes(error.status) || error.status >= 502);
}

