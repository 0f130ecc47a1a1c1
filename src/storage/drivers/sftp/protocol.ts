/** Numbers of SFTP version 3 (draft-ietf-secsh-filexfer-02) and of OpenSSH's extensions to it (its file PROTOCOL, section 4). */

export const protocolVersion = 3;

/** Section 3: types of packets. */
export const packetTypes = {
  init: 1,
  version: 2,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  stat: 17,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attrs: 105,
  extended: 200,
  extendedReply: 201,
} as const;

/** Section 7: codes of a status. */
export const statusCodes = {
  ok: 0,
  endOfFile: 1,
  noSuchFile: 2,
  permissionDenied: 3,
  failure: 4,
  badMessage: 5,
  noConnection: 6,
  connectionLost: 7,
  unsupported: 8,
} as const;

/** Section 6.3. */
export const openFlags = { read: 0x01, write: 0x02, create: 0x08, exclusive: 0x20 } as const;

/** Section 5: which attributes are there. */
export const attributeFlags = {
  size: 0x01,
  owner: 0x02,
  permissions: 0x04,
  times: 0x08,
  extended: 0x80000000,
} as const;

export const extensions = {
  posixRename: "posix-rename@openssh.com",
  hardlink: "hardlink@openssh.com",
  fsync: "fsync@openssh.com",
  statvfs: "statvfs@openssh.com",
  limits: "limits@openssh.com",
} as const;

/** In bytes, without the length itself: OpenSSH sends and takes no longer ones (sftp-common.h). */
export const longestPacket = 256 * 1024;

/** In bytes of a file: what OpenSSH puts into one packet at most. */
export const longestTransfer = longestPacket - 1024;

/** In bytes of a file: what every server takes at once (section 3: packets of at least 34,000 bytes). */
export const safeTransfer = 32 * 1024;

/** The server does what the protocol forbids, or what this side doesn't take. */
export class Violation extends Error {}

/** The server's answer that a request failed; the connection is as good as before. */
export class StatusError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.name = "StatusError";
    this.code = code;
  }
}

export function hasStatus(error: unknown, ...codes: readonly number[]): error is StatusError {
  return error instanceof StatusError && codes.includes(error.code);
}
