/** Loads the index of a synthetic repository with 1 TiB in blocks of 128 KiB, and prints what that took as JSON. */
import { createCipheriv } from "node:crypto";
import { systemClock } from "../src/host/clock.ts";
import { BlobStore } from "../src/repository/blobs/blob-store.ts";
import { imageBlock, tableEntryLength, tagLength } from "../src/repository/format.ts";
import { sealIndex } from "../src/repository/blobs/index-object.ts";
import { KeyRing } from "../src/repository/keys/key-ring.ts";
import { type PackInfo, packName } from "../src/repository/blobs/pack.ts";
import type { ObjectInfo, Storage } from "../src/storage/storage.ts";

const blobsPerPack = 128;
const packsPerIndex = 64;
const blobs = 2 ** 40 / imageBlock;
const packs = blobs / blobsPerPack;

const keys = new KeyRing({ masterKey: Buffer.alloc(32, 1), repositoryId: Buffer.alloc(16, 2) });

/** The same numbers each time, wherever one begins: AES of a counter. */
function randomBytes(part: number, length: number): Buffer {
  const start = Buffer.alloc(16);
  start.writeUInt32BE(part);
  return createCipheriv("aes-128-ctr", Buffer.alloc(16), start).update(Buffer.alloc(length));
}

function makePack(number: number): PackInfo {
  const table = randomBytes(number, blobsPerPack * tableEntryLength);
  const id = randomBytes(number + packs, 32).toString("hex");
  return { id, class: "data", size: blobsPerPack * imageBlock, tableLength: table.length + tagLength, table };
}

function makeIndex(number: number): { readonly name: string; readonly data: Buffer } {
  const numbers = Array.from({ length: packsPerIndex }, (_, position) => number * packsPerIndex + position);
  return sealIndex(keys, numbers.map(makePack));
}

/** Only what a load asks for. An index object is made when it is listed, and is forgotten when it was read. */
class SyntheticStorage implements Storage {
  readonly location = "synthetic";
  readonly #objects = new Map<string, Buffer>();

  async *list(prefix: string): AsyncGenerator<ObjectInfo> {
    await Promise.resolve();
    if (prefix === "packs/") {
      for (let number = 0; number < packs; number++) {
        const { id, size } = makePack(number);
        yield { name: packName(id), size, time: 0 };
      }
    }
    if (prefix !== "index/") return;
    for (let number = 0; number < packs / packsPerIndex; number++) {
      const { name, data } = makeIndex(number);
      this.#objects.set(name, data);
      yield { name, size: data.length, time: 0 };
    }
  }

  async get(name: string): Promise<Buffer> {
    const data = await Promise.resolve(this.#objects.get(name));
    this.#objects.delete(name);
    if (data === undefined) throw new Error(`there is no ${name}`);
    return data;
  }

  readonly put = refuse;
  readonly stat = refuse;
  readonly delete = refuse;
}

async function refuse(): Promise<never> {
  return await Promise.reject(new Error("loading an index does this?"));
}

/** Bytes in use, garbage aside. */
function memoryInUse(): number {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

const storage = new SyntheticStorage();
const before = memoryInUse();
const started = performance.now();
const store = await BlobStore.load({ storage, keys, clock: systemClock });
const seconds = (performance.now() - started) / 1000;
const after = memoryInUse();
if (store.index.count !== blobs) throw new Error(`${String(store.index.count)} blobs`);
const index = store.index.byteLength + store.packs.records.length;
console.log(JSON.stringify({ index, everything: index + after - before, seconds }));
