/** One save of a guest's memory and devices by QEMU's migration, into a spool (qapi/migration.json of QEMU's source). */
import { toError } from "../../errors.ts";
import type { Clock } from "../../host/clock.ts";
import { activateDisks } from "../../qemu/activate-disks.ts";
import { joinPages } from "../../qemu/huge-pages.ts";
import { QmpError } from "../../qemu/qmp.ts";
import { rescueGuest } from "../../qemu/userfaultfd.ts";
import type { Guest } from "./guest.ts";
import type { Spool } from "./memory/spool.ts";
import { failed, refused, step } from "./trouble.ts";
import { Undo } from "./undo.ts";

export interface MigrationInfo {
  readonly status?: string;
  readonly "error-desc"?: string;
  readonly "blocked-reasons"?: readonly string[];
  /** In ms. */
  readonly "setup-time"?: number;
  readonly ram?: { readonly normal: number; readonly duplicate: number };
}

interface Capability {
  readonly capability: string;
  readonly state: boolean;
}

/** Bytes per second: no limit that any machine would feel. By default a stopped guest is saved at 128 MiB/s. */
const unlimited = 2 ** 45;
/** What doesn't change the stream. */
const harmless = new Set(["events"]);

export async function queryMigration({ qmp }: Pick<Guest, "qmp">): Promise<MigrationInfo> {
  return await qmp.execute<MigrationInfo>("query-migrate");
}

/** Whether a save or a migration is under way. */
export function isUnderWay({ status = "none" }: MigrationInfo): boolean {
  return !["none", "completed", "failed", "cancelled"].includes(status);
}

/** Whether pages are being saved: then the state of the devices has been, at the instant of the save. */
export function hasInstant({ status, ram }: MigrationInfo): boolean {
  return status === "completed" || (ram !== undefined && ram.normal + ram.duplicate > 0);
}

export interface SavingOptions {
  readonly clock: Clock;
  /** Ends only what a guest can do without. */
  readonly signal?: AbortSignal | undefined;
}

export class Saving {
  readonly #guest: Guest;
  readonly #spool: Spool;
  readonly #clock: Clock;
  readonly #undo = new Undo();
  readonly #signal: AbortSignal | undefined;
  #begun = false;
  #joined = 0;

  constructor(guest: Guest, spool: Spool, { clock, signal }: SavingOptions) {
    this.#guest = guest;
    this.#spool = spool;
    this.#clock = clock;
    this.#signal = signal;
  }

  /** Sets QEMU's migration to what this save needs, and notes how it was. Throws `vm_failed`, or `vm_refused` without rights. */
  async prepare(background: boolean): Promise<void> {
    const { qmp } = this.#guest;
    if (background) this.#undo.add("join the guest's huge pages again", async () => await this.#join());
    const before = await qmp.execute<readonly Capability[]>("query-migrate-capabilities");
    const set = async (capabilities: readonly Capability[]): Promise<unknown> =>
      capabilities.length === 0 ? undefined : await qmp.execute("migrate-set-capabilities", { capabilities });
    const wanted = ({ capability }: Capability): boolean => background && capability === "background-snapshot";
    const changed = before.filter((one) => !harmless.has(one.capability) && one.state !== wanted(one));
    this.#undo.add("put QEMU's migration capabilities back", async () => await set(changed));
    // Some exclude each other: first off, then on.
    await step(
      "set QEMU's migration capabilities",
      set(changed.filter(({ state }) => state).map((one) => ({ ...one, state: false }))),
    );
    const on = changed.filter(({ state }) => !state).map((one) => ({ ...one, state: true }));
    try {
      await set(on);
    } catch (error) {
      throw error instanceof QmpError ? noBackground(error) : error;
    }
    if (!background) await this.#liftLimit();
  }

  /** Begins to save. */
  async begin(): Promise<void> {
    this.#begun = true;
    try {
      await step("save the guest's memory", this.#guest.qmp.execute("migrate", { uri: this.#spool.uri }));
    } catch (error) {
      const reason = /State blocked by.*/.exec(toError(error).message)?.[0];
      throw reason === undefined ? error : cannotSave(reason);
    }
  }

  async state(): Promise<MigrationInfo> {
    return await queryMigration(this.#guest);
  }

  /**
   * Waits until the save has ended, however long it takes: one of a running guest must not be cancelled. Throws `vm_failed`
   * when it failed; the guest is free then. Returns at once when none was begun.
   */
  async ended(): Promise<void> {
    if (!this.#begun) return;
    for (let pause = 2; ; pause = Math.min(100, pause * 1.5)) {
      const info = await this.state();
      if (info.status === "completed") return;
      if (!isUnderWay(info)) {
        await this.free();
        throw failed(
          `QEMU could not save the guest's memory (${info["error-desc"] ?? info.status ?? "no reason given"})`,
        );
      }
      await this.#clock.sleep(pause);
    }
  }

  /** Breaks it off. Only while the guest stands still: then nothing of it is write-protected. */
  async cancel(): Promise<void> {
    await this.#guest.qmp.execute("migrate_cancel");
    while (isUnderWay(await this.state())) await this.#clock.sleep(2);
  }

  /** After a save of a guest that stands still, which has taken its disks from it. */
  async reactivateDisks(): Promise<void> {
    await step("use the disks after the save", activateDisks(this.#guest.qmp));
  }

  /** Frees the guest's memory from the protection that a failed save leaves behind. */
  async free(): Promise<void> {
    await rescueGuest(this.#guest.process.pid).catch(() => undefined);
  }

  /** Puts QEMU's settings and the guest's huge pages back; the save must have ended. Returns what failed. */
  async finish(): ReturnType<Undo["run"]> {
    return await this.#undo.run();
  }

  /** Bytes of memory to which `finish` has given huge pages back: QEMU looks at those far faster than it did before. */
  get joined(): number {
    return this.#joined;
  }

  async #join(): Promise<void> {
    if (this.#begun) this.#joined = await joinPages(this.#guest.process.pid, this.#signal);
  }

  async #liftLimit(): Promise<void> {
    const { qmp } = this.#guest;
    const before = await qmp.execute<{ readonly "max-bandwidth"?: number }>("query-migrate-parameters");
    const set = async (bandwidth: number): Promise<unknown> =>
      await qmp.execute("migrate-set-parameters", { "max-bandwidth": bandwidth });
    const limit = before["max-bandwidth"];
    if (limit !== undefined) this.#undo.add("put QEMU's migration limit back", async () => await set(limit));
    await step("lift QEMU's migration limit", set(unlimited));
  }
}

export function cannotSave(reason: string): Error {
  return refused(reason, "Replace what is in the way, or set `memory: false`.");
}

/** QEMU names the reason: the kernel, its rights, or the kind of memory. `rights` says what of its rights is lacking. */
export function noBackground(error: QmpError, rights?: string): Error {
  return refused(
    `its memory can't be saved while it runs: ${error.desc}${rights === undefined ? "" : ` (${rights})`}`,
    "See docs/vm.md: QEMU needs the right to use userfaultfd, and memory that isn't a file on a disk. Or set `memory: false`, or a `max_pause` that is long enough for saving it stopped.",
  );
}
