/** Small text files that the administrator names on the command line. */
import { type ErrorCode, StillpointError } from "../errors.ts";
import { errnoWords } from "../host/errno-words.ts";
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
    const reason = errnoWords[errnoOf(error) ?? ""] ?? (error instanceof Error ? error.message : String(error));
    throw new StillpointError(code, {
      what: `Cannot read ${what} in ${file}: ${reason}`,
      safe: "Nothing was changed.",
      ...(next !== undefined && { next }),
      cause: error,
    });
  }
}
