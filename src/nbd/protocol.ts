/**
 * Numbers of the Network Block Device protocol (https://github.com/NetworkBlockDevice/nbd, doc/proto.md). All integers on
 * the wire are unsigned and big-endian. Names are those of the document, without their prefixes.
 */

/** Magic numbers of 64 bits. */
export const serverMagic = 0x4e42444d41474943n; // "NBDMAGIC"
export const optionMagic = 0x49484156454f5054n; // "IHAVEOPT"
export const optionReplyMagic = 0x0003e889045565a9n;

/** Magic numbers of 32 bits. */
export const requestMagic = 0x25609513;
export const simpleReplyMagic = 0x67446698;
export const structuredReplyMagic = 0x668e33ef;

/** Flags of both sides in the handshake: the client's have the same bits as the server's. */
export const handshakeFlags = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const transmissionFlags = {
  hasFlags: 1 << 0,
  readOnly: 1 << 1,
  sendDf: 1 << 7,
  canMultiConn: 1 << 8,
  sendCache: 1 << 10,
} as const;

export const options = {
  exportName: 1,
  abort: 2,
  list: 3,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
} as const;

export const optionReplies = { ack: 1, server: 2, info: 3, metaContext: 4 } as const;

const error = 2 ** 31;
export const optionErrors = {
  unsupported: error + 1,
  policy: error + 2,
  invalid: error + 3,
  unknown: error + 6,
  shutdown: error + 7,
  blockSizeRequired: error + 8,
  tooBig: error + 9,
} as const;

export const infoTypes = { export: 0, name: 1, description: 2, blockSize: 3 } as const;

export const commands = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  cache: 5,
  writeZeroes: 6,
  blockStatus: 7,
} as const;

export const commandFlags = { fua: 1, df: 1 << 2, one: 1 << 3 } as const;

export const replyTypes = {
  none: 0,
  data: 1,
  hole: 2,
  blockStatus: 5,
  error: 2 ** 15 + 1,
  errorOffset: 2 ** 15 + 2,
} as const;

export const replyDone = 1;

/** Flags of the context `base:allocation`. */
export const allocation = { context: "base:allocation", hole: 1, zero: 2 } as const;

/** Values of errors on the wire: those of Linux, whatever the system. */
export const errors = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;

/** "EIO", or "error 17" for what the document doesn't list. */
export function errorName(value: number): string {
  return Object.entries(errors).find(([, number]) => number === value)?.[0] ?? `error ${value}`;
}

/** Strings have 4096 bytes at most. */
export const longestString = 4096;

/** What every server takes that has not been asked for its limits: 32 MiB in one request. */
export const longestRequest = 32 * 1024 * 1024;

export const requestLength = 28;
export const optionHeaderLength = 16;
export const optionReplyHeaderLength = 20;
