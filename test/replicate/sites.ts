/** A primary and places for replicas, each on a simulated disk of its own, and tiny recovery points with known content. */
import { createHash } from "node:crypto";
import { readPack } from "../../src/repository/blobs/open-packs.ts";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { type CatalogPoint, commitPoint, loadCatalog } from "../../src/repository/points/catalog.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import { blobKinds } from "../../src/repository/format.ts";
import type { Part, RecoveryPoint } from "../../src/repository/points/manifest.ts";
import { packIdOf } from "../../src/repository/blobs/pack.ts";
import { createRepository, openRepository, type Repository } from "../../src/repository/repository.ts";
import { nameOf, readDirectory, writeDirectory } from "../../src/repository/tree/directory-tree.ts";
import {
  hole,
  imageLeaves,
  isHole,
  joinNode,
  readImageLeaf,
  writeImageTree,
} from "../../src/repository/tree/image-tree.ts";
import { streamChunks, writeStreamTree } from "../../src/repository/tree/stream-tree.ts";
import { WriteSession } from "../../src/repository/blobs/write-session.ts";
import { prepareReplica } from "../../src/replicate/prepare-replica.ts";
import { replicate, type ReplicateOptions } from "../../src/replicate/replicate.ts";
import type { ReplicationReport } from "../../src/replicate/replication-report.ts";
import { createFsStorage, FsStorage } from "../../src/storage/drivers/fs.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { SimulatedDisk } from "../helpers/simulated-disk.ts";

export const secret = { type: "key-file", secret: Buffer.alloc(32, 7) } as const;
export const day = 86_400_000;
/** Of an image's blocks, in bytes: small, so that a few hundred make a tree of two levels. */
const smallBlock = 512;

export function storageOn(disk: SimulatedDisk, location: string, clock = new ManualClock()): Storage {
  return new FsStorage({ location, root: "/site", files: disk, clock });
}

/** A disk with an empty storage on it. */
export async function emptySite(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  await createFsStorage({ location: "new", root: "/site", files: disk });
  return disk;
}

/** A disk with a new repository on it. */
export async function primarySite(): Promise<SimulatedDisk> {
  const disk = await emptySite();
  const storage = storageOn(disk, "primary");
  await createRepository({ storage, clock: new ManualClock(), key: secret, label: "test" });
  return disk;
}

/** Opens what is on a disk as after a restart. */
export async function open(disk: SimulatedDisk, location = "primary", clock = new ManualClock()): Promise<Repository> {
  return await openRepository({ storage: storageOn(disk, location, clock), clock, secret });
}

export interface Content {
  /** A number for each block of an image; 0 is a hole. */
  readonly image: readonly number[];
  /** A number for each chunk of a stream. */
  readonly stream: readonly number[];
  /** A number for each file of a folder in a folder. */
  readonly files: Readonly<Record<string, number>>;
  /** Bytes per block, chunk and file; `smallBlock` by default. */
  readonly length?: number;
}

/** Bytes that can't be compressed, the same for the same number. */
function bytesOf(number: number, length: number): Buffer {
  return number === 0
    ? Buffer.alloc(length)
    : createHash("shake256", { outputLength: length }).update(String(number)).digest();
}

export interface Taking {
  readonly time: number;
  readonly source?: string;
}

/** Commits a recovery point with that content. */
export async function take(repository: Repository, content: Content, taking: Taking): Promise<RecoveryPoint> {
  const session = new WriteSession(await BlobStore.load(repository), inlineExecutor);
  const parts = await writeParts(session, content);
  const { newBytes, storedBytes } = await session.finish();
  await session.close();
  const time = new Date(taking.time).toISOString();
  return await commitPoint(repository, {
    version: 1,
    repository: repository.keys.repositoryId,
    source: taking.source ?? "machine",
    policy: "test",
    host: "test",
    kind: "image",
    time,
    started: time,
    finished: time,
    consistency: "crash",
    parts: [...parts],
    previous: null,
    tags: [],
    statistics: { size: 1, read: 1, new: newBytes, stored: storedBytes },
    left_out: [],
    left_out_count: 0,
    software: { stillpoint: "0", node: "0", kernel: "0" },
  });
}

async function writeParts({ writer }: WriteSession, content: Content): Promise<readonly Part[]> {
  const length = content.length ?? smallBlock;
  const add = async (number: number): Promise<Buffer> =>
    number === 0 ? hole : await writer.add(blobKinds.data, bytesOf(number, length));
  const leaves: Buffer[] = [];
  for (let at = 0; at < content.image.length; at += 256) {
    const ids = await oneByOne(content.image.slice(at, at + 256), add);
    const node = joinNode(ids);
    if (content.image.length === 1) leaves.push(ids[0] ?? hole);
    else leaves.push(node === undefined ? hole : await writer.add(blobKinds.imageNode, node));
  }
  const image = await writeImageTree(writer, content.image.length * length, length, leaves);
  const chunks = await oneByOne(content.stream, async (number) => ({ id: await add(number), size: length }));
  const stream = await writeStreamTree(writer, chunks);
  const common = { mode: 0o644, uid: 0, gid: 0, mtime: "1.000000000", ctime: "1.000000000", inode: "1" };
  const sorted = Object.entries(content.files).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const files = await oneByOne(sorted, async ([name, number]) => {
    const file = await writeStreamTree(writer, [{ id: await add(number), size: length }]);
    return { ...common, name, type: "file" as const, ...file };
  });
  const inner = await writeDirectory(writer, files);
  const folder = { ...common, name: "folder", type: "directory" as const, tree: inner.toString("hex") };
  const tree = await writeDirectory(writer, [folder]);
  return [
    { name: "disk", kind: "image", ...image },
    { name: "dump", kind: "stream", ...stream },
    { name: "tree", kind: "directory", path: "/", entry: { ...folder, tree: tree.toString("hex") } },
  ];
}

/** A writer does one thing at a time. */
async function oneByOne<T, U>(items: readonly T[], work: (item: T) => Promise<U>): Promise<U[]> {
  const results: U[] = [];
  for (const item of items) results.push(await work(item));
  return results;
}

/** All content of a point, read and verified to the last blob. */
export async function contentOf(store: BlobStore, point: RecoveryPoint, length = smallBlock): Promise<unknown> {
  const { reader } = store;
  const read = async (id: Buffer): Promise<Buffer> =>
    isHole(id) ? Buffer.alloc(length) : await reader.read(blobKinds.data, id);
  const found: Record<string, unknown> = {};
  for (const part of point.manifest.parts) {
    if (part.kind === "image") {
      const bytes = Buffer.alloc(part.size);
      for await (const leaf of imageLeaves(reader, part)) {
        for (const [place, id] of (await readImageLeaf(reader, part, leaf)).entries()) {
          bytes.set(await read(id), (leaf.leaf * 256 + place) * length);
        }
      }
      found[part.name] = digestOf(bytes);
    } else if (part.kind === "stream") {
      const pieces: Buffer[] = [];
      for await (const { id } of streamChunks(reader, part)) pieces.push(await read(id));
      found[part.name] = digestOf(Buffer.concat(pieces));
    } else {
      const [folder] = await readDirectory(reader, Buffer.from(part.entry.tree, "hex"));
      const files = await readDirectory(reader, Buffer.from(folder?.tree ?? "", "hex"));
      const digests = files.map(async (file): Promise<[string, string]> => {
        return [nameOf(file).toString(), digestOf(await read(Buffer.from(file.root ?? "", "hex")))];
      });
      found[part.name] = Object.fromEntries(await Promise.all(digests));
    }
  }
  return found;
}

/** What `contentOf` finds for that content. */
export function expected(content: Content): unknown {
  const length = content.length ?? smallBlock;
  const joined = (numbers: readonly number[]): string =>
    digestOf(Buffer.concat(numbers.map((number) => bytesOf(number, length))));
  const files = Object.entries(content.files).map(([name, number]) => [name, digestOf(bytesOf(number, length))]);
  return { disk: joined(content.image), dump: joined(content.stream), tree: Object.fromEntries(files) };
}

function digestOf(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export type RunOptions = Partial<Pick<ReplicateOptions, "wanted" | "grace" | "signal" | "onProgress" | "points">>;

/** One run from a primary to a storage, as a daemon that has just started would make it. */
export async function replicateTo(
  primary: Repository,
  storage: Storage,
  options: RunOptions = {},
): Promise<ReplicationReport> {
  const replica = await prepareReplica({ primary, storage, create: true });
  const store = await BlobStore.load(primary);
  const { points } = await loadCatalog(primary);
  return await replicate({ primary: store, points, replica, wanted: () => () => true, grace: day, ...options });
}

/** The points of what is on a disk, all of them read to the last blob with nothing but the key. */
export async function readAll(disk: SimulatedDisk, length = smallBlock): Promise<Map<string, unknown>> {
  const repository = await open(disk, "on its own");
  const store = await BlobStore.load(repository);
  const { points, damaged } = await loadCatalog(repository);
  for (const { error } of damaged) throw error;
  const contents = new Map<string, unknown>();
  for (const point of points) contents.set(point.id, await contentOf(store, point, length));
  return contents;
}

/** How many times each blob is stored, by id; in packs that no index names too. */
export async function copiesOf(disk: SimulatedDisk): Promise<Map<string, number>> {
  const { keys, storage } = await open(disk, "on its own");
  const copies = new Map<string, number>();
  for await (const { name, size } of storage.list("packs/")) {
    const { opened } = await readPack(keys, storage, { id: packIdOf(name) ?? "", size });
    for (const { id } of opened.table) copies.set(id.toString("hex"), (copies.get(id.toString("hex")) ?? 0) + 1);
  }
  return copies;
}

export async function pointsOf(repository: Repository): Promise<readonly CatalogPoint[]> {
  return (await loadCatalog(repository)).points;
}
