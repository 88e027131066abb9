import { JobFailedError } from "./errors.js";
import { type FollowOptions, type JobEvent, follow } from "./events.js";
import { type Call, Http, type Query, type Retries, randomKey, readFile, readJson } from "./http.js";
import { Batches, Keys, Reels, Webhooks } from "./resources.js";
import type {
  CurveBody,
  EmotionResultBody,
  ExpressionResultBody,
  Feedback,
  FeedbackList,
  FormatBody,
  InstalledModel,
  JobBody,
  JobListBody,
  JobOptions,
  JobState,
  KeptFeedback,
  KeyBody,
  LimitsBody,
  ReadyBody,
  ResultBody,
  SeriesCurveBody,
  WebhookLog,
} from "./schema.js";
import { type UploadOptions, uploadFile } from "./uploads.js";

export interface ClientOptions {
  /** Address of the server, with the path of a proxy if there is one: `https://media.example/sentiloc`. */
  server?: string | undefined;
  apiKey?: string | undefined;
  /** Used instead of the global `fetch`. */
  fetch?: typeof fetch | undefined;
  retries?: Retries | undefined;
}

export interface RequestOptions {
  signal?: AbortSignal | undefined;
}

export interface SourceOptions extends RequestOptions {
  options?: JobOptions | undefined;
  /** The same request with the same key creates one job. Default: a new key for each call. */
  idempotencyKey?: string | undefined;
  name?: string | undefined;
}

/** How segments are cut from the stored curve. Omitted options are those of the job. */
export interface Cut {
  threshold?: number | undefined;
  min_length?: number | undefined;
  merge_gap?: number | undefined;
  labels?: readonly string[] | undefined;
  corrected?: boolean | undefined;
}

/** How editing formats count. Omitted options are those of the video. */
export interface Timeline {
  start_timecode?: string | undefined;
  drop_frame?: boolean | undefined;
  fps?: number | undefined;
}

/** Filters of the list of jobs; any other filter of the server can be named, too. */
export interface JobFilters {
  state?: readonly JobState[] | undefined;
  label?: string | undefined;
  created_after?: string | undefined;
  created_before?: string | undefined;
  metadata?: readonly string[] | undefined;
  [other: string]: Query[string];
}

type AnyResult = ResultBody | EmotionResultBody | ExpressionResultBody;

/**
 * A Sentiloc server. Every method throws `ApiError` for a refused request, `ConnectionError` without an answer, and
 * `UnexpectedAnswerError` for an answer that is not one of the API.
 */
export class Sentiloc {
  readonly #http: Http;
  readonly batches: Batches;
  readonly reels: Reels;
  readonly keys: Keys;
  readonly webhooks: Webhooks;

  constructor({ server = "http://127.0.0.1:8000", apiKey, fetch: send, retries = {} }: ClientOptions = {}) {
    this.#http = new Http(server, apiKey, send ?? ((input, init) => fetch(input, init)), retries);
    this.batches = new Batches(this.#http);
    this.reels = new Reels(this.#http);
    this.keys = new Keys(this.#http);
    this.webhooks = new Webhooks(this.#http);
  }

  /** Any request of the API, for operations without a method here; `path` begins with `/v1/`. */
  call(request: Call): Promise<Response> {
    return this.#http.send(request);
  }

  /** Upload a file in chunks, which continue where a connection broke, and create its job. */
  async upload(file: Blob, asked: UploadOptions = {}): Promise<JobBody> {
    const upload = await uploadFile(this.#http, file, asked);
    const json = { upload, ...(asked.options && { options: asked.options }) };
    // An upload has one job at most, so this may be sent again.
    return this.#job({ method: "POST", path: "/v1/localize/upload", json, signal: asked.signal, repeatable: true });
  }

  /** Upload a small file as one form, and create its job. */
  submit(file: Blob, asked: SourceOptions = {}): Promise<JobBody> {
    const body = new FormData();
    if (asked.options) body.append("options", JSON.stringify(asked.options));
    body.append("video", file, asked.name ?? ("name" in file ? String(file.name) : "video"));
    return this.#job({ method: "POST", path: "/v1/localize", body, file, ...keyed(asked) });
  }

  /** Create a job from a video that the server fetches. */
  submitUrl(url: string, asked: SourceOptions = {}): Promise<JobBody> {
    const json = { url, ...(asked.name && { name: asked.name }), ...(asked.options && { options: asked.options }) };
    return this.#job({ method: "POST", path: "/v1/localize/url", json, ...keyed(asked) });
  }

  /** Upload, follow to the end, read the result. Throws `JobFailedError` if there is none. */
  async localize(file: Blob, asked: UploadOptions = {}): Promise<ResultBody> {
    const job = await this.wait((await this.upload(file, asked)).id, asked);
    if (job.state !== "succeeded") throw new JobFailedError(job);
    return this.result(job.id, {}, asked);
  }

  /** The job as it is now. */
  job(id: string, options: RequestOptions = {}): Promise<JobBody> {
    return this.#job({ method: "GET", path: path(id), signal: options.signal });
  }

  /** The job's events until its end: by server-sent events, or by polling where those do not come through. */
  follow(id: string, options: FollowOptions = {}): AsyncGenerator<JobEvent, void> {
    return follow(this.#http, id, options);
  }

  /** The job when it has ended, however it ended. */
  async wait(id: string, options: FollowOptions = {}): Promise<JobBody> {
    for await (const event of this.follow(id, options)) if (event.type === "final") break;
    return this.job(id, options);
  }

  /** The result of a job that looked for sentiment. */
  result(id: string, cut: Cut = {}, options: RequestOptions = {}): Promise<ResultBody> {
    return this.#result<ResultBody>(id, cut, options);
  }

  /** The result of a job with any model; `task` distinguishes the kinds. */
  anyResult(id: string, cut: Cut = {}, options: RequestOptions = {}): Promise<AnyResult> {
    return this.#result<AnyResult>(id, cut, options);
  }

  /** The result as a file in one of `formats()`. */
  render(id: string, format: string, asked: Cut & Timeline = {}, options: RequestOptions = {}): Promise<Blob> {
    const query = { ...asked, format };
    return this.#http.read({ method: "GET", path: path(id, "/result"), query, signal: options.signal }, readFile);
  }

  /** The scores of every snippet. */
  curve(id: string, options: RequestOptions = {}): Promise<CurveBody | SeriesCurveBody> {
    return this.#read({ method: "GET", path: path(id, "/curve"), signal: options.signal });
  }

  /** The picture at the peak of a segment, as a JPEG. */
  thumbnail(id: string, n: number, options: RequestOptions = {}): Promise<Blob> {
    const call = { method: "GET", path: path(id, `/thumbnails/${n}`), signal: options.signal };
    return this.#http.read(call, readFile);
  }

  /** Every job that matches, newest first. */
  async *jobs(filters: JobFilters = {}, options: RequestOptions = {}): AsyncGenerator<JobBody, void> {
    let cursor: string | null = null;
    do {
      const page: JobListBody = await this.jobPage({ limit: 100, ...filters, cursor }, options);
      yield* page.jobs;
      cursor = page.next_cursor;
    } while (cursor !== null);
  }

  /** One page of the jobs, newest first; `limit` and `cursor` are filters, too. */
  jobPage(filters: JobFilters = {}, options: RequestOptions = {}): Promise<JobListBody> {
    const call = { method: "GET", path: "/v1/jobs", query: filters, signal: options.signal };
    return this.#read<JobListBody>(call, "jobs", "next_cursor");
  }

  /** End a job that has not ended. Deletes nothing. */
  cancel(id: string, options: RequestOptions = {}): Promise<JobBody> {
    return this.#job({ method: "POST", path: path(id, "/cancel"), signal: options.signal, repeatable: true });
  }

  /** Delete a job with its files, whatever its state. It is not an error if the job is already deleted. */
  async delete(id: string, options: RequestOptions = {}): Promise<void> {
    // The first request cancels a job that has not ended.
    while (!(await this.#http.remove({ path: path(id), signal: options.signal }, "job_not_found")));
  }

  /** Correct a result. */
  addFeedback(id: string, feedback: Feedback, options: RequestOptions = {}): Promise<KeptFeedback> {
    return this.#read({ method: "POST", path: path(id, "/feedback"), json: feedback, signal: options.signal });
  }

  /** All corrections, oldest first. */
  feedback(id: string, options: RequestOptions = {}): Promise<FeedbackList> {
    return this.#read({ method: "GET", path: path(id, "/feedback"), signal: options.signal });
  }

  /** The deliveries of the job's webhook. */
  deliveries(id: string, options: RequestOptions = {}): Promise<WebhookLog> {
    return this.#read({ method: "GET", path: path(id, "/webhooks"), signal: options.signal });
  }

  /** Send the job's event once more, under the same id. */
  redeliver(id: string, options: RequestOptions = {}): Promise<WebhookLog> {
    return this.#read({ method: "POST", path: path(id, "/webhooks"), signal: options.signal });
  }

  /** The limits of the server. */
  limits(options: RequestOptions = {}): Promise<LimitsBody> {
    return this.#read({ method: "GET", path: "/v1/limits", signal: options.signal });
  }

  /** The models that a job can name. */
  models(options: RequestOptions = {}): Promise<InstalledModel[]> {
    return this.#read({ method: "GET", path: "/v1/models", signal: options.signal });
  }

  /** The formats for `render`. */
  formats(options: RequestOptions = {}): Promise<FormatBody[]> {
    return this.#read({ method: "GET", path: "/v1/formats", signal: options.signal });
  }

  /** The scopes, limits and usage of the caller's key. */
  key(options: RequestOptions = {}): Promise<KeyBody> {
    return this.#read({ method: "GET", path: "/v1/key", signal: options.signal });
  }

  /** Whether a video that is uploaded now will be processed. */
  ready(options: RequestOptions = {}): Promise<ReadyBody> {
    return this.#read({ method: "GET", path: "/readyz", signal: options.signal, accepted: [503] });
  }

  #result<T extends object>(id: string, cut: Cut, options: RequestOptions): Promise<T> {
    const query = { ...cut, format: "json" };
    return this.#read({ method: "GET", path: path(id, "/result"), query, signal: options.signal });
  }

  #job(call: Call): Promise<JobBody> {
    return this.#read<JobBody>(call, "id", "state");
  }

  #read<T extends object>(call: Call, ...fields: (keyof T & string)[]): Promise<T> {
    return this.#http.read(call, (response) => readJson<T>(response, ...fields));
  }
}

function path(id: string, rest = ""): string {
  return `/v1/jobs/${encodeURIComponent(id)}${rest}`;
}

function keyed(asked: SourceOptions): Pick<Call, "headers" | "signal" | "repeatable"> {
  const headers = { "Idempotency-Key": asked.idempotencyKey ?? randomKey() };
  return { headers, signal: asked.signal, repeatable: true };
}
