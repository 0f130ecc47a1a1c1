/** Restores a large file, an image or a stream: part by part, several at a time. */
import { closeSync } from "node:fs";
import { throwIfCancelled } from "../host/cancel.ts";
import type { BlobReader } from "../repository/blobs/blob-reader.ts";
import { isHole } from "../repository/tree/image-tree.ts";
import { type Content, type DamagedRange, joinPieces, type Piece, piecesOf } from "./pieces.ts";
import type { RestoreContext } from "./restore-context.ts";
import { openFile, writeFilePart } from "./write-files-task.ts";

/** Pieces that are put in the order of their packs, so that each pack is read once: 1 GiB of an image with blocks of 128 KiB. */
const piecesAtOnce = 8192;
/** Bytes, and pieces, for a thread to do at once: about those of a pack. */
const bytesPerTask = 32 * 1024 * 1024;
const piecesPerTask = 1024;

export interface ContentTarget {
  readonly path: Buffer;
  /** Where it is in the target, for the report; empty for the target itself. */
  readonly relative: Buffer;
  readonly sparse: boolean;
}

/** Hands all parts over to threads; they are in place when the pool is drained. */
export async function restoreContent(context: RestoreContext, content: Content, target: ContentTarget): Promise<void> {
  const { path, relative, sparse } = target;
  const { fd, existed } = openFile(path, content.size, context.resumed, sparse);
  closeSync(fd);
  context.tally.bytes += content.size;
  const handOver = async (gathered: readonly Piece[]): Promise<void> => {
    for (const pieces of inTasks(gathered, context.reader)) {
      const bytes = sizeOf(pieces);
      const input = { path, existed, sparse, pieces: joinPieces(pieces) };
      await context.pool.add(writeFilePart, input, bytes, ({ damaged, inPlace }) => {
        noteDamage(context, relative, damaged);
        context.tally.bytesInPlace += inPlace;
        context.advance(bytes);
      });
    }
  };
  let gathered: Piece[] = [];
  for await (const piece of piecesOf(context.reader, content, context)) {
    throwIfCancelled(context.signal);
    if (!("id" in piece)) noteDamage(context, relative, [piece]);
    else if (sparse && !existed && isHole(piece.id)) context.advance(piece.size);
    else {
      gathered.push(piece);
      if (gathered.length < piecesAtOnce) continue;
      await handOver(gathered);
      gathered = [];
    }
  }
  await handOver(gathered);
}

/** The pieces of a pack together, as far as they are not too many, and those of small packs with others. */
function inTasks(pieces: readonly Piece[], reader: Pick<BlobReader, "packOf">): Piece[][] {
  const packs = Map.groupBy(pieces, ({ id }) => (isHole(id) ? undefined : reader.packOf(id)));
  const tasks: Piece[][] = [];
  let room = 0;
  for (const ofPack of packs.values()) {
    for (let at = 0; at < ofPack.length; at += piecesPerTask) {
      const some = ofPack.slice(at, at + piecesPerTask);
      const task = tasks.at(-1);
      const bytes = sizeOf(some);
      if (task !== undefined && bytes <= room && task.length + some.length <= piecesPerTask) task.push(...some);
      else {
        tasks.push(some);
        room = bytesPerTask;
      }
      room -= bytes;
    }
  }
  return tasks;
}

function sizeOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { size }) => sum + size, 0);
}

function noteDamage(context: RestoreContext, relative: Buffer, damaged: readonly DamagedRange[]): void {
  context.tally.damage(relative, damaged);
}
