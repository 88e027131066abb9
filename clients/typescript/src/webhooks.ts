import { SentilocError } from "./errors.js";
import type { JobBody } from "./schema.js";

/** The body of a webhook. Later versions may add types. */
export interface WebhookEvent {
  type: "job.succeeded" | "job.failed" | "job.cancelled" | (string & {});
  timestamp: string;
  data: JobBody;
}

export interface VerifyOptions {
  /** Seconds that the event may be old or early. Default: 300. */
  tolerance?: number | undefined;
  /** The present time in Unix seconds; for tests. */
  now?: number | undefined;
}

/** The request is not an event of this server. */
export class WebhookError extends SentilocError {}

type Incoming = Headers | Record<string, string | string[] | undefined>;

/**
 * The event of a webhook request, if one of the secrets signed it (Standard Webhooks, HMAC-SHA256).
 *
 * `body` is the body as it came, before any parsing. Throws `WebhookError`.
 */
export async function verifyWebhook(
  secrets: string | readonly string[],
  headers: Incoming,
  body: string | Uint8Array,
  options: VerifyOptions = {},
): Promise<WebhookEvent> {
  const [id, time, signatures] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) => read(headers, name));
  if (!id || !time || !signatures) throw new WebhookError("The request is no signed webhook.");
  const age = (options.now ?? Date.now() / 1000) - Number(time);
  if (!/^\d+$/.test(time) || Math.abs(age) > (options.tolerance ?? 300)) {
    throw new WebhookError("The webhook is too old, or its time is in the future.");
  }
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const signed = concat(new TextEncoder().encode(`${id}.${time}.`), bytes);
  for (const secret of typeof secrets === "string" ? [secrets] : secrets) {
    const key = await importKey(secret);
    for (const signature of signatures.split(" ")) {
      const given = signature.startsWith("v1,") ? decode(signature.slice(3)) : null;
      if (given && (await crypto.subtle.verify("HMAC", key, given, signed))) {
        return JSON.parse(new TextDecoder().decode(bytes)) as WebhookEvent;
      }
    }
  }
  throw new WebhookError("The webhook is not signed by one of these secrets.");
}

function read(headers: Incoming, name: string): string | null {
  if (headers instanceof Headers) return headers.get(name);
  const found = Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  return (Array.isArray(found) ? found[0] : found) ?? null;
}

function importKey(secret: string): Promise<CryptoKey> {
  const bytes = decode(secret.replace(/^whsec_/, ""));
  if (!bytes?.length) throw new WebhookError("A secret is `whsec_` and base64.");
  return crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
}

function decode(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}
