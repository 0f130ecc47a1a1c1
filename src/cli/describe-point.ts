/** Recovery points for programs: the shape that `--json` prints (docs/operations.md). */
import type { CatalogPoint } from "../repository/points/catalog.ts";

export interface DescribedPoint {
  readonly id: string;
  readonly source: string;
  readonly policy: string;
  readonly kind: string;
  readonly host: string;
  /** The instant captured, RFC 3339 in UTC. */
  readonly time: string;
  readonly consistency: string;
  readonly location: string;
  /** In bytes: protected, read, new, and stored after compression. */
  readonly sizes: { readonly size: number; readonly read: number; readonly new: number; readonly stored: number };
  readonly tags: readonly string[];
  /** When it was last proven that it can be restored; null when it wasn't, or when the newest proof failed. */
  readonly verified: string | null;
  readonly held: boolean;
  /** How many files could not be captured. */
  readonly left_out: number;
}

export function describePoint({ id, manifest, tags, proof, hold }: CatalogPoint, location: string): DescribedPoint {
  const { size, read, new: added, stored } = manifest.statistics;
  return {
    id,
    source: manifest.source,
    policy: manifest.policy,
    kind: manifest.kind,
    host: manifest.host,
    time: manifest.time,
    consistency: manifest.consistency,
    location,
    sizes: { size, read, new: added, stored },
    tags,
    verified: proof?.result === "passed" ? proof.time : null,
    held: hold !== undefined,
    left_out: manifest.left_out_count,
  };
}
