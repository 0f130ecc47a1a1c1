/**
 * Scratch files: where QEMU keeps the old content of what the guest overwrites during a capture. Each is a qcow2 image in a
 * file that QEMU can't make larger than it is, so that not even a capture that nobody looks after fills the disk.
 */
import { open, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { QmpEvent } from "../../qemu/qmp.ts";
import type { Guest } from "./guest.ts";
import { failed, step } from "./trouble.ts";
import type { Undo } from "./undo.ts";

export interface Scratch {
  /** Name of its block node. */
  readonly node: string;
  readonly path: string;
  /** In bytes. */
  readonly limit: number;
}

const cluster = 65_536;

/** A qcow2 image that holds all of a disk is little larger: 10 bytes for each cluster, and a few clusters. */
const roomForMetadata = (size: number): number => Math.ceil(size / 4096) + 2 ** 21;

export interface ScratchOptions {
  readonly folder: string;
  readonly number: number;
  /** Of the disk, in bytes. */
  readonly size: number;
  /** In bytes. */
  readonly limit: number;
}

/** Makes a scratch file and the nodes for it, before the guest is paused. Throws `vm_failed`. */
export async function makeScratch(guest: Guest, options: ScratchOptions, undo: Undo): Promise<Scratch> {
  const { folder, number, size } = options;
  const { qmp, process } = guest;
  const path = join(folder, `scratch-${number}`);
  // Whole clusters: QEMU takes no part of a sector.
  const limit = Math.floor(Math.min(options.limit, size + roomForMetadata(size)) / cluster) * cluster;
  const node = `stillpoint-scratch-${number}`;
  const file = `stillpoint-scratch-file-${number}`;
  const job = `stillpoint-create-${number}`;
  undo.add("remove a scratch file", async () => await rm(path, { force: true }));
  await makeFile(path, limit, process);
  const layers = { driver: "raw", "node-name": file, offset: 0, size: limit, file: { driver: "file", filename: path } };
  await step("open a scratch file", qmp.execute("blockdev-add", layers));
  undo.add("close a scratch file", async () => await qmp.execute("blockdev-del", { "node-name": file }));
  await createImage(guest, job, { driver: "qcow2", file, size });
  const image = { driver: "qcow2", "node-name": node, file, cache: { "no-flush": true } };
  await step("open a scratch image", qmp.execute("blockdev-add", image));
  undo.add("close a scratch image", async () => await qmp.execute("blockdev-del", { "node-name": node }));
  return { node, path, limit };
}

/** Bytes that the scratch files take by now. */
export async function scratchUsed(scratches: readonly Scratch[]): Promise<number> {
  const sizes = await Promise.all(scratches.map(async ({ path }) => (await stat(path)).blocks * 512));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Sparse, and the property of the user as whom QEMU opens it. */
async function makeFile(path: string, size: number, owner: Guest["process"]): Promise<void> {
  await using file = await open(path, "wx", 0o600);
  await file.truncate(size);
  if (owner.uid !== process.getuid?.()) await file.chown(owner.uid, owner.gid);
}

async function createImage({ qmp }: Guest, job: string, options: object): Promise<void> {
  const concluded = qmp.waitForEvent((event) => isConcluded(event, job), { timeout: 10_000 });
  concluded.catch(() => undefined); // Seen below; here it only must not count as unhandled.
  await step("make a scratch image", qmp.execute("blockdev-create", { "job-id": job, options }));
  await concluded;
  const jobs = await qmp.execute<readonly { readonly id: string; readonly error?: string }[]>("query-jobs");
  await qmp.execute("job-dismiss", { id: job });
  const error = jobs.find(({ id }) => id === job)?.error;
  if (error !== undefined) throw failed(`Cannot make a scratch image: ${error}`);
}

function isConcluded({ event, data }: QmpEvent, job: string): boolean {
  if (event !== "JOB_STATUS_CHANGE" || typeof data !== "object" || data === null) return false;
  return "id" in data && data.id === job && "status" in data && data.status === "concluded";
}
