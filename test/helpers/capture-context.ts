import type { CaptureContext } from "../../src/capture/capture.ts";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { WriteSession } from "../../src/repository/blobs/write-session.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";

/** For storing parts by hand. The session is the caller's to finish and to close. */
export async function captureContext(repository: Repository): Promise<CaptureContext> {
  const store = await BlobStore.load(repository);
  return {
    session: new WriteSession(store, inlineExecutor),
    reader: store.reader,
    clock: repository.clock,
    previous: undefined,
    signal: undefined,
    progress: () => undefined,
  };
}
