// The options of a new video: the model, if the server has several, the sound track, and the quality.
import { listModels } from "./api.js";
import { $ } from "./dom.js";
import { say, text } from "./strings.js";

let models = [];

// Fetched once; without an answer the server's default is used silently.
export async function setUpModels() {
  if (models.length) return;
  models = await listModels().catch(() => []);
  const first = models.toSorted((a, b) => b.is_default - a.is_default);
  $("model").replaceChildren(...first.map(({ name, task }) => new Option(say.model(task, name), name)));
  $("model-choice").hidden = models.length < 2;
}

const MOST_TRACKS = 8;

// The sound track to use, because editors' files have several.
export function setUpTracks() {
  const numbers = Array.from({ length: MOST_TRACKS }, (_, i) => String(i + 1));
  $("audio_track").replaceChildren(new Option(text.trackAuto, ""), ...numbers.map((number) => new Option(say.trackNumber(number), number)));
}

export function setUpQuality() {
  $("quality").replaceChildren(new Option(text.qualityFull, "full"), new Option(text.qualityDraft, "draft"));
}

// Options of a job with the chosen model, sound track and quality; none where they are the defaults.
export function jobOptions() {
  const chosen = models.find(({ name }) => name === $("model").value);
  const model = chosen && !chosen.is_default ? { model: chosen.name } : {};
  const track = Number($("audio_track").value);
  const quality = $("quality").value === "draft" ? { quality: "draft" } : {};
  return { ...model, ...(track ? { audio_track: track } : {}), ...quality };
}

export const isDefault = (name) => models.every((model) => model.name !== name || model.is_default);
