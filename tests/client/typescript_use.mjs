// `node typescript_use.mjs DIST SERVER VIDEO WEBHOOK`: uses the built client as a program would; prints what it saw.
import { openAsBlob } from "node:fs";
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [, , dist, server, video, webhook] = process.argv;
const { ApiError, Sentiloc, UploadError, WebhookError, verifyWebhook } = await import(pathToFileURL(`${dist}/index.js`));

// A network that loses one chunk before it arrives and one answer after it, and refuses the first event stream.
const lost = { before: 1, after: 1, stream: 1 };
const asked = [];
async function unreliable(input, init) {
  asked.push(`${init.method} ${new URL(input).pathname}`);
  const isChunk = init.method === "PATCH";
  if (isChunk && Number(init.headers["Upload-Offset"]) > 0 && lost.before-- > 0) throw new TypeError("lost");
  if (String(input).endsWith("/events") && lost.stream-- > 0) throw new TypeError("lost");
  const response = await fetch(input, init);
  if (isChunk && Number(init.headers["Upload-Offset"]) > 0 && lost.after-- > 0) throw new TypeError("lost");
  return response;
}

const client = new Sentiloc({ server, fetch: unreliable, retries: { firstWait: 10 } });
const file = await openAsBlob(video);
const told = [];
const job = await client.upload(file, {
  name: "ü.mp4",
  options: { threshold: 0.5, metadata: { reel: 3 } },
  chunkBytes: 2000,
  onProgress: (sent, total) => told.push([sent, total]),
});
const events = [];
for await (const event of client.follow(job.id)) events.push(event);
const polled = [];
for await (const event of client.follow(job.id, { poll: true })) polled.push(event.type);
const after = [];
for await (const event of client.follow(job.id, { after: events.at(-1).id })) after.push(event.type);
// A proxy that lets no event stream through.
const closed = new Response(JSON.stringify({ code: "too_many_streams" }), { status: 503 });
const send = (input, init) => (String(input).endsWith("/events") ? Promise.resolve(closed.clone()) : fetch(input, init));
const fallback = [];
const walled = new Sentiloc({ server, fetch: send, retries: { firstWait: 1 } });
for await (const event of walled.follow(job.id)) fallback.push(event.type);
const result = await client.result(job.id, { threshold: 0.1 });
const vtt = await (await client.render(job.id, "vtt")).text();

const again = await client.submit(file, { idempotencyKey: "mine" });
const same = await client.submit(file, { idempotencyKey: "mine" });
const listed = [];
for await (const one of client.jobs({ state: ["succeeded", "queued", "decoding"] })) listed.push(one.id);
const problem = await client.job("nobody").catch((error) => error);
const forbidden = await client.submitUrl("http://127.0.0.1/a.mp4").catch((error) => error);
const other = await client.upload(new Blob(["x"]), { resume: job.id }).catch((error) => error);
await client.addFeedback(job.id, { segments: [] });
const feedback = await client.feedback(job.id);
await client.wait(again.id);
await client.delete(again.id);
await client.delete(again.id);

const items = [{ url: "https://media.example/a.mp4" }, { url: "https://media.example/b.mp4", name: "second" }];
const batch = await client.batches.create({ items, name: "two" }, { idempotencyKey: "batch" });
const sameBatch = await client.batches.create({ items, name: "two" }, { idempotencyKey: "batch" });
const ended = await client.batches.wait(batch.id, { interval: 20 });
const rows = [];
for await (const row of client.batches.results(batch.id)) rows.push([row.index, row.state, row.name]);
const zip = await client.batches.export(batch.id, "vtt");
const batches = (await client.batches.list({ limit: 5 })).batches.map((one) => one.id);
await client.batches.delete(batch.id);
await client.batches.delete(batch.id);
const clips = [{ job: job.id, start: 3.2, end: 6.4, label: "positive" }];
const reel = await client.reels.create({ title: "Best", clips }).catch((error) => error);
const reels = (await client.reels.list()).reels.length;
const noReel = await client.reels.video("nobody").catch((error) => error);
const made = await client.keys.create({ name: "desk", scopes: ["read"] });
const renewed = await client.keys.rotate(made.id, 60);
const revoked = await client.keys.revoke(made.id);
const keys = await client.keys.list();
const hook = await client.webhooks.create({ url: "https://edit.example/hooks", events: ["job.succeeded"] });
const turned = await client.webhooks.rotate(hook.id);
const off = await client.webhooks.update(hook.id, { enabled: false, events: null });
const hooks = await client.webhooks.list();
const seen = [(await client.webhooks.get(hook.id)).enabled, (await client.webhooks.deliveries(hook.id)).length];
await client.webhooks.delete(hook.id);
const goneHook = await client.webhooks.get(hook.id).catch((error) => error);

const { secret, headers, body } = JSON.parse(await readFile(webhook, "utf8"));
const event = await verifyWebhook(["whsec_b3RoZXIgc2VjcmV0", secret], headers, body);
const refused = [];
for (const [changed, text] of [
  [headers, `${body} `],
  [{ ...headers, "webhook-timestamp": "1" }, body],
  [{}, body],
]) refused.push(await verifyWebhook(secret, changed, text).catch((error) => error instanceof WebhookError));

console.log(JSON.stringify({
  asked,
  told,
  name: job.source.name,
  metadata: job.options.metadata,
  links: job.links,
  events: events.map(({ type }) => type),
  final: events.at(-1).data.state,
  polled,
  after,
  fallback,
  segments: result.segments.length,
  vtt: vtt.slice(0, 6),
  isSame: again.id === same.id,
  listed: listed.length,
  problem: [problem instanceof ApiError, problem.status, problem.problem.code, problem.requestId.length],
  forbidden: forbidden.code,
  other: other instanceof UploadError,
  feedback: feedback.feedback.length,
  webhook: event.data.id,
  batch: [batch.id === sameBatch.id, batch.total, ended.state, batches[0] === batch.id, zip.size > 100],
  rows,
  reel: reel instanceof Error ? [reel.code] : [reel.title, reel.id.length],
  reels: [reels, noReel.code],
  keys: [made.key === renewed.key, revoked.revoked_at !== null, keys.length, renewed.id === made.id],
  hooks: [hook.secret === turned.secret, off.secrets, off.events, hooks.length, ...seen, goneHook.code],
  refused,
}));
