import { expect, test } from "vitest";
import { replicate } from "../../src/replicate/replicate.ts";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { type PackInfo, packName } from "../../src/repository/blobs/pack.ts";
import { loadCatalog } from "../../src/repository/points/catalog.ts";
import { repairRepository } from "../../src/repository/repair/repair.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import {
  alter,
  captureTiny,
  expectedContents,
  flipByte,
  makeReplicaOf,
  makeTestRepository,
  readTiny,
} from "../helpers/repository.ts";

const hour = 3_600_000;

test.each(["gone", "altered"])(
  "what a repair of the replica found %s, and in no other copy, is sent again, and no further point lacks it",
  async (how) => {
    const site = await makeTestRepository();
    const primary = site.repository;
    const { repository: replica, disk } = await makeReplicaOf(site);
    const send = async (): Promise<void> => {
      const { points } = await loadCatalog(primary);
      const store = await BlobStore.load(primary);
      const { failed } = await replicate({ primary: store, points, replica, wanted: () => () => true, grace: hour });
      expect(failed).toEqual([]);
    };
    const first = await captureTiny(primary, { image: [1, 2, 3], files: { a: [4, 5] } });
    await send();
    const packs: PackInfo[] = [];
    await BlobStore.load(replica, { onIndex: (_, infos) => packs.push(...infos) });
    for (const pack of packs.filter((one) => one.class === "data")) {
      if (how === "gone") await replica.storage.delete(packName(pack.id));
      else await alter(disk, packName(pack.id), flipByte(200));
    }
    const { dropped, lost } = await repairRepository(replica, {
      executor: inlineExecutor,
      replicas: [],
      replica: true,
    });
    expect(dropped).toHaveLength(1);
    expect(lost).not.toEqual([]);
    expect((await BlobStore.load(replica)).lost.size).toBe(0);
    let previous = first;
    for (const added of [6, 7]) {
      site.clock.pass(hour);
      const content = { image: [1, 2, 3, added], files: { a: [4, 5] } };
      previous = await captureTiny(primary, content, { previous });
      await send();
      expect(await readTiny(replica, previous)).toEqual(expectedContents(content));
    }
    // The first one, too, is whole again: it shares all of it with the others.
    expect(await readTiny(replica, first)).toEqual(expectedContents({ image: [1, 2, 3], files: { a: [4, 5] } }));
  },
);
