import type { Reporter, SerializedError, TestModule } from "vitest/node";

/**
 * Prints one plain line when all tests have run, for whoever reads the output by machine:
 * `12 passed, 0 failed, 3 skipped`. Whatever else makes a run fail (a file that can't be loaded, a failed hook, an error
 * outside of any test) counts as failed too, so the line never says "0 failed" of a run that failed.
 */
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const tests = { pending: 0, passed: 0, failed: 0, skipped: 0 };
    let brokenGroups = 0;
    for (const module of modules) {
      for (const test of module.children.allTests()) tests[test.result().state] += 1;
      for (const group of [module, ...module.children.allSuites()]) if (group.errors().length > 0) brokenGroups += 1;
    }
    const failed = tests.failed + tests.pending + brokenGroups + unhandledErrors.length;
    const skipped = tests.skipped > 0 ? `, ${tests.skipped} skipped` : "";
    process.stdout.write(`${tests.passed} passed, ${failed} failed${skipped}\n`);
  }
}
