/** Keeps up to date what is known of every location. A dead one holds up nobody. */
import type { Clock } from "../host/clock.ts";
import type { Logger } from "../host/log.ts";
import { belongsTo } from "../job/belonging.ts";
import { addressOfPrimary, addressOfReplica, type Location, primaryName } from "../job/locations.ts";
import type { OpenLocations } from "../job/open-locations.ts";
import { type PointThere, wantedAt } from "../job/rules.ts";
import type { StateFolder } from "../job/state-folder.ts";
import { UnlockedRecords } from "../job/unlocked-records.ts";
import { withinTime } from "../job/within-time.ts";
import type { Config, Policy } from "../policy/config.ts";
import { type CatalogPoint, loadCatalog } from "../repository/points/catalog.ts";
import { placeOf } from "../storage/place-of.ts";
import type { StorageAddress } from "../storage/storage.ts";
import { LocationWatch, type LookOptions } from "./location-watch.ts";

/** How long one look may take, in ms. */
const patience = 60_000;

export interface MonitorOptions {
  readonly config: () => Config;
  readonly locations: Pick<OpenLocations, "location">;
  readonly state: StateFolder;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Backlog {
  readonly policy: string;
  readonly location: string;
  readonly points: number;
  readonly bytes: number;
}

/** A look under way, and the one that is to follow it. */
interface Looking {
  readonly now: Promise<void>;
  next: Promise<void> | undefined;
}

export class Monitor {
  readonly #options: MonitorOptions;
  readonly #watches = new Map<string, LocationWatch>();
  readonly #looking = new Map<string, Looking>();
  #primary: Location | undefined;
  #backlogs: readonly Backlog[] = [];
  /** By policy and replica: points that could not be locked. */
  #unlocked: ReadonlyMap<string, number> = new Map();

  constructor(options: MonitorOptions) {
    this.#options = options;
  }

  /** Of the locations in the configuration, primary first. */
  get watches(): readonly LocationWatch[] {
    return this.#names().flatMap((name) => this.#watches.get(name) ?? []);
  }

  watch(location: string): LocationWatch | undefined {
    return this.#watches.get(location);
  }

  get backlogs(): readonly Backlog[] {
    return this.#backlogs;
  }

  /** Points of the policy that the last replication to the replica that knew it could not lock; undefined when none knew it yet. */
  unlocked(policy: string, location: string): number | undefined {
    return this.#unlocked.get(placeKey(policy, location));
  }

  /** Takes up what earlier processes knew of the locations; to be called again after each change of the configuration. */
  async restore(): Promise<void> {
    const { state, clock } = this.#options;
    for (const address of this.#addresses()) {
      const { location } = address;
      const path = placeOf(address);
      if (this.#watches.get(location)?.path === path) continue;
      const watch = new LocationWatch({ location, path, state, clock });
      await watch.restore();
      this.#watches.set(location, watch);
    }
    await this.#readUnlocked();
  }

  /**
   * Looks at the locations, all by default, side by side. What can't be reached is noted, not thrown.
   */
  async look(sizes: boolean, signal?: AbortSignal, locations: readonly string[] = this.#names()): Promise<void> {
    await this.#readUnlocked();
    await Promise.all(locations.map(async (location) => await this.lookAt(location, sizes, signal)));
    await this.#measureBacklogs(signal);
  }

  /** As `look`, at one location, and without measuring what it lacks. */
  async lookAt(location: string, sizes: boolean, signal?: AbortSignal): Promise<void> {
    const watch = this.#watches.get(location);
    if (watch !== undefined) await this.#lookOnce(watch, sizes, signal);
  }

  /**
   * One that is being looked at already may have been listed before what the caller wants to see was there: it is looked at
   * once more after that, unless it didn't even answer.
   */
  async #lookOnce(watch: LocationWatch, sizes: boolean, signal: AbortSignal | undefined): Promise<void> {
    const name = watch.location;
    const underWay = this.#looking.get(name);
    if (underWay === undefined) {
      const now = this.#look(watch, sizes, signal).finally(() => this.#looking.delete(name));
      this.#looking.set(name, { now, next: undefined });
      await now;
    } else {
      underWay.next ??= underWay.now.then(async () => {
        if (watch.reachable) await this.#lookOnce(watch, sizes, signal);
      });
      await underWay.next;
    }
  }

  async #look(watch: LocationWatch, sizes: boolean, signal: AbortSignal | undefined): Promise<void> {
    const { clock, locations, log } = this.#options;
    const { location } = watch;
    try {
      await withinTime({ clock, limit: patience, location, signal }, async (within) => {
        const opened = await locations.location(location, within);
        if (location === primaryName) this.#primary = opened;
        if (await watch.look(this.#lookOptions(opened, sizes, within))) log.info("location reachable", { location });
      });
    } catch (error) {
      if (signal?.aborted === true) return;
      if (watch.fail(error)) log.warn("location not reachable", { location, error });
    }
  }

  #lookOptions({ repository }: Location, sizes: boolean, signal: AbortSignal | undefined): LookOptions {
    return { repository, policies: this.#options.config().policies, sizes, signal };
  }

  /** As whoever replicated has noted it: the work process, or somebody by hand. */
  async #readUnlocked(): Promise<void> {
    const { config, state } = this.#options;
    const records = new UnlockedRecords(state);
    const unlocked = new Map<string, number>();
    for (const { name: policy, replicate } of config().policies) {
      for (const { replica, lock } of replicate) {
        const points = lock === undefined ? undefined : await records.read({ policy, location: replica.name });
        if (points !== undefined) unlocked.set(placeKey(policy, replica.name), points);
      }
    }
    this.#unlocked = unlocked;
  }

  /** By what was known last of each replica: a dead one's backlog grows with each capture. */
  async #measureBacklogs(signal: AbortSignal | undefined): Promise<void> {
    const { config, log } = this.#options;
    const { policies } = config();
    if (this.#primary === undefined || this.watch(primaryName)?.reachable !== true) return;
    if (policies.every(({ replicate }) => replicate.length === 0)) {
      this.#backlogs = [];
      return;
    }
    try {
      const { points } = await loadCatalog(this.#primary.repository, { signal });
      this.#backlogs = policies.flatMap((policy) => {
        const mine = belongsTo(policies, policy);
        const own = points.filter(({ manifest }) => mine(manifest));
        return policy.replicate.map(({ replica }) => this.#backlog(policy, replica.name, own));
      });
    } catch (error) {
      if (signal?.aborted !== true) log.warn("backlog not measured", { error });
    }
  }

  #backlog(policy: Policy, location: string, points: readonly CatalogPoint[]): Backlog {
    // By name alone, so that another policy's points of the source count: perhaps too few are lacking then, but never the newest.
    const there = (replica: string): readonly PointThere[] =>
      policy.sources.flatMap(({ name }) => this.watch(replica)?.pointsOf(name) ?? []);
    const wanted = wantedAt({ policy, location, now: this.#options.clock.now() }, points, { there });
    const settled = new Set(this.watch(location)?.known?.settled);
    const lacking = points.filter(({ id }) => wanted.has(id) && !settled.has(id));
    const bytes = lacking.reduce((sum, { manifest }) => sum + manifest.statistics.stored, 0);
    return { policy: policy.name, location, points: lacking.length, bytes };
  }

  /** Of the configuration in force. */
  #addresses(): StorageAddress[] {
    const config = this.#options.config();
    return [addressOfPrimary(config), ...config.replicas.map(addressOfReplica)];
  }

  #names(): string[] {
    return this.#addresses().map(({ location }) => location);
  }
}

function placeKey(policy: string, location: string): string {
  return `${policy} ${location}`;
}
