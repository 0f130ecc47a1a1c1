import { parseKeyObject, unwrapMasterKey } from "../repository/keys/key-objects.ts";
import type { Repository } from "../repository/repository.ts";

/** Whether the repository's key of that id opens with the secret. Throws a storage error, or `damaged`. */
export async function keyOpens(
  { storage, keys }: Repository,
  id: string,
  secret: Parameters<typeof unwrapMasterKey>[1],
): Promise<boolean> {
  const name = `keys/${id}`;
  const key = parseKeyObject(await storage.get(name), name);
  return (await unwrapMasterKey(key, secret, Buffer.from(keys.repositoryId, "hex"))) !== undefined;
}
