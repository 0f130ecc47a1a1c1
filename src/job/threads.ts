/** How many threads work, and how they are started. */
import { availableParallelism } from "node:os";
import type { ExecutorFactory } from "../repository/threads/executor.ts";
import { WorkerExecutor } from "../repository/threads/worker-executor.ts";

const entry = new URL(import.meta.url.endsWith(".ts") ? "worker.ts" : "worker.js", import.meta.url);
/** More threads than this only take memory: the storage is the limit by then. */
const mostThreads = 8;

/** Work in threads, as many as there are processors. */
export const threadedExecutor: ExecutorFactory = (options) =>
  new WorkerExecutor(entry, Math.min(mostThreads, availableParallelism()), options);
