/**
 * Takes a migration stream apart: where its head, its pages and its tail are. A point is made of nothing else, so whatever
 * isn't of the known form is an error, or keeps the stream whole; and each page must be there exactly once, which is what
 * shows that QEMU has saved one instant (it may well call worthless streams completed).
 */
import { open } from "node:fs/promises";
import { throwIfCancelled } from "../../host/cancel.ts";
import { ramFlags, sectionTypes } from "./format.ts";
import { findEnd } from "./find-end.ts";
import { PagePositions } from "./page-positions.ts";
import { readHead, skipFooter, type StreamHead } from "./read-head.ts";
import { type SavedBlock, type SavedState, streamInvalid } from "./saved-state.ts";
import { StreamReader } from "./stream-reader.ts";

/**
 * The one command that is known: QEMU from 10 on says with it that the guest stands still from here on, for devices that then
 * begin to be loaded. They can't be captured with memory; so it is left out.
 */
const switchoverStart = Buffer.from([sectionTypes.command, 0, 0x0b, 0, 0]);

/** Bytes read at once. */
const pieceLength = 4 * 1024 * 1024;

/**
 * Parses the stream at the beginning of a file, complete, with zeros behind it at most. 1 to 2 s for 4 GiB.
 *
 * Throws `stream_invalid`, `cancelled`, or an error of the system.
 */
export async function parseStream(
  path: string,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<SavedState> {
  await using file = await open(path, "r");
  const { size } = await file.stat();
  const reader = new StreamReader(
    async (target, position) => {
      throwIfCancelled(options.signal);
      return (await file.read(target, 0, target.length, position)).bytesRead;
    },
    { piece: Math.max(1, Math.min(pieceLength, size)) },
  );
  const head = await readHead(reader);
  const whole = async (opaque: string): Promise<SavedState> => ({ opaque, end: (await findEnd(file, 0, size)).end });
  if (head.opaque !== undefined) return await whole(head.opaque);
  const headLength = reader.offset;
  const pages = new RamPages(reader, head);
  const next = await pages.read();
  if (next !== sectionTypes.full) return await whole(foreignSection(next));
  const tail = reader.offset;
  const { end, devices } = await findEnd(file, tail, size);
  requireAll(pages.blocks, devices);
  const { blocks } = pages;
  const range = { offset: tail, length: end - tail };
  return { opaque: undefined, head: { offset: 0, length: headLength }, tail: range, blocks, page: head.page, end };
}

/** Why a section that isn't a device's keeps the stream whole. */
function foreignSection(type: number | undefined): string {
  if (type === sectionTypes.start) return "it has a section besides RAM that comes in parts";
  if (type === sectionTypes.command) return "it has commands";
  throw streamInvalid(type === undefined || type === 0 ? "it ends after its RAM" : `it has a section of type ${type}`);
}

/** Memory that virtio-mem has unplugged isn't saved; otherwise each page must have been there. */
function requireAll(blocks: readonly SavedBlock[], devices: readonly string[]): void {
  const lacking = blocks.find(({ positions }) => positions.seen < positions.pages);
  if (lacking === undefined || devices.some((name) => name.includes("virtio-mem"))) return;
  const { seen, pages } = lacking.positions;
  throw streamInvalid(`${pages - seen} of the ${pages} pages of ${lacking.id} aren't in it`);
}

class RamPages {
  readonly blocks: readonly SavedBlock[];
  readonly #reader: StreamReader;
  readonly #head: StreamHead;
  readonly #names: readonly Buffer[];
  readonly #longestRecord: number;
  /** Where the last page belonged: its number in `blocks`. */
  #last = -1;

  constructor(reader: StreamReader, head: StreamHead) {
    const { page } = head;
    this.#reader = reader;
    this.#head = head;
    this.blocks = head.blocks.map(({ id, size }) => ({ id, size, positions: new PagePositions(size / page) }));
    this.#names = head.blocks.map(({ id }) => Buffer.from(id, "latin1"));
    this.#longestRecord = 8 + 256 + page;
  }

  /** Reads RAM's sections. Returns the type of the one behind them, which isn't taken; undefined at the file's end. */
  async read(): Promise<number | undefined> {
    const reader = this.#reader;
    for (;;) {
      await reader.fill(this.#longestRecord);
      if (reader.takes(switchoverStart)) continue;
      const type = reader.peek();
      if (type !== sectionTypes.part && type !== sectionTypes.last) return type;
      reader.u8();
      const section = reader.u32();
      if (section !== this.#head.section) throw streamInvalid(`section ${section} goes on without having begun`);
      await this.#readSection();
      await reader.fill(5);
      if (skipFooter(reader, section) !== this.#head.footers)
        throw streamInvalid(`a section before byte ${reader.offset} ends unlike the others`);
    }
  }

  async #readSection(): Promise<void> {
    for (;;) {
      await this.#reader.fill(this.#longestRecord);
      // Without waiting for as long as whole records are there.
      do if (this.#readRecord()) return;
      while (this.#reader.available >= this.#longestRecord);
    }
  }

  /** True at the end of a section's data. */
  #readRecord(): boolean {
    const reader = this.#reader;
    const { page } = this.#head;
    const at = reader.skip(8);
    const high = reader.buffer.readUInt32BE(at);
    const low = reader.buffer.readUInt32BE(at + 4);
    const flags = low & (page - 1);
    if (flags === ramFlags.end) return true;
    const number = (high * 2 ** 32 + (low - flags)) / page;
    const kind = flags & ~ramFlags.same;
    if (kind !== ramFlags.page && kind !== ramFlags.zero) throw this.#unknown(flags);
    if ((flags & ramFlags.same) === 0) this.#last = this.#readName();
    const { positions } = this.blocks[this.#last] ?? this.#noBlock();
    if (number >= positions.pages) throw streamInvalid(`it has a page beyond its block at byte ${reader.offset}`);
    const position = kind === ramFlags.page ? reader.offset : 0;
    if (position !== 0) reader.skip(page);
    else if (reader.u8() !== 0) throw streamInvalid(`it has an unknown page at byte ${reader.offset}`);
    if (!positions.set(number, position)) throw streamInvalid(`it has a page twice, before byte ${reader.offset}`);
    return false;
  }

  #readName(): number {
    const { buffer, at } = this.#reader;
    const length = this.#reader.u8();
    this.#reader.skip(length);
    const isHere = (name: Buffer | undefined): boolean =>
      name?.length === length && name.compare(buffer, at + 1, at + 1 + length) === 0;
    // Most often it is the block of the page before.
    return isHere(this.#names[this.#last]) ? this.#last : this.#names.findIndex(isHere);
  }

  #noBlock(): never {
    throw streamInvalid(`it has a page of an unknown block before byte ${this.#reader.offset}`);
  }

  #unknown(flags: number): Error {
    return streamInvalid(
      `it has a record of an unknown kind (0x${flags.toString(16)}) at byte ${this.#reader.offset - 8}`,
    );
  }
}
