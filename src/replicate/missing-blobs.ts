/** What a replica lacks of one recovery point, found by tree difference. */
import { isStillpointError } from "../errors.ts";
import { throwIfCancelled } from "../host/cancel.ts";
import type { Presence } from "../repository/blobs/blob-writer.ts";
import { type BlobKind, blobKinds } from "../repository/format.ts";
import type { Manifest } from "../repository/points/manifest.ts";
import type { NodeReader } from "../repository/tree/directory-tree.ts";
import { isHole } from "../repository/tree/image-tree.ts";
import type { CallOptions } from "../storage/storage.ts";
import { blobKindOf, expand, type Expansion, rootOf, type Subtree } from "./subtree.ts";

export interface MissingBlobs {
  readonly kind: BlobKind;
  readonly ids: readonly Buffer[];
}

export interface DifferenceOptions extends CallOptions {
  /** Of the primary: nodes are read there. */
  readonly reader: NodeReader;
  /** Of the replica: what need not be sent. */
  readonly presence: Presence;
  /** The point in question. */
  readonly manifest: Manifest;
  /** A point of the same source whose every blob the replica is known to have. */
  readonly base: Manifest | undefined;
}

/**
 * The blobs that the replica lacks, some at a time. A subtree that the base has in the same place is neither read nor
 * looked up. Any other is walked to its leaves even if its top is there: an interrupted run may have left the top without
 * what lies below.
 *
 * When the primary can't give a node, the error is the last thing yielded. Throws only `cancelled`.
 */
export async function* missingBlobs(options: DifferenceOptions): AsyncGenerator<MissingBlobs | Error> {
  const bases = new Map(options.base?.parts.map((part) => [part.name, part]));
  try {
    for (const part of options.manifest.parts) {
      const base = bases.get(part.name);
      yield* differing(options, rootOf(part), base === undefined ? undefined : rootOf(base));
    }
  } catch (error) {
    if (!isStillpointError(error) || error.code === "cancelled") throw error;
    yield error;
  }
}

async function* differing(
  options: DifferenceOptions,
  subtree: Subtree,
  base: Subtree | undefined,
): AsyncGenerator<MissingBlobs> {
  throwIfCancelled(options.signal);
  if (isHole(subtree.id) || base?.id.equals(subtree.id) === true) return;
  const lacks = (id: Buffer): boolean => !options.presence.has(id);
  if (lacks(subtree.id)) yield { kind: blobKindOf(subtree), ids: [subtree.id] };
  if (subtree.depth === 0) return;
  const { children, nodes } = await expand(options.reader, subtree, options);
  const known = await childrenOfBase(options, subtree, base);
  yield* some(blobKinds.directoryNode, nodes.filter(lacks));
  const data: Buffer[] = [];
  for (const [place, child] of children) {
    if (child.depth > 0) yield* differing(options, child, known.get(place));
    else if (!isHole(child.id) && lacks(child.id)) data.push(child.id);
  }
  yield* some(blobKinds.data, data);
}

function* some(kind: BlobKind, ids: readonly Buffer[]): Generator<MissingBlobs> {
  if (ids.length > 0) yield { kind, ids };
}

/**
 * What the base has below, if that can save anything. Nothing when it has another shape here or can't be read, nor for
 * the lowest nodes: then what is below is looked up.
 */
async function childrenOfBase(
  { reader, signal }: DifferenceOptions,
  { tree, depth }: Subtree,
  base: Subtree | undefined,
): Promise<Expansion["children"]> {
  const alike = base !== undefined && base.tree === tree && base.depth === depth && !isHole(base.id);
  if (!alike || (depth === 1 && tree !== "directory")) return new Map();
  try {
    return (await expand(reader, base, { signal })).children;
  } catch (error) {
    if (!isStillpointError(error) || error.code === "cancelled") throw error;
    return new Map();
  }
}
