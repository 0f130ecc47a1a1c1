/** What a server's refusals mean to a user of the storage. */

import { StillpointError, type ErrorCode } from "../../../errors.ts";
import type { FileSystemSpace } from "./client.ts";
import { StatusError, statusCodes, Violation } from "./protocol.ts";

export interface SftpErrorContext {
  readonly location: string;
  /** The file or folder that the message names. */
  readonly path: string;
  /** Completes "Cannot …": "store", "read", "list". */
  readonly action: string;
  /** What the file system has left, when that was asked because a write failed. */
  readonly space?: FileSystemSpace | undefined;
}

interface Meaning {
  readonly code: ErrorCode;
  readonly how: string;
  readonly next: string;
  readonly retryable?: boolean;
}

const full: Meaning = {
  code: "storage_full",
  how: "the server has no space left",
  next: "Free some space there; `stillpoint prune` and `stillpoint sweep` may give some back.",
};
const readOnly: Meaning = {
  code: "storage_denied",
  how: "the file system there is mounted read-only",
  next: "Look at the server's log for why, and mount it for writing.",
};
const denied: Meaning = {
  code: "storage_denied",
  how: "permission denied",
  next: "Look at the owner and mode of the folder there, and at what sshd_config lets this user do.",
};
const missing: Meaning = {
  code: "storage_failed",
  how: "there is no such file or folder",
  next: "Look for another program that deletes files there.",
};
const failed: Meaning = {
  code: "storage_failed",
  how: "the server reported a failure",
  next: "Look at the server's log, and whether its disk or the user's quota is full.",
};
const unsupported: Meaning = {
  code: "storage_failed",
  how: "the server doesn't support that",
  next: "Use a server of OpenSSH, 6.5 or later.",
  retryable: false,
};
const lost: Meaning = {
  code: "storage_unreachable",
  how: "the server has lost its own connection",
  next: "See that the server is up.",
};

const meanings: Readonly<Record<number, Meaning>> = {
  [statusCodes.noSuchFile]: missing,
  [statusCodes.permissionDenied]: denied,
  [statusCodes.noConnection]: lost,
  [statusCodes.connectionLost]: lost,
  [statusCodes.unsupported]: unsupported,
};

/** Less than this is nothing left: a last block may stay free though no more can be written. */
const smallestSpace = 64 * 1024;

/** The StillpointError for a server's refusal, or for an answer that can't be right. Anything else is handed back as it is. */
export function storageErrorFrom(error: unknown, { location, path, action, space }: SftpErrorContext): unknown {
  if (error instanceof Violation) return brokenServer(`Cannot ${action} ${path} in ${location}: ${error.message}`);
  if (!(error instanceof StatusError)) return error;
  const { code, how, next, retryable } = meaningOf(error.code, space);
  const words = error.message === "" ? "" : `, saying: ${error.message.replace(/\.$/, "")}`;
  return new StillpointError(code, {
    what: `Cannot ${action} ${path} in ${location}: ${how}${words}`,
    safe: "What was stored before is untouched.",
    next,
    cause: error,
    ...(retryable !== undefined && { retryable }),
  });
}

/** Version 3 has one code for all that a disk may fail with: what the file system says of itself tells the most common apart. */
function meaningOf(status: number, space: FileSystemSpace | undefined): Meaning {
  if (status === statusCodes.failure && space !== undefined) {
    if (space.readOnly) return readOnly;
    if (space.available < smallestSpace || (space.files > 0 && space.freeFiles === 0)) return full;
  }
  return meanings[status] ?? failed;
}

/** The server says what can't be. Asking again doesn't help. */
export function brokenServer(what: string): StillpointError {
  return new StillpointError("storage_failed", {
    what,
    safe: "Nothing was changed.",
    next: "See what answers at that address: it must be an SFTP server, such as OpenSSH's, and nothing may come between.",
    retryable: false,
  });
}

export function shortObject(location: string, name: string, wanted: string, got: number): StillpointError {
  return new StillpointError("storage_failed", {
    what: `Cannot read ${wanted} of ${name} in ${location}: it has only ${got} there`,
    safe: "Nothing was changed.",
    next: "Run `stillpoint check` to learn what is damaged.",
    retryable: false,
  });
}
