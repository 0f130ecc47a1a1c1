/** Puts a migration stream together again, for QEMU to read. */
import { ramFlags, sectionTypes } from "./format.ts";
import { readHead, type StreamHead } from "./read-head.ts";
import { type RamBlock, streamInvalid } from "./saved-state.ts";
import { StreamReader } from "./stream-reader.ts";

/** The content of a block, in order, in pieces of any length. */
export type BlockContent = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

export interface EmitOptions {
  /** As `parseStream` found it. */
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
  /** What a block holds; undefined when QEMU has its content from elsewhere, so that its pages are left out. */
  readonly content: (block: RamBlock, number: number) => BlockContent | undefined;
}

/** Beyond this a block is the guest's RAM, which QEMU has just made: zeros needn't be said. ROM may hold something already. */
const largestRom = 64 * 1024 * 1024;

/** The stream, in pieces of about 1 MiB at most. Throws `stream_invalid` when the head, or the length of a content, isn't right. */
export async function* emitStream({ head, tail, content }: EmitOptions): AsyncGenerator<Uint8Array> {
  const parsed = await readHead(await StreamReader.of(head));
  if (parsed.opaque !== undefined) throw streamInvalid(`its head can't be used: ${parsed.opaque}`);
  yield head;
  yield numbers([sectionTypes.last, 1], [parsed.section, 4]);
  for (const [number, block] of parsed.blocks.entries()) {
    const pieces = content(block, number);
    if (pieces !== undefined) yield* emitBlock(parsed, block, pieces);
  }
  yield numbers([ramFlags.end, 8]);
  if (parsed.footers) yield numbers([sectionTypes.footer, 1], [parsed.section, 4]);
  yield tail;
}

/** What the head of a stream says of its RAM. Throws `stream_invalid`. */
export async function blocksOfHead(head: Uint8Array): Promise<readonly RamBlock[]> {
  const parsed = await readHead(await StreamReader.of(head));
  if (parsed.opaque !== undefined) throw streamInvalid(`its head can't be used: ${parsed.opaque}`);
  return parsed.blocks;
}

const pagesAtOnce = 256;

async function* emitBlock({ page }: StreamHead, block: RamBlock, content: BlockContent): AsyncGenerator<Uint8Array> {
  const id = Buffer.from(block.id, "latin1");
  const name = Buffer.concat([Buffer.of(id.length), id]);
  const zeros = Buffer.alloc(page);
  const sayZeros = block.size <= largestRom;
  let out = Buffer.allocUnsafe(pagesAtOnce * (page + 8) + name.length);
  let filled = 0;
  let address = 0;
  let first = true;
  for await (const bytes of inPages(content, page)) {
    const zero = bytes.equals(zeros);
    if (!zero || sayZeros) {
      const flags = (zero ? ramFlags.zero : ramFlags.page) | (first ? 0 : ramFlags.same);
      filled = out.writeUInt32BE(Math.floor(address / 2 ** 32), filled);
      filled = out.writeUInt32BE((address % 2 ** 32) + flags, filled);
      if (first) filled += name.copy(out, filled);
      filled += zero ? out.writeUInt8(0, filled) - filled : bytes.copy(out, filled);
      first = false;
    }
    address += page;
    if (filled + page + 8 > out.length) {
      yield out.subarray(0, filled);
      out = Buffer.allocUnsafe(pagesAtOnce * (page + 8));
      filled = 0;
    }
  }
  if (address !== block.size) throw streamInvalid(`${block.id} has ${address} bytes instead of ${block.size}`);
  yield out.subarray(0, filled);
}

/** Cuts into pages. Throws `stream_invalid` when the last isn't a whole one. */
async function* inPages(content: BlockContent, page: number): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const { buffer, byteOffset, byteLength } of content) {
    const piece = Buffer.from(buffer, byteOffset, byteLength);
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    let at = 0;
    for (; at + page <= bytes.length; at += page) yield bytes.subarray(at, at + page);
    rest = bytes.subarray(at);
  }
  if (rest.length > 0) throw streamInvalid("a block's content isn't made of whole pages");
}

/** Big-endian numbers, each with its length in bytes. */
function numbers(...values: readonly (readonly [number, number])[]): Buffer {
  return Buffer.concat(
    values.map(([value, length]) => {
      const bytes = Buffer.alloc(length);
      bytes.writeUIntBE(value, length - Math.min(length, 6), Math.min(length, 6));
      return bytes;
    }),
  );
}
