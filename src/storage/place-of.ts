import { s3UrlOf } from "./drivers/s3/s3-url.ts";
import { sftpUrlOf } from "./drivers/sftp/sftp-url.ts";
import type { StorageAddress } from "./storage.ts";

/** Where a storage is, for people, and to tell one place from another: a path or a URL. Never holds a secret. */
export function placeOf(address: StorageAddress): string {
  switch (address.kind) {
    case "fs":
      return address.path;
    case "s3":
      return s3UrlOf(address);
    case "sftp":
      return sftpUrlOf(address);
  }
}
