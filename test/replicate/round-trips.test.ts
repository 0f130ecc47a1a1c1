/** How long a line makes a replication wait: what it asks the replica one after the other, and what side by side. */
import { describe, expect, it } from "vitest";
import { CatalogMemory, type MemoryFile } from "../../src/repository/points/catalog-memory.ts";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { prepareReplica } from "../../src/replicate/prepare-replica.ts";
import { replicate, type ReplicateOptions } from "../../src/replicate/replicate.ts";
import type { Repository } from "../../src/repository/repository.ts";
import type { SftpAddress, Storage } from "../../src/storage/storage.ts";
import { FarStorage } from "../helpers/far-storage.ts";
import { type Content, day, emptySite, open, pointsOf, primarySite, storageOn, take } from "./sites.ts";

const content: Content = { image: [1, 2, 3, 4], stream: [5], files: { a: 6 } };

/** As far away as it pretends to be. */
const address = { kind: "sftp", location: "replica" } as SftpAddress;

function fileInMemory(): MemoryFile {
  let written: Buffer | undefined;
  return {
    read: async () => await Promise.resolve(written),
    write: async (data) => {
      written = data;
      await Promise.resolve();
    },
  };
}

/** A run of a host that remembers what it saw of the replica, if it has a file for that. */
async function run(
  primary: Repository,
  storage: Storage,
  file?: MemoryFile,
  wanted: ReplicateOptions["wanted"] = () => () => true,
): Promise<void> {
  const memory = file && new CatalogMemory(file, primary.keys);
  const replica = { ...(await prepareReplica({ primary, storage, address, create: true })), memory };
  const [store, points] = [await BlobStore.load(primary), await pointsOf(primary)];
  const { ended } = await replicate({ primary: store, points, replica, wanted, grace: day });
  if (ended !== undefined) throw ended;
}

/** A primary, and a run to its replica, which has all but the newest of two points. */
async function site() {
  const primary = await open(await primarySite());
  const near = storageOn(await emptySite(), "replica");
  const remembered = fileInMemory();
  await take(primary, content, { time: day });
  await run(primary, near, remembered);
  const far = new FarStorage(near);
  const again = async (wanted?: ReplicateOptions["wanted"]): Promise<string[][]> =>
    await far.roundTrips(run(primary, far, remembered, wanted));
  return { primary, near, again };
}

const opening = [["get format", "list keys", "stat format"]];
const survey = [
  ["list holds", "list points", "list tags"],
  ["list forgotten", "list holds", "list proofs", "list readers", "list tags"],
];
const index = [["list sweeps"], ["list index"], ["get index", "list packs"]];
const sending = [["put packs", "put packs"], ["put index"], ["put points"]];
const newer: Content = { ...content, image: [1, 2, 3, 7] };

describe("round trips of a replication", () => {
  it("takes three where nothing is new: the points that the last run sent aren't read again", async () => {
    const { again } = await site();
    expect(await again()).toEqual([...opening, ...survey]);
  });

  it("takes three where what is new here has no place beside what is there", async () => {
    const { primary, again } = await site();
    await take(primary, newer, { time: 2 * day });
    expect(await again((there) => () => there.length === 0)).toEqual([...opening, ...survey]);
  });

  it("takes seven where something is: the index is read while the replica is looked at", async () => {
    const { primary, again } = await site();
    await take(primary, newer, { time: 2 * day });
    const together = index.map((asked, at) => [...asked, ...(survey[at] ?? [])].toSorted());
    expect(await again()).toEqual([...opening, ...together, ...sending]);
  });

  it("reads the index of a replica that this host doesn't remember only when something lacks there", async () => {
    const { primary, near } = await site();
    const far = new FarStorage(near);
    const reading = [["get points"]];
    expect(await far.roundTrips(run(primary, far))).toEqual([...opening, ...survey, ...reading]);
    await take(primary, newer, { time: 2 * day });
    expect(await far.roundTrips(run(primary, far))).toEqual([...opening, ...survey, ...reading, ...index, ...sending]);
  });
});
