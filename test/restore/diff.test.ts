import * as fs from "node:fs";
import * as path from "node:path";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import type { RecoveryPoint } from "../../src/repository/points/manifest.ts";
import { type Difference, diffPoints } from "../../src/restore/diff.ts";
import { capture } from "../helpers/capture.ts";
import { collect } from "../helpers/collect.ts";
import { rejection } from "../helpers/rejection.ts";
import { makeTestRepository, type TestRepository } from "../helpers/repository.ts";
import { tempDir } from "../helpers/temp-dir.ts";

async function differences(tested: TestRepository, before: RecoveryPoint, after: RecoveryPoint): Promise<Difference[]> {
  const { reader } = await BlobStore.load(tested.repository);
  return await collect(diffPoints(reader, before, after));
}

test("added, removed and changed, and what about it changed", async () => {
  const source = await tempDir();
  const at = (name: string): string => path.join(source, name);
  fs.mkdirSync(at("deep/er"), { recursive: true });
  for (const name of ["stays", "grows", "mode", "goes", "touched", "deep/er/turns"]) fs.writeFileSync(at(name), "1");
  const tested = await makeTestRepository();
  const take = async (): Promise<RecoveryPoint> => {
    for (const name of ["", "deep", "deep/er", "deep/er/turns", "grows", "mode"]) fs.lutimesSync(at(name), 1000, 1000);
    return (await capture(tested, { kind: "directory", path: source })).point;
  };
  const before = await take();
  fs.appendFileSync(at("grows"), "2");
  fs.chmodSync(at("mode"), 0o600);
  fs.utimesSync(at("touched"), 1000, 1000);
  fs.rmSync(at("goes"));
  fs.mkdirSync(at("new"));
  fs.writeFileSync(at("new/inside"), "x");
  fs.rmSync(at("deep/er/turns"));
  fs.symlinkSync("x", at("deep/er/turns"));
  const after = await take();
  expect(await differences(tested, before, after)).toEqual([
    { kind: "changed", path: "deep/er/turns", aspects: ["type", "mode"] },
    { kind: "removed", path: "goes", type: "file" },
    { kind: "changed", path: "grows", aspects: ["content"] },
    { kind: "changed", path: "mode", aspects: ["mode"] },
    { kind: "added", path: "new", type: "directory" },
    { kind: "changed", path: "touched", aspects: ["time"] },
  ]);
  expect(await differences(tested, after, after)).toEqual([]);
  expect(await differences(tested, after, before)).toContainEqual({ kind: "removed", path: "new", type: "directory" });
});

test("images: exactly the blocks that differ, for any content and length", async () => {
  const block = 131_072;
  // Some in the first leaf, some in a later one, so that whole leaves are holes on one side.
  const places = [0, 1, 5, 255, 256, 600];
  const file = path.join(await tempDir(), "image");
  const tested = await makeTestRepository();
  const take = async (
    values: readonly number[],
  ): Promise<{ point: RecoveryPoint; blocks: Map<number, number>; length: number }> => {
    const blocks = new Map(values.map((value, position) => [places[position] as number, value]));
    fs.writeFileSync(file, "");
    const fd = fs.openSync(file, "r+");
    for (const [place, value] of blocks) fs.writeSync(fd, Buffer.alloc(block, value), 0, block, place * block);
    fs.closeSync(fd);
    const { point } = await capture(tested, { kind: "image", path: file });
    return { point, blocks, length: Math.max(...blocks.keys()) + 1 };
  };
  const content = fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: places.length });
  await fc.assert(
    fc.asyncProperty(content, content, async (one, other) => {
      const before = await take(one);
      const after = await take(other);
      const found = await differences(tested, before.point, after.point);
      const ranges = found.flatMap((range) => (range.kind === "range" ? [range] : []));
      const blocks = ranges.flatMap(({ offset, length }) =>
        Array.from({ length: length / block }, (_, i) => offset / block + i),
      );
      const common = places.filter((place) => place < Math.min(before.length, after.length));
      expect(blocks).toEqual(
        common.filter((place) => (before.blocks.get(place) ?? 0) !== (after.blocks.get(place) ?? 0)),
      );
      expect(found.some((range) => range.kind === "part")).toBe(before.length !== after.length);
    }),
    { numRuns: 8 },
  );
});

test("points of different kinds aren't compared", async () => {
  const tested = await makeTestRepository();
  const source = await tempDir();
  const { point } = await capture(tested, { kind: "directory", path: source });
  const dump = await capture(tested, { kind: "command", run: ["true"], timeout: 10_000 });
  expect(await rejection(differences(tested, point, dump.point))).toMatchObject({ code: "usage" });
});

test("a dump that differs is told with both lengths", async () => {
  const tested = await makeTestRepository();
  const before = await capture(tested, { kind: "command", run: ["echo", "a"], timeout: 10_000 });
  const after = await capture(tested, { kind: "command", run: ["echo", "abc"], timeout: 10_000 });
  expect(await differences(tested, before.point, after.point)).toEqual([
    { kind: "part", part: "output", before: 2, after: 4 },
  ]);
  expect(await differences(tested, after.point, after.point)).toEqual([]);
});
