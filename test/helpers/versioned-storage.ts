/** A storage in memory that keeps versions and locks them, as a bucket with Object Lock does. */
import { createHash } from "node:crypto";
import { StillpointError } from "../../src/errors.ts";
import type { Clock } from "../../src/host/clock.ts";
import type { ObjectLocks, ObjectVersion } from "../../src/storage/object-locks.ts";
import type { ByteRange, ObjectInfo, Storage } from "../../src/storage/storage.ts";

interface Version {
  readonly id: string;
  /** Undefined: a marker. */
  readonly data: Buffer | undefined;
  readonly time: number;
  until: number | undefined;
}

export class VersionedStorage implements Storage {
  readonly location: string;
  readonly locks: ObjectLocks | undefined;
  /** Oldest first. */
  readonly versions = new Map<string, Version[]>();
  /** Names whose locks were set or looked at, in order. */
  readonly extended: string[] = [];
  readonly #clock: Clock;
  #made = 0;

  constructor(clock: Clock, location = "vault", { locks = true, enabled = true } = {}) {
    this.#clock = clock;
    this.location = location;
    this.locks = locks ? this.#makeLocks(enabled) : undefined;
  }

  put(name: string, data: readonly Uint8Array[]): Promise<void> {
    this.#add(name, Buffer.concat(data), undefined);
    return Promise.resolve();
  }

  get(name: string, range?: ByteRange): Promise<Buffer> {
    const data = this.#current(name)?.data;
    if (data === undefined) return Promise.reject(missing(name));
    return Promise.resolve(Buffer.from(range ? data.subarray(range.offset, range.offset + range.length) : data));
  }

  stat(name: string): Promise<ObjectInfo> {
    const current = this.#current(name);
    if (current?.data === undefined) return Promise.reject(missing(name));
    return Promise.resolve({ name, size: current.data.length, time: current.time });
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    for (const name of Array.from(this.versions.keys())) {
      if (name.startsWith(prefix) && this.#current(name)?.data !== undefined) yield await this.stat(name);
    }
  }

  delete(name: string): Promise<void> {
    if (this.versions.has(name)) this.#add(name, undefined, undefined);
    return Promise.resolve();
  }

  /** Until when the object's oldest version is locked. */
  until(name: string): number | undefined {
    return this.versions.get(name)?.[0]?.until;
  }

  #current(name: string): Version | undefined {
    return this.versions.get(name)?.at(-1);
  }

  #add(name: string, data: Buffer | undefined, until: number | undefined): string {
    const id = `v${++this.#made}`;
    const version = { id, data, time: this.#clock.now(), until };
    this.versions.set(name, [...(this.versions.get(name) ?? []), version]);
    return id;
  }

  #find(name: string, id: string): Version & { readonly data: Buffer } {
    const found = this.versions.get(name)?.find((one) => one.id === id);
    if (found?.data === undefined) throw missing(name);
    return found as Version & { readonly data: Buffer };
  }

  #makeLocks(enabled: boolean): ObjectLocks {
    const extend = (name: string, id: string, until: number): void => {
      const version = this.#find(name, id);
      this.extended.push(name);
      version.until = Math.max(version.until ?? 0, until);
    };
    return {
      require: async () => {
        if (enabled) return await Promise.resolve(this.#clock.now());
        throw new StillpointError("storage_denied", { what: `Cannot lock anything in ${this.location}: no locks` });
      },
      put: async (name, data, until) => await Promise.resolve(this.#add(name, Buffer.concat(data), until)),
      lockedUntil: async (name, id) => await Promise.resolve(this.#find(name, id).until),
      extend: async (name, id, until) => await Promise.resolve(extend(name, id, until)),
      versions: (prefix) => this.#listVersions(prefix),
      get: async (name, id) => await Promise.resolve(Buffer.from(this.#find(name, id).data)),
      restore: async (name, id, until) => await Promise.resolve(this.#add(name, this.#find(name, id).data, until)),
    };
  }

  async *#listVersions(prefix: string): AsyncIterable<ObjectVersion> {
    for (const [name, versions] of Array.from(this.versions)) {
      if (!name.startsWith(prefix)) continue;
      // Newest first, as S3 lists them.
      for (const version of versions.toReversed()) yield await Promise.resolve(listed(name, version, versions));
    }
  }
}

function listed(name: string, { id, data, time }: Version, versions: readonly Version[]): ObjectVersion {
  const etag = data === undefined ? "" : createHash("md5").update(data).digest("hex");
  const current = versions.at(-1)?.id === id;
  return { name, version: id, current, marker: data === undefined, size: data?.length ?? 0, etag, time };
}

function missing(name: string): StillpointError {
  return new StillpointError("object_missing", { what: `Cannot find ${name}` });
}
