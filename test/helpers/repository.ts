/** Small repositories on a simulated disk, with tiny recovery points made by hand. */
import { createHash } from "node:crypto";
import { StillpointError } from "../../src/errors.ts";
import type { Clock } from "../../src/host/clock.ts";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { commitPoint } from "../../src/repository/points/catalog.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import { blobKinds, imageFanOut } from "../../src/repository/format.ts";
import type { NewKey } from "../../src/repository/keys/key-objects.ts";
import type { ImagePart, Manifest, Part, RecoveryPoint } from "../../src/repository/points/manifest.ts";
import { createRepository, type Repository } from "../../src/repository/repository.ts";
import { type DirectoryEntry, readDirectory, writeDirectory } from "../../src/repository/tree/directory-tree.ts";
import { hole, imageLeaves, joinNode, readImageLeaf, writeImageTree } from "../../src/repository/tree/image-tree.ts";
import { streamChunks, writeStreamTree } from "../../src/repository/tree/stream-tree.ts";
import { WriteSession } from "../../src/repository/blobs/write-session.ts";
import { createFsStorage, FsStorage } from "../../src/storage/drivers/fs.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { SimulatedDisk } from "./simulated-disk.ts";

/** A clock that a test moves, and in which sleeping takes no real time: it just gets later. */
export class PassingClock implements Clock {
  #now = Date.UTC(2026, 10, 22);
  #monotonic = 0;

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  sleep(ms: number): Promise<void> {
    this.pass(ms);
    return Promise.resolve();
  }

  pass(ms: number): void {
    this.#now += ms;
    this.#monotonic += ms;
  }
}

export interface TestRepository {
  readonly repository: Repository;
  readonly disk: SimulatedDisk;
  readonly clock: PassingClock;
}

const root = "/repository";
const key: NewKey = { type: "key-file", secret: Buffer.alloc(32, 7) };

export async function makeTestRepository(location = "primary"): Promise<TestRepository> {
  const clock = new PassingClock();
  const disk = new SimulatedDisk({ now: () => clock.now() });
  await createFsStorage({ location, root, files: disk });
  const storage = new FsStorage({ location, root, files: disk, clock });
  return { repository: await createRepository({ storage, clock, key, label: "test" }), disk, clock };
}

/** The repository as another process sees it, on this disk (by default the same one). */
export function reopen({ repository, clock, disk: same }: TestRepository, disk = same): TestRepository {
  const { keys, storage } = repository;
  return {
    repository: { keys, clock, storage: new FsStorage({ location: storage.location, root, files: disk, clock }) },
    disk,
    clock,
  };
}

/** A storage of which some methods are others. */
export function overriding(storage: Storage, methods: Partial<Storage>): Storage {
  return {
    location: storage.location,
    put: async (...call) => await storage.put(...call),
    get: async (...call) => await storage.get(...call),
    stat: async (...call) => await storage.stat(...call),
    list: (...call) => storage.list(...call),
    delete: async (...call) => await storage.delete(...call),
    ...methods,
  };
}

/** The repository on a disk with bad sectors: reads that touch the byte `at` of these objects fail, until they are put or deleted. */
export function withBadSector(repository: Repository, names: readonly string[], at = 0): Repository {
  const { storage } = repository;
  const bad = new Set(names);
  return {
    ...repository,
    storage: overriding(storage, {
      get: async (name, range, options) => {
        const touches = range === undefined || (range.offset <= at && at < range.offset + range.length);
        if (bad.has(name) && touches)
          throw new StillpointError("storage_failed", { what: `Cannot read ${name}: input/output error (EIO)` });
        return await storage.get(name, range, options);
      },
      put: async (name, ...rest) => {
        await storage.put(name, ...rest);
        bad.delete(name);
      },
      delete: async (name, options) => {
        await storage.delete(name, options);
        bad.delete(name);
      },
    }),
  };
}

/** An empty repository with the same keys: a replica. */
export async function makeReplicaOf(
  { repository, clock }: TestRepository,
  location = "replica",
): Promise<TestRepository> {
  const disk = new SimulatedDisk({ now: () => clock.now() });
  await createFsStorage({ location, root, files: disk });
  const storage = new FsStorage({ location, root, files: disk, clock });
  for await (const { name } of repository.storage.list("keys/"))
    await storage.put(name, [await repository.storage.get(name)]);
  await storage.put("format", [await repository.storage.get("format")]);
  return { repository: { keys: repository.keys, clock, storage }, disk, clock };
}

/** What a tiny point holds: an image, as the seeds of its blocks (0: a hole), and files by name, as the seeds of their chunks. */
export interface TinyContent {
  readonly image?: readonly number[];
  readonly files?: Readonly<Record<string, readonly number[]>>;
}

export interface TinyOptions {
  readonly source?: string;
  readonly previous?: RecoveryPoint;
  readonly store?: BlobStore;
}

export const blockLength = 512;

const blocks = new Map<number, Buffer>();

/** Bytes that don't compress, always the same for a seed. Not to be written to. */
export function block(seed: number): Buffer {
  const known = blocks.get(seed);
  if (known !== undefined) return known;
  const pieces = Array.from({ length: blockLength / 32 }, (_, i) =>
    createHash("sha256")
      .update(`${String(seed)}/${String(i)}`)
      .digest(),
  );
  const bytes = Buffer.concat(pieces);
  blocks.set(seed, bytes);
  return bytes;
}

/** Stores the content and commits a point. */
export async function captureTiny(
  repository: Repository,
  content: TinyContent,
  options: TinyOptions = {},
): Promise<RecoveryPoint> {
  const session = await storeTiny(repository, content, options.store);
  return await session.commit(options);
}

/** Stores the content; nothing exists until `commit`. */
export async function storeTiny(
  repository: Repository,
  content: TinyContent,
  store?: BlobStore,
): Promise<{ commit(options?: TinyOptions): Promise<RecoveryPoint> }> {
  const session = new WriteSession(store ?? (await BlobStore.load(repository)), inlineExecutor);
  const parts: Part[] = [];
  if (content.image !== undefined) parts.push(await writeImage(session, content.image));
  if (content.files !== undefined) parts.push(await writeFiles(session, content.files));
  await session.finish();
  await session.close();
  return {
    commit: async ({ source = "tiny", previous } = {}) =>
      await commitPoint(repository, manifestOf(repository, parts, source, previous)),
  };
}

async function writeImage({ writer }: WriteSession, seeds: readonly number[]): Promise<ImagePart> {
  const leaves: Buffer[] = [];
  for (let at = 0; at < seeds.length; at += imageFanOut) {
    const ids: Buffer[] = [];
    for (const seed of seeds.slice(at, at + imageFanOut))
      ids.push(seed === 0 ? hole : await writer.add(blobKinds.data, block(seed)));
    const node = seeds.length === 1 ? undefined : joinNode(ids);
    leaves.push(
      seeds.length === 1 ? (ids[0] ?? hole) : node === undefined ? hole : await writer.add(blobKinds.imageNode, node),
    );
  }
  return {
    name: "image",
    kind: "image",
    ...(await writeImageTree(writer, seeds.length * blockLength, blockLength, leaves)),
  };
}

const attributes = { mode: 0o644, uid: 0, gid: 0, mtime: "1.000000000", ctime: "1.000000000", inode: "1" };

/** A folder `data` with the files in it. */
async function writeFiles({ writer }: WriteSession, files: Readonly<Record<string, readonly number[]>>): Promise<Part> {
  const entries: DirectoryEntry[] = [];
  for (const name of Object.keys(files).sort()) {
    const chunks: { id: Buffer; size: number }[] = [];
    for (const seed of files[name] ?? []) {
      chunks.push({ id: seed === 0 ? hole : await writer.add(blobKinds.data, block(seed)), size: blockLength });
    }
    entries.push({ ...attributes, name, type: "file", ...(await writeStreamTree(writer, chunks)) });
  }
  const data = (await writeDirectory(writer, entries)).toString("hex");
  const tree = (
    await writeDirectory(writer, [{ ...attributes, name: "data", type: "directory", tree: data }])
  ).toString("hex");
  return { name: "files", kind: "directory", path: "/files", entry: { ...attributes, type: "directory", tree } };
}

function manifestOf(
  { clock, keys }: Repository,
  parts: Part[],
  source: string,
  previous: RecoveryPoint | undefined,
): Manifest {
  const time = new Date(clock.now()).toISOString();
  return {
    version: 1,
    repository: keys.repositoryId,
    source,
    policy: "test",
    host: "test",
    kind: "image",
    time,
    started: time,
    finished: time,
    consistency: "crash",
    parts,
    previous: previous?.digest ?? null,
    tags: [],
    statistics: { size: 0, read: 0, new: 0, stored: 0 },
    left_out: [],
    left_out_count: 0,
    software: { stillpoint: "test", node: "test", kernel: "test" },
  };
}

/** Reads every byte of a point, as another process would, and hands it back as it was given to `captureTiny`, by content. */
export async function readTiny(
  repository: Repository,
  point: RecoveryPoint,
  store?: BlobStore,
): Promise<Map<string, Buffer>> {
  const { reader } = store ?? (await BlobStore.load(repository));
  const contents = new Map<string, Buffer>();
  for (const part of point.manifest.parts) {
    if (part.kind === "image") contents.set("image", await readImage(reader, part));
    if (part.kind !== "directory") continue;
    for (const folder of await readDirectory(reader, Buffer.from(part.entry.tree, "hex"))) {
      for (const entry of await readDirectory(reader, Buffer.from(folder.tree ?? "", "hex"))) {
        const { size = 0, depth = 0, root: top = "" } = entry;
        const content = Buffer.alloc(size);
        for await (const chunk of streamChunks(reader, { size, depth, root: top })) {
          if (!hole.equals(chunk.id)) (await reader.read(blobKinds.data, chunk.id)).copy(content, chunk.offset);
        }
        contents.set(`data/${entry.name ?? ""}`, content);
      }
    }
  }
  return contents;
}

async function readImage(reader: BlobStore["reader"], part: ImagePart): Promise<Buffer> {
  const content = Buffer.alloc(part.size);
  for await (const leaf of imageLeaves(reader, part)) {
    for (const [i, id] of (await readImageLeaf(reader, part, leaf)).entries()) {
      if (hole.equals(id)) continue;
      (await reader.read(blobKinds.data, id)).copy(content, (leaf.leaf * imageFanOut + i) * part.block);
    }
  }
  return content;
}

/** What `readTiny` gives for a point that is whole. */
export function expectedContents({ image, files = {} }: TinyContent): Map<string, Buffer> {
  const bytes = (seeds: readonly number[]): Buffer =>
    Buffer.concat(seeds.map((seed) => (seed === 0 ? Buffer.alloc(blockLength) : block(seed))));
  const contents = new Map<string, Buffer>();
  if (image !== undefined) contents.set("image", bytes(image));
  for (const [name, seeds] of Object.entries(files)) contents.set(`data/${name}`, bytes(seeds));
  return contents;
}

export async function namesOf(storage: Storage, prefix = ""): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of storage.list(prefix)) names.push(name);
  return names.sort();
}

/** Replaces a file's bytes behind the repository's back. */
export async function alter(disk: SimulatedDisk, name: string, change: (data: Buffer) => Buffer): Promise<void> {
  const path = `${root}/${name}`;
  const data = await disk.read(path);
  await disk.unlink(path);
  await disk.createSynced(path, [change(Buffer.from(data))]);
}

export function flipByte(at: number): (data: Buffer) => Buffer {
  return (data) => {
    data[at % data.length] = (data[at % data.length] ?? 0) ^ 0x55;
    return data;
  };
}
