/** Whole packs: opened in memory, or read and verified to the last byte. */
import type { StillpointError } from "../../errors.ts";
import { release } from "../../host/release.ts";
import type { CallOptions, Storage } from "../../storage/storage.ts";
import { type BadBlobs, verifyBlobs } from "./blobs.ts";
import { blobKinds, damagedObject, headerLength, packTrailerLength } from "../format.ts";
import type { KeyRing } from "../keys/key-ring.ts";
import { isDamage } from "../mark/mark.ts";
import { readEnds } from "../blobs/open-packs.ts";
import { openTable, type PackEnds, type PackInfo, packName, type TableEntry, tableLengthOf } from "../blobs/pack.ts";
import { parseTable } from "../blobs/pack-table.ts";
import { readSealed, type SealedBlobs, sealedOf } from "./sealed-blobs.ts";

export interface WholePack extends PackEnds {
  readonly entries: readonly TableEntry[];
}

/** Opens the table of a pack that was read as a whole. Throws `damaged`. */
export function openWholePack(keys: KeyRing, id: string, data: Buffer): WholePack {
  const name = packName(id);
  if (data.length < headerLength + packTrailerLength) throw damagedObject(name, "it is too short for a pack");
  const header = data.subarray(0, headerLength);
  const tableLength = tableLengthOf(data.subarray(data.length - packTrailerLength), name, data.length);
  const end = data.subarray(data.length - packTrailerLength - tableLength);
  const ends = openTable(keys, id, data.length, header, end);
  return { ...ends, entries: parseTable(ends.info) };
}

/** The sealed bytes of a blob in a pack that was read as a whole. */
export function sealedIn(data: Buffer, entry: TableEntry): Buffer {
  return data.subarray(entry.offset, entry.offset + entry.sealedLength);
}

/** What is wrong with a pack. */
export interface PackDamage {
  readonly message: string;
  readonly missing: boolean;
  /** The blobs that can't be had from it; undefined when its table can't be read, so that all are lost. */
  readonly entries: readonly TableEntry[] | undefined;
}

export interface VerifiedPack {
  /** Undefined when its table can't be read. */
  readonly info: PackInfo | undefined;
  /** Undefined when all is well. */
  readonly damage: PackDamage | undefined;
}

export interface PackSource {
  readonly keys: KeyRing;
  readonly storage: Pick<Storage, "get">;
}

/**
 * Reads a pack from end to end, and opens, decodes and identifies every blob. In slices, the next one being read while
 * one is verified: that keeps the memory small. Throws only when the storage doesn't answer, or `cancelled`.
 */
export async function verifyPack(
  source: PackSource,
  pack: { readonly id: string; readonly size: number },
  options?: CallOptions,
): Promise<VerifiedPack> {
  const { id } = pack;
  let ends: WholePack;
  try {
    const opened = await readEnds(source.keys, source.storage, { id, size: pack.size }, options);
    ends = { ...opened, entries: parseTable(opened.info) };
  } catch (error) {
    if (!isDamage(error)) throw error;
    const missing = error.code === "object_missing";
    return { info: undefined, damage: { message: error.parts.what, missing, entries: undefined } };
  }
  const bad: TableEntry[] = [];
  let first: StillpointError | undefined;
  const slices = slicesOf(ends.entries);
  const read = async (slice: readonly TableEntry[] = []): Promise<SealedBlobs> =>
    await readSealed(source.storage, id, slice, options);
  let reading = read(slices[0]);
  for (const [position, slice] of slices.entries()) {
    const blobs = await reading;
    reading = read(slices[position + 1]);
    const found = verifySlice(source, ends, slice, blobs);
    first ??= found?.error;
    bad.push(...(found?.entries ?? []));
    for (const sealed of blobs.values()) if (!(sealed instanceof Error)) release(sealed);
  }
  if (first === undefined) return { info: ends.info, damage: undefined };
  const others = bad.length === 1 ? "" : `, and so are ${String(bad.length - 1)} other blobs of it`;
  return { info: ends.info, damage: { message: first.parts.what + others, missing: false, entries: bad } };
}

function verifySlice(
  { keys }: PackSource,
  { info, objectKey }: WholePack,
  slice: readonly TableEntry[],
  blobs: SealedBlobs,
): BadBlobs | undefined {
  const misplaced = slice.filter(({ kind }) => (kind === blobKinds.data) !== (info.class === "data"));
  if (misplaced.length > 0) {
    const why = `its blob ${String(misplaced[0]?.number)} doesn't belong in a pack of the class ${info.class}`;
    return { entries: misplaced, error: damagedObject(packName(info.id), why) };
  }
  return verifyBlobs({ keys, objectKey, pack: info.id, sealed: (entry) => sealedOf(blobs, entry) }, slice);
}

/** Of blobs that follow one another, in bytes about. */
const sliceLength = 4 * 1024 * 1024;

function slicesOf(entries: readonly TableEntry[]): TableEntry[][] {
  const slices: TableEntry[][] = [];
  let length = sliceLength;
  for (const entry of entries) {
    if (length >= sliceLength) {
      slices.push([]);
      length = 0;
    }
    slices.at(-1)?.push(entry);
    length += entry.sealedLength;
  }
  return slices;
}
