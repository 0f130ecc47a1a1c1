/** What the destination of a postcopy migration says to its source (migration/migration.c of QEMU's source). Pure. */
import { StillpointError } from "../../errors.ts";

export type ReturnMessage =
  /** All is loaded; anything but 0 means that it failed. */
  | { readonly type: "shut"; readonly status: number }
  | { readonly type: "pong"; readonly number: number }
  /** Somebody waits for these bytes of a RAM block. */
  | { readonly type: "request"; readonly block: string; readonly offset: number; readonly length: number };

const types = { shut: 1, pong: 2, requestIn: 3, request: 4 } as const;

const known: ReadonlySet<number> = new Set(Object.values(types));

/** Type and length, as u16 each. */
const headerLength = 4;

/** Offset and length, as u64 and u32. */
const rangeLength = 12;

/** Bytes of a request, its block's name at its longest. */
const longest = rangeLength + 1 + 255;

export class ReturnPath {
  #rest: Buffer = Buffer.alloc(0);
  /** The block of the last request: those that follow needn't name it again. */
  #block: string | undefined;

  /** The messages that are complete with `chunk`. Throws `boot_failed` when that can't be what a QEMU says. */
  *take(chunk: Uint8Array): Generator<ReturnMessage> {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= headerLength) {
      const type = this.#rest.readUInt16BE(0);
      const length = this.#rest.readUInt16BE(2);
      // Said at once: of what isn't a QEMU's there might never come enough.
      if (!known.has(type) || length > longest) throw failed(`it sent ${length} bytes of an unknown kind (${type})`);
      const end = headerLength + length;
      if (this.#rest.length < end) return;
      const body = this.#rest.subarray(headerLength, end);
      this.#rest = this.#rest.subarray(end);
      yield this.#parse(type, body);
    }
  }

  #parse(type: number, body: Buffer): ReturnMessage {
    if (type === types.shut && body.length === 4) return { type: "shut", status: body.readUInt32BE() };
    if (type === types.pong && body.length === 4) return { type: "pong", number: body.readUInt32BE() };
    const named = type === types.requestIn && body.length > rangeLength;
    if (named && body.length === rangeLength + 1 + (body[rangeLength] as number))
      this.#block = body.toString("latin1", rangeLength + 1);
    else if (type !== types.request || body.length !== rangeLength)
      throw failed(`it sent ${body.length} bytes of the kind ${type}`);
    if (this.#block === undefined) throw failed("it asks for a page of no block");
    const offset = Number(body.readBigUInt64BE(0));
    if (!Number.isSafeInteger(offset)) throw failed("it asks for a page beyond all memory");
    return { type: "request", block: this.#block, offset, length: body.readUInt32BE(8) };
  }
}

/** @param why what the QEMU at the other end did */
export function failed(why: string, cause?: unknown): StillpointError {
  return new StillpointError("boot_failed", {
    what: `QEMU can't be given the machine's memory: ${why}`,
    safe: "The recovery point is untouched.",
    cause,
  });
}
