/** What a sweep would do, and why: reads only (docs/format.md section 11). */
import { throwIfCancelled } from "../../host/cancel.ts";
import type { Files } from "../../host/files.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { BlobStore } from "../blobs/blob-store.ts";
import { type Catalog, type CatalogPoint, loadCatalog } from "../points/catalog.ts";
import { type PackInfo, packName } from "../blobs/pack.ts";
import { type Pin, type Pins, readPins } from "../locks/pins.ts";
import type { MarkSet } from "../mark/mark-set.ts";
import type { Repository } from "../repository.ts";
import { planAdoption } from "./adoption.ts";
import { bytesOf, chooseRewrites, freeSpace, liveBytesOf, type RewriteLimits } from "./choose-rewrites.ts";
import { planCleanup } from "./cleanup.ts";
import { markInUse } from "./mark-in-use.ts";
import { keepOnlyCopies } from "./only-copies.ts";
import { dateRecords, type DatedRecord, dueTimes, isDecided, namedPacks, type Visit } from "./records.ts";
import { requireExplained } from "./safety.ts";
import { type IndexUse, measureUsage, openOrphans, type PackUse, type Usage } from "./usage.ts";

export interface SweepPlanOptions extends CallOptions, Visit {
  /** Ids of points known to be lost for good: their absence, or their damaged manifests, don't keep the sweep from its work. */
  readonly acceptLost?: ReadonlySet<string> | undefined;
  readonly limits?: SweepLimits | undefined;
  /** Asked how much is free, where the repository is in a folder. */
  readonly files?: Pick<Files, "freeSpace"> | undefined;
  /** Called now and then, and awaited: renews the lease. */
  readonly onProgress?: () => Promise<void>;
  readonly onStep?: OnStep | undefined;
}

/**
 * Told what a sweep is at, and how far: how many blobs are marked, how many packs are deleted, how many bytes of packs are rewritten.
 * The total of blobs is a guess: those that are stored, in use or not.
 */
export type OnStep = (step: "marking" | "deleting" | "rewriting", done: number, total: number) => void;

/** From when on rewriting is worth it, and how much. */
export interface SweepLimits extends RewriteLimits {
  /** As for packs: the bytes of a small index object, and how many are joined. */
  readonly smallIndex: number;
  readonly smallIndexes: number;
  /** Where nobody can tell how much is free, rewriting may add as many bytes as the sweep deletes, and this many in any case. */
  readonly leastRoom: number;
}

export const usualLimits: SweepLimits = {
  share: 0.6,
  smallPack: 4 * 1024 * 1024,
  smallPacks: 8,
  smallIndex: 256 * 1024,
  smallIndexes: 32,
  leastRoom: 1024 ** 3,
};

export interface SweepPlan {
  /** Ids of all points seen. */
  readonly points: readonly string[];
  /** Blobs in use, and the sealed bytes of those that are in packs. */
  readonly blobs: number;
  readonly bytesInUse: number;
  /** Blobs in use that nobody finds, as far as a sweep sees: they are in no pack, or in a damaged one that no index names. */
  readonly unreadable: number;
  /** Named by a record long enough, and not in use: deleted now. */
  readonly remove: readonly PackUse[];
  /** Not in use: named in the new record. */
  readonly condemn: readonly PackUse[];
  /** The same, of packs in no index. */
  readonly orphans: readonly PackUse[];
  /** Their blobs in use are copied to new packs, then they are named in a record of their own. */
  readonly rewrite: readonly PackUse[];
  /** In no index, though in use, and whole: indexed. */
  readonly adopt: readonly PackInfo[];
  readonly kept: readonly KeptPacks[];
  /** Index objects replaced by ones without the packs deleted, now or while they were locked, or joined; and those that say nothing new. */
  readonly replaceIndexes: readonly IndexUse[];
  /** Whether a record is written, before anything is rewritten. */
  readonly writeRecord: boolean;
  /** Small objects that nobody needs any more: deleted after the record was written, in these steps, each over before the next begins. */
  readonly cleanup: readonly (readonly string[])[];
  /** When the next visit may delete something, by the store's clock, in ms since the epoch; undefined when nothing waits. */
  readonly nextVisit: number | undefined;
}

/** Packs that aren't deleted though not all of them is in use, and why. */
export interface KeptPacks {
  readonly reason: "needed-again" | "waiting" | "young" | "locked";
  readonly packs: number;
  readonly bytes: number;
  /** Of the reason `locked`: when the last of the locks ends, in ms since the epoch by the store's clock. */
  readonly until?: number;
}

/** A plan, with what its execution needs. */
export interface PlannedSweep {
  readonly plan: SweepPlan;
  readonly catalog: Catalog;
  readonly store: BlobStore;
  readonly marks: MarkSet;
  readonly usage: Usage;
  /** What is locked; undefined where nothing can be. */
  readonly pins: Pins | undefined;
}

/**
 * Points are listed before packs: what a point needs is there before the point is.
 *
 * @throws StillpointError `sweep_unsafe` or `damaged` when anything isn't as it should be; a storage error; `cancelled`.
 */
export async function planSweep(repository: Repository, options: SweepPlanOptions): Promise<PlannedSweep> {
  const { signal, onProgress, acceptLost = new Set<string>() } = options;
  // Without memory: what is stored is what counts.
  const catalog = await loadCatalog({ ...repository, memory: undefined }, { signal });
  const store = await BlobStore.load(repository, { signal });
  const records = await dateRecords(store, { signal });
  await requireExplained(repository, { catalog, records, acceptLost, signal });
  const orphans = await openOrphans(store, { signal });
  const expected = store.index.count;
  const onMarked = async (marked: number): Promise<void> => {
    options.onStep?.("marking", marked, expected);
    await onProgress?.();
  };
  const { marks, missing } = await markInUse(store, catalog.points, { signal, expected, onProgress: onMarked });
  const named = new Set(records.flatMap(({ record }) => namedPacks(record)));
  const usage = await measureUsage({ store, marks, orphans, named, signal });
  const { locks } = repository.storage;
  const pins = locks === undefined ? undefined : await readPins(repository, locks, { signal });
  const locked = pins?.objects ?? noPins;
  const due = dueTimes(records);
  await keepOnlyCopies({ store, usage, named, remove: removable(options.now, due, usage, locked), onProgress, signal });
  throwIfCancelled(signal);
  const free = await freeSpace(repository, options.files);
  const decided = decide({ ...options, free }, due, usage, locked);
  const { adopt, damaged } = await planAdoption(repository, usage, { onProgress, signal });
  const plan = {
    ...decided,
    adopt,
    unreadable: damaged.reduce((blobs, { liveBlobs }) => blobs + liveBlobs, missing),
    ...summary(catalog.points, marks, usage),
    writeRecord: needsRecord(catalog.points, decided, records, options),
  };
  const cleanup = await planCleanup(repository, {
    catalog,
    records,
    newRecord: plan.writeRecord,
    now: options.now,
    grace: options.grace,
    acceptLost,
    signal,
  });
  const unlocked = cleanup.map((step) => step.filter((name) => !locked.has(name)));
  return { plan: { ...plan, cleanup: unlocked }, catalog, store, marks, usage, pins };
}

type Decided = Pick<SweepPlan, "remove" | "condemn" | "orphans" | "rewrite" | "kept" | "replaceIndexes" | "nextVisit">;

const noPins: ReadonlyMap<string, Pin> = new Map();

/** What is locked stays as it is, in use or not: packs and index objects alike. */
function decide(
  options: SweepPlanOptions & { readonly free: number | undefined },
  due: ReadonlyMap<string, number>,
  usage: Usage,
  pins: ReadonlyMap<string, Pin>,
): Decided {
  const { grace, now, free, limits = usualLimits } = options;
  const old = (pack: PackUse): boolean => now - pack.time >= grace;
  const everything = [...usage.packs.values()];
  const lockEnd = (pack: PackUse): number | undefined => pins.get(packName(pack.id))?.until;
  const all = everything.filter((pack) => pack.liveBlobs > 0 || lockEnd(pack) === undefined);
  const locked = everything.filter((pack) => pack.liveBlobs === 0 && lockEnd(pack) !== undefined);
  const named = all.filter((pack) => due.has(pack.id));
  const others = all.filter((pack) => !due.has(pack.id));
  const isDue = (pack: PackUse): boolean => (due.get(pack.id) as number) <= now;

  const unused = others.filter((pack) => pack.liveBlobs === 0);
  const condemned = unused.filter(old);
  const remove = removable(now, due, usage, pins);
  const rewrite = chooseRewrites(
    others.filter((pack) => pack.liveBlobs > 0 && pack.indexed && old(pack) && lockEnd(pack) === undefined),
    limits,
    // What was copied is freed a visit later: until then captures need room, too.
    free === undefined ? Math.max(bytesOf(remove), limits.leastRoom) : free / 2,
  );
  const waiting = named.filter((pack) => !isDue(pack));
  const names = [
    ...waiting.map((pack) => due.get(pack.id) as number),
    ...(condemned.length + rewrite.length > 0 ? [now + grace] : []),
    ...locked.map((pack) => (lockEnd(pack) ?? now) + grace),
  ];
  const young = unused.filter((pack) => !old(pack));
  return {
    remove,
    condemn: condemned.filter((pack) => pack.indexed),
    orphans: condemned.filter((pack) => !pack.indexed),
    rewrite,
    kept: [
      sum(
        "needed-again",
        named.filter((pack) => isDue(pack) && pack.needed),
      ),
      sum("waiting", waiting),
      sum("young", young),
      { ...sum("locked", locked), until: Math.max(...locked.map((pack) => lockEnd(pack) ?? 0)) },
    ].filter((kept) => kept.packs > 0),
    replaceIndexes: chooseIndexes(
      usage.indexes.filter(({ name }) => !pins.has(name)),
      new Set(remove.map(({ id }) => id)),
      limits,
    ),
    nextVisit:
      names.length + young.length === 0 ? undefined : Math.min(...names, ...young.map((pack) => pack.time + grace)),
  };
}

/** Named long enough, neither needed nor locked. */
function removable(
  now: number,
  due: ReadonlyMap<string, number>,
  { packs }: Usage,
  pins: ReadonlyMap<string, Pin>,
): PackUse[] {
  const isDue = (id: string): boolean => (due.get(id) ?? Number.POSITIVE_INFINITY) <= now;
  return [...packs.values()].filter(({ id, needed }) => isDue(id) && !needed && !pins.has(packName(id)));
}

function chooseIndexes(indexes: readonly IndexUse[], removed: ReadonlySet<string>, limits: SweepLimits): IndexUse[] {
  const small = indexes.filter(({ size }) => size < limits.smallIndex);
  const join = small.length >= limits.smallIndexes ? new Set(small) : new Set<IndexUse>();
  return indexes.filter(
    (index) => index.redundant || join.has(index) || index.gone.length > 0 || index.packs.some((id) => removed.has(id)),
  );
}

/**
 * A record is written when it names something new, when the points have changed (the next sweep compares), when the newest is of a sweep
 * with another grace period (writers go by the shortest that they see), and when it is to replace the newest, whose packs are all decided:
 * as long as a record names packs, writers avoid them.
 */
function needsRecord(
  points: readonly CatalogPoint[],
  { condemn, orphans }: Decided,
  records: readonly DatedRecord[],
  visit: Visit,
): boolean {
  const newest = records.at(-1);
  if (newest === undefined || condemn.length + orphans.length > 0) return true;
  if (newest.record.grace !== visit.grace) return true;
  const listed = new Set(newest.record.points);
  if (listed.size !== points.length || points.some(({ id }) => !listed.has(id))) return true;
  return namedPacks(newest.record).length > 0 && isDecided(newest, visit);
}

function summary(
  points: readonly CatalogPoint[],
  marks: MarkSet,
  usage: Usage,
): Pick<SweepPlan, "points" | "blobs" | "bytesInUse"> {
  const bytesInUse = liveBytesOf([...usage.packs.values()]);
  return { points: points.map(({ id }) => id), blobs: marks.count, bytesInUse };
}

function sum(reason: KeptPacks["reason"], packs: readonly PackUse[]): KeptPacks {
  return { reason, packs: packs.length, bytes: bytesOf(packs) };
}
