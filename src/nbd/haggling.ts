/** The server's half of the fixed newstyle handshake: options, until the client goes on to transmission or leaves. */
import { string, u16, u32, u64 } from "../host/big-endian.ts";
import type { NbdExport } from "./export.ts";
import { Fields } from "./fields.ts";
import { type Parser, skip, take, Violation } from "./inflow.ts";
import {
  allocation,
  handshakeFlags,
  infoTypes,
  longestRequest,
  longestString,
  optionErrors,
  optionHeaderLength,
  optionMagic,
  optionReplies,
  optionReplyHeaderLength,
  optionReplyMagic,
  options,
  serverMagic,
  transmissionFlags,
} from "./protocol.ts";

/** What was agreed upon with a client. */
export interface Session {
  readonly export: NbdExport;
  readonly structured: boolean;
  /** Whether it asked for the context `base:allocation`. */
  readonly allocation: boolean;
}

/** The id of `base:allocation`, the only context there is. */
export const allocationId = 1;

/** A name, a context, and lengths: enough for every option that a server here knows. */
const longestOption = 4 * longestString;

/** Nobody needs more to find what it wants. */
const mostOptions = 1000;

const exportFlags =
  transmissionFlags.hasFlags |
  transmissionFlags.readOnly |
  transmissionFlags.canMultiConn |
  transmissionFlags.sendCache;

/** Negotiates over `exports`, the first of which is the default. Undefined when the client left. Throws `Violation`. */
export function* haggle(exports: readonly NbdExport[], send: (bytes: Buffer) => void): Parser<Session | undefined> {
  send(
    Buffer.concat([u64(serverMagic), u64(optionMagic), u16(handshakeFlags.fixedNewstyle | handshakeFlags.noZeroes)]),
  );
  const flags = (yield* take(4)).readUInt32BE(0);
  if ((flags & ~(handshakeFlags.fixedNewstyle | handshakeFlags.noZeroes)) !== 0)
    throw new Violation("it sent flags that weren't offered");
  const haggler = new Haggler(exports, send);
  for (let count = 0; count < mostOptions; count++) {
    const header = yield* take(optionHeaderLength);
    if (header.readBigUInt64BE(0) !== optionMagic) throw new Violation("an option has a wrong magic");
    const option = header.readUInt32BE(8);
    const length = header.readUInt32BE(12);
    if (length > longestOption) {
      yield* skip(length);
      if (option === options.exportName) throw new Violation("it asked for an export that isn't there");
      haggler.refuse(option, optionErrors.tooBig, "the option is too long");
      continue;
    }
    const data = yield* take(length);
    if (option === options.abort) {
      haggler.reply(option, optionReplies.ack);
      return undefined;
    }
    const session = option === options.exportName ? haggler.exportName(data, flags) : haggler.answer(option, data);
    if (session !== undefined) return session;
  }
  throw new Violation("it sent too many options");
}

class Haggler {
  readonly #exports: readonly NbdExport[];
  readonly #send: (bytes: Buffer) => void;
  #structured = false;
  /** The export for which `base:allocation` was asked; it counts for that one only. */
  #allocationOf: NbdExport | undefined;

  constructor(exports: readonly NbdExport[], send: (bytes: Buffer) => void) {
    this.#exports = exports;
    this.#send = send;
  }

  reply(option: number, type: number, ...data: readonly Buffer[]): void {
    const payload = Buffer.concat(data);
    const header = Buffer.alloc(optionReplyHeaderLength);
    header.writeBigUInt64BE(optionReplyMagic, 0);
    header.writeUInt32BE(option, 8);
    header.writeUInt32BE(type, 12);
    header.writeUInt32BE(payload.length, 16);
    this.#send(Buffer.concat([header, payload]));
  }

  refuse(option: number, error: number, text: string): undefined {
    this.reply(option, error, Buffer.from(text));
  }

  /** There is no way to refuse this one but to hang up. */
  exportName(data: Buffer, clientFlags: number): Session {
    const found = this.#find(data);
    if (found === undefined) throw new Violation("it asked for an export that isn't there");
    const zeros = (clientFlags & handshakeFlags.noZeroes) === 0 ? 124 : 0;
    this.#send(Buffer.concat([u64(BigInt(found.size)), u16(exportFlags), Buffer.alloc(zeros)]));
    return this.#session(found);
  }

  /** Replies to any other option. A session when the client goes on to transmission. */
  answer(option: number, data: Buffer): Session | undefined {
    switch (option) {
      case options.list:
        return this.#list(data);
      case options.structuredReply:
        if (data.length > 0) return this.refuse(option, optionErrors.invalid, "the option takes no data");
        this.#structured = true;
        return this.#ack(option);
      case options.info:
      case options.go:
        return this.#info(option, data);
      case options.listMetaContext:
      case options.setMetaContext:
        return this.#contexts(option, data);
      case options.startTls:
        return this.refuse(option, optionErrors.policy, "there is no TLS here");
      default:
        return this.refuse(option, optionErrors.unsupported, "the option isn't known");
    }
  }

  #ack(option: number): undefined {
    this.reply(option, optionReplies.ack);
  }

  #session(found: NbdExport): Session {
    return {
      export: found,
      structured: this.#structured,
      allocation: this.#structured && this.#allocationOf === found,
    };
  }

  #find(name: Buffer): NbdExport | undefined {
    return name.length === 0 ? this.#exports[0] : this.#exports.find((one) => name.equals(Buffer.from(one.name)));
  }

  #list(data: Buffer): undefined {
    if (data.length > 0) return this.refuse(options.list, optionErrors.invalid, "the option takes no data");
    for (const { name, description } of this.#exports)
      this.reply(options.list, optionReplies.server, string(name), Buffer.from(description));
    return this.#ack(options.list);
  }

  #info(option: number, data: Buffer): Session | undefined {
    const fields = new Fields(data);
    const name = fields.string();
    const wanted = new Set(fields.list16());
    if (name === undefined || !fields.complete)
      return this.refuse(option, optionErrors.invalid, "its data is malformed");
    const found = this.#find(name);
    if (found === undefined) return this.refuse(option, optionErrors.unknown, "there is no such export");
    const info = (type: number, ...content: Buffer[]): void =>
      this.reply(option, optionReplies.info, u16(type), ...content);
    info(infoTypes.export, u64(BigInt(found.size)), u16(exportFlags));
    if (wanted.has(infoTypes.name)) info(infoTypes.name, Buffer.from(found.name));
    if (wanted.has(infoTypes.description)) info(infoTypes.description, Buffer.from(found.description));
    if (wanted.has(infoTypes.blockSize)) info(infoTypes.blockSize, u32(1), u32(preferredLength), u32(longestRequest));
    this.#ack(option);
    return option === options.go ? this.#session(found) : undefined;
  }

  #contexts(option: number, data: Buffer): undefined {
    const fields = new Fields(data);
    const name = fields.string();
    const queries = fields.strings();
    const set = option === options.setMetaContext;
    if (set) this.#allocationOf = undefined;
    if (name === undefined || !fields.complete)
      return this.refuse(option, optionErrors.invalid, "its data is malformed");
    if (!this.#structured) return this.refuse(option, optionErrors.invalid, "structured replies come first");
    const found = this.#find(name);
    if (found === undefined) return this.refuse(option, optionErrors.unknown, "there is no such export");
    // A list may be asked for everything, or for a whole namespace.
    const matches = set ? [allocation.context] : [allocation.context, "base:"];
    if (queries.some((query) => matches.includes(query.toString())) || (!set && queries.length === 0)) {
      this.reply(option, optionReplies.metaContext, u32(set ? allocationId : 0), Buffer.from(allocation.context));
      if (set) this.#allocationOf = found;
    }
    return this.#ack(option);
  }
}

/** Reads are best in multiples of this, in bytes: smaller than what is read at once from a repository, so that random readers don't wait for much. */
const preferredLength = 64 * 1024;
