/** One connection to an SFTP server: requests and their answers, many at once, and how it ends. */

import { toError } from "../../../errors.ts";
import type { Clock } from "../../../host/clock.ts";
import { release } from "../../../host/release.ts";
import type { ProgramEnd, ProgramPipe } from "../../../host/program-pipe.ts";
import { u32 } from "../../../host/big-endian.ts";
import { Fields } from "./fields.ts";
import { PacketReader } from "./packet-reader.ts";
import { packetTypes, protocolVersion, StatusError, Violation } from "./protocol.ts";

/** Why a connection is of no use any more. */
export type Trouble =
  /** The program that carries it has ended. */
  | { readonly kind: "ended"; readonly end: ProgramEnd; readonly established: boolean }
  /** The server did what the protocol forbids. Completes "The server … : ". */
  | { readonly kind: "violation"; readonly what: string; readonly established: boolean }
  /** The server has left a request unanswered, or all. */
  | { readonly kind: "silent"; readonly ms: number }
  /** It was closed on this side, since nobody used it. */
  | { readonly kind: "closed" };

export interface SftpConnectionOptions {
  readonly pipe: ProgramPipe;
  readonly clock: Clock;
  /** The error that everybody gets who waits for an answer, or asks for one later. */
  readonly explain: (trouble: Trouble) => Error;
  /** Called whenever the server has done what it was asked for. */
  readonly moved?: (() => void) | undefined;
}

/** Turns an answer into its meaning. Throws StatusError for a request that failed, Violation for what is no answer to it. */
export type Answer<T> = (type: number, fields: Fields) => T;

interface Pending {
  /** By the monotonic clock. */
  readonly since: number;
  readonly answer: (type: number, fields: Fields) => void;
  readonly abandon: (reason: Error) => void;
}

/** Requests under way at once: so many that folders of packs are listed in few round trips. */
const mostInFlight = 256;

/**
 * In ms: how long nothing may move while the server owes an answer, and how long it may go on answering later requests only: servers
 * answer in turn. It may be busy with an fsync of much.
 */
const patience = 120_000;
/** In ms: how long a connection is kept that nobody uses. */
const idleLimit = 60_000;
/** In ms. */
const watchInterval = 15_000;

export class SftpConnection {
  readonly #options: SftpConnectionOptions;
  readonly #reader = new PacketReader();
  readonly #pending = new Map<number, Pending>();
  readonly #waiting = new Set<() => void>();
  readonly #ready = Promise.withResolvers<ReadonlyMap<string, string>>();
  readonly #over = new AbortController();
  #established = false;
  #lastId = 0;
  #moved: number;
  #roundTrip = Number.POSITIVE_INFINITY;
  /** Since when later requests have been answered before the oldest one, by the monotonic clock. */
  #passedOver: number | undefined;
  #failure: Error | undefined;

  /** Speaks to what the pipe leads to. Does not wait: see `extensions`. */
  constructor(options: SftpConnectionOptions) {
    this.#options = options;
    this.#moved = options.clock.monotonic();
    const { pipe } = options;
    // Not everybody who opens a connection waits until it has failed.
    this.#ready.promise.catch(() => undefined);
    pipe.output.on("data", (chunk: Buffer) => this.#receive(chunk));
    pipe.output.on("error", () => pipe.close());
    pipe.output.on("end", () => pipe.close());
    void pipe.ended.then((end) => this.#trouble({ kind: "ended", end, established: this.#established }));
    this.#send(packetTypes.init, [u32(protocolVersion)]);
    void this.#watch();
  }

  /** Name and version of each extension that the server offers, when it has greeted. Throws what `explain` makes. */
  get extensions(): Promise<ReadonlyMap<string, string>> {
    return this.#ready.promise;
  }

  /** Whether there is no use in asking anything any more. */
  get over(): boolean {
    return this.#failure !== undefined;
  }

  /** In ms: the shortest time that an answer has taken so far; infinite before the first. */
  get roundTrip(): number {
    return this.#roundTrip;
  }

  /**
   * Asks, when its turn has come, and gives the meaning of the answer. The fields must not change until then.
   *
   * @throws StatusError when the server says no; what `explain` makes when the connection fails
   */
  async request<T>(type: number, fields: readonly Uint8Array[], answer: Answer<T>): Promise<T> {
    while (this.#pending.size >= mostInFlight && this.#failure === undefined) {
      await new Promise<void>((resolve) => void this.#waiting.add(resolve));
    }
    if (this.#failure !== undefined) throw this.#failure;
    const since = this.#options.clock.monotonic();
    if (this.#pending.size === 0) this.#moved = since;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const id = this.#nextId();
    const settle = (replyType: number, reply: Fields): void => {
      try {
        resolve(answer(replyType, reply));
        this.#options.moved?.();
      } catch (error) {
        // Anything else ends the connection, and this caller fails with all others.
        if (!(error instanceof StatusError)) throw error;
        reject(error);
      }
    };
    this.#pending.set(id, { since, answer: settle, abandon: reject });
    this.#send(type, [u32(id), ...fields]);
    return await promise;
  }

  /** Takes leave. Requests that still wait fail. */
  close(): void {
    this.#trouble({ kind: "closed" });
  }

  #nextId(): number {
    do this.#lastId = (this.#lastId + 1) >>> 0;
    while (this.#pending.has(this.#lastId));
    return this.#lastId;
  }

  #send(type: number, fields: readonly Uint8Array[]): void {
    const length = fields.reduce((sum, field) => sum + field.length, 1);
    const head = Buffer.allocUnsafe(5);
    head.writeUInt32BE(length);
    head.writeUInt8(type, 4);
    const { input } = this.#options.pipe;
    input.cork();
    input.write(head);
    for (const [index, field] of fields.entries()) {
      if (index === fields.length - 1) input.write(field, () => (this.#moved = this.#options.clock.monotonic()));
      else input.write(field);
    }
    input.uncork();
  }

  #receive(chunk: Buffer): void {
    if (this.#failure !== undefined) return;
    this.#moved = this.#options.clock.monotonic();
    try {
      for (const packet of this.#reader.take(chunk)) this.#take(new Fields(packet));
      release(chunk);
    } catch (error) {
      const established = this.#established;
      if (error instanceof Violation) this.#trouble({ kind: "violation", what: error.message, established });
      else this.#fail(toError(error));
    }
  }

  #take(fields: Fields): void {
    const type = fields.u8();
    if (type === packetTypes.version || !this.#established) {
      this.#greet(type, fields);
      return;
    }
    const id = fields.u32();
    const pending = this.#pending.get(id);
    if (pending === undefined) throw new Violation("it answered a request that nobody made");
    this.#roundTrip = Math.min(this.#roundTrip, this.#moved - pending.since);
    pending.answer(type, fields);
    // In the order in which they were asked.
    const [oldest] = this.#pending.keys();
    this.#passedOver = id === oldest ? undefined : (this.#passedOver ?? this.#moved);
    this.#pending.delete(id);
    this.#wakeNext();
  }

  #greet(type: number, fields: Fields): void {
    if (type !== packetTypes.version || this.#established)
      throw new Violation("it greeted at the wrong time, or not at all");
    const version = fields.u32();
    if (version !== protocolVersion)
      throw new Violation(`it speaks version ${version} of SFTP, not ${protocolVersion}`);
    const offered = new Map<string, string>();
    while (fields.left > 0) offered.set(fields.text(), fields.text());
    this.#established = true;
    this.#ready.resolve(offered);
  }

  #wakeNext(): void {
    const [next] = this.#waiting;
    if (next === undefined) return;
    this.#waiting.delete(next);
    next();
  }

  /** Notices a server that has stopped answering, and a connection that nobody uses. */
  async #watch(): Promise<void> {
    const { clock } = this.#options;
    while (this.#failure === undefined) {
      try {
        await clock.sleep(watchInterval, this.#over.signal);
      } catch {
        return;
      }
      const now = clock.monotonic();
      const still = now - this.#moved;
      const owed = this.#pending.size > 0 || !this.#established;
      const owedLong = now - (this.#passedOver ?? now) >= patience;
      if (owedLong || (owed && still >= patience)) this.#trouble({ kind: "silent", ms: patience });
      else if (!owed && still >= idleLimit) this.close();
    }
  }

  #trouble(trouble: Trouble): void {
    if (this.#failure === undefined) this.#fail(this.#options.explain(trouble), trouble.kind === "closed");
  }

  /** The first reason counts. */
  #fail(reason: Error, gently = false): void {
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    this.#over.abort();
    this.#ready.reject(reason);
    for (const { abandon } of this.#pending.values()) abandon(reason);
    this.#pending.clear();
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
    if (gently) this.#options.pipe.close();
    else this.#options.pipe.kill();
  }
}
