/**
 * The process behind a booted machine. It serves its disks and its memory for as long as the machine runs, so it outlives the
 * command that began it, and ends with the machine, or when the machine needs it no more.
 */
import * as fs from "node:fs/promises";
import { hostname } from "node:os";
import * as path from "node:path";
import { describeError } from "../../errors.ts";
import { cancelled } from "../../host/cancel.ts";
import type { Clock } from "../../host/clock.ts";
import { Movement } from "../../host/movement.ts";
import { describeProcess } from "../../qemu/qmp-peer.ts";
import type { BlobStore } from "../../repository/blobs/blob-store.ts";
import type { RecoveryPoint } from "../../repository/points/manifest.ts";
import { Reading } from "../../repository/points/readers.ts";
import type { Repository } from "../../repository/repository.ts";
import { type BootPaths, type BootRecord, pathsOf, type ProcessName, writeRecord } from "./boot-folder.ts";
import { type BootedMachine, type BootOptions, bootMachine } from "./boot-machine.ts";
import { stalled, stallLimit } from "./stalled.ts";

export interface SuperviseOptions
  extends Pick<BootOptions, "cold" | "paused" | "network" | "stay" | "onFailure" | "onProgress"> {
  /** Of the boot; there already. */
  readonly folder: string;
  readonly keep: boolean;
  readonly started: Date;
  /** Of the limit for what makes no progress. */
  readonly clock: Clock;
  /** Opens the repository and finds the point. `moved` is for the storage to call (storage/open.ts). */
  readonly open: (moved: () => void, signal: AbortSignal) => Promise<Opened>;
  /** Called when the machine is there. */
  readonly onReady: (started: StartedBoot) => void;
  /** Ends the machine. */
  readonly signal: AbortSignal;
}

interface Opened {
  readonly repository: Repository;
  readonly store: BlobStore;
  readonly point: RecoveryPoint;
}

/** What a booted machine is known by; `boot list --json` and `boot --json` print it. */
export interface StartedBoot {
  readonly boot: string;
  readonly id: string;
  readonly source: string;
  /** Of QEMU. */
  readonly pid: number;
  readonly qmp: string;
  readonly serial: readonly string[];
  readonly dir: string;
}

/** Resolves when the machine has ended or settled, and nothing is left of it but what is to be kept. Throws what `bootMachine` throws. */
export async function supervise(options: SuperviseOptions): Promise<void> {
  const { folder, keep, clock, signal } = options;
  const movement = new Movement(clock, stallLimit);
  const paths = pathsOf(folder);
  let machine: BootedMachine | undefined;
  let settled = false;
  await using undo = new AsyncDisposableStack();
  try {
    let record: BootRecord = await newRecord(paths, options);
    await writeRecord(paths, record);
    const reader = `boot ${record.boot} on ${hostname()}`;
    const opened = await movement.during(
      { signal, stalled: async (cause) => await stalled(paths, "the repository was opened", cause) },
      async (until) => {
        const { repository, store, point } = await options.open(movement.moved, until);
        undo.use(await Reading.begin(repository, point, { ...options, reader, signal: until }));
        return { repository, store, point };
      },
    );
    record = { ...record, id: opened.point.id, source: opened.point.manifest.source };
    machine = await bootMachine({ ...options, ...opened, movement, paths });
    record = { ...record, qemu: machine.qemu, serial: [...machine.serial] };
    await writeRecord(paths, record);
    options.onReady(startedBoot(paths, record));
    const stop = Promise.withResolvers<undefined>();
    signal.addEventListener("abort", () => stop.resolve(undefined), { once: true });
    if (signal.aborted) stop.resolve(undefined);
    settled = await Promise.race([
      settles(machine, options),
      machine.ended.then(async () => await completes(machine, options)),
      stop.promise.then(() => false),
    ]);
    if (!settled) return;
    await writeRecord(paths, { ...record, settled });
    machine.leave();
  } finally {
    await machine?.stop();
    // Of a machine that never ran there is nothing to keep.
    if (!settled && (!keep || machine === undefined)) await fs.rm(folder, { recursive: true, force: true });
  }
}

/** True when the machine needs nobody any more. Until then, and for ever if that can't be, it is served. */
async function settles(machine: BootedMachine, { stay, onFailure, signal }: SuperviseOptions): Promise<boolean> {
  if (stay) {
    try {
      await machine.settle();
      return true;
    } catch (error) {
      if (!signal.aborted) onFailure(`The machine can't do without this process: ${describeError(error)}`);
    }
  }
  return await Promise.withResolvers<never>().promise;
}

/** Whether the disks of a machine that was to stay are whole, though it has ended before it had settled. */
async function completes(machine: BootedMachine | undefined, options: SuperviseOptions): Promise<boolean> {
  const { stay, onFailure, signal } = options;
  if (!stay || signal.aborted) return false;
  try {
    await machine?.completeDisks();
    return true;
  } catch (error) {
    if (!signal.aborted) onFailure(`The machine's disks can't be made whole: ${describeError(error)}`);
    return false;
  }
}

/** What is to be said of a boot whose machine runs. */
export function startedBoot(paths: BootPaths, { boot, id, source, qemu, serial }: BootRecord): StartedBoot {
  return { boot, id: id ?? "", source: source ?? "", pid: qemu?.pid ?? 0, qmp: paths.qmp, serial, dir: paths.folder };
}

/** With this process as supervisor. */
export async function newRecord(
  { folder }: BootPaths,
  { keep, stay, started }: { readonly keep: boolean; readonly stay: boolean; readonly started: Date },
): Promise<BootRecord> {
  return {
    version: 1,
    boot: path.basename(folder),
    id: null,
    source: null,
    started: started.toISOString(),
    keep,
    settled: stay ? false : null,
    supervisor: await ownName(),
    qemu: null,
    serial: [],
  };
}

async function ownName(): Promise<ProcessName> {
  const described = await describeProcess(process.pid);
  if (described === undefined) throw cancelled();
  return { pid: described.pid, startTime: described.startTime };
}
