/** Which files and byte ranges of which points blobs that can't be read leave unreadable. */
import type { CallOptions } from "../../storage/storage.ts";
import type { BlobReader } from "../blobs/blob-reader.ts";
import { type BlobKind, blobKinds } from "../format.ts";
import { expandNode, pathOf, rootsOf, type TreeNode } from "../mark/mark-node.ts";
import { IdSet } from "../mark/mark-set.ts";
import type { RecoveryPoint } from "../points/manifest.ts";

/** A piece of a recovery point that can't be read. */
export interface Affected {
  readonly point: string;
  /** Below the directory that was captured (`.` is that itself), or the name of an image or stream. */
  readonly path?: string;
  /** The same in base64, when it isn't UTF-8. */
  readonly path64?: string;
  /** In bytes; without both, everything below the path. */
  readonly offset?: number;
  readonly length?: number;
}

/** Values by kind and id of a blob. */
export class BlobMap<T> {
  readonly #values = new Map<string, T>();

  get size(): number {
    return this.#values.size;
  }

  get(kind: BlobKind, id: Buffer): T | undefined {
    return this.#values.get(`${String(kind)}${id.toString("latin1")}`);
  }

  set(kind: BlobKind, id: Buffer, value: T): void {
    this.#values.set(`${String(kind)}${id.toString("latin1")}`, value);
  }

  values(): MapIterator<T> {
    return this.#values.values();
  }
}

/** A blob that can't be read, and what that leaves unreadable. */
export interface Unreadable {
  readonly kind: BlobKind;
  readonly id: Buffer;
  readonly affected: Affected[];
}

/** Fills in what is affected. A subtree found clean is not entered again. Throws what reading a good node throws. */
export async function findAffected(
  reader: Pick<BlobReader, "read">,
  points: readonly RecoveryPoint[],
  unreadable: BlobMap<Unreadable>,
  options?: CallOptions,
): Promise<void> {
  const clean = new IdSet();
  for (const point of points) for (const root of rootsOf(point)) await scan(root);

  /** Returns whether the node, or any below it, can't be read. */
  async function scan(node: TreeNode): Promise<boolean> {
    const found = unreadable.get(node.kind, node.id);
    if (found !== undefined) {
      found.affected.push(pieceOf(node));
      return true;
    }
    if (node.kind === blobKinds.data || clean.has(node.id)) return false;
    let dirty = false;
    const content = await reader.read(node.kind, node.id, options);
    for (const child of expandNode(node, content)) if (await scan(child)) dirty = true;
    if (!dirty) clean.add(node.id);
    return dirty;
  }
}

function pieceOf(node: TreeNode): Affected {
  const piece = { point: node.place.point.id, ...pathOf(node.place) };
  return node.kind === blobKinds.directoryNode ? piece : { ...piece, offset: node.offset, length: node.length };
}

/** Sorted by point, path and offset; ranges that touch are joined. */
export function joinAffected(pieces: readonly Affected[]): Affected[] {
  const joined: Affected[] = [];
  for (const piece of pieces.toSorted(byPlace)) {
    const last = joined.at(-1);
    const end = last?.offset === undefined || last.length === undefined ? undefined : last.offset + last.length;
    const samePlace = last !== undefined && byText(last, piece) === 0;
    if (samePlace && (last.offset === undefined || end === undefined)) continue;
    if (
      !samePlace ||
      piece.offset === undefined ||
      piece.length === undefined ||
      end === undefined ||
      piece.offset > end
    ) {
      joined.push(piece);
      continue;
    }
    joined[joined.length - 1] = { ...last, length: Math.max(end, piece.offset + piece.length) - (last.offset ?? 0) };
  }
  return joined;
}

function byPlace(a: Affected, b: Affected): number {
  return byText(a, b) || (a.offset ?? -1) - (b.offset ?? -1);
}

function byText(a: Affected, b: Affected): number {
  const [x, y] = [a, b].map(({ point, path, path64 }) => `${point}\0${path ?? ""}\0${path64 ?? ""}`) as [
    string,
    string,
  ];
  return x < y ? -1 : Number(x > y);
}
