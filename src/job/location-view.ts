/** A location as one job's replications from it see it: read once for all of them. */
import { BlobStore } from "../repository/blobs/blob-store.ts";
import { asFirstReceived } from "../repository/locks/first-received.ts";
import { type CatalogPoint, loadCatalog } from "../repository/points/catalog.ts";
import type { CallOptions } from "../storage/storage.ts";
import type { Location } from "./locations.ts";

export interface LocationView {
  /** With the times at which the store received them first: which of them another replica wants is judged by these. */
  readonly points: readonly CatalogPoint[];
  /** Knows every blob of these points. */
  readonly store: BlobStore;
}

export class LocationViews {
  readonly #views = new WeakMap<object, Map<string, Promise<LocationView>>>();

  /** `job` is any object that lives as long as the views are wanted. Throws `damaged` or a storage error. */
  async of(job: object, location: Location, options?: CallOptions): Promise<LocationView> {
    const views = this.#views.get(job) ?? new Map<string, Promise<LocationView>>();
    this.#views.set(job, views);
    const view = views.get(location.name) ?? load(location, options);
    views.set(location.name, view);
    return await view;
  }
}

/** The points first: what they name was indexed before they were committed. */
async function load({ repository }: Location, options: CallOptions = {}): Promise<LocationView> {
  const { points: listed } = await loadCatalog(repository, options);
  const points = await asFirstReceived(listed, repository.storage, options);
  return { points, store: await BlobStore.load(repository, options) };
}
