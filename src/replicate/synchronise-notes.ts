/**
 * Holds and tags follow their points to the replicas. A hold set at the primary is set there; none is ever released, since a
 * hold that lacks at the primary may have been taken away, or set at the replica alone (docs/decisions/0034-holds-of-replicas.md).
 * The tags in force at the primary are in force at the replica.
 *
 * Proofs don't follow: a proof says that the bytes at one location were read and found right. Nor do `forgotten` and sweep
 * records: they say what was deleted, and why, at one location.
 */
import { isStillpointError, type StillpointError } from "../errors.ts";
import { forEachAtOnce } from "../repository/points/catalog.ts";
import type { Repository } from "../repository/repository.ts";
import { getSmallObject } from "../repository/points/small-objects.ts";
import type { CallOptions } from "../storage/storage.ts";
import { type NoteSurvey, surveyNotes } from "./survey.ts";

const callsAtOnce = 16;

/** An object that was left as it is at the replica, and why. */
export interface NoteFailure {
  readonly name: string;
  readonly error: StillpointError;
}

export class NoteSynchroniser {
  readonly #primary: Repository;
  readonly #replica: Repository;
  readonly #here: NoteSurvey;
  readonly #there: NoteSurvey;
  readonly failed: NoteFailure[] = [];

  private constructor(primary: Repository, replica: Repository, here: NoteSurvey, there: NoteSurvey) {
    this.#primary = primary;
    this.#replica = replica;
    this.#here = here;
    this.#there = there;
  }

  static async survey(primary: Repository, replica: Repository, options: CallOptions): Promise<NoteSynchroniser> {
    const [here, there] = await Promise.all([
      surveyNotes(primary.storage, options),
      surveyNotes(replica.storage, options),
    ]);
    return new NoteSynchroniser(primary, replica, here, there);
  }

  /** Points of the primary, by id. A damaged object is noted in `failed`. Throws errors of the replica's storage. */
  async synchronise(points: Iterable<string>, options: CallOptions): Promise<void> {
    const { holds, tags } = this.#here;
    await forEachAtOnce(points, callsAtOnce, async (id) => {
      const hold = holds.get(id);
      if (hold !== undefined && !this.#there.holds.has(id)) await this.#copy("holds", hold, options);
      const newest = tags.get(id);
      if (newest !== undefined && newest > (this.#there.tags.get(id) ?? "")) await this.#copy("tags", newest, options);
    });
  }

  async #copy(folder: "holds" | "tags", name: string, options: CallOptions): Promise<void> {
    const data = await this.#read(folder, name, options);
    if (data !== undefined) await this.#replica.storage.put(name, [data], options);
  }

  /** The object's bytes, verified; undefined when it was deleted meanwhile or can't be read. */
  async #read(folder: "holds" | "tags", name: string, options: CallOptions): Promise<Buffer | undefined> {
    try {
      await getSmallObject(this.#primary, folder, name, options);
      return await this.#primary.storage.get(name, undefined, options);
    } catch (error) {
      if (!isStillpointError(error) || error.code === "cancelled") throw error;
      if (error.code !== "object_missing") this.failed.push({ name, error });
      return undefined;
    }
  }
}
