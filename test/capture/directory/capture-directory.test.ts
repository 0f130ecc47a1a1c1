import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/host/clock.ts";
import { openIndex, sealIndex } from "../../../src/repository/blobs/index-object.ts";
import { packName } from "../../../src/repository/blobs/pack.ts";
import { capture, restore } from "../../helpers/capture.ts";
import { describeTree } from "../../helpers/describe-tree.ts";
import { rejection } from "../../helpers/rejection.ts";
import { makeTestRepository, namesOf, type TestRepository } from "../../helpers/repository.ts";
import { tempDir } from "../../helpers/temp-dir.ts";

const byName = (a: string, b: string): number => (a < b ? -1 : 1);
const isRoot = process.getuid?.() === 0;

/** A source with files that have been still for long, so that only what a test does counts as a change. */
async function makeSource(files: Readonly<Record<string, string>>): Promise<{ source: string; folder: string }> {
  const folder = await tempDir();
  const source = path.join(folder, "source");
  fs.mkdirSync(source);
  for (const [name, content] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(source, name)), { recursive: true });
    fs.writeFileSync(path.join(source, name), content);
  }
  return { source, folder };
}

test("what changes, grows, vanishes and appears while it is read is captured as of one instant", async () => {
  const { source, folder } = await makeSource({
    stays: "1",
    grows: "1",
    vanishes: "1",
    "deep/changes": "1",
    "gone/with": "it",
  });
  const at = (name: string): string => path.join(source, name);
  const disturb = [
    () => fs.appendFileSync(at("grows"), "2"),
    () => fs.rmSync(at("vanishes")),
    () => fs.writeFileSync(at("deep/changes"), "2"),
    () => {
      fs.rmSync(at("gone"), { recursive: true });
      fs.mkdirSync(at("new/folder"), { recursive: true });
      fs.writeFileSync(at("new/folder/file"), "3");
    },
  ];
  const tested = await makeTestRepository();
  const { point } = await capture(tested, {
    kind: "directory",
    path: source,
    beforePass: (pass) => disturb[pass - 1]?.(),
  });
  expect(point.manifest.consistency).toBe("crash");
  await restore(tested, point, path.join(folder, "restored"));
  expect(describeTree(path.join(folder, "restored"))).toEqual(describeTree(source));
});

test("what never settles is captured, and the point says so", async () => {
  const { source } = await makeSource({ log: "0", "other/file": "x" });
  const tested = await makeTestRepository();
  let passes = 0;
  const report = await capture(tested, {
    kind: "directory",
    path: source,
    beforePass: (pass) => {
      passes = pass;
      fs.appendFileSync(path.join(source, "log"), String(pass));
    },
  });
  expect(report.point.manifest.consistency).toBe("none");
  expect(report.unsettled).toBe(1);
  expect(passes).toBeLessThan(10);
});

test("a change of the folder itself is noticed", async () => {
  const { source, folder } = await makeSource({ file: "x" });
  const tested = await makeTestRepository();
  const beforePass = (pass: number): void => void (pass === 1 && fs.chmodSync(source, 0o711));
  const { point } = await capture(tested, { kind: "directory", path: source, beforePass });
  await restore(tested, point, path.join(folder, "restored"));
  expect(fs.statSync(path.join(folder, "restored")).mode & 0o777).toBe(0o711);
});

/** Until what was just written no longer counts as being changed still, which makes it be read twice. */
async function settle(): Promise<void> {
  await systemClock.sleep(50);
}

test("files that didn't change aren't read again", async () => {
  const { source } = await makeSource({ old: "a".repeat(1000), changes: "b".repeat(10) });
  const tested = await makeTestRepository();
  const readBytes = async (): Promise<number> => {
    await settle();
    return (await capture(tested, { kind: "directory", path: source })).point.manifest.statistics.read;
  };
  // An hour ahead: as if what is written now had been written an hour before.
  tested.clock.pass(Date.now() - tested.clock.now() + 3_600_000);
  expect(await readBytes()).toBe(1010);
  expect(await readBytes()).toBe(0);
  fs.writeFileSync(path.join(source, "changes"), "c".repeat(10));
  expect(await readBytes()).toBe(10);
  // Back to the present: what was written so shortly before the last capture is not to be trusted.
  tested.clock.pass(-3_600_000);
  await readBytes();
  expect(await readBytes()).toBe(1010);
});

/** Packs with data and all that the index says of them: nothing but the points' trees tells of them then. */
async function loseData({ repository: { storage, keys } }: TestRepository): Promise<void> {
  for (const name of await namesOf(storage, "index/")) {
    const packs = openIndex(keys, name, await storage.get(name));
    const left = sealIndex(
      keys,
      packs.filter((pack) => pack.class !== "data"),
    );
    await storage.put(left.name, [left.data]);
    await storage.delete(name);
    for (const pack of packs) if (pack.class === "data") await storage.delete(packName(pack.id));
  }
}

test("an unchanged file whose content the repository has lost is read again", async () => {
  const { source, folder } = await makeSource({ small: "s".repeat(1000), empty: "" });
  fs.writeFileSync(path.join(source, "large"), randomBytes(5_000_000));
  const tested = await makeTestRepository();
  tested.clock.pass(Date.now() - tested.clock.now() + 3_600_000);
  await settle();
  await capture(tested, { kind: "directory", path: source });
  await loseData(tested);
  const { point } = await capture(tested, { kind: "directory", path: source });
  expect(point.manifest.statistics).toMatchObject({ read: 5_001_000, new: 5_001_000 });
  expect(await restore(tested, point, path.join(folder, "restored"))).toMatchObject({ complete: true });
  const again = await capture(tested, { kind: "directory", path: source });
  expect(again.point.manifest.statistics.read).toBe(0);
});

test("a file put back with the size and time that it had is seen to differ", async () => {
  const { source, folder } = await makeSource({ file: "one" });
  const file = path.join(source, "file");
  fs.utimesSync(file, 1000, 1000);
  const tested = await makeTestRepository();
  // An hour ahead, so that nothing is read again only because it is recent.
  tested.clock.pass(Date.now() - tested.clock.now() + 3_600_000);
  await capture(tested, { kind: "directory", path: source });
  await settle();
  fs.writeFileSync(file, "two");
  fs.utimesSync(file, 1000, 1000);
  await settle();
  const { point } = await capture(tested, { kind: "directory", path: source });
  await restore(tested, point, path.join(folder, "restored"));
  expect(fs.readFileSync(path.join(folder, "restored/file"), "utf8")).toBe("two");
});

test("what is excluded, and Stillpoint's own folders, aren't captured", async () => {
  const { source, folder } = await makeSource({
    "keep/a": "1",
    "keep/a.tmp": "1",
    "cache/b": "1",
    "own*/pack": "1",
    "ownX/c": "1",
  });
  const tested = await makeTestRepository();
  const { point } = await capture(tested, {
    kind: "directory",
    path: source,
    exclude: ["*.tmp", "/cache/"],
    leaveOut: [path.join(source, "own*")],
  });
  await restore(tested, point, path.join(folder, "restored"));
  expect(fs.readdirSync(path.join(folder, "restored"), { recursive: true }).map(String).toSorted(byName)).toEqual([
    "keep",
    "keep/a",
    "ownX",
    "ownX/c",
  ]);
  expect(point.manifest.left_out_count).toBe(0);
});

test("a hard-linked file is read once", async () => {
  const { source } = await makeSource({ "a/file": "x".repeat(5000), "b/other": "y" });
  for (let i = 0; i < 10; i++) fs.linkSync(path.join(source, "a/file"), path.join(source, `b/link-${i}`));
  const tested = await makeTestRepository();
  await settle();
  const { point } = await capture(tested, { kind: "directory", path: source });
  expect(point.manifest.statistics.read).toBe(5001);
});

test("the source's times of access stay as they are", async () => {
  const { source } = await makeSource({ file: "content" });
  const file = path.join(source, "file");
  fs.utimesSync(file, 1, fs.statSync(file).mtime);
  await capture(await makeTestRepository(), { kind: "directory", path: source });
  expect(fs.statSync(file).atimeMs).toBe(1000);
});

test("a source that isn't there, or is a file, is an error", async () => {
  const { source } = await makeSource({ file: "x" });
  const tested = await makeTestRepository();
  expect(await rejection(capture(tested, { kind: "directory", path: `${source}/no` }))).toMatchObject({
    code: "source_missing",
  });
  expect(await rejection(capture(tested, { kind: "directory", path: `${source}/file` }))).toMatchObject({
    code: "source_missing",
  });
});

test("a source that vanishes while it is captured is an error, and no point is made", async () => {
  const { source } = await makeSource({ file: "x" });
  const tested = await makeTestRepository();
  const beforePass = (): void => fs.rmSync(source, { recursive: true });
  const error = await rejection(capture(tested, { kind: "directory", path: source, beforePass }));
  expect(error).toMatchObject({ code: "source_missing" });
  expect([...tested.disk.contents().keys()].filter((name) => name.includes("/points/"))).toEqual([]);
});

test("a symbolic link to the source's folder is followed, one in it isn't", async () => {
  const { source, folder } = await makeSource({ file: "x" });
  fs.symlinkSync("/", path.join(source, "everything"));
  fs.symlinkSync(source, path.join(folder, "link"));
  const tested = await makeTestRepository();
  const { point } = await capture(tested, { kind: "directory", path: path.join(folder, "link") });
  expect(point.manifest.statistics.size).toBe(1);
});

test.runIf(isRoot)("other file systems stay empty folders, unless they are wanted", async () => {
  const tested = await makeTestRepository();
  // /dev has /dev/shm or /dev/pts below it, on file systems of their own.
  const here = fs.statSync("/dev").dev;
  const others = fs.readdirSync("/dev").filter((name) => {
    const stats = fs.lstatSync(`/dev/${name}`);
    return stats.isDirectory() && stats.dev !== here;
  });
  const { point } = await capture(tested, { kind: "directory", path: "/dev" });
  const folder = await tempDir();
  await restore(tested, point, path.join(folder, "restored"));
  for (const name of others) expect(fs.readdirSync(path.join(folder, "restored", name))).toEqual([]);
  expect(fs.lstatSync(path.join(folder, "restored/null")).rdev).toBe(fs.lstatSync("/dev/null").rdev);
});

test.runIf(isRoot)(
  "without the rights to read something the rest is captured, and what is missing is named",
  async () => {
    const { source } = await makeSource({ open: "x", secret: "y", "closed/file": "z" });
    fs.chmodSync(path.dirname(source), 0o755);
    fs.chmodSync(path.join(source, "secret"), 0o600);
    fs.chmodSync(path.join(source, "closed"), 0o700);
    const tested = await makeTestRepository();
    const seteuid = process.seteuid?.bind(process);
    seteuid?.(65534);
    try {
      const { point } = await capture(tested, { kind: "directory", path: source });
      expect(point.manifest.left_out.toSorted((a, b) => String(a.path).localeCompare(String(b.path)))).toEqual([
        { path: "closed", reason: "permission denied" },
        { path: "secret", reason: "permission denied" },
      ]);
      expect(point.manifest).toMatchObject({ consistency: "crash", left_out_count: 2, statistics: { size: 1 } });
      seteuid?.(0);
      fs.chmodSync(source, 0o700);
      seteuid?.(65534);
      expect(await rejection(capture(tested, { kind: "directory", path: source }))).toMatchObject({
        code: "source_denied",
      });
    } finally {
      seteuid?.(0);
    }
  },
);

/** What was changed just before is read twice: then it goes back. */
function firstPass(done: readonly number[], size: number): readonly number[] {
  return done.slice(0, done.indexOf(size) + 1);
}

test("progress counts large files as they are read, up to what there is, which the last point tells", async () => {
  const { source } = await makeSource({ "deep/small": "1234" });
  const large = 17 * 1024 ** 2;
  for (const name of ["a", "b", "c"]) {
    const file = path.join(source, "deep", name);
    fs.writeFileSync(file, "");
    fs.truncateSync(file, large);
  }
  const size = 3 * large + 4;
  const tested = await makeTestRepository();
  const seen: { readonly done: number; readonly total: number | undefined }[] = [];
  const options = { progress: (progress: (typeof seen)[0]) => void seen.push(progress) };
  await capture(tested, { kind: "directory", path: source }, options);
  expect(seen.filter(({ total }) => total !== undefined)).toEqual([]);
  const done = seen.map((progress) => progress.done);
  const first = firstPass(done, size);
  expect(first.length).toBeGreaterThan(3);
  expect(first).toEqual(first.toSorted((a, b) => a - b));
  expect(Math.max(...done)).toBe(size);
  expect(seen.at(-1)).toEqual({ done: size, total: undefined });

  await capture(tested, { kind: "directory", path: source }, options);
  expect(seen.at(-1)).toEqual({ done: size, total: size });
});

test("progress moves within a large file, which counts once, also where it has two names", async () => {
  const { source } = await makeSource({ "deep/small": "1234" });
  const large = Buffer.alloc(30 * 1024 ** 2, "something or other ");
  fs.writeFileSync(path.join(source, "deep/one"), large);
  fs.linkSync(path.join(source, "deep/one"), path.join(source, "deep/two"));
  const tested = await makeTestRepository();
  const seen: number[] = [];
  const progress = ({ done }: { done: number }): void => void seen.push(done);
  await capture(tested, { kind: "directory", path: source }, { progress });
  const first = firstPass(seen, 2 * large.length + 4);
  expect(first.filter((done) => done < large.length).length).toBeGreaterThanOrEqual(3);
  expect(first).toEqual(first.toSorted((a, b) => a - b));
  expect(seen.at(-1)).toBe(2 * large.length + 4);
});
