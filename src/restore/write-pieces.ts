/** Puts pieces into files; those that are there already, from a restore that was cut off, are recognised by their ids. */
import { readSync, writeSync } from "node:fs";
import { release } from "../host/release.ts";
import type { TaskContext } from "../repository/threads/executor.ts";
import { blobKinds } from "../repository/format.ts";
import { isHole } from "../repository/tree/image-tree.ts";
import { damageOf, type DamagedRange, type Piece } from "./pieces.ts";

/** What blocks of zeros are left out by, in bytes: the usual block of a file system. */
const page = 4096;
const zeros = Buffer.alloc(1024 * 1024);

/** A file open for reading and writing, of its full length. */
export interface OpenFile {
  readonly fd: number;
  /** Whether zeros become holes. */
  readonly sparse: boolean;
  /** Whether it was there before, so that some pieces may be in place. If not, it reads as zeros. */
  readonly existed: boolean;
  readonly damaged: DamagedRange[];
}

export interface PlacedPiece {
  readonly file: OpenFile;
  readonly piece: Piece;
}

/** Returns the number of bytes that were in place already. Damage is noted in the files; zeros stand there. */
export async function writePieces(context: TaskContext, pieces: readonly PlacedPiece[]): Promise<number> {
  let inPlace = 0;
  const wanted: PlacedPiece[] = [];
  for (const placed of pieces) {
    const { file, piece } = placed;
    if (file.existed && isInPlace(context, placed)) inPlace += piece.size;
    else if (!isHole(piece.id)) wanted.push(placed);
    else if (file.existed || !file.sparse) writeZeros(file.fd, piece.offset, piece.size);
  }
  const ids = wanted.map(({ piece }) => piece.id);
  await context.reader.readMany(
    blobKinds.data,
    ids,
    (position, content) => put(wanted[position] as PlacedPiece, content),
    context,
  );
  return inPlace;
}

function put({ file, piece }: PlacedPiece, content: Buffer | Error): void {
  const { offset, size } = piece;
  const fits = !(content instanceof Error) && content.length === size;
  if (!fits) {
    const reason =
      content instanceof Error
        ? damageOf(content)
        : `a blob has ${String(content.length)} bytes instead of ${String(size)}`;
    file.damaged.push({ offset, length: size, reason });
    if (file.existed) writeZeros(file.fd, offset, size);
    return;
  }
  if (file.sparse && !file.existed) writeWithoutZeros(file.fd, content, offset);
  else writeAll(file.fd, content, offset);
  release(content);
}

function isInPlace(context: TaskContext, { file, piece }: PlacedPiece): boolean {
  if (isHole(piece.id)) return isZero(file.fd, piece.offset, piece.size);
  const content = readUpTo(file.fd, piece.offset, piece.size);
  return content.length === piece.size && context.keys.blobId(blobKinds.data, content).equals(piece.id);
}

function isZero(fd: number, offset: number, length: number): boolean {
  for (let at = 0; at < length; at += zeros.length) {
    const part = readUpTo(fd, offset + at, Math.min(zeros.length, length - at));
    if (!part.equals(zeros.subarray(0, part.length))) return false;
  }
  return true;
}

function writeZeros(fd: number, offset: number, length: number): void {
  for (let at = 0; at < length; at += zeros.length)
    writeAll(fd, zeros.subarray(0, Math.min(zeros.length, length - at)), offset + at);
}

/** Writes what isn't zero, by pages of the file. */
function writeWithoutZeros(fd: number, content: Buffer, offset: number): void {
  const pageEnd = (at: number): number => Math.min(content.length, at + page - ((offset + at) % page));
  const isEmpty = (at: number, end: number): boolean => content.subarray(at, end).equals(zeros.subarray(0, end - at));
  for (let at = 0; at < content.length; ) {
    let end = pageEnd(at);
    const empty = isEmpty(at, end);
    while (end < content.length && isEmpty(end, pageEnd(end)) === empty) end = pageEnd(end);
    if (!empty) writeAll(fd, content.subarray(at, end), offset + at);
    at = end;
  }
}

function writeAll(fd: number, content: Buffer, offset: number): void {
  for (let at = 0; at < content.length; ) at += writeSync(fd, content, at, content.length - at, offset + at);
}

function readUpTo(fd: number, offset: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const got = readSync(fd, buffer, filled, length - filled, offset + filled);
    if (got === 0) break;
    filled += got;
  }
  return buffer.subarray(0, filled);
}
