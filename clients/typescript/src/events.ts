import { ApiError, ConnectionError, UnexpectedAnswerError, secondsOf } from "./errors.js";
import { type Call, type Http, pause, readJson } from "./http.js";
import type { JobBody, JobState } from "./schema.js";

/** An event of a job. `id` resumes after this event; events that were polled have none. */
export interface JobEvent {
  type: string;
  id?: string;
  data: {
    state?: JobState;
    stage?: string | null;
    progress?: number;
    attempt?: number;
    at?: number;
    eta_seconds?: number | null;
    queue_position?: number | null;
    [more: string]: unknown;
  };
}

export interface FollowOptions {
  /** The id of the last event that was received. */
  after?: string | undefined;
  signal?: AbortSignal | undefined;
  /** Poll the state instead of listening to events. */
  poll?: boolean | undefined;
}

const FINAL = new Set<JobState>(["succeeded", "failed", "cancelled"]);
// The server sends a comment every ten seconds. A proxy that buffers holds it back.
const SILENCE = 25_000;
const RECONNECT = 1000;
const MOST_BREAKS = 3;
const LONGEST_EVENT = 2 ** 20;
// Seconds between two polls, whatever the server asks for.
const LONGEST_WAIT = 60;

/** The events of a job until its end: by server-sent events, and by polling where those do not come through. */
export async function* follow(http: Http, id: string, options: FollowOptions = {}): AsyncGenerator<JobEvent, void> {
  const path = `/v1/jobs/${encodeURIComponent(id)}`;
  let last = options.after;
  let breaks = options.poll ? MOST_BREAKS : 0;
  while (breaks < MOST_BREAKS) {
    try {
      for await (const event of listen(http, `${path}/events`, last, options.signal)) {
        breaks = 0;
        last = event.id ?? last;
        yield event;
        if (event.type === "final") return;
      }
    } catch (error) {
      if (options.signal?.aborted) throw error;
      // If the stream is refused, the state can still be polled.
      if (isRefusedStream(error)) breaks = MOST_BREAKS;
      else if (!(error instanceof ConnectionError)) throw error;
    }
    breaks += 1;
    if (breaks < MOST_BREAKS) await pause(RECONNECT, options.signal);
  }
  yield* poll(http, path, options.signal);
}

/** Whether a busy server or another program, such as a proxy, refuses the stream. */
function isRefusedStream(error: unknown): boolean {
  if (error instanceof UnexpectedAnswerError) return true;
  return error instanceof ApiError && (error.status >= 500 || error.status === 429);
}

async function* listen(
  http: Http,
  path: string,
  last: string | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<JobEvent, void> {
  const silent = new AbortController();
  const stop = () => silent.abort(signal?.reason);
  signal?.addEventListener("abort", stop, { once: true });
  let timer = setTimeout(() => silent.abort(), SILENCE);
  try {
    const headers: Record<string, string> = { Accept: "text/event-stream" };
    if (last !== undefined) headers["Last-Event-ID"] = last;
    const response = await http.send({ method: "GET", path, headers, signal: silent.signal });
    if (response.status === 204) {
      yield await finalEvent(http, path.replace(/\/events$/, ""), signal);
      return;
    }
    if (!response.body || !(response.headers.get("Content-Type") ?? "").startsWith("text/event-stream")) {
      throw new ConnectionError(`${path} is no stream of events`);
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let waiting = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE);
      const blocks = (waiting + value).split(/\r?\n\r?\n/);
      waiting = blocks.pop() ?? "";
      if (waiting.length > LONGEST_EVENT) throw new ConnectionError(`${path}: an event has no end`);
      for (const event of blocks.map(parse)) if (event) yield event;
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (error instanceof ApiError || error instanceof UnexpectedAnswerError) throw error;
    throw new ConnectionError(`${path}: the stream broke off`, { cause: error });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
    silent.abort();
  }
}

function parse(block: string): JobEvent | null {
  let type = "message";
  let id: string | undefined;
  const data: string[] = [];
  for (const line of block.split(/\r?\n/)) {
    const [, name, value = ""] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
    if (name === "event") type = value;
    else if (name === "id") id = value;
    else if (name === "data") data.push(value);
  }
  if (!data.length) return null;
  const found: unknown = JSON.parse(data.join("\n"));
  if (typeof found !== "object" || found === null) throw new UnexpectedAnswerError("an event's data is no object");
  const event: JobEvent = { type, data: found as JobEvent["data"] };
  if (id !== undefined) event.id = id;
  return event;
}

async function* poll(http: Http, path: string, signal: AbortSignal | undefined): AsyncGenerator<JobEvent, void> {
  let tag: string | null = null;
  for (;;) {
    const headers: Record<string, string> = tag === null ? {} : { "If-None-Match": tag };
    const call: Call = { method: "GET", path, headers, signal, accepted: tag === null ? [] : [304] };
    const [response, job]: [Response, JobBody | null] = await http.read(call, async (answer) => [
      answer,
      answer.status === 304 ? null : await readJson<JobBody>(answer, "id", "state"),
    ]);
    tag = response.headers.get("ETag") ?? tag;
    if (job !== null) {
      const event = eventOf(job);
      yield event;
      if (event.type === "final") return;
    }
    const asked = secondsOf(response.headers.get("Retry-After")) || 1;
    await pause(Math.min(LONGEST_WAIT, asked) * 1000, signal);
  }
}

async function finalEvent(http: Http, path: string, signal: AbortSignal | undefined): Promise<JobEvent> {
  const call = { method: "GET", path, signal };
  return eventOf(await http.read(call, (response) => readJson<JobBody>(response, "id", "state")));
}

function eventOf(job: JobBody): JobEvent {
  const { state, stage, progress, attempt, queue_position } = job;
  const type = FINAL.has(state) ? "final" : state === "queued" ? "position" : "progress";
  return { type, data: { state, stage, progress, attempt, queue_position, eta_seconds: null } };
}
