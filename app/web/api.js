// The HTTP API as the page uses it. Problems (RFC 9457) become errors with their own sentence.
import { pause } from "./dom.js";
import { text } from "./strings.js";

const KEY = "sentiloc.key";
const RETURN = "sentiloc.return";
// Milliseconds within which other tabs must answer.
const OTHER_TABS = 150;
// The page may stand under a path of a proxy, such as /sentiloc/.
const API = new URL("../v1", import.meta.url).pathname;

export class Problem extends Error {
  // `retryAfter` is the header: seconds, or a date, which counts as no wait.
  constructor(body, status, retryAfter) {
    super(body.detail || body.title || `HTTP ${status}`);
    this.code = body.code;
    this.status = status;
    this.retrySeconds = Number(retryAfter) || 0;
  }
}

/** @type {(wasRefused: boolean, told: Promise<string>) => Promise<string>} */
let askForKey = () => Promise.reject(new Error(text.keyElsewhere));
let asking = null;

// `ask(wrong)` shows the field for the key and resolves to the typed text.
export function onKeyNeeded(ask) {
  askForKey = ask;
}

export const apiKey = () => sessionStorage.getItem(KEY);

function withKey(init) {
  const headers = new Headers(init.headers);
  if (apiKey()) headers.set("Authorization", `Bearer ${apiKey()}`);
  return { ...init, headers };
}

/** @param {string | null} used */
async function renewKey(used) {
  if (apiKey() !== used) return;
  asking ??= askTabsFirst(used).finally(() => (asking = null));
  sessionStorage.setItem(KEY, await asking);
}

// A key is kept in the tab, and shared with other tabs of this page that are open at the time; it is never written to disk.
const tabs = new BroadcastChannel("sentiloc.key");
tabs.addEventListener("message", ({ data }) => {
  if (data.wanted && apiKey() && apiKey() !== data.used) tabs.postMessage({ key: apiKey() });
  if (data.forget) forget();
});

// A tab in the background may answer late. Its key then closes the dialog.
async function askTabsFirst(used) {
  let hear = null;
  const told = new Promise((resolve) => {
    hear = ({ data }) => data.key && resolve(data.key);
    tabs.addEventListener("message", hear);
  });
  tabs.postMessage({ wanted: true, used });
  const early = await Promise.race([told, pause(OTHER_TABS)]);
  const key = early || (await askForKey(used !== null, told));
  tabs.removeEventListener("message", hear);
  return key;
}

// The data of a person that this tab stores: the key, and an unfinished cut.
function clearTab() {
  for (const name of Object.keys(sessionStorage)) if (name.startsWith("sentiloc.")) sessionStorage.removeItem(name);
}

function forget() {
  clearTab();
  location.reload();
}

export function logOut() {
  tabs.postMessage({ forget: true });
  forget();
}

// People who sign in with a provider have a cookie instead of a key, which no script can read.
const SIGN_IN = new URL("../signin", import.meta.url).pathname;

/** @returns {Promise<string | null>} the provider's name, where there is one */
export async function provider() {
  const response = await fetch(new URL("../session", import.meta.url)).catch(() => null);
  return response?.ok ? (await response.json()).provider : null;
}

// The provider sends the browser back to the plain page, which then continues where it was.
export function signIn() {
  sessionStorage.setItem(RETURN, location.hash);
  location.assign(SIGN_IN);
}

export function returnFromSignIn() {
  const hash = sessionStorage.getItem(RETURN);
  sessionStorage.removeItem(RETURN);
  if (hash && !location.hash) history.replaceState(null, "", location.pathname + location.search + hash);
}

export async function signOut() {
  const { url } = await post(new URL("../signout", import.meta.url).pathname, {});
  if (!url) return logOut();
  tabs.postMessage({ forget: true });
  clearTab();
  location.assign(url);
}

// Also used for modules that are loaded on demand, because the browsers' own messages name files.
/** @returns {never} */
export function offline(error) {
  throw error.name === "AbortError" ? error : new Error(text.offline);
}

/**
 * Like fetch, but a 401 asks for a key and tries again.
 * @param {string} path
 * @param {RequestInit} init
 * @returns {Promise<Response>}
 */
export async function request(path, init = {}) {
  for (;;) {
    const used = apiKey();
    const response = await fetch(path, withKey(init)).catch(offline);
    if (response.status !== 401) return response;
    await renewKey(used);
  }
}

export async function asProblem(response) {
  return new Problem(await response.json().catch(() => ({})), response.status, response.headers.get("Retry-After"));
}

async function checked(path, init) {
  const response = await request(path, init);
  if (!response.ok) throw await asProblem(response);
  return response;
}

const read = async (path, init) => (await checked(path, init)).json();
const JSON_BODY = { "Content-Type": "application/json" };
const posted = (body, headers = {}) => ({ method: "POST", headers: { ...JSON_BODY, ...headers }, body: JSON.stringify(body) });
const post = (path, body, headers) => read(path, posted(body, headers));
// The answer to a GET of a path of the API, or to a POST if there is a `body`.
export const ask = (path, body = null) => checked(`${API}${path}`, body ? posted(body) : {});

// `crypto.randomUUID` is missing where the page has no TLS.
const randomKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const unanswered = new Map();

// The request that creates a job. A repeated request has the same idempotency key: if an answer is lost, the next
// attempt gets the job that the first one created.
async function order(path, body) {
  const name = path + JSON.stringify(body);
  if (!unanswered.has(name)) unanswered.set(name, randomKey());
  const made = await post(path, body, { "Idempotency-Key": unanswered.get(name) });
  unanswered.delete(name);
  return made;
}

// A job in one of these states stays in it.
export const FINAL = ["succeeded", "failed", "cancelled"];
export const getJob = (id) => read(`${API}/jobs/${id}`);
export const listJobs = (query) => read(`${API}/jobs?${new URLSearchParams(query)}`);
// Cancelling a job that has ended changes nothing.
export const cancelJob = (id) => post(`${API}/jobs/${id}/cancel`, {});
// `changes` is a JSON merge patch of name, metadata and tags.
export const changeJob = (id, changes) => read(`${API}/jobs/${id}`, { method: "PATCH", headers: JSON_BODY, body: JSON.stringify(changes) });
export const countJobs = (query) => read(`${API}/jobs/summary?${new URLSearchParams(query)}`);
export const listReels = (query) => read(`${API}/reels?${new URLSearchParams(query)}`);
// A job that is already gone counts as deleted. For a running job, the first request only cancels it (200).
export async function deleteForGood(id) {
  const once = () => checked(`${API}/jobs/${id}`, { method: "DELETE" });
  try {
    if ((await once()).status === 200) await once();
  } catch (error) {
    if (error.status !== 404) throw error;
  }
}
export const modelCard = async (name) => (await checked(new URL(`cards/${encodeURIComponent(name)}`, import.meta.url).pathname)).text();
export const getLimits = () => read(`${API}/limits`);
export const listModels = () => read(`${API}/models`);
export const formatNames = () => read(`${API}/formats`);
// Feedback has an ETag. A request with an old ETag is refused (412), so that nobody overwrites another person's work.
export async function getFeedback(id) {
  const response = await checked(`${API}/jobs/${id}/feedback`);
  return { ...(await response.json()), tag: response.headers.get("ETag") };
}

export async function sendFeedback(id, feedback, tag) {
  const init = { method: "POST", headers: { ...JSON_BODY, "If-Match": tag }, body: JSON.stringify(feedback) };
  const response = await checked(`${API}/jobs/${id}/feedback`, init);
  return { at: (await response.json()).at, tag: response.headers.get("ETag") };
}

export async function withdrawFeedback(id, tag) {
  const response = await checked(`${API}/jobs/${id}/feedback`, { method: "DELETE", headers: { "If-Match": tag } });
  return { at: null, tag: response.headers.get("ETag") };
}

// Another job for the same video.
export const rerunJob = (id) => order(`${API}/jobs/${id}/rerun`, {});
export const startReel = (cut) => order(`${API}/reels`, cut);
export const makeShare = async (id, seconds) => (await checked(`${API}/jobs/${id}/share?seconds=${seconds}`, { method: "POST" })).json();
export const endShares = (id) => checked(`${API}/jobs/${id}/share`, { method: "DELETE" });

export const UPLOADS = `${API}/uploads`;
export const startJobOfUrl = (source) => order(`${API}/localize/url`, source);
export const startJobOfUpload = (source) => post(`${API}/localize/upload`, source);

export const resultPath = (id, query = {}) => `${API}/jobs/${id}/result?${new URLSearchParams(query)}`.replace(/\?$/, "");
export const getResult = (id, cut = {}) => read(resultPath(id, { ...cut, format: "json" }));
export const videoPath = (id) => `${API}/jobs/${id}/video`;
export const reelPath = (id) => `${API}/reels/${id}/video`;

export const thumbnailPath = (id) => `${API}/jobs/${id}/thumbnails/0`;
export const getKey = () => read(`${API}/key`);

// Rows of the CSV result of the `cut` (parameters and their values), each with its `numbers` and its label.
async function csvRows(id, cut, numbers) {
  const path = resultPath(id, [["format", "csv"], ...cut]);
  const rows = (await (await checked(path)).text()).trim().split(/\r?\n/);
  const names = rows[0].split(",");
  return rows.slice(1).map((line) => {
    const cells = Object.fromEntries(line.split(",").map((cell, i) => [names[i], cell]));
    return { label: cells.label, ...Object.fromEntries(numbers.map((name) => [name, Number(cells[name])])) };
  });
}

// The segments alone, with saved corrections and without the curves: { start, end, label } each.
export const getSegments = (id) => csvRows(id, [["corrected", true]], ["start", "end"]);

// All candidates for segments, before threshold and merging.
export function getCandidates(id, minLength) {
  const cut = [["threshold", 0], ["merge_gap", 0], ["min_length", minLength], ["labels", "negative"], ["labels", "positive"]];
  return csvRows(id, cut, ["start", "end", "confidence", "peak"]);
}

// The file name that the server gives a download; undefined if it gives none.
export function fileName(response) {
  const name = /filename\*=UTF-8''([^;]+)/.exec(response.headers.get("Content-Disposition") ?? "")?.[1];
  return name && decodeURIComponent(name);
}

export async function getBlob(path, signal = null) {
  const response = await checked(path, { signal });
  return { blob: await response.blob(), name: fileName(response) };
}

// Server-sent events through fetch, so that the key can be sent. Yields { id, type, data } until the stream ends.
export async function* events(id, lastId, signal) {
  const headers = lastId ? { "Last-Event-ID": lastId } : {};
  const response = await checked(`${API}/jobs/${id}/events`, { headers, signal });
  if (response.status === 204) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    waiting += value;
    const blocks = waiting.split("\n\n");
    waiting = blocks.pop();
    for (const block of blocks) {
      const event = parseEvent(block);
      if (event) yield event;
    }
  }
}

function parseEvent(block) {
  const fields = Object.fromEntries(
    block.split("\n").filter((line) => !line.startsWith(":")).map((line) => {
      const at = line.indexOf(":");
      return [line.slice(0, at), line.slice(at + 1).trimStart()];
    }),
  );
  return fields.data ? { id: fields.id, type: fields.event, data: JSON.parse(fields.data) } : null;
}
