/** Reads what the locations hold, for the time lines and for what pruning will do. Done by the work process: it takes memory and time. */
import type { Clock } from "../host/clock.ts";
import { belongsTo, otherHeirs } from "../job/belonging.ts";
import { primaryName } from "../job/locations.ts";
import type { OpenLocations } from "../job/open-locations.ts";
import { type PrunePreview, previewPrune, type SourcePreview } from "../job/preview-prune.ts";
import { errorReport } from "../job/report.ts";
import { isBlocked, judgeChange } from "../job/retention-change.ts";
import { judgementOf } from "../job/prune-stage.ts";
import { judge, keptByAny, type PointThere, rulesAt, wantedAt } from "../job/rules.ts";
import { withinTime } from "../job/within-time.ts";
import type { Config } from "../policy/config.ts";
import type { Retention } from "../policy/retain.ts";
import { asFirstReceived } from "../repository/locks/first-received.ts";
import { type Catalog, type CatalogPoint, loadCatalog } from "../repository/points/catalog.ts";
import type { CallOptions } from "../storage/storage.ts";
import type { History, Timeline } from "./control-protocol.ts";
import { type Series, seriesOf } from "./known-location.ts";
import { gapsOf, marksOf, type TimelinePoint } from "./timeline.ts";

export interface HistoryRequest {
  /** Those to be read. */
  readonly locations: readonly string[];
  /** When each policy runs next, by name; not there when it does only when asked to. */
  readonly nextRuns: Readonly<Record<string, number>>;
  /** Of each replica: ids of the points that need not be sent to it. */
  readonly settled: Readonly<Record<string, readonly string[]>>;
}

export type ReadHistory = Pick<History, "unread" | "timelines" | "prunes">;

export interface HistoryContext {
  readonly config: Config;
  readonly locations: Pick<OpenLocations, "location">;
  readonly clock: Clock;
}

/** How long a location may take, in ms. */
const patience = 60_000;
/** Marks of all time lines together, of one at most, and of one in any case. */
const mostMarks = 24_000;
const mostInOne = 400;
const fewest = 24;
const mostGaps = 50;

/** What can't be read is among `unread`; nothing is thrown. */
export async function readHistory(
  { config, locations, clock }: HistoryContext,
  request: HistoryRequest,
  { signal }: CallOptions,
): Promise<ReadHistory> {
  const unread: History["unread"][number][] = [];
  const catalogs = new Map<string, Catalog>();
  const read = async (location: string): Promise<void> => {
    try {
      const catalog = await withinTime({ clock, limit: patience, location, signal }, async (within) => {
        const { repository } = await locations.location(location, within);
        const found = await loadCatalog(repository, { signal: within });
        return { ...found, points: await asFirstReceived(found.points, repository.storage, { signal: within }) };
      });
      catalogs.set(location, catalog);
    } catch (error) {
      unread.push({ location, error: errorReport(error) });
    }
  };
  await Promise.all(request.locations.map(read));

  const series = seriesOf(config.policies).filter(({ location }) => catalogs.has(location));
  const sources = new Map([...catalogs].map(([location, catalog]) => [location, bySource(catalog)]));
  const most = Math.max(fewest, Math.min(mostInOne, Math.floor(mostMarks / series.length)));
  const now = clock.now();
  const held = series.map((one): Held => {
    const all = sources.get(one.location)?.get(one.source) ?? [];
    const mine = belongsTo(config.policies, one.policy);
    return { ...one, all, own: all.filter(({ manifest }) => mine(manifest)) };
  });
  const damaged = new Map([...catalogs].map(([location, catalog]) => [location, namesOf(catalog)]));
  const lacking = (one: Held): ((id: string) => string[]) =>
    one.location === primaryName ? whoLacks(one, now, request.settled, held) : () => [];
  const previews = held.map((one) =>
    previewPrune({
      policy: one.policy,
      source: one.source,
      location: one.location,
      now,
      nextRun: request.nextRuns[one.policy.name],
      points: one.own,
      damaged: damaged.get(one.location) ?? new Set(),
      missingAt: lacking(one),
      keptBy: whoKeeps(config, one, held, (heir) => judge({ ...heir, now }, heir.own, lacking(heir))),
    }),
  );
  const places = Map.groupBy(previews, ({ preview: { policy, location } }) => JSON.stringify([policy, location]));
  const prunes = await Promise.all([...places.values()].map(async (all) => await withGuard(config, all, now)));
  return { unread, timelines: held.map((one) => timelineOf(one, now, most)), prunes: prunes.flat() };
}

/** Previews of one policy at one location: new rules that would forget much of one source hold back the pruning of all. */
async function withGuard(config: Config, previews: readonly SourcePreview[], now: number): Promise<PrunePreview[]> {
  const { policy: name = "", location = "" } = previews[0]?.preview ?? {};
  const policy = config.policies.find((one) => one.name === name);
  if (policy === undefined) return [];
  const groups = previews.map(({ preview: { source, keep, deferred, remove }, inherited }) => ({
    source,
    inherited,
    keep: { length: keep },
    deferred: { length: deferred },
    remove: { length: remove },
  }));
  const judgement = judgementOf(config, { policy, location }, now);
  const heldBack = isBlocked(await judgeChange(judgement, rulesAt(policy, location), { groups }));
  return previews.map(({ preview }) => ({ ...preview, heldBack }));
}

/** A series with what its location holds: every point of the source, and those that the policy answers for. Oldest first. */
interface Held extends Series {
  readonly all: readonly CatalogPoint[];
  readonly own: readonly CatalogPoint[];
}

function bySource({ points }: Catalog): Map<string, CatalogPoint[]> {
  return Map.groupBy(points, ({ manifest }) => manifest.source);
}

function namesOf({ damaged }: Catalog): Set<string> {
  return new Set(damaged.map(({ name }) => name));
}

function timelineOf({ policy, source, location, objective, all, own }: Held, now: number, most: number): Timeline {
  const condensed = own.map((point) => condense(location, point));
  const others = all.map((point) => condense(location, point));
  return {
    policy: policy.name,
    source,
    location,
    count: own.length,
    verified: condensed.filter(({ verified }) => verified).length,
    held: condensed.filter((point) => point.held).length,
    marks: marksOf(condensed, now, most),
    gaps: objective === undefined ? [] : gapsOf(condensed, others, objective).slice(0, mostGaps),
  };
}

/** The primary has a point from its commit on, a replica from when its own clock says that the manifest came. */
function condense(
  location: string,
  { id, digest, time, manifest, proof, hold, received }: CatalogPoint,
): TimelinePoint {
  const committed = Date.parse(manifest.finished);
  return {
    id,
    digest,
    previous: manifest.previous,
    time,
    arrived: location === primaryName ? committed : Math.max(committed, received),
    verified: proof?.result === "passed",
    held: hold !== undefined,
  };
}

/** The other policies that keep a point of this one, which belongs to them as well. */
function whoKeeps(
  { policies }: Config,
  one: Held,
  held: readonly Held[],
  judged: (heir: Held) => Retention,
): (id: string) => string[] {
  const manifests = one.own.map(({ manifest }) => manifest);
  const names = new Set(otherHeirs(policies, one, manifests).map(({ name }) => name));
  if (names.size === 0) return () => [];
  const heirs = held.filter(
    ({ policy, source, location }) => names.has(policy.name) && source === one.source && location === one.location,
  );
  return keptByAny(heirs.map((heir) => ({ name: heir.policy.name, keep: judged(heir).keep })));
}

/** The replicas that want a point and lack it. */
function whoLacks(
  { policy, source, own }: Held,
  now: number,
  settled: HistoryRequest["settled"],
  held: readonly Held[],
): (id: string) => string[] {
  const series = held.filter((one) => one.policy === policy && one.source === source);
  const there = (name: string): readonly PointThere[] => series.find(({ location }) => location === name)?.own ?? [];
  const replicas = policy.replicate.map(({ replica: { name } }) => ({
    name,
    wanted: wantedAt({ policy, location: name, now }, own, { there }),
    known: new Set(settled[name]),
  }));
  return (id) => replicas.filter(({ wanted, known }) => wanted.has(id) && !known.has(id)).map(({ name }) => name);
}
