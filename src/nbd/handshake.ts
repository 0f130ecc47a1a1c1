/** The client's half of the fixed newstyle handshake. */
import { string, u32, u64 } from "../host/big-endian.ts";
import { type Parser, take, Violation } from "./inflow.ts";
import {
  handshakeFlags,
  infoTypes,
  longestString,
  optionErrors,
  optionMagic,
  optionReplies,
  optionReplyMagic,
  options,
  serverMagic,
  transmissionFlags,
} from "./protocol.ts";

/** What was agreed upon. */
export interface Agreement {
  /** In bytes. */
  readonly size: number;
  readonly flags: number;
  readonly structured: boolean;
  /** Names of the metadata contexts that the server granted, by their ids. */
  readonly contexts: ReadonlyMap<number, string>;
}

/** The server knows no export of that name, or won't give it. `reason` is what it says, if anything. */
export class Refusal extends Error {
  readonly unknownExport: boolean;

  constructor(reply: number, text: string) {
    super(text === "" ? (reasons.get(reply) ?? `it refused (reply ${reply})`) : text);
    this.unknownExport = reply === optionErrors.unknown;
  }
}

const reasons: ReadonlyMap<number, string> = new Map([
  [optionErrors.unsupported, "it doesn't know the request"],
  [optionErrors.policy, "its policy forbids it"],
  [optionErrors.invalid, "it says that the request isn't valid"],
  [optionErrors.unknown, "it has no export of that name"],
  [optionErrors.shutdown, "it is shutting down"],
  [optionErrors.blockSizeRequired, "it insists on block sizes"],
]);

export interface Wishes {
  readonly export: string;
  readonly contexts: readonly string[];
}

/** Negotiates; `send` writes to the server. Throws `Violation` or `Refusal`. */
export function* negotiate(wishes: Wishes, send: (bytes: Buffer) => void): Parser<Agreement> {
  const greeting = yield* take(18);
  if (greeting.readBigUInt64BE(0) !== serverMagic) throw new Violation("its greeting isn't that of an NBD server");
  if (greeting.readBigUInt64BE(8) !== optionMagic) throw new Violation("it knows only the oldstyle handshake");
  const offered = greeting.readUInt16BE(16);
  if ((offered & handshakeFlags.fixedNewstyle) === 0)
    throw new Violation("it doesn't know the fixed newstyle handshake");
  send(u32(offered & (handshakeFlags.fixedNewstyle | handshakeFlags.noZeroes)));
  send(option(options.structuredReply));
  const structured = yield* accepted(options.structuredReply);
  const name = string(wishes.export);
  let contexts: ReadonlyMap<number, string> = new Map();
  if (structured && wishes.contexts.length > 0) {
    send(
      option(options.setMetaContext, name, u32(wishes.contexts.length), ...wishes.contexts.map((one) => string(one))),
    );
    contexts = yield* grantedContexts(wishes.contexts);
  }
  send(option(options.go, name, Buffer.alloc(2)));
  return { ...(yield* exportInfo()), structured, contexts };
}

function option(number: number, ...data: Buffer[]): Buffer {
  const payload = Buffer.concat(data);
  return Buffer.concat([u64(optionMagic), u32(number), u32(payload.length), payload]);
}

interface OptionReply {
  readonly type: number;
  readonly data: Buffer;
}

function* optionReply(number: number): Parser<OptionReply> {
  const header = yield* take(20);
  if (header.readBigUInt64BE(0) !== optionReplyMagic) throw new Violation("its answer to an option has a wrong magic");
  if (header.readUInt32BE(8) !== number) throw new Violation("it answered another option than was sent");
  const length = header.readUInt32BE(16);
  if (length > 2 * longestString) throw new Violation("its answer to an option is too long");
  return { type: header.readUInt32BE(12), data: yield* take(length) };
}

function* accepted(number: number): Parser<boolean> {
  const { type } = yield* optionReply(number);
  if (type !== optionReplies.ack && type < 2 ** 31)
    throw new Violation("its answer to an option isn't of a known kind");
  return type === optionReplies.ack;
}

/** Refused contexts are left out, and so are all where the server knows none: what is granted says it. */
function* grantedContexts(wanted: readonly string[]): Parser<ReadonlyMap<number, string>> {
  const granted = new Map<number, string>();
  for (;;) {
    const { type, data } = yield* optionReply(options.setMetaContext);
    if (type === optionReplies.ack) return granted;
    if (type >= 2 ** 31) return new Map();
    if (type !== optionReplies.metaContext || data.length < 4)
      throw new Violation("it granted a context in a wrong form");
    const context = data.toString("utf8", 4);
    const id = data.readUInt32BE(0);
    if (!wanted.includes(context) || granted.has(id) || [...granted.values()].includes(context))
      throw new Violation("it granted a context that wasn't asked for, or one twice");
    granted.set(id, context);
  }
}

/** A server may tell more than it was asked for, but not for ever. */
const mostInfos = 64;

function* exportInfo(): Parser<Pick<Agreement, "size" | "flags">> {
  let info: Pick<Agreement, "size" | "flags"> | undefined;
  for (let replies = 0; replies < mostInfos; replies++) {
    const { type, data } = yield* optionReply(options.go);
    if (type >= 2 ** 31) throw new Refusal(type, data.toString("utf8"));
    if (type === optionReplies.ack && info !== undefined) return info;
    if (type !== optionReplies.info || data.length < 2) break;
    if (data.readUInt16BE(0) !== infoTypes.export) continue;
    if (data.length !== 12) break;
    const size = data.readBigUInt64BE(2);
    const flags = data.readUInt16BE(10);
    if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw new Violation("its export has an absurd size");
    if ((flags & transmissionFlags.hasFlags) === 0) throw new Violation("its export has no flags");
    info = { size: Number(size), flags };
  }
  throw new Violation("it described its export in a wrong form");
}
