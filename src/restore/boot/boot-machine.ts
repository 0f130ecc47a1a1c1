/** Starts a machine from a recovery point, at the captured instant, without restoring anything first. */
import * as fs from "node:fs/promises";
import { isStillpointError, StillpointError } from "../../errors.ts";
import { throwIfCancelled } from "../../host/cancel.ts";
import type { Movement } from "../../host/movement.ts";
import { run } from "../../host/process.ts";
import { NbdServer } from "../../nbd/server.ts";
import type { BlobStore } from "../../repository/blobs/blob-store.ts";
import type { Machine } from "../../repository/points/machine.ts";
import type { RecoveryPoint } from "../../repository/points/manifest.ts";
import type { Repository } from "../../repository/repository.ts";
import { openFile } from "../browse.ts";
import { exportImage } from "../serve/export-image.ts";
import { PointImages } from "../serve/point-images.ts";
import { formatFields } from "../vm/command-line.ts";
import { type Launch, relaunch } from "../vm/launch.ts";
import type { BootPaths, ProcessName } from "./boot-folder.ts";
import { mayMount, MemoryMount } from "./memory-mount.ts";
import { mayPostcopy } from "./postcopy-memory.ts";
import { incoming, QemuProcess } from "./qemu-process.ts";
import { hasState, isSplit, type OnProgress, savedState } from "./saved-state.ts";
import { completeDisks } from "./settle-disks.ts";
import { Settling } from "./settling.ts";
import { stalled } from "./stalled.ts";

/** Contents of blobs kept in memory for one machine, in bytes: what it has read stays in the kernel's cache, and in its own. */
const cache = 128 * 1024 * 1024;

export interface BootOptions {
  readonly repository: Repository;
  readonly store: BlobStore;
  readonly point: RecoveryPoint;
  /** Of a folder that is there, with nothing in it that has one of these names. */
  readonly paths: BootPaths;
  /** Whether it starts from its disks alone, as after a loss of power. */
  readonly cold: boolean;
  /** Whether it stays at the instant until someone tells it to go on. */
  readonly paused: boolean;
  readonly network: "isolated" | "keep";
  /** Whether it is to need nothing but QEMU in the end. */
  readonly stay: boolean;
  /** Told of what couldn't be read while it runs. */
  readonly onFailure: (message: string) => void;
  /** Told while QEMU reads all of its memory before it runs. */
  readonly onProgress: OnProgress;
  /** Ends a start that makes no progress. The storage tells it what has come from there. */
  readonly movement: Movement;
  readonly signal?: AbortSignal | undefined;
}

export interface BootedMachine {
  readonly qemu: ProcessName;
  /** Paths of the files that its serial ports print to. */
  readonly serial: readonly string[];
  /** How QEMU ended, once it has. */
  readonly ended: Promise<string>;
  /**
   * For a machine that is to stay: resolves when it has all of its memory and disks, so that it could go on without being served.
   * Rejects when that can't be, or when it ends.
   */
  settle(): Promise<void>;
  /** When it has ended: copies what is only in the recovery point to the files of its disks. Throws `cancelled`, or as `run` does. */
  completeDisks(): Promise<void>;
  /** Lets QEMU go on when this process ends; `stop` then only ends what served it. */
  leave(): void;
  /** Ends it, and whatever served it. */
  stop(): Promise<void>;
}

/**
 * The disks are served from the repository, with what the machine writes in local files over them. Its memory is mapped from a
 * file of our own, whose pages are read when they are touched, where this process may mount one; or it is sent by postcopy to a
 * machine that is to stay, where QEMU may wait for pages. Else QEMU reads all of it first.
 *
 * Throws `boot_failed` (also when nothing moves), `vm_refused`, `damaged`, a storage error, or `cancelled`; nothing runs then.
 */
export async function bootMachine(options: BootOptions): Promise<BootedMachine> {
  const { paths, movement, signal } = options;
  await using undo = new AsyncDisposableStack();
  const started = await movement.during(
    { signal, stalled: async (cause) => await stalled(paths, "QEMU was started", cause) },
    async (until) => await start({ ...options, signal: until }, undo),
  );
  const running = undo.move();
  return { ...started, stop: async () => await running.disposeAsync() };
}

/** Whatever has to be ended again is in `undo`. */
async function start(options: BootOptions, undo: AsyncDisposableStack): Promise<Omit<BootedMachine, "stop">> {
  const { paths, paused, signal } = options;
  const machine = machineOf(options);
  const images = new PointImages({ ...options, cache });
  await bringFiles(options, machine);
  undo.defer(await serveDisks(options, images));
  await makeOverlays(options, images, machine);
  const way = await chooseWay(options);
  if (way === "mapped") undo.defer(await mountMemory(options, images, machine));
  const launch = launchOf(options, machine, way);
  throwIfCancelled(signal);
  const qemu = await QemuProcess.start(argvOf(launch, options, way), paths, { stays: options.stay });
  undo.defer(async () => await qemu.stop());
  const settling = options.stay
    ? await Settling.begin({
        ...options,
        qemu,
        images,
        reader: options.store.reader,
        moved: options.movement.moved,
        postcopy: way === "postcopy",
      })
    : undefined;
  if (settling !== undefined) undo.defer(async () => await settling.close());
  const feeds = way === "loaded" || way === "mapped";
  const ready = Promise.all([qemu.ready(paused, signal), feeds ? loadState(qemu, options, images, launch) : undefined]);
  await Promise.race([ready, failureOf(settling, qemu)]);
  const name = await qemu.name();
  if (name === undefined)
    throw new StillpointError("boot_failed", { what: `The machine ended at once: ${await qemu.ended}` });
  const overlays = machine.disks.flatMap(({ part }, number) => (part === null ? [] : paths.overlay(number)));
  return {
    qemu: name,
    serial: Array.from({ length: launch.serials }, (_, number) => paths.serial(number)),
    ended: qemu.ended,
    settle: async () => await settling?.finish(overlays),
    completeDisks: async () => await completeDisks(overlays, signal),
    leave: () => qemu.leave(),
  };
}

/** Rejects when QEMU doesn't take its memory by postcopy; never resolves. */
async function failureOf(settling: Settling | undefined, qemu: QemuProcess): Promise<never> {
  await settling?.memory.catch(async (error: unknown) => {
    throw isStillpointError(error, "boot_failed") ? await qemu.failure(error) : error;
  });
  return await Promise.withResolvers<never>().promise;
}

/** Where its memory comes from. */
type Way = "cold" | "mapped" | "postcopy" | "loaded";

async function chooseWay({ cold, stay, point }: BootOptions): Promise<Way> {
  if (cold) return "cold";
  if (!isSplit(point)) return "loaded";
  if (stay) return (await mayPostcopy()) ? "postcopy" : "loaded";
  return mayMount() ? "mapped" : "loaded";
}

function machineOf({ point, cold }: BootOptions): Machine {
  const { machine, kind } = point.manifest;
  if (machine === undefined) {
    throw new StillpointError("usage", {
      what: `Cannot boot the recovery point ${point.id}: it is of a ${kind}, not of a virtual machine`,
      safe: "Nothing was changed.",
      next: "`stillpoint serve` offers a disk to a machine of your own; `stillpoint restore` brings it back.",
    });
  }
  if (cold || hasState(point)) return machine;
  throw new StillpointError("usage", {
    what: `Cannot boot the recovery point ${point.id} at its instant: only the machine's disks were captured`,
    safe: "Nothing was changed.",
    next: "Add --cold: it starts from its disks.",
  });
}

/** Kernels and firmware: QEMU reads them when it starts. */
async function bringFiles({ store, point, paths, signal }: BootOptions, machine: Machine): Promise<void> {
  for (const number of machine.files.keys())
    await fs.writeFile(paths.file(number), openFile(store.reader, point, `file/${number}`, { signal }), {
      mode: 0o600,
    });
}

async function serveDisks({ point, paths, onFailure }: BootOptions, images: PointImages): Promise<() => Promise<void>> {
  const exports = images.disks.map((name) =>
    exportImage(images.disk(name), { name, description: point.id, onFailure }),
  );
  if (exports.length === 0) return () => Promise.resolve();
  const server = await NbdServer.listen({ exports, address: { socket: paths.nbd } });
  return async () => await server.close();
}

/** In ms; it only writes a header. */
const overlayTime = 60_000;

/** Empty files over the served disks: the size is told, so that nothing has to be opened. */
async function makeOverlays({ paths, signal }: BootOptions, images: PointImages, { disks }: Machine): Promise<void> {
  await Promise.all(
    disks.map(async ({ part }, number) => {
      if (part === null) return;
      const name = part.replace(/^disk\//, "");
      const backing = `nbd+unix:///${encodeURIComponent(name)}?socket=${encodeURI(paths.nbd)}`;
      const format = ["-q", "-u", "-f", "qcow2", "-F", "raw", "-b", backing];
      const size = String(images.disk(name).size);
      await run(["qemu-img", "create", ...format, paths.overlay(number), size], { timeout: overlayTime, signal });
    }),
  );
}

async function mountMemory(
  { paths, onFailure }: BootOptions,
  images: PointImages,
  { memory }: Machine,
): Promise<() => Promise<void>> {
  await fs.mkdir(paths.memory, { mode: 0o700 });
  const files = (memory?.blocks ?? []).map((_, number) => {
    const source = images.part(`memory/${number}`);
    return {
      name: String(number),
      size: source.size,
      read: async (offset: number, length: number) => await source.read(offset, length),
    };
  });
  const mount = await MemoryMount.mount({ folder: paths.memory, files, onFailure });
  return async () => await mount.unmount();
}

const incomings = { cold: undefined, mapped: incoming, loaded: incoming, postcopy: "defer" } as const;

function launchOf({ paths, network }: BootOptions, machine: Machine, way: Way): Launch {
  return relaunch(machine, {
    disk: (_, number) => ({ file: paths.overlay(number), format: "qcow2" }),
    memory: way === "mapped" ? (number) => `${paths.memory}/${number}` : undefined,
    file: paths.file,
    qmp: paths.qmp,
    network,
    incoming: incomings[way],
    serial: paths.serial,
    socket: paths.channel,
  });
}

function argvOf({ argv }: Launch, { paths, paused, stay }: BootOptions, way: Way): readonly string[] {
  const control = { id: controlId, path: paths.control, server: "on", wait: "off" };
  return [
    ...argv,
    // Otherwise what is saved says whether it runs; with postcopy that isn't asked.
    ...(paused && (way === "cold" || way === "postcopy") ? ["-S"] : []),
    ...(stay ? ["-chardev", formatFields("socket", control), "-mon", `chardev=${controlId},mode=control`] : []),
  ];
}

/** A monitor of its own: the other one is for whoever uses the machine. */
const controlId = "stillpoint-settling";

async function loadState(
  qemu: QemuProcess,
  { store, point, paused, movement, onProgress, signal }: BootOptions,
  images: PointImages,
  { mapped }: Launch,
): Promise<void> {
  const told: OnProgress = (done, total) => {
    movement.moved();
    onProgress(done, total);
  };
  const running = !paused;
  await qemu.load(savedState({ reader: store.reader, point, images, mapped, running, onProgress: told, signal }));
}
