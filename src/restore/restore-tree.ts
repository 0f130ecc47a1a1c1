/**
 * Restores a directory: folders and files first, then hard links, devices and symbolic links, last the attributes of the
 * folders. So nothing is ever written through a symbolic link that the restore itself has made, and times stay as set.
 */
import { chmodSync, lstatSync, mkdirSync, unlinkSync } from "node:fs";
import { throwIfCancelled } from "../host/cancel.ts";
import { errnoOf } from "../host/files.ts";
import { damagedObject } from "../repository/format.ts";
import type { DirectoryPart } from "../repository/points/manifest.ts";
import { type DirectoryEntry, nameOf, readDirectory } from "../repository/tree/directory-tree.ts";
import { type EntryToMake, makeEntries } from "./make-entries-task.ts";
import { orDamaged } from "./pieces.ts";
import { restoreContent } from "./restore-content.ts";
import type { RestoreContext } from "./restore-context.ts";
import { isEverything, type Selection } from "./selection.ts";
import { writeWholeFiles } from "./write-files-task.ts";

const filesPerTask = 64;
const bytesPerTask = 8 * 1024 * 1024;
const entriesPerTask = 256;

interface Located {
  readonly path: Buffer;
  /** Relative to the target. */
  readonly relative: Buffer;
  readonly entry: DirectoryEntry;
}

export class TreeRestore {
  readonly #context: RestoreContext;
  #files: Located[] = [];
  #bytes = 0;
  readonly #links = new Map<string, Buffer>();
  readonly #hardLinks: (Located & { readonly linkTo: Buffer })[] = [];
  readonly #others: Located[] = [];
  readonly #folders: Located[] = [];
  /** Files whose content is written part by part: their attributes come last. */
  readonly #large: Located[] = [];

  constructor(context: RestoreContext) {
    this.#context = context;
  }

  /** Restores what is selected, and is there, to the folder `path`. */
  async run(part: DirectoryPart, path: Buffer, selection: Selection): Promise<void> {
    const entry: DirectoryEntry = part.entry;
    await this.#folder({ path, relative: Buffer.alloc(0), entry }, selection);
    await this.#flushFiles();
    await this.#context.pool.drain();
    await this.#make(this.#large);
    await this.#make(this.#others);
    await this.#make(this.#hardLinks);
    // The deepest first: whoever isn't root may be unable to get past a folder with its own mode.
    await this.#make(this.#folders.reverse(), true);
  }

  async #folder(folder: Located, selection: Selection): Promise<void> {
    const { reader, tally, signal } = this.#context;
    throwIfCancelled(signal);
    makeFolder(folder.path);
    tally.folders += 1;
    this.#folders.push(folder);
    const entries = await orDamaged(async () => await readDirectory(reader, treeOf(folder.entry), { signal }));
    if (typeof entries === "string") {
      tally.damagedFolder(folder.relative, entries);
      return;
    }
    const wanted = selected(entries, selection);
    for (const [entry, below] of wanted) await this.#entry(folder, entry, below);
  }

  async #entry(folder: Located, entry: DirectoryEntry, selection: Selection): Promise<void> {
    const name = nameOf(entry);
    const located = {
      entry,
      path: join(folder.path, name),
      relative: folder.relative.length === 0 ? name : join(folder.relative, name),
    };
    if (entry.type === "directory") return await this.#folder(located, selection);
    const linkTo = entry.link === undefined ? undefined : this.#links.get(entry.link);
    if (linkTo !== undefined) {
      this.#hardLinks.push({ ...located, linkTo });
      return;
    }
    if (entry.link !== undefined) this.#links.set(entry.link, located.path);
    if (entry.type === "file") await this.#file(located);
    else this.#others.push(located);
  }

  async #file(file: Located): Promise<void> {
    const { entry, path, relative } = file;
    const size = entry.size ?? 0;
    this.#context.tally.files += 1;
    if (size <= bytesPerTask) {
      if (this.#bytes + size > bytesPerTask || this.#files.length >= filesPerTask) await this.#flushFiles();
      this.#files.push(file);
      this.#bytes += size;
      return;
    }
    this.#large.push(file);
    const content = { kind: "stream", size, depth: entry.depth ?? 0, root: entry.root ?? "" } as const;
    await restoreContent(this.#context, content, { path, relative, sparse: entry.sparse === true });
  }

  async #flushFiles(): Promise<void> {
    const [files, bytes] = [this.#files, this.#bytes];
    this.#files = [];
    this.#bytes = 0;
    const { tally, advance, pool, resumed } = this.#context;
    if (files.length === 0) return;
    const input = { resumed, files: files.map(({ path, entry }) => ({ path, entry })) };
    await pool.add(writeWholeFiles, input, bytes, (outcome) => {
      for (const [position, { damaged, lacks }] of outcome.files.entries()) {
        const { relative } = files[position] as Located;
        tally.damage(relative, damaged);
        tally.lack(relative, lacks);
      }
      tally.bytes += bytes;
      tally.bytesInPlace += outcome.inPlace;
      advance(bytes);
    });
  }

  /** Makes entries, in order where that matters: then each task waits for the one before it. */
  async #make(entries: readonly (Located & { readonly linkTo?: Buffer })[], inOrder = false): Promise<void> {
    const { pool, tally } = this.#context;
    for (let at = 0; at < entries.length; at += entriesPerTask) {
      const batch = entries.slice(at, at + entriesPerTask);
      const input = batch.map(({ path, entry, linkTo }): EntryToMake => ({ path, entry, linkTo }));
      await pool.add(makeEntries, input, 0, (lacks) => {
        for (const [position, one] of lacks.entries()) tally.lack((batch[position] as Located).relative, one);
      });
      if (inOrder) await pool.drain();
    }
    await pool.drain();
  }
}

function treeOf(entry: DirectoryEntry): Buffer {
  if (entry.tree === undefined) throw damagedObject("of a directory", "an entry in it doesn't say what it holds");
  return Buffer.from(entry.tree, "hex");
}

/** The entries wanted, each with what is wanted of it. */
function selected(entries: readonly DirectoryEntry[], selection: Selection): [DirectoryEntry, Selection][] {
  if (isEverything(selection)) return entries.map((entry) => [entry, selection]);
  return entries.flatMap((entry) => {
    const below = selection.steps.get(nameOf(entry).toString("latin1"));
    return below === undefined ? [] : [[entry, below]];
  });
}

const slash = Buffer.from("/");

function join(folder: Buffer, name: Buffer): Buffer {
  return Buffer.concat([folder, slash, name]);
}

/** Makes a folder, closed to others until it is complete; or takes one that an earlier restore has left. */
function makeFolder(path: Buffer): void {
  try {
    mkdirSync(path, 0o700);
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
    if (lstatSync(path).isDirectory()) {
      chmodSync(path, 0o700);
      return;
    }
    unlinkSync(path);
    mkdirSync(path, 0o700);
  }
}
