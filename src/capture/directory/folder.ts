/** A folder that is part of a capture under way. Some hundred bytes are kept for each; files are not kept at all. */
import type { LeftOut } from "../../repository/points/manifest.ts";
import { encodeText } from "../../repository/tree/directory-tree.ts";
import { type FolderPlace, joinPath } from "./list-folder.ts";

export class Folder implements FolderPlace {
  readonly path: Buffer;
  /** Bytes of the source's own path and the slash after it. */
  readonly #above: number;
  /** By name (as Latin-1). */
  children = new Map<string, Folder>();
  /** The id of its tree (hex); undefined until it has been captured, and when it is gone. */
  tree: string | undefined;
  fingerprint = "";
  /** When it was last looked at, in ms since the epoch. */
  time = 0;
  racy = false;
  /** The errno's name, when it can't be read. */
  failure: string | undefined;
  /** Whether it must be looked at again; and whether a folder in it must. */
  changed = true;
  changedBelow = false;
  /** Bytes of the files directly in it. */
  size = 0;
  leftOut: readonly LeftOut[] = [];
  leftOutCount = 0;

  constructor(path: Buffer, above = path.length + 1) {
    this.path = path;
    this.#above = above;
  }

  /** Its path in the source; empty for the source's own folder. */
  get relativeBytes(): Buffer {
    return this.path.subarray(this.#above);
  }

  get relative(): string {
    return this.relativeBytes.toString();
  }

  child(name: Buffer): Folder {
    return new Folder(joinPath(this.path, name), this.#above);
  }

  /** This one and all below it. */
  *all(): Generator<Folder> {
    yield this;
    for (const child of this.children.values()) yield* child.all();
  }

  /** Notes what could not be captured: something in this folder, or (without a name) the folder itself. */
  leaveOut(failures: readonly { readonly name?: Uint8Array; readonly failure: string }[]): void {
    this.leftOutCount += failures.length;
    const room = mostLeftOut - this.leftOut.length;
    this.leftOut = [
      ...this.leftOut,
      ...failures.slice(0, room).map(({ name, failure }) => this.#describe(name, failure)),
    ];
  }

  #describe(name: Uint8Array | undefined, failure: string): LeftOut {
    const folder = this.relativeBytes;
    const path = name === undefined ? folder : folder.length === 0 ? Buffer.from(name) : joinPath(folder, name);
    return { ...encodeText("path", path), reason: reasons[failure] ?? `it can't be read (${failure})` };
  }

  forgetLeftOut(): void {
    this.leftOut = [];
    this.leftOutCount = 0;
  }
}

/** As many as a manifest names (docs/format.md section 9). */
export const mostLeftOut = 1000;

const reasons: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "permission denied",
  EIO: "the medium has an error there",
  ENAMETOOLONG: "its path is too long",
};
