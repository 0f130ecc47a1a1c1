/** What a check or a repair has found out about each point, stored with it (docs/format.md section 10). */
import { throwIfCancelled } from "../../host/cancel.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { type CatalogPoint, forEachAtOnce } from "../points/catalog.ts";
import { putSmallObject } from "../points/small-objects.ts";
import type { Repository } from "../repository.ts";
import type { Affected } from "./affected.ts";

const proofsAtOnce = 8;

export interface Evidence {
  readonly points: readonly CatalogPoint[];
  /** What of them can't be read. */
  readonly affected: readonly Affected[];
  /** Whether every byte of the points was read and verified, or could not be: else nobody knows that they are whole. */
  readonly everything: boolean;
  readonly seconds: number;
}

/** Returns how many proofs were stored: that a point failed isn't said twice. Throws a storage error, or `cancelled`. */
export async function recordProofs(
  repository: Repository,
  { points, affected, everything, seconds }: Evidence,
  { signal }: CallOptions,
): Promise<number> {
  const pieces = Map.groupBy(affected, ({ point }) => point);
  const time = new Date(repository.clock.now()).toISOString();
  let stored = 0;
  await forEachAtOnce(points, proofsAtOnce, async ({ id: point, proof }) => {
    throwIfCancelled(signal);
    const lost = pieces.get(point)?.length ?? 0;
    if (lost === 0 ? !everything : proof?.result === "failed") return;
    const result = lost === 0 ? "passed" : "failed";
    const detail = lost === 0 ? "every byte was read and verified" : `pieces that can't be read: ${String(lost)}`;
    await putSmallObject(
      repository,
      "proofs",
      { version: 1, point, time, method: "read-data", result, seconds, detail },
      { signal },
    );
    stored += 1;
  });
  return stored;
}
