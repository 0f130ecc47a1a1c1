import { captureSource, type CaptureOptions, type CaptureReport } from "../../src/capture/capture-source.ts";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { loadCatalog } from "../../src/repository/points/catalog.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import type { RecoveryPoint } from "../../src/repository/points/manifest.ts";
import { restorePoint, type RestoreOptions } from "../../src/restore/restore-point.ts";
import type { RestoreReport } from "../../src/restore/report.ts";
import type { TestRepository } from "./repository.ts";

type Source = CaptureOptions["source"];
/** A source without its name. */
export type Unnamed = Source extends infer S ? (S extends unknown ? Omit<S, "name"> : never) : never;

/** Captures what a source holds now, as the daemon would with its newest point known. */
export async function capture(
  { repository }: TestRepository,
  source: Unnamed,
  options: Partial<CaptureOptions> = {},
): Promise<CaptureReport> {
  const store = options.store ?? (await BlobStore.load(repository));
  const { points } = await loadCatalog(repository);
  return await captureSource({
    repository,
    store,
    executor: inlineExecutor,
    source: { name: "tested", ...source },
    policy: "policy",
    host: "host",
    points,
    grace: 7_200_000,
    version: "0.0.0",
    ...options,
  });
}

export async function restore(
  { repository }: TestRepository,
  point: RecoveryPoint,
  target: string,
  options: Partial<RestoreOptions> = {},
): Promise<RestoreReport> {
  const store = await BlobStore.load(repository);
  return await restorePoint({ store, executor: inlineExecutor, point, target, ...options });
}
