/** Reads the sealed bytes of blobs out of a pack, parts of which may lie on bad sectors. */
import { StillpointError } from "../../errors.ts";
import type { ByteRange, CallOptions, Storage } from "../../storage/storage.ts";
import { packName, type TableEntry } from "../blobs/pack.ts";
import { isDamage } from "../mark/mark.ts";

/** The sealed bytes of each blob, or why they can't be read. */
export type SealedBlobs = ReadonlyMap<TableEntry, Buffer | StillpointError>;

/**
 * Reads blobs that lie close together in a pack: with one call and, where the storage fails at that, each by itself. So a bad sector costs
 * no more than what lies on it. Throws only when the storage doesn't answer, or `cancelled`.
 */
export async function readSealed(
  storage: Pick<Storage, "get">,
  pack: string,
  entries: readonly TableEntry[],
  options?: CallOptions,
): Promise<SealedBlobs> {
  const inOrder = entries.toSorted((a, b) => a.offset - b.offset);
  const [first, last] = [inOrder[0], inOrder.at(-1)];
  if (first === undefined || last === undefined) return new Map();
  const read = async (range: ByteRange): Promise<Buffer | StillpointError> => {
    try {
      return await storage.get(packName(pack), range, options);
    } catch (error) {
      if (!isDamage(error)) throw error;
      return error;
    }
  };
  const start = first.offset;
  const all = await read({ offset: start, length: last.offset + last.sealedLength - start });
  const blobs = new Map<TableEntry, Buffer | StillpointError>();
  for (const entry of inOrder) {
    const { offset, sealedLength: length } = entry;
    if (!(all instanceof Error)) blobs.set(entry, all.subarray(offset - start, offset - start + length));
    else if (all.code === "storage_failed") blobs.set(entry, await read({ offset, length }));
    else blobs.set(entry, all);
  }
  return blobs;
}

/** The sealed bytes of one of them. Throws why they can't be read. */
export function sealedOf(blobs: SealedBlobs, entry: TableEntry): Buffer {
  const sealed = blobs.get(entry);
  if (sealed === undefined) throw new StillpointError("internal", { what: "A blob was asked for that wasn't read" });
  if (sealed instanceof Error) throw sealed;
  return sealed;
}
