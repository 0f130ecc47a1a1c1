/** The beginning of a stream: what machine it is of, and the list of its RAM blocks. */
import { ramFlags, ramVersion, sectionTypes, streamMagic, streamVersion } from "./format.ts";
import { type RamBlock, streamInvalid } from "./saved-state.ts";
import type { StreamReader } from "./stream-reader.ts";

/** More than any machine has: beyond it a stream is nonsense, and would only take memory. */
const mostRam = 2 ** 46;
const mostBlocks = 65_536;
const longestName = 1024;
/** Bytes within which the list of RAM blocks must begin and end. */
const longestHead = 1024 * 1024;

export interface StreamHead {
  readonly opaque: undefined;
  /** Where RAM's section begins, in bytes. */
  readonly start: number;
  readonly blocks: readonly RamBlock[];
  /** Bytes of a page. */
  readonly page: number;
  /** The number of RAM's sections. */
  readonly section: number;
  /** Whether each section ends with a footer. */
  readonly footers: boolean;
}

/** Why the stream can't be taken apart. */
export interface OpaqueHead {
  readonly opaque: string;
}

/**
 * Reads up to the end of the section that begins RAM. Throws `stream_invalid`; but what is beyond this grammar without being
 * wrong makes the stream opaque.
 */
export async function readHead(reader: StreamReader): Promise<StreamHead | OpaqueHead> {
  await reader.fill(longestHead);
  if (reader.u32() !== streamMagic) throw streamInvalid("it doesn't begin like a migration stream");
  const version = reader.u32();
  if (version !== streamVersion) throw streamInvalid(`it has version ${version}, not ${streamVersion}`);
  const configuration = readConfiguration(reader);
  if (typeof configuration === "string") return { opaque: configuration };
  const { page } = configuration;
  if (reader.peek() === sectionTypes.full && !skipToRam(reader)) {
    return { opaque: "its first section isn't RAM" };
  }
  const start = reader.offset;
  const type = reader.u8();
  if (type === sectionTypes.command) return { opaque: "it has commands" };
  if (type !== sectionTypes.start) throw streamInvalid(`its first section is of type ${type}`);
  const section = reader.u32();
  const name = reader.text(reader.u8());
  if (name !== "ram") return { opaque: `it has a section "${name}" that comes in parts` };
  reader.u32(); // The instance: RAM has but one.
  const ram = reader.u32();
  if (ram !== ramVersion) throw streamInvalid(`its RAM has version ${ram}, not ${ramVersion}`);
  const blocks = readBlocks(reader, page);
  const flags = reader.u64();
  if (flags !== ramFlags.end) throw streamInvalid(`it has ${hex(flags)} behind the list of its RAM`);
  return { opaque: undefined, start, blocks, page, section, footers: skipFooter(reader, section) };
}

/** Whether there was a footer; one of another section is an error. */
export function skipFooter(reader: StreamReader, section: number): boolean {
  if (reader.peek() !== sectionTypes.footer) return false;
  reader.u8();
  const number = reader.u32();
  if (number !== section) throw streamInvalid(`section ${section} ends as if it were ${number}`);
  return true;
}

/** The size of a page; or a reason, when there is something that isn't known. */
function readConfiguration(reader: StreamReader): { readonly page: number } | string {
  let page = 4096;
  if (reader.peek() !== sectionTypes.configuration) return { page };
  reader.u8();
  const length = reader.u32();
  if (length > longestName) throw streamInvalid(`the name of its machine type has ${length} bytes`);
  reader.skip(length);
  while (reader.peek() === sectionTypes.subsection) {
    reader.u8();
    const name = reader.text(reader.u8());
    reader.u32(); // The version.
    if (name === "configuration/uuid") reader.skip(16);
    else if (name === "configuration/target-page-bits") page = pageOf(reader.u32());
    else if (name === "configuration/capabilities") refuseCapabilities(reader);
    else return `its configuration has a part "${name}"`;
  }
  return { page };
}

function pageOf(bits: number): number {
  if (bits < 12 || bits > 16) throw streamInvalid(`it has pages of 2^${bits} bytes`);
  return 2 ** bits;
}

/** Those that a stream mentions change where or whether its pages are in it. */
function refuseCapabilities(reader: StreamReader): void {
  const count = reader.u32();
  const [first] = Array.from({ length: Math.min(count, 1) }, () => reader.text(reader.u8()));
  if (first !== undefined) throw streamInvalid(`it was saved with the capability ${first}`);
}

function readBlocks(reader: StreamReader, page: number): RamBlock[] {
  const first = reader.u64();
  const total = first - ramFlags.blocks;
  if (first % page !== ramFlags.blocks) throw streamInvalid("its RAM doesn't begin with the list of blocks");
  if (total > mostRam) throw streamInvalid(`it claims ${total} bytes of RAM`);
  const blocks: RamBlock[] = [];
  const names = new Set<string>();
  for (let left = total; left > 0; ) {
    const id = reader.text(reader.u8());
    const size = reader.u64();
    if (size > left || size % page !== 0 || names.has(id) || blocks.length >= mostBlocks)
      throw streamInvalid(`the list of its RAM blocks makes no sense at "${id}"`);
    names.add(id);
    blocks.push({ id, size });
    left -= size;
  }
  return blocks;
}

/** The name, instance and version in the beginning of RAM's first section. */
const ramBeginning = Buffer.from([3, 0x72, 0x61, 0x6d, 0, 0, 0, 0, 0, 0, 0, ramVersion]);

/**
 * QEMU 8.1 and later may save some devices before RAM. How long they are can't be told; but where RAM begins can: behind a
 * footer.
 */
function skipToRam(reader: StreamReader): boolean {
  const name = reader.buffer.subarray(reader.at, reader.at + reader.available).indexOf(ramBeginning);
  const start = name - 5;
  const behindFooter = name >= 10 && reader.buffer[reader.at + start - 5] === sectionTypes.footer;
  if (!behindFooter || reader.buffer[reader.at + start] !== sectionTypes.start) return false;
  reader.skip(start);
  return true;
}

function hex(number: number): string {
  return `0x${number.toString(16)}`;
}
