import type { CallOptions } from "./call-options.ts";

/** Who can still delete a locked version: those with a special right, or nobody at all until the time has come. */
export type LockMode = "governance" | "compliance";

/**
 * What a storage can do besides that keeps every write of an object as a version of its own and can lock versions, so that
 * nobody who has this access key can destroy them (S3 with Object Lock). Errors, repeating and cancelling are as in the storage
 * contract; versions that aren't there are `object_missing`.
 *
 * - A **version** is named by the storage. It never changes. `Storage.put` to a name that exists adds one; `Storage.delete` adds
 *   a marker, with which the object counts as deleted while its versions stay.
 * - A **lock** holds one version until a time by the store's clock. Nothing shortens it here. A lock keeps nobody from putting over
 *   an object or marking it as deleted: so who wants to know what is really there looks at the versions it has pinned, and
 *   `restore` undoes what was done.
 */
export interface ObjectLocks {
  /**
   * Throws `storage_denied`, not retryable, when the storage doesn't lock: to be called before anything relies on it. Returns the
   * time by the store's own clock, in ms since the epoch: what locks are measured by.
   */
  require(options?: CallOptions): Promise<number>;
  /** `Storage.put`, locked from its first moment until `until` (ms since the epoch). Returns the version. */
  put(name: string, data: readonly Uint8Array[], until: number, options?: CallOptions): Promise<string>;
  /** Until when a version is locked, in ms since the epoch; undefined when it isn't. */
  lockedUntil(name: string, version: string, options?: CallOptions): Promise<number | undefined>;
  /** Locks a version until `until`. To ask for less than there is changes nothing and succeeds. */
  extend(name: string, version: string, until: number, options?: CallOptions): Promise<void>;
  /** Every version and marker of the objects whose names begin with `prefix`, in no particular order. */
  versions(prefix: string, options?: CallOptions): AsyncIterable<ObjectVersion>;
  /** The bytes of one version, whatever was put over it or deleted since. */
  get(name: string, version: string, options?: CallOptions): Promise<Buffer>;
  /**
   * Makes the content of a version the object again: over what was put since, or over a marker. The store copies it to a new
   * version, locked until `until`, so that the right to put is enough. Returns that version.
   */
  restore(name: string, version: string, until: number, options?: CallOptions): Promise<string>;
}

export interface ObjectVersion {
  readonly name: string;
  readonly version: string;
  /** Whether it is what `Storage.get` gives: for a marker, that there is no such object. */
  readonly current: boolean;
  /** A marker has no content: from then on the object counts as deleted. */
  readonly marker: boolean;
  /** In bytes; 0 for a marker. */
  readonly size: number;
  /** Versions of one object with the same size and tag have the same content; those that differ may have, too. "" for a marker. */
  readonly etag: string;
  /** When the store says that it was written, in ms since the epoch. */
  readonly time: number;
}
