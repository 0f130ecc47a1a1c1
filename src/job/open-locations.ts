/** The locations of one process, opened when they are needed. */
import { unlessCancelled } from "../host/cancel.ts";
import type { Clock } from "../host/clock.ts";
import { nodeFiles } from "../host/node-files.ts";
import type { Config } from "../policy/config.ts";
import type { Storage, StorageAddress } from "../storage/storage.ts";
import { openStorage, type OpenStorageOptions } from "../storage/open.ts";
import { Lines } from "./lines.ts";
import { connectReplica, openLocation, openPrimary, primaryName, replicaNamed } from "./locations.ts";
import type { Location, LocationOptions } from "./locations.ts";
import { withinTime } from "./within-time.ts";

/** How long a replica's folder may take to show that it is there, in ms. */
const patience = 30_000;

export class OpenLocations {
  readonly #config: () => Config;
  readonly #clock: Clock;
  readonly #options: LocationOptions;
  readonly #storages = new Map<string, Storage>();
  readonly #knocking = new Map<string, Promise<void>>();
  #primary: Location | undefined;

  /** `config` gives the one in force. */
  constructor(config: () => Config, clock: Clock, options: LocationOptions = {}) {
    this.#config = config;
    this.#clock = clock;
    const lines = new Lines(config);
    this.#options = { ...options, clock, lines, open: (address, wrappers) => this.#open(address, wrappers) };
  }

  /** Opened once; a failure is tried again by the next call. */
  async primary(signal?: AbortSignal): Promise<Location> {
    this.#primary ??= await openPrimary(this.#config(), { ...this.#options, signal });
    return this.#primary;
  }

  /** The replica, ready to be replicated to from `source`, by default the primary; see `connectReplica`. */
  async replica(name: string, signal?: AbortSignal, source?: Location): Promise<Location> {
    await this.#knock(name, signal);
    const from = source ?? (await this.primary(signal));
    return await connectReplica(this.#config(), from, name, { ...this.#options, signal });
  }

  /** A location opened for itself, with the key alone: neither the primary nor any other is asked. */
  async alone(name: string, signal?: AbortSignal): Promise<Location> {
    if (name === primaryName) return await this.primary(signal);
    await this.#knock(name, signal);
    return await openLocation(this.#config(), name, { ...this.#options, signal });
  }

  async location(name: string, signal?: AbortSignal): Promise<Location> {
    const primary = await this.primary(signal);
    return name === primary.name ? primary : await this.replica(name, signal);
  }

  /** All jobs share a replica's connections, so they share its storage. */
  #open(address: StorageAddress, options: OpenStorageOptions): Storage {
    const key = JSON.stringify(address);
    const storage = this.#storages.get(key) ?? openStorage(address, options);
    this.#storages.set(key, storage);
    return storage;
  }

  /**
   * Looks whether a folder answers at all. A call to a dead network mount never returns, and each takes one of the few
   * threads that serve all files of the process: so only this one call is made until it does.
   */
  async #knock(name: string, signal: AbortSignal | undefined): Promise<void> {
    const { place } = replicaNamed(this.#config(), name);
    if (place.kind !== "fs") return;
    const { path } = place;
    const files = this.#options.files ?? nodeFiles;
    const answer =
      this.#knocking.get(path) ??
      files
        .stat(path)
        .then(
          () => undefined,
          () => undefined,
        )
        .finally(() => this.#knocking.delete(path));
    this.#knocking.set(path, answer);
    const limit = { clock: this.#clock, limit: patience, location: name, signal };
    await withinTime(limit, async (within) => await unlessCancelled(answer, within));
  }
}
