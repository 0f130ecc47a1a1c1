/** The newest recovery points of many hosts, each with a repository of its own in one bucket or folder. */
import { exitStatus, isStillpointError, StillpointError } from "../errors.ts";
import { newestPoints } from "../job/newest-point.ts";
import type { Secret } from "../repository/keys/key-objects.ts";
import { forEachAtOnce } from "../repository/points/catalog.ts";
import type { RecoveryPoint } from "../repository/points/manifest.ts";
import { openRepository } from "../repository/repository.ts";
import { listPlacesBelow, openStorage, type PlaceBelow } from "../storage/open.ts";
import type { Cli } from "./cli.ts";
import { believable } from "./find-points.ts";
import { formatAge, formatTime, printable } from "./format.ts";
import { addressOf, type LocationFlags, secretsOf } from "./open-location.ts";
import { formatTable } from "./table.ts";

interface FleetFlags extends LocationFlags {
  readonly fleet: string;
  readonly source?: string;
  readonly policy?: string;
  readonly json?: boolean;
}

interface Member {
  readonly place: PlaceBelow;
  /** The newest of each source; undefined when the repository doesn't open. */
  readonly points: readonly RecoveryPoint[] | undefined;
  readonly error: StillpointError | undefined;
}

const hostsAtOnce = 8;

/** Throws `usage`, what reading a key throws, or a storage error of the place as a whole; one host's trouble is printed with it. */
export async function listFleet(cli: Cli, flags: FleetFlags): Promise<void> {
  if (flags.repository !== undefined || flags.config !== undefined) {
    throw new StillpointError("usage", {
      what: "Cannot list a fleet and one repository at once",
      next: "Leave out --fleet, or --repository and --config.",
    });
  }
  const { signal, output } = cli;
  const secrets = await secretsOf(flags);
  const places = await listPlacesBelow(addressOf(flags.fleet), { signal });
  const members: Member[] = [];
  await forEachAtOnce(places, hostsAtOnce, async (place) => {
    const member = await look(cli, place, secrets, flags);
    if (member !== undefined) members.push(member);
  });
  members.sort((a, b) => (a.place.name < b.place.name ? -1 : 1));
  if (members.some(({ error }) => error !== undefined && error.code !== "key_wrong")) cli.exit = exitStatus.partial;
  if (flags.json === true) return output.json(members.map(describe));
  if (members.length === 0) return output.print(`No host has a repository in ${flags.fleet}.`);
  print(cli, members);
}

/** Undefined for a place that is no repository. */
async function look(
  cli: Cli,
  place: PlaceBelow,
  secrets: readonly Secret[],
  { source, policy }: FleetFlags,
): Promise<Member | undefined> {
  const { clock, signal } = cli;
  const { address } = place;
  const storage = openStorage(address, { clock, readOnly: true });
  let error: StillpointError | undefined;
  for (const secret of secrets) {
    try {
      const repository = await openRepository({ storage, clock, secret, address, signal });
      const points = await newestPoints(repository, {
        among: (listed) => believable(listed, clock.now()),
        counts: ({ manifest }) =>
          (source ?? manifest.source) === manifest.source && (policy ?? manifest.policy) === manifest.policy,
        signal,
      });
      return {
        place,
        points: points.toSorted((a, b) => (a.manifest.source < b.manifest.source ? -1 : 1)),
        error: undefined,
      };
    } catch (thrown) {
      if (isStillpointError(thrown, "repository_missing")) return undefined;
      if (!isStillpointError(thrown) || thrown.code === "cancelled") throw thrown;
      error = thrown;
      // A key object that is damaged may hide the one that this secret opens; the next may open another.
      if (error.code !== "key_wrong" && error.code !== "damaged") break;
    }
  }
  return { place, points: undefined, error };
}

function describe({ place, points, error }: Member): unknown {
  return {
    name: place.name,
    place: place.address.location,
    error: error === undefined ? null : { code: error.code, message: error.message },
    points: (points ?? []).map(({ id, manifest: { source, policy, host, kind, time, consistency } }) => {
      return { id, source, policy, host, kind, time, consistency };
    }),
  };
}

function print({ output, clock }: Cli, members: readonly Member[]): void {
  const rows = members.flatMap(({ place, points = [] }) =>
    points.map(({ id, time, manifest: { source, policy, consistency } }) => [
      place.name,
      printable(source),
      printable(policy),
      id.slice(0, 8),
      formatTime(time),
      formatAge(clock.now() - time),
      consistency,
    ]),
  );
  const columns = [
    { title: "HOST" },
    { title: "SOURCE", cut: true },
    { title: "POLICY", cut: true },
    { title: "NEWEST" },
    { title: "TIME (UTC)" },
    { title: "AGE", align: "right" },
    { title: "CONSISTENCY" },
  ] as const;
  const [title = "", ...lines] = formatTable(columns, rows, output.width);
  output.print(output.style("bold", title));
  for (const line of lines) output.print(line);
  for (const { place, points, error } of members) {
    if (error?.code === "key_wrong") output.print(`${place.name}: none of the keys given opens it`);
    else if (error !== undefined) output.print(`${place.name}: ${error.message}`);
    else if (points?.length === 0) output.print(`${place.name}: no recovery point`);
  }
}
