import { Api } from "./out/swagger/api";
import { OPTIONS, file, isFinal, pause, server, tell } from "./seen";

const { v1 } = new Api({ baseUrl: server });
const { data: made } = await v1.localizeVideo({ video: file, options: OPTIONS });
const states: string[] = [made.state];
while (!isFinal(states.at(-1)!)) {
  await pause();
  states.push((await v1.getJob(made.id)).data.state);
}
const { data: result } = await v1.getResult(made.id, { threshold: 0.1 });
if (result.task !== "sentiment") throw new Error("another task");
const { data: list } = await v1.listJobs({ state: ["succeeded"], limit: 5 } as never);
const refused = await v1.getJob("nobody").catch((answer: { error: { code: string } }) => answer);
tell({
  states,
  threshold_echoed: made.options.threshold,
  duration: result.video.duration,
  curve_values: result.curve.positive.length,
  segments: result.segments.length,
  listed: list.jobs.length,
  problem: "error" in refused && refused.error ? refused.error.code : "",
});
