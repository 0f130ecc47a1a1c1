/**
 * Starting the modules of Stillpoint that run in a thread or a process of their own. In a checkout and in a build each is a file
 * beside the module that starts it; the self-contained executable (scripts/package/) has no files, and carries them within itself.
 */
import { type ChildProcess, fork, type ForkOptions } from "node:child_process";
import { getAsset, isSea } from "node:sea";
import { Worker, type WorkerOptions } from "node:worker_threads";

/** The module `name` in the folder of the one whose `import.meta.url` is given, or of that name in the executable. */
export function moduleBeside(here: string, name: string): URL {
  if (isSea()) return new URL(`executable:${name}`);
  return new URL(`${name}${here.endsWith(".ts") ? ".ts" : ".js"}`, here);
}

/** Runs a module in a thread. */
export function startThread(module: URL, options: WorkerOptions): Worker {
  if (!isWithin(module)) return new Worker(module, options);
  return new Worker(getAsset(module.pathname, "utf8"), { ...options, eval: true });
}

/** Runs a module in a process, to which it has a channel. In its `process.argv` the arguments begin at 2. */
export function forkModule(module: URL, args: readonly string[], options: ForkOptions): ChildProcess {
  if (!isWithin(module)) return fork(module, args, options);
  // The executable takes every argument for one of ours: those for Node go by the environment.
  const { execArgv = [], env = process.env, ...others } = options;
  const nodeOptions = execArgv.length === 0 ? {} : { NODE_OPTIONS: execArgv.join(" ") };
  return fork(module.href, args, { ...others, env: { ...env, ...nodeOptions }, execArgv: [] });
}

/** The command line that runs the module `main` again, as this process was started; its arguments are to follow. */
export function commandOf(main: URL): string[] {
  return isWithin(main) ? [process.execPath] : [process.execPath, ...process.execArgv, main.pathname];
}

function isWithin(module: URL): boolean {
  return module.protocol === "executable:";
}
