/** Bringing a replica up to date with the primary: what it lacks is planned, sent, and only then committed there. */
import { isStillpointError, StillpointError } from "../errors.ts";
import { throwIfCancelled } from "../host/cancel.ts";
import { stopwatch } from "../host/clock.ts";
import { BlobStore } from "../repository/blobs/blob-store.ts";
import { type CatalogPoint, forEachAtOnce, loadCatalog } from "../repository/points/catalog.ts";
import { asFirstReceived } from "../repository/locks/first-received.ts";
import { openManifest, type RecoveryPoint } from "../repository/points/manifest.ts";
import { requireRead } from "../repository/points/unreadable.ts";
import { exists, type Repository } from "../repository/repository.ts";
import type { CallOptions, Storage } from "../storage/storage.ts";
import { withObserver } from "../storage/wrappers/observe.ts";
import { planReplication, type ReplicationPlan } from "./plan.ts";
import { type LockRules, PointLocks } from "./point-locks.ts";
import type { PointFailure, ReplicationProgress, ReplicationReport } from "./replication-report.ts";
import { type LocationSurvey, requireProofs, surveyPoints } from "./survey.ts";
import { NoteSynchroniser } from "./synchronise-notes.ts";
import { Transfer } from "./transfer.ts";

const manifestsAtOnce = 16;
/** Small points share packs and an index object until this many bytes are sent; then they are committed together. */
const groupBytes = 64 * 1024 * 1024;

/** A point that the replica has, or had when this host looked last. */
type PointThere = Pick<CatalogPoint, "id" | "time" | "received" | "manifest">;

/** Points that the replica has, and how long ago they were looked at, in ms. */
interface View {
  readonly points: readonly CatalogPoint[];
  readonly age: () => number;
  /** The replica's index, where reading it has begun already. */
  readonly index?: Promise<BlobStore> | undefined;
}

export interface ReplicateOptions extends CallOptions {
  /** The primary, loaded. Packs may be added to it meanwhile. */
  readonly primary: BlobStore;
  /** The primary's points, or those of some sources. */
  readonly points: readonly CatalogPoint[];
  /** From `prepareReplica`. */
  readonly replica: Repository;
  /** Which points are meant for this replica, given those that it has. */
  readonly wanted: (there: readonly PointThere[]) => (point: CatalogPoint) => boolean;
  /** The grace period of this machine's sweeps, in ms; of others at the replica, their records say it. */
  readonly grace: number;
  /** Locks what the replica keeps; its storage must have been opened for that. */
  readonly lock?: LockRules | undefined;
  readonly onProgress?: (progress: ReplicationProgress) => void;
}

/**
 * Replicates every wanted point that the replica lacks, oldest first, and brings its holds and tags in line.
 *
 * At any moment, and wherever it is cut off, the replica holds only manifests whose every blob is durable and indexed there.
 * What was sent before a cut is found and used by the next run. Several runs to one replica harm nobody; they may send
 * something twice.
 *
 * The report says what failed, be it a point, or the replica; nothing is thrown but defects.
 */
export async function replicate(options: ReplicateOptions): Promise<ReplicationReport> {
  return await new Replication(options).run();
}

class Replication {
  readonly #options: ReplicateOptions;
  readonly #primary: Repository;
  #replica: Repository;
  #locks: PointLocks | undefined;
  readonly #unlocked: StillpointError[] = [];
  readonly #replicated: CatalogPoint[] = [];
  /** Those of the points replicated, as they were stored. */
  readonly #stored: RecoveryPoint[] = [];
  readonly #failed: PointFailure[] = [];
  readonly #done = { blobs: 0, bytesRead: 0, bytesSent: 0, adoptedPacks: 0 };
  /** Forgotten at the primary while the run went on. */
  readonly #gone = new Set<string>();
  #notes: NoteSynchroniser | undefined;
  /** As it was when the run began. */
  #there: LocationSurvey | undefined;
  /** Given what was there then. */
  #isWanted: (point: CatalogPoint) => boolean = () => false;
  #plan: ReplicationPlan | undefined;

  constructor(options: ReplicateOptions) {
    this.#options = options;
    const { primary, replica } = options;
    this.#primary = this.#counted(primary.repository, "get", (bytes) => (this.#done.bytesRead += bytes));
    this.#replica = this.#counted(replica, "put", (bytes) => (this.#done.bytesSent += bytes));
  }

  #counted(repository: Repository, counted: "get" | "put", add: (bytes: number) => void): Repository {
    const observe = ({ operation, bytes }: { operation: string; bytes: number }): void => {
      if (operation === counted) add(bytes);
    };
    return { ...repository, storage: withObserver(repository.storage, observe, repository.clock) };
  }

  async run(): Promise<ReplicationReport> {
    let ended: StillpointError | undefined;
    try {
      await this.#replicate();
    } catch (error) {
      if (!isStillpointError(error)) throw error;
      ended = error;
    }
    // The next run needn't read them there.
    await this.#replica.memory?.saveStored(this.#stored);
    return {
      replicated: this.#replicated,
      failed: this.#failed,
      failedNotes: this.#notes?.failed ?? [],
      unlocked: this.#unlocked,
      unlockedPoints: ended?.code === "cancelled" ? undefined : this.#locks?.unlocked,
      ended,
      ...this.#done,
      backlog: this.#backlog(),
      there: this.#there?.there,
      vanished: this.#vanished(),
    };
  }

  async #replicate(): Promise<void> {
    const { points, wanted } = this.#options;
    await this.#renewLocks();
    const age = stopwatch(this.#replica.clock);
    const index = (await this.#seemsBehind()) ? BlobStore.load(this.#replica, this.#call) : undefined;
    index?.catch(() => undefined); // Seen when it is needed.
    const [notes, replica] = await Promise.all([
      NoteSynchroniser.survey(this.#primary, this.#replica, this.#call),
      surveyPoints(this.#replica, idsOf(points), this.#call),
    ]);
    this.#notes = notes;
    this.#there = replica;
    this.#isWanted = wanted(replica.there);
    this.#plan = planReplication({ points, replica, wanted: this.#isWanted });
    const common = points.filter(({ id }) => replica.points.has(id));
    await this.#notes.synchronise(idsOf(common), this.#call);
    let { lacking } = this.#plan;
    let { primary } = this.#options;
    let view: View = { points: replica.there, age, index };
    for (let attempt = 1; lacking.length > 0; attempt++) {
      const left = await this.#sendWhileFresh(lacking, primary, view);
      if (left.length === lacking.length && attempt > 1) throw this.#tooSlow();
      if (left.length > 0) {
        primary = await BlobStore.load(this.#options.primary.repository, this.#call);
        view = await this.#lookAgain();
      }
      lacking = left;
    }
  }

  /** Returns the points that could not be committed before what the indexes said had become too old to rely on. */
  async #sendWhileFresh(
    lacking: readonly CatalogPoint[],
    store: BlobStore,
    { points, age, index }: View,
  ): Promise<readonly CatalogPoint[]> {
    const waiting = [...lacking];
    // A repair takes what is lost there out of the index; from then on only the proofs tell.
    const whole = new Set(idsOf(points.filter(({ proof }) => proof?.result !== "failed")));
    const transfer = await Transfer.begin({
      primary: this.#primary,
      store,
      there: await (index ?? BlobStore.load(this.#replica, this.#call)),
      common: this.#options.points.filter(({ id }) => whole.has(id)),
      damaged: whole.size < points.length,
      locked: this.#locks,
      onBatch: () => this.#progress(),
      signal: this.#options.signal,
    });
    this.#done.adoptedPacks += transfer.adopted;
    try {
      while (waiting.length > 0) {
        const group = await this.#sendGroup(transfer, waiting);
        if (!(await this.#isFresh(age, transfer.there))) return [...group, ...waiting];
        const committed = await this.#commit(group);
        await this.#lock(committed, store, async () => await Promise.resolve(transfer.there));
      }
      return [];
    } finally {
      this.#done.blobs += transfer.blobs;
      await transfer.close();
    }
  }

  /**
   * Whether the replica lacks anything, as far as this host remembers: then its index is read while it is looked at. Not where points are
   * locked: what locks them looks for all of each point in the index, which must be the younger of the two.
   */
  async #seemsBehind(): Promise<boolean> {
    const { points, wanted, lock } = this.#options;
    const { memory } = this.#replica;
    if (memory === undefined || lock !== undefined) return false;
    await memory.load();
    const isWanted = wanted([...memory.points].map((point) => ({ ...point, received: point.time })));
    return points.some((point) => memory.point(point.name) === undefined && isWanted(point));
  }

  async #lookAgain(): Promise<View> {
    const age = stopwatch(this.#replica.clock);
    const { points, damaged } = await loadCatalog(this.#replica, this.#call);
    requireProofs(damaged);
    return { points, age };
  }

  /** First of all, so that the locks of what is there don't depend on what is to be sent. */
  async #renewLocks(): Promise<void> {
    const { lock, primary } = this.#options;
    if (lock === undefined) return;
    this.#locks = await PointLocks.begin(this.#replica, lock, this.#call);
    this.#replica = this.#locks.replica;
    const catalog = await loadCatalog(this.#replica, this.#call);
    // A lock that isn't renewed for a tag that can't be read just now may end before the next look.
    requireRead(catalog);
    const { points } = catalog;
    const kept = lock.keeps(await asFirstReceived(points, this.#replica.storage, this.#call));
    const load = async (): Promise<BlobStore> => await BlobStore.load(this.#replica, this.#call);
    await this.#lock(
      points.filter(({ id }) => kept.has(id)),
      primary,
      load,
    );
  }

  async #lock(points: readonly CatalogPoint[], primary: BlobStore, replica: () => Promise<BlobStore>): Promise<void> {
    this.#unlocked.push(...((await this.#locks?.lock(points, { primary, replica, ...this.#call })) ?? []));
  }

  /** Takes points from `waiting`, and returns those that may be committed: everything of them is durable and indexed. */
  async #sendGroup(transfer: Transfer, waiting: CatalogPoint[]): Promise<CatalogPoint[]> {
    const group: CatalogPoint[] = [];
    const enough = this.#done.bytesSent + groupBytes;
    while (this.#done.bytesSent < enough) {
      const point = waiting.shift();
      if (point === undefined) break;
      throwIfCancelled(this.#options.signal);
      const failure = await transfer.send(point);
      if (failure === undefined) group.push(point);
      else await this.#fail(point, failure);
    }
    await transfer.finish();
    return group;
  }

  /** Holds and tags come before the manifests: a held point is never there without its hold. Returns what was committed. */
  async #commit(group: readonly CatalogPoint[]): Promise<readonly CatalogPoint[]> {
    const before = this.#replicated.length;
    await this.#notes?.synchronise(idsOf(group), this.#call);
    const failures: unknown[] = [];
    await forEachAtOnce(group, manifestsAtOnce, async (point) => {
      // What is under way ends before the run does, so that the report is right about it.
      if (failures.length === 0) await this.#commitPoint(point).catch((error: unknown) => failures.push(error));
    });
    if (failures.length > 0) throw failures[0];
    return this.#replicated.slice(before);
  }

  async #commitPoint(point: CatalogPoint): Promise<void> {
    const manifest = await this.#readManifest(point);
    if (manifest === undefined) return;
    await this.#replica.storage.put(point.name, [manifest.data], this.#call);
    this.#replicated.push(point);
    this.#stored.push(manifest.point);
    this.#progress();
  }

  /** The manifest as it is stored, verified. */
  async #readManifest(
    point: CatalogPoint,
  ): Promise<{ readonly data: Buffer; readonly point: RecoveryPoint } | undefined> {
    try {
      const data = await this.#primary.storage.get(point.name, undefined, this.#call);
      return { data, point: openManifest(this.#primary.keys, point.name, data) };
    } catch (error) {
      await this.#fail(point, error);
      return undefined;
    }
  }

  /** Notes the failure; not when the point was forgotten at the primary meanwhile. */
  async #fail(point: CatalogPoint, error: unknown): Promise<void> {
    if (!isStillpointError(error) || error.code === "cancelled") throw error;
    if (await isGone(this.#primary.storage, point, this.#call)) {
      this.#gone.add(point.id);
      return;
    }
    const { id, manifest } = point;
    const described = new StillpointError(error.code, {
      what: `Cannot replicate the recovery point ${id} of ${manifest.source} (${manifest.time}) to ${this.#replica.storage.location}: ${error.parts.what}`,
      safe: "What is at the replica is whole, and the other points are replicated all the same.",
      ...(error.parts.next === undefined ? {} : { next: error.parts.next }),
      cause: error,
    });
    this.#failed.push({ point, error: described });
  }

  /** Once all that is wanted is there again, no further run tells of it. */
  #vanished(): readonly RecoveryPoint[] {
    const vanished = this.#there?.vanished ?? [];
    const gone = new Set(idsOf(vanished));
    return this.#plan?.lacking.some(({ id }) => gone.has(id)) === true ? vanished : [];
  }

  #backlog(): ReplicationPlan | undefined {
    if (this.#there === undefined) return undefined;
    const { points } = this.#options;
    const replica = { ...this.#there, points: this.#there.points.union(new Set(idsOf(this.#replicated))) };
    const left = points.filter(({ id }) => !this.#gone.has(id));
    return planReplication({ points: left, replica, wanted: this.#isWanted });
  }

  #progress(): void {
    const { lacking, estimatedBytes } = this.#plan ?? { lacking: [], estimatedBytes: 0 };
    this.#options.onProgress?.({
      points: { done: this.#replicated.length, total: lacking.length },
      bytes: { done: this.#done.bytesSent, total: estimatedBytes },
    });
  }

  /**
   * Whether what was seen there may be relied on still. The points were looked at before the index was read: sweeps that had left their
   * record by then count as well.
   */
  async #isFresh(age: () => number, there: BlobStore): Promise<boolean> {
    const graces = [...there.sweeps.values()].map(({ grace }) => grace);
    const longest = await there.longestReliance(Math.min(this.#options.grace, ...graces), this.#call);
    return age() < longest;
  }

  #tooSlow(): StillpointError {
    return new StillpointError("capture_too_old", {
      what: `Cannot replicate to ${this.#replica.storage.location}: sending one recovery point takes longer than a sweep there would wait`,
      safe: "What was sent stays, and is used by the next run.",
      next: "Lengthen `maintenance.grace` on every machine that sweeps there, or allow the replica more bandwidth.",
    });
  }

  get #call(): CallOptions {
    return { signal: this.#options.signal };
  }
}

function idsOf(points: readonly RecoveryPoint[]): string[] {
  return points.map(({ id }) => id);
}

/** Whether the primary has no such point any more; false when that can't be found out. */
async function isGone(storage: Storage, point: CatalogPoint, options: CallOptions): Promise<boolean> {
  try {
    return !(await exists(storage, point.name, options));
  } catch (error) {
    if (!isStillpointError(error) || error.code === "cancelled") throw error;
    return false;
  }
}
