import { describeError } from "../../errors.ts";
import type { NbdExport } from "../../nbd/export.ts";
import { allocation } from "../../nbd/protocol.ts";
import type { ImageSource } from "./image-source.ts";

export interface ExportOptions {
  readonly name: string;
  readonly description: string;
  /** Told of each failure that a client is told of, except that it was cancelled. */
  readonly onFailure?: ((message: string) => void) | undefined;
}

/** An image as a server of NBD offers it. */
export function exportImage(source: ImageSource, { name, description, onFailure }: ExportOptions): NbdExport {
  const reported = async <T>(work: Promise<T>, signal: AbortSignal): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      if (!signal.aborted) onFailure?.(`${name}: ${describeError(error)}`);
      throw error;
    }
  };
  return {
    name,
    description,
    size: source.size,
    read: async (offset, length, signal) => await reported(source.read(offset, length, signal), signal),
    extents: async (offset, length, signal) => {
      const runs = await reported(source.runs(offset, length, signal), signal);
      return runs.map((run) => ({ length: run.length, flags: run.hole ? allocation.hole | allocation.zero : 0 }));
    },
  };
}
