import type { GetObjectCommandOutput } from "@aws-sdk/client-s3";
import { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { StillpointError } from "../../../errors.ts";
import { release } from "../../../host/release.ts";

/** The pieces as one; copied only where there are several. */
export function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const [only] = pieces;
  return only !== undefined && pieces.length === 1 ? only : Buffer.concat(pieces);
}

/** Cuts pieces into parts of `size` bytes, the last one shorter, one at a time: only what was asked for is copied. */
export function* partsOf(pieces: readonly Uint8Array[], size: number): Generator<Uint8Array> {
  let part: Uint8Array[] = [];
  let room = size;
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      const cut = piece.subarray(at, at + room);
      part.push(cut);
      at += cut.length;
      room -= cut.length;
      if (room > 0) continue;
      yield joined(part);
      part = [];
      room = size;
    }
  }
  if (part.length > 0) yield joined(part);
}

export interface ReadBodyOptions {
  readonly signal?: AbortSignal | undefined;
  /** Where it goes; by default into memory of its own. */
  readonly into?: Buffer | undefined;
  /** Called for each piece of it. */
  readonly moved?: (() => void) | undefined;
}

/**
 * The whole body of an answer.
 *
 * @throws StillpointError `storage_failed`, retryable, when it is longer or shorter than the store said
 */
export async function readBody(
  { Body: body, ContentLength: length }: GetObjectCommandOutput,
  { signal, into, moved }: ReadBodyOptions = {},
): Promise<Buffer> {
  if (!(body instanceof Readable) || length === undefined) throw broken("has no body, or doesn't say how long it is");
  const stop = (): void => void body.destroy();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    if (signal?.aborted === true) stop();
    const data = into ?? Buffer.allocUnsafeSlow(length);
    let at = 0;
    body.on("data", (chunk: Buffer) => {
      if (at + chunk.length > length) body.destroy(broken("is longer than the store said"));
      else at += chunk.copy(data, at);
      moved?.();
      release(chunk);
    });
    await finished(body);
    if (at < length) throw broken(`ended after ${at} of ${length} bytes`);
    return data;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/** HEAD gives whole seconds, listings of some stores parts of them: one object has one time. In ms since the epoch. */
export function wholeSeconds(time: Date): number {
  return Math.floor(time.getTime() / 1000) * 1000;
}

function broken(how: string): StillpointError {
  return new StillpointError("storage_failed", {
    what: `Cannot read from the store: its answer ${how}`,
    safe: "Nothing was changed.",
    next: "Look for what breaks connections between here and the store.",
  });
}
