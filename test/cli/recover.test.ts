import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { flipByte } from "../helpers/repository.ts";
import { stillpoint } from "./harness.ts";

const text = `version: 1
repository: { path: repository, key_file: repository.key }
replicas:
  usb: { path: usb/stillpoint }
  town: { s3: { bucket: recovery, endpoint: "http://127.0.0.1:9", prefix: a, credentials_credential: town } }
sources:
  data: { directory: { path: data } }
  dump: { command: { run: [/nowhere/dump] } }
  web: { vm: { qmp: web.sock } }
policies:
  all: { sources: [data], schedule: { manual: true }, keep: { last: 10 }, replicate: { usb: {} } }
`;
const folder = mkdtempSync(join(tmpdir(), "stillpoint-recover-"));
const host = join(folder, "host");
const open = ["--repository", join(folder, "usb/stillpoint"), "--key-file", join(folder, "repository.key")];

const at = (...names: string[]): string => join(host, ...names);

/** A host with a point, and then nothing of it but its replica and its key. */
beforeAll(async () => {
  mkdirSync(at("data"), { recursive: true });
  mkdirSync(at("usb"));
  writeFileSync(at("data/letter"), "Dear all,\n");
  writeFileSync(at("stillpoint.yaml"), text);
  await stillpoint(["init", "--config", at("stillpoint.yaml")]);
  const { status, stderr } = await stillpoint(["run", "all", "--config", at("stillpoint.yaml")]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  for (const name of ["repository.key", "usb"]) renameSync(at(name), join(folder, name));
});
beforeEach(() => rmSync(host, { recursive: true, force: true }));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A copy of the replica in which no pack is whole. */
function damagedCopy(name: string): string {
  const copy = join(folder, name);
  cpSync(join(folder, "usb/stillpoint"), copy, { recursive: true });
  for (const pack of readdirSync(join(copy, "packs"), { recursive: true, encoding: "utf8" })) {
    const file = join(copy, "packs", pack);
    if (statSync(file).isFile()) writeFileSync(file, flipByte(60)(readFileSync(file)));
  }
  return copy;
}

describe("recover", () => {
  test("brings back configuration and repository where they were, and names what is left to do", async () => {
    const { status, stdout, stderr } = await stillpoint(["recover", ...open]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(readFileSync(at("stillpoint.yaml"), "utf8")).toBe(text);
    expect(stdout).toContain(`made    repository   ${at("repository")}: 1 recovery point, `);
    const [, left] = stdout.split("Left to do by hand:\n");
    expect(left?.split("\n").slice(0, 6)).toEqual([
      `  put back the file ${at("repository.key")} (repository.key_file)`,
      "  give the service the credential town (replicas.town.s3.credentials_credential)",
      `  mount the disk or share of the replica usb: there is no folder ${at("usb")}`,
      `  bring back the source data: \`stillpoint restore latest --source data --to ${at("data")}\``,
      "  install the program of the source dump: there is no /nowhere/dump",
      `  start the virtual machine web, or restore it: there is no socket ${at("web.sock")}`,
    ]);
    expect(stdout).toMatch(
      /^First make sure that .* is off: .*; the newest point came to this copy \d+[ms]( \d+s)? ago\.$/m,
    );
    expect(stdout).toContain(`Next: \`stillpoint check --config ${at("stillpoint.yaml")}\``);
    cpSync(join(folder, "repository.key"), at("repository.key"));
    const listed = await stillpoint(["list", "--json", "--config", at("stillpoint.yaml")]);
    expect(JSON.parse(listed.stdout)).toMatchObject([{ source: "data" }]);
  });

  test("a second time leaves everything as it is, and still says what is left", async () => {
    await stillpoint(["recover", ...open]);
    writeFileSync(at("repository/points/marker"), "untouched");
    const { status, stdout } = await stillpoint(["recover", ...open, "--json"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      place: at("repository"),
      made: false,
      points: 0,
      missing: [],
      config: { place: at("stillpoint.yaml"), made: false, error: null },
      left: expect.arrayContaining([{ what: "program", name: "dump", place: "/nowhere/dump" }]),
    });
  });

  test("elsewhere, with --to and --config, it says what the configuration then has wrong", async () => {
    const [to, config] = [join(folder, "new/repository"), join(folder, "etc/stillpoint.yaml")];
    mkdirSync(to, { recursive: true });
    const { status, stdout } = await stillpoint(["recover", ...open, "--to", to, "--config", config]);
    expect(status).toBe(0);
    expect(existsSync(join(to, "format"))).toBe(true);
    expect(stdout).toContain(
      `correct repository.path in ${config}: it says ${join(folder, "etc/repository")}, and the repository is in ${to}`,
    );
    expect(existsSync(host)).toBe(false);
  });

  test("overwrites no other configuration and no other repository, and then writes nothing", async () => {
    mkdirSync(host);
    writeFileSync(at("stillpoint.yaml"), "version: 1\n");
    const other = await stillpoint(["recover", ...open]);
    expect(other).toMatchObject({ status: 2, stderr: expect.stringContaining("another one is there") });
    expect(existsSync(at("repository"))).toBe(false);
    rmSync(at("stillpoint.yaml"));
    mkdirSync(at("repository"));
    writeFileSync(at("repository/mine"), "");
    const occupied = await stillpoint(["recover", ...open]);
    expect(occupied).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("it holds mine and no object `format`"),
    });
    expect(existsSync(at("stillpoint.yaml"))).toBe(false);
  });

  test("what the copy can't give whole is named, and is the exit status of damage; the rest is there", async () => {
    const copy = damagedCopy("damaged");
    const { status, stdout } = await stillpoint(["recover", ...open.with(1, copy)]);
    expect(status).toBe(4);
    expect(stdout).toMatch(/^failed {2}Cannot replicate the recovery point \w+ of data /m);
    expect(stdout).toContain("`stillpoint recover --missing`, from another copy, adds those that it has whole.");
    expect(readFileSync(at("stillpoint.yaml"), "utf8")).toBe(text);
    expect(existsSync(at("repository/format"))).toBe(true);
  });

  test("what a repository that is there lacks is said, and added from another copy, whose configuration may differ by then", async () => {
    const recoverDamaged = ["recover", ...open.with(1, damagedCopy("damaged-too"))];
    await stillpoint(recoverDamaged);
    const again = await stillpoint(recoverDamaged);
    expect(again.status).toBe(3);
    expect(again.stdout).toMatch(
      /^This copy has 1 recovery point that the repository lacks, .*--missing adds them\.$/m,
    );
    const { stdout: json } = await stillpoint([...recoverDamaged, "--json"]);
    expect(JSON.parse(json)).toMatchObject({ made: false, points: 0, failed: [], missing: [expect.any(String)] });
    expect(await stillpoint([...recoverDamaged, "--missing"])).toMatchObject({
      status: 4,
      stdout: expect.stringMatching(/^failed {2}Cannot replicate/m),
    });

    writeFileSync(at("stillpoint.yaml"), `# Edited\n${text}`);
    const added = await stillpoint(["recover", ...open, "--missing"]);
    expect({ status: added.status, stderr: added.stderr }).toEqual({ status: 0, stderr: "" });
    expect(added.stdout).toContain(`there   config       ${at("stillpoint.yaml")}\n`);
    expect(added.stdout).toContain(`there   repository   ${at("repository")}: 1 recovery point, `);
    expect(readFileSync(at("stillpoint.yaml"), "utf8")).toBe(`# Edited\n${text}`);
    const key = ["--key-file", join(folder, "repository.key")];
    const restored = ["restore", "latest", "--to", at("restored"), "--repository", at("repository"), ...key];
    expect(await stillpoint(restored)).toMatchObject({ status: 0, stderr: "" });
    expect(readFileSync(at("restored/letter"), "utf8")).toBe("Dear all,\n");
  });

  test("--missing adds to no repository that isn't there, and makes nothing", async () => {
    const { status, stderr } = await stillpoint(["recover", ...open, "--missing"]);
    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining("Recover it first, without") });
    expect(existsSync(host)).toBe(false);
  });

  test("a replica without a single point is refused, and nothing is made", async () => {
    const empty = join(folder, "empty");
    cpSync(join(folder, "usb/stillpoint"), empty, { recursive: true });
    rmSync(join(empty, "points"), { recursive: true });
    const { status, stderr } = await stillpoint(["recover", ...open.with(1, empty)]);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringContaining("not one recovery point is there"),
    });
    expect(existsSync(host)).toBe(false);
  });

  test("a copy without a configuration takes --to, and says that one is to be written", async () => {
    cpSync(join(folder, "usb/stillpoint"), join(folder, "copy"), { recursive: true });
    rmSync(join(folder, "copy/config"), { recursive: true });
    const openCopy = open.with(1, join(folder, "copy"));
    expect(await stillpoint(["recover", ...openCopy])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("this copy holds no configuration.\nNothing was changed.\nAdd --to FOLDER."),
    });
    const { status, stdout } = await stillpoint(["recover", ...openCopy, "--to", at("repository")]);
    expect(status).toBe(0);
    expect(stdout).toContain("write a configuration: this copy holds none");
  });
});
