/** How many threads work, and how they are started. */
import { availableParallelism } from "node:os";
import { moduleBeside } from "../host/module-beside.ts";
import type { ExecutorFactory } from "../repository/threads/executor.ts";
import { WorkerExecutor } from "../repository/threads/worker-executor.ts";

const entry = moduleBeside(import.meta.url, "worker");
/** More threads than this only take memory: the storage is the limit by then. */
const mostThreads = 8;

/** Work in threads, as many as there are processors. */
export const threadedExecutor: ExecutorFactory = (options) =>
  new WorkerExecutor(entry, Math.min(mostThreads, availableParallelism()), options);
