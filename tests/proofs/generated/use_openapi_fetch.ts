import createClient from "openapi-fetch";
import type { paths } from "./out/schema";
import { OPTIONS, file, isFinal, pause, server, tell } from "./seen";

const client = createClient<paths>({ baseUrl: server });
const { data: made } = await client.POST("/v1/localize", {
  // The generator has no type for files: its documentation advises this cast and a serializer.
  body: { video: file as unknown as string, options: OPTIONS },
  bodySerializer: (body) => {
    const form = new FormData();
    form.append("video", body.video as unknown as Blob);
    form.append("options", JSON.stringify(body.options));
    return form;
  },
});
if (!made) throw new Error("no job");
const at = { params: { path: { job_id: made.id } } };
const states: string[] = [made.state];
while (!isFinal(states.at(-1)!)) {
  await pause();
  states.push((await client.GET("/v1/jobs/{job_id}", at)).data!.state);
}
const { data: result } = await client.GET("/v1/jobs/{job_id}/result", {
  params: { ...at.params, query: { threshold: 0.1 } },
});
if (!result || typeof result !== "object" || result.task !== "sentiment") throw new Error("another task");
const list = await client.GET("/v1/jobs", { params: { query: { state: ["succeeded"], limit: 5 } } });
const { error } = await client.GET("/v1/jobs/{job_id}", { params: { path: { job_id: "nobody" } } });
tell({
  states,
  threshold_echoed: made.options.threshold,
  duration: result.video.duration,
  curve_values: result.curve.positive.length,
  segments: result.segments.length,
  listed: list.data!.jobs.length,
  problem: error!.code,
});
