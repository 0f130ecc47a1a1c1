import { describe, expect, it } from "vitest";
import { addKey, createRepository, listKeys, removeKey } from "../../src/repository/repository.ts";
import { prepareReplica } from "../../src/replicate/prepare-replica.ts";
import { FaultyStorage } from "../helpers/faulty-storage.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { rejection } from "../helpers/rejection.ts";
import { SimulatedDisk } from "../helpers/simulated-disk.ts";
import { emptySite, open, primarySite, secret, storageOn } from "./sites.ts";

async function anotherRepository(): Promise<SimulatedDisk> {
  const disk = await emptySite();
  const storage = storageOn(disk, "other");
  await createRepository({ storage, clock: new ManualClock(), key: secret, label: "other" });
  return disk;
}

describe("prepareReplica", () => {
  it("gives a new replica the keys first and then the format", async () => {
    const primary = await open(await primarySite());
    const site = await emptySite();
    const storage = new FaultyStorage(storageOn(site, "replica"));
    await prepareReplica({ primary, storage, create: true });
    const puts = storage.calls.filter((call) => call.startsWith("put "));
    expect(puts).toEqual([expect.stringMatching(/^put keys\//), "put format"]);
    expect((await open(site, "replica")).keys.keyCheck).toBe(primary.keys.keyCheck);
  });

  it("changes nothing in a replica whose keys are those of the primary", async () => {
    const primary = await open(await primarySite());
    const site = await emptySite();
    await prepareReplica({ primary, storage: storageOn(site, "replica"), create: true });
    const before = site.contents();
    await prepareReplica({ primary, storage: storageOn(site, "replica"), create: false });
    expect(site.contents()).toEqual(before);
  });

  it("follows the primary when a key is added; one that lacks there stays, since nobody vouches for its removal", async () => {
    const primary = await open(await primarySite());
    const storage = storageOn(await emptySite(), "replica");
    await prepareReplica({ primary, storage, create: true });
    const [first] = await listKeys(primary.storage);
    const added = await addKey(primary, { type: "key-file", secret: Buffer.alloc(32, 9) }, "second");
    await removeKey(primary.storage, first?.id ?? "");
    await prepareReplica({ primary, storage, create: false });
    expect(new Set((await listKeys(storage)).map(({ id }) => id))).toEqual(new Set([first?.id, added]));
  });

  it("opens as before after someone without the key has put rubbish in the place of the primary's keys", async () => {
    const primary = await open(await primarySite());
    const site = await emptySite();
    const storage = storageOn(site, "replica");
    await prepareReplica({ primary, storage, create: true });
    for (const { id } of await listKeys(primary.storage)) await primary.storage.delete(`keys/${id}`);
    await primary.storage.put("keys/0123456789abcdef", [Buffer.from("rubbish")]);
    await prepareReplica({ primary, storage, create: false });
    expect(await listKeys(storage)).toHaveLength(1);
    expect((await open(site, "replica")).keys.keyCheck).toBe(primary.keys.keyCheck);
    // A new one would be a replica that nobody can open.
    const fresh = storageOn(await emptySite(), "fresh");
    expect(await rejection(prepareReplica({ primary, storage: fresh, create: true }))).toMatchObject({
      code: "damaged",
    });
    expect(await rejection(fresh.get("format"))).toMatchObject({ code: "object_missing" });
  });

  it("keeps the replica's keys when the primary shows none", async () => {
    const site = await primarySite();
    const primary = await open(site);
    const storage = storageOn(await emptySite(), "replica");
    await prepareReplica({ primary, storage, create: true });
    for (const { id } of await listKeys(primary.storage)) await primary.storage.delete(`keys/${id}`);
    await prepareReplica({ primary, storage, create: false });
    expect(await listKeys(storage)).toHaveLength(1);
  });

  it.each(["id", "key"])("refuses a repository with another %s, and touches nothing", async (difference) => {
    const primary = await open(await primarySite());
    const site = await anotherRepository();
    const storage = storageOn(site, "replica");
    if (difference === "key") {
      const format = (await storage.get("format")).toString();
      await storage.put("format", [
        Buffer.from(format.replace(/"repository":"[0-9a-f]+"/, `"repository":"${primary.keys.repositoryId}"`)),
      ]);
    }
    const before = site.contents();
    const error = await rejection(prepareReplica({ primary, storage, create: true }));
    expect(error).toMatchObject({ code: "repository_exists" });
    expect(error.message).toContain(difference === "id" ? "another repository" : "another master key");
    expect(site.contents()).toEqual(before);
  });

  it.each([true, false])("never makes the root of a replica, create: %s", async (create) => {
    const primary = await open(await primarySite());
    const disk = new SimulatedDisk();
    const error = await rejection(prepareReplica({ primary, storage: storageOn(disk, "replica"), create }));
    expect(error).toMatchObject({ code: "storage_unreachable" });
    expect(disk.contents().size).toBe(0);
  });

  it("makes nothing anew where a replica was emptied", async () => {
    const primary = await open(await primarySite());
    const site = await emptySite();
    const error = await rejection(prepareReplica({ primary, storage: storageOn(site, "replica"), create: false }));
    expect(error).toMatchObject({ code: "repository_missing" });
    expect(site.contents().size).toBe(0);
  });

  it("refuses a place that holds objects but no format", async () => {
    const primary = await open(await primarySite());
    const site = await anotherRepository();
    const storage = storageOn(site, "replica");
    await storage.delete("format");
    await storage.put("index/0", [Buffer.from("x")]);
    const error = await rejection(prepareReplica({ primary, storage, create: true }));
    expect(error).toMatchObject({ code: "damaged", message: expect.stringContaining("index/0") });
    expect(await listKeys(storage)).toHaveLength(1);
  });

  it("can be cut off anywhere and done again", async () => {
    const primary = await open(await primarySite());
    const prepared = await emptySite();
    for (let step = 1; ; step++) {
      const disk = prepared.copy();
      disk.crashAt(step);
      await prepareReplica({ primary, storage: storageOn(disk, "replica"), create: true }).catch((error: unknown) => {
        if (!disk.crashed) throw error;
      });
      const after = disk.afterCrash({ dropUnsynced: true, seed: step });
      await prepareReplica({ primary, storage: storageOn(after, "replica"), create: true });
      expect((await open(after, "replica")).keys.repositoryId).toBe(primary.keys.repositoryId);
      if (!disk.crashed) break;
    }
  });
});
