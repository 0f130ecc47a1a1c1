/** Files to be read by a thread: large ones, those of large folders, and those that have several names. */
import type { Task } from "../../repository/threads/executor.ts";
import { type MadeNode, NodeOutbox } from "./node-outbox.ts";
import { type ReadFile, readFiles } from "./read-files.ts";

export interface ReadInput {
  /** The device of the source's own folder. */
  readonly device: bigint;
  readonly paths: readonly Uint8Array[];
}

export interface ReadOutput {
  /** For each path the file, or the errno's name. */
  readonly results: readonly (ReadFile | string)[];
  readonly nodes: readonly MadeNode[];
}

export const readFilesTask: Task<ReadInput, ReadOutput> = {
  name: "read-files",
  async run(context, { paths, device }) {
    const outbox = new NodeOutbox(context);
    const results: (ReadFile | string)[] = [];
    for await (const file of readFiles(context, outbox, device, paths)) results.push(file);
    return { results, nodes: outbox.nodes };
  },
};
