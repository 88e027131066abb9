import type { RequestOptions } from "./client.js";
import {
  type Call,
  type Http,
  type Query,
  pause,
  randomKey,
  readBody,
  readFile,
  readJson,
  requireFile,
  unexpected,
} from "./http.js";
import type {
  ApiKeyBody,
  BatchBody,
  BatchListBody,
  BatchRequest,
  DeliveriesBody,
  KeyListBody,
  KeyRequest,
  NewBatchBody,
  NewKeyBody,
  NewWebhookBody,
  ReelBody,
  ReelListBody,
  ReelRequest,
  SentEvent,
  WebhookBody,
  WebhookChanges,
  WebhookListBody,
  WebhookRequest,
} from "./schema.js";

export interface MakeOptions extends RequestOptions {
  /** The same request with the same key creates one object. Default: a new key for each call. */
  idempotencyKey?: string | undefined;
}

export interface WaitOptions extends RequestOptions {
  /** Milliseconds between two polls. Default: 2,000. */
  interval?: number | undefined;
}

/** One page of a list; `cursor` is the `next_cursor` of the page before. */
export interface PageOptions extends RequestOptions {
  limit?: number | undefined;
  cursor?: string | null | undefined;
}

/** The state and result of one video of a batch. */
export interface BatchLine {
  index: number;
  job_id: string;
  state: string;
  name: string | null;
  result: unknown;
  error: { code: string; detail: string } | null;
}

/** The base of all resources: requests under one path. */
class Resource {
  constructor(
    readonly http: Http,
    readonly root: string,
  ) {}

  protected path(id: string, rest = ""): string {
    return `${this.root}/${encodeURIComponent(id)}${rest}`;
  }

  protected read<T extends object>(
    method: string,
    path: string,
    call: Partial<Call>,
    options: RequestOptions,
    ...fields: (keyof T & string)[]
  ): Promise<T> {
    const whole = { method, path, ...call, signal: options.signal };
    return this.http.read(whole, (response) => readJson<T>(response, ...fields));
  }

  protected file(path: string, call: Partial<Call>, options: RequestOptions): Promise<Blob> {
    return this.http.read({ method: "GET", path, ...call, signal: options.signal }, readFile);
  }

  protected make<T extends object>(json: unknown, options: MakeOptions): Promise<T> {
    const headers = { "Idempotency-Key": options.idempotencyKey ?? randomKey() };
    return this.read("POST", this.root, { json, headers, repeatable: true }, options);
  }

  protected page<T extends object>({ limit, cursor, ...options }: PageOptions): Promise<T> {
    const query: Query = { limit, cursor };
    return this.read("GET", this.root, { query }, options);
  }
}

/** Many videos in one request. */
export class Batches extends Resource {
  constructor(http: Http) {
    super(http, "/v1/batches");
  }

  /** Send many videos: all of them become jobs (`jobs`), or none. */
  create(batch: BatchRequest, options: MakeOptions = {}): Promise<NewBatchBody> {
    return this.make(batch, options);
  }

  /** The batch as it is now. */
  get(id: string, options: RequestOptions = {}): Promise<BatchBody> {
    return this.read<BatchBody>("GET", this.path(id), {}, options, "id", "state");
  }

  /** One page of the batches, newest first. */
  list(options: PageOptions = {}): Promise<BatchListBody> {
    return this.page(options);
  }

  /** The batch when all of its jobs have ended. */
  async wait(id: string, { interval = 2000, ...options }: WaitOptions = {}): Promise<BatchBody> {
    for (;;) {
      const found = await this.get(id, options);
      if (found.state === "finished") return found;
      await pause(interval, options.signal);
    }
  }

  /** The state and result of every video, in order, as they arrive. */
  async *results(id: string, options: RequestOptions = {}): AsyncGenerator<BatchLine, void> {
    const response = await this.http.send({ method: "GET", path: this.path(id, "/results"), signal: options.signal });
    requireFile(response);
    if (response.body === null) return;
    let waiting = "";
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    try {
      for (;;) {
        const { done, value = "" } = await readBody(response, () => reader.read());
        const lines = (waiting + value).split("\n");
        waiting = done ? "" : (lines.pop() ?? "");
        for (const line of lines) if (line) yield parse(response, line);
        if (done) return;
      }
    } finally {
      // A broken stream refuses to be cancelled; its own error is already on its way.
      await reader.cancel().catch(() => {});
    }
  }

  /** All results in one format, as a zip. */
  export(id: string, format: string, options: RequestOptions = {}): Promise<Blob> {
    return this.file(this.path(id, "/export"), { query: { format } }, options);
  }

  /** End the jobs that have not ended. */
  cancel(id: string, options: RequestOptions = {}): Promise<BatchBody> {
    return this.read("POST", this.path(id, "/cancel"), { repeatable: true }, options);
  }

  /** Delete the batch with its jobs, whatever its state. It is not an error if it is already deleted. */
  async delete(id: string, { interval = 500, ...options }: WaitOptions = {}): Promise<void> {
    // The first request cancels what has not ended.
    while (!(await this.http.remove({ path: this.path(id), signal: options.signal }, "batch_not_found"))) {
      await pause(interval, options.signal);
    }
  }
}

/** Clips of several videos, rendered as one MP4. A reel is a job: follow, cancel and delete it as one. */
export class Reels extends Resource {
  constructor(http: Http) {
    super(http, "/v1/reels");
  }

  /** Let the server render clips. */
  create(reel: ReelRequest, options: MakeOptions = {}): Promise<ReelBody> {
    return this.make(reel, options);
  }

  /** The reel as it is now. */
  get(id: string, options: RequestOptions = {}): Promise<ReelBody> {
    return this.read("GET", this.path(id), {}, options);
  }

  /** One page of the reels, newest first. */
  list(options: PageOptions = {}): Promise<ReelListBody> {
    return this.page(options);
  }

  /** The rendered MP4. */
  video(id: string, options: RequestOptions = {}): Promise<Blob> {
    return this.file(this.path(id, "/video"), {}, options);
  }
}

/** API keys. Needs a key with the scope `admin`. */
export class Keys extends Resource {
  constructor(http: Http) {
    super(http, "/v1/keys");
  }

  /** Every key, oldest first. */
  async list(options: RequestOptions = {}): Promise<ApiKeyBody[]> {
    return (await this.read<KeyListBody>("GET", this.root, {}, options, "keys")).keys;
  }

  /** Create a key; its text, `key`, is in this answer only. Not sent again by itself. */
  create(key: KeyRequest, options: RequestOptions = {}): Promise<NewKeyBody> {
    return this.read("POST", this.root, { json: key }, options);
  }

  /** Replace the text of a key; the old one works for `graceSeconds` more. */
  rotate(id: string, graceSeconds = 0, options: RequestOptions = {}): Promise<NewKeyBody> {
    return this.read("POST", this.path(id, "/rotate"), { query: { grace_seconds: graceSeconds } }, options);
  }

  /** Revoke a key permanently; its jobs stay. */
  revoke(id: string, options: RequestOptions = {}): Promise<ApiKeyBody> {
    return this.read("DELETE", this.path(id), {}, options);
  }
}

/** Webhooks that are registered for the caller's key: they get the events of every job and batch. */
export class Webhooks extends Resource {
  constructor(http: Http) {
    super(http, "/v1/webhooks");
  }

  /** The webhooks of the key, oldest first. */
  async list(options: RequestOptions = {}): Promise<WebhookBody[]> {
    return (await this.read<WebhookListBody>("GET", this.root, {}, options, "webhooks")).webhooks;
  }

  /** Register a webhook; its `secret` is in this answer only. Not sent again by itself. */
  create(webhook: WebhookRequest, options: RequestOptions = {}): Promise<NewWebhookBody> {
    return this.read("POST", this.root, { json: webhook }, options);
  }

  /** One webhook. */
  get(id: string, options: RequestOptions = {}): Promise<WebhookBody> {
    return this.read("GET", this.path(id), {}, options);
  }

  /** Change a webhook; what is left out stays. */
  update(id: string, changes: WebhookChanges, options: RequestOptions = {}): Promise<WebhookBody> {
    return this.read("PATCH", this.path(id), { json: changes }, options);
  }

  /** Make a new signing secret; the previous one also signs until the next rotation. */
  rotate(id: string, options: RequestOptions = {}): Promise<NewWebhookBody> {
    return this.read("POST", this.path(id, "/rotate"), {}, options);
  }

  /** Delete a webhook. It is not an error if it is already deleted. */
  async delete(id: string, options: RequestOptions = {}): Promise<void> {
    await this.http.remove({ path: this.path(id), signal: options.signal }, "webhook_not_found");
  }

  /** The last 100 delivery attempts, oldest first. */
  async deliveries(id: string, options: RequestOptions = {}): Promise<SentEvent[]> {
    const path = this.path(id, "/deliveries");
    return (await this.read<DeliveriesBody>("GET", path, {}, options, "deliveries")).deliveries;
  }
}

function parse(response: Response, line: string): BatchLine {
  try {
    return JSON.parse(line) as BatchLine;
  } catch {
    throw unexpected(response, "lines of JSON");
  }
}
