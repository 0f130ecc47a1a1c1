import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { systemRandom } from "../../src/host/random.ts";
import { type Ended, stillpoint, temporaryFolder } from "./harness.ts";

const text = `version: 1
repository: { path: repository, key_file: repository.key }
replicas: { near: { path: usb/stillpoint } }
sources: { data: { directory: { path: data } } }
policies:
  all: { sources: [data], schedule: { manual: true }, keep: { last: 10 }, replicate: { near: {} } }
`;

/** A host with a replica, and no recovery point yet. */
async function initialisedHost(): Promise<{ folder: string; verify: (share: string) => Promise<Ended> }> {
  const folder = temporaryFolder();
  const config = join(folder, "stillpoint.yaml");
  for (const name of ["data", "usb"]) mkdirSync(join(folder, name));
  writeFileSync(config, text);
  await stillpoint(["init", "--config", config]);
  const verify = async (share: string): Promise<Ended> =>
    await stillpoint(["replicate", "--verify", share, "--json", "--config", config]);
  return { folder, verify };
}

test("which part of a replica is read again is left to chance", async () => {
  const { verify } = await initialisedHost();
  const chance = vi.spyOn(systemRandom, "fraction");
  onTestFinished(() => chance.mockRestore());
  for (const [fraction, group] of [
    [0, 1],
    [0.999, 3],
  ] as const) {
    chance.mockReturnValue(fraction);
    const { status, stdout } = await verify("1/3");
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject([{ verified: { report: { read_data: { group, of: 3 } } } }]);
  }
});

test("a replica that takes what is sent and can't be read again is no success", async () => {
  const { folder, verify } = await initialisedHost();
  mkdirSync(join(folder, "usb/stillpoint/packs"), { recursive: true });
  symlinkSync("nowhere", join(folder, "usb/stillpoint/packs/link"));
  const { status, stdout } = await verify("1/1");
  expect(status).toBe(3);
  expect(JSON.parse(stdout)).toMatchObject([{ outcome: "ok", verified: { error: { code: "storage_failed" } } }]);
});
