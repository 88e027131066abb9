// The options of a new video: the model, if the server has several, the sound track, the quality, and its tags.
import { listModels } from "./api.js";
import { $ } from "./dom.js";
import { say, text } from "./strings.js";
import { readTags } from "./tags.js";

let models = [];

// Fetched once; without an answer the server's default is used silently.
export async function setUpModels() {
  if (models.length) return;
  models = await listModels().catch(() => []);
  const first = models.toSorted((a, b) => b.is_default - a.is_default);
  $("model").replaceChildren(...first.map(option));
  $("model-choice").hidden = models.length < 2;
  restoreOptions();
}

const MOST_TRACKS = 8;

// A job for a model that no worker can run would be refused.
function option({ name, task, is_served: isServed }) {
  const made = new Option(say.model(task, name, isServed === false), name);
  made.disabled = isServed === false;
  return made;
}

const OPTIONS = ["model", "audio_track", "quality", "new-tags"];
// What was chosen is kept for this tab: after a reload, files that are chosen again are known by their options, too.
const KEPT = "sentiloc.options";

const keepOptions = () => sessionStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(OPTIONS.map((id) => [id, $(id).value]))));

function restoreOptions() {
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
  for (const [id, value] of Object.entries(kept)) {
    // A model may be missing now.
    if (id === "new-tags" || [...$(id).options].some((option) => option.value === value)) $(id).value = value;
  }
}

// Sound tracks, because editors' files have several; and the quality.
export function setUpOptions() {
  const numbers = Array.from({ length: MOST_TRACKS }, (_, i) => String(i + 1));
  $("audio_track").replaceChildren(new Option(text.trackAuto, ""), ...numbers.map((number) => new Option(say.trackNumber(number), number)));
  $("quality").replaceChildren(new Option(text.qualityFull, "full"), new Option(text.qualityDraft, "draft"));
  for (const id of OPTIONS) $(id).addEventListener("input", keepOptions);
  restoreOptions();
}

// Options of a job with the chosen model, sound track, quality and tags; none where they are the defaults.
export function jobOptions() {
  const chosen = models.find(({ name }) => name === $("model").value);
  const model = chosen && !chosen.is_default ? { model: chosen.name } : {};
  const track = Number($("audio_track").value);
  const quality = $("quality").value === "draft" ? { quality: "draft" } : {};
  const tags = readTags($("new-tags").value);
  return { ...model, ...(track ? { audio_track: track } : {}), ...quality, ...(tags.length ? { tags } : {}) };
}

export const isDefault = (name) => models.every((model) => model.name !== name || model.is_default);
