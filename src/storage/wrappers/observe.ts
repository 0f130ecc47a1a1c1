import { isStillpointError, type ErrorCode } from "../../errors.ts";
import type { Clock } from "../../host/clock.ts";
import { sizeOf } from "../size-of.ts";
import type { Storage } from "../storage.ts";
import { aroundLocks } from "./around-locks.ts";

/** One call to a storage, after it has ended. */
export interface StorageCall {
  readonly location: string;
  readonly operation: "put" | "get" | "stat" | "list" | "delete";
  /** Content that was sent (`put`) or received (`get`), 0 for a call that failed. */
  readonly bytes: number;
  /** In ms; for a listing the time that it was at work, without its consumer's. */
  readonly duration: number;
  /** Undefined when the call succeeded. */
  readonly error: ErrorCode | undefined;
}

export type StorageObserver = (call: StorageCall) => void;

/** Tells `observer` about every call; of those on versions and locks, as the operation that they resemble. */
export function withObserver(storage: Storage, observer: StorageObserver, clock: Clock): Storage {
  const { location } = storage;

  const observed = async <T>(
    operation: StorageCall["operation"],
    call: () => Promise<T>,
    bytesOf: (result: T) => number = () => 0,
  ): Promise<T> => {
    const start = clock.monotonic();
    try {
      const result = await call();
      observer({ location, operation, bytes: bytesOf(result), duration: clock.monotonic() - start, error: undefined });
      return result;
    } catch (error) {
      observer({ location, operation, bytes: 0, duration: clock.monotonic() - start, error: codeOf(error) });
      throw error;
    }
  };

  async function* observedList<T>(listing: AsyncIterable<T>): AsyncIterable<T> {
    let duration = 0;
    let resumed: number | undefined = clock.monotonic();
    let error: ErrorCode | undefined;
    const pause = (): void => {
      if (resumed !== undefined) duration += clock.monotonic() - resumed;
      resumed = undefined;
    };
    try {
      for await (const info of listing) {
        pause();
        yield info;
        resumed = clock.monotonic();
      }
    } catch (thrown) {
      error = codeOf(thrown);
      throw thrown;
    } finally {
      pause();
      observer({ location, operation: "list", bytes: 0, duration, error });
    }
  }

  return {
    location,
    put: (name, data, call) =>
      observed(
        "put",
        () => storage.put(name, data, call),
        () => sizeOf(data),
      ),
    get: (name, range, call) =>
      observed(
        "get",
        () => storage.get(name, range, call),
        (data) => data.length,
      ),
    stat: (name, call) => observed("stat", () => storage.stat(name, call)),
    delete: (name, call) => observed("delete", () => storage.delete(name, call)),
    list: (prefix, call) => observedList(storage.list(prefix, call)),
    locks: aroundLocks(storage.locks, {
      call: (operation, _, call, bytesOf) => observed(operation, call, bytesOf),
      list: (_, list) => observedList(list()),
    }),
  };
}

function codeOf(error: unknown): ErrorCode {
  return isStillpointError(error) ? error.code : "internal";
}
