/**
 * The emergency reader on the golden repositories: what it restores, and what it says of damage. Both sides were written
 * from docs/format.md alone, so this is also the proof that the page is complete.
 */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Manifest } from "../../src/repository/points/manifest.ts";
import { VmSite } from "../helpers/guest/vm-site.ts";
import { makeMachinePoint } from "../helpers/made-machine-point.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const project = path.join(import.meta.dirname, "../..");
const vectors = path.join(project, "test/vectors");
const reader = path.join(project, "tools/emergency-reader/stillpoint-emergency-reader.py");
const python = "/usr/bin/python3";
const keyFile = ["--key-file", path.join(vectors, "key-file")];
const isRoot = process.getuid?.() === 0;
const nobody = 65534;

interface Entry {
  readonly path?: string;
  readonly type: string;
  readonly uid: number;
  readonly gid: number;
  readonly xattrs?: Readonly<Record<string, string>>;
}

interface Point {
  readonly id: string;
  readonly source: string;
  readonly kind: string;
  readonly time: string;
  readonly tags: readonly string[];
  readonly held: boolean;
  readonly verified: string | null;
  readonly needs_root: boolean;
  readonly content?: { readonly size: number; readonly sha256: string };
  readonly entries?: readonly Entry[];
}

interface Range {
  readonly path?: string;
  readonly offset: number | null;
  readonly length: number | null;
  readonly reason: string;
}

interface CheckResult {
  readonly affected: readonly { readonly point: string; readonly damaged: readonly Range[] }[];
  readonly objects: readonly string[];
}

interface Expected {
  readonly points: readonly Point[];
  readonly hostile: readonly { readonly id: string; readonly source: string; readonly may_be_restored: string[] }[];
}

/** A repository with one point of a machine, whose parts have these names and contents. */
async function machinePoint(
  contents: readonly (readonly [name: string, content: string])[],
): Promise<{ readonly site: VmSite; readonly id: string }> {
  const site = await VmSite.make();
  const { id } = await makeMachinePoint(site, {
    files: Object.fromEntries(contents.map(([, content], number) => [number, Buffer.from(content)])),
    machine: { type: "pc" },
    change: (manifest) => ({
      ...manifest,
      parts: manifest.parts.map((part, number) => ({ ...part, name: contents[number]?.[0] ?? "" })),
    }),
  });
  return { site, id };
}

const expected = JSON.parse(await fs.readFile(path.join(vectors, "expected.json"), "utf8")) as Expected;

function call(args: readonly string[]) {
  const result = spawnSync(python, ["-B", reader, ...args], { encoding: "utf8" });
  // Whatever happens, an administrator sees sentences.
  expect(result.stderr).not.toContain("Traceback");
  expect(result.stderr).not.toContain("cannot go on");
  return result;
}

function hasModules(...modules: readonly string[]): boolean {
  return spawnSync(python, ["-c", `import ${modules.join(", ")}`]).status === 0;
}

/** A copy of a golden repository, to be damaged. */
async function copyOf(): Promise<string> {
  const copy = path.join(await tempDir(), "repository");
  await fs.cp(path.join(vectors, "repository-v1"), copy, { recursive: true });
  return copy;
}

async function objectsIn(repository: string, folder: string): Promise<string[]> {
  const found = await fs.readdir(path.join(repository, folder), { recursive: true, withFileTypes: true });
  return found.flatMap((one) => (one.isFile() ? [path.join(one.parentPath, one.name)] : [])).sort();
}

async function flipByte(file: string, at: (size: number) => number): Promise<void> {
  const content = await fs.readFile(file);
  const position = at(content.length);
  content.writeUInt8(content.readUInt8(position) ^ 0x10, position);
  await fs.writeFile(file, content);
}

function tree(folder: string): readonly Entry[] {
  const described = spawnSync(python, ["-B", path.join(vectors, "describe-tree.py"), folder], { encoding: "utf8" });
  expect(described.stderr).toBe("");
  return JSON.parse(described.stdout) as readonly Entry[];
}

async function contentOf(file: string) {
  const content = await fs.readFile(file);
  return { size: content.length, sha256: createHash("sha256").update(content).digest("hex") };
}

/** In one order, however deep; without owners where they could not be set. */
function comparable(entries: readonly Entry[], owners: boolean): string[] {
  const text = (entry: Entry) =>
    Object.entries(owners ? entry : { ...entry, uid: 0, gid: 0 })
      .map((member) => JSON.stringify(member))
      .toSorted()
      .join();
  return entries.map(text).toSorted();
}

async function expectRestored(point: Point, target: string, owners = isRoot): Promise<void> {
  const found = point.content ? await contentOf(target) : comparable(tree(target), owners);
  expect(found).toEqual(point.content ?? comparable(point.entries ?? [], owners));
}

/** What a restore of a hostile point left: names in a folder, or "content" when a file holds more than zeros. */
async function namesIn(target: string): Promise<string[]> {
  const stat = await fs.stat(target).catch(() => undefined);
  if (!stat) return [];
  if (stat.isDirectory()) return fs.readdir(target);
  return (await fs.readFile(target)).every((byte) => byte === 0) ? [] : ["content"];
}

function pointOf(source: string, latest = true): Point {
  const points = expected.points.filter((point) => point.source === source);
  const point = latest ? points.at(-1) : points[0];
  if (!point) throw new Error(`no golden point of ${source}`);
  return point;
}

const withoutRoot = "note: without root, owners, capabilities and other trusted attributes are left out.\n";
const golden = path.join(vectors, "repository-v1");
const restorable = expected.points.filter((point) => isRoot || !point.needs_root);

// Debian's packages; a machine that builds this project has them, a user's may not.
describe.skipIf(!process.env["CI"] && !hasModules("cryptography", "zstandard"))("the emergency reader", () => {
  it("lists every recovery point with its tags, hold and proof", () => {
    const { status, stdout, stderr } = call(["list", "--repository", golden, ...keyFile, "--json"]);
    expect([status, stderr]).toEqual([0, ""]);
    const listed = JSON.parse(stdout) as readonly Point[];
    const seen = ({ id, source, kind, time, tags, held, verified }: Point) => ({
      id,
      source,
      kind,
      time,
      tags,
      held,
      verified,
    });
    expect(listed.map(seen)).toEqual(expected.points.map(seen));
  });

  it.each(restorable)("restores $source of $time as it was", async (point) => {
    const target = path.join(await tempDir(), "restored");
    const outcome = call(["restore", "--repository", golden, ...keyFile, point.id, "--to", target]);
    expect([outcome.status, outcome.stdout]).toEqual([0, expect.stringContaining("complete")]);
    expect(outcome.stderr).toBe(isRoot ? "" : withoutRoot);
    await expectRestored(point, target);
    expect(await fs.readdir(path.dirname(target))).toEqual(["restored"]);
  });

  it.skipIf(!isRoot)("restores without root what can be, and says what is left out", async () => {
    const folder = await tempDir();
    await fs.chown(folder, nobody, nobody);
    // The project may lie where only root can read.
    await fs.cp(golden, path.join(folder, "repository"), { recursive: true });
    await fs.cp(path.join(vectors, "key-file"), path.join(folder, "key-file"));
    await fs.cp(reader, path.join(folder, "reader.py"));
    await fs.chmod(path.join(folder, "key-file"), 0o644);
    const restore = (point: Point, to: string) => {
      const args = ["restore", "--repository", "repository", "--key-file", "key-file", point.id, "--to", to];
      const options = { encoding: "utf8", cwd: folder, uid: nobody, gid: nobody } as const;
      return spawnSync(python, ["-B", "reader.py", ...args], options);
    };
    const files = restore(pointOf("files"), "files");
    expect([files.status, files.stderr]).toEqual([0, withoutRoot]);
    await expectRestored(pointOf("files"), path.join(folder, "files"), false);
    const special = restore(pointOf("special"), "special");
    expect(special.status).toBe(3);
    expect(special.stderr).toMatch(/^warning: null: not restored: Operation not permitted$/mu);
  });

  it("opens the repository with a passphrase and with an age identity too", (context) => {
    context.skip(!process.env["CI"] && !hasModules("argon2"), "python3-argon2 isn't installed");
    const listWith = (...secret: readonly string[]) => {
      const { status, stderr } = call(["list", "--repository", golden, ...secret]);
      return { status, stderr };
    };
    expect(listWith("--passphrase-file", path.join(vectors, "passphrase"))).toEqual({ status: 0, stderr: "" });
    context.skip(!process.env["CI"] && spawnSync("age", ["--version"]).status !== 0, "age isn't installed");
    expect(listWith("--age-identity", path.join(vectors, "age-identity"))).toEqual({ status: 0, stderr: "" });
  });

  it("finds a whole repository whole", () => {
    const { status, stdout, stderr } = call(["check", "--repository", golden, ...keyFile, "--json"]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(JSON.parse(stdout)).toMatchObject({ points: expected.points.length, objects: [], affected: [], notes: [] });
  });

  it("needs no index", async () => {
    const repository = await copyOf();
    await fs.rm(path.join(repository, "index"), { recursive: true });
    expect(call(["check", "--repository", repository, ...keyFile]).status).toBe(0);
    const target = path.join(await tempDir(), "restored");
    call(["restore", "--repository", repository, ...keyFile, pointOf("files").id, "--to", target]);
    await expectRestored(pointOf("files"), target);
  });

  it("refuses a wrong key, in one line, with status 1", async () => {
    const folder = await tempDir();
    await fs.writeFile(path.join(folder, "key"), `stillpoint-key-1:${Buffer.alloc(32, 7).toString("base64")}\n`);
    await fs.writeFile(path.join(folder, "no-key"), "hello\n");
    for (const [key, message] of [
      ["key", "Wrong key: none of the 1 keys of type key-file"],
      ["no-key", "isn't a Stillpoint key file"],
      ["absent", "Cannot read the key file"],
    ] as const) {
      const outcome = call(["list", "--repository", golden, "--key-file", path.join(folder, key)]);
      expect([outcome.status, outcome.stdout]).toEqual([1, ""]);
      expect(outcome.stderr).toMatch(/^[^\n]+\n$/u);
      expect(outcome.stderr).toContain(message);
    }
  });

  it("refuses another version, and a folder that is no repository", async () => {
    const repository = await copyOf();
    const format = path.join(repository, "format");
    await fs.writeFile(format, (await fs.readFile(format, "utf8")).replace('"version":1', '"version":2'));
    const other = call(["list", "--repository", repository, ...keyFile]);
    expect([other.status, other.stderr]).toEqual([1, expect.stringContaining("has version 2")]);
    const none = call(["list", "--repository", await tempDir(), ...keyFile]);
    expect([none.status, none.stderr]).toEqual([1, expect.stringContaining("There is no repository at")]);
  });

  it("never writes over anything", async () => {
    const target = path.join(await tempDir(), "there");
    await fs.writeFile(target, "precious");
    const outcome = call(["restore", "--repository", golden, ...keyFile, pointOf("dump").id, "--to", target]);
    expect([outcome.status, outcome.stderr]).toEqual([2, expect.stringContaining("exists already")]);
    expect(await fs.readFile(target, "utf8")).toBe("precious");
    expect(call(["restore", "--repository", golden, ...keyFile, pointOf("dump").id]).status).toBe(2);
    expect(call(["restore", "--repository", golden, ...keyFile, "ffffffff", "--to", `${target}2`]).status).toBe(1);
  });

  it("names exactly the damaged range of a flipped bit, leaves zeros there, and restores the rest", async () => {
    const whole = path.join(await tempDir(), "whole");
    let ranges = 0;
    for (const source of ["dump", "disk"]) {
      const point = pointOf(source);
      await fs.rm(whole, { force: true });
      call(["restore", "--repository", golden, ...keyFile, point.id, "--to", whole]);
      const original = await fs.readFile(whole);
      for (const pack of await objectsIn(golden, "packs")) {
        const repository = await copyOf();
        // In the first blob of the pack, which begins behind the header of 48 bytes.
        await flipByte(path.join(repository, path.relative(golden, pack)), () => 50);
        const target = path.join(await tempDir(), "restored");
        const outcome = call(["restore", "--repository", repository, ...keyFile, point.id, "--to", target, "--json"]);
        const { damaged } = JSON.parse(outcome.stdout) as { damaged: readonly Range[] };
        expect(outcome.status).toBe(damaged.length > 0 ? 4 : 0);
        const patched = Buffer.from(original);
        for (const { offset, length } of damaged) {
          if (offset === null || length === null) throw new Error("a range was expected");
          expect(patched.subarray(offset, offset + length).some((byte) => byte !== 0)).toBe(true);
          patched.fill(0, offset, offset + length);
          ranges += 1;
        }
        expect((await fs.readFile(target)).equals(patched)).toBe(true);
      }
    }
    expect(ranges).toBeGreaterThan(1); // a pack of data and one of nodes, at least
  });

  it("tells which files of which points suffer from a pack that is gone or cut short", async () => {
    const packs = await objectsIn(golden, "packs");
    let affected = 0;
    for (const [number, pack] of packs.entries()) {
      const repository = await copyOf();
      const victim = path.join(repository, path.relative(golden, pack));
      if (number % 2 === 0) await fs.rm(victim);
      else await fs.truncate(victim, Math.floor((await fs.stat(victim)).size / 2));
      const outcome = call(["check", "--repository", repository, ...keyFile, "--json"]);
      const result = JSON.parse(outcome.stdout) as CheckResult;
      expect(outcome.status).toBe(result.objects.length + result.affected.length > 0 ? 4 : 0);
      affected += result.affected.length;
      const untouched = restorable.find((point) => !result.affected.some((one) => one.point === point.id));
      if (!untouched) continue;
      const target = path.join(await tempDir(), "restored");
      const args = ["restore", "--repository", repository, ...keyFile, untouched.id, "--to", target];
      expect(call(args).status).toBe(0);
      await expectRestored(untouched, target);
    }
    expect(affected).toBeGreaterThanOrEqual(expected.points.length / 2);
  });

  it("reports a damaged manifest and goes on with the other points", async () => {
    const repository = await copyOf();
    const [manifest] = await objectsIn(repository, "points");
    if (!manifest) throw new Error("the golden repository has manifests");
    await flipByte(manifest, (size) => size - 20);
    const outcome = call(["list", "--repository", repository, ...keyFile, "--json"]);
    expect(outcome.status).toBe(4);
    expect(outcome.stderr).toContain(`${path.relative(repository, manifest)}: its seal is broken`);
    expect(JSON.parse(outcome.stdout)).toHaveLength(expected.points.length - 1);
  });

  it("notices a point that was taken away, and one that was put under another's name", async () => {
    const repository = await copyOf();
    const [first] = await objectsIn(repository, "forgotten");
    if (!first) throw new Error("the golden repository has a forgotten point");
    await fs.rm(first);
    const taken = call(["check", "--repository", repository, ...keyFile]);
    expect([taken.status, taken.stderr]).toEqual([0, expect.stringContaining("wasn't recorded as forgotten")]);
    const names = await objectsIn(repository, "points");
    const moved = names.find((name) => name.includes(pointOf("disk").id));
    if (!moved) throw new Error("the point of disk has a manifest");
    await fs.rename(moved, moved.replace("T01", "T09"));
    const renamed = call(["list", "--repository", repository, ...keyFile]);
    expect([renamed.status, renamed.stderr]).toEqual([
      4,
      expect.stringContaining("its name isn't that of its content"),
    ]);
  });

  it("believes no manifest with another's signature, and no hold copied from another point", () => {
    const repository = path.join(vectors, "repository-hostile");
    const { status, stdout, stderr } = call(["list", "--repository", repository, ...keyFile, "--json"]);
    const listed = JSON.parse(stdout) as readonly Point[];
    expect(status).toBe(4);
    expect(listed.map(({ source }) => source).toSorted()).toEqual(
      expected.hostile.map(({ source }) => source).toSorted(),
    );
    expect(listed.filter(({ held }) => held)).toEqual([]);
    expect(stderr).toContain("its signature is wrong");
    expect(stderr).toContain("it belongs to another point");
  });

  it.each(expected.hostile)("restores nothing else from the hostile point $source", async ({ id, may_be_restored }) => {
    const repository = path.join(vectors, "repository-hostile");
    const folder = await tempDir();
    const planted = "/tmp/planted";
    onTestFinished(() => fs.rm(planted, { force: true }));
    const target = path.join(folder, "restored");
    const outcome = call(["restore", "--repository", repository, ...keyFile, id, "--to", target]);
    expect([outcome.status, outcome.stderr]).toEqual([4, expect.stringContaining("damaged: ")]);
    await expect(fs.access(planted)).rejects.toThrow("ENOENT");
    const left = await fs.readdir(folder);
    expect(["restored"]).toEqual(expect.arrayContaining(left));
    expect(await namesIn(target)).toEqual(may_be_restored);
  });

  it("restores a virtual machine as a folder: each part by its name, and how it was started", async () => {
    const { site, id } = await machinePoint([
      ["disk/root", "a disk"],
      ["memory/0", "memory"],
      ["state/head", "devices"],
    ]);
    const target = path.join(site.folder, "restored");
    const outcome = call(["restore", ...site.location, id, "--to", target]);
    expect([outcome.status, outcome.stderr]).toEqual([0, expect.any(String)]);
    expect(await fs.readFile(path.join(target, "disk/root"), "utf8")).toBe("a disk");
    expect(await fs.readFile(path.join(target, "memory/0"), "utf8")).toBe("memory");
    expect(await fs.readFile(path.join(target, "state/head"), "utf8")).toBe("devices");
    expect(JSON.parse(await fs.readFile(path.join(target, "machine.json"), "utf8"))).toMatchObject({ type: "pc" });
  });

  it("marks what claims to be from the future in the list, and nothing else", async () => {
    const site = await VmSite.make();
    const make = async (time: string): Promise<string> => {
      const change = (manifest: Manifest): Manifest => ({ ...manifest, time });
      return (await makeMachinePoint(site, { files: { 0: Buffer.from("kernel") }, change })).id;
    };
    const ids = [await make("2026-01-01T00:00:00.000Z"), await make("2999-01-01T00:00:00.000Z")];
    const lines = call(["list", ...site.location])
      .stdout.split("\n")
      .slice(1, 3);
    expect(lines.map((line) => [line.slice(0, 32), line.includes("FROM THE FUTURE")])).toEqual([
      [ids[0], false],
      [ids[1], true],
    ]);
    const listed = JSON.parse(call(["list", ...site.location, "--json"]).stdout) as unknown;
    expect(listed).toMatchObject([{ from_the_future: false }, { from_the_future: true }]);
  });

  it("lets no part of a machine leave the folder, or take another's place", async () => {
    const names = ["../out", "/tmp/out", "disk/../../out", "disk//x", "machine.json", "disk", "disk/root", "disk"];
    const { site, id } = await machinePoint(names.map((name) => [name, name]));
    const target = path.join(site.folder, "restored");
    expect(call(["restore", ...site.location, id, "--to", target]).status).toBe(4);
    expect((await fs.readdir(site.folder)).toSorted()).toEqual(["key", "repository", "restored"]);
    expect((await fs.readdir(target)).toSorted()).toEqual(["disk", "machine.json"]);
    expect(await fs.readFile(path.join(target, "disk"), "utf8")).toBe("disk");
  });

  it("stops decompressing as soon as there is more than there may be", async () => {
    const bomb = expected.hostile.find(({ source }) => source === "bomb");
    const target = path.join(await tempDir(), "restored");
    const repository = path.join(vectors, "repository-hostile");
    const outcome = call(["restore", "--repository", repository, ...keyFile, bomb?.id ?? "", "--to", target]);
    expect(outcome.stderr).toContain("bytes 0 to 999: ");
    expect(outcome.stderr).toContain("compressed content is longer than it may be");
  });

  it("is checked against vectors that their script still makes", async (context) => {
    context.skip(!process.env["CI"] && !hasModules("argon2"), "python3-argon2 isn't installed");
    const folder = await tempDir();
    const made = spawnSync(python, ["-B", path.join(vectors, "make-vectors.py"), folder], { encoding: "utf8" });
    expect([made.status, made.stderr]).toEqual([0, ""]);
    const read = async (where: string) =>
      JSON.parse(await fs.readFile(path.join(where, "vectors.json"), "utf8")) as Record<string, unknown[]>;
    const [now, then] = [await read(folder), await read(vectors)];
    // Compressed content depends on the version of zstd; all this doesn't.
    for (const member of ["class_keys", "keys", "source_tags", "blob_ids"]) expect(now[member]).toEqual(then[member]);
    expect(now["packs"]?.slice(0, 2)).toEqual(then["packs"]?.slice(0, 2));
    expect(call(["check", "--repository", path.join(folder, "repository-v1"), ...keyFile]).status).toBe(0);
  });
});
