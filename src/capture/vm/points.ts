/**
 * The disks of one instant. While the guest stands still a copy-before-write filter is put between each device and its disk;
 * from then on whatever the guest overwrites is first copied to a scratch file, and a snapshot-access node above the filter
 * reads as the disk was at that moment (docs/interop of QEMU; see also docs/vm.md). NBD exports give these nodes to us.
 *
 * When a copy fails the point breaks, never the guest's write (`on-cbw-error`).
 */
import { join } from "node:path";
import type { StillpointError } from "../../errors.ts";
import type { Clock } from "../../host/clock.ts";
import { addBitmaps, copyBitmap, type NewBitmap } from "./bitmaps.ts";
import type { Disk } from "./disks.ts";
import type { Guest } from "./guest.ts";
import { makeScratch, type Scratch, scratchUsed } from "./scratch.ts";
import { asProblem, failed, refused, step } from "./trouble.ts";
import { Undo } from "./undo.ts";

/** In seconds, for one copy. From 5 on QEMU 7.2 keeps it in 32 bits of nanoseconds, and wraps. */
const copyTimeout = 4;
/** Of a socket's path on Linux (unix(7)), with the byte that ends it. */
const longestSocketPath = 107;

/** A disk as an NBD export shows it. */
export interface ExposedDisk {
  readonly disk: Disk;
  readonly socket: string;
  readonly export: string;
  /** Metadata context with what changed since the earlier point; undefined when everything is to be read. */
  readonly changes: string | undefined;
}

export interface PointsOptions {
  readonly guest: Guest;
  readonly disks: readonly Disk[];
  /** An empty folder in which QEMU may make files. */
  readonly folder: string;
  /** Bytes of scratch space, for all disks together. */
  readonly scratch: number;
  readonly clock: Clock;
}

export class Points {
  readonly #options: PointsOptions;
  readonly #writable: readonly Disk[];
  readonly #undo = new Undo();
  readonly #scratches: Scratch[] = [];
  #bitmaps: readonly NewBitmap[] = [];

  constructor(options: PointsOptions) {
    this.#options = options;
    this.#writable = options.disks.filter(({ medium }) => !medium.readOnly);
  }

  /** The dirty bitmaps that began at the instant, by the name of the disk. */
  get bitmaps(): ReadonlyMap<string, string> {
    return new Map(this.#bitmaps.map(({ disk, name }) => [disk.name, name]));
  }

  /** Makes everything that can be made before the guest is paused. */
  async prepare(): Promise<void> {
    const { guest, folder, scratch: limit } = this.#options;
    for (const [number, { medium }] of this.#writable.entries()) {
      const scratch = await makeScratch(guest, { folder, number, size: medium.size, limit }, this.#undo);
      this.#scratches.push(scratch);
      await this.#add("make a filter for a disk", {
        driver: "copy-before-write",
        "node-name": filterName(number),
        file: medium.node,
        target: scratch.node,
        "on-cbw-error": "break-snapshot",
        "cbw-timeout": copyTimeout,
      });
    }
  }

  /** Sets the points. The guest must stand still. All commands are on their way before the first is answered. */
  async set(): Promise<void> {
    const { qmp } = this.#options.guest;
    const settled = await Promise.allSettled([
      addBitmaps(qmp, this.#writable).then((bitmaps) => {
        this.#bitmaps = bitmaps;
      }),
      ...this.#writable.map(async ({ device, medium }, number) => {
        const connect = async (node: string): Promise<unknown> =>
          await qmp.execute("qom-set", { path: device, property: "drive", value: node });
        this.#undo.add("take a filter away from a disk", async () => await connect(medium.node));
        await connect(filterName(number));
      }),
    ]);
    for (const result of settled) {
      if (result.status === "rejected") throw asProblem("set the points of the disks", result.reason);
    }
  }

  /** Makes the points readable, when the guest runs again. `changes` names the bitmaps with what changed, by disk. */
  async expose(changes: ReadonlyMap<string, string>): Promise<ExposedDisk[]> {
    const { guest, disks, folder } = this.#options;
    const socket = join(folder, "nbd.sock");
    if (Buffer.byteLength(socket) > longestSocketPath) {
      throw refused(`the path ${socket} is too long for a socket`, "Name a folder with a shorter path as `spool`.");
    }
    if (disks.length === 0) return [];
    await this.#startServer(socket);
    const exposed: ExposedDisk[] = [];
    for (const [number, disk] of disks.entries()) {
      const filter = this.#writable.indexOf(disk);
      const node = filter === -1 ? disk.medium.node : await this.#access(filter);
      const base = changes.get(disk.name);
      const copy = base === undefined ? undefined : await copyBitmap(guest.qmp, disk, base, this.#undo);
      await this.#export(number, node, disk, copy);
      const context = copy === undefined ? undefined : `qemu:dirty-bitmap:${copy}`;
      exposed.push({ disk, socket, export: disk.name, changes: context });
    }
    return exposed;
  }

  /** Throws `vm_failed` when the scratch space is used up; ends without a result when the signal aborts. */
  async watchScratch(signal: AbortSignal): Promise<void> {
    const { clock, scratch } = this.#options;
    while (!signal.aborted) {
      const used = await scratchUsed(this.#scratches);
      const full = this.#scratches.length > 0 && used >= scratch;
      if (full) throw scratchExhausted(scratch);
      await clock.sleep(500, signal).catch(() => undefined);
    }
  }

  /** Whether a point is broken for want of scratch space, as far as one can tell afterwards. */
  async isExhausted(): Promise<boolean> {
    const used = await Promise.all(
      this.#scratches.map(async (scratch) => (await scratchUsed([scratch])) + 2 ** 20 >= scratch.limit),
    );
    return used.includes(true);
  }

  /** Takes everything away again; the guest may run. Returns what failed. */
  async remove(): Promise<StillpointError[]> {
    return await this.#undo.run();
  }

  async #startServer(socket: string): Promise<void> {
    const { qmp } = this.#options.guest;
    await step(
      "start QEMU's NBD server",
      qmp.execute("nbd-server-start", { addr: { type: "unix", data: { path: socket } } }),
    );
    this.#undo.add("stop QEMU's NBD server", async () => await qmp.execute("nbd-server-stop"));
  }

  async #access(number: number): Promise<string> {
    const node = `stillpoint-access-${number}`;
    const file = filterName(number);
    await this.#add("make a point readable", { driver: "snapshot-access", "node-name": node, file });
    return node;
  }

  async #export(number: number, node: string, disk: Disk, bitmap: string | undefined): Promise<void> {
    const { qmp } = this.#options.guest;
    const id = `stillpoint-export-${number}`;
    const bitmaps = bitmap === undefined ? [] : [{ node: disk.medium.node, name: bitmap }];
    const options = { type: "nbd", id, "node-name": node, name: disk.name, writable: false, bitmaps };
    await step("export a point", qmp.execute("block-export-add", options));
    this.#undo.add("end an export", async () => {
      const gone = qmp.waitForEvent(({ event, data }) => event === "BLOCK_EXPORT_DELETED" && idOf(data) === id, {
        timeout: 10_000,
      });
      gone.catch(() => undefined); // Seen below; here it only must not count as unhandled.
      await qmp.execute("block-export-del", { id, mode: "hard" });
      await gone;
    });
  }

  async #add(doing: string, node: { readonly "node-name": string; readonly [option: string]: unknown }): Promise<void> {
    const { qmp } = this.#options.guest;
    await step(doing, qmp.execute("blockdev-add", node));
    this.#undo.add("remove a block node", async () => {
      await qmp.execute("blockdev-del", { "node-name": node["node-name"] });
    });
  }
}

export function scratchExhausted(limit: number): StillpointError {
  return failed(
    `The guest has overwritten more during the capture than the scratch space of ${limit} bytes holds`,
    "Give the source more `scratch`, or capture it when it writes less.",
  );
}

function filterName(number: number): string {
  return `stillpoint-cbw-${number}`;
}

function idOf(data: unknown): unknown {
  return typeof data === "object" && data !== null && "id" in data ? data.id : undefined;
}
