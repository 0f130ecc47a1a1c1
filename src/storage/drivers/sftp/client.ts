/** What a server can be asked for, as functions. */

import {
  extensions,
  hasStatus,
  longestTransfer,
  openFlags,
  packetTypes,
  safeTransfer,
  StatusError,
  statusCodes,
  Violation,
} from "./protocol.ts";
import { string, u32, u64 } from "../../../host/big-endian.ts";
import { type Attributes, attributes, type Fields } from "./fields.ts";
import type { Answer, SftpConnection } from "./connection.ts";

/** Names an open file or folder to the server. */
export type Handle = Buffer;

export interface FolderEntry {
  /** Without its folder; a server may send anything. */
  readonly name: string;
  readonly attributes: Attributes;
}

/** Of the file system that holds a path. */
export interface FileSystemSpace {
  /** In bytes, for this user. */
  readonly available: number;
  readonly freeFiles: number;
  readonly files: number;
  readonly readOnly: boolean;
}

/** What the server offers beyond version 3. */
export interface Features {
  readonly posixRename: boolean;
  readonly hardlink: boolean;
  readonly fsync: boolean;
  readonly statvfs: boolean;
}

/** Draft, section 7: a handle has at most this many bytes. */
const longestHandle = 256;
/** Of statvfs: the file system is mounted read-only. */
const readOnlyFlag = 1;

/** Every method throws StatusError when the server says no, and the connection's failure when it breaks. */
export class SftpClient {
  readonly features: Features;
  /** In bytes: the most that one `read` asks for. */
  readonly longestRead: number;
  /** In bytes: the most that one `write` may carry. */
  readonly longestWrite: number;
  readonly #connection: SftpConnection;

  private constructor(connection: SftpConnection, features: Features, limits: Limits) {
    this.#connection = connection;
    this.features = features;
    this.longestRead = limits.read;
    this.longestWrite = limits.write;
  }

  /** Waits for the server's greeting, and asks for its limits. Throws the connection's failure. */
  static async greet(connection: SftpConnection): Promise<SftpClient> {
    const offered = await connection.extensions;
    const features = {
      posixRename: offered.has(extensions.posixRename),
      hardlink: offered.has(extensions.hardlink),
      fsync: offered.has(extensions.fsync),
      statvfs: offered.has(extensions.statvfs),
    };
    const limits = offered.has(extensions.limits) ? await askLimits(connection) : unknownLimits;
    return new SftpClient(connection, features, limits);
  }

  /** Whether the connection is of no use any more. */
  get over(): boolean {
    return this.#connection.over;
  }

  /** In ms: the shortest time that an answer has taken so far. */
  get roundTrip(): number {
    return this.#connection.roundTrip;
  }

  close(): void {
    this.#connection.close();
  }

  /** Opens a file, or on most servers a folder, for reading. */
  async openToRead(path: string): Promise<Handle> {
    return await this.#ask(packetTypes.open, [string(path), u32(openFlags.read), attributes()], handle);
  }

  /** Makes a file that isn't there yet, with the permissions `mode`, for writing. */
  async openToMake(path: string, mode: number): Promise<Handle> {
    const flags = openFlags.write | openFlags.create | openFlags.exclusive;
    return await this.#ask(packetTypes.open, [string(path), u32(flags), attributes(mode)], handle);
  }

  async closeHandle(file: Handle): Promise<void> {
    await this.#ask(packetTypes.close, [string(file)], nothing);
  }

  /** Fills the beginning of `into` and returns how far: 0 at the end of the file. May be less than asked for. */
  async read(file: Handle, offset: number, into: Buffer): Promise<number> {
    return await this.#ask(packetTypes.read, [string(file), u64(offset), u32(into.length)], (type, fields) => {
      if (type === packetTypes.status && isEnd(fields)) return 0;
      requireType(packetTypes.data, type, fields);
      const data = fields.bytes();
      if (data.length === 0 || data.length > into.length)
        throw new Violation(`it sent ${data.length} bytes of a file where ${into.length} were asked for`);
      return data.copy(into);
    });
  }

  /** Writes the pieces one after the other, at most `longestWrite` bytes together. */
  async write(file: Handle, offset: number, pieces: readonly Uint8Array[]): Promise<void> {
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    await this.#ask(packetTypes.write, [string(file), u64(offset), u32(length), ...pieces], nothing);
  }

  /** Forces what was written to a file to the medium; of a folder, its entries. Only where `features` has it. */
  async fsync(file: Handle): Promise<void> {
    await this.#ask(packetTypes.extended, [string(extensions.fsync), string(file)], nothing);
  }

  /** Of the file that an open handle names. */
  async attributesOf(file: Handle): Promise<Attributes> {
    return await this.#ask(packetTypes.fstat, [string(file)], fileAttributes);
  }

  /** Of what a path names. A symbolic link is followed only when `follow` says so. */
  async stat(path: string, { follow = false } = {}): Promise<Attributes> {
    return await this.#ask(follow ? packetTypes.stat : packetTypes.lstat, [string(path)], fileAttributes);
  }

  async openFolder(path: string): Promise<Handle> {
    return await this.#ask(packetTypes.opendir, [string(path)], handle);
  }

  /** Some more of a folder's entries; undefined when there are none left. */
  async readFolder(folder: Handle): Promise<FolderEntry[] | undefined> {
    return await this.#ask(packetTypes.readdir, [string(folder)], (type, fields) => {
      if (type === packetTypes.status && isEnd(fields)) return undefined;
      requireType(packetTypes.name, type, fields);
      const count = fields.u32();
      if (count === 0) throw new Violation("it sent a page of a folder with nothing on it");
      const entries: FolderEntry[] = [];
      for (let index = 0; index < count; index++) {
        const name = fields.text();
        // The line that `ls -l` would show.
        fields.bytes();
        entries.push({ name, attributes: fields.attributes() });
      }
      return entries;
    });
  }

  async makeFolder(path: string, mode: number): Promise<void> {
    await this.#ask(packetTypes.mkdir, [string(path), attributes(mode)], nothing);
  }

  async remove(path: string): Promise<void> {
    await this.#ask(packetTypes.remove, [string(path)], nothing);
  }

  /** Gives a file another name, and replaces what had it. Only where `features` has it. */
  async rename(from: string, to: string): Promise<void> {
    await this.#ask(packetTypes.extended, [string(extensions.posixRename), string(from), string(to)], nothing);
  }

  /** Gives a file a second name, which must be free. Only where `features` has it. */
  async link(existing: string, name: string): Promise<void> {
    await this.#ask(packetTypes.extended, [string(extensions.hardlink), string(existing), string(name)], nothing);
  }

  /** Only where `features` has it. */
  async space(path: string): Promise<FileSystemSpace> {
    return await this.#ask(packetTypes.extended, [string(extensions.statvfs), string(path)], (type, fields) => {
      requireType(packetTypes.extendedReply, type, fields);
      // bsize, frsize, blocks, bfree, bavail, files, ffree, favail, fsid, flag, namemax
      const [, unit = 0, , , free = 0, files = 0, , freeFiles = 0, , flag = 0] = Array.from({ length: 11 }, () =>
        fields.u64(),
      );
      return { available: unit * free, files, freeFiles, readOnly: flag % 2 === readOnlyFlag };
    });
  }

  async #ask<T>(type: number, fields: readonly Uint8Array[], answer: Answer<T>): Promise<T> {
    return await this.#connection.request(type, fields, answer);
  }
}

interface Limits {
  readonly read: number;
  readonly write: number;
}

const unknownLimits: Limits = { read: safeTransfer, write: safeTransfer };

/** What the server takes, within what this side is ready for. A limit of 0 is none that it knows of. */
async function askLimits(connection: SftpConnection): Promise<Limits> {
  const within = (limit: number): number =>
    Math.min(limit === 0 ? safeTransfer : Math.max(limit, 1024), longestTransfer);
  try {
    return await connection.request(packetTypes.extended, [string(extensions.limits)], (type, fields) => {
      requireType(packetTypes.extendedReply, type, fields);
      // The longest packet, the longest read, the longest write, and how many open handles.
      const [, read, write] = [fields.u64(), fields.u64(), fields.u64(), fields.u64()];
      return { read: within(read), write: within(write) };
    });
  } catch (error) {
    if (error instanceof StatusError) return unknownLimits;
    throw error;
  }
}

const nothing: Answer<void> = (type, fields) => {
  if (type !== packetTypes.status) throw wrongType(type);
  const failure = statusOf(fields);
  if (failure !== undefined) throw failure;
};

const handle: Answer<Handle> = (type, fields) => {
  requireType(packetTypes.handle, type, fields);
  const bytes = Buffer.from(fields.bytes());
  if (bytes.length > longestHandle) throw new Violation(`it sent a handle of ${bytes.length} bytes`);
  return bytes;
};

const fileAttributes: Answer<Attributes> = (type, fields) => {
  requireType(packetTypes.attrs, type, fields);
  return fields.attributes();
};

/** Throws the StatusError of a request that failed; Violation for any other type. */
function requireType(wanted: number, type: number, fields: Fields): void {
  if (type === wanted) return;
  if (type !== packetTypes.status) throw wrongType(type);
  throw statusOf(fields) ?? new Violation("it said yes where something else than that was asked for");
}

function isEnd(fields: Fields): boolean {
  const failure = statusOf(fields);
  if (hasStatus(failure, statusCodes.endOfFile)) return true;
  throw failure ?? new Violation("it said yes where something else than that was asked for");
}

/** In characters: what is quoted of a server's words. */
const quoted = 200;

/** Undefined when the request succeeded. */
function statusOf(fields: Fields): StatusError | undefined {
  const code = fields.u32();
  if (code === statusCodes.ok) return undefined;
  // The message and its language lack in the answers of old servers.
  return new StatusError(code, fields.left > 0 ? fields.text().slice(0, quoted) : "");
}

function wrongType(type: number): Violation {
  return new Violation(`it answered with a packet of type ${type}`);
}
