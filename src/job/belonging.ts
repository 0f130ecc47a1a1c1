/** Which recovery points a policy answers for: those that it replicates, keeps and forgets. Pure. */
import type { Policy } from "../policy/config.ts";

/** What a manifest says about where the point came from. */
export interface Origin {
  readonly source: string;
  readonly policy: string;
}

/**
 * A point belongs to the policy that captured it. When that one has the source no more (it was renamed, say, or the source has moved
 * to another policy), to each policy that has it now. The points of a source that no policy has belong to nobody:
 * they stay until someone forgets them.
 */
export function belongsTo(policies: readonly Policy[], policy: Policy): (point: Origin) => boolean {
  const sources = new Set(policy.sources.map(({ name }) => name));
  const owners = new Set(policies.flatMap((one) => one.sources.map((source) => `${one.name} ${source.name}`)));
  return (point) => {
    if (!sources.has(point.source)) return false;
    return point.policy === policy.name || !owners.has(`${point.policy} ${point.source}`);
  };
}
