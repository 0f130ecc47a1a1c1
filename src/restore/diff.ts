/** How two recovery points differ. Only what differs is read: equal subtrees have equal ids. */
import { StillpointError } from "../errors.ts";
import type { BlobReader } from "../repository/blobs/blob-reader.ts";
import type { ImagePart, RecoveryPoint } from "../repository/points/manifest.ts";
import { type DirectoryEntry, encodeText, nameOf, readDirectory, targetOf } from "../repository/tree/directory-tree.ts";
import { blockCount, imageLeaves, isHole, readImageLeaf } from "../repository/tree/image-tree.ts";
import { imageFanOut } from "../repository/format.ts";
import type { CallOptions } from "../storage/storage.ts";

/** What about an entry may differ. `content` is also a link's target and a device's numbers. */
export type Aspect = "type" | "content" | "mode" | "owner" | "time" | "extended attributes";

export type Difference =
  | {
      readonly kind: "added" | "removed";
      readonly path: string;
      readonly path64?: string;
      readonly type: DirectoryEntry["type"];
    }
  | { readonly kind: "changed"; readonly path: string; readonly path64?: string; readonly aspects: readonly Aspect[] }
  /** Bytes of an image, as far as either has them. */
  | { readonly kind: "range"; readonly part: string; readonly offset: number; readonly length: number }
  /** An image or stream differs in length, or a stream in content. */
  | {
      readonly kind: "part";
      readonly part: string;
      readonly before: number | undefined;
      readonly after: number | undefined;
    };

/**
 * The differences from `before` to `after`, points of one repository and of the same kind, in order of paths or offsets. An
 * added or removed folder stands for all that is in it.
 *
 * Throws `usage` for points of different kinds, `damaged`, or a storage error.
 */
export async function* diffPoints(
  reader: BlobReader,
  before: RecoveryPoint,
  after: RecoveryPoint,
  options?: CallOptions,
): AsyncGenerator<Difference> {
  const [a, b] = [before.manifest, after.manifest];
  if (a.kind !== b.kind) {
    throw new StillpointError("usage", {
      what: `Cannot compare ${before.id} with ${after.id}: one is of the kind ${a.kind}, the other ${b.kind}`,
      next: "Compare two points of the same source.",
    });
  }
  const old = new Map(a.parts.map((part) => [part.name, part]));
  for (const part of b.parts) {
    const other = old.get(part.name);
    old.delete(part.name);
    if (part.kind === "directory" && other?.kind === "directory") {
      yield* diffEntry(reader, Buffer.alloc(0), other.entry, part.entry, options);
    } else if (part.kind === "image" && other?.kind === "image") yield* diffImages(reader, other, part, options);
    else if (part.kind === "stream" && other?.kind === "stream" && other.root === part.root && other.size === part.size)
      continue;
    else yield { kind: "part", part: part.name, before: sizeOf(other), after: sizeOf(part) };
  }
  for (const part of old.values()) yield { kind: "part", part: part.name, before: sizeOf(part), after: undefined };
}

function sizeOf(part: RecoveryPoint["manifest"]["parts"][number] | undefined): number | undefined {
  return part !== undefined && "size" in part ? part.size : undefined;
}

async function* diffFolders(
  reader: BlobReader,
  path: Buffer,
  before: DirectoryEntry,
  after: DirectoryEntry,
  options?: CallOptions,
): AsyncGenerator<Difference> {
  if (before.tree === after.tree) return;
  const old = await entriesOf(reader, before, options);
  const fresh = await entriesOf(reader, after, options);
  const names = [...new Set([...old.keys(), ...fresh.keys()])].sort();
  for (const name of names) {
    const [one, other] = [old.get(name), fresh.get(name)];
    const bytes = Buffer.from(name, "latin1");
    const below = path.length === 0 ? bytes : Buffer.concat([path, Buffer.from("/"), bytes]);
    if (one === undefined || other === undefined) {
      const type = (one ?? other)?.type ?? "file";
      yield { kind: one === undefined ? "added" : "removed", ...pathOf(below), type };
    } else yield* diffEntry(reader, below, one, other, options);
  }
}

async function* diffEntry(
  reader: BlobReader,
  path: Buffer,
  before: DirectoryEntry,
  after: DirectoryEntry,
  options?: CallOptions,
): AsyncGenerator<Difference> {
  const aspects = aspectsOf(before, after);
  if (aspects.length > 0) yield { kind: "changed", ...pathOf(path), aspects };
  if (before.type === "directory" && after.type === "directory")
    yield* diffFolders(reader, path, before, after, options);
}

/** What about two entries of one name differs, their contents by their ids. */
export function aspectsOf(before: DirectoryEntry, after: DirectoryEntry): Aspect[] {
  const content = ({ size, root, depth, device, ...entry }: DirectoryEntry): string =>
    JSON.stringify([size, root, depth, device, targetOf({ ...entry }).toString("latin1")]);
  const differs: readonly (readonly [Aspect, boolean])[] = [
    ["type", before.type !== after.type],
    ["content", before.type === after.type && content(before) !== content(after)],
    ["mode", before.mode !== after.mode],
    ["owner", before.uid !== after.uid || before.gid !== after.gid],
    ["time", before.mtime !== after.mtime],
    ["extended attributes", JSON.stringify(before.xattrs ?? {}) !== JSON.stringify(after.xattrs ?? {})],
  ];
  return differs.filter(([, differ]) => differ).map(([aspect]) => aspect);
}

/** By name (as Latin-1, whose order is that of the bytes). */
async function entriesOf(
  reader: BlobReader,
  entry: DirectoryEntry,
  options?: CallOptions,
): Promise<Map<string, DirectoryEntry>> {
  const entries = await readDirectory(reader, Buffer.from(entry.tree ?? "", "hex"), options);
  return new Map(entries.map((one) => [nameOf(one).toString("latin1"), one]));
}

function pathOf(path: Buffer): { readonly path: string; readonly path64?: string } {
  const encoded = encodeText("path", path);
  return { path: path.toString(), ...(encoded["path64"] !== undefined && { path64: encoded["path64"] }) };
}

/** Ranges that touch are joined. Images of different lengths or blocks are compared as far as both reach. */
async function* diffImages(
  reader: BlobReader,
  before: ImagePart,
  after: ImagePart,
  options?: CallOptions,
): AsyncGenerator<Difference> {
  if (before.size !== after.size) yield { kind: "part", part: after.name, before: before.size, after: after.size };
  if (before.block !== after.block) return;
  const { block } = after;
  const end = Math.min(before.size, after.size);
  let open: { offset: number; length: number } | undefined;
  for await (const number of differingBlocks(reader, before, after, options)) {
    const offset = number * block;
    if (offset >= end) break;
    const length = Math.min(block, end - offset);
    if (open !== undefined && open.offset + open.length === offset) open.length += length;
    else {
      if (open !== undefined) yield { kind: "range", part: after.name, ...open };
      open = { offset, length };
    }
  }
  if (open !== undefined) yield { kind: "range", part: after.name, ...open };
}

/** Numbers of the blocks, ascending. */
async function* differingBlocks(
  reader: BlobReader,
  before: ImagePart,
  after: ImagePart,
  options?: CallOptions,
): AsyncGenerator<number> {
  // A leaf that is a hole on one side only is yielded by the other side's walk; both are merged.
  const old = new Map<number, Buffer>();
  for await (const { leaf, id } of imageLeaves(reader, before, after, options)) old.set(leaf, id);
  const fresh = new Map<number, Buffer>();
  for await (const { leaf, id } of imageLeaves(reader, after, before, options)) fresh.set(leaf, id);
  const leaves = [...new Set([...old.keys(), ...fresh.keys()])].sort((a, b) => a - b);
  for (const leaf of leaves) {
    const [a, b] = [
      await blocksOf(reader, before, leaf, old.get(leaf), options),
      await blocksOf(reader, after, leaf, fresh.get(leaf), options),
    ];
    for (let position = 0; position < Math.max(a.length, b.length); position++) {
      const [one, other] = [a[position], b[position]];
      const same =
        one !== undefined && other !== undefined ? one.equals(other) : isHole(one ?? other ?? Buffer.alloc(0));
      if (!same) yield leaf * imageFanOut + position;
    }
  }
}

/** The ids of a leaf's blocks; none when all of it is a hole. */
async function blocksOf(
  reader: BlobReader,
  image: ImagePart,
  leaf: number,
  id: Buffer | undefined,
  options?: CallOptions,
): Promise<readonly Buffer[]> {
  if (id === undefined || leaf * imageFanOut >= blockCount(image.size, image.block)) return [];
  return await readImageLeaf(reader, image, { leaf, id }, options);
}
