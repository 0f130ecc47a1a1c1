/** Files to be read by a thread: large ones, those of large folders, and those that have several names. */
import type { Task } from "../../repository/threads/executor.ts";
import type { MadeNode } from "./node-outbox.ts";
import { type ReadFile, readFiles, readTools } from "./read-files.ts";

export interface ReadInput {
  /** The device of the source's own folder. */
  readonly device: bigint;
  /** A large file comes alone: what the task has done is how far that is. */
  readonly paths: readonly Uint8Array[];
}

export interface ReadOutput {
  /** For each path the file, or the errno's name. */
  readonly results: readonly (ReadFile | string)[];
  readonly nodes: readonly MadeNode[];
}

export const readFilesTask: Task<ReadInput, ReadOutput> = {
  name: "read-files",
  async run(context, { paths, device }, advance) {
    const tools = readTools(context, device, advance);
    const results: (ReadFile | string)[] = [];
    for await (const file of readFiles(tools, paths)) results.push(file);
    return { results, nodes: tools.outbox.nodes };
  },
};
