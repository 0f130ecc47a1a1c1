/** The daemon, put together: what is started here in this order is stopped in the reverse one. */
import { isStillpointError } from "../errors.ts";
import type { Clock } from "../host/clock.ts";
import { releaseMemory } from "../host/release-memory.ts";
import { monotonicMicroseconds } from "../host/service-manager.ts";
import { primaryName } from "../job/locations.ts";
import { assemble, type DaemonOptions, type Parts } from "./assemble.ts";
import { makeControlHandler } from "./control-handler.ts";
import { controlSocketOf } from "./control-protocol.ts";
import { serveControl } from "./control-server.ts";
import { keepBeating } from "./heartbeat.ts";
import { lookAfterMachines } from "./look-after-machines.ts";
import { statusOf } from "./status.ts";
import { statusLine } from "./status-line.ts";

export interface RunningDaemon {
  /** Where metrics and health are served. */
  readonly url: string;
  /** Puts the configuration file into force as it is now. Throws `config_missing` or `config_invalid`. */
  reload(): Promise<boolean>;
  /**
   * Starts nothing more, ends what is under way, and closes. What was cut off is found again by the next start. False when
   * some work could not be ended: it waits for a dead disk, and ends with the process only.
   */
  stop(): Promise<boolean>;
}

/** How often every location is looked at, and how often the sizes of its packs are added up, in ms. */
const lookInterval = 60_000;
const sizesInterval = 3_600_000;
/** How soon after the start, and how often from then on, memory is given back, in ms. */
const settleTime = 2000;
const memoryInterval = 20_000;
/** How long what is under way may take to end once it is told to, in ms. */
const patience = 8000;

/**
 * Resolves when the daemon is at work. Throws `config_missing`, `config_invalid`, `busy` when another one serves the
 * repository or the port is taken, and what opening the repository throws; then nothing is left running.
 */
export async function startDaemon(options: DaemonOptions): Promise<RunningDaemon> {
  await using starting = new AsyncDisposableStack();
  const parts = await assemble(options);
  const { configFile, state, monitor, failures, failureLog, maintenance, notifications, http, manager, clock, log } =
    parts;

  await state.make();
  const control = await serveControl(controlSocketOf(state.path), makeControlHandler(parts), clock);
  starting.defer(async () => await control.close());
  await monitor.restore();
  await openPrimary(parts);
  await failures.load();
  await failureLog.load();
  await notifications.records.load();
  await maintenance.records.load(clock.now());
  await maintenance.seeLocations();
  // The schedule goes by the newest recovery points, so they are looked at before it begins.
  await monitor.lookAt(primaryName, false);
  await http.listen(configFile.config.daemon.listen);
  starting.defer(async () => await http.close());
  let ended = true;
  starting.defer(async () => {
    ended = await endWork(parts);
  });
  const loops = new AbortController();
  starting.defer(() => loops.abort());
  startLoops(parts, loops.signal);

  const url = http.url ?? "";
  log.info("started", { version: options.version, config: options.configFile, url });
  manager?.notify("READY=1");
  const running = starting.move();
  return {
    url,
    reload: async () => {
      manager?.notify("RELOADING=1", `MONOTONIC_USEC=${String(monotonicMicroseconds())}`);
      try {
        return await configFile.reload();
      } finally {
        manager?.notify("READY=1");
      }
    },
    stop: async () => {
      manager?.notify("STOPPING=1", "STATUS=ending what is under way");
      log.info("stopping");
      await running.disposeAsync();
      log.info("stopped");
      return ended;
    },
  };
}

/**
 * A primary that has served this host before may be away for the moment: the daemon runs, isn't ready, and lets the ages
 * grow. Anything else is a mistake, to be told at once.
 */
async function openPrimary({ locations, monitor, log }: Parts): Promise<void> {
  try {
    await locations.primary();
  } catch (error) {
    const away = isStillpointError(error) && error.retryable && monitor.watch(primaryName)?.known !== undefined;
    if (!away) throw error;
    log.error("the primary repository can't be opened now; trying again each minute", { error });
  }
}

function startLoops(parts: Parts, signal: AbortSignal): void {
  const { scheduler, configFile, notifications, sources, clock, log } = parts;
  const failed = (error: unknown): void => log.error("a part of the daemon has failed", { error });
  lookAfterMachines(configFile.config, clock, log, signal).catch(failed);
  scheduler.run(signal).catch(failed);
  configFile.follow(signal).catch(failed);
  notifications.run(signal).catch(failed);
  keepLooking(parts, signal).catch(failed);
  keepSmall(clock, signal).catch(failed);
  keepBeating({ ...parts, status: () => statusLine(statusOf(sources)) }, signal).catch(failed);
}

async function keepSmall(clock: Clock, signal: AbortSignal): Promise<void> {
  for (let pause = settleTime; !signal.aborted; pause = memoryInterval) {
    await clock.sleep(pause, signal).catch(() => undefined);
    releaseMemory();
  }
}

async function keepLooking({ monitor, maintenance, clock }: Parts, signal: AbortSignal): Promise<void> {
  let sized = Number.NEGATIVE_INFINITY;
  while (!signal.aborted) {
    const sizes = clock.monotonic() - sized >= sizesInterval;
    if (sizes) sized = clock.monotonic();
    // Not waited for: a location that doesn't answer must not hold up the next look at the others.
    void monitor.look(sizes, signal);
    await maintenance.seeChecks();
    await clock.sleep(lookInterval, signal).catch(() => undefined);
  }
}

async function endWork({ jobs, maintenance, history, work, clock, log }: Parts): Promise<boolean> {
  const waiting = new AbortController();
  const late = clock.sleep(patience, waiting.signal).then(
    () => false,
    () => true,
  );
  const ended = await Promise.race([
    Promise.all([jobs.stop(), maintenance.stop(), history.stop()]).then(() => true),
    late,
  ]);
  waiting.abort();
  work.close();
  if (!ended) log.warn("some work doesn't end; it is given up");
  return ended;
}
