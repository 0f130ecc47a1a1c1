/** Reads whole packs and verifies every byte of them, in a worker thread. */
import type { StillpointError } from "../errors.ts";
import { throwIfCancelled } from "../host/cancel.ts";
import { release } from "../host/release.ts";
import { openWholePack, verifyPack } from "./check-pack.ts";
import type { Task, TaskContext } from "./executor.ts";
import { idLength } from "./format.ts";
import { sha256 } from "./key-ring.ts";
import { isDamage } from "./mark.ts";
import { packName, type TableEntry } from "./pack.ts";

export interface PackToRead {
  readonly id: string;
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

/** While one pack is verified, the next is being read. */
export const readPacks: Task<readonly PackToRead[], ReadOutput> = {
  name: "read-packs",
  async run(context, packs) {
    const bad: BadRead[] = [];
    let bytes = 0;
    let reading = read(context, packs[0]);
    for (const [position, pack] of packs.entries()) {
      const data = await reading;
      reading = read(context, packs[position + 1]);
      if (data instanceof Error) bad.push(unread(pack, data));
      else if (data !== undefined) {
        bytes += data.length;
        const found = verify(context, pack, data);
        if (found !== undefined) bad.push(found);
        release(data);
      }
    }
    return { bytes, bad };
  },
};

/** The pack's bytes, or the error that is a fact about it. */
async function read(context: TaskContext, pack: PackToRead | undefined): Promise<Buffer | StillpointError | undefined> {
  if (pack === undefined) return undefined;
  throwIfCancelled(context.signal);
  try {
    return await context.storage.get(packName(pack.id), undefined, { signal: context.signal });
  } catch (error) {
    if (isDamage(error)) return error;
    throw error;
  }
}

function verify({ keys }: TaskContext, { id, table }: PackToRead, data: Buffer): BadRead | undefined {
  const damage = verifyPack(keys, id, data);
  if (damage !== undefined) {
    const { message, entries } = damage;
    return { id, message, missing: false, otherTable: false, blobs: entries && joinBlobs(entries) };
  }
  if (table === undefined || sha256(openWholePack(keys, id, data).info.table).toString("hex") === table)
    return undefined;
  const message = `The index says of ${packName(id)} what its own table doesn't`;
  return { id, message, missing: false, otherTable: true, blobs: new Uint8Array() };
}

function unread({ id }: PackToRead, error: StillpointError): BadRead {
  const missing = error.code === "object_missing";
  return { id, message: error.parts.what, missing, otherTable: false, blobs: undefined };
}

export function joinBlobs(entries: readonly TableEntry[]): Uint8Array {
  return Buffer.concat(entries.flatMap(({ kind, id }) => [Buffer.from([kind]), id]));
}
