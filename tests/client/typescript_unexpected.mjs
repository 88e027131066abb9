// `node typescript_unexpected.mjs DIST REDIRECT LOGIN LINES BROKEN FORBIDDEN UNCHANGED`: what the client makes of
// answers of other programs.
import { pathToFileURL } from "node:url";

const [, , dist, redirect, login, lines, broken, forbidden, unchanged] = process.argv;
const { Sentiloc } = await import(pathToFileURL(`${dist}/index.js`));

async function told(call) {
  const gaveUp = new Promise((resolve) => setTimeout(resolve, 5000, "still at it").unref());
  const ended = call().then(
    (value) => `done: ${value?.constructor.name}`,
    (error) => `${error.constructor.name}: ${error.message}`,
  );
  return Promise.race([ended, gaveUp]);
}

async function all(found) {
  for await (const _ of found);
}

const client = (server) => new Sentiloc({ server, retries: { firstWait: 1 } });
const calls = {
  job: (at) => at.job("abc"),
  limits: (at) => at.limits(),
  wait: (at) => at.wait("abc"),
  render: (at) => at.render("abc", "edl"),
  thumbnail: (at) => at.thumbnail("abc", 0),
  video: (at) => at.reels.video("abc"),
  export: (at) => at.batches.export("abc", "vtt"),
  results: (at) => all(at.batches.results("abc")),
  delete: (at) => at.delete("abc"),
  deleteBatch: (at) => at.batches.delete("abc"),
  deleteWebhook: (at) => at.webhooks.delete("abc"),
  createReel: (at) => at.reels.create({ title: "Best", clips: [] }),
  createWebhook: (at) => at.webhooks.create({ url: "https://edit.example/hooks" }),
  upload: (at) => at.upload(new Blob(["video"])),
};
async function use(server, names) {
  const seen = {};
  for (const name of names) seen[name] = await told(() => calls[name](client(server)));
  return seen;
}

const gets = ["job", "limits", "wait", "render", "thumbnail", "video", "export", "results"];
console.log(JSON.stringify({
  redirect: await use(redirect, ["limits", ...Object.keys(calls).filter((name) => !gets.includes(name))]),
  login: await use(login, Object.keys(calls)),
  lines: await use(lines, ["results"]),
  broken: await use(broken, ["job", "render", "results"]),
  forbidden: await use(forbidden, Object.keys(calls)),
  unchanged: await use(unchanged, ["wait"]),
}));
process.exit(0);
