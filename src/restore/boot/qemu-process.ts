/** A QEMU that is started here, fed with its state, and never left behind. */
import { type ChildProcess, spawn } from "node:child_process";
import * as fs from "node:fs/promises";
import type { Duplex } from "node:stream";
import { isStillpointError, StillpointError } from "../../errors.ts";
import { throwIfCancelled } from "../../host/cancel.ts";
import { systemClock } from "../../host/clock.ts";
import { Qmp } from "../../qemu/qmp.ts";
import { describeProcess } from "../../qemu/qmp-peer.ts";
import type { BootPaths, ProcessName } from "./boot-folder.ts";
import { lastWords } from "./stalled.ts";

/** What `-incoming` is to be told: the descriptor by which the state comes. */
export const incoming = "fd:3";

/** In ms, between asking QEMU to end and making it. */
const grace = 5000;

/** In ms: how often it is looked whether the machine is loaded. */
const pollTime = 4;

export class QemuProcess {
  readonly #paths: BootPaths;
  readonly #program: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<string>;
  #end: string | undefined;
  #isLeft = false;

  /** Starts it; one that stays may outlive this process. Throws `boot_failed` when there is no such program. */
  static async start(argv: readonly string[], paths: BootPaths, { stays }: { stays: boolean }): Promise<QemuProcess> {
    const [program = ""] = argv;
    await fs.access(program, fs.constants.X_OK).catch((cause: unknown) => {
      throw new StillpointError("boot_failed", {
        what: `Cannot start the machine: there is no program ${program} here, with which it ran`,
        safe: "The recovery point is untouched.",
        next: "Install QEMU there (on Debian: apt-get install qemu-system-x86).",
        cause,
      });
    });
    await using log = await fs.open(paths.log, "a", 0o600);
    // Without this process there is neither memory nor disks: any other QEMU would only stand still.
    const [command = "", ...args] = stays ? argv : ["setpriv", "--pdeathsig", "KILL", "--", ...argv];
    const stdio = ["ignore", log.fd, log.fd, "pipe"] as const;
    const child = spawn(command, args, { cwd: paths.folder, stdio: [...stdio], detached: stays });
    return new QemuProcess(paths, program, child);
  }

  private constructor(paths: BootPaths, program: string, child: ChildProcess) {
    this.#paths = paths;
    this.#program = program;
    this.#child = child;
    const { promise, resolve } = Promise.withResolvers<string>();
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (status, signal) =>
      resolve(signal === null ? `it ended with exit status ${String(status)}` : `it was ended by ${signal}`),
    );
    this.#ended = promise.then((how) => (this.#end = how));
    // Nobody reads what QEMU doesn't say there; and it may be gone while it is written to.
    this.#state.on("error", () => undefined);
  }

  /** How it ended, once it has. */
  get ended(): Promise<string> {
    return this.#ended;
  }

  /** Undefined when it has ended already. */
  async name(): Promise<ProcessName | undefined> {
    const { pid } = this.#child;
    const described = pid === undefined ? undefined : await describeProcess(pid);
    return described === undefined ? undefined : { pid: described.pid, startTime: described.startTime };
  }

  /** Sends it the state, as fast as it takes it. Throws what `stream` throws. */
  async load(stream: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const piece of stream) {
      if (this.#end !== undefined || this.#state.destroyed) return;
      if (!this.#state.write(piece)) await this.#drained();
    }
    this.#state.end();
  }

  /**
   * Waits until it can be spoken to by QMP at `socket`. An answer may take any time there: QEMU gives none while it waits for memory
   * or a disk. Throws `boot_failed`, `cancelled`.
   */
  async connect(socket: string, signal?: AbortSignal): Promise<Qmp> {
    for (;;) {
      if (this.#end !== undefined) throw await this.failure();
      try {
        return await Qmp.connect(socket, { signal, timeout: Number.POSITIVE_INFINITY });
      } catch (error) {
        if (!isStillpointError(error, "vm_unreachable")) throw error;
      }
      await systemClock.sleep(pollTime, signal);
    }
  }

  /** Waits until the machine is loaded, and runs, unless it is to stay paused. Throws `boot_failed`, `cancelled`. */
  async ready(paused: boolean, signal?: AbortSignal): Promise<void> {
    const qmp = await this.connect(this.#paths.qmp, signal);
    try {
      for (;;) {
        const { status, running } = await qmp.execute<{ status: string; running: boolean }>("query-status", undefined, {
          signal,
        });
        if (status !== "inmigrate") {
          if (!paused && !running) await qmp.execute("cont", undefined, { signal });
          return;
        }
        await systemClock.sleep(pollTime, signal);
      }
    } catch (error) {
      throwIfCancelled(signal);
      throw await this.failure(error);
    } finally {
      await qmp.close();
    }
  }

  /** Lets it run on without this process: `stop` does nothing from now on. */
  leave(): void {
    this.#isLeft = true;
    this.#state.destroy();
    this.#child.unref();
  }

  /** Ends it, whatever it does. */
  async stop(): Promise<void> {
    if (this.#end !== undefined || this.#isLeft) return;
    this.#child.kill("SIGTERM");
    await this.#endsWithin(grace);
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  /** In ms. */
  async #endsWithin(time: number): Promise<void> {
    const done = new AbortController();
    await Promise.race([this.#ended, systemClock.sleep(time, done.signal).catch(() => undefined)]);
    done.abort();
  }

  get #state(): Duplex {
    return this.#child.stdio[3] as Duplex;
  }

  /** Until there is room again, or QEMU is gone. */
  async #drained(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#state.once("drain", resolve);
      this.#state.once("close", resolve);
    });
  }

  /** That it couldn't be started, with what QEMU had to say. */
  async failure(cause?: unknown): Promise<StillpointError> {
    // QEMU ends when it can't load the state; that says more than that it has hung up.
    if (cause !== undefined) await this.#endsWithin(grace);
    const how = this.#end ?? (cause instanceof Error ? cause.message.replace(/\.$/, "") : "it didn't answer");
    return new StillpointError("boot_failed", {
      what: `Cannot start the machine with ${this.#program}: ${how}${await lastWords(this.#paths)}`,
      safe: "The recovery point is untouched, and nothing of the attempt is left.",
      next: "`stillpoint boot --cold` starts it from its disks alone; `stillpoint restore` brings back all of it.",
      cause,
    });
  }
}
