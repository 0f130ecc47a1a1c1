/** Reads exports of an NBD server over a UNIX socket. */
import * as net from "node:net";
import { StillpointError } from "../errors.ts";
import { cancelled, throwIfCancelled } from "../host/cancel.ts";
import { systemClock } from "../host/clock.ts";
import { Coverage } from "./coverage.ts";
import { type Agreement, negotiate, Refusal } from "./handshake.ts";
import { Inflow, type Parser, Violation } from "./inflow.ts";
import { commands, longestRequest, requestLength, requestMagic, transmissionFlags } from "./protocol.ts";
import { type Extent, type Pending, type PendingRequests, replies, type RequestFailed } from "./replies.ts";

export interface NbdClientOptions {
  /** Path of the server's UNIX socket. */
  readonly socket: string;
  /** The export's name; may be empty, for the server's default. */
  readonly export: string;
  /** Metadata contexts to ask for, such as `base:allocation`. */
  readonly contexts?: readonly string[];
  /** Ends the connection, and everything that waits for it. */
  readonly signal?: AbortSignal | undefined;
  /** In ms, for the handshake. By default 10,000. */
  readonly timeout?: number;
}

/** What arrives at once; the kernel gives as much as there is. */
const receiveLength = 512 * 1024;

/** Fits a length of 32 bits, and any block size. */
const longestStatusRequest = 2 ** 30;

/**
 * One connection to one export. Any number of requests may be under way at once; the server answers in any order. When
 * the connection is lost, or the server breaks the protocol, every call that waits and every later one throws the reason.
 */
export class NbdClient {
  readonly #where: string;
  readonly #socket: net.Socket;
  readonly #pending: PendingRequests = new Map();
  #agreement: Agreement = { size: 0, flags: 0, structured: false, contexts: new Map() };
  #failure: Error | undefined;
  #lastCookie = 0n;
  readonly #ready = Promise.withResolvers<undefined>();
  readonly #closed = Promise.withResolvers<undefined>();

  /**
   * Connects and negotiates.
   *
   * @throws StillpointError `source_missing` (nobody listens there, or there is no such export), `source_denied`,
   * `vm_failed` (the server refuses, says nothing, or isn't one), `cancelled`
   */
  static async connect(options: NbdClientOptions): Promise<NbdClient> {
    throwIfCancelled(options.signal);
    const client = new NbdClient(options);
    const late = new AbortController();
    systemClock.sleep(options.timeout ?? 10_000, late.signal).then(
      () => client.#fail(client.#error("it didn't answer in time")),
      () => undefined,
    );
    try {
      await client.#ready.promise;
      return client;
    } finally {
      late.abort();
    }
  }

  private constructor({ socket: path, export: name, contexts = [], signal }: NbdClientOptions) {
    this.#where = `the export ${JSON.stringify(name)} of the NBD server at ${path}`;
    const inflow = new Inflow(this.#converse({ export: name, contexts }));
    this.#socket = net.connect({
      path,
      onread: {
        buffer: Buffer.allocUnsafeSlow(receiveLength),
        callback: (length, buffer) => {
          this.#receive(inflow, buffer.subarray(0, length));
          return true;
        },
      },
    });
    const stop = (): void => this.#fail(cancelled());
    signal?.addEventListener("abort", stop, { once: true });
    this.#socket.on("error", (error) => this.#fail(this.#unreachable(error)));
    this.#socket.on("close", () => {
      signal?.removeEventListener("abort", stop);
      this.#fail(this.#error("the server closed the connection"));
      this.#closed.resolve(undefined);
    });
  }

  /** Of the export, in bytes. */
  get size(): number {
    return this.#agreement.size;
  }

  get readOnly(): boolean {
    return (this.#agreement.flags & transmissionFlags.readOnly) !== 0;
  }

  /** Whether several connections to the export see the same. */
  get multiConn(): boolean {
    return (this.#agreement.flags & transmissionFlags.canMultiConn) !== 0;
  }

  /** Metadata contexts that the server granted. */
  get contexts(): readonly string[] {
    return [...this.#agreement.contexts.values()];
  }

  /** Fills the buffer from `offset` on. Throws `vm_failed` or `cancelled`; the buffer's content is then undefined. */
  async read(offset: number, buffer: Uint8Array): Promise<void> {
    this.#requireInside(offset, buffer.length);
    const parts: Promise<Pending>[] = [];
    for (let at = 0; at < buffer.length; at += longestRequest) {
      const part = buffer.subarray(at, at + longestRequest);
      parts.push(this.#request(commands.read, offset + at, part.length, part));
    }
    await Promise.all(parts);
  }

  /**
   * The extents of a range, in order, as a granted context has them: together exactly `length` bytes, neighbours with the same
   * flags joined. Throws `vm_failed` or `cancelled`.
   */
  async blockStatus(context: string, offset: number, length: number): Promise<Extent[]> {
    this.#requireInside(offset, length);
    const id = [...this.#agreement.contexts].find(([, name]) => name === context)?.[0];
    if (id === undefined) throw this.#error(`the context ${context} was not granted`);
    const found: Extent[] = [];
    for (let at = 0; at < length; ) {
      const { extents } = await this.#request(
        commands.blockStatus,
        offset + at,
        Math.min(length - at, longestStatusRequest),
      );
      const answer = extents.get(id);
      if (answer === undefined) throw this.#error(`the server left out the context ${context}`);
      at = appendExtents(found, answer, at, length);
    }
    return found;
  }

  /** Takes leave of the server. Calls that still wait are rejected. Never throws. */
  async close(): Promise<void> {
    if (this.#failure === undefined) {
      this.#socket.write(requestHeader(commands.disconnect, 0n, 0, 0));
      this.#fail(this.#error("the connection was closed"), "gently");
      // A server that has stopped reading would keep the farewell, and whoever waits here, for ever.
      const gone = new AbortController();
      void this.#closed.promise.then(() => gone.abort());
      await systemClock.sleep(1000, gone.signal).catch(() => undefined);
      this.#socket.destroy();
    }
    await this.#closed.promise;
  }

  *#converse(wishes: { export: string; contexts: readonly string[] }): Parser {
    this.#agreement = yield* negotiate(wishes, (bytes) => this.#socket.write(bytes));
    this.#ready.resolve(undefined);
    const { structured, contexts } = this.#agreement;
    yield* replies(this.#pending, { structured, contexts: new Set(contexts.keys()) });
  }

  #receive(inflow: Inflow, chunk: Uint8Array): void {
    if (this.#failure !== undefined) return;
    try {
      inflow.feed(chunk);
    } catch (error) {
      if (error instanceof Refusal) this.#fail(this.#refused(error));
      else if (error instanceof Violation) this.#fail(this.#error(`the server broke the protocol: ${error.message}`));
      else this.#fail(error as Error);
    }
  }

  async #request(command: number, offset: number, length: number, into?: Uint8Array): Promise<Pending> {
    if (this.#failure !== undefined) throw this.#failure;
    const { promise, resolve, reject } = Promise.withResolvers<Pending>();
    const cookie = ++this.#lastCookie;
    const pending: Pending = {
      offset,
      length,
      into,
      extents: new Map(),
      coverage: new Coverage(length),
      failure: undefined,
      settle: (failure) => (failure === undefined ? resolve(pending) : reject(this.#failed(failure))),
      abandon: reject,
    };
    this.#pending.set(cookie, pending);
    this.#socket.write(requestHeader(command, cookie, offset, length));
    return await promise;
  }

  #requireInside(offset: number, length: number): void {
    if (Number.isSafeInteger(offset) && offset >= 0 && offset + length <= this.size) return;
    throw new StillpointError("internal", {
      what: `Cannot read ${length} bytes at ${offset} of ${this.#where}: it has ${this.size}`,
    });
  }

  /** The first reason counts. `gently`: what has been written is still sent. */
  #fail(reason: Error, how: "gently" | "now" = "now"): void {
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    this.#ready.reject(reason);
    // Not every connection is still being waited for when it ends.
    this.#ready.promise.catch(() => undefined);
    for (const request of this.#pending.values()) request.abandon(reason);
    this.#pending.clear();
    if (how === "gently") this.#socket.destroySoon();
    else this.#socket.destroy();
  }

  #error(how: string, cause?: unknown): StillpointError {
    return new StillpointError("vm_failed", {
      what: `Cannot read ${this.#where}: ${how}`,
      safe: "Nothing was written to it.",
      ...(cause !== undefined && { cause }),
    });
  }

  #failed({ message }: RequestFailed): StillpointError {
    return this.#error(`the server reported ${message}`);
  }

  #refused(refusal: Refusal): StillpointError {
    if (!refusal.unknownExport) return this.#error(`the server refused, saying: ${refusal.message}`);
    return new StillpointError("source_missing", {
      what: `There is no such thing as ${this.#where}: ${refusal.message}`,
    });
  }

  #unreachable(error: NodeJS.ErrnoException): StillpointError {
    const { code = error.message } = error;
    if (code === "ENOENT" || code === "ECONNREFUSED")
      return new StillpointError("source_missing", {
        what: `Cannot reach ${this.#where}: nobody listens there (${code})`,
        cause: error,
      });
    if (code === "EACCES" || code === "EPERM")
      return new StillpointError("source_denied", {
        what: `Cannot reach ${this.#where}: permission denied`,
        next: "Run Stillpoint as the user whom the socket belongs to, or as root.",
        cause: error,
      });
    return this.#error(`the connection was lost (${code})`, error);
  }
}

function requestHeader(command: number, cookie: bigint, offset: number, length: number): Buffer {
  const header = Buffer.alloc(requestLength);
  header.writeUInt32BE(requestMagic, 0);
  header.writeUInt16BE(command, 6);
  header.writeBigUInt64BE(cookie, 8);
  header.writeBigUInt64BE(BigInt(offset), 16);
  header.writeUInt32BE(length, 24);
  return header;
}

/** Adds what a reply says from `at` on, cut at `end`: servers may describe less or more than was asked. Returns where it ends. */
function appendExtents(found: Extent[], answer: readonly Extent[], at: number, end: number): number {
  let next = at;
  for (const { length, flags } of answer) {
    const taken = Math.min(length, end - next);
    if (taken <= 0) break;
    const last = found.at(-1);
    if (last?.flags === flags) found[found.length - 1] = { flags, length: last.length + taken };
    else found.push({ length: taken, flags });
    next += taken;
  }
  return next;
}
