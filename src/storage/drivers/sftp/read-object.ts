/** Reading an object whose file is open. */

import type { ByteRange } from "../../storage.ts";
import type { Handle, SftpClient } from "./client.ts";
import { brokenServer, shortObject } from "./sftp-errors.ts";
import { readFile } from "./transfer.ts";

export interface OpenObject {
  readonly client: SftpClient;
  readonly file: Handle;
  /** For messages, as is the name. */
  readonly location: string;
  readonly name: string;
  readonly signal: AbortSignal | undefined;
}

/** In bytes: no object of Stillpoint is nearly as large. */
const longestObject = 2 ** 29;
/** In bytes: what is read of a file before its size is known. */
const firstRead = 64 * 1024;

/** A piece of an object, and where it goes. */
export interface Piece {
  readonly offset: number;
  readonly into: Buffer;
}

/** The range in so many pieces, about equally long, that fill `into` together. */
export function piecesOf({ offset, length }: ByteRange, into: Buffer, count: number): Piece[] {
  const at = (piece: number): number => Math.floor((piece * length) / count);
  return Array.from({ length: count }, (_, n) => ({ offset: offset + at(n), into: into.subarray(at(n), at(n + 1)) }));
}

/** Fills the piece. Throws StatusError, `storage_failed` when the object ends before, `cancelled`. */
export async function readPiece(
  { client, file, location, name, signal }: OpenObject,
  { offset, into }: Piece,
): Promise<void> {
  const length = await readFile(client, file, { offset, into }, signal);
  if (length < into.length) throw shortObject(location, name, `${into.length} bytes from ${offset}`, length);
}

/**
 * The whole object. Its size and its beginning are asked for together: most objects that are read whole are small. Throws as
 * `readPiece` does.
 */
export async function readWhole({ client, file, location, name, signal }: OpenObject): Promise<Buffer> {
  const beginning = Buffer.allocUnsafeSlow(Math.min(firstRead, client.longestRead));
  const [info, begun] = await Promise.allSettled([client.attributesOf(file), client.read(file, 0, beginning)]);
  if (info.status === "rejected") throw info.reason;
  if (begun.status === "rejected") throw begun.reason;
  const { size } = info.value;
  if (size === undefined || size > longestObject) {
    const claim = size === undefined ? "tells no size" : `claims that it has ${size} bytes`;
    throw brokenServer(`Cannot read ${name} in ${location}: the server ${claim}`);
  }
  const data = Buffer.allocUnsafeSlow(size);
  const have = beginning.copy(data, 0, 0, Math.min(begun.value, size));
  const length = have + (await readFile(client, file, { offset: have, into: data.subarray(have) }, signal));
  if (length === size) return data;
  throw shortObject(location, name, `${size} bytes`, length);
}
