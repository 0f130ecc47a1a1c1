import * as fs from "node:fs";
import * as path from "node:path";
import { expect, test } from "vitest";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { listPath, openFile } from "../../src/restore/browse.ts";
import { capture } from "../helpers/capture.ts";
import { collect } from "../helpers/collect.ts";
import { rejection } from "../helpers/rejection.ts";
import { makeTestRepository } from "../helpers/repository.ts";
import { seededRandom } from "../helpers/seeded-random.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const noise = seededRandom(8).bytes(800_000);

async function captureTree() {
  const source = await tempDir();
  fs.mkdirSync(path.join(source, "deep"));
  fs.writeFileSync(path.join(source, "deep/file"), Buffer.concat([noise, Buffer.alloc(5_000_000), noise]));
  fs.writeFileSync(path.join(source, "empty"), "");
  fs.symlinkSync("empty", path.join(source, "link"));
  const tested = await makeTestRepository();
  const { point } = await capture(tested, { kind: "directory", path: source });
  const { reader } = await BlobStore.load(tested.repository);
  return { source, tested, point, reader };
}

test("a folder's entries, or the one thing at a path", async () => {
  const { point, reader } = await captureTree();
  const shown = async (at?: string) =>
    (await listPath(reader, point, at)).map(({ path: name, type, size }) => [name, type, size]);
  expect(await shown()).toEqual([
    ["deep", "directory", undefined],
    ["empty", "file", 0],
    ["link", "symlink", undefined],
  ]);
  expect(await shown("/deep/")).toEqual([["deep/file", "file", 6_600_000]]);
  expect(await shown("deep/file")).toEqual([["deep/file", "file", 6_600_000]]);
  expect(await rejection(shown("deep/no"))).toMatchObject({ code: "not_found" });
  expect(await rejection(shown("deep/file/x"))).toMatchObject({ code: "not_found" });
  expect(await rejection(shown("../etc"))).toMatchObject({ code: "usage" });
});

test("a path may be the one on the host", async () => {
  const { source, point, reader } = await captureTree();
  const inside = async (at: string) => (await listPath(reader, point, at)).map((one) => one.path);
  expect(await inside(source)).toEqual(["deep", "empty", "link"]);
  expect(await inside(path.join(source, "deep/"))).toEqual(["deep/file"]);
  expect(await collect(openFile(reader, point, path.join(source, "empty")))).toEqual([]);
  expect(await rejection(inside(`${source}-other/deep`))).toMatchObject({ code: "not_found" });
});

test("what is probably meant is named", async () => {
  const { point, reader } = await captureTree();
  const message = async (at: string) => (await rejection(listPath(reader, point, at))).message;
  expect(await message("deep/fiel")).toContain("Did you mean deep/file?");
  expect(await message("dep/file")).toContain("Did you mean deep?");
  expect(await message("deep/file/x")).toContain("stillpoint ls");
});

test("a file's content, holes as zeros", async () => {
  const { source, point, reader } = await captureTree();
  const content = Buffer.concat(await collect(openFile(reader, point, "deep/file")));
  expect(content.equals(fs.readFileSync(path.join(source, "deep/file")))).toBe(true);
  expect(await collect(openFile(reader, point, "empty"))).toEqual([]);
});

test("what has no content says so", async () => {
  const { point, reader } = await captureTree();
  for (const at of ["deep", "link", ""]) {
    expect(await rejection(collect(openFile(reader, point, at)))).toMatchObject({ code: "usage" });
  }
  expect(await rejection(collect(openFile(reader, point, "no")))).toMatchObject({ code: "not_found" });
});

test("a damaged file is an error, not zeros", async () => {
  const { tested, point } = await captureTree();
  for (const [name, content] of tested.disk.contents()) {
    if (!name.includes("/packs/") || content.length < 100_000) continue;
    content[5000] = (content[5000] as number) ^ 1;
    await tested.disk.unlink(name);
    await tested.disk.createSynced(name, [content]);
  }
  const { reader } = await BlobStore.load(tested.repository);
  expect(await rejection(collect(openFile(reader, point, "deep/file")))).toMatchObject({ code: "damaged" });
});

test("a dump and an image, by the name of the part or without one", async () => {
  const tested = await makeTestRepository();
  const dump = await capture(tested, { kind: "command", run: ["echo", "hello"], timeout: 10_000 });
  const { reader } = await BlobStore.load(tested.repository);
  expect(await listPath(reader, dump.point)).toMatchObject([{ path: "output", type: "stream", size: 6 }]);
  for (const at of ["", "output"])
    expect(Buffer.concat(await collect(openFile(reader, dump.point, at))).toString()).toBe("hello\n");
  expect(await rejection(listPath(reader, dump.point, "other"))).toMatchObject({ code: "not_found" });
  expect(await rejection(collect(openFile(reader, dump.point, "other")))).toMatchObject({ code: "not_found" });
});
