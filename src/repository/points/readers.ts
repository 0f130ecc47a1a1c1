/** Notices of who reads a recovery point for long, so that nobody forgets it meanwhile (docs/format.md section 10). */
import { describeError, StillpointError } from "../../errors.ts";
import { throwIfCancelled } from "../../host/cancel.ts";
import { deadline } from "../../host/deadline.ts";
import type { CallOptions, Storage } from "../../storage/storage.ts";
import { exists, type Repository } from "../repository.ts";
import type { RecoveryPoint } from "./manifest.ts";
import { putSmallObject } from "./small-objects.ts";

const hour = 3_600_000;

/** In ms: how long a notice counts, by the store's clock. */
export const noticeLasts = 72 * hour;
/** In ms, between two notices of one reader: one that can't be written in time is written at the next. */
const renewEvery = 24 * hour;
/** In ms: how long whoever has ended may wait for a storage that doesn't answer any more. */
const farewellTime = 5000;

/** Until when points are being read, in ms since the epoch, by their ids; or only that point. Some have ended. Throws a storage error. */
export async function readUntil(
  storage: Storage,
  { point, signal }: CallOptions & { readonly point?: string },
): Promise<Map<string, number>> {
  const ends = new Map<string, number>();
  for await (const { name, time } of storage.list(point === undefined ? "readers/" : `readers/${point}/`, { signal })) {
    const id = name.split("/")[1] ?? "";
    ends.set(id, Math.max(ends.get(id) ?? 0, time + noticeLasts));
  }
  return ends;
}

/** Whether somebody reads the point now. Throws a storage error. */
export async function isRead({ storage, clock }: Repository, point: string, options: CallOptions): Promise<boolean> {
  const ends = await readUntil(storage, { ...options, point });
  return (ends.get(point) ?? 0) > clock.now();
}

export interface ReadingOptions extends CallOptions {
  /** Who reads, for people. */
  readonly reader: string;
  /** Told when the point can't be kept, or is gone: then it stays readable for the sweep's grace period. */
  readonly onFailure: (message: string) => void;
}

/**
 * Keeps a point from being forgotten for as long as it is read, and at most three days longer when this process dies. Where nothing
 * may be written, it is read all the same.
 */
export class Reading implements AsyncDisposable {
  readonly #repository: Repository;
  readonly #point: RecoveryPoint;
  readonly #options: ReadingOptions;
  readonly #over = new AbortController();
  #notice: string | undefined;
  #renewing: Promise<void> | undefined;

  private constructor(repository: Repository, point: RecoveryPoint, options: ReadingOptions) {
    this.#repository = repository;
    this.#point = point;
    this.#options = options;
  }

  /** Throws `not_found` when the point has just been forgotten; a storage error. */
  static async begin(repository: Repository, point: RecoveryPoint, options: ReadingOptions): Promise<Reading> {
    await using undo = new AsyncDisposableStack();
    const reading = undo.use(new Reading(repository, point, options));
    await reading.#renew(options.signal);
    if (!(await exists(repository.storage, point.name, options)))
      throw new StillpointError("not_found", { what: `The recovery point ${point.id} has just been forgotten` });
    reading.#renewing = reading.#renewRegularly();
    undo.move();
    return reading;
  }

  /** Notices that can't be removed, or not soon, end by themselves. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await this.#renewing;
    using farewell = deadline(this.#repository.clock, farewellTime);
    await this.#remove(this.#notice, farewell.signal);
  }

  async #renewRegularly(): Promise<void> {
    const { clock, storage } = this.#repository;
    const { signal } = this.#over;
    try {
      for (;;) {
        await clock.sleep(renewEvery, signal);
        await this.#renew(signal);
        if (!(await exists(storage, this.#point.name, { signal }).catch(() => true)))
          this.#options.onFailure(`The recovery point ${this.#point.id} has been forgotten while it is read`);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #renew(signal: AbortSignal | undefined): Promise<void> {
    const { reader, onFailure } = this.#options;
    const { id: point } = this.#point;
    const time = new Date(this.#repository.clock.now()).toISOString();
    const last = this.#notice;
    try {
      this.#notice = await putSmallObject(this.#repository, "readers", { version: 1, point, time, reader }, { signal });
    } catch (error) {
      throwIfCancelled(signal);
      onFailure(
        `The recovery point ${point} can't be kept from being forgotten while it is read: ${describeError(error)}`,
      );
      return;
    }
    await this.#remove(last, signal);
  }

  async #remove(name: string | undefined, signal: AbortSignal | undefined): Promise<void> {
    if (name !== undefined) await this.#repository.storage.delete(name, { signal }).catch(() => undefined);
  }
}
