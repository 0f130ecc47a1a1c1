/** Trees of all three kinds, seen alike: a blob and what lies below it. */
import { type BlobKind, blobKinds } from "../repository/format.ts";
import type { Part } from "../repository/points/manifest.ts";
import { type DirectoryEntry, nameOf, type NodeReader, readDirectoryNodes } from "../repository/tree/directory-tree.ts";
import { readImageNode } from "../repository/tree/image-tree.ts";
import { parseStreamNode } from "../repository/tree/stream-tree.ts";
import type { CallOptions } from "../storage/storage.ts";

export interface Subtree {
  readonly tree: "image" | "stream" | "directory";
  readonly id: Buffer;
  /** Levels of nodes: 0 is a data blob. A directory counts as 1. */
  readonly depth: number;
  /** Of a stream, in bytes. */
  readonly size: number;
}

/** What lies directly below, by the place it has there: a number, or the type and name of an entry. */
export interface Expansion {
  readonly children: ReadonlyMap<string, Subtree>;
  /** Further nodes of the same directory, when it is a large one. */
  readonly nodes: readonly Buffer[];
}

export function rootOf(part: Part): Subtree {
  if (part.kind === "directory") return directory(part.entry.tree);
  const { kind, depth, size } = part;
  return { tree: kind, id: Buffer.from(part.root, "hex"), depth, size };
}

export function blobKindOf({ tree, depth }: Subtree): BlobKind {
  if (tree === "directory") return blobKinds.directoryNode;
  if (depth === 0) return blobKinds.data;
  return tree === "image" ? blobKinds.imageNode : blobKinds.streamNode;
}

/** Throws `damaged` or a storage error. */
export async function expand(reader: NodeReader, subtree: Subtree, options: CallOptions): Promise<Expansion> {
  const { tree, id, depth, size } = subtree;
  if (tree === "directory") {
    const { ids, entries } = await readDirectoryNodes(reader, id, options);
    return { children: new Map(entries.flatMap(childOf)), nodes: ids.slice(1) };
  }
  const below =
    tree === "image"
      ? (await readImageNode(reader, id, options)).map((child) => ({ id: child, size: 0 }))
      : parseStreamNode(await reader.read(blobKinds.streamNode, id, options), id, size);
  const children = below.map((child, place): [string, Subtree] => [
    String(place),
    { tree, depth: depth - 1, ...child },
  ]);
  return { children: new Map(children), nodes: [] };
}

function childOf(entry: DirectoryEntry): [string, Subtree][] {
  const name = nameOf(entry).toString("latin1");
  const { tree, root, depth = 0, size = 0 } = entry;
  if (tree !== undefined) return [[`directory ${name}`, directory(tree)]];
  if (root !== undefined) return [[`file ${name}`, { tree: "stream", id: Buffer.from(root, "hex"), depth, size }]];
  return [];
}

function directory(id: string): Subtree {
  return { tree: "directory", id: Buffer.from(id, "hex"), depth: 1, size: 0 };
}
