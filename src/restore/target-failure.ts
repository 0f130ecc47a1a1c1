/** What the system says about the target of a restore, said plainly. */
import * as path from "node:path";
import { StillpointError } from "../errors.ts";
import { errnoWords } from "../host/errno-words.ts";
import { errnoOf } from "../host/files.ts";

const reasons: Readonly<Record<string, string>> = {
  ...errnoWords,
  ENOENT: "its parent folder doesn't exist",
  ENOTDIR: "its parent isn't a folder",
  ENAMETOOLONG: "the file system can't hold a name of that length",
  EILSEQ: "the file system can't hold that name",
};

/** An error of the system as `target_failed`; any other as it is. */
export function targetFailure(target: string, error: unknown): unknown {
  const errno = errnoOf(error);
  if (errno === undefined) return error;
  return new StillpointError("target_failed", {
    what: `Cannot restore to ${target}: ${reasons[errno] ?? `the system says ${errno}`}`,
    safe: "The recovery point is untouched.",
    next: `${remedyOf(errno, target)} and run the same restore again: what is already there is used.`,
    cause: error,
  });
}

/** A folder that isn't there may be one where a disk is to be mounted, so none is made. */
function remedyOf(errno: string, target: string): string {
  if (errno !== "ENOENT") return "Correct that";
  return `Mount its disk, or make it (\`mkdir -p '${path.dirname(target)}'\`),`;
}
