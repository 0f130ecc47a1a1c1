/** A program that is talked to through its standard input and output, for as long as both sides like. */

import type { Readable, Writable } from "node:stream";
import { execa } from "execa";
import { systemClock } from "./clock.ts";
import { howItEnded, keepEnd, lastLines } from "./process.ts";
import { withoutSecrets } from "./secrets.ts";

export interface ProgramPipe {
  readonly input: Writable;
  /** Must be read from the moment that the pipe was opened, or what comes is dropped. */
  readonly output: Readable;
  /** How it ended, whatever the reason. Never rejects. */
  readonly ended: Promise<ProgramEnd>;
  /** Closes its input, which tells it to end, and makes it end when it doesn't. Harmless when it has ended. */
  close(): void;
  /** Ends it at once, with what it has started. */
  kill(): void;
}

export interface ProgramEnd {
  /** Undefined when a signal ended it, or it never started. */
  readonly status: number | undefined;
  /** `it ended with exit status 255`, or `there is no such program`. */
  readonly how: string;
  /** The last lines of its standard error, on one line; may be empty. */
  readonly words: string;
}

/** In ms: how long a program may take to end after its input was closed. */
const farewell = 2000;

/**
 * Starts a program (the first of `argv`; the others are its arguments) in a session of its own: it has no terminal to ask
 * questions at, and a Ctrl-C that is meant for this process doesn't reach it. Its input is closed when this process ends.
 *
 * @param env added to this process's environment; undefined removes a variable
 */
export function openProgramPipe(
  argv: readonly [string, ...string[]],
  env: Readonly<Record<string, string | undefined>> = {},
): ProgramPipe {
  const [program, ...args] = argv;
  const subprocess = execa(program, args, {
    reject: false,
    buffer: false,
    encoding: "buffer",
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    killDescendants: true,
    forceKillAfterDelay: farewell,
    env,
  });
  const { stdin, stdout, stderr } = subprocess;
  const words = keepEnd(stderr);
  const over = new AbortController();
  // Writing to a program that has ended is no news: `ended` tells.
  stdin.on("error", () => undefined);
  const finish = async (): Promise<ProgramEnd> => {
    const ended = await subprocess;
    over.abort();
    return {
      status: ended.exitCode,
      how: howItEnded(ended, { timeout: 0 }),
      words: lastLines(withoutSecrets(words(), { ...process.env, ...env })),
    };
  };
  return {
    input: stdin,
    output: stdout,
    ended: finish(),
    close: () => {
      stdin.end();
      systemClock.sleep(farewell, over.signal).then(
        () => subprocess.kill(),
        () => undefined,
      );
    },
    kill: () => void subprocess.kill("SIGKILL"),
  };
}
