import { expect, test } from "vitest";
import { listPath, openFile } from "../../../src/restore/browse.ts";
import { diffPoints } from "../../../src/restore/diff.ts";
import { BlobStore } from "../../../src/repository/blobs/blob-store.ts";
import { collect } from "../../helpers/collect.ts";
import { makeMachinePoint } from "../../helpers/made-machine-point.ts";
import { madeStream } from "../../helpers/migration-stream.ts";
import { rejection } from "../../helpers/rejection.ts";
import { makeTestRepository } from "../../helpers/repository.ts";

const block = 131_072;
const stream = madeStream({ blocks: [{ id: "pc.ram", pages: [Buffer.alloc(4096, 1), undefined] }] });

async function two() {
  const tested = await makeTestRepository();
  const vda = Buffer.alloc(5 * block, 7);
  const before = await makeMachinePoint(tested, { disks: { vda, vdb: Buffer.alloc(10, 1) }, stream });
  const changed = Buffer.from(vda);
  changed[block] = 1;
  changed[3 * block - 1] = 1;
  const after = await makeMachinePoint(tested, { disks: { vda: changed, vdc: Buffer.alloc(20, 1) }, stream });
  const { reader } = await BlobStore.load(tested.repository);
  return { before, after, reader, vda };
}

test("the parts of a machine are listed, all or those of one kind", async () => {
  const { before, reader } = await two();
  const names = async (path?: string) => (await listPath(reader, before, path)).map((one) => one.path);
  expect(await names()).toEqual(["disk/vda", "disk/vdb", "state/head", "memory/0", "state/tail"]);
  expect(await names("disk")).toEqual(["disk/vda", "disk/vdb"]);
  expect(await names("memory/0")).toEqual(["memory/0"]);
  expect(await rejection(names("dis"))).toMatchObject({ code: "not_found" });
});

test("one part is shown, by its name", async () => {
  const { before, reader, vda } = await two();
  const show = async (path?: string): Promise<Buffer> => Buffer.concat(await collect(openFile(reader, before, path)));
  expect((await show("disk/vda")).equals(vda)).toBe(true);
  expect(await rejection(show())).toMatchObject({ code: "usage" });
  expect(await rejection(show("disk"))).toMatchObject({ code: "not_found" });
});

test("two points of a machine differ in ranges of disks, and in disks that came and went", async () => {
  const { before, after, reader } = await two();
  expect(await collect(diffPoints(reader, before, after))).toEqual([
    { kind: "range", part: "disk/vda", offset: block, length: 2 * block },
    { kind: "part", part: "disk/vdc", before: undefined, after: 20 },
    { kind: "part", part: "disk/vdb", before: 10, after: undefined },
  ]);
});
