/** Opens storages: the one place that knows the drivers, and how they are wrapped. */

import type { Clock } from "../host/clock.ts";
import { systemClock } from "../host/clock.ts";
import { nodeFiles } from "../host/node-files.ts";
import { createFsStorage, FsStorage } from "./drivers/fs.ts";
import type { Storage, StorageAddress } from "./storage.ts";

export interface OpenStorageOptions {
  readonly clock?: Clock;
}

/** Does no I/O: a storage that isn't there is noticed by the first call. */
export function openStorage(address: StorageAddress, options: OpenStorageOptions = {}): Storage {
  return new FsStorage({
    location: address.location,
    root: address.path,
    files: nodeFiles,
    clock: options.clock ?? systemClock,
  });
}

/**
 * Makes a new, empty storage at an address. Harmless when there is one already.
 *
 * @throws StillpointError as the storage contract says
 */
export async function createStorage(address: StorageAddress): Promise<void> {
  await createFsStorage({ location: address.location, root: address.path, files: nodeFiles });
}
