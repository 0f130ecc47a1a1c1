/** The command line in this process, with streams that a test can read. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { onTestFinished } from "vitest";
import type { Cli } from "../../src/cli/cli.ts";
import { Output } from "../../src/cli/output.ts";
import { runProgram } from "../../src/cli/program.ts";
import { systemClock } from "../../src/host/clock.ts";

export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface HarnessOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** As if standard output were a terminal of that many columns. */
  readonly columns?: number;
}

export async function stillpoint(args: readonly string[], options: HarnessOptions = {}): Promise<Ended> {
  const { environment = {}, signal = new AbortController().signal, columns } = options;
  const stdout = new Collected(columns);
  const stderr = new Collected(columns);
  const output = new Output({ stdout, stderr, environment });
  const cli: Cli = { output, input: new PassThrough(), clock: systemClock, environment, signal, exit: 0 };
  const status = await runProgram(args, cli);
  return { status, stdout: stdout.text, stderr: stderr.text };
}

class Collected extends Writable {
  text = "";
  readonly isTTY: boolean;
  readonly columns: number;

  constructor(columns: number | undefined) {
    super();
    this.isTTY = columns !== undefined;
    this.columns = columns ?? 80;
  }

  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/** A folder with a configuration (`stillpoint.yaml`), its key and its repository; removed when the test is over. */
export async function initialised(): Promise<{ folder: string; config: string }> {
  const folder = temporaryFolder();
  const config = join(folder, "stillpoint.yaml");
  await stillpoint(["init", "--config", config, "--repository", join(folder, "repository")]);
  return { folder, config };
}

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "stillpoint-cli-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
