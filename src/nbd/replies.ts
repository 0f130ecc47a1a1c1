/** What a server sends after the handshake: simple and structured replies, to many requests in any order. */
import type { Coverage } from "./coverage.ts";
import { type Parser, take, Violation } from "./inflow.ts";
import { errorName, longestString, replyDone, replyTypes, simpleReplyMagic, structuredReplyMagic } from "./protocol.ts";

/** A range with one status; `length` in bytes, `flags` as the context defines them. */
export interface Extent {
  readonly length: number;
  readonly flags: number;
}

/** The server could not do what was asked; the connection goes on. */
export class RequestFailed extends Error {}

/** A request that waits for its reply. */
export interface Pending {
  readonly offset: number;
  readonly length: number;
  /** What a read fills; undefined for a block status. */
  readonly into: Uint8Array | undefined;
  /** By the ids of their contexts. */
  readonly extents: Map<number, readonly Extent[]>;
  readonly coverage: Coverage;
  failure: RequestFailed | undefined;
  /** Called once, when the reply is complete. */
  readonly settle: (failure: RequestFailed | undefined) => void;
  /** Called instead, when there will be no reply. */
  readonly abandon: (reason: Error) => void;
}

/** Requests by their cookies. */
export type PendingRequests = Map<bigint, Pending>;

export interface ReplyRules {
  readonly structured: boolean;
  /** Ids of the contexts that were granted. */
  readonly contexts: ReadonlySet<number>;
}

/** More descriptors of extents than any server known sends at once (nbdkit: 2^20). */
const longestStatus = 4 + 8 * 2 ** 20;

/** Reads replies for ever, and settles what they answer. Throws `Violation`. */
export function* replies(pending: PendingRequests, rules: ReplyRules): Parser<never> {
  const magic = Buffer.alloc(4);
  for (;;) {
    yield magic;
    const number = magic.readUInt32BE(0);
    if (number === simpleReplyMagic) yield* simpleReply(pending, rules);
    else if (number === structuredReplyMagic && rules.structured) yield* chunk(pending, rules);
    else throw new Violation("a reply has a wrong magic");
  }
}

function requestOf(pending: PendingRequests, cookie: bigint): Pending {
  const request = pending.get(cookie);
  if (request === undefined) throw new Violation("it answered a request that wasn't made");
  return request;
}

function finish(pending: PendingRequests, cookie: bigint, request: Pending): void {
  if (request.failure === undefined) {
    if (request.into === undefined ? request.extents.size === 0 : !request.coverage.complete)
      throw new Violation("it ended a reply before all was sent");
  }
  pending.delete(cookie);
  request.settle(request.failure);
}

function* simpleReply(pending: PendingRequests, { structured }: ReplyRules): Parser {
  const header = yield* take(12);
  const error = header.readUInt32BE(0);
  const cookie = header.readBigUInt64BE(4);
  const request = requestOf(pending, cookie);
  if (error !== 0) request.failure = new RequestFailed(errorName(error));
  // A structured one is the rule there; qemu-nbd sends simple ones for errors of other requests.
  else if (structured || request.into === undefined) throw new Violation("it sent a simple reply where data is due");
  else {
    request.coverage.add(0, request.length);
    yield request.into;
  }
  finish(pending, cookie, request);
}

function* chunk(pending: PendingRequests, rules: ReplyRules): Parser {
  const header = yield* take(16);
  const flags = header.readUInt16BE(0);
  const type = header.readUInt16BE(2);
  const cookie = header.readBigUInt64BE(4);
  const length = header.readUInt32BE(12);
  const request = requestOf(pending, cookie);
  if (type === replyTypes.data) yield* dataChunk(request, length);
  else if (type === replyTypes.hole) yield* holeChunk(request, length);
  else if (type === replyTypes.blockStatus) yield* statusChunk(request, length, rules.contexts);
  else if (type >= 2 ** 15) yield* errorChunk(request, length);
  else if (type !== replyTypes.none || length !== 0 || (flags & replyDone) === 0)
    throw new Violation("it sent a chunk of an unknown kind");
  if ((flags & replyDone) !== 0) finish(pending, cookie, request);
}

/** The place in a read's buffer that a chunk at `offset` of the export fills. */
function placeOf({ offset, into, coverage }: Pending, at: bigint, length: number): Uint8Array {
  if (into === undefined) throw new Violation("it sent data for a request that reads none");
  const start = Number(at) - offset;
  coverage.add(start, length);
  return into.subarray(start, start + length);
}

function* dataChunk(request: Pending, length: number): Parser {
  if (length < 9) throw new Violation("it sent a chunk of data without any");
  const offset = (yield* take(8)).readBigUInt64BE(0);
  yield placeOf(request, offset, length - 8);
}

function* holeChunk(request: Pending, length: number): Parser {
  if (length !== 12) throw new Violation("it described a hole in a wrong form");
  const hole = yield* take(12);
  placeOf(request, hole.readBigUInt64BE(0), hole.readUInt32BE(8)).fill(0);
}

function* statusChunk(request: Pending, length: number, contexts: ReadonlySet<number>): Parser {
  if (length < 12 || length % 8 !== 4 || length > longestStatus || request.into !== undefined)
    throw new Violation("it described extents in a wrong form");
  const bytes = yield* take(length);
  const context = bytes.readUInt32BE(0);
  if (!contexts.has(context) || request.extents.has(context))
    throw new Violation("it described extents of a context that wasn't agreed upon, or twice");
  const extents: Extent[] = [];
  for (let at = 4; at < length; at += 8) {
    const extent = { length: bytes.readUInt32BE(at), flags: bytes.readUInt32BE(at + 4) };
    if (extent.length === 0) throw new Violation("it described an empty extent");
    extents.push(extent);
  }
  request.extents.set(context, extents);
}

function* errorChunk(request: Pending, length: number): Parser {
  // The longest known form: an error, a string with its length, an offset.
  if (length < 6 || length > 14 + longestString) throw new Violation("it reported an error in a wrong form");
  const bytes = yield* take(length);
  const textLength = bytes.readUInt16BE(4);
  if (textLength > length - 6) throw new Violation("it reported an error in a wrong form");
  const name = errorName(bytes.readUInt32BE(0));
  const text = bytes.toString("utf8", 6, 6 + textLength);
  request.failure ??= new RequestFailed(text === "" ? name : `${name}, ${text}`);
}
