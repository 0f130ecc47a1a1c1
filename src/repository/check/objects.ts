/** Opens every object of one body but manifests and index objects, whose readers do. */
import { isStillpointError } from "../../errors.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { forEachAtOnce } from "../points/catalog.ts";
import type { Damage } from "../points/unreadable.ts";
import { damagedObject } from "../format.ts";
import { parseKeyObject } from "../keys/key-objects.ts";
import { parseLease } from "../lease.ts";
import { isDamage } from "../mark/mark.ts";
import { readFormat, type Repository } from "../repository.ts";
import { getSmallObject, type SmallFolder } from "../points/small-objects.ts";

const readsAtOnce = 16;
const smallFolders: readonly SmallFolder[] = ["tags", "holds", "readers", "proofs", "forgotten", "sweeps", "config"];

/** Tells `note` of each one that can't be used. Throws a storage error when the storage doesn't answer. */
export async function checkObjects(
  repository: Repository,
  note: (damage: Damage) => void,
  options: CallOptions,
): Promise<void> {
  const { keys, storage } = repository;
  const check = async (name: string, open: () => Promise<unknown>): Promise<void> => {
    try {
      await open();
    } catch (error) {
      // One that another deleted meanwhile is no damage.
      if (isStillpointError(error, "object_missing")) return;
      if (!isDamage(error)) throw error;
      note({ name, error });
    }
  };
  await check("format", async () => {
    const { key_check, repository: id } = await readFormat(storage, options);
    if (key_check !== keys.keyCheck || id !== keys.repositoryId)
      throw damagedObject("format", "it isn't that of this repository");
  });
  await check("lease", async () =>
    parseLease(keys.openObject("lease", await storage.get("lease", undefined, options), "lease")),
  );
  await each("keys/", async (name) => parseKeyObject(await storage.get(name, undefined, options), name));
  for (const folder of smallFolders) {
    await each(`${folder}/`, async (name) => await getSmallObject(repository, folder, name, options));
  }

  async function each(prefix: string, open: (name: string) => Promise<unknown>): Promise<void> {
    const names: string[] = [];
    for await (const { name } of storage.list(prefix, options)) names.push(name);
    await forEachAtOnce(names, readsAtOnce, async (name) => await check(name, async () => await open(name)));
  }
}
