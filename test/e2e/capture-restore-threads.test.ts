import * as fs from "node:fs";
import * as path from "node:path";
import { expect, test } from "vitest";
import { captureSource, type CaptureSource } from "../../src/capture/capture-source.ts";
import { systemClock } from "../../src/host/clock.ts";
import { threadedExecutor } from "../../src/job/threads.ts";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { createRepository } from "../../src/repository/repository.ts";
import { restorePoint } from "../../src/restore/restore-point.ts";
import { createStorage, openStorage } from "../../src/storage/open.ts";
import { describeTree } from "../helpers/describe-tree.ts";
import { mutateTree } from "../helpers/random-tree.ts";
import { seededRandom } from "../helpers/seeded-random.ts";
import { tempDir } from "../helpers/temp-dir.ts";

test("every kind of source, captured and restored by threads on a real file system", async () => {
  const folder = await tempDir();
  const at = (name: string): string => path.join(folder, name);
  const address = { kind: "fs", location: "primary", path: at("repository") } as const;
  await createStorage(address);
  const key = { type: "key-file", secret: Buffer.alloc(32, 3) } as const;
  const repository = await createRepository({
    storage: openStorage(address),
    clock: systemClock,
    key,
    label: "test",
    address,
  });
  fs.mkdirSync(at("tree"));
  mutateTree(at("tree"), seededRandom(11), 150);
  fs.writeFileSync(at("tree/large"), seededRandom(12).bytes(9_000_000));
  fs.writeFileSync(at("image"), seededRandom(13).bytes(1_000_000));
  const sources: CaptureSource[] = [
    { name: "tree", kind: "directory", path: at("tree") },
    { name: "image", kind: "image", path: at("image") },
    { name: "dump", kind: "command", run: ["cat", at("tree/large")], timeout: 300_000 },
  ];
  for (const source of sources) {
    const store = await BlobStore.load(repository);
    const common = {
      repository,
      executor: threadedExecutor,
      policy: "p",
      host: "h",
      points: [],
      grace: 7_200_000,
      version: "0",
    };
    const { point } = await captureSource({ ...common, store, source });
    const target = at(`restored-${source.name}`);
    const fresh = await BlobStore.load(repository);
    const report = await restorePoint({ store: fresh, executor: threadedExecutor, point, target });
    expect(report).toMatchObject({ complete: true, place: target, shortfalls: [] });
  }
  expect(describeTree(at("restored-tree"))).toEqual(describeTree(at("tree")));
  expect(fs.readFileSync(at("restored-image")).equals(fs.readFileSync(at("image")))).toBe(true);
  expect(fs.readFileSync(at("restored-dump")).equals(fs.readFileSync(at("tree/large")))).toBe(true);
});
