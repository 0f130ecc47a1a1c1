/** Migration streams made by hand, as QEMU writes them. */
import { onTestFinished } from "vitest";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";

export interface MadeBlock {
  readonly id: string;
  /** What is in each page; undefined: zeros. */
  readonly pages: readonly (Buffer | undefined)[];
}

/** A page to write: numbers of the block and of the page in it. */
export type PageOrder = readonly (readonly [number, number])[];

export interface MadeStream {
  readonly blocks: readonly MadeBlock[];
  /** The order of the pages in the stream; by default that of the blocks. */
  readonly order?: PageOrder;
  /** Pages in a section; by default 3. */
  readonly perSection?: number;
  readonly footers?: boolean;
  /** What comes before the last section of RAM. */
  readonly switchover?: Buffer;
  readonly pageBits?: number;
  readonly state?: string;
  readonly devices?: readonly string[];
  /** Sections of devices before RAM. */
  readonly early?: readonly Buffer[];
  /** In place of all device sections. */
  readonly tail?: Buffer;
}

export function u(bytes: 1 | 2 | 4 | 8, value: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  if (bytes === 8) buffer.writeBigUInt64BE(BigInt(value));
  else buffer.writeUIntBE(value, 0, bytes);
  return buffer;
}

export function counted(text: string): Buffer {
  return Buffer.concat([u(1, text.length), Buffer.from(text, "latin1")]);
}

export function named(
  type: 1 | 4,
  section: number,
  name: string,
  version: number,
  data: Buffer,
  footers = true,
): Buffer {
  const footer = footers ? Buffer.concat([u(1, 0x7e), u(4, section)]) : Buffer.alloc(0);
  return Buffer.concat([u(1, type), u(4, section), counted(name), u(4, 0), u(4, version), data, footer]);
}

export function globalState(state: string, section = 9, footers = true): Buffer {
  const data = Buffer.alloc(104);
  data.writeUInt32BE(state.length + 1);
  data.write(state, 4);
  return named(4, section, "globalstate", 1, data, footers);
}

export function description(devices: readonly string[]): Buffer {
  const json = JSON.stringify({ page_size: 4096, devices: devices.map((name) => ({ name, instance_id: 0 })) });
  return Buffer.concat([u(1, 0), u(1, 6), u(4, json.length), Buffer.from(json)]);
}

const ramSection = 2;

export function madeHead(made: MadeStream): Buffer {
  const { blocks, footers = true, pageBits = 12, early = [] } = made;
  const page = 2 ** pageBits;
  const bits = counted("configuration/target-page-bits");
  const total = blocks.reduce((sum, { pages }) => sum + pages.length * page, 0);
  const list = blocks.map(({ id, pages }) => Buffer.concat([counted(id), u(8, pages.length * page)]));
  return Buffer.concat([
    Buffer.from("QEVM\0\0\0\x03\x07"),
    u(4, 4),
    Buffer.from("pc-x"),
    ...(pageBits === 12 ? [] : [u(1, 5), bits, u(4, 1), u(4, pageBits)]),
    ...early,
    named(1, ramSection, "ram", 4, Buffer.concat([u(8, total + 4), ...list, u(8, 0x10)]), footers),
  ]);
}

export function madeTail({ state = "paused", devices = ["cpu", "disk"], tail, footers = true }: MadeStream): Buffer {
  const sections = devices.map((name, index) =>
    named(4, 20 + index, name, 1, Buffer.from(`state of ${name}`), footers),
  );
  return Buffer.concat([
    ...(tail === undefined ? [...sections, globalState(state, 9, footers)] : [tail]),
    description([...devices, "globalstate"]),
  ]);
}

export function madeOrder(blocks: readonly MadeBlock[]): PageOrder {
  return blocks.flatMap(({ pages }, block) => pages.map((_, page): readonly [number, number] => [block, page]));
}

export function madePages(made: MadeStream): Buffer {
  const { blocks, order = madeOrder(blocks), perSection = 3, footers = true, pageBits = 12, switchover } = made;
  const footer = footers ? Buffer.concat([u(1, 0x7e), u(4, ramSection)]) : Buffer.alloc(0);
  const out: Buffer[] = [];
  let last: number | undefined;
  for (let at = 0; at < order.length; at += perSection) {
    if (switchover !== undefined && at + perSection >= order.length) out.push(switchover);
    out.push(u(1, 2), u(4, ramSection));
    for (const [number, page] of order.slice(at, at + perSection)) {
      const block = blocks[number] as MadeBlock;
      const content = block.pages[page];
      out.push(u(8, page * 2 ** pageBits + (content === undefined ? 2 : 8) + (number === last ? 0x20 : 0)));
      if (number !== last) out.push(counted(block.id));
      out.push(content ?? u(1, 0));
      last = number;
    }
    out.push(u(8, 0x10), footer);
  }
  return Buffer.concat(out);
}

export function madeStream(made: MadeStream): Buffer {
  return Buffer.concat([madeHead(made), madePages(made), madeTail(made)]);
}

/** A file with the bytes in it, removed at the test's end. */
export function fileOf(...pieces: readonly Buffer[]): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "stillpoint-stream-"));
  onTestFinished(() => fs.rmSync(folder, { recursive: true }));
  const file = path.join(folder, "stream");
  fs.writeFileSync(file, Buffer.concat(pieces));
  return file;
}
