/** Forgets what a plan says. The space is freed by sweeps. */
import { throwIfCancelled } from "../host/cancel.ts";
import { type CatalogPoint, forgetUnlessKept } from "../repository/points/catalog.ts";
import type { Repository } from "../repository/repository.ts";
import type { CallOptions } from "../storage/storage.ts";
import type { PrunePlan } from "./plan-prune.ts";

export interface ExecutePruneOptions extends CallOptions {
  /** Asked before each point whether the plan still holds; always, by default. */
  readonly holds?: () => boolean;
  /** Told of each point once it is forgotten. */
  readonly onForgotten?: (point: CatalogPoint) => void;
}

export interface Pruned {
  readonly forgotten: readonly string[];
  /** Held, or read, since the plan was made, so they stay. */
  readonly held: readonly string[];
  /** False when the plan didn't hold any more: what it hadn't come to stays. */
  readonly complete: boolean;
}

/** Throws a storage error, or `cancelled`: what was forgotten by then stays forgotten, the rest stays as it is. */
export async function executePrune(
  repository: Repository,
  plan: PrunePlan,
  options: ExecutePruneOptions = {},
): Promise<Pruned> {
  const { signal, holds = () => true, onForgotten } = options;
  const forgotten: string[] = [];
  const held: string[] = [];
  for (const { policy, remove } of plan.groups) {
    for (const point of remove) {
      throwIfCancelled(signal);
      if (!holds()) return { forgotten, held, complete: false };
      // The plan may be some minutes old; a hold placed meanwhile counts, even one that can't be read, and so does a reader.
      const keeper = await forgetUnlessKept(repository, point, `no rule of ${policy} keeps it`, { signal });
      if (keeper !== undefined) {
        held.push(point.id);
        continue;
      }
      forgotten.push(point.id);
      onForgotten?.(point);
    }
  }
  return { forgotten, held, complete: true };
}
