/** The content of files, many requests at once. */

import { throwIfCancelled } from "../../../host/cancel.ts";
import type { Handle, SftpClient } from "./client.ts";
import { inLanes } from "./in-lanes.ts";

/**
 * Of one transfer. With the longest requests that is 32 MiB, more than OpenSSH's own window for a connection, so the line is never
 * idle while there is something to move.
 */
const requestsAtOnce = 128;

/** Writes the pieces, one after the other, from the file's beginning. */
export async function writeFile(
  client: SftpClient,
  file: Handle,
  pieces: readonly Uint8Array[],
  signal: AbortSignal | undefined,
): Promise<void> {
  await inLanes(portions(pieces, client.longestWrite), requestsAtOnce, async ({ offset, pieces: views }) => {
    throwIfCancelled(signal);
    await client.write(file, offset, views);
  });
}

interface Portion {
  readonly offset: number;
  readonly pieces: readonly Uint8Array[];
}

/** Views of the pieces, together at most `longest` bytes each time. */
export function* portions(pieces: readonly Uint8Array[], longest: number): Generator<Portion, void, void> {
  let offset = 0;
  let collected: Uint8Array[] = [];
  let size = 0;
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      const view = piece.subarray(at, at + longest - size);
      collected.push(view);
      size += view.length;
      at += view.length;
      if (size < longest) continue;
      yield { offset, pieces: collected };
      offset += size;
      collected = [];
      size = 0;
    }
  }
  if (size > 0) yield { offset, pieces: collected };
}

/** Fills `into` with what the file has from `offset` on. Returns how far: less when the file ends before. */
export async function readFile(
  client: SftpClient,
  file: Handle,
  { offset, into }: { readonly offset: number; readonly into: Buffer },
  signal: AbortSignal | undefined,
): Promise<number> {
  let end = into.length;
  await inLanes(steps(into.length, client.longestRead), requestsAtOnce, async (from) => {
    const stop = Math.min(from + client.longestRead, into.length);
    for (let at = from; at < stop; ) {
      throwIfCancelled(signal);
      const got = await client.read(file, offset + at, into.subarray(at, stop));
      if (got === 0) {
        end = Math.min(end, at);
        return;
      }
      at += got;
    }
  });
  return end;
}

function* steps(length: number, step: number): Generator<number, void, void> {
  for (let at = 0; at < length; at += step) yield at;
}
