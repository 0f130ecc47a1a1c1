/** How the files of a file system differ between two points, by what its inodes say. */
import { createHash } from "node:crypto";
import { StillpointError } from "../../errors.ts";
import { type DirectoryEntry, nameOf } from "../../repository/tree/directory-tree.ts";
import { type Aspect, aspectsOf } from "../diff.ts";
import { type ExtVolume, topInode } from "./ext-volume.ts";

export interface FileDifference {
  readonly kind: "added" | "removed" | "changed";
  readonly path: Buffer;
  readonly type: DirectoryEntry["type"];
  /** For what was changed. */
  readonly aspects: readonly Aspect[];
}

/** A folder that both have. */
interface FolderPair {
  readonly path: Buffer;
  readonly before: string;
  readonly after: string;
}

interface FilePair {
  readonly path: Buffer;
  readonly before: DirectoryEntry;
  readonly after: DirectoryEntry;
}

/** Folders whose entries are looked at together. */
const foldersAtOnce = 1000;
/** More than any file system that is still worth a comparison of its files. */
const mostEntries = 10_000_000;

/** Contents compared in one go, in bytes. */
const contentsAtOnce = 8 * 1024 * 1024;
/** A larger file that has been touched counts as changed, unread. In bytes. */
const largestCompared = 256 * 1024 * 1024;

/**
 * In ascending order of the paths' bytes. An added or removed folder stands for all that is in it. Contents are compared only where
 * size is equal while a time or the inode isn't; extended attributes are not.
 *
 * Throws `disk_unreadable`, what reading the disks throws, or `cancelled`.
 */
export async function diffVolumes(before: ExtVolume, after: ExtVolume): Promise<readonly FileDifference[]> {
  const comparison = new Comparison();
  for (let level: readonly FolderPair[] = [top]; level.length > 0; ) {
    const below: FolderPair[] = [];
    for (let at = 0; at < level.length; at += foldersAtOnce) {
      const folders = level.slice(at, at + foldersAtOnce);
      const [old, fresh] = await Promise.all([
        before.list(folders.map((folder) => folder.before)),
        after.list(folders.map((folder) => folder.after)),
      ]);
      for (const folder of folders)
        below.push(...comparison.compare(folder.path, old.get(folder.before) ?? [], fresh.get(folder.after) ?? []));
    }
    level = below;
  }
  const { found, touched } = comparison;
  for await (const [pair, differs] of compareContents(before, after, touched))
    if (differs || aspectsOf(pair.before, pair.after).length > 0) found.push(changed(pair, differs));
  return found.toSorted((a, b) => Buffer.compare(a.path, b.path));
}

const top: FolderPair = { path: Buffer.alloc(0), before: topInode, after: topInode };

/** What has been found so far. */
class Comparison {
  readonly found: FileDifference[] = [];
  /** Files that must be read to know whether they differ. */
  readonly touched: FilePair[] = [];
  /** A hostile file system may have a folder within itself. */
  readonly #seen = new Set<string>();
  #entries = 0;

  /** The entries of a folder; returns the folders below that both have. */
  compare(path: Buffer, before: readonly DirectoryEntry[], after: readonly DirectoryEntry[]): FolderPair[] {
    const pairs = pairUp(before, after);
    this.#entries += pairs.length;
    if (this.#entries > mostEntries) throw tooMany();
    return pairs.flatMap(([one, other]) => {
      const below = join(path, nameOf(one ?? (other as DirectoryEntry)));
      if (one !== undefined && other !== undefined) return this.#pair({ path: below, before: one, after: other });
      const type = (one ?? other)?.type ?? "file";
      this.found.push({ kind: one === undefined ? "added" : "removed", path: below, type, aspects: [] });
      return [];
    });
  }

  #pair(pair: FilePair): FolderPair[] {
    const { path, before, after } = pair;
    if (mayHaveOtherContent(pair)) this.touched.push(pair);
    else if (aspectsOf(before, after).length > 0) this.found.push(changed(pair, false));
    const key = `${before.inode}:${after.inode}`;
    if (before.type !== "directory" || after.type !== "directory" || this.#seen.has(key)) return [];
    this.#seen.add(key);
    return [{ path, before: before.inode, after: after.inode }];
  }
}

function changed({ path, before, after }: FilePair, content: boolean): FileDifference {
  const aspects = aspectsOf(before, after);
  const type = after.type;
  return { kind: "changed", path, type, aspects: content ? ["content", ...aspects] : aspects };
}

function mayHaveOtherContent({ before, after }: FilePair): boolean {
  if (before.type !== after.type || before.size !== after.size) return false;
  const hasContent = before.type === "file" || (before.type === "symlink" && isLong(before) && isLong(after));
  return hasContent && (before.mtime !== after.mtime || before.ctime !== after.ctime || before.inode !== after.inode);
}

/** A link whose target isn't in its inode. */
function isLong({ target, target64 }: DirectoryEntry): boolean {
  return (target ?? target64) === undefined;
}

async function* compareContents(
  before: ExtVolume,
  after: ExtVolume,
  pairs: readonly FilePair[],
): AsyncGenerator<readonly [FilePair, boolean]> {
  let batch: FilePair[] = [];
  let bytes = 0;
  for (const pair of pairs) {
    const size = pair.after.size ?? 4096;
    if (size > largestCompared) yield [pair, true];
    else if (size > contentsAtOnce) yield [pair, await contentDiffers(before, after, pair)];
    else {
      if (bytes + size > contentsAtOnce) {
        yield* compareSmall(before, after, batch);
        [batch, bytes] = [[], 0];
      }
      batch.push(pair);
      bytes += size;
    }
  }
  yield* compareSmall(before, after, batch);
}

async function* compareSmall(
  before: ExtVolume,
  after: ExtVolume,
  batch: readonly FilePair[],
): AsyncGenerator<readonly [FilePair, boolean]> {
  const old = await before.contents(batch.map((pair) => pair.before.inode));
  const fresh = await after.contents(batch.map((pair) => pair.after.inode));
  for (const [position, pair] of batch.entries())
    yield [pair, !(old[position] as Buffer).equals(fresh[position] as Buffer)];
}

async function contentDiffers(before: ExtVolume, after: ExtVolume, pair: FilePair): Promise<boolean> {
  const [one, other] = await Promise.all([hashOf(before, pair.before), hashOf(after, pair.after)]);
  return one !== other;
}

async function hashOf(volume: ExtVolume, { inode }: DirectoryEntry): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of volume.read(inode)) hash.update(piece);
  return hash.digest("hex");
}

/** By name, in order. */
function pairUp(
  before: readonly DirectoryEntry[],
  after: readonly DirectoryEntry[],
): (readonly [DirectoryEntry | undefined, DirectoryEntry | undefined])[] {
  const byName = (entries: readonly DirectoryEntry[]): Map<string, DirectoryEntry> =>
    new Map(entries.map((entry) => [nameOf(entry).toString("latin1"), entry]));
  const [old, fresh] = [byName(before), byName(after)];
  return [...new Set([...old.keys(), ...fresh.keys()])].map((name) => [old.get(name), fresh.get(name)]);
}

const slash = Buffer.from("/");

function join(folder: Buffer, name: Buffer): Buffer {
  return folder.length === 0 ? name : Buffer.concat([folder, slash, name]);
}

function tooMany(): StillpointError {
  return new StillpointError("disk_unreadable", {
    what: `Cannot compare the files: there are more than ${mostEntries.toLocaleString("en")}`,
    safe: "The changed ranges are complete.",
  });
}
