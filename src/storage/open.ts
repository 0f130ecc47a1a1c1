/** Opens storages: the one place that knows the drivers, and how they are wrapped. */

import { systemClock, type Clock } from "../host/clock.ts";
import { nodeFiles } from "../host/node-files.ts";
import { systemRandom, type Random } from "../host/random.ts";
import type { BandwidthMeter } from "./bandwidth-meter.ts";
import { createFsStorage, FsStorage, listFsFolders } from "./drivers/fs.ts";
import { S3Storage } from "./drivers/s3/s3-storage.ts";
import { SftpStorage, type SftpStorageOptions } from "./drivers/sftp/sftp-storage.ts";
import { isObjectName } from "./names.ts";
import { placeOf } from "./place-of.ts";
import type { CallOptions, SftpAddress, Storage, StorageAddress } from "./storage.ts";
import { withBandwidthLimit } from "./wrappers/limit-bandwidth.ts";
import { withConcurrencyLimit } from "./wrappers/limit-concurrency.ts";
import { withObserver, type StorageObserver } from "./wrappers/observe.ts";
import { readOnly } from "./wrappers/read-only.ts";
import { withRetry } from "./wrappers/retry.ts";

export interface OpenStorageOptions {
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  /** Whether each `put` and `delete` is refused. */
  readonly readOnly?: boolean | undefined;
  /** How many calls may be at work at once. No limit by default. */
  readonly concurrency?: number | undefined;
  /** No limit by default. */
  readonly bandwidth?: BandwidthMeter | undefined;
  readonly observer?: StorageObserver | undefined;
  /** Called whenever something that was asked for has come from the store, however little: it tells a slow one from a dead one. */
  readonly moved?: (() => void) | undefined;
}

/**
 * Opens the storage at an address. Does no I/O: a storage that isn't there is noticed by the first call.
 *
 * The order, from the inside: the observer sits on the driver, so that it sees every try and times the store alone, not
 * our own waiting. The limits come next, bandwidth outside, so that a call which waits for its bytes takes no turn from
 * another. Retry is outside of both, so that a pause between two tries takes no turn either. Read-only is the outermost:
 * what is refused costs nothing.
 */
export function openStorage(address: StorageAddress, options: OpenStorageOptions = {}): Storage {
  const { clock = systemClock, random = systemRandom, concurrency, bandwidth, observer, moved } = options;
  let storage = driverFor(address, { clock, random, moved });
  if (observer) storage = withObserver(storage, observer, clock);
  if (concurrency !== undefined) storage = withConcurrencyLimit(storage, concurrency);
  if (bandwidth !== undefined) storage = withBandwidthLimit(storage, bandwidth);
  storage = withRetry(storage, { clock, random });
  return options.readOnly ? readOnly(storage) : storage;
}

interface DriverOptions extends Pick<OpenStorageOptions, "moved"> {
  readonly clock: Clock;
  readonly random: Random;
}

function driverFor(address: StorageAddress, { clock, random, moved }: DriverOptions): Storage {
  switch (address.kind) {
    case "fs":
      return new FsStorage({ location: address.location, root: address.path, files: nodeFiles, clock, moved });
    case "s3":
      return new S3Storage({ address, clock, random, moved });
    case "sftp":
      return withConcurrencyLimit(
        new SftpStorage({ ...sftpOptions(address, clock, moved), connections: sftpConnections }),
        sftpCalls,
      );
  }
}

/**
 * OpenSSH lets 2 MiB be under way on a connection, so that with one alone no more than that moves in a round trip, however
 * wide the line is: 13 MiB/s at 150 ms.
 */
const sftpConnections = 6;
/** Calls at once, on all connections together. Each may hold open two of the thousand or so files that a server allows. */
const sftpCalls = 32;

function sftpOptions(address: SftpAddress, clock: Clock, moved?: () => void): SftpStorageOptions {
  const { location, path } = address;
  const connect: SftpStorageOptions["connect"] = async () => {
    const { connectBySsh } = await import("./drivers/sftp/connect-ssh.ts");
    return await connectBySsh(address, { clock, moved });
  };
  return { location, path, clock, connect };
}

/**
 * Makes a new, empty storage at an address. Harmless when there is one already. A bucket isn't made: whoever owns it decides
 * how it is kept.
 *
 * @throws StillpointError as the storage contract says
 */
export async function createStorage(address: StorageAddress): Promise<void> {
  switch (address.kind) {
    case "fs":
      await createFsStorage({ location: address.location, root: address.path, files: nodeFiles });
      break;
    case "s3":
      await new S3Storage({ address }).requireBucket();
      break;
    case "sftp": {
      const { createSftpStorage } = await import("./drivers/sftp/create-sftp-storage.ts");
      await createSftpStorage(sftpOptions(address, systemClock));
      break;
    }
  }
}

/** A place one level below another: a host's own, where many hosts share a bucket or a folder. */
export interface PlaceBelow {
  readonly name: string;
  readonly address: StorageAddress;
}

/**
 * The folders at an address, or what stands between its prefix and the next `/`, by name: each may be a storage, or not.
 *
 * @throws StillpointError as the storage contract says
 */
export async function listPlacesBelow(address: StorageAddress, options: CallOptions = {}): Promise<PlaceBelow[]> {
  const names = (await foldersAt(address, options)).filter(isObjectName).toSorted();
  return names.map((name) => ({ name, address: below(address, name) }));
}

async function foldersAt(address: StorageAddress, options: CallOptions): Promise<string[]> {
  switch (address.kind) {
    case "fs":
      return await listFsFolders({ location: address.location, root: address.path, files: nodeFiles });
    case "s3":
      return await new S3Storage({ address }).listFolders(options);
    case "sftp": {
      const { listSftpFolders } = await import("./drivers/sftp/list-folders.ts");
      return await listSftpFolders(sftpOptions(address, systemClock));
    }
  }
}

function below(address: StorageAddress, name: string): StorageAddress {
  const inside =
    address.kind === "s3"
      ? { ...address, prefix: `${address.prefix}${name}/` }
      : { ...address, path: `${address.path.replace(/\/$/, "")}/${name}` };
  return { ...inside, location: placeOf(inside) };
}
