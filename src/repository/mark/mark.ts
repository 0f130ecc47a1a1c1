/** Marks every blob that recovery points use, each tree node read once. */
import { isStillpointError, StillpointError } from "../../errors.ts";
import { throwIfCancelled } from "../../host/cancel.ts";
import type { BlobReader } from "../blobs/blob-reader.ts";
import { type BlobKind, blobKinds } from "../format.ts";
import { expandNode, pathOf, rootsOf, type TreeNode } from "./mark-node.ts";
import { MarkSet } from "./mark-set.ts";
import type { RecoveryPoint } from "../points/manifest.ts";

/** Nodes read together: enough for few requests, few enough for a small stack (each brings up to 256 more). */
const nodesAtOnce = 256;

/** The narrow part of a store that marking needs. */
export interface MarkSource {
  readonly reader: Pick<BlobReader, "readMany">;
  readonly index: { has(id: Buffer): boolean };
}

/** A blob in use that isn't there, or a node that can't be read. */
export interface MarkProblem {
  /** Where it was met first; other places may use it too. */
  readonly node: TreeNode;
  readonly error: StillpointError;
}

export interface MarkOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told of each problem; may answer with a node's content from elsewhere, else what is below is unknown. Without it, the first problem is thrown. */
  readonly onProblem?: (problem: MarkProblem) => Promise<Buffer | undefined>;
  /** Told now and then how many blobs are marked, and awaited. */
  readonly onProgress?: (marked: number) => void | Promise<void>;
  /** Told of each blob in use when it is met first, and so of the point that was taken in for it. */
  readonly onMark?: ((node: TreeNode) => void) | undefined;
  /** How many blobs there may be, so that memory is taken once. */
  readonly expected?: number;
  /** Of points marked before: what they use isn't met again, and the others' is added. By default, none. */
  readonly marks?: MarkSet;
}

/**
 * Marks all that the points' trees name, without reading data: a data blob only has to be in the index.
 *
 * @throws StillpointError `damaged` at the first problem, saying which point and path is affected (without `onProblem`);
 * `cancelled`.
 */
export async function markBlobs(
  source: MarkSource,
  points: Iterable<RecoveryPoint>,
  options: MarkOptions = {},
): Promise<MarkSet> {
  const { marks = new MarkSet(options.expected) } = options;
  const stack: TreeNode[] = [];
  const missing: TreeNode[] = [];
  const meet = (node: TreeNode): void => {
    if (!marks.add(node.kind, node.id)) return;
    options.onMark?.(node);
    if (node.kind !== blobKinds.data) stack.push(node);
    else if (!source.index.has(node.id)) missing.push(node);
  };
  const advance = async (): Promise<void> => {
    await readBatch(source, stack, meet, options);
    for (const node of missing.splice(0)) await report(options, { node, error: absent(node) });
    await options.onProgress?.(marks.count);
  };
  for (const point of points) {
    for (const root of rootsOf(point)) meet(root);
    // Points are taken in until there is enough for a batch: most share nearly all with others.
    while (stack.length >= nodesAtOnce) await advance();
  }
  // At least once: a tree may be no more than a data blob.
  do await advance();
  while (stack.length > 0);
  return marks;
}

/** Reads the topmost nodes: depth first, so that the stack stays small. */
async function readBatch(
  { reader }: MarkSource,
  stack: TreeNode[],
  meet: (node: TreeNode) => void,
  options: MarkOptions,
): Promise<void> {
  throwIfCancelled(options.signal);
  const batch = stack.splice(-nodesAtOnce);
  const byKind = new Map<BlobKind, TreeNode[]>();
  for (const node of batch) {
    const nodes = byKind.get(node.kind) ?? [];
    nodes.push(node);
    byKind.set(node.kind, nodes);
  }
  for (const [kind, nodes] of byKind) {
    const ids = nodes.map(({ id }) => id);
    await reader.readMany(
      kind,
      ids,
      async (position, content) => {
        const node = nodes[position] as TreeNode;
        for (const child of await expandOrReport(node, content, options)) meet(child);
      },
      options,
    );
  }
}

/** Whether an error is a fact about what is stored. A storage that doesn't answer at all says nothing about it. */
export function isDamage(error: unknown): error is StillpointError {
  return (
    isStillpointError(error) &&
    ["damaged", "object_missing", "format_unsupported", "storage_failed"].includes(error.code)
  );
}

async function expandOrReport(node: TreeNode, content: Buffer | Error, options: MarkOptions): Promise<TreeNode[]> {
  try {
    if (content instanceof Error) throw content;
    return expandNode(node, content);
  } catch (error) {
    if (!isDamage(error)) throw error;
    const other = await report(options, { node, error });
    return other === undefined ? [] : expandNode(node, other);
  }
}

/** What `onProblem` answers, or throws. */
function report({ onProblem }: MarkOptions, problem: MarkProblem): Promise<Buffer | undefined> {
  if (onProblem !== undefined) return onProblem(problem);
  throw namingPlace(problem);
}

/** The error, saying which point and path is affected. */
export function namingPlace({ error, node }: MarkProblem): StillpointError {
  return new StillpointError(error.code, {
    ...error.parts,
    what: `${error.parts.what}; ${describePlace(node)} needs it`,
    cause: error,
  });
}

/** `/etc/passwd of the recovery point 0123…`, for messages. */
function describePlace({ place }: TreeNode): string {
  const { path, path64 } = pathOf(place);
  const { id, manifest } = place.point;
  // A name may hold line breaks, and the next line would look like one of ours.
  return `${path?.replaceAll("\n", "\\n") ?? `a file with the base64 name ${String(path64)}`} in the recovery point ${id.slice(0, 12)} of ${manifest.source}`;
}

function absent(node: TreeNode): StillpointError {
  return new StillpointError("damaged", {
    what: `The blob ${node.id.toString("hex")} is in no pack`,
    safe: "Nothing was changed.",
    next: "Run `stillpoint check`, then `stillpoint repair`.",
  });
}
