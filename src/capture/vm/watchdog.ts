/**
 * Looks after a guest during a capture, from a process of its own, so that the guest goes on whatever becomes of us: killed,
 * stopped or stuck. What it does is in watchdog-main.ts.
 */
import type { ChildProcess } from "node:child_process";
import type { Clock } from "../../host/clock.ts";
import { throwIfCancelled } from "../../host/cancel.ts";
import { forkModule, moduleBeside } from "../../host/module-beside.ts";
import type { Guest } from "./guest.ts";
import { type GuestRecord, removeRecord, writeRecord } from "./guest-record.ts";
import type { PauseGuard } from "./standstill.ts";
import { failed } from "./trouble.ts";
import type { VmSource } from "./vm-source.ts";
import type { ToWatchdog, WatchdogSettings } from "./watchdog-protocol.ts";

const entry = moduleBeside(import.meta.url, "watchdog-main");

/** In ms: how much longer than the longest pause it waits before it lets a guest run that we don't. */
const slack = 1000;
/** In ms, for the process to start or answer. */
const patience = 20_000;

export type WatchedSource = Pick<VmSource, "qmp" | "spool" | "guestAgent" | "maxPause">;

export interface WatchdogOptions {
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/** QEMU's settings of migration, as they were. */
type Before = Pick<GuestRecord, "capabilities" | "bandwidth">;

export class Watchdog implements PauseGuard {
  readonly #child: ChildProcess;
  readonly #guest: Guest;
  readonly #source: WatchedSource;
  readonly #clock: Clock;
  readonly #before: Before;
  #answered: (() => void) | undefined;
  #dead = false;

  private constructor(guest: Guest, source: WatchedSource, before: Before, clock: Clock) {
    this.#guest = guest;
    this.#source = source;
    this.#before = before;
    this.#clock = clock;
    // The argument is for whoever reads a list of processes.
    this.#child = forkModule(entry, [source.qmp], {
      // Its own session: what ends our terminal or process group leaves it alone.
      detached: true,
      // It needs no secret of ours.
      env: {},
      execArgv: ["--disable-warning=ExperimentalWarning", "--max-old-space-size=64"],
      // It shares our connection to QEMU, and can write to it even when we can't.
      stdio: ["ignore", "ignore", "inherit", guest.qmp.socket, "ipc"],
    });
    // Node takes it that the child reads from now on, which it never does.
    guest.qmp.socket.resume();
    this.#child.on("message", () => this.#answered?.());
    this.#child.on("error", () => this.#end());
    this.#child.on("exit", () => this.#end());
  }

  /**
   * Begins to watch. Nothing that must be undone has been done to the guest yet, and its migration settings are as they should
   * be again after the capture. Throws `vm_failed`, `vm_unreachable`, `cancelled`.
   */
  static async start(guest: Guest, source: WatchedSource, options: WatchdogOptions): Promise<Watchdog> {
    const { qmp, process } = guest;
    const capabilities = await qmp.execute<GuestRecord["capabilities"]>("query-migrate-capabilities");
    const parameters = await qmp.execute<{ readonly "max-bandwidth"?: number }>("query-migrate-parameters");
    const bandwidth = parameters["max-bandwidth"];
    const before = { capabilities, ...(bandwidth !== undefined && { bandwidth }) };
    throwIfCancelled(options.signal);
    await writeRecord(source.spool, process, { ...before, pausing: false });
    const watchdog = new Watchdog(guest, source, before, options.clock);
    try {
      const { qmp: socket, spool, guestAgent } = source;
      const { pid, startTime } = process;
      const settings: WatchdogSettings = {
        socket,
        spool,
        pid,
        startTime,
        ...(guestAgent !== undefined && { guestAgent }),
      };
      await watchdog.#tell({ kind: "watch", settings });
      return watchdog;
    } catch (error) {
      await watchdog.close();
      throw error;
    }
  }

  /** Before the guest is paused, by so many ms. From now on the guest is let run when it isn't within `max_pause`, or when we die. */
  async begin(ahead = 0): Promise<void> {
    await writeRecord(this.#source.spool, this.#guest.process, { ...this.#before, pausing: true });
    await this.#tell({ kind: "begin", limit: ahead + this.#source.maxPause + slack });
  }

  /** When the guest runs again. Should it be paused from now on, it wasn't us. */
  async end(): Promise<void> {
    await writeRecord(this.#source.spool, this.#guest.process, { ...this.#before, pausing: false });
    if (!this.#dead) await this.#tell({ kind: "end" });
  }

  /** Ends the watch; nothing may be left in the guest. Before QMP is closed, which it shares. */
  async close(): Promise<void> {
    if (!this.#dead) {
      const gone = this.#wait();
      this.#child.send({ kind: "done" } satisfies ToWatchdog, () => undefined);
      if (!(await gone)) this.#child.kill("SIGKILL");
    }
    await removeRecord(this.#source.spool, this.#guest.process);
  }

  /** Sends a message and waits until it was understood. */
  async #tell(message: ToWatchdog): Promise<void> {
    const answered = this.#wait();
    if (!this.#dead) this.#child.send(message, () => undefined);
    if ((await answered) && !this.#dead) return;
    throw failed(
      "The watchdog of the virtual machine doesn't run",
      "See that the host has memory left, and try again.",
    );
  }

  /** Whether an answer, or the end of the process, comes in time. */
  async #wait(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const done = new AbortController();
    this.#answered = () => resolve(true);
    this.#clock.sleep(this.#dead ? 0 : patience, done.signal).then(
      () => resolve(false),
      () => undefined,
    );
    try {
      return await promise;
    } finally {
      done.abort();
    }
  }

  #end(): void {
    this.#dead = true;
    this.#answered?.();
  }
}
