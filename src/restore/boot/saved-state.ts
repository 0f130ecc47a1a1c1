/** The state of a machine as QEMU takes it: the stream that a capture took apart, put together again. */
import { StillpointError } from "../../errors.ts";
import { emitStream } from "../../qemu/stream/emit-stream.ts";
import { asRunning } from "../../qemu/stream/run-state.ts";
import type { RamBlock } from "../../qemu/stream/saved-state.ts";
import type { BlobReader } from "../../repository/blobs/blob-reader.ts";
import type { RecoveryPoint } from "../../repository/points/manifest.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { openFile } from "../browse.ts";
import { bytesOf } from "../disks/disk-bytes.ts";
import type { PointImages } from "../serve/point-images.ts";

export interface StateOptions {
  readonly reader: BlobReader;
  readonly point: RecoveryPoint;
  readonly images: PointImages;
  /** Numbers of the RAM blocks that QEMU has from elsewhere. */
  readonly mapped: readonly number[];
  /** Whether the machine is to run as soon as it is loaded; one whose stream was kept whole needs `cont`. */
  readonly running: boolean;
  readonly onProgress: OnProgress;
  readonly signal?: AbortSignal | undefined;
}

/** Told how many bytes of memory were brought, of those that have to be. */
export type OnProgress = (done: number, total: number) => void;

/** Whether the machine's memory was captured. */
export function hasState(point: RecoveryPoint): boolean {
  return point.manifest.machine?.memory !== null && point.manifest.parts.some(({ name }) => name.startsWith("state/"));
}

/** Whether the pages are apart from the stream, so that they can come from elsewhere. */
export function isSplit(point: RecoveryPoint): boolean {
  return point.manifest.parts.some(({ name }) => name === "state/head");
}

/** The stream. Throws `damaged`, `stream_invalid`, a storage error, `cancelled`, or `not_found` when the point has no state. */
export async function* savedState({
  reader,
  point,
  images,
  mapped,
  running,
  onProgress,
  signal,
}: StateOptions): AsyncGenerator<Uint8Array> {
  if (!isSplit(point)) {
    const whole = point.manifest.parts.find(({ name }) => name === "state/stream");
    const total = whole?.kind === "stream" ? whole.size : 0;
    yield* counted(openFile(reader, point, "state/stream", { signal }), (done) => onProgress(done, total));
    return;
  }
  const blocks = point.manifest.machine?.memory?.blocks ?? [];
  const total = blocks.reduce((sum, { size }, number) => sum + (mapped.includes(number) ? 0 : size), 0);
  let before = 0;
  const { head, tail } = await stateParts(reader, point, { signal });
  yield* emitStream({
    head,
    tail: running ? asRunning(tail) : tail,
    content: (block, number) => {
      const part = blockPart(point, block, number);
      if (mapped.includes(number)) return undefined;
      const begun = before;
      before += block.size;
      const source = images.part(part);
      const read = async (offset: number, length: number) => await source.read(offset, length, signal);
      return counted(bytesOf({ size: source.size, read }), (done) => onProgress(begun + done, total));
    },
  });
}

async function* counted(pieces: AsyncIterable<Uint8Array>, tell: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const piece of pieces) {
    yield piece;
    tell((bytes += piece.length));
  }
}

export interface StateParts {
  readonly head: Buffer;
  readonly tail: Buffer;
}

/** All of the state but the pages, which are apart. Throws `damaged`, a storage error, or `cancelled`. */
export async function stateParts(reader: BlobReader, point: RecoveryPoint, options: CallOptions): Promise<StateParts> {
  return {
    head: await contentOf(reader, point, "state/head", options),
    tail: await contentOf(reader, point, "state/tail", options),
  };
}

/** The name of the part with the pages of a RAM block of the state. Throws `damaged` when the point has another in its place. */
export function blockPart(point: RecoveryPoint, { id, size }: RamBlock, number: number): string {
  const known = point.manifest.machine?.memory?.blocks[number];
  if (known?.id === id && known.size === size) return `memory/${number}`;
  throw new StillpointError("damaged", {
    what: `The recovery point ${point.id} can't be started: its state has a RAM block ${id} where its manifest has ${known?.id ?? "none"}`,
    safe: "Its disks aren't touched by this.",
    next: "`stillpoint boot --cold` starts it from its disks alone.",
  });
}

/** States without pages have some 100 KiB. */
async function contentOf(
  reader: BlobReader,
  point: RecoveryPoint,
  name: string,
  options: CallOptions,
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of openFile(reader, point, name, options)) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}
