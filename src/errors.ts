/**
 * Every error that Stillpoint raises on purpose: one table, one class.
 *
 * A message has three parts: what happened, what is still safe, and what to do. The exit
 * statuses are documented in docs/operations.md, pinned to this table by a test.
 */

/** Exit statuses of the command line. */
export const exitStatus = {
  ok: 0,
  failed: 1,
  usage: 2,
  partial: 3,
  damage: 4,
  busy: 5,
} as const;

interface ErrorKind {
  /** The exit status of a command that ends with this error. */
  readonly exit: number;
  /** Whether the same call may succeed if it is simply tried again. */
  readonly retryable: boolean;
  /** What the code means, for the manual. */
  readonly sentence: string;
}

function kind(exit: number, retryable: boolean, sentence: string): ErrorKind {
  return { exit, retryable, sentence };
}

/** All error codes. Sorted by area. */
export const errorTable = {
  // command line and configuration
  usage: kind(exitStatus.usage, false, "The command line isn't valid."),
  config_invalid: kind(exitStatus.usage, false, "The configuration isn't valid; the running policies stay in force."),
  config_missing: kind(exitStatus.usage, false, "There is no configuration file at the given place."),
  not_found: kind(exitStatus.failed, false, "No recovery point, source, policy or location has that name."),
  busy: kind(exitStatus.busy, true, "Another process holds the lease or runs the same work."),
  cancelled: kind(exitStatus.failed, true, "The work was told to stop before it was complete."),
  internal: kind(exitStatus.failed, false, "A defect in Stillpoint itself."),

  // storage
  object_missing: kind(exitStatus.failed, false, "An object isn't in the storage."),
  storage_unreachable: kind(exitStatus.failed, true, "The storage didn't answer, or its folder has vanished."),
  storage_failed: kind(exitStatus.failed, true, "The storage answered with an error."),
  storage_full: kind(exitStatus.failed, false, "The storage has no space left."),
  storage_denied: kind(exitStatus.failed, false, "The storage refused: permission denied, or read-only."),

  // repository
  repository_missing: kind(exitStatus.failed, false, "There is no repository at the given place."),
  repository_exists: kind(exitStatus.failed, false, "There is a repository at the given place already."),
  format_unsupported: kind(
    exitStatus.failed,
    false,
    "The repository has a version or suite that this Stillpoint doesn't know.",
  ),
  key_wrong: kind(exitStatus.failed, false, "No key of the repository opens with what was given."),
  key_unreadable: kind(exitStatus.failed, false, "The file with the key or passphrase can't be read."),
  damaged: kind(exitStatus.damage, false, "Stored data isn't what was written: truncated, altered or missing."),
  sweep_unsafe: kind(exitStatus.failed, false, "The sweep saw something that it can't explain, and deleted nothing."),
  retention_guarded: kind(
    exitStatus.failed,
    false,
    "New keep rules would forget more than `retention_guard` allows at once, and nobody has accepted that.",
  ),
  replica_shared: kind(
    exitStatus.failed,
    false,
    "Another host, or somebody with this host's keys, writes to a replica as if it were this one.",
  ),
  points_deleted: kind(
    exitStatus.damage,
    false,
    "Somebody has deleted recovery points at a replica: no record says that they were forgotten.",
  ),
  lock_incomplete: kind(
    exitStatus.damage,
    false,
    "Something that a locked recovery point needs is missing at the replica, and so wasn't locked.",
  ),
  capture_too_old: kind(
    exitStatus.failed,
    true,
    "A capture or a replication ran longer than the sweep's grace period, and was not committed.",
  ),

  // sources
  source_missing: kind(exitStatus.failed, true, "What a source names isn't there."),
  source_denied: kind(exitStatus.failed, false, "A source can't be read with the rights that Stillpoint has."),
  source_changed: kind(exitStatus.failed, true, "A source changed while it was read, in a way that can't be captured."),
  command_failed: kind(exitStatus.failed, true, "A command ended with an error, or took too long."),
  hook_failed: kind(exitStatus.failed, true, "A hook ended with an error, or took too long."),
  vm_unreachable: kind(exitStatus.failed, true, "A virtual machine's QMP socket can't be used, or stopped answering."),
  vm_refused: kind(
    exitStatus.failed,
    false,
    "A virtual machine is in a state, or of a kind, that can't be captured right.",
  ),
  vm_failed: kind(exitStatus.failed, true, "QEMU refused or failed a step of a capture; the guest goes on."),
  stream_invalid: kind(exitStatus.failed, false, "A migration stream isn't of a known form, or is damaged."),

  // notifications
  notification_failed: kind(exitStatus.failed, true, "A notification could not be delivered."),

  // restore
  target_exists: kind(exitStatus.usage, false, "The target of a restore exists already."),
  target_failed: kind(exitStatus.failed, false, "The target of a restore can't be written."),
  disk_unreadable: kind(exitStatus.failed, false, "A disk's file systems can't be looked into here."),
  boot_failed: kind(exitStatus.failed, true, "A virtual machine didn't start from a recovery point."),
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorTable;

export interface ErrorParts {
  /** What happened: "Cannot X: current value is Y", without a full stop at the end. */
  readonly what: string;
  /** What is still safe, as a sentence. */
  readonly safe?: string;
  /** What to do next, as a sentence. */
  readonly next?: string;
  readonly cause?: unknown;
  /** Only where this one error knows better than the table: reading past an object's end fails each time, say. */
  readonly retryable?: boolean;
}

/**
 * `text` without what could steer a terminal: messages quote names of files, and what programs said. Line breaks stay, since
 * the problems of a configuration come in lines.
 */
export function harmless(text: string): string {
  return text.replace(
    /(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (one) => `\\u{${(one.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** An error with a code of the table. `message` is what, safe and next, ready to print. */
export class StillpointError extends Error {
  readonly code: ErrorCode;
  readonly parts: ErrorParts;

  constructor(code: ErrorCode, given: ErrorParts) {
    const { what, safe, next } = given;
    const parts = {
      ...given,
      what: harmless(what),
      ...(safe !== undefined && { safe: harmless(safe) }),
      ...(next !== undefined && { next: harmless(next) }),
    };
    const message = [`${parts.what}.`, parts.safe, parts.next].filter(Boolean).join(" ");
    super(message, parts.cause === undefined ? undefined : { cause: parts.cause });
    this.name = "StillpointError";
    this.code = code;
    this.parts = parts;
  }

  get exit(): number {
    return errorTable[this.code].exit;
  }

  get retryable(): boolean {
    return this.parts.retryable ?? errorTable[this.code].retryable;
  }
}

/** Whether `error` is a StillpointError, of `code` when one is given. */
export function isStillpointError(error: unknown, code?: ErrorCode): error is StillpointError {
  return error instanceof StillpointError && (code === undefined || error.code === code);
}

/** What was thrown, as an error: JavaScript may throw anything. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** One line for a person, whatever was thrown. */
export function describeError(error: unknown): string {
  return toError(error).message;
}
