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
  /** `ended`: its folder has been kept, or its supervisor was killed. */
  readonly state: "starting" | "running" | "ended";
}

/** The oldest first. Throws what the system says of `base`. */
export async function listBoots(base: string): Promise<ListedBoot[]> {
  const listed: ListedBoot[] = [];
  for (const paths of await bootFolders(base)) {
    const record = await readRecord(paths);
    if (record === undefined) continue;
    const alive = await isAlive(record.supervisor);
    listed.push({ paths, record, state: alive ? (record.qemu === null ? "starting" : "running") : "ended" });
  }
  return listed.toSorted((a, b) => a.record.started.localeCompare(b.record.started));
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
  process.kill(record.supervisor.pid, "SIGTERM");
  for (let waited = 0; await isAlive(record.supervisor); waited += pollTime) {
    if (waited >= stopTime) {
      throw new StillpointError("busy", {
        what: `Cannot end the boot ${record.boot}: process ${record.supervisor.pid} goes on`,
        next: `See what it says in ${paths.log}; then kill it, and stop the boot again.`,
      });
    }
    await systemClock.sleep(pollTime, signal);
  }
  // It has done this itself, unless it was killed meanwhile.
  if (!record.keep) await clearAway(paths, record);
}

/** Clears away boots whose supervisor was killed. What was to be kept stays. */
export async function clearDeadBoots(base: string): Promise<void> {
  for (const { paths, record, state } of await listBoots(base))
    if (state === "ended" && !record.keep) await clearAway(paths, record);
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
