/** `Files` on the real file system. */

import { constants } from "node:fs";
import * as fs from "node:fs/promises";
import type { Dirent, Stats } from "node:fs";
import { throwIfCancelled } from "./cancel.ts";
import { errnoOf, type FileKind, type Files } from "./files.ts";

export const nodeFiles: Files = {
  async createSynced(path, pieces, signal) {
    await using file = await fs.open(path, "wx", 0o600);
    for (const piece of pieces) {
      throwIfCancelled(signal);
      await writeAll(file, piece);
    }
    throwIfCancelled(signal);
    await file.sync();
  },

  rename: (from, to) => fs.rename(from, to),

  async syncFolder(path) {
    await using folder = await fs.open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await folder.sync();
    } catch (error) {
      // Some network and FUSE file systems have no fsync of folders, and say so: their server decides about durability.
      if (!["EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(errnoOf(error) ?? "")) throw error;
    }
  },

  mkdir: (path) => fs.mkdir(path, { mode: 0o700 }),

  unlink: (path) => fs.unlink(path),

  async list(path) {
    const entries = await fs.readdir(path, { withFileTypes: true });
    return entries.map((entry) => ({ name: entry.name, kind: kindOf(entry) }));
  },

  async stat(path) {
    const stats = await fs.stat(path);
    return { kind: kindOf(stats), size: stats.size, time: stats.mtimeMs };
  },

  async read(path, range, into) {
    await using file = await fs.open(path, "r");
    const { offset, length } = range ?? { offset: 0, length: (await file.stat()).size };
    return await readUpTo(file, offset, into ?? Buffer.allocUnsafeSlow(length));
  },

  async freeSpace(path) {
    const { bavail, bsize } = await fs.statfs(path);
    return bavail * bsize;
  },
};

function kindOf(entry: Dirent | Stats): FileKind {
  if (entry.isFile()) return "file";
  return entry.isDirectory() ? "folder" : "other";
}

/** A write may take fewer bytes than it was given (a full disk, a signal, a 2 GiB limit): the rest is offered again. */
async function writeAll(file: fs.FileHandle, piece: Uint8Array): Promise<void> {
  for (let at = 0; at < piece.length; ) {
    const { bytesWritten } = await file.write(piece, at, piece.length - at);
    at += bytesWritten;
  }
}

async function readUpTo(file: fs.FileHandle, offset: number, buffer: Buffer): Promise<Buffer> {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, offset + filled);
    if (bytesRead === 0) return buffer.subarray(0, filled);
    filled += bytesRead;
  }
  return buffer;
}
