/** A file system of the ext family on a disk of a recovery point, read through debugfs. */
import { isStillpointError, StillpointError } from "../../errors.ts";
import { type DirectoryEntry, encodeText } from "../../repository/tree/directory-tree.ts";
import { askDebugfs, catInode } from "./debugfs.ts";
import { type DiskBytes, readRange, withChanges } from "./disk-bytes.ts";
import { diskFile, otherWay, runOnDisk } from "./disk-tool.ts";
import { entryOf, parseDump, parseNames } from "./ext-inode.ts";

export interface VolumeOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told of what can't be read of the file system, while the rest can. */
  readonly onTrouble: (message: string) => void;
}

/** Commands for one run of debugfs, and bytes of files that are read by one. */
const commandsAtOnce = 4000;

/** The folder at the top. */
export const topInode = "2";

/** What a journal can hold: e2fsprogs makes none larger than 1 GiB. */
const mostJournal = 1024 ** 3;
const journalTime = 30 * 60_000;

export class ExtVolume {
  readonly #disk: DiskBytes;
  readonly #options: VolumeOptions;

  /**
   * The file system as its own kernel would see it after a loss of power: what its journal holds is brought to its place first, in
   * this process's memory. Throws `disk_unreadable`, or what reading the disk throws.
   */
  static async open(disk: DiskBytes, options: VolumeOptions): Promise<ExtVolume> {
    if (!(await needsRecovery(disk))) return new ExtVolume(disk, options);
    const changed = withChanges(disk, mostJournal);
    try {
      const argv = ["e2fsck", "-p", "-E", "journal_only", diskFile];
      const { signal } = options;
      for await (const _ of runOnDisk(changed, { argv, timeout: journalTime, signal }));
      return new ExtVolume(changed, options);
    } catch (error) {
      if (!isStillpointError(error, "disk_unreadable")) throw error;
      options.onTrouble(`its journal can't be applied, so its newest changes are missing: ${error.parts.what}`);
      return new ExtVolume(disk, options);
    }
  }

  private constructor(disk: DiskBytes, options: VolumeOptions) {
    this.#disk = disk;
    this.#options = options;
  }

  /** What is in folders, by the number of the folder, in ascending order of the names' bytes. Throws as `open` does. */
  async list(folders: readonly string[]): Promise<Map<string, readonly DirectoryEntry[]>> {
    const answers = await this.#ask(folders.map((inode) => `ls -p <${inode}>`));
    const found = answers.map((answer, position) => {
      const names = parseNames(answer);
      if (names === undefined)
        this.#options.onTrouble(`the folder <${folders[position] ?? ""}> has names that can't be`);
      return names ?? [];
    });
    const inodes = [...new Set(found.flatMap((names) => names.map(({ inode }) => inode)))];
    const dumps = await this.#ask(inodes.map((inode) => `idump <${inode}>`));
    const bytes = new Map(inodes.map((inode, position) => [inode, parseDump(dumps[position] as Buffer)]));
    const lists = found.map((names) =>
      names
        .flatMap(({ name, inode }) => {
          const content = bytes.get(inode);
          return content === undefined ? [] : [{ name, entry: entryOf(name, inode, content) }];
        })
        .toSorted((a, b) => Buffer.compare(a.name, b.name))
        .map(({ entry }) => entry),
    );
    return new Map(folders.map((inode, position) => [inode, lists[position] ?? []]));
  }

  /** Puts in the targets of symbolic links that are too long for their inode. */
  async withTargets(entries: readonly DirectoryEntry[]): Promise<readonly DirectoryEntry[]> {
    const lacks = entries.filter(
      ({ type, target, target64 }) => type === "symlink" && (target ?? target64) === undefined,
    );
    const targets = await this.contents(lacks.map(({ inode }) => inode));
    const known = new Map(lacks.map((entry, position) => [entry, targets[position] as Buffer]));
    return entries.map((entry) => {
      const target = known.get(entry);
      return target === undefined ? entry : { ...entry, ...encodeText("target", target) };
    });
  }

  /** Whole contents, of files that are small all together. */
  async contents(inodes: readonly string[]): Promise<Buffer[]> {
    return await this.#ask(inodes.map((inode) => `cat <${inode}>`));
  }

  /** The content of one file. Throws as `open` does, also when it can't be read to its end. */
  read(inode: string): AsyncGenerator<Buffer> {
    return catInode(this.#disk, inode, this.#options);
  }

  async #ask(commands: readonly string[]): Promise<Buffer[]> {
    const all: Buffer[] = [];
    for (let at = 0; at < commands.length; at += commandsAtOnce) {
      const batch = commands.slice(at, at + commandsAtOnce);
      const { answers, complaint } = await askDebugfs(this.#disk, batch, this.#options);
      if (complaint !== undefined) this.#options.onTrouble(complaint);
      all.push(...answers);
    }
    return all;
  }
}

/** Whether the journal holds what isn't in its place yet (`INCOMPAT_RECOVER` of the superblock). */
async function needsRecovery(disk: DiskBytes): Promise<boolean> {
  const superblock = await readRange(disk, 1024, 1024);
  const { length } = superblock;
  if (length === 1024) return (superblock.readUInt32LE(96) & 4) !== 0;
  throw new StillpointError("disk_unreadable", {
    what: "Cannot look into the file system: it has no room for a superblock",
    next: otherWay,
  });
}
