// Which model a new video is for, where the server has several.
import { listModels } from "./api.js";
import { $ } from "./dom.js";
import { say } from "./strings.js";

let models = [];

// Once; without an answer the server's default is used, and nothing is said.
export async function setUpModels() {
  if (models.length) return;
  models = await listModels().catch(() => []);
  const first = models.toSorted((a, b) => b.is_default - a.is_default);
  $("model").replaceChildren(...first.map(({ name, task }) => new Option(say.model(task, name), name)));
  $("model-choice").hidden = models.length < 2;
}

// Options of a job with the chosen model; none where it is the default.
export function jobOptions() {
  const chosen = models.find(({ name }) => name === $("model").value);
  return chosen && !chosen.is_default ? { model: chosen.name } : {};
}

export const isDefault = (name) => models.every((model) => model.name !== name || model.is_default);
