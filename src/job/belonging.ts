/** Which recovery points a policy answers for: those that it replicates, keeps and forgets. Pure. */
import type { Policy } from "../policy/config.ts";
import { primaryName } from "./locations.ts";

/** What a manifest says about where the point came from. */
export interface Origin {
  readonly source: string;
  readonly policy: string;
}

/**
 * A point belongs to the policy that captured it. When that one has the source no more (it was renamed, say, or the source has moved
 * to another policy), to each policy that has it now: these inherit it, and a prune by one of them leaves what another one keeps.
 * The points of a source that no policy has belong to nobody: they stay until someone forgets them.
 */
export function belongsTo(policies: readonly Policy[], policy: Policy): (point: Origin) => boolean {
  const sources = new Set(policy.sources.map(({ name }) => name));
  const owned = sourcesOf(policies);
  return (point) => {
    if (!sources.has(point.source)) return false;
    return point.policy === policy.name || owned.get(point.policy)?.has(point.source) !== true;
  };
}

/** The other policies that prune at the location and to which some of these points, which are the policy's, belong as well. */
export function otherHeirs(
  policies: readonly Policy[],
  { policy, location }: { readonly policy: Policy; readonly location: string },
  points: readonly Origin[],
): Policy[] {
  const inherited = points.filter((point) => point.policy !== policy.name);
  if (inherited.length === 0) return [];
  const isThere = ({ replicate }: Policy): boolean =>
    location === primaryName || replicate.some(({ replica }) => replica.name === location);
  return policies.filter(
    (other) => other.name !== policy.name && isThere(other) && inherited.some(belongsTo(policies, other)),
  );
}

type Sources = ReadonlyMap<string, ReadonlySet<string>>;

/** Worked out once for each configuration: with hundreds of policies it is asked for each of them, at each look. */
const known = new WeakMap<readonly Policy[], Sources>();

/** The names of each policy's sources. */
function sourcesOf(policies: readonly Policy[]): Sources {
  const before = known.get(policies);
  if (before !== undefined) return before;
  const sources = new Map(policies.map((one) => [one.name, new Set(one.sources.map(({ name }) => name))]));
  known.set(policies, sources);
  return sources;
}
