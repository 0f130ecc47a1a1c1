/** The other end of `WorkerExecutor`: runs in a worker thread. */
import { parentPort, workerData } from "node:worker_threads";
import { AskedStorage } from "./asked-storage.ts";
import { contextOfSeed, type ExecutorSeed, type OpenForThread, type Task } from "./executor.ts";
import { type FromWorker, type ToWorker, toPlainError } from "./worker-protocol.ts";

type Work = Exclude<ToWorker, { kind: "answer" }>;

/** Serves the given tasks, one at a time unless they may overlap, until the thread is ended. */
export function serveTasks(
  // biome-ignore lint/suspicious/noExplicitAny: inputs and outputs differ from task to task; the executor's types join them.
  tasks: readonly Task<never, unknown>[],
  openFolder: OpenForThread,
): void {
  const port = parentPort;
  if (port === null) throw new Error("serveTasks runs in a worker thread only");
  const post = (message: FromWorker): void => port.postMessage(message);
  const byName = new Map(tasks.map((task) => [task.name, task]));
  const seed = workerData as ExecutorSeed;
  const asked = new AskedStorage((call, request) => post({ kind: "call", call, request }));
  const storage = seed.folder === undefined ? asked : openFolder(seed.folder);
  const context = contextOfSeed(seed, storage, (pack) => post({ kind: "pack", pack }));
  let last: Promise<void> = Promise.resolve();
  port.on("message", (message: ToWorker) => {
    if (message.kind === "answer") asked.answered(message.call, message.answer);
    else if (message.kind === "run" && byName.get(message.task)?.overlaps === true) void answer(message);
    else last = last.then(async () => await answer(message));
  });

  async function answer(message: Work): Promise<void> {
    try {
      post({ kind: "done", id: message.id, output: await perform(message) });
    } catch (error) {
      post({ kind: "failed", id: message.id, error: toPlainError(error) });
    }
  }

  async function perform(message: Work): Promise<unknown> {
    if (message.kind === "flush") {
      await context.writer.flush();
      return { ...context.writer.statistics };
    }
    const task = byName.get(message.task);
    if (task === undefined) throw new Error(`no task ${message.task}`);
    const { id } = message;
    return await task.run(context, message.input as never, (bytes) => post({ kind: "advanced", id, bytes }));
  }
}
