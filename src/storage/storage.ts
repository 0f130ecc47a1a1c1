/**
 * The storage contract. A storage keeps named, immutable-by-convention byte strings.
 *
 * Names are one or more segments of `[A-Za-z0-9._-]`, joined by `/`; no segment is `.` or `..`.
 *
 * - **Durability.** When `put` has resolved, the object survives the loss of power (fs: file and folder
 *   are fsynced; others: the store has acknowledged).
 * - **Atomicity.** A reader sees the whole object or none of it; a `put` that failed or was cut off has
 *   left no object under its name (or the earlier one, whole). `put` of a name that exists replaces it as a whole.
 * - **Read after write.** After `put` has resolved, `get`, `stat` and `list` see the object, from any process.
 * - **Listing.** `list(prefix)` yields each object whose name begins with `prefix` exactly once, in no
 *   particular order. Objects put or deleted meanwhile may or may not appear. It never ends early in
 *   silence: if a page can't be read, it throws. A storage whose root has vanished throws; it is never an
 *   empty listing.
 * - **Deletion.** `delete` of a name that isn't there succeeds.
 * - **Errors.** StillpointError with `object_missing` (get, stat), `storage_unreachable`, `storage_failed`,
 *   `storage_full`, `storage_denied` or `cancelled`; nothing else. `retryable` says whether trying again makes sense.
 * - **Cancelling.** When the signal aborts, the call rejects with `cancelled` soon; a `put` cancelled may or may not have happened.
 */
export interface Storage {
  /** For messages, logs and metrics: `primary`, or the replica's name. */
  readonly location: string;
  /** Stores `data` (pieces are concatenated) under `name`. */
  put(name: string, data: readonly Uint8Array[], options?: CallOptions): Promise<void>;
  /** The whole object, or exactly `range.length` bytes from `range.offset`; a range past the end is `damaged`-free but short: it throws `storage_failed`. */
  get(name: string, range?: ByteRange, options?: CallOptions): Promise<Buffer>;
  stat(name: string, options?: CallOptions): Promise<ObjectInfo>;
  list(prefix: string, options?: CallOptions): AsyncIterable<ObjectInfo>;
  delete(name: string, options?: CallOptions): Promise<void>;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Bytes `offset` to `offset + length`, both whole numbers of bytes, `length` at least 1. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

export interface ObjectInfo {
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** When the store says that it was written, in ms since the epoch, by the store's own clock. */
  readonly time: number;
}

/** Everything needed to open a storage, as plain data: it is sent to worker threads. Never holds a secret itself. */
export type StorageAddress = { readonly kind: "fs"; readonly location: string; readonly path: string };
