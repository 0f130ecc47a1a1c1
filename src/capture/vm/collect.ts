/** Storing what a guest's instant has: disks, memory, and what QEMU was started with, side by side. */
import { createReadStream } from "node:fs";
import type { StillpointError } from "../../errors.ts";
import { parseStream } from "../../qemu/stream/parse-stream.ts";
import type { Machine, MachineDisk } from "../../repository/points/machine.ts";
import type { Part } from "../../repository/points/manifest.ts";
import type { CaptureContext, Captured } from "../capture.ts";
import { storeStream } from "../stream/store-stream.ts";
import type { Save } from "./attempt.ts";
import type { Base } from "./bitmaps.ts";
import { type CapturedDisk, captureDisk } from "./capture-disk.ts";
import type { Disk, Drive } from "./disks.ts";
import { type Flash, flashFromDisks } from "./flash.ts";
import type { MachineDescription } from "./machine.ts";
import { captureMemory, type CapturedMemory, stateSize } from "./memory/capture-memory.ts";
import { type Points, scratchExhausted } from "./points.ts";
import type { VmSource } from "./vm-source.ts";

export interface Collection {
  readonly source: VmSource;
  readonly drives: readonly Drive[];
  readonly disks: readonly Disk[];
  readonly flash: Flash;
  readonly machine: MachineDescription;
  readonly bases: ReadonlyMap<string, Base | string>;
  readonly points: Points;
  /** Undefined without memory. */
  readonly save: Save | undefined;
  /** The instant, in ms since the epoch, and how it was made. */
  readonly time: number;
  readonly pause: number;
  readonly method: Machine["method"];
}

interface CollectedDisks {
  readonly captured: ReadonlyMap<string, CapturedDisk>;
  readonly problems: readonly StillpointError[];
}

/** Throws `vm_failed`, `stream_invalid`, `cancelled`, or a storage error. The points are gone when it succeeds. */
export async function collect(context: CaptureContext, what: Collection): Promise<Captured> {
  const { source, drives, points, machine, time, pause, method } = what;
  const progress = new TotalProgress(context, what.disks);
  const [disks, memory] = await allOrFirstError([
    collectDisks(context, what, progress),
    collectMemory(context, what, progress),
  ]);
  const setup = (await what.save?.saving.state())?.["setup-time"];
  const files = await collectFiles(context, machine.files);
  const parts = [
    ...[...disks.captured.values()].map(({ part }) => part),
    ...memoryParts(what, memory, disks),
    ...files,
  ];
  const reads = [
    ...[...disks.captured.values()].map(({ read }) => read),
    memory?.read ?? 0,
    ...files.map(({ size }) => size),
  ];
  return {
    parts,
    instant: Math.round(time),
    consistency: source.memory ? "full-state" : source.guestAgent === undefined ? "crash" : "application",
    size: parts.reduce((sum, part) => sum + (part.kind === "directory" ? 0 : part.size), 0),
    read: reads.reduce((sum, read) => sum + read, 0),
    leftOut: [],
    leftOutCount: 0,
    problems: [...disks.problems],
    machine: {
      ...machine,
      pause: Math.round(pause * 1000) / 1000,
      method,
      ...(setup !== undefined && { setup }),
      memory: memory?.memory ?? null,
      disks: drives.map((drive) => describeDrive(drive, disks.captured.get(drive.name), points.bitmaps)),
    },
  };
}

async function collectDisks(
  context: CaptureContext,
  what: Collection,
  progress: TotalProgress,
): Promise<CollectedDisks> {
  const { points, bases } = what;
  const bitmaps = [...bases].flatMap(([name, base]) =>
    typeof base === "string" ? [] : [[name, base.bitmap] as const],
  );
  const captured = new Map<string, CapturedDisk>();
  const watching = new AbortController();
  const read = async (): Promise<void> => {
    for (const exposed of await points.expose(new Map(bitmaps))) {
      const base = bases.get(exposed.disk.name) ?? "";
      const earlier = typeof base === "string" ? base : base.image;
      const done = await captureDisk(context, exposed, earlier, (bytes) => progress.advance(bytes));
      captured.set(exposed.disk.name, done);
    }
  };
  const reading = read().finally(() => watching.abort());
  try {
    await Promise.race([reading, points.watchScratch(watching.signal).then(async () => await reading)]);
  } catch (error) {
    if (await points.isExhausted()) throw scratchExhausted(what.source.scratch);
    throw error;
  } finally {
    watching.abort();
  }
  const wrong = [...captured.values()].flatMap(({ problem }) => (problem === undefined ? [] : [problem]));
  return { captured, problems: [...wrong, ...(await points.remove())] };
}

async function collectMemory(
  context: CaptureContext,
  { save }: Collection,
  progress: TotalProgress,
): Promise<CapturedMemory | undefined> {
  if (save === undefined) return undefined;
  const { saving, spool } = save;
  await saving.ended();
  const saved = await parseStream(spool.path, { signal: context.signal });
  progress.extend(stateSize(saved));
  return await captureMemory(context, spool, saved, (bytes) => progress.advance(bytes));
}

function memoryParts(
  { method, flash }: Collection,
  memory: CapturedMemory | undefined,
  { captured }: CollectedDisks,
): readonly Part[] {
  if (memory === undefined) return [];
  // What was saved while the guest stood still is exact.
  if (method === "stopped") return memory.parts;
  const disks = new Map([...captured].map(([name, { part }]) => [name, part]));
  return flashFromDisks(memory.parts, memory.memory?.blocks ?? [], flash, disks);
}

async function collectFiles(
  { session }: CaptureContext,
  files: Machine["files"],
): Promise<Extract<Part, { kind: "stream" }>[]> {
  const parts: Extract<Part, { kind: "stream" }>[] = [];
  for (const [number, { path }] of files.entries()) {
    const content = createReadStream(path, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>;
    parts.push({ name: `file/${number}`, kind: "stream", ...(await storeStream(session, content)) });
  }
  return parts;
}

function describeDrive(
  { name, device, medium }: Drive,
  captured: CapturedDisk | undefined,
  bitmaps: ReadonlyMap<string, string>,
): MachineDisk {
  return {
    name,
    part: captured?.part.name ?? null,
    device,
    node: medium?.node ?? "",
    file: medium?.file ?? "",
    format: medium?.format ?? "",
    size: medium?.size ?? 0,
    read_only: medium?.readOnly ?? true,
    read: captured?.read ?? 0,
    ...(captured?.reason !== undefined && { reason: captured.reason }),
    bitmap: bitmaps.get(name) ?? null,
  };
}

/** Bytes done of disks and memory together. */
class TotalProgress {
  readonly #context: CaptureContext;
  #done = 0;
  #total: number;

  constructor(context: CaptureContext, disks: readonly Disk[]) {
    this.#context = context;
    this.#total = disks.reduce((sum, { medium }) => sum + medium.size, 0);
  }

  extend(bytes: number): void {
    this.#total += bytes;
  }

  advance(bytes: number): void {
    this.#done += bytes;
    this.#context.progress({ done: this.#done, total: Math.max(this.#total, this.#done) });
  }
}

/** The results of all, when all have ended; else the first error, when all have ended too. */
async function allOrFirstError<T extends readonly Promise<unknown>[]>(
  work: [...T],
): Promise<{ [K in keyof T]: Awaited<T[K]> }> {
  try {
    return await Promise.all(work);
  } finally {
    await Promise.allSettled(work);
  }
}
