import { ConnectionError, apiError, secondsOf } from "./errors.js";

export type Query = Record<string, string | number | boolean | null | undefined | readonly (string | number)[]>;

export interface Call {
  method: string;
  path: string;
  query?: Query | undefined;
  headers?: Record<string, string> | undefined;
  json?: unknown;
  body?: BodyInit | undefined;
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
  /** Milliseconds that a wait lasts at most. A longer `Retry-After` is the caller's to decide. Default: 30,000. */
  longestWait?: number;
}

const PASSING = new Set([429, 502, 503, 504]);

/** Sends requests: with the key, again after passing faults, and with problems as errors. */
export class Http {
  readonly base: string;
  readonly #headers: Record<string, string>;
  readonly #fetch: typeof fetch;
  readonly #retries: Required<Retries>;

  constructor(server: string, apiKey: string | undefined, send: typeof fetch, retries: Retries) {
    const url = new URL(server.includes("://") || server.startsWith("/") ? server : `http://${server}`, pageOrigin());
    this.base = `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
    this.#headers = apiKey === undefined ? {} : { Authorization: `Bearer ${apiKey}` };
    this.#fetch = send;
    this.#retries = { attempts: 5, firstWait: 500, longestWait: 30_000, ...retries };
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

  /** The answer. Throws `ApiError` and `ConnectionError`. */
  async send(call: Call): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      const isLast = attempt >= this.#retries.attempts;
      const wait = Math.min(this.#retries.firstWait * 2 ** (attempt - 1), this.#retries.longestWait);
      let response: Response;
      try {
        response = await this.once(call);
      } catch (error) {
        if (isLast || !isRepeatable(call) || !(error instanceof ConnectionError)) throw error;
        await pause(wait, call.signal);
        continue;
      }
      if (response.ok || call.accepted?.includes(response.status)) return response;
      const error = await apiError(response);
      const asked = (secondsOf(response.headers.get("Retry-After")) ?? 0) * 1000;
      // 429 was not carried out, so it may be sent again whatever it is.
      const mayRepeat = isRepeatable(call) || response.status === 429;
      if (isLast || !PASSING.has(response.status) || !mayRepeat || asked > this.#retries.longestWait) throw error;
      await pause(Math.max(wait, asked), call.signal);
    }
  }

  /** The answer of one try, whatever its status. Throws `ConnectionError` without one. */
  async once(call: Call): Promise<Response> {
    const headers: Record<string, string> = { ...this.#headers, ...call.headers };
    if (call.json !== undefined) headers["Content-Type"] = "application/json";
    const body = call.json === undefined ? call.body : JSON.stringify(call.json);
    const init: RequestInit = { method: call.method, headers, signal: call.signal ?? null };
    if (body !== undefined) init.body = body;
    try {
      return await this.#fetch(this.url(call.path, call.query), init);
    } catch (error) {
      if (call.signal?.aborted) throw error;
      throw new ConnectionError(`${call.method} ${this.url(call.path)}: no answer`, { cause: error });
    }
  }
}

function isRepeatable(call: Call): boolean {
  return call.repeatable ?? call.method !== "POST";
}

function pageOrigin(): string | undefined {
  return "location" in globalThis ? globalThis.location.origin : undefined;
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
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
