/** Opened blobs, kept for the next reader, and read once however many ask for them at the same time. */
import { isStillpointError, toError } from "../../errors.ts";
import type { BlobReader } from "../../repository/blobs/blob-reader.ts";
import type { BlobKind } from "../../repository/format.ts";

export interface BlobCacheOptions {
  readonly reader: Pick<BlobReader, "readMany">;
  /**
   * A reader that knows the repository as it is now. A server runs for weeks, in which a sweep may have moved blobs to other packs
   * (docs/format.md section 11): what can't be found is looked for once more. Undefined when there is nothing newer.
   */
  readonly renew: () => Promise<Pick<BlobReader, "readMany"> | undefined>;
  /** In bytes, of contents. */
  readonly limit: number;
}

export class BlobCache {
  readonly #renew: BlobCacheOptions["renew"];
  readonly #limit: number;
  #reader: BlobCacheOptions["reader"];
  #renewing: Promise<unknown> | undefined;
  /** The least recently used first. */
  readonly #kept = new Map<string, Buffer>();
  #size = 0;
  readonly #loading = new Map<string, Promise<Buffer>>();

  constructor({ reader, renew, limit }: BlobCacheOptions) {
    this.#reader = reader;
    this.#renew = renew;
    this.#limit = limit;
  }

  /** The contents, in the order of `ids`; not to be written to. Throws `damaged`, or a storage error. */
  async read(kind: BlobKind, ids: readonly Buffer[]): Promise<Buffer[]> {
    return await Promise.all(this.#find(kind, ids));
  }

  /** Whether it is there, or on its way. */
  has(kind: BlobKind, id: Buffer): boolean {
    const key = keyOf(kind, id);
    return this.#kept.has(key) || this.#loading.has(key);
  }

  /** Begins to read what isn't there yet. Errors are left to whoever reads it then. */
  async prepare(kind: BlobKind, ids: readonly Buffer[]): Promise<void> {
    await Promise.allSettled(this.#find(kind, ids));
  }

  #find(kind: BlobKind, ids: readonly Buffer[]): Promise<Buffer>[] {
    const absent = new Map<string, Buffer>();
    for (const id of ids) {
      const key = keyOf(kind, id);
      if (!this.#kept.has(key) && !this.#loading.has(key)) absent.set(key, id);
    }
    if (absent.size > 0) this.#load(kind, absent);
    return ids.map((id) => {
      const key = keyOf(kind, id);
      const kept = this.#kept.get(key);
      if (kept === undefined) return this.#loading.get(key) as Promise<Buffer>;
      this.#kept.delete(key);
      this.#kept.set(key, kept);
      return Promise.resolve(kept);
    });
  }

  #load(kind: BlobKind, absent: ReadonlyMap<string, Buffer>): void {
    const waiting = new Map<string, PromiseWithResolvers<Buffer>>();
    for (const key of absent.keys()) {
      const loading = Promise.withResolvers<Buffer>();
      // Whoever asked sees it; a read-ahead that failed has nobody who does.
      loading.promise.catch(() => undefined);
      waiting.set(key, loading);
      this.#loading.set(key, loading.promise);
    }
    const found = (key: string, content: Buffer): void => {
      this.#loading.delete(key);
      this.#keep(key, content);
      waiting.get(key)?.resolve(content);
      waiting.delete(key);
    };
    const lost = (key: string, error: Error): void => {
      this.#loading.delete(key);
      waiting.get(key)?.reject(error);
      waiting.delete(key);
    };
    this.#readTwice(kind, absent, found, lost).catch((error: unknown) => {
      for (const key of waiting.keys()) lost(key, toError(error));
    });
  }

  async #readTwice(
    kind: BlobKind,
    wanted: ReadonlyMap<string, Buffer>,
    found: (key: string, content: Buffer) => void,
    lost: (key: string, error: Error) => void,
  ): Promise<void> {
    const reader = this.#reader;
    const failed = await readEach(reader, kind, wanted, found);
    if (failed.size === 0) return;
    if (reader === this.#reader && [...failed.values()].some(mayHaveMoved)) await this.#renewReader();
    const again = new Map([...wanted].filter(([key]) => failed.has(key)));
    const failedAgain = reader === this.#reader ? failed : await readEach(this.#reader, kind, again, found);
    for (const [key, error] of failedAgain) lost(key, error);
  }

  /** Many readers may find at the same time that something has moved. */
  async #renewReader(): Promise<void> {
    this.#renewing ??= this.#renew()
      .then((reader) => {
        if (reader !== undefined) this.#reader = reader;
      })
      .finally(() => {
        this.#renewing = undefined;
      });
    // What kept the blob from being read says more than what keeps the repository from being looked at.
    await this.#renewing.catch(() => undefined);
  }

  #keep(key: string, content: Buffer): void {
    this.#kept.set(key, content);
    this.#size += content.length;
    for (const [oldest, { length }] of this.#kept) {
      if (this.#size <= this.#limit) return;
      this.#kept.delete(oldest);
      this.#size -= length;
    }
  }
}

/** Hands over what can be read; returns what can't, with the reasons. */
async function readEach(
  reader: Pick<BlobReader, "readMany">,
  kind: BlobKind,
  wanted: ReadonlyMap<string, Buffer>,
  found: (key: string, content: Buffer) => void,
): Promise<Map<string, Error>> {
  const keys = [...wanted.keys()];
  const failed = new Map<string, Error>();
  await reader.readMany(kind, [...wanted.values()], (position, content) => {
    const key = keys[position] as string;
    if (content instanceof Error) failed.set(key, content);
    else found(key, content);
  });
  return failed;
}

function mayHaveMoved(error: Error): boolean {
  return isStillpointError(error, "damaged") || isStillpointError(error, "object_missing");
}

function keyOf(kind: BlobKind, id: Buffer): string {
  return `${kind}${id.toString("latin1")}`;
}
