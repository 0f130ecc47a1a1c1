/** A storage that misbehaves on script: which call, and how. */

import { collect } from "./collect.ts";
import { StillpointError, type ErrorCode } from "../../src/errors.ts";
import { systemClock, type Clock } from "../../src/host/clock.ts";
import type { ByteRange, CallOptions, GetOptions, ObjectInfo, Storage } from "../../src/storage/storage.ts";

export type StorageOperation = "put" | "get" | "stat" | "list" | "delete";

export type Fault =
  /** Fails: before it has done anything, or after it has done everything (the answer was lost on the way). */
  | { readonly kind: "fail"; readonly code: ErrorCode; readonly done?: boolean }
  /** `put`: a broken store leaves the first half under the name, and fails. */
  | { readonly kind: "tear" }
  /** `put` or `delete`: says yes and does nothing. */
  | { readonly kind: "lose" }
  /** Takes its time, in ms. */
  | { readonly kind: "slow"; readonly ms: number }
  /** `get`: returns something else than what is there. See `flipBit` and `cutOff`. */
  | { readonly kind: "alter"; readonly alter: (data: Buffer) => Buffer }
  /** `list`: yields something else than what is there. See `endEarly` and `staleAs`. */
  | { readonly kind: "mislist"; readonly mislist: (infos: ObjectInfo[]) => ObjectInfo[] }
  /** `list`: yields that many objects, and fails. */
  | { readonly kind: "break"; readonly after: number; readonly code: ErrorCode };

export interface ScriptedFault {
  readonly operation: StorageOperation;
  readonly fault: Fault;
  /** The first call that it strikes, counted from 1 among the calls that match, from now on. By default 1. */
  readonly nth?: number;
  /** How many calls it strikes. By default 1. */
  readonly times?: number;
  /** Only calls for such names (for `list`: prefixes) match. */
  readonly name?: RegExp;
}

/** A fault of `get`: one bit is wrong. */
export function flipBit(bit: number): Fault {
  const alter = (data: Buffer): Buffer => {
    const byte = (bit >> 3) % Math.max(1, data.length);
    const before = data[byte];
    if (before !== undefined) data[byte] = before ^ (1 << (bit & 7));
    return data;
  };
  return { kind: "alter", alter };
}

/** A fault of `get`: the data ends early. */
export function cutOff(length: number): Fault {
  return { kind: "alter", alter: (data) => data.subarray(0, length) };
}

/** A fault of `list`: it ends early in silence. */
export function endEarly(after: number): Fault {
  return { kind: "mislist", mislist: (infos) => infos.slice(0, after) };
}

/** A fault of `list`: it shows what was there once. */
export function staleAs(then: readonly ObjectInfo[]): Fault {
  return { kind: "mislist", mislist: () => [...then] };
}

export class FaultyStorage implements Storage {
  readonly location: string;
  /** Every call so far, such as `put packs/ab/1`. */
  readonly calls: string[] = [];
  readonly #inner: Storage;
  readonly #clock: Clock;
  readonly #script: { readonly scripted: ScriptedFault; matched: number }[] = [];

  constructor(inner: Storage, clock: Clock = systemClock) {
    this.location = inner.location;
    this.#inner = inner;
    this.#clock = clock;
  }

  /** Adds a fault to the script. */
  script(scripted: ScriptedFault): void {
    this.#script.push({ scripted, matched: 0 });
  }

  async put(name: string, data: readonly Uint8Array[], call: CallOptions = {}): Promise<void> {
    const fault = await this.#begin("put", name, call);
    if (fault?.kind === "lose") return;
    const whole = Buffer.concat(data);
    const torn = fault?.kind === "tear";
    await this.#inner.put(name, torn ? [whole.subarray(0, whole.length >> 1)] : [whole], call);
    if (torn) throw failure("storage_failed", "put", name);
    this.#end(fault, "put", name);
  }

  async get(name: string, range?: ByteRange, call: GetOptions = {}): Promise<Buffer> {
    const fault = await this.#begin("get", name, call);
    const data = await this.#inner.get(name, range, call);
    this.#end(fault, "get", name);
    return fault?.kind === "alter" ? fault.alter(data) : data;
  }

  async stat(name: string, call: CallOptions = {}): Promise<ObjectInfo> {
    const fault = await this.#begin("stat", name, call);
    const info = await this.#inner.stat(name, call);
    this.#end(fault, "stat", name);
    return info;
  }

  async delete(name: string, call: CallOptions = {}): Promise<void> {
    const fault = await this.#begin("delete", name, call);
    if (fault?.kind === "lose") return;
    await this.#inner.delete(name, call);
    this.#end(fault, "delete", name);
  }

  async *list(prefix: string, call: CallOptions = {}): AsyncGenerator<ObjectInfo, void, void> {
    const fault = await this.#begin("list", prefix, call);
    if (fault?.kind === "mislist") {
      yield* fault.mislist(await collect(this.#inner.list(prefix, call)));
      return;
    }
    let yielded = 0;
    for await (const info of this.#inner.list(prefix, call)) {
      if (fault?.kind === "break" && yielded === fault.after) break;
      yielded += 1;
      yield info;
    }
    if (fault?.kind === "break") throw failure(fault.code, "list", prefix);
    this.#end(fault, "list", prefix);
  }

  /** The fault that strikes this call, after what of it comes first. */
  async #begin(operation: StorageOperation, name: string, call: CallOptions): Promise<Fault | undefined> {
    this.calls.push(`${operation} ${name}`);
    const fault = this.#next(operation, name);
    if (fault?.kind === "slow") await this.#clock.sleep(fault.ms, call.signal);
    if (fault?.kind === "fail" && !fault.done) throw failure(fault.code, operation, name);
    return fault;
  }

  #end(fault: Fault | undefined, operation: StorageOperation, name: string): void {
    if (fault?.kind === "fail") throw failure(fault.code, operation, name);
  }

  #next(operation: StorageOperation, name: string): Fault | undefined {
    let found: Fault | undefined;
    for (const entry of this.#script) {
      const { scripted } = entry;
      if (scripted.operation !== operation || (scripted.name && !scripted.name.test(name))) continue;
      entry.matched += 1;
      const { nth = 1, times = 1, fault } = scripted;
      if (entry.matched >= nth && entry.matched < nth + times) found ??= fault;
    }
    return found;
  }
}

function failure(code: ErrorCode, operation: string, name: string): StillpointError {
  return new StillpointError(code, { what: `Cannot ${operation} ${name}: a scripted fault` });
}
