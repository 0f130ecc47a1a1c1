import { defineConfig } from "vitest/config";

/**
 * Two suites. Unit tests are fast and touch nothing outside a temporary folder; end-to-end tests start the real
 * programs, so they get minutes instead of seconds.
 */

// Node's notices about features that it still calls experimental would end up in the output that tests compare.
const execArgv = ["--disable-warning=ExperimentalWarning"];

export default defineConfig({
  test: {
    // Processes, not threads: code under test changes its umask, opens worker threads and raises signals.
    pool: "forks",
    execArgv,
    maxWorkers: 2,
    reporters: ["default", "./scripts/closing-line.ts"],
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/e2e/**"],
          testTimeout: 20_000,
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 300_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
