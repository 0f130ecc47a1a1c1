import type { Reporter, TestCase, TestModule } from "vitest/node";

/**
 * Says each minute (`after`, in ms) which tests have been at work for longer than that, and when the run is told to end (by
 * SIGTERM, as timeout(1) does it), which were at work then: so that a test that hangs is known by its name.
 */
export default class RunningTests implements Reporter {
  /** What each file is doing, by its id (one file may have several objects), and since when, in ms. */
  readonly #running = new Map<string, { readonly file: string; readonly what: string; readonly since: number }>();
  /** Vitest may tell of a file's last tests after it has told of the file's end. */
  readonly #ended = new Set<string>();
  readonly #after: number;
  #timer: NodeJS.Timeout | undefined;
  readonly #stop = (): never => {
    for (const line of this.#slowerThan(0)) process.stdout.write(`told to end; ${line}\n`);
    process.exit(143);
  };

  constructor({ after = 60_000 }: { readonly after?: number } = {}) {
    this.#after = after;
  }

  onTestRunStart(): void {
    this.#ended.clear();
    process.once("SIGTERM", this.#stop);
    this.#timer = setInterval(() => {
      for (const line of this.#slowerThan(this.#after)) process.stdout.write(`${line}\n`);
    }, this.#after).unref();
  }

  onTestModuleQueued(module: TestModule): void {
    this.#set(module);
  }

  onTestCaseReady(test: TestCase): void {
    this.#set(test.module, test.fullName);
  }

  onTestCaseResult({ module }: TestCase): void {
    this.#set(module);
  }

  onTestModuleEnd(module: TestModule): void {
    this.#ended.add(module.id);
    this.#running.delete(module.id);
  }

  onTestRunEnd(): void {
    clearInterval(this.#timer);
    process.off("SIGTERM", this.#stop);
  }

  /** Between tests a file is loaded, or its hooks are at work. */
  #set({ id, relativeModuleId: file }: TestModule, what = "outside of its tests"): void {
    if (!this.#ended.has(id)) this.#running.set(id, { file, what, since: performance.now() });
  }

  #slowerThan(limit: number): string[] {
    const now = performance.now();
    return [...this.#running.values()].flatMap(({ file, what, since }) => {
      const seconds = String(Math.round((now - since) / 1000));
      return now - since < limit ? [] : [`still running after ${seconds} s: ${file} > ${what}`];
    });
  }
}
