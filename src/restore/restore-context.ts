import type { BlobReader } from "../repository/blobs/blob-reader.ts";
import type { RestoreTally } from "./report.ts";
import type { TaskPool } from "./task-pool.ts";

/** What every step of a restore has at hand. */
export interface RestoreContext {
  readonly reader: BlobReader;
  readonly pool: TaskPool;
  readonly tally: RestoreTally;
  readonly signal: AbortSignal | undefined;
  /** Called when that many bytes more are in place. */
  readonly advance: (bytes: number) => void;
  /** Whether an earlier restore that was cut off may have left something. */
  readonly resumed: boolean;
}
