import { StillpointError } from "../../../errors.ts";
import { makeOrFind, parentOf, rootOf, syncFolder } from "./folders.ts";
import { hasStatus, statusCodes } from "./protocol.ts";
import { storageErrorFrom } from "./sftp-errors.ts";
import type { SftpStorageOptions } from "./sftp-storage.ts";

/**
 * Makes the folder of a new storage, but not the one above it. Harmless when it is there already.
 *
 * @throws StillpointError `storage_denied`, `storage_full`, `storage_unreachable`, `storage_failed`
 */
export async function createSftpStorage({ location, path, connect }: Omit<SftpStorageOptions, "clock">): Promise<void> {
  const root = rootOf(path);
  const folder = root.replace(/\/$/, "");
  const client = await connect();
  try {
    await makeOrFind(client, folder);
    await syncFolder(client, folder, makeOrFind(client, `${root}tmp`));
    await syncFolder(client, parentOf(folder) || (folder.startsWith("/") ? "/" : "."));
  } catch (error) {
    if (hasStatus(error, statusCodes.noSuchFile)) {
      throw new StillpointError("storage_unreachable", {
        what: `Cannot make the storage ${location} in ${folder} on the server: there is no folder above it`,
        safe: "Nothing was made in its place.",
        next: "Mount the disk that belongs there, or make the folder.",
      });
    }
    throw storageErrorFrom(error, { location, path: folder, action: "make the folder" });
  } finally {
    client.close();
  }
}
