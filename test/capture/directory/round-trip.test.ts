import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { syscallsAvailable } from "../../../src/host/syscalls.ts";
import { capture, restore } from "../../helpers/capture.ts";
import { describeTree } from "../../helpers/describe-tree.ts";
import { mutateTree } from "../../helpers/random-tree.ts";
import { makeTestRepository } from "../../helpers/repository.ts";
import { seededRandom } from "../../helpers/seeded-random.ts";
import { tempDir } from "../../helpers/temp-dir.ts";

test.runIf(syscallsAvailable())(
  "any tree comes back as it was, at each of its points, whatever happened to it between",
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.array(fc.integer({ min: 0, max: 25 }), { minLength: 1, maxLength: 3 }),
        async (seed, rounds) => {
          const folder = await tempDir();
          const source = path.join(folder, "source");
          fs.mkdirSync(source);
          const random = seededRandom(seed);
          const tested = await makeTestRepository();
          const points = [];
          for (const steps of rounds) {
            mutateTree(source, random, steps);
            const { point } = await capture(tested, { kind: "directory", path: source });
            expect(point.manifest.consistency).toBe("crash");
            points.push({ point, was: describeTree(source) });
          }
          const again = await capture(tested, { kind: "directory", path: source });
          expect(again.point.manifest.statistics.new).toBe(0);
          for (const [number, { point, was }] of points.entries()) {
            const target = path.join(folder, `restored-${number}`);
            const report = await restore(tested, point, target);
            expect(report).toMatchObject({ complete: true, place: target, shortfalls: [] });
            expect(describeTree(target)).toEqual(was);
          }
        },
      ),
      { numRuns: 6 },
    );
  },
);

test("a folder of 4,200 entries comes back, and one more of them changes little", async () => {
  const folder = await tempDir();
  const source = path.join(folder, "source");
  fs.mkdirSync(source);
  for (let i = 0; i < 50; i++) fs.writeFileSync(path.join(source, `file-${i}`), `content ${i}`);
  // Names are what this is about, and further names of a file are quicker to make than files.
  for (let i = 50; i < 4200; i++) fs.linkSync(path.join(source, `file-${i % 50}`), path.join(source, `file-${i}`));
  const tested = await makeTestRepository();
  const first = await capture(tested, { kind: "directory", path: source });
  await restore(tested, first.point, path.join(folder, "restored"));
  expect(describeTree(path.join(folder, "restored"))).toEqual(describeTree(source));
  fs.writeFileSync(path.join(source, "file-777b"), "");
  const second = await capture(tested, { kind: "directory", path: source });
  expect(second.point.manifest.statistics.new).toBeLessThan(first.point.manifest.statistics.new);
});

test.runIf(syscallsAvailable())("a hole of 1 GiB isn't read, isn't stored, and comes back as a hole", async () => {
  const folder = await tempDir();
  const source = path.join(folder, "source");
  fs.mkdirSync(source);
  const file = path.join(source, "disk");
  fs.writeFileSync(file, "the beginning");
  fs.truncateSync(file, 2 ** 30);
  fs.appendFileSync(file, "the end");
  const tested = await makeTestRepository();
  const { point } = await capture(tested, { kind: "directory", path: source });
  const { size, read, stored } = point.manifest.statistics;
  expect(size).toBe(2 ** 30 + 7);
  expect(read).toBeLessThan(64 * 2 ** 20);
  expect(stored).toBeLessThan(100_000);
  await restore(tested, point, path.join(folder, "restored"));
  const restored = fs.statSync(path.join(folder, "restored/disk"));
  expect(restored.size).toBe(2 ** 30 + 7);
  expect(restored.blocks * 512).toBeLessThan(2 ** 20);
  const fd = fs.openSync(path.join(folder, "restored/disk"), "r");
  const end = Buffer.alloc(8);
  fs.readSync(fd, end, 0, 8, 2 ** 30 - 1);
  fs.closeSync(fd);
  expect(end.toString()).toBe("\0the end");
});

test.runIf(syscallsAvailable())("the same content is the same blobs, with holes or without", async () => {
  const folder = await tempDir();
  const source = path.join(folder, "source");
  fs.mkdirSync(source);
  const content = Buffer.concat([randomBytes(700_001), Buffer.alloc(9_000_000), randomBytes(300_000)]);
  fs.writeFileSync(path.join(source, "full"), content);
  const tested = await makeTestRepository();
  await capture(tested, { kind: "directory", path: source });
  const fd = fs.openSync(path.join(source, "sparse"), "wx");
  fs.writeSync(fd, content, 0, 700_001, 0);
  fs.writeSync(fd, content, 9_700_001, 300_000, 9_700_001);
  fs.closeSync(fd);
  const { point } = await capture(tested, { kind: "directory", path: source });
  expect(point.manifest.statistics.new).toBeLessThan(1000);
  await restore(tested, point, path.join(folder, "restored"));
  expect(describeTree(path.join(folder, "restored"))).toEqual(describeTree(source));
  expect(fs.statSync(path.join(folder, "restored/full")).blocks * 512).toBeGreaterThanOrEqual(content.length);
  expect(fs.statSync(path.join(folder, "restored/sparse")).blocks * 512).toBeLessThan(2_000_000);
});
