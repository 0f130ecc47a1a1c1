/**
 * Messages of the kernel's FUSE protocol (include/uapi/linux/fuse.h, version 7.31), as far as a folder of files that are read,
 * and at most written to in place, needs them. Numbers are little-endian here, as on all machines that Node runs on under Linux.
 */

export const opcodes = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  open: 14,
  read: 15,
  statfs: 17,
  release: 18,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  interrupt: 36,
  destroy: 38,
  write: 16,
  setattr: 4,
  fallocate: 43,
  batchForget: 42,
} as const;

export const rootNode = 1n;

const inHeaderLength = 40;
const outHeaderLength = 16;

/** Room for any request: what is written comes in pieces of 4 KiB, so none is long. */
export const longestMessage = 64 * 1024;

/** Pages of one read: 1 MiB. */
const mostPages = 256;

export interface FuseRequest {
  readonly opcode: number;
  readonly unique: bigint;
  readonly node: bigint;
  readonly body: Buffer;
}

export function parseRequest(message: Buffer): FuseRequest {
  return {
    opcode: message.readUInt32LE(4),
    unique: message.readBigUInt64LE(8),
    node: message.readBigUInt64LE(16),
    body: message.subarray(inHeaderLength),
  };
}

/** `error` is an errno, 0 for success. */
export function replyHeader(unique: bigint, error: number, length: number): Buffer {
  const header = Buffer.alloc(outHeaderLength);
  header.writeUInt32LE(outHeaderLength + length, 0);
  header.writeInt32LE(-error, 4);
  header.writeBigUInt64LE(unique, 8);
  return header;
}

/** Reads may be made at once, of up to 1 MiB. */
export function initReply(body: Buffer): Buffer {
  const asyncRead = 1 << 0;
  const maxPages = 1 << 22;
  const reply = Buffer.alloc(64);
  reply.writeUInt32LE(7, 0);
  reply.writeUInt32LE(Math.min(31, body.readUInt32LE(4)), 4);
  reply.writeUInt32LE(body.readUInt32LE(8), 8); // as much read-ahead as the kernel likes
  reply.writeUInt32LE((asyncRead | maxPages) & body.readUInt32LE(12), 12);
  reply.writeUInt16LE(64, 16); // requests of read-ahead under way
  reply.writeUInt16LE(48, 18); // from here on it holds back
  reply.writeUInt32LE(4096, 20); // the longest write
  reply.writeUInt32LE(1, 24); // ns of a time stamp's step
  reply.writeUInt16LE(mostPages, 28);
  return reply;
}

export interface Attributes {
  readonly node: bigint;
  /** In bytes; undefined for the folder. */
  readonly size: number | undefined;
  readonly uid: number;
  readonly gid: number;
}

/** Nothing here ever changes, so the kernel needn't ask twice: in seconds. */
const valid = 2n ** 31n;

const folderMode = 0o040700;
/** Writable by its looks, since QEMU opens what it maps privately for writing too; each write is refused. */
const fileMode = 0o100600;

function writeAttributes(target: Buffer, { node, size, uid, gid }: Attributes): void {
  target.writeBigUInt64LE(node, 0);
  target.writeBigUInt64LE(BigInt(size ?? 0), 8);
  target.writeBigUInt64LE(BigInt(Math.ceil((size ?? 0) / 512)), 16);
  target.writeUInt32LE(size === undefined ? folderMode : fileMode, 60);
  target.writeUInt32LE(size === undefined ? 2 : 1, 64);
  target.writeUInt32LE(uid, 68);
  target.writeUInt32LE(gid, 72);
  target.writeUInt32LE(4096, 80);
}

export function entryReply(attributes: Attributes): Buffer {
  const reply = Buffer.alloc(128);
  reply.writeBigUInt64LE(attributes.node, 0);
  reply.writeBigUInt64LE(valid, 16);
  reply.writeBigUInt64LE(valid, 24);
  writeAttributes(reply.subarray(40), attributes);
  return reply;
}

export function attributesReply(attributes: Attributes): Buffer {
  const reply = Buffer.alloc(104);
  reply.writeBigUInt64LE(valid, 0);
  writeAttributes(reply.subarray(16), attributes);
  return reply;
}

/** What has been read once may stay in the page cache, for everybody who opens the file. */
export function openReply(): Buffer {
  const reply = Buffer.alloc(16);
  reply.writeUInt32LE(1 << 1, 8);
  return reply;
}

export function statfsReply(): Buffer {
  const reply = Buffer.alloc(80);
  reply.writeUInt32LE(4096, 40);
  reply.writeUInt32LE(255, 44);
  reply.writeUInt32LE(4096, 48);
  return reply;
}

/** Of a read, in bytes. */
export function readRange(body: Buffer): { readonly offset: number; readonly length: number } {
  return { offset: Number(body.readBigUInt64LE(8)), length: body.readUInt32LE(16) };
}

/** The name that a look-up asks for. */
export function lookupName(body: Buffer): string {
  return body.toString("latin1", 0, Math.max(0, body.indexOf(0)));
}

/** What is to be written, and where, in bytes. */
export function writtenBytes(body: Buffer): { readonly offset: number; readonly bytes: Buffer } {
  const writeHeaderLength = 40;
  const length = body.readUInt32LE(16);
  return {
    offset: Number(body.readBigUInt64LE(8)),
    bytes: body.subarray(writeHeaderLength, writeHeaderLength + length),
  };
}

export function writeReply(length: number): Buffer {
  const reply = Buffer.alloc(8);
  reply.writeUInt32LE(length, 0);
  return reply;
}
