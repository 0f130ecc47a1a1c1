/**
 * Makes good what a capture has left in a guest when it was killed: before the next capture, at the daemon's start, and by the
 * watchdog at once (watchdog-main.ts). It does nothing to a guest in which nothing was left.
 *
 * Only one program at a time can use a QMP socket. So this can't get in the way of a capture that is under way: it waits for
 * the socket, in vain, and reports that.
 */
import { existsSync } from "node:fs";
import { describeError, type StillpointError } from "../../errors.ts";
import { type Clock, systemClock } from "../../host/clock.ts";
import { FaultWatch } from "../../qemu/fault-watch.ts";
import { findQemu, type QemuProcess } from "../../qemu/qmp-peer.ts";
import { Qmp } from "../../qemu/qmp.ts";
import { rescueGuest } from "../../qemu/userfaultfd.ts";
import { removeLeftFolders } from "./capture-folder.ts";
import type { Guest } from "./guest.ts";
import { GuestAgent } from "./guest-agent.ts";
import { type GuestRecord, readRecord, removeOldRecords, removeRecord, uptime } from "./guest-record.ts";
import { removeLeftovers } from "./leftovers.ts";
import { removeLeftSpools } from "./memory/spool.ts";
import { isUnderWay, type MigrationInfo, queryMigration } from "./saving.ts";
import { asProblem, failed } from "./trouble.ts";
import type { VmSource } from "./vm-source.ts";

export type ReconcileSource = Pick<VmSource, "qmp" | "spool" | "guestAgent">;

export interface ReconcileOptions {
  readonly clock?: Clock | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Reconciled {
  /** What was left and was made good, in words; empty when there was nothing. */
  readonly mended: readonly string[];
  readonly problems: readonly StillpointError[];
}

/** In ms: a guest that waits for a page that long waits for ever. */
const longestFault = 5000;
/** In ms, for an answer of QMP before a look at whether the guest is frozen. */
const answerWithin = 5000;

/** Throws `vm_unreachable` when the guest can't be spoken to; `cancelled`. Whatever else fails is among the problems. */
export async function reconcile(source: ReconcileSource, options: ReconcileOptions = {}): Promise<Reconciled> {
  const process = await findQemu(source.qmp);
  const work = new Reconciliation(source, process, options);
  await work.run();
  return work;
}

class Reconciliation implements Reconciled {
  readonly mended: string[] = [];
  readonly problems: StillpointError[] = [];
  readonly #source: ReconcileSource;
  readonly #process: QemuProcess;
  readonly #clock: Clock;
  readonly #signal: AbortSignal | undefined;
  readonly #faults: FaultWatch;

  constructor(source: ReconcileSource, process: QemuProcess, { clock = systemClock, signal }: ReconcileOptions) {
    this.#source = source;
    this.#process = process;
    this.#clock = clock;
    this.#signal = signal;
    this.#faults = new FaultWatch(process.pid);
  }

  async run(): Promise<void> {
    const { spool } = this.#source;
    const guest: Guest = { process: this.#process, qmp: await this.#connect() };
    try {
      const record = await readRecord(spool, this.#process);
      if (record) await this.#attempt("let the guest run again", async () => await this.#unpause(guest, record));
      await this.#attempt("end a save of the guest's memory", async () => await this.#endSave(guest, record));
      const left = await removeLeftovers(guest, this.#clock);
      this.mended.push(...left.removed);
      this.problems.push(...left.problems);
      await this.#attempt("put QEMU's migration settings back", async () => await this.#putBack(guest, record));
      await this.#attempt("remove files", async () => await this.#removeFiles());
      // A guest that still is as we left it is still owed something.
      if (this.problems.length === 0) await removeRecord(spool, this.#process);
    } finally {
      await guest.qmp.close();
    }
  }

  /** A guest that is frozen may not answer until it is rescued; another reason not to answer is another client. */
  async #connect(): Promise<Qmp> {
    const connect = async (): Promise<Qmp> =>
      await Qmp.connect(this.#source.qmp, { signal: this.#signal, timeout: answerWithin, clock: this.#clock });
    const watching = new AbortController();
    const watched = this.#watchFaults(watching.signal);
    try {
      return await connect();
    } catch (error) {
      watching.abort();
      if (!(await watched)) throw error;
    } finally {
      watching.abort();
      await watched;
    }
    return await connect();
  }

  /** Rescues the guest when it is frozen; says whether it was. */
  async #watchFaults(signal: AbortSignal): Promise<boolean> {
    let rescued = false;
    while (!signal.aborted) {
      rescued = (await this.#rescueFrozen(answerWithin - 1000)) || rescued;
      await this.#clock.sleep(500, signal).catch(() => undefined);
    }
    return rescued;
  }

  async #rescueFrozen(limit: number): Promise<boolean> {
    if ((await this.#faults.look(this.#clock.monotonic())) < limit) return false;
    return await this.#rescue();
  }

  async #rescue(): Promise<boolean> {
    const { ranges } = await rescueGuest(this.#process.pid);
    if (ranges > 0) this.mended.push("the guest's memory write-protected");
    return ranges > 0;
  }

  /** Lets the guest run if it was us who paused it, and thaws its file systems, which were frozen for the pause. */
  async #unpause(guest: Guest, record: GuestRecord): Promise<void> {
    if (!record.pausing) return;
    const { guestAgent } = this.#source;
    const { qmp } = guest;
    await cancelStopped(guest, this.#clock, this.#signal);
    const { status } = await qmp.execute<{ readonly status: string }>("query-status");
    if (pausedStates.has(status)) {
      if (await hasRunSince(qmp, record)) {
        throw failed(
          "The guest is paused, and has run since Stillpoint paused it: somebody else has paused it since",
          "Let it run (`cont`) if it should.",
        );
      }
      await qmp.execute("cont");
      this.mended.push("the guest paused");
    }
    if (guestAgent !== undefined) await thaw(guestAgent, this.#clock);
  }

  /** Waits for a save to end, since to cancel one of a running guest would freeze it; rescues the guest when it ended badly. */
  async #endSave(guest: Guest, record: GuestRecord | undefined): Promise<void> {
    let info: MigrationInfo = await queryMigration(guest);
    if (isUnderWay(info) && record === undefined) return; // Somebody else's.
    while (isUnderWay(info)) {
      await this.#rescueFrozen(longestFault);
      await this.#clock.sleep(100, this.#signal);
      info = await queryMigration(guest);
    }
    if (info.status !== "completed") await this.#rescue();
  }

  async #putBack(guest: Guest, record: GuestRecord | undefined): Promise<void> {
    const { qmp } = guest;
    if (isUnderWay(await queryMigration(guest))) return;
    const now = await qmp.execute<GuestRecord["capabilities"]>("query-migrate-capabilities");
    const changed = (record?.capabilities ?? unused).filter(({ capability, state }) =>
      now.some((one) => one.capability === capability && one.state !== state),
    );
    // Some exclude each other: first off, then on.
    for (const capabilities of [changed.filter(({ state }) => !state), changed.filter(({ state }) => state)]) {
      if (capabilities.length > 0) await qmp.execute("migrate-set-capabilities", { capabilities });
    }
    if (changed.length > 0) this.mended.push("QEMU's migration capabilities changed");
    const bandwidth = record?.bandwidth;
    if (bandwidth !== undefined) await qmp.execute("migrate-set-parameters", { "max-bandwidth": bandwidth });
  }

  async #removeFiles(): Promise<void> {
    const { spool } = this.#source;
    if (!existsSync(spool)) return;
    const removed = (await removeLeftSpools(spool)) + (await removeLeftFolders(spool));
    if (removed > 0) this.mended.push("spools and scratch files");
    await removeOldRecords(spool, this.#clock.now());
  }

  async #attempt(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.problems.push(asProblem(what, error));
    }
  }
}

/** Without a record: what a look at whether QEMU can do it may have left set, and nobody leaves so who isn't saving. */
const unused: GuestRecord["capabilities"] = [{ capability: "background-snapshot", state: false }];

/** As a stopped guest is called, and one whose stopped save is under way or has ended. */
const pausedStates = new Set(["paused", "finish-migrate", "postmigrate"]);

/** A save of a stopped guest can be cancelled; one of a running guest can't, and the guest must run again while it goes on. */
async function cancelStopped(guest: Guest, clock: Clock, signal: AbortSignal | undefined): Promise<void> {
  const { qmp } = guest;
  if (!isUnderWay(await queryMigration(guest))) return;
  const capabilities = await qmp.execute<GuestRecord["capabilities"]>("query-migrate-capabilities");
  if (capabilities.some(({ capability, state }) => capability === "background-snapshot" && state)) return;
  await qmp.execute("migrate_cancel");
  while (isUnderWay(await queryMigration(guest))) await clock.sleep(10, signal);
}

interface BlockStatistics {
  readonly stats: { readonly idle_time_ns?: number };
}

/** In seconds: what the guest had begun is written out while it is being stopped. */
const settling = 10;

/**
 * Whether the guest has used a disk since we paused it. Then somebody has let it run meanwhile; and if it stands still now, that
 * is somebody's will.
 */
async function hasRunSince(qmp: Qmp, record: GuestRecord): Promise<boolean> {
  const devices = await qmp.execute<readonly BlockStatistics[]>("query-blockstats");
  const idle = devices.map(({ stats }) => stats.idle_time_ns).filter((time) => time !== undefined);
  const lastUse = (await uptime()) - Math.min(...idle) / 1e9;
  return idle.length > 0 && lastUse > record.uptime + settling;
}

async function thaw(agentSocket: string, clock: Clock): Promise<void> {
  const agent = await GuestAgent.connect(agentSocket, clock);
  try {
    await agent.thaw();
  } finally {
    agent.close();
  }
}

/** For a log: what was left and is mended, and what isn't. */
export function describeReconciled({ mended, problems }: Reconciled): string {
  const left =
    mended.length === 0 ? "nothing was left in the guest" : `left in the guest, and made good: ${mended.join(", ")}`;
  return [left, ...problems.map((problem) => describeError(problem))].join("; ");
}
