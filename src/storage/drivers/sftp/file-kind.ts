/** Kinds of files, by the mode that POSIX gives them. */

import type { Attributes } from "./fields.ts";

const kindMask = 0o170000;
const folderKind = 0o040000;
const fileKind = 0o100000;

/** A server that gives no mode has it taken for a file's: nothing else is read or listed by it. */
export function kindOf({ mode }: Attributes): "file" | "folder" | "other" {
  if (mode === undefined || (mode & kindMask) === fileKind) return "file";
  return (mode & kindMask) === folderKind ? "folder" : "other";
}
