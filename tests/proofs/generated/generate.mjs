// `node generate.mjs SERVER`: builds every TypeScript client from openapi.json in this folder into ./out.
import { execFileSync } from "node:child_process";
import orval from "orval";

const [, , server] = process.argv;
const run = (name, ...words) => execFileSync(`node_modules/.bin/${name}`, words, { stdio: ["ignore", "ignore", "inherit"] });

run("openapi-typescript", "openapi.json", "-o", "out/schema.d.ts");
run("openapi-ts", "-i", "openapi.json", "-o", "out/hey", "--silent");
run("swagger-typescript-api", "generate", "-p", "openapi.json", "-o", "out/swagger", "-n", "api.ts");
await orval.generate({
  input: { target: "./openapi.json" },
  output: { target: "./out/orval/sentiloc.ts", client: "fetch", baseUrl: server },
});
