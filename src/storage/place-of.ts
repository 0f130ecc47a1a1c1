import { s3UrlOf } from "./drivers/s3/s3-url.ts";
import type { StorageAddress } from "./storage.ts";

/** Where a storage is, for people, and to tell one place from another: a path or a URL. Never holds a secret. */
export function placeOf(address: StorageAddress): string {
  return address.kind === "fs" ? address.path : s3UrlOf(address);
}
