/** The program `stillpoint`: streams, signals and the exit status. What it does is in program.ts and the verbs. */
import { systemClock } from "../host/clock.ts";
import { endProcess } from "../host/end-process.ts";
import type { Cli } from "./cli.ts";
import { Output } from "./output.ts";
import { runProgram } from "./program.ts";

/** What a shell reports of a program that SIGINT ended: 128 and the signal's number. */
const interrupted = 130;

/** In ms: who is told again so soon is told the same again, as by `timeout`, which tells the program and then its whole group. */
const atOnce = 1000;

const stop = new AbortController();
let told: number | undefined;
process.on("SIGINT", end).on("SIGTERM", end);

function end(): void {
  // The second one is from someone who doesn't want to wait for a clean end.
  if (told !== undefined && systemClock.monotonic() - told > atOnce) endProcess(interrupted);
  stop.abort();
  told ??= systemClock.monotonic();
}

const cli: Cli = {
  output: new Output({ stdout: process.stdout, stderr: process.stderr, environment: process.env }),
  // Opened only by who reads it: looking at it is enough to take it away from the terminal.
  get input() {
    return process.stdin;
  },
  clock: systemClock,
  environment: process.env,
  signal: stop.signal,
  exit: 0,
};

const status = await runProgram(process.argv.slice(2), cli);
endProcess(status);
