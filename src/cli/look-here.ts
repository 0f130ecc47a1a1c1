/** What `status` finds out by itself when no daemon runs. */
import { isStillpointError } from "../errors.ts";
import type { DaemonStatus, LocationStatus, NewestPoint, PointStatus } from "../daemon/control-protocol.ts";
import { type KnownLocation, knownLocation, newestOf, seriesOf } from "../daemon/known-location.ts";
import { openLocation, primaryName } from "../job/locations.ts";
import { errorReport } from "../job/report.ts";
import { StateFolder } from "../job/state-folder.ts";
import { withinTime } from "../job/within-time.ts";
import { minute } from "../policy/units.ts";
import type { Config } from "../policy/config.ts";
import { type Catalog, type CatalogPoint, loadCatalog } from "../repository/points/catalog.ts";
import type { Cli } from "./cli.ts";

export type Look = Pick<DaemonStatus, "points"> & {
  readonly locations: readonly Pick<LocationStatus, "location" | "reachable" | "error">[];
};

/** How long a location may take, in ms. */
const patience = 30_000;
/** As the daemon has it: a point that is dated further in the future, in ms, is no evidence of anything. */
const tolerance = 5 * minute;

interface Seen {
  readonly location: string;
  readonly error: LocationStatus["error"];
  readonly known: Pick<KnownLocation, "newest" | "verified"> | undefined;
}

/** Reads every location, side by side; of one that can't be reached, what the daemon knew last. Changes nothing. */
export async function lookHere(cli: Cli, config: Config): Promise<Look> {
  const names = [primaryName, ...config.replicas.map(({ name }) => name)];
  const seen = new Map(await Promise.all(names.map(async (name) => [name, await look(cli, config, name)] as const)));
  const points = seriesOf(config.policies).map((series): PointStatus => {
    const known = seen.get(series.location)?.known;
    return {
      policy: series.policy.name,
      source: series.source,
      location: series.location,
      newest: newestOf(known?.newest ?? [], series, config.policies),
      verified: newestOf(known?.verified ?? [], series, config.policies)?.time,
      objective: series.objective,
    };
  });
  const locations = [...seen.values()].map(({ location, error }) => ({
    location,
    error,
    reachable: error === undefined,
  }));
  return { points, locations };
}

async function look(cli: Cli, config: Config, location: string): Promise<Seen> {
  const { clock, environment, signal } = cli;
  try {
    const { points } = await withinTime({ clock, limit: patience, location, signal }, async (within) => {
      const options = { clock, environment, readOnly: true, signal: within };
      const { repository } = await openLocation(config, location, options);
      return await loadCatalog(repository, { signal: within });
    });
    return { location, error: undefined, known: condense(points, clock.now() + tolerance) };
  } catch (error) {
    if (isStillpointError(error, "cancelled")) throw error;
    const known = await new StateFolder(config.repository.state).read(`locations/${location}.json`, knownLocation);
    return { location, error: errorReport(error), known };
  }
}

function condense(points: Catalog["points"], latest: number): Seen["known"] {
  const dated = points.filter(({ time }) => time <= latest);
  const proven = dated.filter(({ proof }) => proof?.result === "passed");
  return { newest: dated.map(describe), verified: proven.map(describe) };
}

function describe({ id, time, manifest }: CatalogPoint): KnownLocation["newest"][number] & NewestPoint {
  const { source, policy, consistency, statistics, left_out_count: leftOut, started, finished } = manifest;
  const { size, stored } = statistics;
  const duration = Date.parse(finished) - Date.parse(started);
  return { id, time, source, policy, consistency, size, stored, leftOut, duration };
}
