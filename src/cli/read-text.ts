/** Small text files that the administrator names on the command line. */
import { type ErrorCode, StillpointError } from "../errors.ts";
import { reasonOf } from "../host/errno-words.ts";
import { errnoOf } from "../host/files.ts";
import { nodeFiles } from "../host/node-files.ts";

export interface ReadTextOptions {
  /** What the file is: "the configuration". */
  readonly what: string;
  readonly code: ErrorCode;
  readonly next?: string | undefined;
}

/** The text of a file. Throws a StillpointError of the given code. */
export async function readText(file: string, { what, code, next }: ReadTextOptions): Promise<string> {
  try {
    return (await nodeFiles.read(file)).toString();
  } catch (error) {
    const denied = errnoOf(error) === "EACCES";
    const advice = denied ? "Run it with the rights to read that file, such as by sudo." : next;
    throw new StillpointError(code, {
      what: `Cannot read ${what} in ${file}: ${reasonOf(error)}`,
      safe: "Nothing was changed.",
      ...(advice !== undefined && { next: advice }),
      cause: error,
    });
  }
}
