/** The second stage of a job: one replica, brought up to date with what the policy has at the primary, or at another replica. */
import { isStillpointError, StillpointError } from "../errors.ts";
import type { Config, Policy, Replication } from "../policy/config.ts";
import { foreignPoints } from "../replicate/foreign-points.ts";
import type { OwnRecords } from "../replicate/point-locks.ts";
import { replicate } from "../replicate/replicate.ts";
import type { CatalogPoint } from "../repository/points/catalog.ts";
import { belongsTo } from "./belonging.ts";
import { freedElsewhere } from "./full-replica.ts";
import { LockRecords } from "./lock-records.ts";
import { errorReport, type Replicated } from "./report.ts";
import { type Location, primaryName } from "./locations.ts";
import { keptAt, type PointThere, wantedAt } from "./rules.ts";
import { robbedReplica, sharedReplica } from "./signs-of-others.ts";
import type { StageContext } from "./stage-context.ts";
import { StateFolder } from "./state-folder.ts";
import { UnlockedRecords } from "./unlocked-records.ts";

export interface ReplicateRequest {
  readonly policy: Policy;
  readonly to: Replication;
  /** The location to replicate from; by default the one that the configuration says. */
  readonly from?: string | undefined;
  /** Any object that stands for the job: its replications from one location share what they read there. */
  readonly job: object;
  readonly signal?: AbortSignal | undefined;
  /** In bytes; `total` is an estimate. */
  readonly progress: (done: number, total: number) => void;
}

/** Clocks may differ by this much, in ms. */
const tolerance = 5 * 60_000;

export async function replicateStage(context: StageContext, request: ReplicateRequest): Promise<Replicated> {
  const { policy, to, from = to.from ?? primaryName, job, signal, progress } = request;
  const config = context.config();
  const { policies, maintenance } = config;
  const source = await openOrigin(context, from, to, signal);
  // What is read here is read while the replica answers.
  const [location, { points, store }] = await Promise.all([
    context.locations.replica(to.replica.name, signal, source),
    context.views.of(job, source, { signal }),
  ]);
  const { repository: replica } = location;
  const mine = belongsTo(policies, policy);
  const own = points.filter(({ manifest }) => mine(manifest));
  const judging = { policy, location: to.replica.name, now: context.clock.now() };
  const keeps = (there: readonly CatalogPoint[]): ReadonlySet<string> => {
    // What claims to be younger than its receipt is forged, or its host's clock was wrong: it isn't to be locked for ever.
    const honest = there.filter(({ manifest, time, received }) => mine(manifest) && time <= received + tolerance);
    return keptAt(judging, honest);
  };
  const keeping = failureOf(context.configs.keep(location, config, { signal }));
  // What is to be locked with the points must be there before they are.
  if (to.lock !== undefined) await keeping;
  const replicating = replicate({
    primary: store,
    points: own,
    replica,
    wanted: (found) => {
      const there = (name: string): readonly PointThere[] =>
        name === to.replica.name ? found.filter(({ manifest }) => mine(manifest)) : [];
      const wanted = wantedAt(judging, own, { from, there });
      return ({ id }) => wanted.has(id);
    },
    grace: maintenance.grace,
    lock: to.lock === undefined ? undefined : { length: to.lock, keeps, own: ownRecords(config, policy, to) },
    signal,
    onProgress: ({ bytes }) => progress(bytes.done, bytes.total),
  });
  const [report, unkept] = await Promise.all([replicating, keeping]);
  const {
    replicated,
    failed,
    failedNotes,
    unlocked,
    unlockedPoints,
    ended,
    bytesRead,
    bytesSent,
    backlog,
    there = [],
    vanished,
  } = report;
  const unnoted = unlockedPoints === undefined ? undefined : await noteUnlocked(config, request, unlockedPoints);
  // Another replica has what the primary lacks, and gives it on.
  const foreign =
    from === primaryName ? await foreignPoints({ primary: source.repository, points, there, signal }) : [];
  const signs = [sharedReplica(to.replica.name, foreign), robbedReplica(to.replica.name, vanished)];
  const errors = [
    ended ?? unkept,
    ...signs,
    ...[...failed, ...failedNotes].map(({ error }) => error),
    ...unlocked,
    unnoted,
  ];
  const wrong = errors
    .filter((error) => error !== undefined)
    .map((error) => errorReport(freedElsewhere(error, to.replica)));
  return {
    outcome: wrong.length === 0 ? "ok" : ended === undefined || replicated.length > 0 ? "partial" : "failed",
    points: replicated.length,
    bytesRead,
    bytesSent,
    backlog: backlog && { points: backlog.lacking.length, bytes: backlog.estimatedBytes },
    unlocked: unlockedPoints,
    errors: wrong,
  };
}

/** What any policy of this host has locked there needn't be locked again by another. */
function ownRecords(
  { repository, policies }: Config,
  policy: Policy,
  { replica: { name: location } }: Replication,
): OwnRecords {
  const records = new LockRecords(new StateFolder(repository.state), location);
  return {
    read: async () => await records.read(policies.map(({ name }) => name)),
    note: async (names) => await records.note(policy.name, names),
  };
}

/** For the daemon, which may not have begun this. What can't be written is told, and what was sent is there all the same. */
async function noteUnlocked(
  { repository }: Config,
  { policy, to }: ReplicateRequest,
  points: number,
): Promise<StillpointError | undefined> {
  const records = new UnlockedRecords(new StateFolder(repository.state));
  return await failureOf(records.note({ policy: policy.name, location: to.replica.name }, points));
}

/** The error that some work ended with; undefined when it was done. Throws defects. */
async function failureOf(work: Promise<void>): Promise<StillpointError | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (!isStillpointError(error)) throw error;
    return error;
  }
}

/** Another replica is asked in the primary's place, and not the other way round: there are reasons why it is named. */
async function openOrigin(
  { locations }: StageContext,
  from: string,
  { replica: { name } }: Replication,
  signal: AbortSignal | undefined,
): Promise<Location> {
  try {
    return await locations.alone(from, signal);
  } catch (error) {
    if (from === primaryName || !isStillpointError(error) || error.code === "cancelled") throw error;
    throw new StillpointError(error.code, {
      what: `Cannot replicate from ${from} to ${name}: ${error.parts.what}`,
      safe: `What is at ${name} stays; the next run sends what is missing there, once ${from} is back.`,
      next: `Until then, \`stillpoint replicate --from ${primaryName} --to ${name}\` sends it from here.`,
      cause: error,
    });
  }
}
