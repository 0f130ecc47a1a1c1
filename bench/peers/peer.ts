import type { Command } from "../measure.ts";

/** What is backed up: one image file, or one folder. */
export interface Source {
  readonly name: "image" | "tree";
  readonly path: string;
}

/** A program to be measured, with a repository of its own. Each function says what to run; none runs anything. */
export interface Peer {
  readonly name: string;
  /** Prints the version. */
  readonly version: Command;
  /** Makes the empty repository, below a folder that is there and empty. */
  create(folder: string, sources: readonly Source[]): readonly Command[];
  backup(folder: string, source: Source): Command;
  /** Restores the newest backup of the source below `target`, an empty folder. */
  restore(folder: string, source: Source, target: string): Command;
  /** Where in `target` the restored source is then. */
  restored(source: Source, target: string): string;
  /** Reads and verifies everything that is stored. */
  check(folder: string): Command;
}
