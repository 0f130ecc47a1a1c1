/**
 * A disk in memory with honest crash semantics.
 *
 * It keeps two truths: what running programs see, and what is on the medium. Content reaches the medium by the fsync in
 * `createSynced`, names by `syncFolder` of their folder, and by nothing else. POSIX promises no more; a real file system
 * that does more (ext4's ordered mode, say) is one of the outcomes that `afterCrash` draws.
 *
 * To try every crash:
 *
 *     for (let step = 1; ; step++) {
 *       const disk = prepared.copy();
 *       disk.crashAt(step);
 *       await work(disk).catch((error: unknown) => { if (!disk.crashed) throw error; });
 *       await inspect(disk.afterCrash({ dropUnsynced: true, seed: step }));
 *       if (!disk.crashed) break;
 *     }
 */

import { throwIfCancelled } from "../../src/host/cancel.ts";
import type { FileInfo, Files, FolderEntry } from "../../src/host/files.ts";
import { apply, copyOf, flush, newFolder, survivorsOf } from "./simulated-nodes.ts";
import type { DiskNode, FileNode, FolderNode } from "./simulated-nodes.ts";

/** The power is gone. No program could see this, so it has no `code`, and nothing may turn it into another error. */
export class SimulatedCrash extends Error {
  override readonly name = "SimulatedCrash";
}

export interface Operation {
  readonly kind: "create" | "write" | "sync" | "rename" | "syncFolder" | "mkdir" | "unlink" | "list" | "stat" | "read";
  readonly path: string;
  /** Which step the operation is about to be, counted from 1; undefined for one that only reads. */
  readonly step: number | undefined;
}

export interface SimulatedDiskOptions {
  /** The time that new files get, in ms since the epoch. */
  readonly now?: () => number;
}

export class SimulatedDisk implements Files {
  /** How many steps were begun. A step is the smallest change between two crashes. */
  steps = 0;
  crashed = false;
  /** In bytes. A write beyond it takes what fits, and fails with ENOSPC. */
  spaceLeft = Number.MAX_SAFE_INTEGER;
  /** Asked before every operation: the name of an errno makes it fail with that and change nothing. */
  fault: (operation: Operation) => string | undefined = () => undefined;

  readonly #now: () => number;
  #root = newFolder();
  #crashStep = Number.POSITIVE_INFINITY;

  constructor(options: SimulatedDiskOptions = {}) {
    this.#now = options.now ?? (() => 1_700_000_000_000);
  }

  /** The power goes when step number `step` (the first is 1) is about to be taken; in a write, halfway through it. */
  crashAt(step: number): void {
    this.#crashStep = step;
  }

  /**
   * The disk as the next start finds it; this one stays as it is. Without `dropUnsynced` only the processes died, and all
   * that was written is there. With it the machine lost its power: what had not reached the medium is there or not, whole
   * or cut off or zero-filled, as `seed` (by default 0) has it.
   */
  afterCrash(options: { readonly dropUnsynced: boolean; readonly seed?: number }): SimulatedDisk {
    const disk = new SimulatedDisk({ now: this.#now });
    disk.spaceLeft = this.spaceLeft;
    disk.#root = options.dropUnsynced ? survivorsOf(this.#root, options.seed ?? 0) : copyOf(this.#root);
    return disk;
  }

  /** An independent disk with the same content, all of it synced, and no faults. */
  copy(): SimulatedDisk {
    return this.afterCrash({ dropUnsynced: false });
  }

  /** All files that programs see: content by path. */
  contents(): Map<string, Buffer> {
    const all = new Map<string, Buffer>();
    const walk = (folder: FolderNode, prefix: string): void => {
      for (const [name, node] of folder.entries) {
        if (node.kind === "folder") walk(node, `${prefix}${name}/`);
        else all.set(prefix + name, Buffer.from(node.content));
      }
    };
    walk(this.#root, "/");
    return all;
  }

  async createSynced(path: string, pieces: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    await this.#step("create", path);
    const { folder, name } = this.#parentOf(path);
    if (folder.entries.has(name)) throw errnoError("EEXIST", path);
    const file: FileNode = { kind: "file", content: Buffer.alloc(0), synced: false, time: this.#now() };
    apply({ folder, name, node: file });
    for (const piece of pieces) {
      throwIfCancelled(signal);
      await this.#append(file, piece, path);
    }
    await this.#step("sync", path);
    file.synced = true;
  }

  async #append(file: FileNode, piece: Uint8Array, path: string): Promise<void> {
    const append = (length: number): void => {
      file.content = Buffer.concat([file.content, piece.subarray(0, length)]);
      this.spaceLeft -= length;
    };
    await this.#step("write", path, () => append(piece.length >> 1));
    const fits = Math.min(piece.length, this.spaceLeft);
    append(fits);
    if (fits < piece.length) throw errnoError("ENOSPC", path);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#step("rename", to);
    const source = this.#parentOf(from);
    const target = this.#parentOf(to);
    const node = this.#find(from);
    const replaced = target.folder.entries.get(target.name);
    if (replaced === node) return;
    if (replaced?.kind === "folder") throw errnoError("EISDIR", to);
    if (replaced) this.spaceLeft += replaced.content.length;
    const arrival = { ...target, node };
    apply(arrival);
    apply({ ...source, node: undefined, after: arrival });
  }

  async syncFolder(path: string): Promise<void> {
    await this.#step("syncFolder", path);
    flush(this.#folder(path));
  }

  async mkdir(path: string): Promise<void> {
    await this.#step("mkdir", path);
    const { folder, name } = this.#parentOf(path);
    if (folder.entries.has(name)) throw errnoError("EEXIST", path);
    apply({ folder, name, node: newFolder() });
  }

  async unlink(path: string): Promise<void> {
    await this.#step("unlink", path);
    const node = this.#find(path);
    if (node.kind === "folder") throw errnoError("EISDIR", path);
    this.spaceLeft += node.content.length;
    apply({ ...this.#parentOf(path), node: undefined });
  }

  async list(path: string): Promise<FolderEntry[]> {
    await this.#look("list", path);
    return Array.from(this.#folder(path).entries, ([name, { kind }]) => ({ name, kind }));
  }

  async stat(path: string): Promise<FileInfo> {
    await this.#look("stat", path);
    const node = this.#find(path);
    if (node.kind === "folder") return { kind: "folder", size: 0, time: 0 };
    return { kind: "file", size: node.content.length, time: node.time };
  }

  async read(
    path: string,
    range?: { readonly offset: number; readonly length: number },
    into?: Buffer,
  ): Promise<Buffer> {
    await this.#look("read", path);
    const node = this.#find(path);
    if (node.kind === "folder") throw errnoError("EISDIR", path);
    const { offset, length } = range ?? { offset: 0, length: node.content.length };
    const content = node.content.subarray(offset, offset + length);
    return into === undefined ? Buffer.from(content) : into.subarray(0, content.copy(into));
  }

  async freeSpace(path: string): Promise<number> {
    await this.#look("stat", path);
    this.#find(path);
    return this.spaceLeft;
  }

  /** Begins a change. `torn` is what is left of it when the power goes just now. */
  async #step(kind: Operation["kind"], path: string, torn?: () => void): Promise<void> {
    // A real disk never answers within the same turn.
    await Promise.resolve();
    if (!this.crashed) {
      this.steps += 1;
      this.crashed = this.steps === this.#crashStep;
      if (this.crashed) torn?.();
    }
    this.#obstruct({ kind, path, step: this.steps });
  }

  async #look(kind: Operation["kind"], path: string): Promise<void> {
    await Promise.resolve();
    this.#obstruct({ kind, path, step: undefined });
  }

  #obstruct(operation: Operation): void {
    const { kind, path } = operation;
    if (this.crashed) throw new SimulatedCrash(`the power went before ${kind} ${path}`);
    const errno = this.fault(operation);
    if (errno !== undefined) throw errnoError(errno, path);
  }

  #find(path: string): DiskNode {
    let node: DiskNode = this.#root;
    for (const part of path.split("/").filter(Boolean)) {
      if (node.kind !== "folder") throw errnoError("ENOTDIR", path);
      const next = node.entries.get(part);
      if (!next) throw errnoError("ENOENT", path);
      node = next;
    }
    return node;
  }

  #folder(path: string): FolderNode {
    const node = this.#find(path);
    if (node.kind !== "folder") throw errnoError("ENOTDIR", path);
    return node;
  }

  #parentOf(path: string): { folder: FolderNode; name: string } {
    const parts = path.split("/").filter(Boolean);
    const name = parts.pop();
    if (name === undefined) throw errnoError("EEXIST", path);
    return { folder: this.#folder(parts.join("/")), name };
  }
}

function errnoError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: simulated, '${path}'`), { code, syscall: "simulated", path });
}
