import { systemClock } from "../../src/host/clock.ts";
import { nodeFiles } from "../../src/host/node-files.ts";
import { systemRandom } from "../../src/host/random.ts";
import { createFsStorage, FsStorage } from "../../src/storage/drivers/fs.ts";
import { createStorage, openStorage } from "../../src/storage/open.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { withBandwidthLimit } from "../../src/storage/wrappers/limit-bandwidth.ts";
import { withConcurrencyLimit } from "../../src/storage/wrappers/limit-concurrency.ts";
import { withObserver } from "../../src/storage/wrappers/observe.ts";
import { withRetry } from "../../src/storage/wrappers/retry.ts";
import { storageContract } from "../contract/storage-contract.ts";
import { FaultyStorage } from "../helpers/faulty-storage.ts";
import { fastMeter } from "../helpers/fast-meter.ts";
import { SimulatedDisk } from "../helpers/simulated-disk.ts";
import { tempDir } from "../helpers/temp-dir.ts";

async function onDisk(): Promise<Storage> {
  const options = { location: "primary", root: "/srv/store", files: new SimulatedDisk(), clock: systemClock };
  await createFsStorage(options);
  return new FsStorage(options);
}

storageContract("fs on a real folder", async () => {
  const options = { location: "primary", root: `${await tempDir()}/made/here`, files: nodeFiles, clock: systemClock };
  await createFsStorage(options);
  return new FsStorage(options);
});
storageContract("fs on the simulated disk", onDisk);
storageContract("retry", async () => withRetry(await onDisk(), { clock: systemClock, random: systemRandom }));
storageContract("concurrency limit", async () => withConcurrencyLimit(await onDisk(), 1));
storageContract("bandwidth limit", async () => withBandwidthLimit(await onDisk(), fastMeter()));
storageContract("observer", async () => withObserver(await onDisk(), () => undefined, systemClock));
storageContract("faulty storage without faults", async () => new FaultyStorage(await onDisk()));
storageContract("openStorage with everything", async () => {
  const address = { kind: "fs", location: "primary", path: await tempDir() } as const;
  await createStorage(address);
  return openStorage(address, { concurrency: 2, bandwidth: fastMeter(), observer: () => undefined });
});
