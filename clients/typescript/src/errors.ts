import type { JobBody, Problem } from "./schema.js";

/** The base of every error of this client. */
export class SentilocError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** No answer: the server cannot be reached, or the connection broke. */
export class ConnectionError extends SentilocError {}

/**
 * The server refused a request. `code` is stable; `requestId` finds the request in the server's log; `problem` is the
 * whole document.
 */
export class ApiError extends SentilocError {
  readonly status: number;
  readonly code: string;
  readonly requestId: string | null;
  /** Seconds to wait before the request may be sent again; null if the server did not say. */
  readonly retryAfter: number | null;
  readonly problem: Partial<Problem>;

  constructor(status: number, problem: Partial<Problem>, headers: Headers) {
    super(textOf(problem.detail) ?? textOf(problem.title) ?? `HTTP ${status}`);
    this.status = status;
    this.code = textOf(problem.code) ?? "unknown";
    this.requestId = textOf(problem.request_id) ?? headers.get("X-Request-ID");
    this.retryAfter = secondsOf(headers.get("Retry-After"));
    this.problem = problem;
  }
}

/** An answer that is not the API's: another program sent it, such as a proxy that redirects or asks to log in. */
export class UnexpectedAnswerError extends SentilocError {}

/** The job ended without a result. */
export class JobFailedError extends SentilocError {
  constructor(readonly job: JobBody) {
    super(job.error?.detail ?? `The job was ${job.state}.`);
  }

  /** The code of the failure; `cancelled` for a cancelled job. */
  get code(): string {
    return this.job.error?.code ?? this.job.state;
  }
}

/** An upload could not be finished. `uploadId` continues it later. */
export class UploadError extends SentilocError {
  constructor(
    message: string,
    readonly uploadId: string | null,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export async function apiError(response: Response): Promise<ApiError> {
  const problem: unknown = await response.json().catch(() => ({}));
  const known = typeof problem === "object" && problem !== null ? (problem as Partial<Problem>) : {};
  return new ApiError(response.status, known, response.headers);
}

/** A field of a document that another program may have written. */
function textOf(field: unknown): string | undefined {
  return typeof field === "string" ? field : undefined;
}

/** Seconds of a `Retry-After` header, which is a number or a date. */
export function secondsOf(header: string | null): number | null {
  if (header === null || header.trim() === "") return null;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds);
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, (date - Date.now()) / 1000);
}
