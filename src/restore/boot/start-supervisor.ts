/** Starts the process behind a booted machine, and waits for what it has to say. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs/promises";
import { createInterface } from "node:readline";
import * as z from "zod";
import { StillpointError } from "../../errors.ts";
import { cancelled } from "../../host/cancel.ts";
import { fromPlainError, type PlainError } from "../../repository/threads/worker-protocol.ts";
import { makeBootFolder, pathsOf, writeRecord } from "./boot-folder.ts";
import { clearDeadBoots } from "./boots.ts";
import type { OnProgress } from "./saved-state.ts";
import { newRecord, type StartedBoot } from "./supervise.ts";

/** What a supervisor prints, each in a line: how far it is any number of times, and one of the others last. */
export type SupervisorWords = { readonly progress: Brought } | LastWords;
type LastWords = { readonly ready: StartedBoot } | { readonly error: PlainError };

/** Bytes of memory. */
interface Brought {
  readonly done: number;
  readonly total: number;
}

export interface StartOptions {
  /** Where the folders of boots are. */
  readonly base: string;
  readonly keep: boolean;
  readonly stay: boolean;
  readonly started: Date;
  /** The command line of a supervisor for that folder, the program first. */
  readonly command: (folder: string) => readonly string[];
  readonly onProgress: OnProgress;
  readonly signal?: AbortSignal | undefined;
}

const words = z.union([
  z.object({ progress: z.object({ done: z.number(), total: z.number() }) }),
  z.object({ ready: z.custom<StartedBoot>((value) => typeof value === "object") }),
  z.object({ error: z.custom<PlainError>((value) => typeof value === "object") }),
]);

/** Throws what the supervisor throws, `boot_failed` when it dies without a word, `target_failed`, or `cancelled`. */
export async function startSupervisor(options: StartOptions): Promise<StartedBoot> {
  const { base, command, onProgress, signal } = options;
  await clearDeadBoots(base);
  const folder = await makeBootFolder(base);
  const paths = pathsOf(folder);
  await writeRecord(paths, await newRecord(paths, options));
  const [program = "", ...args] = command(folder);
  await using log = await fs.open(paths.log, "a", 0o600);
  // In a session of its own: neither the terminal's end nor its Ctrl-C is for the machine.
  const child = spawn(program, args, { detached: true, stdio: ["ignore", "pipe", log.fd] });
  const stop = (): void => void child.kill("SIGTERM");
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted === true) stop();
  try {
    const said = await lastWordsOf(child, onProgress);
    if (said !== undefined && "ready" in said) {
      child.unref();
      return said.ready;
    }
    if (signal?.aborted === true) throw cancelled();
    if (said !== undefined) throw fromPlainError(said.error);
    throw new StillpointError("boot_failed", {
      what: `The process for the machine ended without a word, saying: ${(await fs.readFile(paths.log, "utf8")).slice(-500).trim() || "nothing"}`,
      safe: "Recovery points are untouched.",
    });
  } catch (error) {
    await fs.rm(folder, { recursive: true, force: true });
    throw error;
  } finally {
    signal?.removeEventListener("abort", stop);
    child.stdout?.destroy();
  }
}

/** Undefined when it ended before it had said anything. */
async function lastWordsOf(child: ChildProcess, onProgress: OnProgress): Promise<LastWords | undefined> {
  const failed = once(child, "error").then(([error]) => Promise.reject(error as Error));
  const read = async (): Promise<LastWords | undefined> => {
    if (child.stdout === null) return undefined;
    for await (const line of createInterface({ input: child.stdout })) {
      const said = words.parse(JSON.parse(line));
      if (!("progress" in said)) return said;
      onProgress(said.progress.done, said.progress.total);
    }
    return undefined;
  };
  const said = await Promise.race([read(), failed]);
  // An error comes when all is cleared away; the process is about to end, or has.
  if (said !== undefined && "error" in said && child.exitCode === null && child.signalCode === null)
    await once(child, "exit");
  return said;
}
