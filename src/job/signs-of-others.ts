/** What a run says when it sees that somebody else is at work at a replica. */
import { StillpointError } from "../errors.ts";
import type { RecoveryPoint } from "../repository/points/manifest.ts";

/** The codes of these errors. */
export const signsOfOthers = ["points_deleted", "replica_shared"] as const;
export type SignOfOthers = (typeof signsOfOthers)[number];

/** Undefined when no foreign point is there. */
export function sharedReplica(name: string, foreign: readonly RecoveryPoint[]): StillpointError | undefined {
  const newest = foreign.at(-1);
  if (newest === undefined) return undefined;
  const { time, source, host } = newest.manifest;
  return new StillpointError("replica_shared", {
    what: `Somebody else writes to ${name} as this host does: recovery points of ${sourcesOf(foreign)} came there that weren't captured here (${String(foreign.length)} since the last run), the newest ${newest.id.slice(0, 8)} of ${source}, at ${time} on ${host}`,
    safe: "All points are whole, those of this host are sent all the same, and this run forgets none there.",
    next: "End the other one: the host that this one has replaced, or a copy of it; one that is to stay needs a repository and replicas of its own (docs/disaster.md). If you know of none, somebody has this host's keys (docs/security.md).",
  });
}

/** Undefined when nothing has vanished. */
export function robbedReplica(name: string, vanished: readonly RecoveryPoint[]): StillpointError | undefined {
  if (vanished.length === 0) return undefined;
  return new StillpointError("points_deleted", {
    what: `Somebody has deleted at ${name}: ${String(vanished.length)} recovery points of ${sourcesOf(vanished)} that this host has seen there are gone, and no record says that they were forgotten`,
    safe: "Those of them that are here are sent again, as far as the rules want them.",
    next: `Find out who has access there (docs/offsite.md, Rights). \`stillpoint check --location ${name}\` names what is still missing, and \`stillpoint repair --location ${name}\` brings back what another location has, or a lock has kept.`,
  });
}

function sourcesOf(points: readonly RecoveryPoint[]): string {
  return [...new Set(points.map(({ manifest }) => manifest.source))].join(", ");
}
