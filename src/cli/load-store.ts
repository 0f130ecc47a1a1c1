import { BlobStore } from "../repository/blobs/blob-store.ts";
import type { Repository } from "../repository/repository.ts";
import type { Cli } from "./cli.ts";

/** What is where, for reading. Damaged parts of the index are said, not thrown: what the others name can be had. */
export async function loadStore(cli: Pick<Cli, "output" | "signal">, repository: Repository): Promise<BlobStore> {
  return await BlobStore.load(repository, {
    signal: cli.signal,
    onDamage: ({ error }) => {
      const next = "It goes on without; `stillpoint repair` rebuilds the index.";
      cli.output.note(`stillpoint: ${error.parts.what}. ${next}`);
    },
  });
}
