/** Which blobs recovery points need, and how many of them are nowhere. */
import type { BlobStore } from "../blobs/blob-store.ts";
import { blobKinds } from "../format.ts";
import { markBlobs, type MarkOptions, type MarkProblem, namingPlace } from "../mark/mark.ts";
import type { MarkSet } from "../mark/mark-set.ts";
import type { RecoveryPoint } from "../points/manifest.ts";

export interface InUse {
  readonly marks: MarkSet;
  /** Data blobs that are in no pack. */
  readonly missing: number;
}

/**
 * A data blob that is missing hides nothing. What is below a node that can't be read isn't known: then nothing may be deleted.
 *
 * @throws StillpointError `damaged` when a node can't be read, saying which point and path is affected; `cancelled`.
 */
export async function markInUse(
  store: BlobStore,
  points: Iterable<RecoveryPoint>,
  options: Pick<MarkOptions, "signal" | "expected" | "onProgress">,
): Promise<InUse> {
  let missing = 0;
  const onProblem = (problem: MarkProblem): Promise<undefined> => {
    if (problem.node.kind !== blobKinds.data) throw namingPlace(problem);
    missing += 1;
    return Promise.resolve(undefined);
  };
  const marks = await markBlobs(store, points, { ...options, onProblem });
  return { marks, missing };
}
