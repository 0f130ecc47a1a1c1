/** Finds out what is wrong with a repository: the facts, for `check` to tell and for `repair` to act upon. */
import { throwIfCancelled } from "../../host/cancel.ts";
import type { CallOptions } from "../../storage/storage.ts";
import type { BlobReader } from "../blobs/blob-reader.ts";
import { BlobStore } from "../blobs/blob-store.ts";
import { type Catalog, type CatalogPoint, loadCatalog } from "../points/catalog.ts";
import type { Damage } from "../points/unreadable.ts";
import { BlobMap, findAffected, type Unreadable } from "./affected.ts";
import { checkObjects } from "./objects.ts";
import { type BadPack, checkPacks, type CheckProgress, type ReadData, tableDigests, tablesOf } from "./packs.ts";
import type { ExecutorFactory } from "../threads/executor.ts";
import { type BlobKind, blobKinds } from "../format.ts";
import { isDamage, markBlobs, type MarkProblem } from "../mark/mark.ts";
import type { TreeNode } from "../mark/mark-node.ts";
import { MarkSet } from "../mark/mark-set.ts";
import type { PackInfo } from "../blobs/pack.ts";
import { parseTable } from "../blobs/pack-table.ts";
import type { Repository } from "../repository.ts";
import { type Orphans, openOrphans } from "../sweep/usage.ts";

export interface DiagnoseOptions extends CallOptions {
  readonly executor: ExecutorFactory;
  /** Read every byte of all packs, or of one group of them. */
  readonly readData?: ReadData | undefined;
  readonly onProgress?: ((progress: CheckProgress) => void) | undefined;
  /** Nodes from elsewhere, so that what is below one that can't be read here is looked at, too. */
  readonly elsewhere?: ((kind: BlobKind, id: Buffer) => Promise<Buffer | undefined>) | undefined;
  readonly watch?: MarkWatch | undefined;
}

/** Somebody who has to know which blobs the points use. */
export interface MarkWatch {
  /** The points in groups: what those of one use is told before what only those of the next do. */
  readonly group: (points: readonly CatalogPoint[]) => readonly (readonly CatalogPoint[])[];
  readonly onMark: (node: TreeNode, store: BlobStore) => void;
}

export interface BlobName {
  readonly kind: BlobKind;
  readonly id: Buffer;
}

export interface Diagnosis {
  readonly catalog: Catalog;
  readonly store: BlobStore;
  readonly marks: MarkSet;
  readonly orphans: Orphans;
  /** Objects of one body that can't be used. */
  readonly damaged: readonly Damage[];
  readonly badPacks: readonly BadPack[];
  /** Packs that hold something in use, and that no index names. */
  readonly unindexed: readonly PackInfo[];
  /** Blobs in use of which there is no good copy, with what that affects. */
  readonly unreadable: BlobMap<Unreadable>;
  readonly bytesRead: number;
}

/**
 * Points are listed first, so that all they need is there when packs are listed; whatever seems to be missing is looked for
 * once more at the end, since a sweep may be at work meanwhile.
 *
 * @throws a storage error when the storage doesn't answer, `key_wrong`, `cancelled`. Damage is a result, not an error.
 */
export async function diagnose(repository: Repository, options: DiagnoseOptions): Promise<Diagnosis> {
  const { signal } = options;
  const damaged = new Map<string, Damage>();
  const note = (damage: Damage): void => void damaged.set(damage.name, damage);
  // Without memory: what is stored is what counts.
  const catalog = await loadCatalog({ ...repository, memory: undefined }, { signal });
  for (const damage of catalog.damaged) note(damage);
  await checkObjects(repository, note, { signal });
  const digests = tableDigests();
  const store = await BlobStore.load(repository, { signal, onDamage: note, onIndex: digests.add });
  const orphans = await openOrphans(store, { signal });
  const problems: MarkProblem[] = [];
  // The threads read packs while this one walks the trees.
  const [marks, packs] = await Promise.all([
    mark(store, catalog, problems, options),
    checkPacks(store, orphans, digests, options),
  ]);
  throwIfCancelled(signal);
  for (const damage of packs.damagedIndexes) note(damage);
  const badPacks = await nameBlobs(store, packs.bad, { signal });
  const fresh = await loadAgain(repository, badPacks, problems, store, signal);
  const unreadable = await findUnreadable({ store, fresh, orphans, marks, badPacks, problems, signal });
  const points = await stillThere(repository, catalog, unreadable, signal);
  await findAffected(eitherReader(store.reader, fresh.reader), points, unreadable, { signal });
  return {
    catalog,
    store,
    marks,
    orphans,
    damaged: [...damaged.values()],
    badPacks: badPacks.filter((pack) => !pack.missing || fresh === store || fresh.lost.has(pack.id)),
    unindexed: neededOrphans(store, orphans, marks),
    unreadable,
    bytesRead: packs.bytesRead,
  };
}

/** Adds to `problems`. */
async function mark(
  store: BlobStore,
  { points }: Catalog,
  problems: MarkProblem[],
  { watch, elsewhere, signal }: DiagnoseOptions,
): Promise<MarkSet> {
  const marks = new MarkSet(store.index.count);
  const onMark = watch && ((node: TreeNode): void => watch.onMark(node, store));
  const onProblem = async (problem: MarkProblem): Promise<Buffer | undefined> => {
    problems.push(problem);
    const { kind, id } = problem.node;
    return kind === blobKinds.data ? undefined : await elsewhere?.(kind, id);
  };
  for (const group of watch?.group(points) ?? [points])
    await markBlobs(store, group, { signal, marks, onMark, onProblem });
  return marks;
}

/** Of packs that don't tell themselves which blobs they had, the index may. */
async function nameBlobs(store: BlobStore, bad: readonly BadPack[], options: CallOptions): Promise<BadPack[]> {
  const mute = new Set(bad.filter(({ noneReadable }) => noneReadable).map(({ id }) => id));
  const tables = await tablesOf(store, mute, options);
  return bad.map((pack) => {
    const table = tables.get(pack.id);
    return table === undefined ? pack : { ...pack, blobs: parseTable(table) };
  });
}

/** What seems to be missing may have been moved by a sweep meanwhile: then a new look finds it. */
async function loadAgain(
  repository: Repository,
  badPacks: readonly BadPack[],
  problems: readonly MarkProblem[],
  store: BlobStore,
  signal: AbortSignal | undefined,
): Promise<BlobStore> {
  if (problems.length === 0 && !badPacks.some(({ missing }) => missing)) return store;
  return await BlobStore.load(repository, { signal, onDamage: () => undefined });
}

interface Findings extends CallOptions {
  readonly store: BlobStore;
  readonly fresh: BlobStore;
  readonly orphans: Orphans;
  readonly marks: MarkSet;
  readonly badPacks: readonly BadPack[];
  readonly problems: readonly MarkProblem[];
}

/** Of all blobs in use of which a copy is bad or missing, those that have no good one. */
async function findUnreadable({
  store,
  fresh,
  orphans,
  marks,
  badPacks,
  problems,
  signal,
}: Findings): Promise<BlobMap<Unreadable>> {
  const suspects = new BlobMap<Unreadable>();
  const suspect = (kind: BlobKind, id: Buffer): void => {
    if (marks.has(kind, id)) suspects.set(kind, id, { kind, id, affected: [] });
  };
  for (const { node } of problems) suspect(node.kind, node.id);
  const bad = new Map<string, BlobMap<true> | "all">();
  const damaged = new BlobMap<true>();
  for (const { id, blobs, missing, noneReadable } of badPacks) {
    const these = new BlobMap<true>();
    for (const blob of blobs) {
      suspect(blob.kind, blob.id);
      these.set(blob.kind, blob.id, true);
      if (!missing) damaged.set(blob.kind, blob.id, true);
    }
    bad.set(id, noneReadable ? "all" : these);
  }
  const isGood = (pack: string, { kind, id }: BlobName): boolean => {
    const blobs = bad.get(pack);
    return blobs !== "all" && blobs?.get(kind, id) === undefined;
  };
  const reader = eitherReader(store.reader, fresh.reader);
  const goodOf = ({ index, packs }: BlobStore) => ({
    packsOf: (id: Buffer) =>
      index.packsOf(id).filter((pack) => isGood(packs.get(pack).id, { kind: blobKinds.data, id })),
  });
  const goodReader = eitherReader(store.readerBy(goodOf(store)), fresh.readerBy(goodOf(fresh)));
  const inNoIndex = new Set(orphans.readable.map(({ id }) => id));
  const isReadable = async (blob: Unreadable): Promise<boolean> => {
    // A node is small, so it is simply read; of data it is enough that a good copy is known, where the other is only missing, as after a sweep.
    if (blob.kind !== blobKinds.data)
      return await succeeds(async () => await reader.read(blob.kind, blob.id, { signal }));
    // Where it is damaged, the other may be so, too, in a pack that isn't read this time.
    if (damaged.get(blob.kind, blob.id) === true)
      return await succeeds(async () => await goodReader.read(blob.kind, blob.id, { signal }));
    const others = fresh === store ? [] : (await copiesOf(store, blob, signal)).filter((pack) => inNoIndex.has(pack));
    return [...(await copiesOf(fresh, blob, signal)), ...others].some((pack) => isGood(pack, blob));
  };
  const unreadable = new BlobMap<Unreadable>();
  for (const blob of suspects.values()) if (!(await isReadable(blob))) unreadable.set(blob.kind, blob.id, blob);
  return unreadable;
}

/** Reads from the store as it was at first or, failing that, as it is now. */
function eitherReader(store: Pick<BlobReader, "read">, fresh: Pick<BlobReader, "read">): Pick<BlobReader, "read"> {
  return {
    read: async (kind, id, options) => {
      try {
        return await store.read(kind, id, options);
      } catch (error) {
        if (!isDamage(error)) throw error;
        return await fresh.read(kind, id, options);
      }
    },
  };
}

/** Whether it does without damage. Throws whatever isn't damage. */
async function succeeds(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (isDamage(error)) return false;
    throw error;
  }
}

/** Ids of the packs whose own table has the blob. */
export async function copiesOf(
  store: BlobStore,
  { kind, id }: BlobName,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const copies: string[] = [];
  for (const number of new Set(store.index.packsOf(id))) {
    await succeeds(async () => {
      const pack = await store.reader.openPack(number, { signal });
      if (pack.table.find(kind, id) !== undefined) copies.push(pack.id);
    });
  }
  return copies;
}

/** Points that went meanwhile need nothing any more. */
async function stillThere(
  repository: Repository,
  { points }: Catalog,
  unreadable: BlobMap<Unreadable>,
  signal: AbortSignal | undefined,
): Promise<Catalog["points"]> {
  if (unreadable.size === 0) return [];
  const names = new Set<string>();
  for await (const { name } of repository.storage.list("points/", { signal })) names.add(name);
  return points.filter(({ name }) => names.has(name));
}

/** Packs in no index that have a blob in use which no indexed pack has. The store has taken them in. */
function neededOrphans(store: BlobStore, { readable }: Orphans, marks: MarkSet): PackInfo[] {
  const numbers = new Set(readable.map(({ id }) => store.numberOf(id)));
  return readable.filter((pack) =>
    parseTable(pack).some(
      ({ kind, id }) => marks.has(kind, id) && [...store.index.packsOf(id)].every((n) => numbers.has(n)),
    ),
  );
}
