// The HTTP API as the page uses it. Problems (RFC 9457) become errors with their own sentence.
import { say } from "./strings.js";

export class Problem extends Error {
  constructor(body, status) {
    super(body.detail || body.title);
    this.code = body.code;
    this.status = status;
  }
}

async function read(response) {
  const body = await response.json();
  if (!response.ok) throw new Problem(body, response.status);
  return body;
}

export const getJob = async (id) => read(await fetch(`/jobs/${id}`));

export const cancelJob = async (id) => fetch(`/jobs/${id}`, { method: "DELETE" });

export const resultPath = (id, query) => `/jobs/${id}/result?${new URLSearchParams(query)}`;

export const getResult = async (id, query = {}) =>
  read(await fetch(resultPath(id, query), { headers: { Accept: "application/json" } }));

export const formatNames = async () => read(await fetch("/formats"));

// Sends a file; `onProgress(part)` is called with the share that has left. Returns { done, abort }.
export function upload(file, onProgress) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onerror = () => reject(new Error(say.uploadBroke));
    request.onabort = () => reject(new DOMException("", "AbortError"));
    request.onload = () => {
      const body = JSON.parse(request.responseText);
      if (request.status === 202) resolve(body);
      else reject(new Problem(body, request.status));
    };
    request.open("POST", "/localize");
    const form = new FormData();
    form.append("video", file, file.name);
    request.send(form);
  });
  return { done, abort: () => request.abort() };
}
