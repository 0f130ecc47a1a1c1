/** The primary as one job's replications see it: read once for all of them, since they begin at the same time. */
import { BlobStore } from "../repository/blobs/blob-store.ts";
import { type CatalogPoint, loadCatalog } from "../repository/points/catalog.ts";
import type { Repository } from "../repository/repository.ts";
import type { CallOptions } from "../storage/storage.ts";

export interface PrimaryView {
  readonly points: readonly CatalogPoint[];
  /** Knows every blob of these points. */
  readonly store: BlobStore;
}

export class PrimaryViews {
  readonly #views = new WeakMap<object, Promise<PrimaryView>>();

  /** `job` is any object that lives as long as the view is wanted. Throws `damaged` or a storage error. */
  async of(job: object, primary: Repository, options?: CallOptions): Promise<PrimaryView> {
    const view = this.#views.get(job) ?? load(primary, options);
    this.#views.set(job, view);
    return await view;
  }
}

/** The points first: what they name was indexed before they were committed. */
async function load(primary: Repository, options?: CallOptions): Promise<PrimaryView> {
  const { points } = await loadCatalog(primary, options);
  return { points, store: await BlobStore.load(primary, options) };
}
