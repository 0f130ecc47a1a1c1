import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { working } from "../helpers/working-job.ts";
import { vectors } from "./golden.ts";
import { initialised, stillpoint, temporaryFolder } from "./harness.ts";

const key = join(vectors, "key-file");
let fleet: string;

/** Of three hosts: two with the golden key, one with another; and of things that are no host. */
beforeEach(async () => {
  fleet = temporaryFolder();
  for (const name of ["web1", "web2"]) cpSync(join(vectors, "repository-v1"), join(fleet, name), { recursive: true });
  const { folder } = await initialised();
  cpSync(join(folder, "repository"), join(fleet, "db1"), { recursive: true });
  cpSync(join(folder, "repository.key"), join(fleet, "db1.key"));
  mkdirSync(join(fleet, "notes"));
  writeFileSync(join(fleet, "notes/readme"), "");
});

describe("list --fleet", () => {
  test("shows the newest point of each source of each host, and names those whose key isn't known", async () => {
    const { status, stdout, stderr } = await stillpoint(["list", "--fleet", fleet, "--key-file", key]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const [title, ...lines] = stdout.trimEnd().split("\n");
    expect(title).toMatch(/^HOST +SOURCE +POLICY +NEWEST +TIME \(UTC\) +AGE +CONSISTENCY$/);
    const files = lines.filter((line) => / files /.test(line));
    expect(files.map((line) => /^(\w+) .* 5343ebcb /.exec(line)?.[1])).toEqual(["web1", "web2"]);
    expect(lines).toHaveLength(21);
    expect(lines.at(-1)).toBe("db1: none of the keys given opens it");
  });

  test("opens each host with whichever key fits", async () => {
    const keys = ["--key-file", join(fleet, "db1.key"), "--key-file", key];
    const { status, stdout } = await stillpoint(["list", "--fleet", fleet, ...keys, "--source", "files", "--json"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual([
      { name: "db1", place: join(fleet, "db1"), error: null, points: [] },
      ...["web1", "web2"].map((name) => ({
        name,
        place: join(fleet, name),
        error: null,
        points: [expect.objectContaining({ source: "files", time: "2026-11-22T01:00:00.000Z" })],
      })),
    ]);
  });

  test("of two policies of a source, each has its newest", async () => {
    const { folder, config } = await initialised();
    mkdirSync(join(folder, "data"));
    writeFileSync(
      config,
      `version: 1
repository: { path: repository, key_file: repository.key }
sources: { data: { directory: { path: data } } }
policies:
  often: { sources: [data], schedule: { manual: true }, keep: { last: 10 } }
  nightly: { sources: [data], schedule: { manual: true }, keep: { last: 10 } }
`,
    );
    for (const policy of ["nightly", "often"])
      expect((await stillpoint(["run", policy, "--config", config])).status).toBe(0);
    const list = ["list", "--fleet", folder, "--key-file", join(folder, "repository.key")];
    expect((await stillpoint(list)).stdout).toMatch(/^repository +data +often /m);
    expect((await stillpoint([...list, "--policy", "nightly"])).stdout).toMatch(/^repository +data +nightly /m);
    expect((await stillpoint([...list, "--policy", "never"])).stdout).toContain("repository: no recovery point");
  });

  test("a point from the future isn't the newest while there is another", async () => {
    const { site, clock, next, points } = await working();
    const list = ["list", "--fleet", site.at(), "--key-file", site.at("key"), "--json"];
    const times = async (): Promise<string[]> => {
      const members = JSON.parse((await stillpoint(list)).stdout) as { points: { time: string }[] }[];
      return members.flatMap((member) => member.points.map(({ time }) => time));
    };
    await next("one");
    await clock.advance(Date.UTC(2100, 0) - clock.now());
    await next("two");
    expect(await times()).toEqual(["2026-11-22T01:00:00.000Z"]);
    const [only = ""] = (await points()).map(({ name }) => name);
    rmSync(site.at("repository", only));
    expect(await times()).toEqual(["2100-01-01T01:00:00.000Z"]);
  });

  test("a host that can't be read is named, and the others are shown", async () => {
    writeFileSync(join(fleet, "web1/format"), "nonsense");
    const { status, stdout } = await stillpoint(["list", "--fleet", fleet, "--key-file", key]);
    expect(status).toBe(3);
    expect(stdout).toMatch(/^web1: The object format is damaged/m);
    expect(stdout).toMatch(/^web2 +files /m);
  });

  test("a place without hosts, one that isn't there, and two keys where one is asked for", async () => {
    const empty = await stillpoint(["list", "--fleet", join(fleet, "notes"), "--key-file", key]);
    expect(empty).toMatchObject({ status: 0, stdout: `No host has a repository in ${join(fleet, "notes")}.\n` });
    expect(await stillpoint(["list", "--fleet", join(fleet, "gone"), "--key-file", key])).toMatchObject({ status: 1 });
    const two = ["--key-file", key, "--key-file", key];
    expect(await stillpoint(["list", "--repository", join(fleet, "web1"), ...two])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("two keys at once"),
    });
  });
});
