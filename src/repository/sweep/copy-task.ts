/** Copies blobs out of a pack into new ones, in a worker thread. */
import { release } from "../../host/release.ts";
import { openWholePack, sealedIn } from "../check/pack.ts";
import type { Task, TaskContext } from "../threads/executor.ts";
import { damagedObject } from "../format.ts";
import { decodeStored, openStored, packName, type TableEntry } from "../blobs/pack.ts";

export interface CopyInput {
  /** A pack id. */
  readonly pack: string;
  /** Numbers of the wanted blobs in it, ascending. */
  readonly numbers: Uint32Array;
}

/** Each blob is verified in full before it is sealed again. Throws `damaged` for the first that isn't whole. */
export const copyBlobs: Task<CopyInput, undefined> = {
  name: "copy-blobs",
  async run(context, { pack: id, numbers }) {
    const data = await context.storage.get(packName(id), undefined, { signal: context.signal });
    const pack = openWholePack(context.keys, id, data);
    for (const number of numbers) {
      const entry = pack.entries[number];
      if (entry === undefined) throw damagedObject(packName(id), `it has no blob ${String(number)}`);
      await copyBlob(context, id, pack.objectKey, entry, sealedIn(data, entry));
    }
    release(data);
    return undefined;
  },
};

async function copyBlob(
  context: TaskContext,
  pack: string,
  objectKey: Buffer,
  entry: TableEntry,
  sealed: Buffer,
): Promise<void> {
  const { id, kind, encoding, rawLength } = entry;
  const stored = openStored(objectKey, entry, sealed, pack);
  const raw = decodeStored(encoding, rawLength, stored);
  if (!context.keys.blobId(kind, raw).equals(id)) {
    throw damagedObject(packName(pack), `its blob ${String(entry.number)} isn't what its id says`);
  }
  if (raw !== stored) release(raw);
  await context.writer.addStored(kind, id, encoding, rawLength, stored);
  release(stored);
}
