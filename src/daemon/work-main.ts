/** The work process: captures, replicates, prunes, sweeps and checks for the daemon, and ends with it. */
import { hostname } from "node:os";
import { systemClock } from "../host/clock.ts";
import { endProcess } from "../host/end-process.ts";
import { primaryName } from "../job/locations.ts";
import { OpenLocations } from "../job/open-locations.ts";
import { makeStages } from "../job/stages.ts";
import { threadedExecutor as executor } from "../job/threads.ts";
import type { Config } from "../policy/config.ts";
import { checkRepository } from "../repository/check/check.ts";
import { sweep } from "../repository/sweep/sweep.ts";
import { toPlainError } from "../repository/threads/worker-protocol.ts";
import { readHistory } from "./read-history.ts";
import { SharedObjects } from "./shared-objects.ts";
import type { FromWork, ToWork, WorkRequest } from "./work-protocol.ts";

/** Progress is told at most this often, in ms, for each work. */
const progressInterval = 200;

const [, , version = ""] = process.argv;
const clock = systemClock;
const underWay = new Map<number, AbortController>();
const jobs = new SharedObjects();
let current: Config | undefined;

const locations = new OpenLocations(config, clock);
const stages = makeStages({ config, locations, executor, clock, host: hostname(), version });

process.on("message", (message: ToWork) => {
  if (message.kind === "ping") send({ kind: "alive" });
  else if (message.kind === "abort") underWay.get(message.id)?.abort();
  else if (message.kind === "config") current = message.config;
  else void serve(message);
});
// Without the daemon nobody wants the work, and nobody would keep the next daemon's from being done twice.
process.on("disconnect", () => endProcess(0));
// Ctrl-C in a terminal, and systemd, tell every process of the daemon; it is for the daemon to say what is to end.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);

function config(): Config {
  if (current === undefined) throw new Error("no work has come yet");
  return current;
}

function send(message: FromWork): void {
  if (process.connected) process.send?.(message);
}

async function serve(request: WorkRequest): Promise<void> {
  const { id } = request;
  const controller = new AbortController();
  underWay.set(id, controller);
  current = request.config;
  try {
    send({ kind: "done", id, output: await perform(request, controller.signal) });
  } catch (error) {
    send({ kind: "failed", id, error: toPlainError(error) });
  } finally {
    underWay.delete(id);
  }
}

async function perform(request: WorkRequest, signal: AbortSignal): Promise<unknown> {
  const { work, input } = request;
  const progress = tellProgress(request.id);
  switch (work) {
    case "capture":
      return await stages.capture({ ...input, signal, progress });
    case "captureGroup":
      return await stages.captureGroup({ ...input, signal, progress });
    case "replicate":
      return await jobs.use(input.job, async (job) => await stages.replicate({ ...input, job, signal, progress }));
    case "prune":
      return await stages.prune({ ...input, signal });
    case "sweep": {
      const { repository } = await locations.location(input.location, signal);
      const { grace } = request.config.maintenance;
      return await sweep(repository, { grace, executor, holder: input.holder, signal });
    }
    case "check": {
      // With the key alone: a replica in which somebody has hidden things is to be checked, not refused.
      const { repository } = await locations.alone(input.location, signal);
      const replica = input.location !== primaryName;
      return await checkRepository(repository, {
        executor,
        readData: input.readData,
        replica,
        recordProofs: true,
        signal,
        onProgress: ({ bytes, totalBytes }) => progress(bytes, totalBytes),
      });
    }
    case "history":
      return await readHistory({ config: request.config, locations, clock }, input, { signal });
  }
}

function tellProgress(id: number): (done: number, total: number | undefined) => void {
  let told = Number.NEGATIVE_INFINITY;
  return (done, total) => {
    const now = clock.monotonic();
    if (now - told < progressInterval && done !== total) return;
    told = now;
    send({ kind: "progress", id, done, total });
  };
}
