/** Reads whole packs and verifies every byte of them, in a worker thread. */
import { throwIfCancelled } from "../../host/cancel.ts";
import { verifyPack } from "./pack.ts";
import type { Task, TaskContext } from "../threads/executor.ts";
import { idLength } from "../format.ts";
import { sha256 } from "../keys/key-ring.ts";
import { packName, type TableEntry } from "../blobs/pack.ts";

export interface PackToRead {
  readonly id: string;
  /** In bytes. */
  readonly size: number;
  /** SHA-256 of the table as the index has it, in hex; undefined for a pack in no index. */
  readonly table: string | undefined;
}

export interface ReadOutput {
  /** Read, in bytes. */
  readonly bytes: number;
  readonly bad: readonly BadRead[];
}

/** A pack that isn't whole. */
export interface BadRead {
  readonly id: string;
  readonly message: string;
  /** It isn't there at all. */
  readonly missing: boolean;
  /** The index says something else of it than its own table does. */
  readonly otherTable: boolean;
  /** The blobs that can't be had from it, each as kind (1 byte) and id; undefined when none can. */
  readonly blobs: Uint8Array | undefined;
}

export const blobRecordLength = 1 + idLength;

export const readPacks: Task<readonly PackToRead[], ReadOutput> = {
  name: "read-packs",
  overlaps: true,
  async run(context, packs) {
    const bad: BadRead[] = [];
    let bytes = 0;
    for (const pack of packs) {
      throwIfCancelled(context.signal);
      const found = await verify(context, pack);
      if (found !== undefined) bad.push(found);
      if (found?.missing !== true) bytes += pack.size;
    }
    return { bytes, bad };
  },
};

async function verify(context: TaskContext, pack: PackToRead): Promise<BadRead | undefined> {
  const { id, table } = pack;
  const { info, damage } = await verifyPack(context, pack, { signal: context.signal });
  if (damage !== undefined) {
    const { message, missing, entries } = damage;
    return { id, message, missing, otherTable: false, blobs: entries && joinBlobs(entries) };
  }
  if (table === undefined || info === undefined || sha256(info.table).toString("hex") === table) return undefined;
  const message = `The index says of ${packName(id)} what its own table doesn't`;
  return { id, message, missing: false, otherTable: true, blobs: new Uint8Array() };
}

function joinBlobs(entries: readonly TableEntry[]): Uint8Array {
  return Buffer.concat(entries.flatMap(({ kind, id }) => [Buffer.from([kind]), id]));
}
