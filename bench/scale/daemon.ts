/** The daemon when nothing is to be done, and how soon it is ready. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { endOfOutput, memoryOf } from "../measure.ts";
import type { Results } from "../results.ts";
import { initialise, verb } from "./repository.ts";

/** Long enough for what the start has left over to be collected. */
const idleMs = 30_000;
const mostStartMs = 60_000;

export async function measureDaemon(folder: string, results: Results): Promise<void> {
  console.log("idle daemon");
  await initialise(folder, { sources: ["vm0", "vm1"], replica: true });
  const daemon = await startDaemon(folder);
  await sleep(idleMs);
  results.facts["idle daemon: memory"] = memoryOf(daemon.pid, "VmRSS") / 2 ** 20;
  await daemon.stop();
}

export interface StartedDaemon {
  readonly pid: number;
  /** From the start of the launcher until /readyz answered 200. */
  readonly seconds: number;
  stop(): Promise<void>;
}

const address = "http://127.0.0.1:9469";
export const metricsUrl = `${address}/metrics`;

/** Throws with what it printed when it ends instead, or isn't ready within a minute. `hear` gets each line of its log. */
export async function startDaemon(folder: string, hear?: (line: string) => void): Promise<StartedDaemon> {
  const started = performance.now();
  const { program, args } = verb(folder, "daemon");
  const child = spawn(program, [...args], { stdio: ["ignore", "pipe", "pipe"] });
  const output = endOfOutput(child);
  if (hear !== undefined) createInterface({ input: child.stdout }).on("line", hear);
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    await ended;
  };
  while (!(await isReady())) {
    if (child.pid === undefined || child.exitCode !== null || performance.now() - started > mostStartMs) {
      await stop();
      throw new Error(`the daemon isn't ready:\n${output()}`);
    }
    await sleep(10);
  }
  return { pid: child.pid ?? 0, seconds: (performance.now() - started) / 1000, stop };
}

async function isReady(): Promise<boolean> {
  try {
    return (await fetch(`${address}/readyz`)).ok;
  } catch {
    return false;
  }
}
