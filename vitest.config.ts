import { join } from "node:path";
import { defineConfig } from "vitest/config";

/**
 * Two suites. Unit tests are fast and touch nothing outside a temporary folder; end-to-end tests start the real
 * programs, so they get minutes instead of seconds.
 */

// Node's notices about features that it still calls experimental would end up in the output that tests compare.
const execArgv = ["--disable-warning=ExperimentalWarning"];

// The threads and programs that tests start read the sources too: with what Node has kept of them, types stripped and compiled,
// a thread takes half the time to start. Emptied with every `npm ci`.
process.env["NODE_COMPILE_CACHE"] ??= join(import.meta.dirname, "node_modules/.cache/compiled");

export default defineConfig({
  test: {
    // Processes, not threads: code under test changes its umask, opens worker threads and raises signals.
    pool: "forks",
    execArgv,
    maxWorkers: 2,
    // What a test waits for comes, but within a second, Vitest's own limit, only on a quiet machine.
    expect: { poll: { timeout: 150_000 } },
    reporters: ["default", "./scripts/running-tests.ts", "./scripts/closing-line.ts"],
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/e2e/**"],
          setupFiles: ["test/helpers/compare-bytes.ts"],
          // For a test that hangs; a busy machine takes ten times what a quiet one does, and one that stands still at times, more.
          testTimeout: 180_000,
          hookTimeout: 180_000,
          // One process for many files, which spares each the start and the imports of its own. So no file may leave anything
          // behind in its process: nothing replaced that isn't put back, no umask, no folder, and no `vi.mock`, which
          // replaces for every file after it.
          isolate: false,
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
