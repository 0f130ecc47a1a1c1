/** A whole pack in memory: opened, and verified to the last byte. */
import type { StillpointError } from "../errors.ts";
import { release } from "../host/release.ts";
import { blobKinds, damagedObject, headerLength, packTrailerLength } from "./format.ts";
import type { KeyRing } from "./key-ring.ts";
import { isDamage } from "./mark.ts";
import { openBlob, openTable, type PackInfo, packName, parseTable, type TableEntry, tableLengthOf } from "./pack.ts";

export interface WholePack {
  readonly info: PackInfo;
  readonly objectKey: Buffer;
  readonly entries: readonly TableEntry[];
}

/** Opens the table of a pack that was read as a whole. Throws `damaged`. */
export function openWholePack(keys: KeyRing, id: string, data: Buffer): WholePack {
  const name = packName(id);
  if (data.length < headerLength + packTrailerLength) throw damagedObject(name, "it is too short for a pack");
  const header = data.subarray(0, headerLength);
  const tableLength = tableLengthOf(data.subarray(data.length - packTrailerLength), name, data.length);
  const end = data.subarray(data.length - packTrailerLength - tableLength);
  const info = openTable(keys, id, data.length, header, end);
  return { info, objectKey: keys.objectKey(header), entries: parseTable(info) };
}

/** The sealed bytes of a blob in a pack that was read as a whole. */
export function sealedIn(data: Buffer, entry: TableEntry): Buffer {
  return data.subarray(entry.offset, entry.offset + entry.sealedLength);
}

/** What is wrong with a pack. */
export interface PackDamage {
  readonly message: string;
  /** The blobs that can't be had from it; undefined when its table can't be read, so that all are lost. */
  readonly entries: readonly TableEntry[] | undefined;
}

/** Opens, decodes and identifies every blob. Returns what is wrong, or undefined. */
export function verifyPack(keys: KeyRing, id: string, data: Buffer): PackDamage | undefined {
  let pack: WholePack;
  try {
    pack = openWholePack(keys, id, data);
  } catch (error) {
    if (!isDamage(error)) throw error;
    return { message: error.parts.what, entries: undefined };
  }
  const bad: TableEntry[] = [];
  let first: StillpointError | undefined;
  for (const entry of pack.entries) {
    try {
      checkClass(pack.info, entry);
      release(openBlob(keys, pack.objectKey, entry, sealedIn(data, entry), id));
    } catch (error) {
      if (!isDamage(error)) throw error;
      first ??= error;
      bad.push(entry);
    }
  }
  if (first === undefined) return undefined;
  const others = bad.length === 1 ? "" : `, and so are ${String(bad.length - 1)} other blobs of it`;
  return { message: first.parts.what + others, entries: bad };
}

function checkClass(pack: PackInfo, entry: TableEntry): void {
  const expected = entry.kind === blobKinds.data ? "data" : "metadata";
  if (pack.class === expected) return;
  throw damagedObject(
    packName(pack.id),
    `its blob ${String(entry.number)} doesn't belong in a pack of the class ${pack.class}`,
  );
}
