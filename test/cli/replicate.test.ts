import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { systemRandom } from "../../src/host/random.ts";
import { stillpoint, temporaryFolder } from "./harness.ts";

const text = `version: 1
repository: { path: repository, key_file: repository.key }
replicas: { near: { path: usb/stillpoint } }
sources: { data: { directory: { path: data } } }
policies:
  all: { sources: [data], schedule: { manual: true }, keep: { last: 10 }, replicate: { near: {} } }
`;

test("which part of a replica is read again is left to chance", async () => {
  const folder = temporaryFolder();
  const config = join(folder, "stillpoint.yaml");
  for (const name of ["data", "usb"]) mkdirSync(join(folder, name));
  writeFileSync(config, text);
  await stillpoint(["init", "--config", config]);
  const chance = vi.spyOn(systemRandom, "fraction");
  onTestFinished(() => chance.mockRestore());
  for (const [fraction, group] of [
    [0, 1],
    [0.999, 3],
  ] as const) {
    chance.mockReturnValue(fraction);
    const { status, stdout } = await stillpoint(["replicate", "--verify", "1/3", "--json", "--config", config]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject([{ verified: { report: { read_data: { group, of: 3 } } } }]);
  }
});
