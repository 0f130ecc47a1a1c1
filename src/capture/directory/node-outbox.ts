/** Nodes of trees made in a thread, for the main thread to store: those of all threads then lie together, in few packs. */
import type { BlobAdder } from "../../repository/blobs/blob-writer.ts";
import type { BlobKind } from "../../repository/format.ts";
import type { TaskContext } from "../../repository/threads/executor.ts";

export interface MadeNode {
  readonly kind: BlobKind;
  readonly content: Uint8Array;
}

/** Takes what a writer of trees adds. */
export class NodeOutbox implements BlobAdder {
  /** In the order in which they were made; without those that the repository has. */
  readonly nodes: MadeNode[] = [];
  readonly #context: Pick<TaskContext, "keys" | "writer">;

  constructor(context: Pick<TaskContext, "keys" | "writer">) {
    this.#context = context;
  }

  add(kind: BlobKind, content: Uint8Array): Promise<Buffer> {
    const { keys, writer } = this.#context;
    const id = keys.blobId(kind, content);
    if (!writer.has(id)) this.nodes.push({ kind, content });
    return Promise.resolve(id);
  }
}

export async function storeNodes(writer: BlobAdder, nodes: readonly MadeNode[]): Promise<void> {
  for (const { kind, content } of nodes) await writer.add(kind, content);
}
