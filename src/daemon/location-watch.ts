/** Looks at one location now and then, cheaply: names are listed, and of the manifests only the newest are read. */
import type { Clock } from "../host/clock.ts";
import { nodeFiles } from "../host/node-files.ts";
import { belongsTo } from "../job/belonging.ts";
import { primaryName } from "../job/locations.ts";
import type { PointThere } from "../job/rules.ts";
import { type ErrorReport, errorReport } from "../job/report.ts";
import type { StateFolder } from "../job/state-folder.ts";
import type { Policy } from "../policy/config.ts";
import { readPoint } from "../repository/points/catalog.ts";
import { compactTime, parsePointName } from "../repository/points/manifest.ts";
import type { Repository } from "../repository/repository.ts";
import { getSmallObject } from "../repository/points/small-objects.ts";
import { type Damage, PassingOver, requireRead } from "../repository/points/unreadable.ts";
import { type SizeSample, SizeHistory } from "./size-history.ts";
import type { CallOptions } from "../storage/storage.ts";
import { type KnownLocation, type KnownPoint, knownLocation, seriesOf } from "./known-location.ts";

/** Clocks may differ by this much, in ms, before a point counts as dated in the future, which is no evidence of anything. */
const tolerance = 5 * 60_000;

export interface WatchOptions {
  readonly location: string;
  /** The location's folder. */
  readonly path: string;
  readonly state: StateFolder;
  readonly clock: Clock;
}

export interface LookOptions extends CallOptions {
  readonly repository: Repository;
  readonly policies: readonly Policy[];
  /** Whether to add up the sizes of all packs too, which takes long when there are many. */
  readonly sizes: boolean;
}

/** A look that is under way. */
interface Looking extends LookOptions {
  readonly passing: PassingOver;
}

interface ListedPoint {
  readonly name: string;
  readonly id: string;
  /** That it claims, in ms since the epoch. */
  readonly time: number;
  /** When the store says that it was written, in ms since the epoch. */
  readonly received: number;
}

export class LocationWatch {
  readonly location: string;
  readonly path: string;
  readonly #options: WatchOptions;
  /** Condensed manifests by object name. One that can't be read isn't among them: it may be whole at the next look. */
  readonly #points = new Map<string, KnownPoint>();
  /** Whether a proof says `passed`, by object name. */
  readonly #proofs = new Map<string, boolean>();
  /** By source: every one is asked for at each look. */
  readonly #tags = new Map<string, string>();
  /** Points by their source's tag, newest first. */
  #listed = new Map<string, ListedPoint[]>();
  readonly #sizes: SizeHistory;
  #known: KnownLocation | undefined;
  #error: ErrorReport | undefined;
  #reachable = false;

  constructor(options: WatchOptions) {
    this.location = options.location;
    this.path = options.path;
    this.#options = options;
    this.#sizes = new SizeHistory(options.location, options.path, options.state);
  }

  /** From the last successful look, perhaps of an earlier process. */
  get known(): KnownLocation | undefined {
    return this.#known;
  }

  /** Whether the last look succeeded. */
  get reachable(): boolean {
    return this.#reachable;
  }

  get error(): ErrorReport | undefined {
    return this.#error;
  }

  /** How large it was over time; see `SizeHistory`. */
  get sizes(): readonly SizeSample[] {
    return this.#sizes.samples;
  }

  /** The points of a source, as their names tell; none before this process has looked. */
  pointsOf(source: string): readonly PointThere[] {
    const listed = this.#listed.get(this.#tags.get(source) ?? "") ?? [];
    return listed.map(({ id, time, received }) => ({ id, time, received, manifest: { source } }));
  }

  /** Takes up what an earlier process knew. */
  async restore(): Promise<void> {
    await this.#sizes.restore();
    const known = await this.#options.state.read(this.#record, knownLocation);
    if (known?.path === this.path) this.#known = known;
  }

  /** Notes a failed look: what was known stays. Returns whether that is news. */
  fail(error: unknown): boolean {
    const report = errorReport(error);
    const news = this.#reachable || this.#error?.message !== report.message;
    this.#reachable = false;
    this.#error = report;
    return news;
  }

  /** Throws what the storage throws. Returns whether the location could not be reached before. */
  async look(request: LookOptions): Promise<boolean> {
    const unread: Damage[] = [];
    const options = { ...request, passing: new PassingOver((damage) => unread.push(damage)) };
    await this.#list(options);
    const proofs = await this.#listProofs(options);
    const newest = new Map<string, KnownPoint>();
    const verified = new Map<string, KnownPoint>();
    for (const series of seriesOf(options.policies).filter(({ location }) => location === this.location)) {
      const mine = belongsTo(options.policies, series.policy);
      const listed = this.#ofSource(options.repository, series.source);
      const first = await this.#first(options, listed, mine);
      if (first !== undefined) newest.set(`${first.source} ${first.policy}`, first);
      const proven = listed.filter(({ id }) => proofs.has(id));
      const firstProven = await this.#first(options, proven, mine, ({ id }) => this.#passed(options, proofs.get(id)));
      if (firstProven !== undefined) verified.set(`${firstProven.source} ${firstProven.policy}`, firstProven);
    }
    // That there is no point is only known where the storage could read what it lists.
    if (newest.size === 0) requireRead({ damaged: unread });
    await this.#remember({
      version: 1,
      path: this.path,
      checked: this.#options.clock.now(),
      newest: [...newest.values()],
      verified: [...verified.values()],
      counts: this.#counts(options),
      settled: [...(await this.#settled(options))],
      inFuture: this.#inFuture(),
      sizeBytes: options.sizes ? await sizeOfPacks(options) : this.#known?.sizeBytes,
      freeBytes: await nodeFiles.freeSpace(this.path).catch(() => undefined),
    });
    if (options.sizes && this.#known?.sizeBytes !== undefined) {
      await this.#sizes.note(this.#known.checked, this.#known.sizeBytes);
    }
    const news = !this.#reachable;
    this.#reachable = true;
    this.#error = undefined;
    return news;
  }

  get #record(): string {
    return `locations/${this.location}.json`;
  }

  async #remember(known: KnownLocation): Promise<void> {
    const { checked: _, ...before } = this.#known ?? { checked: 0 };
    const { checked: __, ...now } = known;
    this.#known = known;
    const unchanged = JSON.stringify({ ...before, freeBytes: 0 }) === JSON.stringify({ ...now, freeBytes: 0 });
    if (!unchanged) await this.#options.state.write(this.#record, known);
  }

  async #list({ repository, signal }: LookOptions): Promise<void> {
    const listed = new Map<string, ListedPoint[]>();
    const names = new Set<string>();
    for await (const { name, time } of repository.storage.list("points/", { signal })) {
      const parsed = parsePointName(name);
      if (parsed === undefined) continue;
      names.add(name);
      const ofSource = listed.get(parsed.sourceTag) ?? [];
      ofSource.push({ name, id: parsed.id, time: parsed.time, received: time });
      listed.set(parsed.sourceTag, ofSource);
    }
    // Names of the same source sort by time.
    for (const points of listed.values()) points.sort((a, b) => (a.name < b.name ? 1 : -1));
    for (const name of this.#points.keys()) if (!names.has(name)) this.#points.delete(name);
    this.#listed = listed;
  }

  /** The newest proof of each point, by the point's id. */
  async #listProofs({ repository, signal }: LookOptions): Promise<Map<string, string>> {
    const newest = new Map<string, string>();
    for await (const { name } of repository.storage.list("proofs/", { signal })) {
      const id = name.split("/")[1] ?? "";
      if (name > (newest.get(id) ?? "")) newest.set(id, name);
    }
    return newest;
  }

  #ofSource(repository: Repository, source: string): readonly ListedPoint[] {
    const tag = this.#tags.get(source) ?? repository.keys.sourceTag(source);
    this.#tags.set(source, tag);
    return this.#listed.get(tag) ?? [];
  }

  #counts({ repository, policies }: LookOptions): KnownLocation["counts"] {
    const here = seriesOf(policies).filter(({ location }) => location === this.location);
    const sources = [...new Set(here.map(({ source }) => source))];
    return sources.map((source) => ({ source, count: this.#ofSource(repository, source).length }));
  }

  /** By their names alone, which a manifest must agree with. A replica has received nothing before it was captured. */
  #inFuture(): number {
    const now = this.#options.clock.now();
    const ahead = ({ name, received }: ListedPoint): boolean => {
      const latest = this.location === primaryName ? now : Math.min(now, received);
      return (name.split("/")[2] ?? "") > compactTime(latest + tolerance);
    };
    return [...this.#listed.values()].flatMap((points) => points.filter(ahead)).length;
  }

  async #settled({ repository, signal }: LookOptions): Promise<Set<string>> {
    const ids = new Set([...this.#listed.values()].flatMap((points) => points.map(({ id }) => id)));
    for await (const { name } of repository.storage.list("forgotten/", { signal })) ids.add(name.split("/")[1] ?? "");
    return ids;
  }

  async #first(
    options: Looking,
    listed: readonly ListedPoint[],
    mine: (point: KnownPoint) => boolean,
    also: (point: KnownPoint) => Promise<boolean> = () => Promise.resolve(true),
  ): Promise<KnownPoint | undefined> {
    const latest = this.#options.clock.now() + tolerance;
    for (const one of listed) {
      const point = await this.#point(options, one);
      if (point !== undefined && point.time <= latest && mine(point) && (await also(point))) return point;
    }
    return undefined;
  }

  /** Verified by its signature, when it is first seen. Undefined when it can't be read, or is gone meanwhile. */
  async #point({ repository, passing, signal }: Looking, { name }: ListedPoint): Promise<KnownPoint | undefined> {
    const known = this.#points.get(name);
    if (known !== undefined) return known;
    const read = await passing.readIfThere(name, async () => await readPoint(repository, name, { signal }));
    if (read === undefined) return undefined;
    const { id, time, manifest } = read;
    const { source, policy, consistency, statistics, left_out_count: leftOut, started, finished } = manifest;
    const { size, stored } = statistics;
    const duration = Date.parse(finished) - Date.parse(started);
    const point = { id, time, source, policy, consistency, size, stored, leftOut, duration };
    this.#points.set(name, point);
    return point;
  }

  async #passed({ repository, passing, signal }: Looking, name: string | undefined): Promise<boolean> {
    if (name === undefined) return false;
    const known = this.#proofs.get(name);
    if (known !== undefined) return known;
    const proof = await passing.readIfThere(
      name,
      async () => await getSmallObject(repository, "proofs", name, { signal }),
    );
    if (proof === undefined) return false;
    const passed = proof.result === "passed";
    this.#proofs.set(name, passed);
    return passed;
  }
}

async function sizeOfPacks({ repository, signal }: LookOptions): Promise<number> {
  let bytes = 0;
  for await (const { size } of repository.storage.list("packs/", { signal })) bytes += size;
  return bytes;
}
