import { readFileSync } from "node:fs";

/** Whether a process is running. One that has ended, and that nobody has taken note of yet, isn't. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s*[ZX]/m.test(readFileSync(`/proc/${String(pid)}/status`, "utf8"));
  } catch {
    return false;
  }
}
