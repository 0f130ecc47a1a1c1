/**
 * The narrow set of file operations that everything durable goes through. Tests swap in a simulated disk,
 * cut the power at each operation, and look at what is left.
 *
 * Every operation throws Node's own kind of error, with `code` set to the errno's name (`ENOENT`, `ENOSPC`, …).
 */
export interface Files {
  /**
   * Creates the file, which must not exist (`EEXIST`), writes the pieces one after the other, and forces the content
   * (not yet its name: see `syncFolder`) to the medium. An error may leave a partial file behind. Mode 0600.
   */
  createSynced(path: string, pieces: readonly Uint8Array[], signal?: AbortSignal): Promise<void>;
  /** Renames within one file system, replacing an existing file at `to` in one step. */
  rename(from: string, to: string): Promise<void>;
  /** Forces the folder's entries (what was created, renamed or unlinked in it) to the medium. */
  syncFolder(path: string): Promise<void>;
  /** Makes one folder; its parent must exist (`ENOENT`) and it must not (`EEXIST`). Mode 0700. */
  mkdir(path: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Everything in a folder, in no particular order, without `.` and `..`. */
  list(path: string): Promise<FolderEntry[]>;
  /** Follows symbolic links. */
  stat(path: string): Promise<FileInfo>;
  /**
   * The whole file, or those bytes of `offset` to `offset + length` that it has: a result may be short. `into` is memory for them,
   * of that length.
   */
  read(path: string, range?: { readonly offset: number; readonly length: number }, into?: Buffer): Promise<Buffer>;
  /** Bytes that the user of this process can still write to the file system that holds `path`. */
  freeSpace(path: string): Promise<number>;
}

export type FileKind = "file" | "folder" | "other";

export interface FolderEntry {
  readonly name: string;
  /** Of the entry itself: a symbolic link is `other`. */
  readonly kind: FileKind;
}

export interface FileInfo {
  readonly kind: FileKind;
  /** In bytes. */
  readonly size: number;
  /** When the content was last modified, in ms since the epoch, by the file system's clock. */
  readonly time: number;
}

/** The errno's name of an error thrown by the system, or undefined for any other error. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error) || !("syscall" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
