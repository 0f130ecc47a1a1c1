/**
 * What the source of a postcopy migration sends: QEMU runs the machine first, and gets its pages when they are touched
 * (docs/devel/migration.rst, migration/savevm.c and migration/ram.c of its source). Pure.
 */
import { u32, u64 } from "../../host/big-endian.ts";
import { ramFlags, sectionTypes } from "../stream/format.ts";
import { readHead, type StreamHead } from "../stream/read-head.ts";
import { type RamBlock, streamInvalid } from "../stream/saved-state.ts";
import { StreamReader } from "../stream/stream-reader.ts";

/** The commands of a stream. */
const commands = {
  openReturnPath: 1,
  ping: 2,
  advise: 3,
  listen: 4,
  run: 5,
  discard: 6,
  packaged: 7,
} as const;

/** A stream's head, read and as it is. */
export interface SourceHead extends StreamHead {
  readonly bytes: Buffer;
}

/** @param head as `parseStream` found it. Throws `stream_invalid`. */
export async function readSourceHead(head: Uint8Array): Promise<SourceHead> {
  const parsed = await readHead(await StreamReader.of(head));
  if (parsed.opaque !== undefined) throw streamInvalid(`its head can't be used: ${parsed.opaque}`);
  return { ...parsed, bytes: Buffer.from(head) };
}

/** All before the first page: the head, with the announcement that most pages come later. RAM must have pages of its host's size. */
export function opening({ bytes, start, page }: SourceHead): Buffer {
  const sizes = Buffer.concat([u64(page), u64(page)]);
  return Buffer.concat([
    bytes.subarray(0, start),
    command(commands.openReturnPath),
    command(commands.advise, sizes),
    bytes.subarray(start),
  ]);
}

/** Without a page that is given up QEMU waits for ever: so it is one that wasn't sent. */
export function discard(block: RamBlock, offset: number, length: number): Buffer {
  return command(
    commands.discard,
    Buffer.concat([Buffer.of(0), nameOf(block), Buffer.of(0), u64(offset), u64(length)]),
  );
}

/** The devices' state, after which QEMU asks for pages, and runs the machine. Throws `stream_invalid`. */
export function packaged(tail: Uint8Array): Buffer {
  const inside = Buffer.concat([
    command(commands.listen),
    withoutEnd(Buffer.from(tail)),
    command(commands.ping, u32(loaded)),
    command(commands.run),
  ]);
  return Buffer.concat([command(commands.packaged, u32(inside.length)), inside]);
}

/** What QEMU answers when it has loaded the devices; the number that its own sources have here. */
export const loaded = 3;

export interface PageRecord {
  /** In the block, in bytes. */
  readonly offset: number;
  /** Undefined: zeros. */
  readonly content: Buffer | undefined;
}

/** Pages of one block, one at least. */
export function pageSection(head: StreamHead, block: RamBlock, pages: readonly PageRecord[]): Buffer {
  const pieces: Buffer[] = [Buffer.of(sectionTypes.part), u32(head.section)];
  for (const [number, { offset, content }] of pages.entries()) {
    const flags = content === undefined ? ramFlags.zero : ramFlags.page;
    pieces.push(u64(offset + flags + (number === 0 ? 0 : ramFlags.same)));
    if (number === 0) pieces.push(nameOf(block));
    pieces.push(content ?? Buffer.of(0));
  }
  return Buffer.concat([...pieces, u64(ramFlags.end), footer(head)]);
}

/** Every page has been sent. */
export function closing(head: StreamHead): Buffer {
  const last = [Buffer.of(sectionTypes.last), u32(head.section), u64(ramFlags.end), footer(head)];
  return Buffer.concat([...last, Buffer.of(sectionTypes.end)]);
}

/** A tail without the end of the stream and the description behind that. */
function withoutEnd(tail: Buffer): Buffer {
  // The description is text, in which no byte is 6: at most its own length holds one by accident.
  for (let at = tail.length - 5; at > 0; at--) {
    if (tail[at] !== sectionTypes.description || tail.readUInt32BE(at + 1) !== tail.length - at - 5) continue;
    if (tail[at - 1] === sectionTypes.end) return tail.subarray(0, at - 1);
  }
  throw streamInvalid("it has no end: it was cut short, or damaged");
}

function footer({ footers, section }: StreamHead): Buffer {
  return footers ? Buffer.concat([Buffer.of(sectionTypes.footer), u32(section)]) : Buffer.alloc(0);
}

function command(number: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const start = Buffer.alloc(5);
  start.writeUInt8(sectionTypes.command);
  start.writeUInt16BE(number, 1);
  start.writeUInt16BE(payload.length, 3);
  return Buffer.concat([start, payload]);
}

function nameOf({ id }: RamBlock): Buffer {
  const name = Buffer.from(id, "latin1");
  return Buffer.concat([Buffer.of(name.length), name]);
}
