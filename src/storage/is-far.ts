import type { StorageAddress } from "./storage.ts";

/** Whether there is a line to the place on which each call takes a round trip, so that it pays to have much under way. */
export function isFar(address: StorageAddress | undefined): boolean {
  return address !== undefined && address.kind !== "fs";
}
