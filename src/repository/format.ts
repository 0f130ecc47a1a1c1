/** The constants and the object header of docs/format.md. */
import { StillpointError } from "../errors.ts";

export const formatVersion = 1;
export const suiteNumber = 1;

export const objectTypes = {
  pack: 1,
  index: 2,
  manifest: 3,
  tags: 4,
  hold: 5,
  proof: 6,
  forgotten: 7,
  sweep: 8,
  lease: 9,
  /** This host's memory of a catalog; never in a repository. */
  memory: 10,
  locks: 11,
  config: 12,
  reader: 13,
} as const;
export type ObjectType = keyof typeof objectTypes;

export const objectClasses = { metadata: 1, data: 2 } as const;
export type ObjectClass = keyof typeof objectClasses;

export const blobKinds = { data: 1, imageNode: 2, streamNode: 3, directoryNode: 4 } as const;
export type BlobKind = (typeof blobKinds)[keyof typeof blobKinds];

export const encodings = { plain: 0, zstd: 1 } as const;

/** The length of a blob id, a salt, a key, a digest: 32 bytes. */
export const idLength = 32;
export const tagLength = 16;
export const headerLength = 48;
export const tableEntryLength = 42;
export const packTrailerLength = 8;
/** The greatest content of one blob, in bytes. */
export const maxBlobLength = 16 * 1024 * 1024;
/** A pack is closed when it holds this many bytes: see docs/decisions/0003-pack-size.md. */
export const packTarget = 16 * 1024 * 1024;
/** Bytes per block of an image: see docs/decisions/0002-block-size.md. */
export const imageBlock = 131_072;
export const imageFanOut = 256;
export const streamFanOut = 1024;

/**
 * Far more than any object of one body takes. A longer one, which anyone with the storage can put there, is damage, and is
 * not read into memory to find that out. In bytes.
 */
export const longestSmallObject = 16 * 1024 * 1024;
/** The same for index objects and sweep records, which grow with the repository. */
export const longestLargeObject = 256 * 1024 * 1024;

const magic = Buffer.from("stillpt1");

/** The 48-byte header of a sealed object with a derived key (docs/format.md section 6). */
export function encodeHeader(type: ObjectType, objectClass: ObjectClass, salt: Uint8Array): Buffer {
  const header = Buffer.alloc(headerLength);
  magic.copy(header);
  header[8] = objectTypes[type];
  header[9] = suiteNumber;
  header[10] = objectClasses[objectClass];
  header.writeUInt16BE(salt.length, 12);
  header.set(salt, 16);
  return header;
}

/** Checks that `data` begins with the header of an object of this type and class. Throws `damaged`, or `format_unsupported`. */
export function checkHeader(data: Buffer, type: ObjectType, objectClass: ObjectClass, name: string): Buffer {
  const header = data.subarray(0, headerLength);
  if (header.length < headerLength || !header.subarray(0, 8).equals(magic)) {
    throw damagedObject(name, "it doesn't begin with Stillpoint's mark");
  }
  if (header[9] !== suiteNumber || header[11] !== 0) {
    throw new StillpointError("format_unsupported", {
      what: `Cannot read ${name}: suite ${String(header[9])} with key slot kind ${String(header[11])} isn't known here`,
      safe: "Nothing was changed.",
      next: "Use a newer Stillpoint.",
    });
  }
  if (header[8] !== objectTypes[type] || header[10] !== objectClasses[objectClass] || header.readUInt16BE(12) !== 32) {
    throw damagedObject(name, `it isn't a ${type} object of the class ${objectClass}`);
  }
  return header;
}

/** Throws `damaged` when an object is longer than any of its kind, before it is read. Lengths in bytes. */
export function requireLength({ name, size }: { readonly name: string; readonly size: number }, longest: number): void {
  if (size > longest)
    throw damagedObject(name, `it has ${String(size)} bytes, and none of its kind has ${String(longest)}`);
}

/** An error for stored data that isn't what was written. */
export function damagedObject(name: string, why: string, cause?: unknown): StillpointError {
  return new StillpointError("damaged", {
    what: `The object ${name} is damaged: ${why}`,
    safe: "Nothing was changed.",
    next: "Run `stillpoint check`, then `stillpoint repair`.",
    ...(cause === undefined ? {} : { cause }),
  });
}
