/** Small objects that nobody needs any more. */
import { isStillpointError } from "../../errors.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { type Catalog, forEachAtOnce, recordLasts } from "../points/catalog.ts";
import { untilOf } from "../locks/lock-record.ts";
import { compactTime, parsePointName } from "../points/manifest.ts";
import { noticeLasts } from "../points/readers.ts";
import { listOldConfigs } from "../points/kept-configs.ts";
import { exists, type Repository } from "../repository.ts";
import { type Forgotten, getSmallObject } from "../points/small-objects.ts";
import { type DatedRecord, isDecided, type Visit } from "./records.ts";

const readsAtOnce = 16;
/** Proofs kept of each point, the newest: a check that reads everything adds one to every point each time. */
const proofsKept = 10;

export interface CleanupOptions extends CallOptions, Visit {
  readonly catalog: Catalog;
  readonly records: readonly DatedRecord[];
  /** Whether a record is written after these. */
  readonly newRecord: boolean;
  readonly acceptLost: ReadonlySet<string>;
}

/**
 * Names of the objects to delete, in steps: each must be over before the next begins, since what goes in a step may be needed to explain
 * what goes in those before it. Throws a storage error.
 */
export async function planCleanup(repository: Repository, options: CleanupOptions): Promise<string[][]> {
  const { catalog, acceptLost } = options;
  const present = new Set(catalog.points.map(({ id }) => id));
  const { forgotten, damaged } = await readForgotten(repository, present, options);
  const about = await planAbout(repository, present, new Set(forgotten.keys()), options);
  const lost = catalog.damaged.map(({ name }) => name).filter((name) => acceptLost.has(parsePointName(name)?.id ?? ""));
  const records = finishedRecords(options);
  const staying = options.records.filter(({ name }) => !records.includes(name));
  // A forgotten object is asked for by later manifests' chain and by records; whoever asks for it goes first. Replication asks for new ones.
  // A point's id is the beginning of its digest.
  const asked = new Set(catalog.points.map(({ manifest }) => manifest.previous?.slice(0, 32)));
  const listed = new Set(staying.flatMap(({ record }) => record.points));
  const old = ({ time }: Forgotten): boolean => Date.parse(time) + recordLasts <= options.now;
  const unasked = [...forgotten].flatMap(([id, one]) => (old(one) && !asked.has(id) && !listed.has(id) ? id : []));
  // A damaged one still says that there was a point; nobody needs to know that of one whose loss is accepted.
  const accepted = damaged.filter((id) => acceptLost.has(id) && !asked.has(id));
  const configs = await listOldConfigs(repository, options);
  const locks = await planLocks(repository, options);
  const readers = await planReaders(repository, options);
  return [
    [...about, ...readers, ...lost],
    records,
    [...[...unasked, ...accepted].map((id) => `forgotten/${id}`), ...configs, ...locks],
  ];
}

/** Records of locks that have ended. */
async function planLocks({ storage }: Repository, { now, signal }: CleanupOptions): Promise<string[]> {
  const ended: string[] = [];
  for await (const { name } of storage.list("locks/", { signal })) if ((untilOf(name) ?? now) < now) ended.push(name);
  return ended;
}

/** Notices of readers that have ended, of points that are there and of points that are gone. */
async function planReaders({ storage }: Repository, { now, signal }: CleanupOptions): Promise<string[]> {
  const ended: string[] = [];
  for await (const { name, time } of storage.list("readers/", { signal }))
    if (time + noticeLasts <= now) ended.push(name);
  return ended;
}

/** All records that have done their work, but the newest. */
function finishedRecords({ records, newRecord, ...visit }: CleanupOptions): string[] {
  const superseded = newRecord ? records : records.slice(0, -1);
  return superseded.filter((record) => isDecided(record, visit)).map(({ name }) => name);
}

/** Records of points that are gone. */
interface ForgottenPoints {
  /** By point id: the manifest was looked for under its own name. */
  readonly forgotten: ReadonlyMap<string, Forgotten>;
  /** Ids of points whose record can't be read. */
  readonly damaged: readonly string[];
}

async function readForgotten(
  repository: Repository,
  present: ReadonlySet<string>,
  { signal }: CallOptions,
): Promise<ForgottenPoints> {
  const names: string[] = [];
  for await (const { name } of repository.storage.list("forgotten/", { signal })) names.push(name);
  const forgotten = new Map<string, Forgotten>();
  const damaged: string[] = [];
  await forEachAtOnce(names, readsAtOnce, async (name) => {
    const id = name.slice("forgotten/".length);
    if (present.has(id)) return;
    try {
      const record = await getSmallObject(repository, "forgotten", name, { signal });
      if (!(await exists(repository.storage, manifestName(repository, record), { signal }))) forgotten.set(id, record);
    } catch (error) {
      // One that another deleted meanwhile is no longer there to delete.
      if (isStillpointError(error, "damaged")) damaged.push(id);
      else if (!isStillpointError(error, "object_missing")) throw error;
    }
  });
  return { forgotten, damaged };
}

function manifestName({ keys }: Repository, { source, point_time, point }: Forgotten): string {
  return `points/${keys.sourceTag(source)}/${compactTime(Date.parse(point_time))}-${point}`;
}

/** Tags, holds and proofs of forgotten points; and those of others that newer ones have replaced. */
async function planAbout(
  repository: Repository,
  present: ReadonlySet<string>,
  gone: ReadonlySet<string>,
  { signal }: CallOptions,
): Promise<string[]> {
  const surplus: string[] = [];
  for (const [folder, keep] of [
    ["tags", 1],
    ["holds", 1],
    ["proofs", proofsKept],
  ] as const) {
    const byPoint = new Map<string, string[]>();
    for await (const { name } of repository.storage.list(`${folder}/`, { signal })) {
      const point = name.split("/")[1] ?? "";
      byPoint.set(point, [...(byPoint.get(point) ?? []), name]);
    }
    for (const [point, names] of byPoint) {
      if (gone.has(point)) surplus.push(...names);
      else if (present.has(point)) surplus.push(...names.sort().slice(0, -keep));
    }
  }
  return surplus;
}
