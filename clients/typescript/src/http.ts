import {
  ApiError,
  ConnectionError,
  SentilocError,
  UnexpectedAnswerError,
  UploadError,
  apiError,
  secondsOf,
} from "./errors.js";

export type Query = Record<string, string | number | boolean | null | undefined | readonly (string | number)[]>;

export interface Call {
  method: string;
  path: string;
  query?: Query | undefined;
  headers?: Record<string, string> | undefined;
  json?: unknown;
  body?: RequestInit["body"] | undefined;
  /** The file in `body`, if `body` is not the file itself. */
  file?: Blob | undefined;
  signal?: AbortSignal | undefined;
  /** Whether sending it twice does the same as sending it once. Default: for every method but POST. */
  repeatable?: boolean | undefined;
  /** Statuses above 299 that are answers, too. */
  accepted?: readonly number[] | undefined;
}

export interface Retries {
  /** How often a request is sent at most. Default: 5. */
  attempts?: number;
  /** Milliseconds before the second time; doubled each time. Default: 500. */
  firstWait?: number;
  /** The longest wait in milliseconds. With a longer `Retry-After`, the error is thrown. Default: 30,000. */
  longestWait?: number;
}

const PASSING = new Set([429, 502, 503, 504]);
/** In milliseconds. A timer with a longer wait would end at once. */
const LONGEST_PAUSE = 2 ** 31 - 1;

/** Sends requests with the key, retries temporary faults, and throws problems as errors. */
export class Http {
  readonly base: string;
  readonly #headers: Record<string, string>;
  readonly #fetch: typeof fetch;
  readonly #retries: Required<Retries>;

  constructor(server: string, apiKey: string | undefined, send: typeof fetch, retries: Retries) {
    const url = addressOf(server);
    this.base = `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
    this.#headers = authorization(url, apiKey);
    this.#fetch = send;
    this.#retries = { attempts: 5, firstWait: 500, longestWait: 30_000, ...retries };
  }

  /** The longest wait in milliseconds that a server may ask for. */
  get longestWait(): number {
    return this.#retries.longestWait;
  }

  /** The address of a path of this API, such as `/v1/jobs`. */
  url(path: string, query: Query = {}): string {
    const asked = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one !== undefined && one !== null) asked.append(name, String(one));
      }
    }
    return `${this.base}${path}${asked.size ? `?${asked}` : ""}`;
  }

  /** The answer. Throws `ApiError`, `ConnectionError` and `UnexpectedAnswerError`. */
  send(call: Call): Promise<Response> {
    return this.read(call, async (response) => response);
  }

  /** The result of `read` on the answer. An answer that breaks off is requested again, like a missing one. */
  async read<T>(call: Call, read: (response: Response) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const isLast = attempt >= this.#retries.attempts;
      const wait = Math.min(this.#retries.firstWait * 2 ** (attempt - 1), this.#retries.longestWait);
      let response: Response;
      try {
        response = await this.once(call);
        if (response.ok || call.accepted?.includes(response.status)) return await read(response);
      } catch (error) {
        if (isLast || !isRepeatable(call) || !(error instanceof ConnectionError)) throw error;
        await pause(wait, call.signal);
        continue;
      }
      const error = await apiError(response);
      const asked = (secondsOf(response.headers.get("Retry-After")) ?? 0) * 1000;
      // A request that gets a 429 was not carried out, so any request may be sent again.
      const mayRepeat = isRepeatable(call) || response.status === 429;
      if (isLast || !PASSING.has(response.status) || !mayRepeat || asked > this.#retries.longestWait) {
        throw isForeign(error) ? unexpected(response, "a problem document") : error;
      }
      await pause(Math.max(wait, asked), call.signal);
    }
  }

  /** Delete something; false if it was only cancelled. The code `gone`, for something already deleted, is no error. */
  async remove(call: Omit<Call, "method">, gone: string): Promise<boolean> {
    try {
      return await this.read({ method: "DELETE", ...call }, async (response) => {
        if (response.status === 204) return true;
        await readJson<{ id: string }>(response, "id");
        return false;
      });
    } catch (error) {
      // Any other 404 comes from a wrong address, where nothing was deleted.
      if (error instanceof ApiError && error.code === gone) return true;
      throw error;
    }
  }

  /** The answer of one attempt, whatever its status, unless it is a redirect. Throws `ConnectionError` without one. */
  async once(call: Call): Promise<Response> {
    const headers: Record<string, string> = { ...this.#headers, ...call.headers };
    if (call.json !== undefined) headers["Content-Type"] = "application/json";
    requireSendable(headers);
    const body = call.json === undefined ? call.body : JSON.stringify(call.json);
    // A redirect turns most other methods into GET, so the creation of a reel would become a list of reels.
    // GET follows redirects, because a file may be in an object store.
    const redirect = call.method === "GET" ? "follow" : "manual";
    const init: RequestInit = { method: call.method, headers, redirect, signal: call.signal ?? null };
    if (body !== undefined) init.body = body;
    let response: Response;
    try {
      response = await this.#fetch(this.url(call.path, call.query), init);
    } catch (error) {
      if (call.signal?.aborted) throw error;
      await requireReadable(call.file ?? call.body);
      throw new ConnectionError(`${call.method} ${this.url(call.path)}: no answer`, { cause: error });
    }
    if (isRedirect(response)) {
      // Browsers do not say where it leads.
      const place = shown(response.headers.get("Location") ?? "another address");
      const detail = `${call.method} ${this.url(call.path)} is redirected to ${place}`;
      throw new UnexpectedAnswerError(`${detail}. Is the server's address right?`);
    }
    return response;
  }
}

/** The server's address; in a page it may be a path. Throws `SentilocError` for a text that is none. */
function addressOf(server: string): URL {
  try {
    // Only for a path: pages without an origin, such as a frame with `sandbox`, have no address to begin with.
    if (server.startsWith("/")) return new URL(server, globalThis.location?.origin);
    return new URL(server.includes("://") ? server : `http://${server}`);
  } catch (error) {
    throw new SentilocError("this is not the address of a server", { cause: error });
  }
}

/** The header with the key. Throws `SentilocError` for a key that cannot be sent; `fetch` would call it no answer. */
function authorization(url: URL, apiKey: string | undefined): Record<string, string> {
  // Without the line end that a key read from a file has.
  const key = (apiKey ?? "").trim();
  if (key !== "" && !/^[\x20-\x7e]+$/.test(key)) {
    throw new SentilocError("the API key has characters that cannot be sent");
  }
  if (url.username === "" && url.password === "") return key === "" ? {} : { Authorization: `Bearer ${key}` };
  // A proxy's password. `fetch` refuses addresses with one, and it takes the header in which a key is usually sent.
  const basic = `Basic ${base64(`${decoded(url.username)}:${decoded(url.password)}`)}`;
  return { Authorization: basic, ...(key && { "X-API-Key": key }) };
}

/** A name or password of an address. One with a bare `%` stays as it is. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Throws `SentilocError` for headers that `fetch` would refuse as if there were no answer. */
function requireSendable(headers: Record<string, string>): void {
  try {
    new Headers(headers);
  } catch (error) {
    throw new SentilocError("a header has characters that cannot be sent", { cause: error });
  }
}

/** Throws `UploadError` if the file cannot be read, which `fetch` reports as if there were no answer. */
async function requireReadable(sent: RequestInit["body"] | undefined): Promise<void> {
  if (!(sent instanceof Blob)) return;
  try {
    await sent.slice(0, 1).arrayBuffer();
  } catch (error) {
    throw new UploadError("The file cannot be read. It has changed, or it is gone.", null, { cause: error });
  }
}

/** A unique key. `crypto.randomUUID` is missing in pages without TLS. */
export function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function base64(text: string): string {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(""));
}

/** Whether another program, such as a proxy, refused. For passing faults and a wrong length the status says enough. */
function isForeign({ code, status }: ApiError): boolean {
  return code === "unknown" && status !== 413 && !PASSING.has(status);
}

/** A URL for people, without a password, and without the query, which may hold a signature. */
function shown(url: string): string {
  return url.replace(/[?#].*$/s, "").replace(/^([a-z][a-z0-9+.-]*:)?\/\/[^/]*@/i, "$1//");
}

function isRedirect({ status, type }: Response): boolean {
  return type === "opaqueredirect" || [301, 302, 303, 307, 308].includes(status);
}

/**
 * The JSON of an answer. Throws `UnexpectedAnswerError` if it is something else, such as a page to log in, or an object
 * without these fields.
 */
export async function readJson<T extends object>(response: Response, ...fields: (keyof T & string)[]): Promise<T> {
  const text = await readBody(response, () => response.text());
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    throw unexpected(response, "JSON");
  }
  if (typeof found !== "object" || found === null || !fields.every((field) => field in found)) {
    throw unexpected(response, ["an object", fields.join(" and ")].filter(Boolean).join(" with "));
  }
  return found as T;
}

/** The file of an answer. */
export function readFile(response: Response): Promise<Blob> {
  requireFile(response);
  return readBody(response, () => response.blob());
}

/** Throws `UnexpectedAnswerError` for a page that a proxy sends instead. The server names its own pages as files. */
export function requireFile(response: Response): void {
  const isPage = /^text\/html\b/i.test(response.headers.get("Content-Type") ?? "");
  if (isPage && !response.headers.has("Content-Disposition")) throw unexpected(response, "a file");
}

/** The result of `read` on an answer. Throws `ConnectionError` if the connection breaks meanwhile. */
export async function readBody<T>(response: Response, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    // `fetch` reports a broken connection as a TypeError; other errors come from an aborted signal.
    if (!(error instanceof TypeError)) throw error;
    throw new ConnectionError(`${shown(response.url)}: the answer broke off`, { cause: error });
  }
}

export function unexpected(response: Response, wanted: string): UnexpectedAnswerError {
  return new UnexpectedAnswerError(
    `${shown(response.url)} answered ${response.status} without ${wanted}. Is this a Sentiloc server?`,
  );
}

function isRepeatable(call: Call): boolean {
  return call.repeatable ?? call.method !== "POST";
}

/** Waits; an aborted signal ends it with the signal's reason. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, Math.min(milliseconds, LONGEST_PAUSE));
    signal?.addEventListener("abort", stop, { once: true });
  });
}
