import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { expect, test } from "vitest";
import type { RecoveryPoint } from "../../src/repository/points/manifest.ts";
import { restorePoint } from "../../src/restore/restore-point.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import { commitPoint } from "../../src/repository/points/catalog.ts";
import { writeDirectory } from "../../src/repository/tree/directory-tree.ts";
import { WriteSession } from "../../src/repository/blobs/write-session.ts";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { packName } from "../../src/repository/blobs/pack.ts";
import { sweep } from "../../src/repository/sweep/sweep.ts";
import type { StorageAddress } from "../../src/storage/storage.ts";
import { capture, restore } from "../helpers/capture.ts";
import { describeTree } from "../helpers/describe-tree.ts";
import { FaultyStorage } from "../helpers/faulty-storage.ts";
import { rejection } from "../helpers/rejection.ts";
import { makeTestRepository, type TestRepository } from "../helpers/repository.ts";
import { seededRandom } from "../helpers/seeded-random.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const byName = (a: string, b: string): number => (a < b ? -1 : 1);

interface Prepared {
  readonly tested: TestRepository;
  readonly folder: string;
  readonly source: string;
  readonly target: string;
  readonly point: RecoveryPoint;
}

const noise = seededRandom(5).bytes(300_000);

async function prepare(): Promise<Prepared> {
  const folder = await tempDir();
  const source = path.join(folder, "source");
  fs.mkdirSync(path.join(source, "deep/er"), { recursive: true });
  fs.writeFileSync(path.join(source, "small"), "small");
  fs.writeFileSync(path.join(source, "deep/er/noise"), noise);
  fs.writeFileSync(path.join(source, "deep/large"), Buffer.concat(Array.from({ length: 40 }, () => noise)));
  fs.symlinkSync("small", path.join(source, "deep/link"));
  fs.linkSync(path.join(source, "small"), path.join(source, "deep/same"));
  fs.chmodSync(path.join(source, "deep/er"), 0o500);
  const tested = await makeTestRepository();
  const { point } = await capture(tested, { kind: "directory", path: source });
  return { tested, folder, source, target: path.join(folder, "target"), point };
}

/** Flips a byte in the middle of each pack of at least that size. */
async function damagePacks({ disk }: TestRepository, atLeast: number): Promise<() => Promise<void>> {
  const packs = [...disk.contents()].filter(([name, content]) => name.includes("/packs/") && content.length >= atLeast);
  const replace = async (name: string, content: Buffer): Promise<void> => {
    await disk.unlink(name);
    await disk.createSynced(name, [content]);
  };
  for (const [name, content] of packs) {
    const flipped = Buffer.from(content);
    flipped[1000] = (flipped[1000] as number) ^ 1;
    await replace(name, flipped);
  }
  return async () => {
    for (const [name, content] of packs) await replace(name, content);
  };
}

function partials(folder: string): string[] {
  return fs.readdirSync(folder).filter((name) => name.includes(".partial-"));
}

test("nothing is written over", async () => {
  const { tested, point, target, folder } = await prepare();
  fs.symlinkSync("/nowhere", target);
  expect(await rejection(restore(tested, point, target))).toMatchObject({ code: "target_exists" });
  expect(fs.readlinkSync(target)).toBe("/nowhere");
  expect(partials(folder)).toEqual([]);
});

test.each([
  { paths: ["deep/large", "small"], total: 12_000_005 },
  { paths: ["deep/large", "deep/er"], total: undefined },
])("progress goes by bytes, also within a large file: $paths of $total", async ({ paths, total }) => {
  const { tested, point, target } = await prepare();
  const seen: { done: number; total: number | undefined }[] = [];
  await restore(tested, point, target, { paths, progress: (progress) => seen.push(progress) });
  expect(new Set(seen.map((progress) => progress.total))).toEqual(new Set([total]));
  // Two parts of the large file, and the small ones.
  expect(seen.length).toBeGreaterThanOrEqual(2);
  expect(seen.at(-1)?.done).toBeGreaterThanOrEqual(12_000_000);
});

test("a target made while the restore runs isn't replaced", async () => {
  const { tested, point, target } = await prepare();
  const progress = (): void => fs.writeFileSync(target, "mine");
  expect(await rejection(restore(tested, point, target, { progress }))).toMatchObject({ code: "target_exists" });
  expect(fs.readFileSync(target, "utf8")).toBe("mine");
});

test.each([
  [
    "its parent isn't there",
    "/nowhere/target",
    "its parent folder doesn't exist. The recovery point is untouched. Mount its disk, or make it (`mkdir -p '/nowhere'`), and run",
  ],
  ["its parent is a file", "/etc/passwd/target", "its parent isn't a folder"],
])("a target that can't be made is an error that says why: %s", async (_, target, reason) => {
  const { tested, point } = await prepare();
  const error = await rejection(restore(tested, point, target));
  expect(error).toMatchObject({ code: "target_failed" });
  expect(error.message).toContain(reason);
});

test("only selected paths, with the folders that lead to them", async () => {
  const { tested, point, target, source } = await prepare();
  await restore(tested, point, target, { paths: ["/deep/er/", "small"] });
  expect(fs.readdirSync(target, { recursive: true }).map(String).toSorted(byName)).toEqual([
    "deep",
    "deep/er",
    "deep/er/noise",
    "small",
  ]);
  expect(fs.statSync(path.join(target, "deep/er")).mode & 0o777).toBe(0o500);
  expect(fs.statSync(path.join(target, "deep")).mtimeMs).toBe(fs.statSync(path.join(source, "deep")).mtimeMs);
});

test("a hard link alone, selected without its first name, is a whole file", async () => {
  const { tested, point, target } = await prepare();
  await restore(tested, point, target, { paths: ["small"] });
  expect(fs.readFileSync(path.join(target, "small"), "utf8")).toBe("small");
});

test.each([["deep/no"], ["small/below"], ["deep/link/x"]])(
  "a selected path that isn't there is an error: %s",
  async (wanted) => {
    const { tested, point, target } = await prepare();
    expect(await rejection(restore(tested, point, target, { paths: [wanted] }))).toMatchObject({ code: "not_found" });
    expect(fs.readdirSync(path.dirname(target)).filter((name) => name.startsWith(path.basename(target)))).toEqual([]);
  },
);

test("a path may be selected as it was on the host", async () => {
  const { tested, point, target, source } = await prepare();
  await restore(tested, point, target, { paths: [path.join(source, "small")] });
  expect(fs.readdirSync(target)).toEqual(["small"]);
});

test("a selected path that leads out of the directory is refused", async () => {
  const { tested, point, target } = await prepare();
  expect(await rejection(restore(tested, point, target, { paths: ["deep/../../x"] }))).toMatchObject({ code: "usage" });
});

test("damage: the rest is restored, the report names files and bytes, and the target waits for a whole copy", async () => {
  const { tested, point, target, source, folder } = await prepare();
  const mend = await damagePacks(tested, 100_000);
  const report = await restore(tested, point, target);
  expect(report.complete).toBe(false);
  expect(fs.existsSync(target)).toBe(false);
  expect(partials(folder)).toEqual([path.basename(report.place)]);
  expect(report.damaged.map(({ path: file, offset }) => [file, offset])).toContainEqual(["deep/large", 0]);
  for (const { path: file, offset = 0, length = 0 } of report.damaged) {
    const restored = fs.readFileSync(path.join(report.place, file ?? ""));
    expect(restored.length).toBe(fs.statSync(path.join(source, file ?? "")).size);
    expect(restored.subarray(offset, offset + length).every((byte) => byte === 0)).toBe(true);
  }
  expect(fs.readFileSync(path.join(report.place, "small"), "utf8")).toBe("small");

  await mend();
  const again = await restore(tested, point, target);
  expect(again).toMatchObject({ complete: true, place: target });
  expect(again.bytesInPlace).toBeGreaterThan(0);
  expect(describeTree(target)).toEqual(describeTree(source));
  expect(partials(folder)).toEqual([]);
});

test("damage with `keepGoing`: the target gets its name", async () => {
  const { tested, point, target } = await prepare();
  await damagePacks(tested, 100_000);
  const report = await restore(tested, point, target, { keepGoing: true });
  expect(report).toMatchObject({ complete: false, place: target });
  expect(fs.readFileSync(path.join(target, "small"), "utf8")).toBe("small");
});

test("blobs that a sweep has moved since the index was read aren't damaged", async () => {
  const { tested, target, source, folder } = await prepare();
  for (let number = 1; number <= 8; number++) {
    fs.writeFileSync(path.join(source, String(number)), randomBytes(1000));
    await capture(tested, { kind: "directory", path: source });
  }
  const { point } = await capture(tested, { kind: "directory", path: source });
  const store = await BlobStore.load(tested.repository);
  const grace = 24 * 3_600_000;
  let deleted = 0;
  for (let visit = 1; visit <= 2; visit++) {
    tested.clock.pass(2 * grace);
    deleted += (await sweep(tested.repository, { grace, executor: inlineExecutor })).deleted.packs;
  }
  expect(deleted).toBeGreaterThan(8);
  const report = await restore(tested, point, target, { store });
  expect(report).toMatchObject({ complete: true, damaged: [], place: target, bytesInPlace: 0 });
  expect(describeTree(target)).toEqual(describeTree(source));
  expect(partials(folder)).toEqual([]);
});

test("a folder whose entries are lost is named, and the others are restored", async () => {
  const { tested, target, source } = await prepare();
  const metadata = (): string[] =>
    [...tested.disk.contents()]
      .filter(([name, content]) => name.includes("/packs/") && content.length < 100_000)
      .map(([name]) => name);
  const earlier = metadata();
  fs.writeFileSync(path.join(source, "new"), "new");
  const { point } = await capture(tested, { kind: "directory", path: source });
  // The point's own folder is in a pack of its own; all that it shares with the first point is lost.
  for (const pack of earlier) await tested.disk.unlink(pack);
  const report = await restore(tested, point, target, { keepGoing: true });
  expect(report.damaged.map(({ path: folder, offset }) => [folder, offset])).toEqual([["deep", undefined]]);
  expect(fs.readdirSync(target)).toEqual(["deep", "new", "small"]);
  expect(fs.readFileSync(path.join(target, "new"), "utf8")).toBe("new");
});

test("entries that don't say what they hold are damage", async () => {
  const { tested, point, target } = await prepare();
  const store = await BlobStore.load(tested.repository);
  const session = new WriteSession(store, inlineExecutor);
  const common = { mode: 0o600, uid: 0, gid: 0, mtime: "1.000000000", ctime: "1.000000000", inode: "1" };
  const tree = await writeDirectory(session.writer, [
    { name: "file", type: "file", size: 5, ...common },
    { name: "folder", type: "directory", ...common },
    { name: "whole", type: "file", size: 0, depth: 0, root: "0".repeat(64), ...common },
  ]);
  await session.finish();
  const entry = { ...common, type: "directory", tree: tree.toString("hex") } as const;
  const manifest = { ...point.manifest, parts: [{ name: "directory", kind: "directory", path: "/x", entry }] } as const;
  const made = await commitPoint(tested.repository, { ...manifest, parts: [...manifest.parts] });
  const report = await restore(tested, made, target);
  expect(new Set(report.damaged.map(({ path: name }) => name))).toEqual(new Set(["file", "folder"]));
  expect(fs.readdirSync(report.place)).toEqual(["file", "folder", "whole"]);
});

test("a restore that was cut off goes on where it was, and mends what the cut spoiled", async () => {
  const { tested, point, target, source, folder } = await prepare();
  const cancel = new AbortController();
  const cut = restore(tested, point, target, { signal: cancel.signal, progress: () => cancel.abort() });
  expect(await rejection(cut)).toMatchObject({ code: "cancelled" });
  const [partial] = partials(folder);
  const left = path.join(folder, partial ?? "");
  expect(fs.existsSync(path.join(left, "deep/large"))).toBe(true);
  // What a loss of power does: a file of the right length with the wrong bytes; and half-made things of other kinds.
  fs.chmodSync(path.join(left, "deep/er"), 0o700);
  fs.writeFileSync(path.join(left, "deep/er/noise"), Buffer.alloc(noise.length));
  fs.rmSync(path.join(left, "small"), { force: true });
  fs.symlinkSync("/etc/passwd", path.join(left, "small"));
  fs.writeFileSync(path.join(left, "deep/link"), "not a link");
  const report = await restore(tested, point, target);
  expect(report.bytesInPlace).toBeGreaterThan(0);
  expect(describeTree(target)).toEqual(describeTree(source));
  expect(partials(folder)).toEqual([]);
});

test("another point or other paths don't go on with what a restore has left", async () => {
  const { tested, point, target, folder } = await prepare();
  await damagePacks(tested, 100_000);
  await restore(tested, point, target);
  await restore(tested, point, target, { paths: ["deep"] });
  expect(partials(folder)).toHaveLength(2);
});

test("an image comes back sparse, and damage in it is named by its bytes", async () => {
  const folder = await tempDir();
  const file = path.join(folder, "disk.img");
  const target = path.join(folder, "restored");
  fs.writeFileSync(file, noise);
  fs.truncateSync(file, 48 * 2 ** 20);
  fs.appendFileSync(file, seededRandom(6).bytes(300_000));
  const tested = await makeTestRepository();
  const { point } = await capture(tested, { kind: "image", path: file });
  expect(await restore(tested, point, target)).toMatchObject({ complete: true, bytes: 48 * 2 ** 20 + noise.length });
  expect(fs.readFileSync(target).equals(fs.readFileSync(file))).toBe(true);
  expect(fs.statSync(target).blocks * 512).toBeLessThan(2 * 2 ** 20);
  expect(await rejection(restore(tested, point, `${target}2`, { paths: ["x"] }))).toMatchObject({ code: "usage" });

  await damagePacks(tested, 100_000);
  const report = await restore(tested, point, `${target}2`);
  expect(report.damaged).toMatchObject([{ path: "", offset: 0, length: 131_072 }]);
  const restored = fs.readFileSync(report.place);
  expect(restored.subarray(0, 131_072).every((byte) => byte === 0)).toBe(true);
  expect(restored.subarray(131_072).equals(fs.readFileSync(file).subarray(131_072))).toBe(true);
});

test.runIf(process.getuid?.() === 0)(
  "what needs rights that aren't there is said plainly, and set-user-id is not given away",
  async () => {
    const { tested, source, folder } = await prepare();
    fs.chmodSync(folder, 0o777);
    fs.chownSync(path.join(source, "small"), 1234, 1234);
    fs.chmodSync(path.join(source, "small"), 0o4755);
    const { point } = await capture(tested, { kind: "directory", path: source });
    const store = await BlobStore.load(tested.repository);
    const target = path.join(folder, "target");
    process.seteuid?.(65534);
    const report = await restorePoint({ store, executor: inlineExecutor, point, target }).finally(() =>
      process.seteuid?.(0),
    );
    expect(report.complete).toBe(true);
    expect(report.shortfalls.map(({ what }) => what)).toContain("owner");
    expect(fs.statSync(path.join(target, "small")).mode & 0o7777).toBe(0o755);
  },
);

test("each pack of an image is read once from a far storage, and as a whole", async () => {
  const folder = await tempDir();
  const [file, target] = [path.join(folder, "image"), path.join(folder, "target")];
  fs.writeFileSync(file, randomBytes(20 * 1024 * 1024));
  const tested = await makeTestRepository();
  const { point } = await capture(tested, { kind: "image", path: file });
  const storage = new FaultyStorage(tested.repository.storage);
  const address = { kind: "s3" } as StorageAddress;
  const store = await BlobStore.load({ ...tested.repository, storage, address });
  await restore(tested, point, target, { store });
  expect(fs.readFileSync(target).equals(fs.readFileSync(file))).toBe(true);
  const packs = [...store.packs.all()].map(([, { id }]) => `get ${packName(id)}`);
  expect(packs.length).toBeGreaterThan(2);
  expect(storage.calls.filter((call) => call.startsWith("get packs/")).toSorted()).toEqual(packs.toSorted());
});
