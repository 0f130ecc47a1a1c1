import { type ChildProcessByStdio, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Readable } from "node:stream";

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** The working directory. */
  readonly cwd?: string | undefined;
}

/** What a command took, start of the program included. */
export interface Cost {
  /** By the wall clock. */
  readonly seconds: number;
  /** Of all processors, in user and kernel mode. */
  readonly cpuSeconds: number;
  /** The peak of resident memory, summed over the processes that ran at the same time. */
  readonly peakBytes: number;
}

/** Often enough to miss no peak that lasts, since the kernel keeps the peak of each process until it ends. */
const pollMs = 20;
/** Linux counts processor time in hundredths of a second (USER_HZ). */
const ticksPerSecond = 100;

/**
 * Runs a command to its end. Throws with the end of what it printed when it fails; else that is given to `heard`.
 */
export async function measure(command: Command, heard?: (printed: string) => void): Promise<Cost> {
  const started = performance.now();
  const child = spawn(command.program, [...command.args], {
    cwd: command.cwd,
    env: { ...process.env, ...command.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = endOfOutput(child);
  let peakBytes = 0;
  let cpuSeconds = 0;
  const poll = (): void => {
    if (child.pid === undefined) return;
    peakBytes = Math.max(peakBytes, sumOf(treeOf(child.pid).map(peakOf)));
    cpuSeconds = Math.max(cpuSeconds, processorTimeOf(child.pid));
  };
  const timer = setInterval(poll, pollMs);
  try {
    const status = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    const seconds = (performance.now() - started) / 1000;
    if (status !== 0) throw new Error(`${describe(command)} ended with ${String(status)}:\n${output()}`);
    heard?.(output());
    return { seconds, cpuSeconds, peakBytes };
  } finally {
    clearInterval(timer);
  }
}

/** Takes in what a program prints, so that it never waits; gives the end of it, for messages. */
export function endOfOutput(child: ChildProcessByStdio<null, Readable, Readable>): () => string {
  let output = "";
  const take = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-4000);
  };
  child.stdout.on("data", take);
  child.stderr.on("data", take);
  return () => output;
}

/** Runs a command whose cost doesn't matter. Returns what it printed. */
export async function run(command: Command): Promise<string> {
  return await new Promise((resolve, reject) => {
    const child = spawn(command.program, [...command.args], {
      cwd: command.cwd,
      env: { ...process.env, ...command.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const printed: Buffer[] = [];
    const errors: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => printed.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
    child.once("error", reject);
    child.once("close", (status) => {
      if (status === 0) resolve(Buffer.concat(printed).toString());
      else reject(new Error(`${describe(command)} ended with ${String(status)}:\n${Buffer.concat(errors).toString()}`));
    });
  });
}

function describe({ program, args }: Command): string {
  return [program, ...args].join(" ");
}

/** A process and its descendants, by what /proc says of them now. */
export function treeOf(pid: number): number[] {
  const children = read(`/proc/${String(pid)}/task/${String(pid)}/children`);
  return [pid, ...children.split(" ").filter(Boolean).map(Number).flatMap(treeOf)];
}

/** The peak of a process's resident memory so far, in bytes; 0 when it has ended. */
export function peakOf(pid: number): number {
  return memoryOf(pid, "VmHWM");
}

/** A line of /proc/PID/status, in bytes; 0 when the process has ended. */
export function memoryOf(pid: number, line: "VmHWM" | "VmRSS"): number {
  const kibibytes = new RegExp(`^${line}:\\s+(\\d+) kB$`, "m").exec(read(`/proc/${String(pid)}/status`))?.[1];
  return Number(kibibytes ?? 0) * 1024;
}

/** Of a process and the children that it has waited for, in seconds. */
function processorTimeOf(pid: number): number {
  const stat = read(`/proc/${String(pid)}/stat`);
  // The name in parentheses may hold anything; the fields behind it are numbers (proc_pid_stat(5), 14 to 17).
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return sumOf(fields.slice(11, 15).map(Number)) / ticksPerSecond;
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, one) => sum + one, 0);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // It has ended.
  }
}
