/** All boots of a host: listing them, ending them, and clearing away what a killed one has left. */
import * as fs from "node:fs/promises";
import { StillpointError } from "../../errors.ts";
import { systemClock } from "../../host/clock.ts";
import { isAlive } from "../../qemu/qmp-peer.ts";
import { bootFolders, type BootPaths, type BootRecord, type ProcessName, readRecord } from "./boot-folder.ts";
import { unmount } from "./memory-mount.ts";

export interface ListedBoot {
  readonly paths: BootPaths;
  readonly record: BootRecord;
  readonly state: BootState;
}

/**
 * `settling` and `settled` are those of machines that are to stay; `lost` is one whose supervisor died before it had settled: it
 * stands still for want of what it hasn't got. `ended`: its folder has been kept, or its supervisor was killed.
 */
export type BootState = "starting" | "running" | "settling" | "settled" | "lost" | "ended";

/** The oldest first. Throws what the system says of `base`. */
export async function listBoots(base: string): Promise<ListedBoot[]> {
  const listed: ListedBoot[] = [];
  for (const paths of await bootFolders(base)) {
    const record = await readRecord(paths);
    if (record === undefined) continue;
    listed.push({ paths, record, state: await stateOf(record) });
  }
  return listed.toSorted((a, b) => a.record.started.localeCompare(b.record.started));
}

async function stateOf({ supervisor, qemu, settled }: BootRecord): Promise<BootState> {
  if (settled !== true && (await isAlive(supervisor)))
    return qemu === null ? "starting" : settled === null ? "running" : "settling";
  if (settled === null || qemu === null || !(await isAlive(qemu))) return "ended";
  return settled ? "settled" : "lost";
}

/** The boot whose name begins with `text`. Throws `not_found`. */
export async function findBoot(base: string, text: string): Promise<ListedBoot> {
  const found = (await listBoots(base)).filter(({ record }) => record.boot.startsWith(text.toLowerCase()));
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  throw new StillpointError("not_found", {
    what: `There is ${found.length === 0 ? "no boot" : "more than one boot"} whose name begins with ${JSON.stringify(text)}`,
    next: "`stillpoint boot list` shows those that there are.",
  });
}

/** In ms: what QEMU gets to end by itself, and some for the rest. */
const stopTime = 15_000;

/** In ms: what it gets when nobody else looks after it. */
const qemuTime = 5000;

const pollTime = 20;

/**
 * Ends a boot, and what it wrote with it, unless it was begun with the wish to keep that; one that has ended is removed, kept or
 * not. Throws `busy` when it doesn't end.
 */
export async function stopBoot({ paths, record, state }: ListedBoot, signal?: AbortSignal): Promise<void> {
  if (state === "ended") {
    await clearAway(paths, record);
    return;
  }
  if (!(await endsWithin(record.supervisor, stopTime, signal))) {
    throw new StillpointError("busy", {
      what: `Cannot end the boot ${record.boot}: process ${record.supervisor.pid} goes on`,
      next: `See what it says in ${paths.log}; then kill it, and stop the boot again.`,
    });
  }
  // The supervisor has done this itself, unless it was killed meanwhile, or had left the machine to itself.
  if (record.qemu !== null && !(await endsWithin(record.qemu, state === "lost" ? 0 : qemuTime, signal)))
    await kill(record.qemu);
  if (!record.keep) await clearAway(paths, record);
}

/** Asks a process to end, and tells whether it has, at most after `time` ms. */
async function endsWithin(name: ProcessName, time: number, signal?: AbortSignal): Promise<boolean> {
  if (!(await isAlive(name))) return true;
  process.kill(name.pid, "SIGTERM");
  for (let waited = 0; await isAlive(name); waited += pollTime) {
    if (waited >= time) return false;
    await systemClock.sleep(pollTime, signal);
  }
  return true;
}

/** Clears away boots whose supervisor was killed. What was to be kept stays, and machines that were to stay. */
export async function clearDeadBoots(base: string): Promise<void> {
  for (const { paths, record, state } of await listBoots(base))
    if (state === "ended" && !record.keep && record.settled === null) await clearAway(paths, record);
}

async function clearAway(paths: BootPaths, { qemu }: BootRecord): Promise<void> {
  if (qemu !== null) await kill(qemu);
  await unmount(paths.memory);
  await fs.rm(paths.folder, { recursive: true, force: true });
}

async function kill(name: ProcessName): Promise<void> {
  if (!(await isAlive(name))) return;
  process.kill(name.pid, "SIGKILL");
  for (let waited = 0; waited < stopTime && (await isAlive(name)); waited += pollTime)
    await systemClock.sleep(pollTime);
}
