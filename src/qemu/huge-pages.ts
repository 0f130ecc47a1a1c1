/**
 * The guest's memory in huge pages again, after a save.
 *
 * QEMU takes the write protection of a save (its capability `background-snapshot`) off page by page, and for that Linux splits every
 * huge page. So the guest is slower afterwards, and QEMU has to look at and protect each small page at the next save, with the guest
 * paused. Linux joins pages by itself (khugepaged), at 16 MiB in ten seconds by default; this is the same, at once.
 */
import { closeSync } from "node:fs";
import * as fs from "node:fs/promises";
import { errnoOf } from "../host/files.ts";
import { collapseMemory, openProcess } from "./syscalls.ts";

/** Bytes of a page of x86-64, which an entry of a pagemap stands for, and of such an entry. */
const page = 4096;
const entryLength = 8;
/** Bytes that are looked at together. */
const stretch = 64 * 1024 * 1024;
const settings = "/sys/kernel/mm/transparent_hugepage";

/** Addresses of bytes. */
interface Range {
  readonly start: number;
  readonly end: number;
}

/**
 * Joins what takes no more memory than before: pages that were never written, and those that are shared, stay as they are. Each
 * huge page can't be used while it is copied, for some tenths of a ms.
 *
 * Returns how many bytes are in huge pages then. Where something is in the way, such as rights (it takes root's), a Linux before 6.1, the
 * administrator's wish, or a lack of huge pages, the guest runs without, as it would without us.
 */
export async function joinPages(pid: number, signal?: AbortSignal): Promise<number> {
  let joined = 0;
  try {
    if ((await fs.readFile(`${settings}/enabled`, "latin1")).includes("[never]")) return 0;
    const huge = Number(await fs.readFile(`${settings}/hpage_pmd_size`, "latin1"));
    await using pagemap = await fs.open(`/proc/${String(pid)}/pagemap`);
    const process = openProcess(pid);
    try {
      for (const mapping of await largeMappings(pid)) {
        for await (const start of wholePlaces(pagemap, mapping, huge)) {
          if (signal?.aborted === true) return joined;
          if (join(process, start, huge)) joined += huge;
        }
      }
    } finally {
      closeSync(process);
    }
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
  return joined;
}

/** Memory that can be a guest's: private, anonymous, and larger than what malloc(3) takes at once for itself. */
async function largeMappings(pid: number): Promise<Range[]> {
  const mappings = await fs.readFile(`/proc/${String(pid)}/maps`, "latin1");
  return [...mappings.matchAll(/^([0-9a-f]+)-([0-9a-f]+) rw-p 0+ 00:00 0 *$/gm)]
    .map(([, start, end]) => ({ start: Number(`0x${start}`), end: Number(`0x${end}`) }))
    .filter(({ start, end }) => end - start > stretch);
}

/** Where there could be a huge page, as all the small ones are there, and are this process's alone. */
async function* wholePlaces(pagemap: fs.FileHandle, mapping: Range, huge: number): AsyncGenerator<number> {
  const entries = Buffer.alloc((stretch / page) * entryLength);
  const perHuge = (huge / page) * entryLength;
  const last = Math.floor(mapping.end / huge) * huge;
  for (let at = Math.ceil(mapping.start / huge) * huge; at < last; at += stretch) {
    const length = (Math.min(stretch, last - at) / page) * entryLength;
    const { bytesRead } = await pagemap.read(entries, 0, length, (at / page) * entryLength);
    for (let from = 0; from + perHuge <= bytesRead; from += perHuge) {
      if (isWhole(entries.subarray(from, from + perHuge))) yield at + (from / entryLength) * page;
    }
  }
}

// The highest byte of an entry (Documentation/admin-guide/mm/pagemap.rst of Linux): is there (bit 63), in a file or shared (61),
// nobody else's (56). The page of zeros that stands for all that were only read is everybody's.
const flags = 0b1010_0001;
const ownPage = 0b1000_0001;

function isWhole(entries: Buffer): boolean {
  for (let at = entryLength - 1; at < entries.length; at += entryLength) {
    if (((entries[at] as number) & flags) !== ownPage) return false;
  }
  return true;
}

/** Says no when the guest or the kernel is about to change some of it: then it stays as it is. */
function join(process: number, start: number, length: number): boolean {
  try {
    collapseMemory(process, start, length);
    return true;
  } catch (error) {
    if (!["EAGAIN", "EINVAL"].includes(errnoOf(error) ?? "")) throw error;
    return false;
  }
}
