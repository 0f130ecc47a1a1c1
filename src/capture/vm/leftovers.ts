/**
 * What a capture puts into a guest (points.ts, scratch.ts, bitmaps.ts), found again by the names and removed, in the reverse order
 * of the making. Bitmaps with names that a manifest may know stay: the next capture knows which.
 */
import type { StillpointError } from "../../errors.ts";
import type { Clock } from "../../host/clock.ts";
import { listeningPaths } from "../../qemu/qmp-peer.ts";
import type { Qmp } from "../../qemu/qmp.ts";
import type { Guest } from "./guest.ts";
import { asProblem, failed } from "./trouble.ts";

/** Of everything that we name in a guest. */
const prefix = "stillpoint-";
const filterPattern = /^stillpoint-cbw-\d+$/;
/** A copy of a bitmap that was made for reading. */
const copiedBitmap = "stillpoint-changes";
/** Our sockets for NBD lie in a capture's folder. */
const socketPattern = /\/\.stillpoint-capture-[^/]+\/nbd\.sock$/;
/** Nodes that read through a filter. While there are any, a device can't be connected past it. */
const readers = [/-access-/];
/** Of the other nodes, each kind before the next, which it uses. */
const layers = [/-cbw-/, /-scratch-\d/, /-scratch-file-/];
/** In ms, for QEMU to end an export or a job that it was told to end. */
const patience = 10_000;

interface NamedNode {
  readonly "node-name"?: string;
  readonly "dirty-bitmaps"?: readonly { readonly name?: string; readonly busy: boolean }[];
}

export interface Leftovers {
  /** What was there, in words. */
  readonly removed: readonly string[];
  /** What failed; nothing is tried again. */
  readonly problems: readonly StillpointError[];
}

/** Removes all of it, as far as it can. */
export async function removeLeftovers(guest: Guest, clock: Clock): Promise<Leftovers> {
  const { qmp } = guest;
  const steps: readonly [string, () => Promise<number>][] = [
    ["block jobs", async () => await endJobs(qmp, clock)],
    ["exports", async () => await endExports(qmp, clock)],
    ["NBD servers", async () => await stopServer(guest)],
    ["readable points", async () => await removeNodes(qmp, readers)],
    ["filters of disks", async () => await disconnectFilters(qmp)],
    ["block nodes", async () => await removeNodes(qmp, layers)],
    ["copies of bitmaps", async () => await removeCopies(qmp)],
  ];
  const removed: string[] = [];
  const problems: StillpointError[] = [];
  for (const [what, work] of steps) {
    try {
      if ((await work()) > 0) removed.push(what);
    } catch (error) {
      problems.push(asProblem(`remove what an earlier capture left: ${what}`, error));
    }
  }
  return { removed, problems };
}

interface Job {
  readonly id: string;
  readonly status: string;
}

async function endJobs(qmp: Qmp, clock: Clock): Promise<number> {
  const own = async (): Promise<Job[]> =>
    (await qmp.execute<readonly Job[]>("query-jobs")).filter(({ id }) => id.startsWith(prefix));
  const found = await own();
  for (const { id, status } of found) {
    if (status !== "concluded") await qmp.execute("job-cancel", { id });
  }
  await until(clock, "a job has ended", async () => {
    const jobs = await own();
    for (const { id, status } of jobs) if (status === "concluded") await qmp.execute("job-dismiss", { id });
    return jobs.length === 0;
  });
  return found.length;
}

interface BlockExport {
  readonly id: string;
  readonly "shutting-down": boolean;
}

async function endExports(qmp: Qmp, clock: Clock): Promise<number> {
  const own = async (): Promise<BlockExport[]> =>
    (await qmp.execute<readonly BlockExport[]>("query-block-exports")).filter(({ id }) => id.startsWith(prefix));
  const found = await own();
  for (const { id, "shutting-down": ending } of found) {
    if (!ending) await qmp.execute("block-export-del", { id, mode: "hard" });
  }
  await until(clock, "an export has ended", async () => (await own()).length === 0);
  return found.length;
}

/** QEMU has one server at most and doesn't say whose it is, but its socket does. */
async function stopServer({ qmp, process }: Guest): Promise<number> {
  const paths = await listeningPaths(process.pid);
  if (!paths.some((path) => socketPattern.test(path))) return 0;
  await qmp.execute("nbd-server-stop");
  return 1;
}

interface BlockInfo {
  readonly qdev?: string;
  readonly inserted?: { readonly "node-name": string };
}

interface BlockGraph {
  readonly nodes: readonly { readonly id: number; readonly name: string }[];
  readonly edges: readonly { readonly parent: number; readonly child: number; readonly name: string }[];
}

async function disconnectFilters(qmp: Qmp): Promise<number> {
  const devices = await qmp.execute<readonly BlockInfo[]>("query-block");
  const filtered = devices.filter(({ inserted }) => filterPattern.test(inserted?.["node-name"] ?? ""));
  if (filtered.length === 0) return 0;
  // Called experimental, and there since QEMU 4.0: nothing else says what is below a filter.
  const { nodes, edges } = await qmp.execute<BlockGraph>("x-debug-query-block-graph");
  for (const { qdev = "", inserted } of filtered) {
    const filter = nodes.find(({ name }) => name === inserted?.["node-name"]);
    const below = edges.find(({ parent, name }) => parent === filter?.id && name === "file");
    const disk = nodes.find(({ id }) => id === below?.child);
    if (disk === undefined) throw failed(`There is no disk below the filter of ${qdev}`);
    const path = qdev.startsWith("/") ? qdev : `/machine/peripheral/${qdev}`;
    await qmp.execute("qom-set", { path, property: "drive", value: disk.name });
  }
  return filtered.length;
}

async function removeNodes(qmp: Qmp, order: readonly RegExp[]): Promise<number> {
  const names = (await listNodes(qmp)).map((node) => node["node-name"] ?? "").filter((name) => name.startsWith(prefix));
  const found = order.flatMap((pattern) => names.filter((name) => pattern.test(name)));
  for (const name of found) await qmp.execute("blockdev-del", { "node-name": name });
  return found.length;
}

async function removeCopies(qmp: Qmp): Promise<number> {
  let removed = 0;
  for (const { "node-name": node, "dirty-bitmaps": bitmaps = [] } of await listNodes(qmp)) {
    if (!bitmaps.some(({ name, busy }) => name === copiedBitmap && !busy)) continue;
    await qmp.execute("block-dirty-bitmap-remove", { node, name: copiedBitmap });
    removed += 1;
  }
  return removed;
}

async function listNodes(qmp: Qmp): Promise<readonly NamedNode[]> {
  return await qmp.execute<readonly NamedNode[]>("query-named-block-nodes", { flat: true });
}

async function until(clock: Clock, what: string, condition: () => Promise<boolean>): Promise<void> {
  for (const late = clock.monotonic() + patience; !(await condition()); await clock.sleep(20)) {
    if (clock.monotonic() > late) throw failed(`QEMU took longer than ${String(patience / 1000)} s until ${what}`);
  }
}
