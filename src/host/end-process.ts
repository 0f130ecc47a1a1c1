import * as fs from "node:fs";
import { openLibc } from "./libc.ts";

/**
 * Ends this process, after the listeners for `exit`, also when a system call hangs on a dead mount: Node alone would wait for the thread
 * that made it.
 */
export function endProcess(status: number): never {
  process.once("exit", () => {
    if (readsFiles() || hasWorkers()) endNow(status);
  });
  process.exit(status);
}

/** Whether work with files is under way that this thread has begun. */
function readsFiles(): boolean {
  return process.getActiveResourcesInfo().some((name) => name.startsWith("FSReq"));
}

/** Whether there are threads of ours, which may have begun such work; by the name that Node gives them. */
function hasWorkers(): boolean {
  const tasks = "/proc/self/task";
  return fs.readdirSync(tasks).some((task) => nameOf(`${tasks}/${task}`).startsWith("WorkerThread"));
}

function nameOf(task: string): string {
  try {
    return fs.readFileSync(`${task}/comm`, "utf8");
  } catch {
    // It has just ended.
    return "";
  }
}

/** Leaves out what else Node does at its end, such as making its output blocking again. */
function endNow(status: number): void {
  try {
    openLibc({ _exit: { arguments: ["i32"], return: "void" } }, "end at once")._exit(status);
  } catch {
    // A Node that can't call it ends as it can.
  }
}
