/** One client of a server: its handshake, then its requests, several at once. */
import type * as net from "node:net";
import { describeError } from "../errors.ts";
import { throwIfCancelled } from "../host/cancel.ts";
import { u16, u32, u64 } from "../host/big-endian.ts";
import { chunkHeader, replyHeader } from "./reply-headers.ts";
import type { NbdExport } from "./export.ts";
import { allocationId, haggle, type Session } from "./haggling.ts";
import { Inflow, type Parser, skip, take, Violation } from "./inflow.ts";
import { commandFlags, commands, errors, replyDone, replyTypes, requestLength, requestMagic } from "./protocol.ts";

/**
 * Memory that one client can take: this many requests are worked on at once, each of them this many bytes at a time, until the
 * client has taken them. What else it asks waits in its socket.
 */
const requestsAtOnce = 16;
const bytesAtOnce = 512 * 1024;

/** Replies to options that a client doesn't take; then its next option waits. */
const mostUnread = 256 * 1024;

/** Extents described in one reply, of 8 bytes each. */
const mostExtents = 32 * 1024;

interface Request {
  readonly flags: number;
  readonly command: number;
  readonly cookie: bigint;
  readonly offset: bigint;
  readonly length: number;
}

/** A request that isn't carried out; `value` is the error's number. */
class Refused extends Error {
  readonly value: number;

  constructor(value: number, text: string) {
    super(text);
    this.value = value;
  }
}

export class ServerConnection {
  readonly #socket: net.Socket;
  readonly #inflow: Inflow;
  readonly #onSession: () => void;
  /** Aborts when there is nobody left to answer, or when the server shuts down. */
  readonly #stop = new AbortController();
  #atOnce = requestsAtOnce;
  #underWay = 0;
  #idle: (() => void) | undefined;

  /** `onSession` is called when the handshake is done. */
  constructor(socket: net.Socket, exports: readonly NbdExport[], onSession: () => void) {
    this.#socket = socket;
    this.#onSession = onSession;
    this.#inflow = new Inflow(this.#converse(exports));
    socket.on("data", (bytes: Buffer) => this.#parse(() => this.#inflow.feed(bytes)));
    socket.on("drain", () => this.#goOn());
    socket.on("close", () => this.#stop.abort());
    // "close" follows.
    socket.on("error", () => undefined);
    this.#parse(() => this.#inflow.feed(Buffer.alloc(0)));
  }

  /** Breaks off what is under way, says so to the client, and hangs up. */
  async shutDown(): Promise<void> {
    this.#stop.abort();
    this.#hold();
    await this.#finish();
  }

  /** Hangs up when all is answered. */
  async #finish(): Promise<void> {
    if (this.#underWay > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    this.#socket.destroySoon();
  }

  *#converse(exports: readonly NbdExport[]): Parser {
    const session = yield* haggle(exports, (bytes) => {
      this.#socket.write(bytes);
      if (this.#socket.writableLength > mostUnread) this.#hold();
    });
    if (session === undefined) {
      this.#socket.end();
      return;
    }
    this.#onSession();
    // A simple reply can't be told in pieces, between which others may come; so one at a time.
    if (!session.structured) this.#atOnce = 1;
    for (;;) {
      const header = yield* take(requestLength);
      if (header.readUInt32BE(0) !== requestMagic) throw new Violation("a request has a wrong magic");
      const request = {
        flags: header.readUInt16BE(4),
        command: header.readUInt16BE(6),
        cookie: header.readBigUInt64BE(8),
        offset: header.readBigUInt64BE(16),
        length: header.readUInt32BE(24),
      };
      if (request.command === commands.write) yield* skip(request.length);
      if (request.command === commands.disconnect) {
        void this.#finish();
        return;
      }
      void this.#answer(session, request);
    }
  }

  #parse(step: () => void): void {
    try {
      step();
    } catch (error) {
      // There is no way to tell a client that breaks the protocol.
      if (error instanceof Violation) this.#socket.destroy();
      else throw error;
    }
  }

  #hold(): void {
    this.#inflow.hold();
    this.#socket.pause();
  }

  #goOn(): void {
    if (this.#stop.signal.aborted || this.#underWay >= this.#atOnce || this.#socket.destroyed) return;
    this.#socket.resume();
    this.#parse(() => this.#inflow.release());
  }

  /** Carries out a request and replies. Never throws. */
  async #answer(session: Session, request: Request): Promise<void> {
    this.#underWay += 1;
    if (this.#underWay >= this.#atOnce) this.#hold();
    try {
      await this.#carryOut(session, request);
    } catch (error) {
      const shutdown = this.#stop.signal.aborted ? errors.ESHUTDOWN : errors.EIO;
      await this.#sendError(session, request, error instanceof Refused ? error.value : shutdown, describeError(error));
    }
    this.#underWay -= 1;
    if (this.#underWay === 0) this.#idle?.();
    this.#goOn();
  }

  async #carryOut(session: Session, request: Request): Promise<void> {
    const { command, flags, length } = request;
    if (command === commands.write || command === commands.trim || command === commands.writeZeroes)
      throw new Refused(errors.EPERM, "the export is read-only");
    const known = command === commands.blockStatus ? commandFlags.one : 0;
    if ((flags & ~known) !== 0) throw new Refused(errors.EINVAL, "the request has flags that weren't agreed upon");
    if (request.offset + BigInt(length) > BigInt(session.export.size))
      throw new Refused(errors.EINVAL, "the request reaches past the end");
    const offset = Number(request.offset);
    if (command === commands.read && session.structured) await this.#readStructured(session, request, offset);
    else if (command === commands.read) await this.#readSimple(session, request, offset);
    else if (command === commands.cache) await this.#cache(session, request, offset);
    else if (command === commands.blockStatus) await this.#blockStatus(session, request, offset);
    else throw new Refused(errors.EINVAL, "the request isn't known");
  }

  async #readStructured({ export: source }: Session, { cookie, length }: Request, offset: number): Promise<void> {
    for (let at = 0; at < length; ) {
      const size = Math.min(bytesAtOnce, length - at);
      const bytes = await this.#read(source, offset + at, size);
      const place = u64(BigInt(offset + at));
      at += size;
      const done = at === length ? replyDone : 0;
      if (bytes === undefined) await this.#send([chunkHeader(done, replyTypes.hole, cookie, 12), place, u32(size)]);
      else await this.#send([chunkHeader(done, replyTypes.data, cookie, 8 + size), place, bytes]);
    }
    if (length === 0) await this.#send([chunkHeader(replyDone, replyTypes.none, cookie, 0)]);
  }

  /** An error after the first piece can only be told by hanging up. */
  async #readSimple({ export: source }: Session, { cookie, length }: Request, offset: number): Promise<void> {
    let at = 0;
    let header: Uint8Array[] = [replyHeader(0, cookie)];
    do {
      const size = Math.min(bytesAtOnce, length - at);
      try {
        const bytes = (await this.#read(source, offset + at, size)) ?? Buffer.alloc(size);
        await this.#send([...header, bytes]);
      } catch (error) {
        if (at === 0) throw error;
        this.#socket.destroy();
        return;
      }
      header = [];
      at += size;
    } while (at < length);
  }

  async #cache(session: Session, { cookie, length }: Request, offset: number): Promise<void> {
    for (let at = 0; at < length; at += bytesAtOnce)
      await this.#read(session.export, offset + at, Math.min(bytesAtOnce, length - at));
    await this.#sendDone(session, cookie);
  }

  async #read(source: NbdExport, offset: number, length: number): Promise<Uint8Array | undefined> {
    throwIfCancelled(this.#stop.signal);
    return length === 0 ? undefined : await source.read(offset, length, this.#stop.signal);
  }

  async #blockStatus(session: Session, { cookie, flags, length }: Request, offset: number): Promise<void> {
    if (!session.allocation) throw new Refused(errors.EINVAL, "no metadata context was agreed upon");
    if (length === 0) throw new Refused(errors.EINVAL, "the range is empty");
    const most = (flags & commandFlags.one) === 0 ? mostExtents : 1;
    const extents = (await session.export.extents(offset, length, this.#stop.signal)).slice(0, most);
    const payload = [allocationId, ...extents.flatMap((extent) => [extent.length, extent.flags])].map(u32);
    await this.#send([chunkHeader(replyDone, replyTypes.blockStatus, cookie, 4 * payload.length), ...payload]);
  }

  async #sendDone({ structured }: Session, cookie: bigint): Promise<void> {
    await this.#send([structured ? chunkHeader(replyDone, replyTypes.none, cookie, 0) : replyHeader(0, cookie)]);
  }

  async #sendError({ structured }: Session, { cookie }: Request, error: number, words: string): Promise<void> {
    const text = Buffer.from(words).subarray(0, 1024);
    if (!structured) await this.#send([replyHeader(error, cookie)]);
    else
      await this.#send([
        chunkHeader(replyDone, replyTypes.error, cookie, 6 + text.length),
        u32(error),
        u16(text.length),
        text,
      ]);
  }

  /** Resolves when the kernel has taken all, or the client is gone. Nothing comes between the pieces. */
  async #send(pieces: readonly Uint8Array[]): Promise<void> {
    if (this.#socket.destroyed) return;
    await new Promise<void>((resolve) => {
      this.#socket.cork();
      for (const piece of pieces.slice(0, -1)) this.#socket.write(piece);
      this.#socket.write(pieces.at(-1) ?? Buffer.alloc(0), () => resolve());
      this.#socket.uncork();
    });
  }
}
