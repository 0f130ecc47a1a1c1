/**
 * Restores a virtual machine to a folder: `disks/`, `memory/` and `state` (with memory), `files/` (kernel, firmware …), and
 * `launch.sh`, which resumes it there.
 */
import { createWriteStream, lstatSync, mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { rename } from "node:fs/promises";
import * as path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { isStillpointError } from "../../errors.ts";
import { systemClock } from "../../host/clock.ts";
import { errnoOf } from "../../host/files.ts";
import { run } from "../../host/process.ts";
import { blocksOfHead, emitStream } from "../../qemu/stream/emit-stream.ts";
import { asRunning } from "../../qemu/stream/run-state.ts";
import type { RecoveryPoint, StreamPart } from "../../repository/points/manifest.ts";
import { damagedObject } from "../../repository/format.ts";
import { restoreContent } from "../restore-content.ts";
import type { RestoreContext } from "../restore-context.ts";
import { type Launch, relaunch } from "./launch.ts";
import { launchScript } from "./launch-script.ts";
import { type MachineParts, machineParts } from "./machine-parts.ts";
import { readContent } from "./read-content.ts";

export interface MachineOptions {
  /** Of the disks' images. */
  readonly format: "raw" | "qcow2";
  readonly network: "isolated" | "keep";
  /** Whether it is finished although something is damaged. */
  readonly keepGoing: boolean;
}

/** A usual tail has 200 KiB; more than this can only be nonsense, and wouldn't fit into memory. In bytes. */
const longestState = 1024 * 1024 * 1024;

/**
 * Restores to the folder `place`, which an earlier attempt may have left. Returns why the machine can't be started again as it was,
 * if so: everything is restored all the same.
 */
export async function restoreMachine(
  context: RestoreContext,
  point: RecoveryPoint,
  place: string,
  options: MachineOptions,
): Promise<string | undefined> {
  return await new MachineRestore(context, point, place, options).run();
}

class MachineRestore {
  readonly #context: RestoreContext;
  readonly #point: RecoveryPoint;
  readonly #parts: MachineParts;
  readonly #place: string;
  readonly #options: MachineOptions;

  constructor(context: RestoreContext, point: RecoveryPoint, place: string, options: MachineOptions) {
    this.#context = context;
    this.#point = point;
    this.#parts = machineParts(point);
    this.#place = place;
    this.#options = options;
  }

  async run(): Promise<string | undefined> {
    const { state } = this.#parts;
    const cold = this.#launch(false);
    const resumed = state === undefined ? undefined : this.#launch(true);
    makeFolder(this.#place);
    const mapped = typeof resumed === "object" ? resumed.mapped : [];
    await this.#images(mapped);
    const damaged = state === undefined ? undefined : await this.#state(mapped);
    // Of a damaged one a later restore fetches what is missing, for which it needs the images as they are.
    const finished = this.#context.tally.damaged.length === 0 || this.#options.keepGoing;
    if (this.#options.format === "qcow2" && finished) await this.#convert();
    this.#script(cold, damaged ?? resumed);
    this.#setTimes();
    const start = resumed ?? cold;
    return typeof start === "string" ? start : undefined;
  }

  /** How it is started, or why it can't be. */
  #launch(resumed: boolean): Launch | string {
    const { machine, state } = this.#parts;
    const { format, network } = this.#options;
    const isMapped = resumed && state?.whole === undefined;
    try {
      return relaunch(machine, {
        disk: ({ part }) => ({ file: `${imageName(part ?? "")}.${format}`, format }),
        memory: isMapped ? (number) => `memory/${number}.raw` : undefined,
        file: (number) => `files/${number}`,
        qmp: "qmp.sock",
        serial: (number) => `serial${number}.log`,
        socket: (number) => `channel${number}.sock`,
        network,
        incoming: resumed ? "fd:3" : undefined,
      });
    } catch (error) {
      if (!isStillpointError(error, "vm_refused")) throw error;
      return error.message;
    }
  }

  /** All that is a file of its own: disks, mapped memory, files. */
  async #images(mapped: readonly number[]): Promise<void> {
    const { disks, memory, files } = this.#parts;
    for (const folder of ["disks", "memory", "files"]) makeFolder(path.join(this.#place, folder));
    for (const [name, part] of disks) await this.#content(part, `${imageName(name)}.raw`);
    for (const number of mapped) {
      const part = memory[number];
      if (part !== undefined) await this.#content(part, `memory/${number}.raw`);
    }
    for (const [number, part] of files.entries()) await this.#content(part, `files/${number}`);
    await this.#context.pool.drain();
  }

  async #content(part: Parameters<typeof restoreContent>[1], name: string): Promise<void> {
    const { tally } = this.#context;
    const target = { path: Buffer.from(path.join(this.#place, name)), relative: Buffer.from(name), sparse: true };
    tally.files += 1;
    await restoreContent(this.#context, part, target);
  }

  /** Writes what QEMU loads. Returns why it can't be loaded, when the state is damaged. */
  async #state(mapped: readonly number[]): Promise<string | undefined> {
    const { state, memory } = this.#parts;
    const { tally, reader, signal, advance } = this.#context;
    if (state === undefined) return undefined;
    if (state.whole !== undefined) {
      await this.#content(state.whole, "state");
      await this.#context.pool.drain();
      return undefined;
    }
    const before = tally.damaged.length;
    const [head, tail] = [await this.#stateBytes(state.head), await this.#stateBytes(state.tail)];
    if (tally.damaged.length > before)
      return "The state of its processors and devices is damaged; it can only be booted from its disks.";
    await this.#requireSameBlocks(head);
    tally.files += 1;
    const emitted = emitStream({
      head,
      tail: asRunning(tail),
      content: ({ size }, number) => {
        const part = memory[number];
        if (part === undefined || mapped.includes(number)) return undefined;
        tally.bytes += size;
        advance(size);
        return readContent(reader, part, (range) => tally.damage(Buffer.from(part.name), [range]), signal);
      },
    });
    const file = path.join(this.#place, "state");
    rmSync(file, { force: true });
    await pipeline(Readable.from(emitted), createWriteStream(file, { flags: "wx", mode: 0o600 }));
    return undefined;
  }

  /** What is called memory must be that of the state, or the guest would wake with another's. */
  async #requireSameBlocks(head: Buffer): Promise<void> {
    const inState = await blocksOfHead(head);
    const inPoint = this.#parts.machine.memory?.blocks ?? [];
    const isSame = inState.every(({ id, size }, number) => inPoint[number]?.id === id && inPoint[number].size === size);
    if (!isSame || inState.length !== inPoint.length)
      throw damagedObject(`of the point ${this.#point.id}`, "its memory isn't that of its state");
  }

  async #stateBytes(part: StreamPart): Promise<Buffer> {
    const { tally, reader, signal, advance } = this.#context;
    if (part.size > longestState)
      throw damagedObject(`of the point ${this.#point.id}`, `${part.name} is absurdly long`);
    const pieces: Buffer[] = [];
    const damaged = (range: Parameters<typeof tally.damage>[1][number]): void =>
      tally.damage(Buffer.from("state"), [range]);
    for await (const piece of readContent(reader, part, damaged, signal)) pieces.push(piece);
    tally.bytes += part.size;
    advance(part.size);
    return Buffer.concat(pieces);
  }

  /** By qemu-img: the disks as they were just written, zeros left out. */
  async #convert(): Promise<void> {
    for (const name of this.#parts.disks.keys()) {
      const file = path.join(this.#place, imageName(name));
      const argv = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", `${file}.raw`, `${file}.qcow2.part`];
      await run(argv, { timeout: 7 * 24 * 3_600_000, signal: this.#context.signal });
      await rename(`${file}.qcow2.part`, `${file}.qcow2`);
      rmSync(`${file}.raw`);
    }
  }

  #script(cold: Launch | string, resumed: Launch | string | undefined): void {
    const { manifest, id } = this.#point;
    const { machine, state } = this.#parts;
    const file = path.join(this.#place, "launch.sh");
    const what = resumed === undefined ? "Boots" : "Resumes";
    const title = [
      `${what} the virtual machine ${JSON.stringify(manifest.source)} as it was at ${manifest.time} (recovery point ${id}).`,
      `It ran on QEMU ${JSON.stringify(machine.qemu.version)}. Made by Stillpoint.`,
      "",
      "Runs in the foreground, and passes its arguments on to QEMU: -S stays paused at that instant. Here are then qmp.sock,",
      "for QMP, and for each serial port serialN.log. Paths in arguments are relative to this folder.",
    ];
    rmSync(file, { force: true });
    const waits = state?.whole !== undefined;
    writeFileSync(file, launchScript({ title: title.join("\n"), cold, resumed, waits }), { flag: "wx", mode: 0o700 });
  }

  /** The script takes for changed what is newer than the state: all have the time of the instant, or now when that lies ahead. */
  #setTimes(): void {
    const time = Math.min(this.#point.time, systemClock.now()) / 1000;
    for (const folder of ["disks", "memory", "."]) {
      const place = path.join(this.#place, folder);
      for (const entry of readdirSync(place, { withFileTypes: true }))
        if (entry.isFile() && (folder !== "." || entry.name === "state"))
          utimesSync(path.join(place, entry.name), time, time);
    }
  }
}

/** Without its extension, in the machine's folder. */
function imageName(part: string): string {
  return `disks/${part.slice("disk/".length)}`;
}

/** A folder of ours, or one that an earlier attempt has left; never through a link that someone put there. */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (errnoOf(error) !== "EEXIST" || !lstatSync(folder).isDirectory()) throw error;
  }
}
