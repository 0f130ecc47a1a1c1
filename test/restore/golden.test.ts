import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../src/host/clock.ts";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { loadCatalog } from "../../src/repository/points/catalog.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import { parseKeyFile } from "../../src/repository/keys/key-objects.ts";
import { openRepository } from "../../src/repository/repository.ts";
import { restorePoint } from "../../src/restore/restore-point.ts";
import { openStorage } from "../../src/storage/open.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const vectors = path.join(import.meta.dirname, "../vectors");
const isRoot = process.getuid?.() === 0;
const python = "/usr/bin/python3";

interface Described {
  readonly sha256?: string;
  readonly size?: number;
}

interface Expected {
  readonly points: readonly {
    readonly id: string;
    readonly entries?: readonly Described[];
    readonly content?: { readonly size: number; readonly sha256: string };
  }[];
}

/** All points of a repository of test/vectors, restored. */
async function restoreAll(name: string) {
  const folder = await tempDir();
  const address = { kind: "fs", location: "primary", path: path.join(vectors, name) } as const;
  const secret = parseKeyFile(fs.readFileSync(path.join(vectors, "key-file"), "utf8"), "key-file");
  const key = { type: "key-file", secret } as const;
  const storage = openStorage(address, { readOnly: true });
  const repository = await openRepository({ storage, clock: systemClock, secret: key, address });
  const store = await BlobStore.load(repository);
  const reports = new Map<string, Awaited<ReturnType<typeof restorePoint>>>();
  for (const point of (await loadCatalog(repository)).points) {
    const target = path.join(folder, point.id);
    reports.set(point.id, await restorePoint({ store, executor: inlineExecutor, point, target }));
  }
  return { folder, reports };
}

test.runIf(isRoot && fs.existsSync(python))(
  "the golden repository is restored to what its independent writer meant",
  async () => {
    const { reports } = await restoreAll("repository-v1");
    const expected = JSON.parse(fs.readFileSync(path.join(vectors, "expected.json"), "utf8")) as Expected;
    expect([...reports.keys()].toSorted()).toEqual(expected.points.map(({ id }) => id).toSorted());
    for (const { id, entries, content } of expected.points) {
      const place = reports.get(id)?.place ?? "";
      const described = execFileSync(python, [path.join(vectors, "describe-tree.py"), place]).toString();
      const found = JSON.parse(described) as Described[];
      expect(entries === undefined ? found.map(({ size, sha256 }) => ({ size, sha256 })) : found).toEqual(
        entries ?? [content],
      );
    }
  },
);

test("whatever a hostile repository holds, nothing is written outside the target, and nothing is called complete", async () => {
  const { folder, reports } = await restoreAll("repository-hostile");
  expect(reports.size).toBeGreaterThan(5);
  for (const report of reports.values()) {
    expect(report.complete).toBe(false);
    expect(report.damaged.length).toBeGreaterThan(0);
  }
  const places = [...reports.values()].map(({ place }) => path.basename(place));
  expect(fs.readdirSync(folder).toSorted()).toEqual(places.toSorted());
});
