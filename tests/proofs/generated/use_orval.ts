import { getJob, getResult, listJobs, localizeVideo } from "./out/orval/sentiloc";
import { OPTIONS, file, isFinal, pause, tell } from "./seen";

const made = await localizeVideo({ video: file, options: OPTIONS });
if (made.status !== 202) throw new Error(`HTTP ${made.status}`);
const { id } = made.data;
const states: string[] = [made.data.state];
while (!isFinal(states.at(-1)!)) {
  await pause();
  const job = await getJob(id);
  if (job.status !== 200) throw new Error(`HTTP ${job.status}`);
  states.push(job.data.state);
}
const found = await getResult(id, { threshold: 0.1 });
if (found.status !== 200 || typeof found.data !== "object" || found.data.task !== "sentiment") throw new Error("no result");
const result = found.data;
const list = await listJobs({ state: ["succeeded"], limit: 5 });
if (list.status !== 200) throw new Error(`HTTP ${list.status}`);
const problem = await getJob("nobody");
if (problem.status !== 404) throw new Error(`HTTP ${problem.status}`);
tell({
  states,
  threshold_echoed: made.data.options.threshold,
  duration: result.video.duration,
  curve_values: result.curve.positive.length,
  segments: result.segments.length,
  listed: list.data.jobs.length,
  problem: problem.data.code,
});
