/** Where a stream ends in a file that was longer from the start, with zeros behind it. */
import type { FileHandle } from "node:fs/promises";
import * as z from "zod";
import { seekData, seekHole, syscallsAvailable } from "../../host/syscalls.ts";
import { sectionTypes } from "./format.ts";
import { streamInvalid } from "./saved-state.ts";

const pieceLength = 1024 * 1024;
const zeros = Buffer.alloc(pieceLength);
/** A usual description has 100 KiB. */
const longestDescription = 64 * 1024 * 1024;

export interface StreamEnd {
  readonly end: number;
  /** Names of the devices that were saved. */
  readonly devices: readonly string[];
}

/** Only what matters of the description that QEMU puts behind the end of a stream. */
const description = z.object({ devices: z.array(z.object({ name: z.string() })) });

/**
 * A stream ends with a description of itself, and nothing but zeros may follow: so its end can be told from what merely looks
 * like one. Throws `stream_invalid` when there is none, as when the stream was cut short.
 *
 * @param from where to begin looking, in bytes
 */
export async function findEnd(file: FileHandle, from: number, size: number): Promise<StreamEnd> {
  const end = await lastData(file, from, size);
  const length = Math.min(end - from, longestDescription);
  const last = Buffer.allocUnsafeSlow(length);
  await readFully(file, last, end - length);
  for (let at = length - 6; at > 0; at--) {
    // The description is text, in which no byte is 6: at most its own length holds one by accident.
    if (last[at] !== sectionTypes.description || last.readUInt32BE(at + 1) !== length - at - 5) continue;
    if (last[at - 1] !== sectionTypes.end) break;
    const parsed = description.safeParse(parseJson(last.subarray(at + 5)));
    if (parsed.success) return { end, devices: parsed.data.devices.map(({ name }) => name) };
  }
  throw streamInvalid("it has no end: it was cut short, or damaged");
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}

/** Behind the last byte that isn't zero. Room that was never written to isn't read where the file system knows it. */
async function lastData(file: FileHandle, from: number, size: number): Promise<number> {
  const buffer = Buffer.allocUnsafeSlow(Math.min(pieceLength, size - from));
  let last = from;
  for (let at = dataFrom(file, from, size); at < size; at = dataFrom(file, at, size)) {
    const end = dataEnd(file, at, size);
    while (at < end) {
      const piece = buffer.subarray(0, Math.min(pieceLength, end - at));
      await readFully(file, piece, at);
      if (!piece.equals(zeros.subarray(0, piece.length))) last = at + lengthWithoutZeros(piece);
      at += piece.length;
    }
  }
  return last;
}

function lengthWithoutZeros(piece: Buffer): number {
  let length = piece.length;
  while (piece[length - 1] === 0) length -= 1;
  return length;
}

function dataFrom(file: FileHandle, at: number, size: number): number {
  if (!syscallsAvailable() || at >= size) return at;
  return seekData(file.fd, at) ?? size;
}

function dataEnd(file: FileHandle, at: number, size: number): number {
  return Math.min(size, syscallsAvailable() ? (seekHole(file.fd, at) ?? size) : size);
}

async function readFully(file: FileHandle, buffer: Buffer, position: number): Promise<void> {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, position + filled);
    if (bytesRead === 0) throw streamInvalid("its file became shorter while it was read");
    filled += bytesRead;
  }
}
