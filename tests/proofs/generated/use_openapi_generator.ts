import { Configuration, JobsApi, ResponseError, ResultsApi } from "./out/openapi_generator";
import { OPTIONS, file, isFinal, pause, server, tell } from "./seen";

const configuration = new Configuration({ basePath: server });
const jobs = new JobsApi(configuration);
const made = await jobs.localizeVideo({ video: file, options: OPTIONS });
const states: string[] = [made.state];
while (!isFinal(states.at(-1)!)) {
  await pause();
  states.push((await jobs.getJob({ jobId: made.id })).state);
}
const result = await new ResultsApi(configuration).getResult({ jobId: made.id, threshold: 0.1 });
if (result.task !== "sentiment") throw new Error("another task");
const list = await jobs.listJobs({ state: ["succeeded"], limit: 5 });
const problem = await jobs.getJob({ jobId: "nobody" }).then(
  () => "",
  async (error: ResponseError) => (await error.response.json()).code as string,
);
tell({
  states,
  threshold_echoed: made.options.threshold,
  duration: result.video.duration,
  curve_values: result.curve.positive.length,
  segments: result.segments.length,
  listed: list.jobs.length,
  problem,
});
