/** A pack's bytes: sealed blobs, their table, and how both are opened (docs/format.md section 6). */
import { markAsUntransferable } from "node:worker_threads";
import { StillpointError } from "../../errors.ts";
import { release } from "../../host/release.ts";
import { decompressInto } from "../../host/zstd.ts";
import {
  type BlobKind,
  checkHeader,
  damagedObject,
  encodings,
  headerLength,
  maxBlobLength,
  type ObjectClass,
  packTrailerLength,
  tableEntryLength,
  tagLength,
} from "../format.ts";
import { type KeyRing, seal, sha256, unseal } from "../keys/key-ring.ts";

const trailerMark = Buffer.from("stpk");
const tableNumber = 0xffffffff;
/** id (32), kind, encoding, raw length: what the seal of a blob vouches for besides its content. */
const associatedLength = 38;

/** A blob's line in a pack's table, and where it is. Lengths and offset in bytes. */
export interface TableEntry {
  readonly id: Buffer;
  readonly kind: BlobKind;
  readonly encoding: number;
  readonly rawLength: number;
  readonly sealedLength: number;
  readonly offset: number;
  /** The number of the ciphertext in its pack. */
  readonly number: number;
}

/** A pack as the index knows it. `table` is the table's plaintext. */
export interface PackInfo {
  /** 64 hex digits. */
  readonly id: string;
  readonly class: ObjectClass;
  /** Of the whole pack, in bytes. */
  readonly size: number;
  /** Length of the sealed table, in bytes. */
  readonly tableLength: number;
  readonly table: Buffer;
}

export function packName(id: string): string {
  return `packs/${id.slice(0, 2)}/${id}`;
}

/** The pack id in an object name, or undefined when the name isn't that of a pack. */
export function packIdOf(name: string): string | undefined {
  const match = /^packs\/([0-9a-f]{2})\/([0-9a-f]{64})$/.exec(name);
  return match !== null && match[2]?.startsWith(match[1] as string) === true ? match[2] : undefined;
}

/** The line of a blob in a table. */
export function encodeTableEntry(associated: Buffer, sealedLength: number): Buffer {
  const entry = Buffer.alloc(tableEntryLength);
  associated.copy(entry);
  entry.writeUInt32BE(sealedLength, associatedLength);
  return entry;
}

export function encodeAssociated(id: Buffer, kind: BlobKind, encoding: number, rawLength: number): Buffer {
  const associated = Buffer.allocUnsafe(associatedLength);
  id.copy(associated);
  associated[32] = kind;
  associated[33] = encoding;
  associated.writeUInt32BE(rawLength, 34);
  return associated;
}

/** What follows the blobs of a pack, and the id that results. */
export function sealTable(
  objectKey: Buffer,
  header: Buffer,
  table: Buffer,
): { readonly end: Buffer; readonly id: string } {
  const sealed = seal(objectKey, tableNumber, header, table);
  const trailer = Buffer.alloc(packTrailerLength);
  trailer.writeUInt32BE(sealed.length);
  trailerMark.copy(trailer, 4);
  return { end: Buffer.concat([sealed, trailer]), id: sha256(header, sealed, trailer).toString("hex") };
}

/** How long the sealed table is, from the last 8 bytes of a pack. */
export function tableLengthOf(trailer: Buffer, name: string, size: number): number {
  const length = trailer.length === packTrailerLength ? trailer.readUInt32BE(0) : 0;
  const fits =
    length >= tagLength &&
    (length - tagLength) % tableEntryLength === 0 &&
    length <= size - headerLength - packTrailerLength;
  if (!fits || !trailer.subarray(4).equals(trailerMark)) throw damagedObject(name, "it doesn't end as a pack does");
  return length;
}

/** What a pack says of itself, not taken apart, and the key of its blobs. */
export interface PackEnds {
  readonly info: PackInfo;
  readonly objectKey: Buffer;
}

/** Opens a pack's table from its header and its end (sealed table and trailer). Throws `damaged`. */
export function openTable(keys: KeyRing, id: string, size: number, header: Buffer, end: Buffer): PackEnds {
  const name = packName(id);
  const objectClass = header[10] === 2 ? "data" : "metadata";
  if (sha256(header, end).toString("hex") !== id)
    throw damagedObject(name, "its table isn't the one that its name vouches for");
  // After the name has vouched for it: an unknown header is then one of a newer Stillpoint, not a flipped bit.
  checkHeader(header, "pack", objectClass, name);
  const objectKey = keys.objectKey(header);
  try {
    const sealed = end.subarray(0, end.length - packTrailerLength);
    const table = unseal(objectKey, tableNumber, header, sealed);
    return { info: { id, class: objectClass, size, tableLength: sealed.length, table }, objectKey };
  } catch (error) {
    throw damagedObject(name, "its table doesn't open", error);
  }
}

/** A blob's stored content (still encoded), authenticated. Throws `damaged`. */
export function openStored(objectKey: Buffer, entry: TableEntry, sealed: Uint8Array, pack: string): Buffer {
  const associated = encodeAssociated(entry.id, entry.kind, entry.encoding, entry.rawLength);
  try {
    return unseal(objectKey, entry.number, associated, sealed);
  } catch (error) {
    throw damagedObject(packName(pack), `the seal of its blob ${String(entry.number)} doesn't open`, error);
  }
}

/** Memory for a content of that length in bytes; what was in it before is overwritten. */
export type Room = (length: number) => Buffer;

/** Memory for contents that are only looked at: each is gone with the next. `release` leaves it alone. */
export function reusedRoom(): Room {
  let memory = Buffer.alloc(0);
  return (length) => {
    if (memory.length < length) {
      memory = Buffer.allocUnsafeSlow(Math.max(length, 256 * 1024));
      markAsUntransferable(memory.buffer);
    }
    return memory.subarray(0, length);
  };
}

const newRoom: Room = (length) => Buffer.allocUnsafe(length);

/** A blob's content from its stored form. Throws when it can't be decoded or has another length. */
export function decodeStored(encoding: number, rawLength: number, stored: Buffer, room = newRoom): Buffer {
  if (rawLength > maxBlobLength) throw new RangeError(`a blob of ${String(rawLength)} bytes`);
  const raw =
    encoding === encodings.zstd
      ? decompress(stored, room(rawLength))
      : encoding === encodings.plain
        ? stored
        : undefined;
  if (raw === undefined) {
    throw new StillpointError("format_unsupported", { what: `Cannot read a blob with encoding ${String(encoding)}` });
  }
  if (raw.length !== rawLength) throw new RangeError(`${String(raw.length)} bytes instead of ${String(rawLength)}`);
  return raw;
}

function decompress(stored: Buffer, room: Buffer): Buffer {
  return room.subarray(0, decompressInto(room, stored));
}

/** A blob's content, verified in full: seal, length and id. Throws `damaged`. */
export function openBlob(
  keys: KeyRing,
  objectKey: Buffer,
  entry: TableEntry,
  sealed: Uint8Array,
  pack: string,
  room = newRoom,
): Buffer {
  const stored = openStored(objectKey, entry, sealed, pack);
  try {
    const raw = decodeStored(entry.encoding, entry.rawLength, stored, room);
    if (raw !== stored) release(stored);
    if (keys.blobId(entry.kind, raw).equals(entry.id)) return raw;
  } catch (error) {
    throw damagedObject(packName(pack), `its blob ${String(entry.number)} can't be decoded`, error);
  }
  throw damagedObject(packName(pack), `its blob ${String(entry.number)} isn't what its id says`);
}
