/**
 * Restores a recovery point to a path that must not exist yet.
 *
 * The work is done beside it, under a name of its own that depends on the point and on what is selected, and renamed when it
 * is complete. Cut off, it goes on where it was when the same restore is begun again: what is there already is recognised by
 * the ids of its content, not by its look. When something is damaged, the rest is restored, the working name is kept and
 * the report says what is missing: a later restore, after a repair or from a replica, fetches just that. It is itself that later
 * restore, once, when a sweep has moved blobs meanwhile. See docs/decisions/0013-damaged-restore.md.
 */
import { createHash } from "node:crypto";
import { lstatSync, renameSync } from "node:fs";
import * as path from "node:path";
import { isStillpointError, StillpointError } from "../errors.ts";
import { errnoOf } from "../host/files.ts";
import { BlobStore } from "../repository/blobs/blob-store.ts";
import type { ExecutorFactory } from "../repository/threads/executor.ts";
import type { DirectoryPart, Part, RecoveryPoint } from "../repository/points/manifest.ts";
import type { DirectoryEntry } from "../repository/tree/directory-tree.ts";
import { WriteSession } from "../repository/blobs/write-session.ts";
import { findEntry } from "./browse.ts";
import { orDamaged } from "./pieces.ts";
import { isFar } from "../storage/is-far.ts";
import { type RestoreReport, RestoreTally } from "./report.ts";
import { restoreContent } from "./restore-content.ts";
import { TreeRestore } from "./restore-tree.ts";
import { everything, selectPaths, stepsBelow } from "./selection.ts";
import { targetFailure } from "./target-failure.ts";
import { TaskPool } from "./task-pool.ts";
import { type MachineOptions, restoreMachine } from "./vm/restore-machine.ts";

export interface RestoreOptions {
  /** A loaded repository: the primary or any replica. */
  readonly store: BlobStore;
  readonly executor: ExecutorFactory;
  readonly point: RecoveryPoint;
  /** Becomes the folder itself, or the image or stream as a file; a virtual machine is a folder too. */
  readonly target: string;
  /** Only these paths of a directory, relative to it or absolute, as on the host; all when there are none. */
  readonly paths?: readonly string[] | undefined;
  /** Whether the target gets its name although something in it is damaged. */
  readonly keepGoing?: boolean | undefined;
  /** Of a virtual machine's disks; raw by default. */
  readonly format?: MachineOptions["format"] | undefined;
  /** Of a virtual machine: whether its networks lead to where they did; isolated by default. */
  readonly network?: MachineOptions["network"] | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Bytes in place, and bytes in all as far as it is known. */
  readonly progress?: ((progress: { readonly done: number; readonly total: number | undefined }) => void) | undefined;
}

/** Of files, in bytes, what is restored at once from a far storage: threads have what is read for it in memory, where it waits. */
const mostFromFar = 96 * 1024 * 1024;

/**
 * Damage doesn't make it throw: see the report's `complete`.
 *
 * Throws `target_exists`, `target_failed`, `not_found` (a path that isn't in the point), `usage`, `cancelled`, or a storage error.
 */
export async function restorePoint(options: RestoreOptions): Promise<RestoreReport> {
  const { point, store, signal } = options;
  const target = path.resolve(options.target);
  const [part] = point.manifest.parts;
  if (part === undefined) throw new StillpointError("damaged", { what: `The recovery point ${point.id} has no parts` });
  const paths = options.paths ?? [];
  const isMachine = point.manifest.kind === "vm";
  if (isMachine || part.kind !== "directory") refuseSelection(isMachine ? "virtual machine" : part.kind, paths);
  refuseExisting(target);
  const whole = paths.length === 0 || part.kind !== "directory";
  const total = whole ? point.manifest.statistics.size : await sizeOfSelection(options, part, new Set(paths));
  const place = workingName(target, point, isMachine ? [options.format ?? "raw"] : paths);
  const keepGoing = options.keepGoing === true;
  try {
    let tally = await attempt(options, { store, part, place, total, keepGoing: false });
    const { bytesInPlace } = tally;
    if (tally.damaged.length > 0) {
      const moved = await reloadIfMoved(store, signal);
      // What is damaged of a machine keeps its disks from being converted, unless it is to be finished all the same.
      if (moved !== undefined || (keepGoing && isMachine))
        tally = await attempt(options, { store: moved ?? store, part, place, total, keepGoing });
    }
    const finished = tally.damaged.length === 0 || keepGoing;
    if (finished) finish(place, target);
    return { ...tally.finish(finished ? target : place), bytesInPlace };
  } catch (error) {
    throw targetFailure(target, error);
  }
}

interface Attempt {
  readonly store: BlobStore;
  /** The first, or the only one. */
  readonly part: Part;
  /** What is there already is used. */
  readonly place: string;
  /** In bytes, as far as it is known. */
  readonly total: number | undefined;
  readonly keepGoing: boolean;
}

async function attempt(
  options: RestoreOptions,
  { store, part, place, total, keepGoing }: Attempt,
): Promise<RestoreTally> {
  const { point, signal, paths = [] } = options;
  const tally = new RestoreTally();
  // A session is what starts threads; nothing is ever written through this one.
  const session = new WriteSession(store, options.executor, signal);
  try {
    let done = 0;
    const advance = (bytes: number): void => {
      done += bytes;
      options.progress?.({ done, total });
    };
    const context = {
      reader: store.reader,
      pool: new TaskPool(session, isFar(store.repository.address) ? mostFromFar : Number.POSITIVE_INFINITY),
      tally,
      signal,
      advance,
      resumed: isLeft(place),
    };
    if (point.manifest.kind === "vm") {
      const { format = "raw", network = "isolated" } = options;
      const problem = await restoreMachine(context, point, place, { format, network, keepGoing });
      if (problem !== undefined) tally.problems.push(problem);
    } else await restorePart(context, part, Buffer.from(place), paths);
    return tally;
  } finally {
    await session.close();
  }
}

/** The repository as it is now, if packs are gone that it had: a sweep moves blobs to others, and deletes them. */
async function reloadIfMoved(store: BlobStore, signal: AbortSignal | undefined): Promise<BlobStore | undefined> {
  try {
    const now = await BlobStore.load(store.repository, { signal, onDamage: () => undefined });
    return [...store.present.keys()].every((id) => now.present.has(id)) ? undefined : now;
  } catch (error) {
    // What kept blobs from being read says more than what keeps the repository from being looked at.
    if (!isStillpointError(error) || error.code === "cancelled") throw error;
    return undefined;
  }
}

type Context = ConstructorParameters<typeof TreeRestore>[0];

async function restorePart(context: Context, part: Part, place: Buffer, paths: readonly string[]): Promise<void> {
  if (part.kind === "directory") {
    await new TreeRestore(context).run(part, place, paths.length === 0 ? everything : selectPaths(part.path, paths));
    return;
  }
  context.tally.files += 1;
  await restoreContent(context, part, { path: place, relative: Buffer.alloc(0), sparse: true });
  await context.pool.drain();
}

function refuseSelection(kind: string, paths: readonly string[]): void {
  if (paths.length === 0) return;
  throw new StillpointError("usage", {
    what: `Cannot restore single paths of this recovery point: it is one ${kind}, not a directory`,
    next: "Leave out --path to restore all of it.",
  });
}

/**
 * Bytes of single files; undefined when there are folders among them, or what can't be read on the way, which is for the restore to
 * report. Throws `not_found` for a path that is mistyped, before anything is made for it.
 */
async function sizeOfSelection(
  { store, point, signal }: RestoreOptions,
  part: DirectoryPart,
  paths: ReadonlySet<string>,
): Promise<number | undefined> {
  const files: DirectoryEntry[] = [];
  for (const wanted of paths) {
    const steps = stepsBelow(part.path, wanted);
    const entry = await orDamaged(async () => await findEntry(store.reader, point, part, steps, { signal }));
    if (typeof entry !== "string" && entry.type !== "directory") files.push(entry);
  }
  return files.length < paths.size ? undefined : files.reduce((sum, { size = 0 }) => sum + size, 0);
}

function refuseExisting(target: string): void {
  if (!isLeft(target)) return;
  throw new StillpointError("target_exists", {
    what: `Cannot restore to ${target}: it exists already`,
    safe: "Nothing was changed.",
    next: "Name a path that doesn't exist, or move away what is there.",
  });
}

/** The same for the same restore (`what` is asked for of the point), so that it is found again. */
function workingName(target: string, point: RecoveryPoint, what: readonly string[]): string {
  const digest = createHash("sha256")
    .update(JSON.stringify([point.digest, [...what].sort()]))
    .digest("hex");
  return `${target}.partial-${digest.slice(0, 8)}`;
}

/** Whether something is there. Throws `target_failed` when that can't be found out. */
function isLeft(place: string): boolean {
  try {
    lstatSync(place);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw targetFailure(place, error);
  }
}

/** Someone may have made the target meanwhile: a rename would replace a file, or an empty folder, in silence. */
function finish(place: string, target: string): void {
  refuseExisting(target);
  renameSync(place, target);
}
