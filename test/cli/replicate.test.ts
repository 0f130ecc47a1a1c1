import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { systemRandom } from "../../src/host/random.ts";
import { CheckRecords } from "../../src/job/check-records.ts";
import { StateFolder } from "../../src/job/state-folder.ts";
import { type Ended, stillpoint, temporaryFolder } from "./harness.ts";

const text = `version: 1
repository: { path: repository, key_file: repository.key }
replicas: { near: { path: usb/stillpoint } }
sources: { data: { directory: { path: data } } }
policies:
  all: { sources: [data], schedule: { manual: true }, keep: { last: 10 }, replicate: { near: {} } }
`;

/** A host with a replica, and no recovery point yet. */
async function initialisedHost(): Promise<{
  folder: string;
  config: string;
  verify: (share: string) => Promise<Ended>;
}> {
  const folder = temporaryFolder();
  const config = join(folder, "stillpoint.yaml");
  for (const name of ["data", "usb"]) mkdirSync(join(folder, name));
  writeFileSync(config, text);
  await stillpoint(["init", "--config", config]);
  const verify = async (share: string): Promise<Ended> =>
    await stillpoint(["replicate", "--verify", share, "--json", "--config", config]);
  return { folder, config, verify };
}

test("what a person has checked is noted for the daemon, with what it read", async () => {
  const { folder, config, verify } = await initialisedHost();
  const records = new CheckRecords(new StateFolder(join(folder, "state")));
  const noted = async (): Promise<unknown[]> => await Promise.all(["primary", "near"].map((one) => records.read(one)));
  expect(await noted()).toEqual([undefined, undefined]);
  expect(await verify("1/1")).toMatchObject({ status: 0 });
  expect(await noted()).toMatchObject([undefined, { findings: 0, read: { group: 1, of: 1 } }]);
  await stillpoint(["check", "--location", "near", "--config", config]);
  await stillpoint(["check", "--read-data=2/3", "--config", config]);
  const [primary, near] = await noted();
  expect(primary).toMatchObject({ findings: 0, read: { group: 2, of: 3 } });
  expect(near).not.toHaveProperty("read");
});

test("a check that can't be noted is made all the same, and says so", async () => {
  const { folder, config } = await initialisedHost();
  writeFileSync(join(folder, "state/checks"), "");
  const { status, stdout, stderr } = await stillpoint(["check", "--config", config]);
  expect(status).toBe(0);
  expect(stdout).toContain("no damage found");
  expect(stderr).toContain("the daemon won't count this check");
});

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
