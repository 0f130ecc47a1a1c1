/**
 * What this host owes a guest: written before the first thing is done to it that must be undone, so that whoever comes after us
 * knows what *we* have done. Above all it tells a guest that we have paused from one that its administrator has.
 *
 * The record lies beside the spools. It speaks of one QEMU process of one boot of the host: of no other, ever.
 */
import { lstat, mkdir, readdir, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { nodeFiles } from "../../host/node-files.ts";
import { removeLeftovers, writeDurably } from "../../host/write-durably.ts";
import { isAlive, type QemuProcess } from "../../qemu/qmp-peer.ts";

const schema = z.object({
  version: z.literal(1),
  boot: z.string(),
  pid: z.int(),
  startTime: z.string(),
  /** Whether we are about to pause the guest, or have paused it and not let it run again. */
  pausing: z.boolean(),
  /** When `pausing` was set: seconds since the host's start, which no change of the clock touches. */
  uptime: z.number(),
  /** QEMU's settings of migration, as they were. */
  capabilities: z.array(z.object({ capability: z.string(), state: z.boolean() })),
  bandwidth: z.int().optional(),
});

export type GuestRecord = Readonly<z.infer<typeof schema>>;

type Owner = Pick<QemuProcess, "pid" | "startTime">;

const namePattern = /^\.stillpoint-guest-([0-9]+)-([0-9]+)\.json$/;

function placeOf(folder: string, { pid, startTime }: Owner): string {
  return join(folder, `.stillpoint-guest-${String(pid)}-${startTime}.json`);
}

/** Durable when it resolves. */
export async function writeRecord(
  folder: string,
  owner: Owner,
  content: Pick<GuestRecord, "pausing" | "capabilities" | "bandwidth">,
): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o711 });
  const { pid, startTime } = owner;
  const record: GuestRecord = { version: 1, boot: await bootId(), pid, startTime, uptime: await uptime(), ...content };
  await writeDurably(nodeFiles, placeOf(folder, owner), [Buffer.from(`${JSON.stringify(record)}\n`)]);
}

/** Undefined when there is none of this very process, or it isn't ours: anybody may write to some folders, /dev/shm say. */
export async function readRecord(folder: string, owner: Owner): Promise<GuestRecord | undefined> {
  try {
    const place = placeOf(folder, owner);
    const stats = await lstat(place);
    if (!stats.isFile() || stats.uid !== process.geteuid?.()) return undefined;
    const record = schema.parse(JSON.parse(await readFile(place, "utf8")));
    return record.boot === (await bootId()) ? record : undefined;
  } catch {
    return undefined;
  }
}

export async function removeRecord(folder: string, owner: Owner): Promise<void> {
  await unlink(placeOf(folder, owner)).catch(() => undefined);
}

/**
 * Removes the records of QEMUs that have ended: nobody owes them anything. And what was to become a record when its writer was killed.
 *
 * @param now ms since the epoch
 */
export async function removeOldRecords(folder: string, now: number): Promise<void> {
  await removeLeftovers(nodeFiles, folder, now);
  for (const name of await readdir(folder).catch(() => [])) {
    const [, pid, startTime] = namePattern.exec(name) ?? [];
    if (pid === undefined || startTime === undefined) continue;
    if (!(await isAlive({ pid: Number(pid), startTime }))) await unlink(join(folder, name)).catch(() => undefined);
  }
}

async function bootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
}

/** Seconds since the host's start. */
export async function uptime(): Promise<number> {
  return Number((await readFile("/proc/uptime", "utf8")).split(" ")[0]);
}
