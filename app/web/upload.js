// Sends a file in one request. Returns { done, abort }.
import { Problem, apiKey } from "./api.js";

export function upload(file, onProgress) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded);
    request.onerror = () => reject(new Error("broken"));
    request.onabort = () => reject(new DOMException("", "AbortError"));
    request.onload = () => {
      const body = JSON.parse(request.responseText);
      if (request.status === 202) resolve(body);
      else reject(new Problem(body, request.status));
    };
    request.open("POST", "/localize");
    if (apiKey()) request.setRequestHeader("Authorization", `Bearer ${apiKey()}`);
    const form = new FormData();
    form.append("video", file, file.name);
    request.send(form);
  });
  return { done, abort: () => request.abort() };
}
