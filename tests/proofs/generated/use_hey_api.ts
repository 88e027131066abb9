import { getJob, getResult, listJobs, localizeVideo } from "./out/hey/sdk.gen";
import { client } from "./out/hey/client.gen";
import { OPTIONS, file, isFinal, pause, server, tell } from "./seen";

client.setConfig({ baseUrl: server });
const { data: made } = await localizeVideo({ body: { video: file, options: OPTIONS }, throwOnError: true });
const states: string[] = [made.state];
while (!isFinal(states.at(-1)!)) {
  await pause();
  states.push((await getJob({ path: { job_id: made.id }, throwOnError: true })).data.state);
}
const { data: result } = await getResult({ path: { job_id: made.id }, query: { threshold: 0.1 }, throwOnError: true });
if (typeof result !== "object" || result.task !== "sentiment") throw new Error("another task");
const { data: list } = await listJobs({ query: { state: ["succeeded"], limit: 5 }, throwOnError: true });
const { error } = await getJob({ path: { job_id: "nobody" } });
tell({
  states,
  threshold_echoed: made.options.threshold,
  duration: result.video.duration,
  curve_values: result.curve.positive.length,
  segments: result.segments.length,
  listed: list.jobs.length,
  problem: error!.code,
});
