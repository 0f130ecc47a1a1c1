/** Looking into recovery points without restoring them. */
import { StillpointError } from "../errors.ts";
import { throwIfCancelled } from "../host/cancel.ts";
import { closest } from "../policy/suggest.ts";
import { ahead } from "../repository/blobs/ahead.ts";
import type { BlobReader } from "../repository/blobs/blob-reader.ts";
import { blobKinds, damagedObject } from "../repository/format.ts";
import type { DirectoryPart, Part, RecoveryPoint } from "../repository/points/manifest.ts";
import { type DirectoryEntry, nameOf, readDirectory } from "../repository/tree/directory-tree.ts";
import { isHole } from "../repository/tree/image-tree.ts";
import type { CallOptions } from "../storage/storage.ts";
import { type Content, type DamagedRange, type Piece, piecesOf } from "./pieces.ts";
import { stepsBelow, stepsOf } from "./selection.ts";

/** Something in a recovery point: an entry of a directory (or of a folder in a disk), an image, a stream, or a disk's partition. */
export interface Listed {
  /** Relative to the source's folder; the part's name for an image or a stream. Bytes that aren't UTF-8 are shown as U+FFFD. */
  readonly path: string;
  readonly type: DirectoryEntry["type"] | "image" | "stream" | "partition";
  /** In bytes, for what has content. */
  readonly size: number | undefined;
  /** All attributes, for what is in a directory. */
  readonly entry: DirectoryEntry | undefined;
  /** What a partition holds (`ext`, `LVM`, …), as far as it is known. */
  readonly content?: string | undefined;
}

/**
 * What is at `path` (by default the top) of a point: the entries of a folder, or the one thing that is there.
 * Throws `not_found`, `usage`, `damaged`, or a storage error.
 */
export async function listPath(
  reader: BlobReader,
  point: RecoveryPoint,
  path = "",
  options?: CallOptions,
): Promise<readonly Listed[]> {
  const [first] = point.manifest.parts;
  if (first?.kind !== "directory") {
    const steps = stepsOf(path);
    const wanted = steps.join("/");
    const isWanted = ({ name }: Part): boolean => name === wanted || name.startsWith(`${wanted}/`);
    const parts = point.manifest.parts.filter((part) => steps.length === 0 || isWanted(part));
    if (parts.length === 0) throw notThere(point, path);
    return parts.map((part) => ({
      path: part.name,
      type: part.kind,
      size: "size" in part ? part.size : undefined,
      entry: undefined,
    }));
  }
  const steps = stepsBelow(first.path, path);
  const entry = await findEntry(reader, point, first, steps, options);
  if (entry.type !== "directory") return [listed(steps.slice(0, -1), entry)];
  return (await readDirectory(reader, treeOf(entry), options)).map((child) => listed(steps, child));
}

/**
 * The content of a file of a directory, or of an image or a stream (whose path may be left out when it is all there is), in order.
 * Throws `not_found`, `usage` (when it has no content), `damaged`, or a storage error.
 */
export async function* openFile(
  reader: BlobReader,
  point: RecoveryPoint,
  path = "",
  options?: CallOptions,
): AsyncGenerator<Buffer> {
  const content = await contentAt(reader, point, path, options);
  const batches = batchesOf(piecesOf(reader, content, options), path, options);
  const contents = ahead(batches, {
    begin: async (pieces) => await contentsOf(reader, pieces, options),
    costOf: (pieces) => pieces.reduce((sum, { id, size }) => sum + (isHole(id) ? 0 : size), 0),
    limit: bytesAhead,
  });
  for await (const pieces of contents) for (const piece of pieces) yield* piece;
}

/** Reads that lie together in a pack are made as one. Chunks have 2 MiB at most. */
const piecesAtOnce = 8;
/** In bytes, of contents: what has been read, or is being read, before it is taken. */
const bytesAhead = 16 * 1024 * 1024;
const zeros = Buffer.alloc(1024 * 1024);

async function* batchesOf(
  pieces: AsyncIterable<Piece | DamagedRange>,
  path: string,
  { signal }: CallOptions = {},
): AsyncGenerator<readonly Piece[]> {
  let batch: Piece[] = [];
  for await (const piece of pieces) {
    throwIfCancelled(signal);
    if (!("id" in piece))
      throw damagedObject(`of ${path}`, `its bytes from ${String(piece.offset)} on can't be read: ${piece.reason}`);
    batch.push(piece);
    if (batch.length < piecesAtOnce && !isHole(piece.id)) continue;
    yield batch;
    batch = [];
  }
  yield batch;
}

/** Of each piece. */
async function contentsOf(
  reader: BlobReader,
  pieces: readonly Piece[],
  options?: CallOptions,
): Promise<Iterable<Buffer>[]> {
  const solid = pieces.filter((piece) => !isHole(piece.id));
  const contents = new Map<Piece, Buffer>();
  const ids = solid.map((piece) => piece.id);
  const use = (position: number, content: Buffer | Error): void => {
    if (content instanceof Error) throw content;
    contents.set(solid[position] as Piece, content);
  };
  await reader.readMany(blobKinds.data, ids, use, options);
  return pieces.map((piece) => {
    const content = contents.get(piece);
    return content === undefined ? zerosOf(piece.size) : [content];
  });
}

function* zerosOf(size: number): Generator<Buffer> {
  for (let at = 0; at < size; at += zeros.length) yield zeros.subarray(0, Math.min(zeros.length, size - at));
}

async function contentAt(
  reader: BlobReader,
  point: RecoveryPoint,
  path: string,
  options?: CallOptions,
): Promise<Content> {
  const { parts } = point.manifest;
  const steps = stepsOf(path);
  if (steps.length === 0 && parts.length > 1) {
    throw new StillpointError("usage", {
      what: `Cannot show the recovery point ${point.id} as a whole: it has ${parts.length} parts`,
      next: `Name one of them: \`stillpoint ls ${point.id}\` lists them.`,
    });
  }
  const part = parts.find((one) => one.kind === "directory" || steps.length === 0 || one.name === steps.join("/"));
  if (part === undefined) throw notThere(point, path);
  if (part.kind !== "directory") return part;
  const { type, size, depth, root } = await findEntry(reader, point, part, stepsBelow(part.path, path), options);
  if (type === "file" && size !== undefined && depth !== undefined && root !== undefined)
    return { kind: "stream", size, depth, root };
  throw new StillpointError("usage", {
    what: `Cannot show ${path === "" ? "the folder itself" : path}: it is a ${type}, not a file`,
    next: "`stillpoint ls` shows what a folder holds.",
  });
}

/** What is at the end of `steps` in a directory. Throws `not_found`, `damaged`, or a storage error. */
export async function findEntry(
  reader: BlobReader,
  point: RecoveryPoint,
  { entry: top }: DirectoryPart,
  steps: readonly string[],
  options?: CallOptions,
): Promise<DirectoryEntry> {
  let at: DirectoryEntry = top;
  for (const [depth, step] of steps.entries()) {
    const entries = at.type === "directory" ? await readDirectory(reader, treeOf(at), options) : [];
    const next = entries.find((entry) => nameOf(entry).equals(Buffer.from(step)));
    if (next === undefined) {
      const near = closest(
        step,
        entries.map((entry) => nameOf(entry).toString()),
      );
      throw notThere(point, steps.join("/"), near && [...steps.slice(0, depth), near].join("/"));
    }
    at = next;
  }
  return at;
}

function listed(folder: readonly string[], entry: DirectoryEntry): Listed {
  return {
    path: [...folder, nameOf(entry).toString()].filter(Boolean).join("/"),
    type: entry.type,
    size: entry.size,
    entry,
  };
}

function treeOf(entry: DirectoryEntry): Buffer {
  return Buffer.from(entry.tree ?? "", "hex");
}

function notThere(point: RecoveryPoint, path: string, near?: string): StillpointError {
  return new StillpointError("not_found", {
    what: `The recovery point ${point.id} has nothing at ${path}`,
    next: near === undefined ? `\`stillpoint ls ${point.id}\` shows what it holds.` : `Did you mean ${near}?`,
  });
}
