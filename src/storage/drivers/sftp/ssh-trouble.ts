/** What the end of a connection means to a user of the storage. */

import { type ErrorParts, type ErrorCode, StillpointError } from "../../../errors.ts";
import type { ProgramEnd } from "../../../host/program-pipe.ts";
import type { Trouble } from "./connection.ts";

interface Reason {
  /** What ssh says. */
  readonly words: RegExp;
  readonly code: ErrorCode;
  readonly next: string;
  readonly retryable?: boolean;
}

/** Of the user, by the server. */
const refused: Reason = {
  words: /permission denied|too many authentication failures|no supported authentication|load key .*:/i,
  code: "storage_denied",
  next: "See that the key is in the user's authorized_keys there, and that its file has no passphrase or is in an agent: nobody can be asked.",
};

/** In this order: a changed host key makes ssh say more than one of these. */
const reasons: readonly Reason[] = [
  {
    words: /host key verification failed|host key is known|host identification has changed/i,
    code: "storage_denied",
    next: "Compare the server's fingerprint with what its administrator says, then put its key into the known_hosts file (docs/offsite.md). A key that has changed may be somebody in between.",
  },
  {
    words: /bad permissions/i,
    code: "storage_denied",
    next: "Let nobody but its owner read the file of the key: `chmod 600`.",
  },
  refused,
  {
    words: /subsystem request failed/i,
    code: "storage_failed",
    next: "Let the server's sshd_config have `Subsystem sftp internal-sftp`.",
    retryable: false,
  },
  {
    words:
      /bad configuration option|bad owner or permissions|can't open user config|unsupported option|keyword .* extra arguments/i,
    code: "storage_failed",
    next: "Correct the ssh_config that is named.",
    retryable: false,
  },
];

const unreachable: Reason = {
  words: /(?:)/,
  code: "storage_unreachable",
  next: "See that the server is up, and try `sftp` to it by hand as the same user.",
};

/** Of the connection that failed. */
export interface ConnectionContext {
  readonly location: string;
  /** Such as `sftp://user@host/path`. */
  readonly url: string;
  /** The file of the key that was to be used, if there is no such file: ssh doesn't say. */
  readonly missingKey: string | undefined;
}

/** The error for everybody who uses the connection. */
export function connectionError(context: ConnectionContext, trouble: Trouble): StillpointError {
  const { location, url, missingKey } = context;
  const where = location === url ? url : `${url} (${location})`;
  const fail = (code: ErrorCode, parts: ErrorParts): StillpointError =>
    new StillpointError(code, { safe: "What was stored before is untouched.", ...parts });
  switch (trouble.kind) {
    case "ended": {
      const { code, next, retryable } = trouble.established ? unreachable : reasonOf(trouble.end, missingKey);
      const what = trouble.established ? `The connection to ${where} was lost` : `Cannot connect to ${where}`;
      const how = trouble.end.words === "" ? trouble.end.how : trouble.end.words;
      return fail(code, { what: `${what}: ${how}`, next, ...(retryable !== undefined && { retryable }) });
    }
    case "violation":
      return fail("storage_failed", {
        what: `The server of ${where} doesn't speak SFTP as it should: ${trouble.what}`,
        next: trouble.established
          ? "See what comes between this machine and the server."
          : "See that nothing is printed at the login there (.bashrc and the like), and that it is an SFTP server.",
        retryable: trouble.established,
      });
    case "silent":
      return fail("storage_unreachable", {
        what: `The server of ${where} has not answered a request for ${trouble.ms / 1000} s`,
        next: "See whether its disk is still there.",
      });
    case "closed":
      return fail("storage_unreachable", { what: `The connection to ${where} was closed` });
  }
}

function reasonOf({ words, how }: ProgramEnd, missingKey: string | undefined): Reason {
  if (how.startsWith("there is no such program")) {
    return {
      ...unreachable,
      code: "storage_failed",
      next: "Install OpenSSH's client (openssh-client).",
      retryable: false,
    };
  }
  const reason = reasons.find((one) => one.words.test(words)) ?? unreachable;
  if (reason !== refused || missingKey === undefined) return reason;
  return { ...refused, next: `Bring back the key ${missingKey}, or correct \`identity_file\`: there is no such file.` };
}
