import type { CallOptions } from "./call-options.ts";
import type { LockMode, ObjectLocks } from "./object-locks.ts";

export type { CallOptions };

/**
 * The storage contract. A storage keeps named byte strings, called objects.
 *
 * - **Names** are one or more segments of `[A-Za-z0-9._-]`, joined by `/`. No segment is `.` or `..`, and the first isn't
 *   `tmp`, which drivers keep for unfinished work. No name may be another's beginning at a `/`: where there is an `a/b`
 *   there is no `a`.
 * - **Durability.** When `put` has resolved, the object survives the loss of power; when `delete` has, the object doesn't
 *   come back. (fs: file and folder are fsynced; others: the store has acknowledged.)
 * - **Atomicity.** A reader sees the whole object or none of it. A `put` that failed or was cut off has left nothing under
 *   the name, or the earlier object whole, or the new one whole. `put` to a name that exists replaces the object.
 *   Of several to one name at the same time, one's object is left, whole; others may be told to try again.
 * - **Read after write.** After `put` has resolved, `get`, `stat` and `list` see the object, from any process.
 * - **Listing.** `list(prefix)` yields each object whose name begins with `prefix` exactly once, in no particular order.
 *   Objects put or deleted meanwhile may or may not appear. It never ends early in silence: what can't be read makes it
 *   throw. A storage that has vanished as a whole makes it throw too; it is never an empty listing.
 * - **Deletion.** `delete` of a name that isn't there succeeds.
 * - **Repeating.** Every call may be repeated, whether it failed or not.
 * - **Errors.** StillpointError with `object_missing` (`get` and `stat` only), `storage_unreachable`, `storage_failed`,
 *   `storage_full`, `storage_denied` or `cancelled`; `internal` for a name that no object may have. The error's
 *   `retryable` says whether trying again makes sense.
 * - **Cancelling.** When the signal aborts, the call rejects with `cancelled` soon. A `put` or `delete` that was cancelled
 *   may have happened, or may still happen within moments.
 */
export interface Storage {
  /** For messages, logs and metrics: `primary`, or the replica's name. */
  readonly location: string;
  /** Stores `data`, the pieces one after the other, under `name`. They must not change until it has resolved. */
  put(name: string, data: readonly Uint8Array[], options?: CallOptions): Promise<void>;
  /**
   * The whole object, or exactly the bytes of the range; `storage_failed`, not retryable, when it ends before the range does.
   * The result is the caller's alone: nothing else uses its memory.
   */
  get(name: string, range?: ByteRange, options?: GetOptions): Promise<Buffer>;
  stat(name: string, options?: CallOptions): Promise<ObjectInfo>;
  list(prefix: string, options?: CallOptions): AsyncIterable<ObjectInfo>;
  delete(name: string, options?: CallOptions): Promise<void>;
  /** Only of a place that was opened to be locked: what it can do with versions. */
  readonly locks?: ObjectLocks | undefined;
}

export interface GetOptions extends CallOptions {
  /**
   * Memory for the bytes of a range, and just as long: the result is this. Shared, as another thread may make the call. Nothing is
   * written to it after the call has ended, unless it was cancelled.
   */
  readonly into?: Buffer<SharedArrayBuffer> | undefined;
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
export type StorageAddress = FsAddress | S3Address | SftpAddress;

export interface FsAddress {
  readonly kind: "fs";
  readonly location: string;
  readonly path: string;
}

export interface S3Address {
  readonly kind: "s3";
  readonly location: string;
  /** `https://host:port`; undefined for AWS's own of the region. */
  readonly endpoint: string | undefined;
  readonly region: string;
  readonly bucket: string;
  /** What every object's key begins with: "", or ending in `/`. */
  readonly prefix: string;
  /** Whether the bucket is named in the path, not in the host's name. */
  readonly pathStyle: boolean;
  /** PEM file with the authorities to trust instead of the usual ones. */
  readonly caFile: string | undefined;
  readonly credentials: S3Credentials;
  /** How objects are to be locked; undefined where they aren't. */
  readonly objectLock?: LockMode | undefined;
}

/** Where the access key comes from; never the key itself. */
export type S3Credentials =
  | { readonly kind: "file"; readonly path: string }
  /** A systemd credential: the file of that name in $CREDENTIALS_DIRECTORY. */
  | { readonly kind: "credential"; readonly name: string }
  /** Where AWS's programs look for it: environment, ~/.aws, the machine's role. */
  | { readonly kind: "chain" };

/** What lacks is as ssh_config and the user's own files for ssh have it. */
export interface SftpAddress {
  readonly kind: "sftp";
  readonly location: string;
  /** A name or an address; may be one that only ssh_config knows. */
  readonly host: string;
  readonly port: number | undefined;
  readonly user: string | undefined;
  /** Absolute, or relative to where the server puts the user. */
  readonly path: string;
  /** File with the private key to log in by. */
  readonly identityFile: string | undefined;
  /** File with the servers' keys to trust instead of the usual ones. */
  readonly knownHostsFile: string | undefined;
  /** Configuration of ssh to read instead of the usual ones. */
  readonly sshConfig: string | undefined;
}
