import type { Clock } from "../../src/host/clock.ts";
import { createFsStorage, FsStorage } from "../../src/storage/drivers/fs.ts";
import { FaultyStorage } from "./faulty-storage.ts";
import { ManualClock } from "./manual-clock.ts";
import { SimulatedDisk } from "./simulated-disk.ts";

/** A new, empty storage on a disk: a simulated one of its own by default. */
export async function memoryStorage(
  options: { readonly disk?: SimulatedDisk; readonly clock?: Clock; readonly location?: string } = {},
): Promise<FsStorage> {
  const { disk = new SimulatedDisk(), clock = new ManualClock(), location = "primary" } = options;
  const fsOptions = { location, root: "/store", files: disk, clock };
  await createFsStorage(fsOptions);
  return new FsStorage(fsOptions);
}

/** A new, empty storage that can be told to misbehave. */
export async function faultyStorage(clock?: Clock): Promise<FaultyStorage> {
  return new FaultyStorage(await memoryStorage(clock ? { clock } : {}), clock);
}
