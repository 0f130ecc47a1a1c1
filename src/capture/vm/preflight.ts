/**
 * What must be true of a guest before anything of it is touched. QEMU checks some of this too late (it may abort with the
 * guest), or not at all, depending on its version.
 */
import { type Qmp, QmpError } from "../../qemu/qmp.ts";
import { mayWriteProtect } from "../../qemu/write-protect-rights.ts";
import type { Disk } from "./disks.ts";
import { requireFilterable, requireMainThread, requirePlainDevices } from "./devices.ts";
import type { Guest } from "./guest.ts";
import { cannotSave, isUnderWay, noBackground, queryMigration } from "./saving.ts";
import { refused, step } from "./trouble.ts";
import type { VmSource } from "./vm-source.ts";

export interface Fitness {
  /** How memory can be saved: while the guest runs, only while it stands still, or not at all, as it isn't wanted. */
  readonly memory: "background" | "stopped" | "none";
  /** Bytes of all RAM and ROM; 0 when memory isn't wanted. */
  readonly ram: number;
  /** Whether somebody else has paused it. */
  readonly paused: boolean;
}

/** Bytes per ms at which a stopped guest's memory is saved at least. */
const stoppedSpeed = 400_000;

/** Throws `vm_refused` with the reason, or `vm_failed`. Nothing in the guest has changed then. */
export async function examine(guest: Guest, source: VmSource, disks: readonly Disk[]): Promise<Fitness> {
  const { qmp } = guest;
  const paused = await requireState(qmp, source.memory);
  await requireIdle(guest);
  for (const disk of disks) await requireFilterable(qmp, disk);
  await requireMainThread(qmp, disks);
  if (!source.memory) return { memory: "none", ram: 0, paused };
  await requirePlainDevices(qmp);
  await requireUnblocked(guest);
  const ram = await ramSize(qmp);
  const obstacle = await backgroundObstacle(qmp);
  if (obstacle === undefined) return { memory: "background", ram, paused };
  if (ram / stoppedSpeed > source.maxPause)
    throw noBackground(obstacle, await mayWriteProtect(guest.process, qmp.version));
  return { memory: "stopped", ram, paused };
}

/**
 * With memory only a running guest: QEMU 7.2 lets a paused one run on when its memory is saved, and in the states before a
 * guest runs it aborts.
 */
async function requireState(qmp: Qmp, memory: boolean): Promise<boolean> {
  const { status } = await step("ask for the guest's state", qmp.execute<{ readonly status: string }>("query-status"));
  if (status === "running") return false;
  if (status === "paused" && !memory) return true;
  const next =
    status === "paused"
      ? "Let it run (`cont`), or set `memory: false`."
      : "Capture it when it runs: see what QEMU's `query-status` means by this state.";
  throw refused(`its state is \`${status}\``, next);
}

/** What QEMU itself knows to be in the way of any save. It tells of devices only when they are saved: see `Saving.begin`. */
async function requireUnblocked(guest: Guest): Promise<void> {
  const [reason] = (await queryMigration(guest))["blocked-reasons"] ?? [];
  if (reason !== undefined) throw cannotSave(reason);
}

/** Others at work on the same guest would be disturbed, and would disturb. */
async function requireIdle(guest: Guest): Promise<void> {
  const { qmp } = guest;
  if (isUnderWay(await queryMigration(guest))) {
    throw refused("a migration or a save of it is under way", "Wait for its end.");
  }
  const jobs = await qmp.execute<readonly { readonly id: string; readonly type: string }[]>("query-jobs");
  const [job] = jobs;
  if (job !== undefined) {
    throw refused(`the block job ${job.id} (${job.type}) is under way`, "Wait for its end, or cancel it.");
  }
  const [foreign] = await qmp.execute<readonly { readonly id: string }[]>("query-block-exports");
  if (foreign !== undefined) {
    throw refused(`somebody else exports its disks (${foreign.id})`, "End that export: QEMU has one NBD server only.");
  }
}

/** What QEMU has against saving memory while the guest runs: it looks at rights, kernel and memory when it is asked to. */
async function backgroundObstacle(qmp: Qmp): Promise<QmpError | undefined> {
  const set = async (state: boolean): Promise<unknown> =>
    await qmp.execute("migrate-set-capabilities", { capabilities: [{ capability: "background-snapshot", state }] });
  try {
    await set(true);
  } catch (error) {
    if (!(error instanceof QmpError)) throw error;
    // Other capabilities that are set may be all it minds; those are taken away for the time of a save.
    return /not compatible with (?!guest memory)/.test(error.desc) ? undefined : error;
  }
  await set(false);
  return undefined;
}

/** What QMP tells of RAM leaves out video memory and ROM; the human monitor lists all blocks. */
async function ramSize(qmp: Qmp): Promise<number> {
  const blocks = await qmp.hmp("info ramblock");
  const used = [...blocks.matchAll(/0x[0-9a-f]+\s+(0x[0-9a-f]+)\s+0x[0-9a-f]+\s*$/gm)].map((match) => Number(match[1]));
  const summary =
    await qmp.execute<Record<"base-memory" | "plugged-memory", number | undefined>>("query-memory-size-summary");
  const main = (summary["base-memory"] ?? 0) + (summary["plugged-memory"] ?? 0);
  return Math.max(
    main,
    used.reduce((sum, size) => sum + size, 0),
  );
}
