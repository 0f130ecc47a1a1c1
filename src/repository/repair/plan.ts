/** What a repair would do: reads only. */
import type { CallOptions } from "../../storage/storage.ts";
import type { BlobReader } from "../blobs/blob-reader.ts";
import { readPack } from "../blobs/open-packs.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import { findChainGaps } from "../check/chain.ts";
import { BlobMap, findAffected, type Unreadable } from "../check/affected.ts";
import { type BlobName, copiesOf, diagnose, type Diagnosis, type DiagnoseOptions } from "../check/diagnose.ts";
import { describeDiagnosis, type Finding } from "../check/findings.ts";
import { verifyBlobs } from "../check/blobs.ts";
import { readSealed, sealedOf } from "../check/sealed-blobs.ts";
import { type BadPack, tablesOf } from "../check/packs.ts";
import { type BlobKind, blobKinds, headerLength } from "../format.ts";
import { openIndexes } from "../blobs/open-indexes.ts";
import type { Pins } from "../locks/pins.ts";
import { isDamage } from "../mark/mark.ts";
import { decodeStored, type PackInfo, packName, type TableEntry } from "../blobs/pack.ts";
import { parseTable } from "../blobs/pack-table.ts";
import { type ObjectAction, planObjects } from "./objects.ts";
import { fetchBlob, openReplicas, type Replica } from "./sources.ts";
import type { Repository } from "../repository.ts";

export interface RepairPlanOptions extends DiagnoseOptions {
  /** Opened with the same keys; asked in this order. */
  readonly replicas: readonly Repository[];
  /** This repository is a replica itself: it needn't have every point of a chain. */
  readonly replica?: boolean;
  /** What is locked; undefined where nothing can be. */
  readonly pins?: Pins | undefined;
}

/** Blobs in use to be copied out of a pack that isn't whole, as far as they open. */
export interface Salvage {
  readonly pack: string;
  readonly entries: readonly TableEntry[];
}

export interface RepairPlan {
  readonly objects: readonly ObjectAction[];
  /** Packs named in a new index object. */
  readonly index: readonly PackInfo[];
  /** Index objects that are damaged: deleted once the new one is durable. */
  readonly badIndexes: readonly string[];
  /** Packs that no index shall name any more. They stay until a sweep finds that nobody needs them. */
  readonly drop: readonly BadPack[];
  readonly salvage: readonly Salvage[];
  /** Blobs to be fetched: of these there is no good copy here. */
  readonly fetch: readonly BlobName[];
  /** What can't be repaired, as things stand: what no replica has. */
  readonly lost: readonly Finding[];
}

export interface PlannedRepair {
  readonly plan: RepairPlan;
  readonly diagnosis: Diagnosis;
  readonly replicas: readonly Replica[];
}

/** A node's content from a replica. */
type Elsewhere = (kind: BlobKind, id: Buffer) => Promise<Buffer | undefined>;

/** Throws a storage error, or `cancelled`. */
export async function planRepair(repository: Repository, options: RepairPlanOptions): Promise<PlannedRepair> {
  const { signal } = options;
  const replicas = await openReplicas(options.replicas, { signal });
  const elsewhere: Elsewhere = async (kind, id) => {
    const blob = await fetchBlob(replicas, kind, id, { signal });
    return blob && decodeStored(blob.encoding, blob.rawLength, blob.stored);
  };
  const diagnosis = await diagnose(repository, { ...options, elsewhere });
  const gaps = await findChainGaps(repository, diagnosis, { replica: options.replica === true, signal });
  const objects = await planObjects(repository, diagnosis.damaged, gaps, replicas, { signal });
  const salvage = await planSalvage(diagnosis, { signal });
  const { fetch, lost } = await planFetch(diagnosis, salvage, replicas, elsewhere, { signal });
  const remaining = objects.filter(({ action }) => action === "lost").map(({ name }) => name);
  const restored = new Set(objects.filter(({ action }) => action === "restore").map(({ name }) => name.slice(-32)));
  const badIndexes = diagnosis.damaged.map(({ name }) => name).filter((name) => name.startsWith("index/"));
  const bad = new Set(diagnosis.badPacks.map(({ id }) => id));
  // An index that is locked goes on naming what it names; readers find the good copies beside the bad ones.
  const indexesStay = [...(options.pins?.objects.keys() ?? [])].some((name) => name.startsWith("index/"));
  const plan: RepairPlan = {
    objects,
    index: [
      ...diagnosis.unindexed.filter(({ id }) => !bad.has(id)),
      ...(await trueTables(diagnosis, badIndexes, bad, { signal })),
    ],
    badIndexes,
    drop: indexesStay ? [] : diagnosis.badPacks.filter(({ indexed }) => indexed),
    salvage,
    fetch,
    lost: [
      ...describeDiagnosis({ ...diagnosis, badPacks: [], unindexed: [], unreadable: lost }).filter(
        ({ kind, object }) => kind !== "object" || remaining.includes(object),
      ),
      ...gaps.filter(({ missing }) => missing === undefined || !restored.has(missing)),
    ],
  };
  return { plan, diagnosis, replicas };
}

/** What packs say of themselves whose index object, though it opens, says something else. */
async function trueTables(
  { store }: Diagnosis,
  badIndexes: readonly string[],
  bad: ReadonlySet<string>,
  { signal }: CallOptions,
): Promise<PackInfo[]> {
  const { keys, storage } = store.repository;
  const tables: PackInfo[] = [];
  const opened = store.indexes.filter(({ name }) => badIndexes.includes(name));
  for await (const { packs } of openIndexes(store.repository, opened, { signal })) {
    for (const { id, size } of packs) {
      if (store.present.has(id) && !bad.has(id))
        tables.push((await readPack(keys, storage, { id, size }, { signal })).info);
    }
  }
  return tables;
}

/** Of each bad pack that is there: the whole blobs in use of which no other, good pack has a copy. */
async function planSalvage({ store, marks, badPacks }: Diagnosis, { signal }: CallOptions): Promise<Salvage[]> {
  const bad = new Set(badPacks.map(({ id }) => id));
  const salvage: Salvage[] = [];
  for (const pack of badPacks.filter(({ missing }) => !missing)) {
    const entries: TableEntry[] = [];
    for (const entry of await wholeEntries(store, pack, { signal })) {
      if (!marks.has(entry.kind, entry.id)) continue;
      if ((await copiesOf(store, entry, signal)).every((other) => bad.has(other))) entries.push(entry);
    }
    if (entries.length > 0) salvage.push({ pack: pack.id, entries });
  }
  return salvage;
}

/** The blobs of a bad pack that open all the same; by the index, where its own table doesn't open. */
async function wholeEntries(store: BlobStore, pack: BadPack, options: CallOptions): Promise<TableEntry[]> {
  const number = store.numberOf(pack.id);
  if (!pack.noneReadable && number !== undefined) {
    const { table } = await store.reader.openPack(number, options);
    const bad = new Set(pack.blobs.map(({ id }) => id.toString("latin1")));
    return [...table].filter(({ id }) => !bad.has(id.toString("latin1")));
  }
  const table = (await tablesOf(store, new Set([pack.id]), options)).get(pack.id);
  if (table === undefined) return [];
  const { keys, storage } = store.repository;
  const entries = parseTable(table);
  let header: Buffer;
  try {
    header = await storage.get(packName(pack.id), { offset: 0, length: headerLength }, options);
  } catch (error) {
    // Without it no blob can be opened.
    if (isDamage(error)) return [];
    throw error;
  }
  const blobs = await readSealed(storage, pack.id, entries, options);
  const sealed = (entry: TableEntry): Buffer => sealedOf(blobs, entry);
  const found = verifyBlobs({ keys, objectKey: keys.objectKey(header), pack: pack.id, sealed }, entries);
  const bad = new Set(found?.entries);
  return entries.filter((entry) => !bad.has(entry));
}

/** What replicas have whole, and what none has, with what that costs. */
async function planFetch(
  { store, catalog, unreadable }: Diagnosis,
  salvage: readonly Salvage[],
  replicas: readonly Replica[],
  elsewhere: Elsewhere,
  { signal }: CallOptions,
): Promise<{ readonly fetch: BlobName[]; readonly lost: BlobMap<Unreadable> }> {
  const saved = new BlobMap<true>();
  for (const { entries } of salvage) for (const { kind, id } of entries) saved.set(kind, id, true);
  const fetch: BlobName[] = [];
  const lost = new BlobMap<Unreadable>();
  for (const { kind, id } of unreadable.values()) {
    if (saved.get(kind, id) === true) continue;
    if ((await fetchBlob(replicas, kind, id, { signal })) === undefined) lost.set(kind, id, { kind, id, affected: [] });
    else fetch.push({ kind, id });
  }
  if (lost.size > 0)
    await findAffected(withElsewhere(store.reader, unreadable, elsewhere), catalog.points, lost, { signal });
  return { fetch, lost };
}

/** Reads what can be read here, and the rest from elsewhere. */
function withElsewhere(
  reader: BlobReader,
  unreadable: BlobMap<Unreadable>,
  elsewhere: Elsewhere,
): Pick<BlobReader, "read"> {
  return {
    read: async (kind, id, options) => {
      const other =
        kind !== blobKinds.data && unreadable.get(kind, id) !== undefined ? await elsewhere(kind, id) : undefined;
      return other ?? (await reader.read(kind, id, options));
    },
  };
}
