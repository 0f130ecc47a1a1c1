/** The source kind `command`: what a dump program prints. */
import { streamCommand } from "../../host/process.ts";
import type { StreamPart } from "../../repository/points/manifest.ts";
import type { CaptureContext, Captured } from "../capture.ts";
import { storeStream } from "../stream/store-stream.ts";

export interface CommandSource {
  /** The program and its arguments; no shell. */
  readonly run: readonly string[];
  /** In ms, from its start to its end. */
  readonly timeout: number;
  /** Added to the environment that it is started with. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
}

/**
 * Captures standard output as the part `output`. The instant is when the program was started: a consistent dump shows the
 * data as of its beginning.
 *
 * Throws `command_failed` when the program can't be started, ends with a status other than 0 or by a signal, or takes too
 * long; `cancelled`, or a storage error.
 */
export async function captureCommand(context: CaptureContext, source: CommandSource): Promise<Captured> {
  const { session, clock, progress, signal } = context;
  const instant = clock.now();
  const output = streamCommand(source.run, { timeout: source.timeout, signal, env: source.environment });
  const tree = await storeStream(session, output, (done) => progress({ done, total: undefined }));
  const part: StreamPart = { name: "output", kind: "stream", ...tree };
  return {
    parts: [part],
    instant,
    consistency: "application",
    size: part.size,
    read: part.size,
    leftOut: [],
    leftOutCount: 0,
  };
}
