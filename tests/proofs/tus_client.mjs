// Uploads a file with tus-js-client, resuming what an earlier run began: node tus_client.mjs URL FILE STATE CHUNK
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

// tus-js-client lies where the command is run, not beside this file.
const tus = createRequire(path.join(process.cwd(), "package.json"))("tus-js-client");
const [url, file, state, chunk] = process.argv.slice(2);
const upload = new tus.Upload(fs.createReadStream(file), {
  endpoint: `${url}/uploads`,
  uploadSize: fs.statSync(file).size,
  chunkSize: Number(chunk),
  // A server that starts anew on a busy machine takes its time.
  retryDelays: [0, 500, ...Array(150).fill(4000)],
  metadata: { filename: path.basename(file), localize: "{}" },
  urlStorage: new tus.FileUrlStorage(state),
  fingerprint: async () => "bench",
  onProgress: (sent) => console.log(`sent ${sent}`),
  onChunkComplete: (size, accepted) => console.log(`accepted ${accepted}`),
  onError: (error) => {
    console.error(String(error));
    process.exit(1);
  },
  onSuccess: ({ lastResponse }) => console.log(`job ${lastResponse.getHeader("Sentiloc-Job")}`),
});
const previous = await upload.findPreviousUploads();
if (previous.length > 0) {
  upload.resumeFromPreviousUpload(previous[0]);
}
upload.start();
