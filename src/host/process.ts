/** Other programs: run without a shell, with a time limit, and never left behind. */

import type { Readable } from "node:stream";
import type { execa } from "execa";
import { StillpointError } from "../errors.ts";
import { cancelled, throwIfCancelled } from "./cancel.ts";
import { withoutSecrets } from "./secrets.ts";

export interface CommandOptions {
  /** In ms, from the start to the end of the program. */
  readonly timeout: number;
  readonly signal?: AbortSignal | undefined;
  /** Added to this process's own environment; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly cwd?: string | undefined;
  /** Standard input; empty by default. */
  readonly input?: string | Uint8Array | undefined;
  /** The number of an open file as standard input, instead of `input`. */
  readonly inputFile?: number | undefined;
  /** In ms, between asking the program to end (SIGTERM) and making it (SIGKILL). By default 5000. */
  readonly grace?: number | undefined;
}

export interface RunOptions extends CommandOptions {
  /** In bytes of standard output; a program that prints more is ended and has failed. By default 16 MiB. */
  readonly maxOutput?: number | undefined;
}

export interface RunResult {
  readonly stdout: Buffer;
  /** The end of it, at most 16 KiB. */
  readonly stderr: string;
}

/**
 * Runs a program (the first of `argv`; the others are its arguments) to its end.
 *
 * When time is up or the signal aborts, the program is ended together with all others in its process group.
 *
 * @throws StillpointError `command_failed` when it can't be started, ends with a status other than 0 or by a signal, takes
 * too long or prints too much; `cancelled`. The message names the program and quotes the end of its standard error, never
 * its arguments or environment.
 */
export async function run(argv: readonly string[], options: RunOptions): Promise<RunResult> {
  const { maxOutput = 16 * 1024 * 1024, ...commandOptions } = options;
  const chunks: Buffer[] = [];
  let size = 0;
  const output = streamCommand(argv, commandOptions);
  try {
    for (;;) {
      const step = await output.next();
      if (step.done) return { stdout: Buffer.concat(chunks), stderr: step.value };
      size += step.value.length;
      if (size > maxOutput) throw failure(argv, `it printed more than ${maxOutput} bytes`);
      chunks.push(step.value);
    }
  } finally {
    await output.return("");
  }
}

/**
 * The standard output of a program, chunk by chunk, as fast as the consumer takes it. The program starts when the first
 * chunk is asked for, and is ended when the consumer stops early. Returns the end of its standard error.
 *
 * The output is complete and good only if the iteration ends without an error: success is known last.
 *
 * @throws StillpointError as `run` does
 */
export async function* streamCommand(
  argv: readonly string[],
  options: CommandOptions,
): AsyncGenerator<Buffer, string, void> {
  // With the first program: its 140 modules take longer to load than most of what runs none.
  const library = await import("execa");
  throwIfCancelled(options.signal);
  const subprocess = start(library.execa, argv, options);
  const stderr = keepEnd(subprocess.stderr);
  let complete = false;
  try {
    // Nothing may wait between the start and the first read: execa discards what nobody has begun to read.
    for await (const chunk of subprocess.stdout) yield chunk as Buffer;
    complete = true;
  } finally {
    if (!complete) subprocess.kill();
    const { timedOut, isCanceled } = await subprocess;
    // A descendant that ignores SIGTERM and has closed its output would outlive a program that we ended.
    if (!complete || timedOut || isCanceled) subprocess.kill("SIGKILL");
  }
  const ended: Ended = await subprocess;
  requireSuccess(argv, options, ended, stderr());
  return stderr();
}

/** What execa says about a program that has ended, as far as it matters here. */
export interface Ended {
  readonly failed: boolean;
  readonly isCanceled: boolean;
  readonly timedOut: boolean;
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  /** The errno's name, when it could not be started. */
  readonly code?: string | undefined;
}

/** Node's timers overflow beyond this. */
const longestTimer = 2 ** 31 - 1;

function start(runner: typeof execa, argv: readonly string[], options: CommandOptions) {
  const [program, ...args] = argv;
  if (program === undefined) throw new StillpointError("internal", { what: "Cannot run a command without a name" });
  try {
    return runner(program, args, {
      reject: false,
      buffer: false,
      encoding: "buffer",
      stdout: "pipe",
      stderr: "pipe",
      killDescendants: true,
      forceKillAfterDelay: options.grace ?? 5000,
      timeout: Math.max(1, Math.min(Math.ceil(options.timeout), longestTimer)),
      ...(options.signal && { cancelSignal: options.signal }),
      ...(options.env && { env: options.env }),
      ...(options.cwd !== undefined && { cwd: options.cwd }),
      // Any number will do; the types of execa name the first ones only.
      ...(options.inputFile === undefined ? { input: options.input ?? "" } : { stdin: options.inputFile as 3 }),
    });
  } catch {
    // execa refuses arguments with null bytes before it starts anything; its own message would quote them.
    throw failure(argv, "its arguments or options aren't valid");
  }
}

const keptOfStderr = 16 * 1024;

/** Reads a stream to its end, however long, and keeps the last of it. */
export function keepEnd(stream: Readable): () => string {
  let end = Buffer.alloc(0);
  stream.on("data", (chunk: Buffer) => {
    end = Buffer.concat([end, chunk]).subarray(-keptOfStderr);
  });
  return () => end.toString("utf8");
}

function requireSuccess(argv: readonly string[], options: CommandOptions, ended: Ended, stderr: string): void {
  if (!ended.failed) return;
  if (ended.isCanceled) throw cancelled();
  const words = lastLines(withoutSecrets(stderr, { ...process.env, ...options.env }));
  throw failure(argv, howItEnded(ended, options), words);
}

/** For messages. */
export function howItEnded(ended: Ended, options: Pick<CommandOptions, "timeout">): string {
  if (ended.timedOut) return `it took longer than ${options.timeout / 1000} s`;
  if (ended.exitCode !== undefined) return `it ended with exit status ${ended.exitCode}`;
  if (ended.signal !== undefined) return `it was ended by ${ended.signal}`;
  if (ended.code === "ENOENT") return "there is no such program, or no such working folder";
  return `it could not be started (${ended.code ?? "for an unknown reason"})`;
}

/** The last few lines of a message, on one line. */
export function lastLines(text: string): string {
  const lines = text.split("\n").map((line) => line.trim());
  return lines.filter(Boolean).slice(-5).join(" / ").slice(-1000).replace(/\.$/, "");
}

function failure(argv: readonly string[], how: string, words = ""): StillpointError {
  return new StillpointError("command_failed", {
    what: `Cannot run ${argv[0] ?? "a command"}: ${how}${words && `, saying: ${words}`}`,
    next: "Run it by hand, as the same user, to see what it needs.",
  });
}
