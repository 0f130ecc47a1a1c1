/** What an errno of the file system means to a user of the storage. */

import { StillpointError, type ErrorCode } from "../../errors.ts";
import { describeErrno } from "../../host/errno-words.ts";
import { errnoOf } from "../../host/files.ts";

export interface FsErrorContext {
  readonly location: string;
  /** The file or folder that the message names. */
  readonly path: string;
  /** Completes "Cannot …": "store", "read", "list". */
  readonly action: string;
}

interface Meaning {
  readonly code: ErrorCode;
  readonly next: string;
}

const full: Meaning = {
  code: "storage_full",
  next: "Free some space or enlarge the file system; `stillpoint prune` and `stillpoint sweep` may give some back.",
};
const denied: Meaning = {
  code: "storage_denied",
  next: "Look at the owner and mode of the folder, and whether the file system is mounted read-only.",
};
const unreachable: Meaning = {
  code: "storage_unreachable",
  next: "See that the disk or network share is attached and mounted.",
};
const failed: Meaning = { code: "storage_failed", next: "Look at the kernel's log (`dmesg`) for what ails the disk." };

const meanings: Readonly<Record<string, Meaning>> = {
  ENOSPC: full,
  EDQUOT: full,
  EFBIG: full,
  EACCES: denied,
  EPERM: denied,
  EROFS: denied,
  ENODEV: unreachable,
  ENXIO: unreachable,
  ESTALE: unreachable,
  ENOTCONN: unreachable,
  EHOSTDOWN: unreachable,
  EHOSTUNREACH: unreachable,
  ENETUNREACH: unreachable,
  ECONNABORTED: unreachable,
  ESHUTDOWN: unreachable,
  ETIMEDOUT: unreachable,
};

/** The StillpointError for an error of the system. Anything else is handed back as it is. */
export function storageErrorFrom(error: unknown, { location, path, action }: FsErrorContext): unknown {
  const errno = errnoOf(error);
  if (errno === undefined) return error;
  const { code, next } = meanings[errno] ?? failed;
  return new StillpointError(code, {
    what: `Cannot ${action} ${path} in ${location}: ${describeErrno(errno)}`,
    safe: "What was stored before is untouched.",
    next,
    cause: error,
  });
}
