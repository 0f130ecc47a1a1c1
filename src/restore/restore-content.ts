/** Restores a large file, an image or a stream: part by part, several at a time. */
import { closeSync } from "node:fs";
import { throwIfCancelled } from "../host/cancel.ts";
import { isHole } from "../repository/tree/image-tree.ts";
import { type Content, type DamagedRange, joinPieces, type Piece, piecesOf } from "./pieces.ts";
import type { RestoreContext } from "./restore-context.ts";
import { openFile, writeFilePart } from "./write-files-task.ts";

/** Bytes, and pieces, for a thread to do at once. */
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
  let waiting: Piece[] = [];
  let bytes = 0;
  const handOver = async (): Promise<void> => {
    const [pieces, length] = [waiting, bytes];
    waiting = [];
    bytes = 0;
    if (pieces.length === 0) return;
    await context.pool.add(
      writeFilePart,
      { path, existed, sparse, pieces: joinPieces(pieces) },
      ({ damaged, inPlace }) => {
        noteDamage(context, relative, damaged);
        context.tally.bytesInPlace += inPlace;
        context.advance(length);
      },
    );
  };
  for await (const piece of piecesOf(context.reader, content, context)) {
    throwIfCancelled(context.signal);
    if (!("id" in piece)) noteDamage(context, relative, [piece]);
    else if (sparse && !existed && isHole(piece.id)) context.advance(piece.size);
    else {
      waiting.push(piece);
      bytes += piece.size;
      if (bytes >= bytesPerTask || waiting.length >= piecesPerTask) await handOver();
    }
  }
  await handOver();
}

function noteDamage(context: RestoreContext, relative: Buffer, damaged: readonly DamagedRange[]): void {
  context.tally.damage(relative, damaged);
}
