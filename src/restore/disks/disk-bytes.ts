/** Bytes of a disk, read at random: the disk itself, a part of it, or one with changes of our own on top. */

export interface DiskBytes {
  /** In bytes. */
  readonly size: number;
  /** `length` bytes from `offset` on, within the size; undefined when all are zeros. Not to be written to. */
  read(offset: number, length: number): Promise<Uint8Array | undefined>;
}

export interface WritableDisk extends DiskBytes {
  write(offset: number, bytes: Buffer): void;
}

/** A part of a disk, as far as the disk reaches. */
export function sliceOf(disk: DiskBytes, offset: number, length: number): DiskBytes {
  const start = Math.min(offset, disk.size);
  const size = Math.min(length, disk.size - start);
  return { size, read: async (at, wanted) => await disk.read(start + at, wanted) };
}

/** What there is of a range of a disk: short at its end, zeros included. */
export async function readRange(disk: DiskBytes, offset: number, length: number): Promise<Buffer> {
  const wanted = Math.max(0, Math.min(length, disk.size - offset));
  if (wanted === 0) return Buffer.alloc(0);
  const bytes = await disk.read(offset, wanted);
  return bytes === undefined ? Buffer.alloc(wanted) : Buffer.from(bytes);
}

const bytesAtOnce = 1024 * 1024;

/** All of a disk, in order. Not to be written to. */
export async function* bytesOf(disk: DiskBytes): AsyncGenerator<Uint8Array> {
  const zeros = Buffer.alloc(bytesAtOnce);
  for (let at = 0; at < disk.size; at += bytesAtOnce) {
    const length = Math.min(bytesAtOnce, disk.size - at);
    yield (await disk.read(at, length)) ?? zeros.subarray(0, length);
  }
}

const page = 4096;

/** A disk that can be written to: what is written is kept in memory, `limit` bytes at most. Throws when it is more. */
export function withChanges(disk: DiskBytes, limit: number): WritableDisk {
  /** By page: what was written, and which bytes of it. A page is whole in practice; a tool may write less. */
  const pages = new Map<number, { readonly bytes: Buffer; readonly written: Buffer }>();
  const pageAt = (number: number): { readonly bytes: Buffer; readonly written: Buffer } => {
    const known = pages.get(number);
    if (known !== undefined) return known;
    if ((pages.size + 1) * page > limit) throw new Error(`more than ${String(limit)} bytes were written to the disk`);
    const fresh = { bytes: Buffer.alloc(page), written: Buffer.alloc(page) };
    pages.set(number, fresh);
    return fresh;
  };
  return {
    size: disk.size,
    read: async (offset, length) => {
      const below = await disk.read(offset, length);
      const touched = numbersOf(offset, length).filter((number) => pages.has(number));
      if (touched.length === 0) return below;
      const result = below === undefined ? Buffer.alloc(length) : Buffer.from(below);
      for (const number of touched) {
        const { bytes, written } = pageAt(number);
        for (const [from, to] of overlap(number, offset, length))
          if (written[from] === 1) result[to] = bytes[from] as number;
      }
      return result;
    },
    write: (offset, bytes) => {
      for (const number of numbersOf(offset, bytes.length)) {
        const changed = pageAt(number);
        for (const [to, from] of overlap(number, offset, bytes.length)) {
          changed.bytes[to] = bytes[from] as number;
          changed.written[to] = 1;
        }
      }
    },
  };
}

function numbersOf(offset: number, length: number): number[] {
  const first = Math.floor(offset / page);
  return Array.from({ length: Math.ceil((offset + length) / page) - first }, (_, index) => first + index);
}

/** Pairs of places, in the page and in the range. */
function* overlap(number: number, offset: number, length: number): Generator<readonly [number, number]> {
  const start = Math.max(offset, number * page);
  const end = Math.min(offset + length, (number + 1) * page);
  for (let at = start; at < end; at++) yield [at - number * page, at - offset];
}
