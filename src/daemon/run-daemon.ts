/** The daemon as a process: signals, log, and the end. */
import { systemClock } from "../host/clock.ts";
import { endProcess } from "../host/end-process.ts";
import { createLogger, type Logger, underJournald } from "../host/log.ts";
import { takeServiceManager } from "../host/service-manager.ts";
import { type RunningDaemon, startDaemon } from "./daemon.ts";

export interface RunDaemonOptions {
  /** The configuration file, an absolute path. */
  readonly configFile: string;
  readonly version: string;
  /** Told when the daemon is at work: where metrics and health are. */
  readonly onReady?: ((url: string) => void) | undefined;
}

/** Runs until SIGTERM or SIGINT; SIGHUP reloads the configuration. Throws what `startDaemon` does. */
export async function runDaemon({ configFile, version, onReady }: RunDaemonOptions): Promise<void> {
  const log = createLogger({ level: "debug", to: "stdout", journald: underJournald(process.env, 1) });
  process.on("uncaughtException", (error) => endBroken(log, error));
  const { promise: told, resolve: tell } = Promise.withResolvers<NodeJS.Signals>();
  let daemon: RunningDaemon | undefined;
  process.once("SIGTERM", tell);
  process.once("SIGINT", tell);
  process.on("SIGHUP", () => void daemon?.reload().catch(() => undefined));
  const manager = takeServiceManager(process.env, process.pid);
  daemon = await startDaemon({ configFile, version, manager, clock: systemClock, log });
  onReady?.(daemon.url);
  log.info("told to stop", { signal: await told });
  const ended = await daemon.stop();
  if (!ended) endProcess(0);
}

/** A defect: whoever started us starts us again, and whatever was cut off is found again then. */
function endBroken(log: Logger, error: unknown): never {
  log.error("a defect in Stillpoint itself; the daemon ends", { error });
  endProcess(1);
}
