/** The source kind `directory`: a folder with everything in it. See docs/decisions/0011-directory-instant.md. */
import { lstatSync, realpathSync, type BigIntStats } from "node:fs";
import { relative } from "node:path";
import { StillpointError } from "../../errors.ts";
import { systemClock } from "../../host/clock.ts";
import { throwIfCancelled } from "../../host/cancel.ts";
import { errnoOf } from "../../host/files.ts";
import { syscallsAvailable } from "../../host/syscalls.ts";
import type { DirectoryPart, LeftOut } from "../../repository/points/manifest.ts";
import type { CaptureContext, Captured } from "../capture.ts";
import { tick } from "../tick.ts";
import { DirectoryWalk } from "./directory-walk.ts";
import { makeEntry } from "./entry.ts";
import { Folder, mostLeftOut } from "./folder.ts";
import { readXattrs } from "./read-xattrs.ts";

export interface DirectorySource {
  readonly path: string;
  /** See exclude.ts. */
  readonly exclude?: readonly string[] | undefined;
  /** Absolute paths of folders that are never captured: Stillpoint's own. */
  readonly leaveOut?: readonly string[] | undefined;
  /** Whether folders on other file systems stay empty. By default true. */
  readonly oneFileSystem?: boolean | undefined;
  /** Called before each look at what changed meanwhile: for tests, which change something just then. */
  readonly beforePass?: ((pass: number) => void | Promise<void>) | undefined;
}

/** How often what changed meanwhile is read again before the capture gives up on one instant. */
const mostRepeats = 5;
/** What was last changed that shortly before the previous capture began, in ms, is read again. Some file systems stamp to 2 s. */
const distrust = 2000;

/**
 * Captures a folder. Consistency is `crash` when there was an instant, the point's, at which everything was as captured;
 * else `none`. What can't be read is left out and named.
 *
 * Throws `source_missing`, `source_denied`, `cancelled`, or a storage error.
 */
export async function captureDirectory(context: CaptureContext, source: DirectorySource): Promise<Captured> {
  const path = resolve(source.path);
  const started = context.clock.now();
  const root = new Folder(path);
  const walk = new DirectoryWalk({
    context,
    root,
    exclude: [...(source.exclude ?? []), ...ownFolders(source)],
    oneFileSystem: source.oneFileSystem ?? true,
    device: look(source.path, path).dev,
    known: knownOf(context, source),
  });
  await captureAll(walk, root, source.path);
  const settled = await settle(context, source, walk, root);
  return {
    parts: [describe(source.path, path, settled.stats, root)],
    instant: settled.instant ?? started,
    consistency: settled.instant === undefined ? "none" : "crash",
    size: sum(root, (folder) => folder.size),
    read: walk.read,
    ...leftOut(root),
    ...(settled.changing > 0 && { unsettled: settled.changing }),
  };
}

interface Settled {
  /** When everything was as captured, in ms since the epoch; undefined when that can't be said of any instant. */
  readonly instant: number | undefined;
  /** Folders in which something changed even in the last pass. */
  readonly changing: number;
  /** The source's own folder. */
  readonly stats: BigIntStats;
}

/**
 * Looks at everything again; what changed is captured again, and so on until nothing did. Then each thing was captured
 * before the last look began and seen unchanged after it, so that all was as captured when it began: the double collect
 * of Afek et al., "Atomic Snapshots of Shared Memory" (J. ACM, 1993).
 */
async function settle(
  context: CaptureContext,
  source: DirectorySource,
  walk: DirectoryWalk,
  root: Folder,
): Promise<Settled> {
  for (let pass = 1; ; pass++) {
    throwIfCancelled(context.signal);
    await source.beforePass?.(pass);
    const stats = look(source.path, root.path);
    const instant = context.clock.now();
    const below = await walk.verify();
    const changing = below > 0 || isSame(look(source.path, root.path), stats) ? below : 1;
    if (changing === 0) return { instant, changing, stats };
    // Reading everything more than once again, or ever again, would only wear out the source.
    const worn = walk.read > 2 * sum(root, (folder) => folder.size) + freeRereads;
    if (pass > mostRepeats || worn) return { instant: undefined, changing, stats };
    // Changes from now on get a time that differs from that of what was captured. The kernel's clock, whatever the tests' is.
    await systemClock.sleep(2 * tick, context.signal);
    await context.session.finish(); // So that the folders just written can be read.
    await captureAll(walk, root, source.path);
  }
}

/** Without the source's own folder there is no point; a folder below it that can't be read is left out. */
async function captureAll(walk: DirectoryWalk, root: Folder, path: string): Promise<void> {
  await walk.capture();
  const { failure } = root;
  if (failure !== undefined)
    throw unreadable(path, Object.assign(new Error(failure), { code: failure, syscall: "scandir" }));
}

/** Bytes that may be read again without asking how large the source is. */
const freeRereads = 64 * 1024 * 1024;

/** As patterns for exactly these folders. */
function ownFolders({ path, leaveOut = [] }: DirectorySource): string[] {
  return leaveOut.map((folder) => `/${relative(path, folder).replaceAll(/[*?[]/g, "[$&]")}`);
}

/** Relies on nothing that another folder's capture left. */
function knownOf(context: CaptureContext, source: DirectorySource): { known: string | undefined; trustBefore: number } {
  const manifest = context.previous?.manifest;
  const part = manifest?.parts.find((one) => one.kind === "directory" && one.path === source.path);
  if (manifest === undefined || part?.kind !== "directory") return { known: undefined, trustBefore: 0 };
  // A point from the future tells of a clock that was set back: then nothing recent is trusted.
  const started = Math.min(Date.parse(manifest.started), context.clock.now());
  return { known: part.entry.tree, trustBefore: started - distrust };
}

function describe(path: string, real: Buffer, stats: BigIntStats, root: Folder): DirectoryPart {
  const entry = makeEntry(undefined, "directory", stats, {
    tree: root.tree,
    xattrs: readXattrs(real),
  });
  return { name: "directory", kind: "directory", path, entry: entry as DirectoryPart["entry"] };
}

function leftOut(root: Folder): Pick<Captured, "leftOut" | "leftOutCount"> {
  const all: LeftOut[] = [];
  if (!syscallsAvailable())
    all.push({ path: "", reason: "extended attributes and ACLs can't be read with this version of Node" });
  const extra = all.length;
  for (const folder of root.all()) if (all.length < mostLeftOut) all.push(...folder.leftOut);
  return { leftOut: all.slice(0, mostLeftOut), leftOutCount: sum(root, (folder) => folder.leftOutCount) + extra };
}

function sum(root: Folder, of: (folder: Folder) => number): number {
  let total = 0;
  for (const folder of root.all()) total += of(folder);
  return total;
}

/** The folder itself, when the source names a symbolic link. */
function resolve(path: string): Buffer {
  try {
    return realpathSync(path, { encoding: "buffer" });
  } catch (error) {
    throw unreadable(path, error);
  }
}

function look(name: string, path: Buffer): BigIntStats {
  let stats: BigIntStats;
  try {
    stats = lstatSync(path, { bigint: true });
  } catch (error) {
    throw unreadable(name, error);
  }
  if (stats.isDirectory()) return stats;
  throw new StillpointError("source_missing", {
    what: `Cannot capture ${name}: it isn't a folder`,
    safe: "Earlier recovery points are untouched.",
    next: "Correct the source's path.",
  });
}

function isSame(one: BigIntStats, other: BigIntStats): boolean {
  return (
    one.ino === other.ino && one.dev === other.dev && one.ctimeNs === other.ctimeNs && one.mtimeNs === other.mtimeNs
  );
}

function unreadable(path: string, cause: unknown): StillpointError {
  const denied = ["EACCES", "EPERM"].includes(errnoOf(cause) ?? "");
  return new StillpointError(denied ? "source_denied" : "source_missing", {
    what: `Cannot capture ${path}: ${denied ? "it can't be read with the rights of this process" : "it isn't there"}`,
    safe: "Earlier recovery points are untouched.",
    next: denied ? "Run Stillpoint with the rights to read it." : "Correct the source's path, or bring it back.",
    cause,
  });
}
