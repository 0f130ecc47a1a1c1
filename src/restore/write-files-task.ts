/** Restores files in a worker thread: whole small ones, and parts of large ones. */
import { chmodSync, closeSync, constants, ftruncateSync, openSync, unlinkSync } from "node:fs";
import { throwIfCancelled } from "../host/cancel.ts";
import { errnoOf } from "../host/files.ts";
import type { Task, TaskContext } from "../repository/threads/executor.ts";
import type { DirectoryEntry } from "../repository/tree/directory-tree.ts";
import { type DamagedRange, splitPieces, streamPieces } from "./pieces.ts";
import { type Lack, setAttributes } from "./set-attributes.ts";
import { targetFailure } from "./target-failure.ts";
import { type OpenFile, type PlacedPiece, writePieces } from "./write-pieces.ts";

export interface WholeFiles {
  /** Whether some may be there, from a restore that was cut off. */
  readonly resumed: boolean;
  readonly files: readonly { readonly path: Uint8Array; readonly entry: DirectoryEntry }[];
}

export interface FileOutcome {
  readonly damaged: readonly DamagedRange[];
  readonly lacks: readonly Lack[];
}

export interface WholeFilesOutcome {
  /** Bytes that were in place already. */
  readonly inPlace: number;
  /** For each file. */
  readonly files: readonly FileOutcome[];
}

export const writeWholeFiles: Task<WholeFiles, WholeFilesOutcome> = {
  name: "write-whole-files",
  overlaps: true,
  async run(context, { files, resumed }) {
    throwIfCancelled(context.signal);
    const open: OpenFile[] = [];
    try {
      const pieces: PlacedPiece[] = [];
      for (const { path, entry } of files) {
        const file = openFile(Buffer.from(path), entry.size ?? 0, resumed, entry.sparse === true);
        open.push(file);
        pieces.push(...(await piecesOfFile(context, entry, file)));
      }
      const inPlace = await writePieces(context, pieces);
      const outcomes = files.map(({ path, entry }, position) => ({
        damaged: (open[position] as OpenFile).damaged,
        lacks: setAttributes(Buffer.from(path), entry),
      }));
      return { inPlace, files: outcomes };
    } catch (error) {
      throw targetFailure(Buffer.from(files[open.length - 1]?.path ?? "").toString(), error);
    } finally {
      for (const { fd } of open) closeSync(fd);
    }
  },
};

async function piecesOfFile(context: TaskContext, entry: DirectoryEntry, file: OpenFile): Promise<PlacedPiece[]> {
  const pieces: PlacedPiece[] = [];
  const stream = { size: entry.size ?? 0, depth: entry.depth ?? 0, root: entry.root ?? "" };
  for await (const piece of streamPieces(context.reader, stream, context)) {
    if ("id" in piece) pieces.push({ file, piece });
    else file.damaged.push(piece);
  }
  return pieces;
}

export interface FilePart {
  readonly path: Uint8Array;
  readonly existed: boolean;
  readonly sparse: boolean;
  /** See `splitPieces`. */
  readonly pieces: Uint8Array;
}

export interface FilePartOutcome {
  readonly inPlace: number;
  readonly damaged: readonly DamagedRange[];
}

/** Writes pieces into a file that is there, of its full length. */
export const writeFilePart: Task<FilePart, FilePartOutcome> = {
  name: "write-file-part",
  overlaps: true,
  async run(context, { path, existed, sparse, pieces }) {
    throwIfCancelled(context.signal);
    let fd: number | undefined;
    try {
      fd = openSync(Buffer.from(path), constants.O_RDWR | constants.O_NOFOLLOW);
      const file: OpenFile = { fd, sparse, existed, damaged: [] };
      const placed = splitPieces(pieces).map((piece) => ({ file, piece }));
      return { inPlace: await writePieces(context, placed), damaged: file.damaged };
    } catch (error) {
      throw targetFailure(Buffer.from(path).toString(), error);
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  },
};

/** Makes a file of that length, or takes the one that a restore cut off has left. Never through a symbolic link. */
export function openFile(path: Buffer, size: number, resumed: boolean, sparse: boolean): OpenFile {
  const flags = constants.O_RDWR | constants.O_NOFOLLOW;
  const left = resumed ? openLeft(path, flags) : undefined;
  const fd = left ?? openSync(path, flags | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    if (size > 0 || left !== undefined) ftruncateSync(fd, size);
    return { fd, sparse, existed: left !== undefined, damaged: [] };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function openLeft(path: Buffer, flags: number): number | undefined {
  try {
    return openSync(path, flags | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    if (errnoOf(error) !== "EACCES") {
      unlinkSync(path); // Something else than a file.
      return undefined;
    }
    chmodSync(path, 0o600); // Finished, and closed to whoever isn't root.
    return openSync(path, flags);
  }
}
