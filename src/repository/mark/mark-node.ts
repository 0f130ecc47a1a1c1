/** Trees of all kinds seen alike: a blob, the blobs right below it, and what they are in the source. */
import { type BlobKind, blobKinds, damagedObject, idLength, imageFanOut } from "../format.ts";
import type { RecoveryPoint } from "../points/manifest.ts";
import { type DirectoryEntry, encodeText, nameOf, parseDirectoryNode } from "../tree/directory-tree.ts";
import { isHole, splitNode } from "../tree/image-tree.ts";
import { parseStreamNode } from "../tree/stream-tree.ts";

/** A place in a recovery point: a part, and in a directory the names below it, the last one first. */
export interface Place {
  readonly point: RecoveryPoint;
  readonly part: string;
  readonly name?: Buffer;
  readonly parent?: Place;
}

/** A blob that a tree names. */
export interface TreeNode {
  readonly kind: BlobKind;
  readonly id: Buffer;
  /** Levels of nodes below, for images and streams; 0 is a data blob. */
  readonly depth: number;
  /** Where its bytes are in the file, image or stream; a directory has neither. */
  readonly offset: number;
  readonly length: number;
  /** Bytes per block, of an image. */
  readonly block: number;
  readonly place: Place;
}

/** The top of each part of a point. */
export function rootsOf(point: RecoveryPoint): TreeNode[] {
  return point.manifest.parts.flatMap((part) => {
    const place = { point, part: part.name };
    if (part.kind === "directory") return [directoryNode(part.entry.tree, place)];
    return contentNode(part.kind, part, part.kind === "image" ? part.block : 0, place);
  });
}

/** What is right below a node, without holes. Throws `damaged` when the content can't be that of such a node. */
export function expandNode(node: TreeNode, content: Buffer): TreeNode[] {
  if (node.kind === blobKinds.imageNode) return expandImage(node, content);
  if (node.kind === blobKinds.streamNode) return expandStream(node, content);
  return node.kind === blobKinds.directoryNode ? expandDirectory(node, content) : [];
}

/** `path`, or `path64` when it isn't UTF-8: the part's name for an image or stream, else the path below the directory, which itself is `.`. */
export function pathOf(place: Place): { readonly path?: string; readonly path64?: string } {
  const names: Buffer[] = [];
  for (let at: Place | undefined = place; at !== undefined; at = at.parent) {
    if (at.name !== undefined) names.unshift(at.name);
  }
  if (names.length > 0)
    return encodeText("path", Buffer.concat(names.flatMap((name, i) => (i === 0 ? [name] : [slash, name]))));
  const isDirectory = place.point.manifest.parts.some((part) => part.name === place.part && part.kind === "directory");
  return { path: isDirectory ? "." : place.part };
}

const slash = Buffer.from("/");

interface Content {
  readonly size: number;
  readonly depth: number;
  readonly root: string;
}

function contentNode(
  tree: "image" | "stream",
  { size, depth, root }: Content,
  block: number,
  place: Place,
): TreeNode[] {
  const id = Buffer.from(root, "hex");
  if (isHole(id) || size === 0) return [];
  return [{ kind: kindAt(tree, depth), id, depth, offset: 0, length: size, block, place }];
}

function directoryNode(tree: string, place: Place): TreeNode {
  return {
    kind: blobKinds.directoryNode,
    id: Buffer.from(tree, "hex"),
    depth: 0,
    offset: 0,
    length: 0,
    block: 0,
    place,
  };
}

function kindAt(tree: "image" | "stream", depth: number): BlobKind {
  if (depth === 0) return blobKinds.data;
  return tree === "image" ? blobKinds.imageNode : blobKinds.streamNode;
}

function expandImage(node: TreeNode, content: Buffer): TreeNode[] {
  const span = node.block * imageFanOut ** (node.depth - 1);
  const width = Math.ceil(node.length / span);
  if (content.length !== width * idLength) {
    throw damagedObject(`of the image node ${node.id.toString("hex")}`, `it doesn't have ${String(width)} children`);
  }
  const kind = kindAt("image", node.depth - 1);
  return splitNode(content).flatMap((id, position) => {
    if (isHole(id)) return [];
    const length = Math.min(span, node.length - position * span);
    return [{ ...node, kind, id, depth: node.depth - 1, offset: node.offset + position * span, length }];
  });
}

function expandStream(node: TreeNode, content: Buffer): TreeNode[] {
  const kind = kindAt("stream", node.depth - 1);
  let offset = node.offset;
  return parseStreamNode(content, node.id, node.length).flatMap(({ id, size }) => {
    const child = { ...node, kind, id, depth: node.depth - 1, offset, length: size };
    offset += size;
    return isHole(id) ? [] : [child];
  });
}

function expandDirectory(node: TreeNode, content: Buffer): TreeNode[] {
  const parsed = parseDirectoryNode(content, node.id);
  if ("parts" in parsed) return parsed.parts.map((id) => directoryNode(id, node.place));
  return parsed.entries.flatMap((entry) => {
    const { place } = node;
    return expandEntry(node, entry, { point: place.point, part: place.part, name: nameOf(entry), parent: place });
  });
}

function expandEntry(node: TreeNode, entry: DirectoryEntry, place: Place): TreeNode[] {
  const incomplete = (): Error =>
    damagedObject(`of the directory ${node.id.toString("hex")}`, `an entry of the type ${entry.type} has no content`);
  if (entry.type === "directory") {
    if (entry.tree === undefined) throw incomplete();
    return [directoryNode(entry.tree, place)];
  }
  if (entry.type !== "file") return [];
  const { size, depth, root } = entry;
  if (size === undefined || depth === undefined || root === undefined) throw incomplete();
  return contentNode("stream", { size, depth, root }, 0, place);
}
