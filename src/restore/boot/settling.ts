/** A machine on its way to need nothing but QEMU: first its memory, then its disks. */
import { describeError, isStillpointError } from "../../errors.ts";
import { systemClock } from "../../host/clock.ts";
import type { PostcopySource } from "../../qemu/postcopy/postcopy-source.ts";
import { type Qmp, QmpError } from "../../qemu/qmp.ts";
import { beginPostcopy, type PostcopyMemoryOptions, setPostcopy } from "./postcopy-memory.ts";
import type { QemuProcess } from "./qemu-process.ts";
import { settleDisks } from "./settle-disks.ts";

export interface SettlingOptions extends Omit<PostcopyMemoryOptions, "qmp"> {
  readonly qemu: QemuProcess;
  /** Whether its memory comes by postcopy; otherwise QEMU has it when it is ready. */
  readonly postcopy: boolean;
}

/** In ms, between attempts to copy the disks: what is lacking, such as room, is for people to give. */
const untilAgain = 30_000;

export class Settling {
  readonly #options: SettlingOptions;
  readonly #qmp: Qmp;
  readonly #memory: PostcopySource | undefined;
  readonly #over = new AbortController();

  /** Returns when the machine can run. Throws as `beginPostcopy` does. */
  static async begin(options: SettlingOptions): Promise<Settling> {
    const { qemu, postcopy, signal } = options;
    const qmp = await qemu.connect(options.paths.control, signal);
    try {
      return new Settling(options, qmp, postcopy ? await beginPostcopy({ ...options, qmp }) : undefined);
    } catch (error) {
      await qmp.close();
      throw error instanceof QmpError || isStillpointError(error, "boot_failed") ? await qemu.failure(error) : error;
    }
  }

  private constructor(options: SettlingOptions, qmp: Qmp, memory: PostcopySource | undefined) {
    this.#options = options;
    this.#qmp = qmp;
    this.#memory = memory;
  }

  /** Resolves when the machine has all of its memory. Rejects when QEMU doesn't take it. */
  get memory(): Promise<void> {
    return this.#memory?.done ?? Promise.resolve();
  }

  /**
   * Resolves when the machine has all of its memory, and of its disks in `files`. Call it when the machine is ready. Rejects when
   * QEMU is gone, or doesn't take its memory.
   */
  async finish(files: readonly string[]): Promise<void> {
    if (this.#memory !== undefined) {
      await this.#memory.done;
      await setPostcopy(this.#qmp, false);
    }
    while (!(await this.#settleDisks(files))) await systemClock.sleep(untilAgain, this.#over.signal);
  }

  /** Ends it where it is. */
  async close(): Promise<void> {
    this.#over.abort();
    this.#memory?.close();
    await this.#qmp.close();
  }

  async #settleDisks(files: readonly string[]): Promise<boolean> {
    try {
      await settleDisks(this.#qmp, files, this.#over.signal);
      return true;
    } catch (error) {
      if (!(error instanceof QmpError || isStillpointError(error, "boot_failed"))) throw error;
      this.#options.onFailure(describeError(error));
      return false;
    }
  }
}
