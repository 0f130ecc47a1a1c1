import { isStillpointError, StillpointError } from "../../../errors.ts";
import { kindOf } from "./file-kind.ts";
import { absent, knownWell, readFolder, rootOf } from "./folders.ts";
import { storageErrorFrom } from "./sftp-errors.ts";
import type { SftpStorageOptions } from "./sftp-storage.ts";

/**
 * Names of the folders in a folder of the server, of which each may be a storage.
 *
 * @throws StillpointError `storage_unreachable`, `storage_denied`, `storage_failed`
 */
export async function listSftpFolders(options: Omit<SftpStorageOptions, "clock">): Promise<string[]> {
  const { location, path, connect } = options;
  const root = rootOf(path);
  const client = await connect();
  try {
    const entries = await readFolder(client, root);
    if (entries === absent)
      throw new StillpointError("storage_unreachable", { what: `Cannot list ${location}: there is no such folder` });
    const folders = entries.map(async (entry) => {
      const info = await knownWell(client, root + entry.name, entry);
      return info !== absent && kindOf(info) === "folder" ? [entry.name] : [];
    });
    return (await Promise.all(folders)).flat();
  } catch (error) {
    throw isStillpointError(error) ? error : storageErrorFrom(error, { location, path: root, action: "list" });
  } finally {
    client.close();
  }
}
