import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { build } from "esbuild";
import { expect, test } from "vitest";
import { settings } from "../../scripts/bundle/settings.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const source = `
  import http, { Agent, createServer } from "node:http";
  const loaded = () => process.moduleLoadList.some((name) => name.includes("undici"));
  const before = loaded();
  void http.WebSocket;
  console.log(typeof Agent, typeof createServer, before, loaded());`;

test("what imports node:http doesn't load fetch and WebSocket with it, until they are asked for", async () => {
  const outfile = join(await tempDir(), "module.mjs");
  await build({ ...settings, stdin: { contents: source }, format: "esm", outfile, write: true });
  const { stdout, stderr } = spawnSync(process.execPath, [outfile], { encoding: "utf8" });
  expect({ stdout, stderr }).toEqual({ stdout: "function function false true\n", stderr: "" });
});
