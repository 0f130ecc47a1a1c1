/** Finds files of an earlier point whose content the repository no longer has whole, or will soon not have. */
import type { BlobReader } from "../../repository/blobs/blob-reader.ts";
import type { Presence } from "../../repository/blobs/blob-writer.ts";
import { blobKinds } from "../../repository/format.ts";
import { isHole } from "../../repository/tree/image-tree.ts";
import { type Chunk, parseStreamNode } from "../../repository/tree/stream-tree.ts";

/** A file's content; `size` in bytes, `root` a blob id as 64 hex digits. */
export interface StoredContent {
  readonly size: number;
  readonly depth: number;
  readonly root: string;
}

/** The narrow part of a task's context that this needs. */
export interface ContentStore {
  readonly reader: Pick<BlobReader, "readMany">;
  readonly writer: Presence;
  readonly signal?: AbortSignal | undefined;
}

/** Whether the blob is a hole, or there to stay: what only a condemned pack has doesn't count. */
export function isStored({ writer }: Pick<ContentStore, "writer">, id: Buffer): boolean {
  return isHole(id) || writer.has(id);
}

/**
 * Those of the contents that lack a chunk, or a node that can be read. Their nodes are read level by level, those of all
 * contents together; data isn't read.
 *
 * @throws StillpointError `cancelled`.
 */
export async function absentContents<C extends StoredContent>(
  store: ContentStore,
  contents: readonly C[],
): Promise<Set<C>> {
  const absent = new Set<C>();
  const meet = (found: Below<C>): readonly Below<C>[] => {
    if (!isStored(store, found.id)) absent.add(found.content);
    return isHole(found.id) || found.depth === 0 || absent.has(found.content) ? [] : [found];
  };
  let level = contents.flatMap((content) =>
    meet({ content, id: Buffer.from(content.root, "hex"), size: content.size, depth: content.depth }),
  );
  while (level.length > 0) {
    const children = await readChildren(store, level, ({ content }) => absent.add(content));
    level = children.flatMap(meet);
  }
  return absent;
}

/** A blob of a content; `depth` is the number of levels of nodes below it. */
interface Below<C> extends Chunk {
  readonly content: C;
  readonly depth: number;
}

/** What is right below the nodes; `unreadable` is called with each that can't be read. */
async function readChildren<C>(
  { reader, signal }: ContentStore,
  nodes: readonly Below<C>[],
  unreadable: (node: Below<C>) => void,
): Promise<Below<C>[]> {
  const below: Below<C>[] = [];
  const take = (position: number, raw: Buffer | Error): void => {
    const node = nodes[position] as Below<C>;
    const children = raw instanceof Error ? undefined : childrenOf(node, raw);
    if (children === undefined) unreadable(node);
    for (const child of children ?? []) below.push({ content: node.content, depth: node.depth - 1, ...child });
  };
  const ids = nodes.map(({ id }) => id);
  await reader.readMany(blobKinds.streamNode, ids, take, { signal });
  return below;
}

function childrenOf({ id, size }: Chunk, raw: Buffer): readonly Chunk[] | undefined {
  try {
    return parseStreamNode(raw, id, size);
  } catch {
    return undefined;
  }
}
