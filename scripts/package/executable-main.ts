/** What the self-contained executable begins with: the command line, or the module that this process was forked to run. */

/** By the name that `forkModule` gives them (src/host/module-beside.ts). Threads have a bundle of their own. */
const modules: Readonly<Record<string, () => Promise<unknown>>> = {
  "executable:work-main": async () => await import("../../src/daemon/work-main.ts"),
  "executable:watchdog-main": async () => await import("../../src/capture/vm/watchdog-main.ts"),
};

const forked = process.channel === undefined ? undefined : modules[process.argv[2] ?? ""];
if (forked === undefined) {
  await import("../../src/cli/main.ts");
} else {
  // As in a process that was forked from a file: the module, then its arguments.
  process.argv.splice(1, 1);
  await forked();
}

// Else TypeScript takes this for a script.
export {};
