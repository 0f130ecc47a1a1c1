import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { Progress } from "../../src/cli/progress.ts";
import { exitStatus } from "../../src/errors.ts";
import { systemClock } from "../../src/host/clock.ts";
import { parseKeyFile } from "../../src/repository/keys/key-objects.ts";
import { openRepository } from "../../src/repository/repository.ts";
import { openStorage } from "../../src/storage/open.ts";
import { commitEmpty } from "../helpers/commit-empty.ts";
import { type Ended, stillpoint, temporaryFolder } from "./harness.ts";

/** A host with three points, of which its policy keeps one. */
async function hostWithTooMany(): Promise<{ config: string; ids: string[] }> {
  const folder = temporaryFolder();
  const config = join(folder, "stillpoint.yaml");
  const text = `version: 1
repository: { path: repository, key_file: repository.key }
sources: { docs: { directory: { path: docs } } }
policies: { often: { sources: [docs], schedule: { manual: true }, keep: { last: 1 } } }
maintenance: { retention_guard: 100% }
`;
  writeFileSync(config, text);
  mkdirSync(join(folder, "docs"));
  await stillpoint(["init", "--config", config]);
  const storage = openStorage({ kind: "fs", location: "primary", path: join(folder, "repository") });
  const secret = parseKeyFile(readFileSync(join(folder, "repository.key"), "utf8"), "key");
  const repository = await openRepository({ storage, clock: systemClock, secret: { type: "key-file", secret } });
  const ids: string[] = [];
  for (const hour of [1, 2, 3]) ids.push((await commitEmpty(repository, { time: Date.UTC(2026, 0, 1, hour) })).id);
  return { config, ids };
}

/** A prune that is cancelled when it has forgotten one of two points. */
async function cutOff(flag: "--quiet" | "--json"): Promise<Ended & { readonly forgotten: string }> {
  const { config, ids } = await hostWithTooMany();
  const controller = new AbortController();
  // Told of each point that is forgotten.
  const told = vi.spyOn(Progress.prototype, "update").mockImplementation(() => controller.abort());
  onTestFinished(() => told.mockRestore());
  const ended = await stillpoint(["prune", "--config", config, flag], { signal: controller.signal });
  return { ...ended, forgotten: ids[0] ?? "" };
}

test("a prune that is cut off says how many points it has forgotten", async () => {
  const { status, stdout } = await cutOff("--quiet");
  expect(status).toBe(exitStatus.failed);
  expect(stdout).toBe("often at primary: cancelled\n  1 recovery point forgotten before that\n");
});

test("a prune that is cut off names in its JSON what it has forgotten", async () => {
  const { stdout, forgotten } = await cutOff("--json");
  expect(JSON.parse(stdout)).toMatchObject([{ forgotten: [forgotten], error: { code: "cancelled" } }]);
});
