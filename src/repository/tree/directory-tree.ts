/** Directory trees: entries with all their attributes, as JSON (docs/format.md section 8). */
import * as z from "zod";
import type { CallOptions } from "../../storage/storage.ts";
import type { BlobReader } from "../blobs/blob-reader.ts";
import type { BlobAdder } from "../blobs/blob-writer.ts";
import { blobKinds, damagedObject } from "../format.ts";

const hexId = z.string().regex(/^[0-9a-f]{64}$/);
const timestamp = z.string().regex(/^-?\d+\.\d{9}$/);
const uint = z.int().min(0);

const entrySchema = z.object({
  name: z.string().optional(),
  name64: z.base64().optional(),
  type: z.enum(["file", "directory", "symlink", "fifo", "socket", "chardev", "blockdev"]),
  mode: uint.max(0o7777),
  uid: uint,
  gid: uint,
  mtime: timestamp,
  ctime: timestamp,
  inode: z.string().regex(/^\d+$/),
  link: z.string().optional(),
  size: uint.optional(),
  depth: uint.max(16).optional(),
  root: hexId.optional(),
  sparse: z.literal(true).optional(),
  tree: hexId.optional(),
  target: z.string().optional(),
  target64: z.base64().optional(),
  device: z.tuple([uint, uint]).optional(),
  xattrs: z.record(z.string(), z.base64()).optional(),
});

/** One entry of a directory. Members as in docs/format.md section 8. */
export type DirectoryEntry = Readonly<z.infer<typeof entrySchema>>;

const nodeSchema = z.union([z.object({ entries: z.array(entrySchema) }), z.object({ parts: z.array(hexId) })]);

/** Entries in one node at most; a node also ends, on average after 1,024, where a name's hash says so. */
const longestNode = 4096;

/** Bytes as the members `name`/`name64` or `target`/`target64`. */
export function encodeText<K extends string>(key: K, bytes: Buffer): Record<string, string> {
  const text = bytes.toString("utf8");
  return Buffer.from(text).equals(bytes) ? { [key]: text } : { [`${key}64`]: bytes.toString("base64") };
}

/** The bytes of an entry's name. */
export function nameOf(entry: DirectoryEntry): Buffer {
  return entry.name64 === undefined ? Buffer.from(entry.name ?? "") : Buffer.from(entry.name64, "base64");
}

/** The bytes of a symbolic link's target. */
export function targetOf(entry: DirectoryEntry): Buffer {
  return entry.target64 === undefined ? Buffer.from(entry.target ?? "") : Buffer.from(entry.target64, "base64");
}

/** Writes a directory; the entries must be in ascending order of their names' bytes. Returns the node's id. */
export async function writeDirectory(writer: BlobAdder, entries: readonly DirectoryEntry[]): Promise<Buffer> {
  const nodes = splitEntries(entries);
  if (nodes.length === 1) return await addNode(writer, { entries });
  const parts: string[] = [];
  for (const node of nodes) parts.push((await addNode(writer, { entries: node })).toString("hex"));
  return await addNode(writer, { parts });
}

async function addNode(writer: BlobAdder, node: object): Promise<Buffer> {
  return await writer.add(blobKinds.directoryNode, Buffer.from(JSON.stringify(node)));
}

/** Cut by the names alone, so that one new name changes one node only. */
function splitEntries(entries: readonly DirectoryEntry[]): readonly (readonly DirectoryEntry[])[] {
  if (entries.length <= longestNode) return [entries];
  const nodes: DirectoryEntry[][] = [[]];
  for (const entry of entries) {
    const node = nodes.at(-1) as DirectoryEntry[];
    node.push(entry);
    if (node.length >= longestNode || hashOf(nameOf(entry)) % 1024 === 0) nodes.push([]);
  }
  if (nodes.at(-1)?.length === 0) nodes.pop();
  return nodes;
}

/** FNV-1a, 32 bits. */
function hashOf(bytes: Buffer): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** The ids of the nodes that one directory consists of, the top one first. */
export interface DirectoryNodes {
  readonly ids: readonly Buffer[];
  readonly entries: readonly DirectoryEntry[];
}

/** What reading a directory takes of a `BlobReader`. */
export type NodeReader = Pick<BlobReader, "read">;

/** A directory's entries, checked: names are safe and in order. Throws `damaged` or a storage error. */
export async function readDirectory(
  reader: NodeReader,
  tree: Buffer,
  options?: CallOptions,
): Promise<readonly DirectoryEntry[]> {
  return (await readDirectoryNodes(reader, tree, options)).entries;
}

/** Like `readDirectory`, with the ids of the nodes read. */
export async function readDirectoryNodes(
  reader: NodeReader,
  tree: Buffer,
  options?: CallOptions,
): Promise<DirectoryNodes> {
  const top = parseNode(await reader.read(blobKinds.directoryNode, tree, options), tree);
  if ("entries" in top) return { ids: [tree], entries: checkNames(top.entries, tree) };
  const ids = [tree];
  const entries: DirectoryEntry[] = [];
  for (const part of top.parts) {
    const id = Buffer.from(part, "hex");
    const node = parseNode(await reader.read(blobKinds.directoryNode, id, options), id);
    if (!("entries" in node)) throw damagedObject(`of the directory ${part}`, "a part of it has parts itself");
    ids.push(id);
    for (const entry of node.entries) entries.push(entry);
  }
  return { ids, entries: checkNames(entries, tree) };
}

/** A single node, its names checked: entries, or the ids of the nodes that hold them. Throws `damaged`. */
export function parseDirectoryNode(content: Buffer, id: Buffer): z.infer<typeof nodeSchema> {
  const node = parseNode(content, id);
  if ("entries" in node) checkNames(node.entries, id);
  return node;
}

function parseNode(content: Buffer, id: Buffer): z.infer<typeof nodeSchema> {
  try {
    return nodeSchema.parse(JSON.parse(content.toString()));
  } catch (error) {
    throw damagedObject(`of the directory ${id.toString("hex")}`, "it isn't one of a known form", error);
  }
}

/** Names that leave the directory, or stand in it twice, are refused: a restore must not write outside its target. */
function checkNames(entries: readonly DirectoryEntry[], id: Buffer): readonly DirectoryEntry[] {
  let previous: Buffer | undefined;
  for (const entry of entries) {
    const name = nameOf(entry);
    const text = name.toString("latin1");
    if (text === "" || text === "." || text === ".." || text.includes("/") || text.includes("\0")) {
      throw damagedObject(`of the directory ${id.toString("hex")}`, "it has an entry with a name that isn't allowed");
    }
    if (previous !== undefined && Buffer.compare(previous, name) >= 0) {
      throw damagedObject(`of the directory ${id.toString("hex")}`, "its names aren't in order");
    }
    previous = name;
  }
  return entries;
}
