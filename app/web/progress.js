// The screen of a video on its way: upload, queue, stages. Follows a job by its events, over any number of broken connections.
import { FINAL, Problem, events, getJob } from "./api.js";
import { $, make, pause, reached } from "./dom.js";
import { say, text } from "./strings.js";

const STEPS = ["upload", "queued", "decoding", "extracting", "localizing"];
const RETRY = 1000;

// Without a `step` there is no progress to show yet.
export function showProgress(title, step, part, line) {
  if ($("progress-title").textContent !== title) $("progress-title").textContent = title;
  const at = STEPS.indexOf(step);
  if ($("steps").dataset.step !== step) {
    $("steps").dataset.step = step;
    $("steps").replaceChildren(...STEPS.map((name, i) => stepItem(name, i, at)));
  }
  $("steps").hidden = $("bar").hidden = !step;
  $("bar").value = part;
  if ($("stage").textContent !== line) $("stage").textContent = line;
  document.title = step ? `${reached(part)} % · ${title}` : title;
}

function stepItem(name, i, at) {
  const item = make("li", { class: i < at ? "done" : "" }, say.steps[name]);
  if (i === at) item.setAttribute("aria-current", "step");
  return item;
}

function showJob(job) {
  const busy = STEPS.includes(job.state) ? job.state : "queued";
  const left = job.eta_seconds > 2 ? say.leftLine(say.left(job.eta_seconds)) : null;
  const stage = job.state === "queued" ? say.queued(job.queue_position) : (say.stages[job.stage] ?? say.stages[job.state]);
  const waits = job.state === "queued" && job.waiting ? say.waitsFor(job.waiting.detail) : null;
  const again = job.attempt > 1 ? say.attempt(job.attempt) : null;
  showProgress(job.source.name, busy, job.progress, [stage, waits, left, again].filter(Boolean).join(" · "));
}

// Resolves to the job in its final state; null when the signal ended it. `underWay()` is called for a job that can be cancelled.
export async function follow(id, signal, underWay) {
  let lastId = null;
  let job = null;
  while (!signal.aborted) {
    try {
      job = await getJob(id);
      if (signal.aborted) return null;
      if (FINAL.includes(job.state)) return job;
      underWay();
      showJob(job);
      lastId = await listen(job, lastId, signal);
    } catch (error) {
      if (signal.aborted) return null;
      if (error instanceof Problem && error.status < 500 && error.status !== 429) throw error;
      if (error.code === "too_many_streams") {
        await pause(RETRY);
        continue;
      }
      if (job) showProgress(job.source.name, job.state, job.progress, say.reconnecting);
      else showProgress(text.loading, "", 0, say.reconnecting);
    }
    await pause(RETRY);
  }
  return null;
}

async function listen(job, lastId, signal) {
  for await (const event of events(job.id, lastId, signal)) {
    lastId = event.id ?? lastId;
    Object.assign(job, event.data);
    // Events do not say what a queued job waits for besides its turn.
    if (event.type === "state" && job.state === "queued") Object.assign(job, await getJob(job.id));
    if (event.type === "final") return lastId;
    if (!FINAL.includes(job.state)) showJob(job);
  }
  return lastId;
}
