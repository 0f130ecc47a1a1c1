/**
 * Objects that can't be read: damaged, or where the storage fails to read them, as a disk with a bad sector does. A storage that
 * fails as a whole answers alike, and may have them whole: whatever deletes or forgets waits until it knows (`requireRead`).
 */
import { isStillpointError, type StillpointError } from "../../errors.ts";

/** Something stored that can't be used, and why: `storage_failed` when it may be whole. */
export interface Damage {
  readonly name: string;
  readonly error: StillpointError;
}

/** Whether an error is about the one object that was read, so that others may be read all the same. */
export function isUnreadable(error: unknown): error is StillpointError {
  return isStillpointError(error, "damaged") || isStillpointError(error, "storage_failed");
}

/**
 * For decisions that would be others if a manifest, tag, hold or proof were missing.
 *
 * @throws StillpointError `storage_failed` when the storage failed to read one
 */
export function requireRead({ damaged }: { readonly damaged: readonly Damage[] }): void {
  for (const { error } of damaged) if (error.code === "storage_failed") throw error;
}

/** As many reads that fail one after the other say that the storage fails. Neighbours on a disk may share a bad sector. */
const failuresOfStorage = 3;

/** Reads objects, and passes over those that can't be read, as long as others can. */
export class PassingOver {
  readonly #told: (damage: Damage) => void;
  #inARow = 0;

  /** `told` of each object that is passed over. */
  constructor(told: (damage: Damage) => void) {
    this.#told = told;
  }

  /** Undefined for an object that can't be read. Throws `object_missing`, and a storage error, also when the storage fails as a whole. */
  async read<T>(name: string, read: () => Promise<T>): Promise<T | undefined> {
    try {
      const content = await read();
      this.#inARow = 0;
      return content;
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      this.#inARow = error.code === "storage_failed" ? this.#inARow + 1 : 0;
      if (this.#inARow >= failuresOfStorage) throw error;
      this.#told({ name, error });
      return undefined;
    }
  }

  /** As `read`; undefined, too, for an object that went away meanwhile. */
  async readIfThere<T>(name: string, read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await this.read(name, read);
    } catch (error) {
      if (!isStillpointError(error, "object_missing")) throw error;
      return undefined;
    }
  }
}
