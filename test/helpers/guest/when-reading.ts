import { type ExecutorFactory, inlineExecutor } from "../../../src/repository/threads/executor.ts";

/** A test's hold on a guest while its capture has the instant: disks are read only after `meanwhile` is done. */
export function whenReading(meanwhile: () => Promise<unknown>): ExecutorFactory {
  let done: Promise<unknown> | undefined;
  return (options) => {
    const inner = inlineExecutor(options);
    return {
      ...inner,
      run: async (task, input, advance) => {
        if (task.name === "capture-disk-region") await (done ??= meanwhile());
        return await inner.run(task, input, advance);
      },
    };
  };
}
