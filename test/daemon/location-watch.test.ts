import { expect, test } from "vitest";
import { LocationWatch } from "../../src/daemon/location-watch.ts";
import { StateFolder } from "../../src/job/state-folder.ts";
import { StillpointError } from "../../src/errors.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { overriding, withBadSector } from "../helpers/repository.ts";
import { working } from "../helpers/working-job.ts";
import { rejection } from "../helpers/rejection.ts";

async function watching() {
  const at = await working();
  for (const text of ["1", "2", "3", "4"]) await at.next(text);
  const points = (await at.points()).toReversed();
  const { repository } = await at.locations.location("primary");
  const { config } = at.site;
  const state = new StateFolder(config.repository.state);
  const watch = new LocationWatch({ location: "primary", path: at.site.at("repository"), state, clock: at.clock });
  /** The newest point as the watch knows it. */
  const look = async (where: Repository): Promise<string | undefined> => {
    await watch.look({ repository: where, policies: config.policies, sizes: false });
    return watch.known?.newest[0]?.id;
  };
  return { points, repository, look };
}

test("a manifest on a bad sector is passed over, and shown once it can be read", async () => {
  const { points, repository, look } = await watching();
  const [newest, before] = points;
  expect(await look(withBadSector(repository, [newest?.name ?? ""]))).toBe(before?.id);
  expect(await look(repository)).toBe(newest?.id);
});

test("a manifest that was damaged is shown once it is whole again", async () => {
  const { points, repository, look } = await watching();
  const [newest, before] = points;
  const damaged = overriding(repository.storage, {
    get: async (name, ...rest) => {
      if (name === newest?.name) throw new StillpointError("damaged", { what: "damaged" });
      return await repository.storage.get(name, ...rest);
    },
  });
  expect(await look({ ...repository, storage: damaged })).toBe(before?.id);
  expect(await look(repository)).toBe(newest?.id);
});

test("a storage that fails isn't looked at", async () => {
  const { points, repository, look } = await watching();
  const names = points.map(({ name }) => name);
  expect(await rejection(look(withBadSector(repository, names)))).toMatchObject({ code: "storage_failed" });
});
