import { beforeEach, describe, expect, test } from "vitest";
import { BlobStore } from "../../../src/repository/blobs/blob-store.ts";
import { savedState } from "../../../src/restore/boot/saved-state.ts";
import { PointImages } from "../../../src/restore/serve/point-images.ts";
import { collect } from "../../helpers/collect.ts";
import { makeMachinePoint } from "../../helpers/made-machine-point.ts";
import { madeStream, madeTail, named, u } from "../../helpers/migration-stream.ts";
import { makeTestRepository, type TestRepository } from "../../helpers/repository.ts";

const page = 4096;
const saved = {
  blocks: [
    { id: "pc.ram", pages: [Buffer.alloc(page, 1), undefined, Buffer.alloc(page, 2)] },
    { id: "vga.vram", pages: [undefined, Buffer.alloc(page, 3)] },
  ],
};
let tested: TestRepository;

beforeEach(async () => {
  tested = await makeTestRepository();
});

/** What it tells while it brings the state of a point with this stream: done, total. */
async function told(stream: Buffer, mapped: readonly number[] = []): Promise<[number, number][]> {
  const { repository } = tested;
  const point = await makeMachinePoint(tested, { stream });
  const store = await BlobStore.load(repository);
  const images = new PointImages({ repository, store, point });
  const steps: [number, number][] = [];
  const onProgress = (done: number, total: number): void => void steps.push([done, total]);
  await collect(savedState({ reader: store.reader, point, images, mapped, running: false, onProgress }));
  return steps;
}

describe("how far it is", () => {
  test("goes by the memory of all blocks, holes too", async () => {
    const steps = await told(madeStream(saved));
    expect(steps.map(([, total]) => total)).toEqual(steps.map(() => 5 * page));
    expect(steps.map(([done]) => done)).toEqual(steps.map(([done]) => done).toSorted((a, b) => a - b));
    expect(steps.at(-1)?.[0]).toBe(5 * page);
  });

  test("leaves out what QEMU has from elsewhere", async () => {
    expect((await told(madeStream(saved), [0])).at(-1)).toEqual([2 * page, 2 * page]);
    expect(await told(madeStream(saved), [0, 1])).toEqual([]);
  });

  test("of a state that was kept whole goes by its stream", async () => {
    const stream = Buffer.concat([Buffer.from("QEVM\0\0\0\x03"), named(1, 1, "block", 1, u(1, 0)), madeTail(saved)]);
    expect((await told(stream)).at(-1)).toEqual([stream.length, stream.length]);
  });
});
