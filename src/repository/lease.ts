/** The lease: who may sweep or repair just now (docs/format.md section 11). */
import * as z from "zod";
import { isStillpointError, StillpointError } from "../errors.ts";
import { randomBytes } from "../host/random.ts";
import type { CallOptions } from "../storage/storage.ts";
import { damagedObject } from "./format.ts";
import type { Repository } from "./repository.ts";

const leaseName = "lease";
const minute = 60_000;
/** How far the clocks of this host and of the store may differ, in ms. */
const greatestSkew = 5 * minute;
/** How long a lease holds without being renewed, in ms. */
const duration = 15 * minute;
/** After the put, before reading back, in ms: another may have put its own at the same moment. */
const settling = 2_000;

const leaseSchema = z.object({
  version: z.literal(1),
  holder: z.string(),
  nonce: z.string().regex(/^[0-9a-f]+$/),
  expires: z.iso.datetime({ precision: 3 }),
});
export type LeaseObject = Readonly<z.infer<typeof leaseSchema>>;

export interface LeaseOptions extends CallOptions {
  /** For the other's message: host, process, work. */
  readonly holder: string;
}

export class Lease {
  readonly #repository: Repository;
  readonly #holder: string;
  readonly #nonce = randomBytes(16).toString("hex");
  #renewed = 0;
  /** When the lease was acquired, by the store's own clock, in ms since the epoch. */
  storeTime = 0;

  private constructor(repository: Repository, holder: string) {
    this.#repository = repository;
    this.#holder = holder;
  }

  /**
   * Takes the lease.
   *
   * @throws StillpointError `busy` when another holds it, `sweep_unsafe` when the clocks of host and store differ too much,
   * or a storage error.
   */
  static async acquire(repository: Repository, { holder, signal }: LeaseOptions): Promise<Lease> {
    const other = await readLease(repository, { signal });
    // Either clock may be off by the greatest skew; a lease counts as long as it may be in force by any of them. One that would
    // last longer than any is forged: it would block all sweeps and repairs for ever.
    const left = other === undefined ? Number.NaN : Date.parse(other.expires) - repository.clock.now();
    if (left > -2 * greatestSkew && left <= duration + 2 * greatestSkew) throw held(other);
    const lease = new Lease(repository, holder);
    await lease.#put(signal);
    try {
      await lease.#measureSkew(signal);
      await repository.clock.sleep(settling, signal);
      await lease.#requireOurs(signal);
    } catch (error) {
      await lease.release().catch(() => undefined); // The first error is the one to report; the lease runs out by itself.
      throw error;
    }
    return lease;
  }

  /** To be called often while the work goes on: renews when a third of the time is over. Throws `busy` when the lease was lost. */
  async keep(signal?: AbortSignal): Promise<void> {
    if (this.#repository.clock.monotonic() - this.#renewed < duration / 3) return;
    await this.#requireOurs(signal);
    await this.#put(signal);
  }

  /** Gives the lease back, if it is still ours. Who isn't allowed to delete it puts one that has expired. */
  async release(): Promise<void> {
    const current = await readLease(this.#repository, {});
    if (current?.nonce !== this.#nonce) return;
    try {
      await this.#repository.storage.delete(leaseName);
    } catch (error) {
      if (!isStillpointError(error, "storage_denied")) throw error;
      await this.#put(undefined, 0);
    }
  }

  async #put(signal: AbortSignal | undefined, until = this.#repository.clock.now() + duration): Promise<void> {
    const { clock, keys, storage } = this.#repository;
    this.#renewed = clock.monotonic();
    const expires = new Date(until).toISOString();
    const lease: LeaseObject = { version: 1, holder: this.#holder, nonce: this.#nonce, expires };
    await storage.put(leaseName, [keys.sealObject("lease", Buffer.from(JSON.stringify(lease)))], { signal });
  }

  /** What was just written tells the store's time. */
  async #measureSkew(signal: AbortSignal | undefined): Promise<void> {
    const { clock, storage } = this.#repository;
    this.storeTime = (await storage.stat(leaseName, { signal })).time;
    const skew = this.storeTime - clock.now();
    if (Math.abs(skew) <= greatestSkew) return;
    const direction = skew > 0 ? "ahead of" : "behind";
    throw new StillpointError("sweep_unsafe", {
      what: `Cannot sweep ${storage.location}: its clock is ${String(Math.round(Math.abs(skew) / 1000))} s ${direction} this host's, and at most ${String(greatestSkew / 1000)} s are allowed`,
      safe: "Nothing was deleted.",
      next: "Set both clocks, by NTP for instance, and try again.",
    });
  }

  async #requireOurs(signal: AbortSignal | undefined): Promise<void> {
    const current = await readLease(this.#repository, { signal });
    if (current?.nonce !== this.#nonce) throw held(current);
  }
}

/** Does the work under the lease, and gives it back. Throws what `Lease.acquire` and `work` throw. */
export async function withLease<T>(
  repository: Repository,
  options: LeaseOptions,
  work: (lease: Lease) => Promise<T>,
): Promise<T> {
  const lease = await Lease.acquire(repository, options);
  let result: T;
  try {
    result = await work(lease);
  } catch (error) {
    await lease.release().catch(() => undefined); // The first error is the one to report.
    throw error;
  }
  await lease.release();
  return result;
}

/** The lease there is, expired or not; undefined when there is none, or none that can be read: it would block all sweeps for ever. */
export async function readLease(repository: Repository, options: CallOptions): Promise<LeaseObject | undefined> {
  try {
    const data = await repository.storage.get(leaseName, undefined, options);
    return parseLease(repository.keys.openObject("lease", data, leaseName));
  } catch (error) {
    if (isStillpointError(error, "object_missing") || isStillpointError(error, "damaged")) return undefined;
    throw error;
  }
}

/** Throws `damaged`. */
export function parseLease(plain: Buffer): LeaseObject {
  try {
    return leaseSchema.parse(JSON.parse(plain.toString()));
  } catch (error) {
    throw damagedObject(leaseName, "it isn't of a known form", error);
  }
}

function held(by: LeaseObject | undefined): StillpointError {
  const whom = by === undefined ? "another process" : `${by.holder}, until ${by.expires} at the latest`;
  return new StillpointError("busy", {
    what: `Cannot take the lease of the repository: it is held by ${whom}`,
    safe: "Nothing was changed.",
    next: "Try again when that work has ended.",
  });
}
