/** The parts of the daemon and what each is given. Nothing is at work yet. */
import { hostname } from "node:os";
import type { Clock } from "../host/clock.ts";
import type { Logger } from "../host/log.ts";
import { nodeFiles } from "../host/node-files.ts";
import type { ServiceManager } from "../host/service-manager.ts";
import { CaptureGate } from "../job/capture-gate.ts";
import { OpenLocations } from "../job/open-locations.ts";
import type { Replicated } from "../job/report.ts";
import { SingleFlight } from "../job/single-flight.ts";
import { StateFolder } from "../job/state-folder.ts";
import { Metrics } from "../metrics/metrics.ts";
import type { Config, Policy } from "../policy/config.ts";
import { ConfigFile } from "./config-file.ts";
import { FailureLog } from "./failure-log.ts";
import { FailureRecords } from "./failure-records.ts";
import { HistoryReader } from "./history-reader.ts";
import { HttpFront } from "./http-front.ts";
import { JobRunner } from "./job-runner.ts";
import { withLiveLevel } from "./live-level.ts";
import { LiveFeed } from "./live-feed.ts";
import { Maintenance } from "./maintenance.ts";
import { Monitor } from "./monitor.ts";
import { Notifications } from "./notifications.ts";
import { makeRoutes } from "./routes.ts";
import { concernsOf, everyObjectiveMet } from "./concerns.ts";
import { type Entry, Scheduler } from "./scheduler.ts";
import { SignsOfLife } from "./signs-of-life.ts";
import { statusOf, type StatusSources } from "./status.ts";
import { WorkBoard } from "./work-board.ts";
import { WorkProcess } from "./work-process.ts";

export interface DaemonOptions {
  /** The configuration file, an absolute path. */
  readonly configFile: string;
  readonly version: string;
  /** Who started the daemon and wants to hear how it does. */
  readonly manager?: ServiceManager | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Parts {
  readonly configFile: ConfigFile;
  readonly state: StateFolder;
  /** For looking only: the work process has its own. */
  readonly locations: OpenLocations;
  readonly work: WorkProcess;
  readonly monitor: Monitor;
  readonly jobs: JobRunner;
  readonly failures: FailureRecords;
  readonly failureLog: FailureLog;
  readonly maintenance: Maintenance;
  readonly history: HistoryReader;
  readonly scheduler: Scheduler;
  readonly notifications: Notifications;
  readonly http: HttpFront;
  readonly sources: StatusSources;
  readonly signs: SignsOfLife;
  readonly manager: ServiceManager | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Reads the configuration. Throws `config_missing` or `config_invalid`. */
export async function assemble(options: DaemonOptions): Promise<Parts> {
  const { configFile: path, version, manager, clock, log: allLines } = options;
  const log = withLiveLevel(allLines, () => configFile.config.daemon.logLevel);
  const apply = async (after: Config, before: Config): Promise<void> => {
    // The only step that can fail comes first.
    if (!sameListen(before, after)) await http.listen(after.daemon.listen);
    gate.limit = after.daemon.concurrency;
  };
  const applied = async (): Promise<void> => {
    work.reconfigure(config());
    await monitor.restore();
    await maintenance.seeLocations();
    scheduler.wake();
    notifications.retry();
    void monitor.look(true);
  };
  const configFile = new ConfigFile({ path, files: nodeFiles, clock, log: allLines, apply, applied });
  const { repository, daemon } = await configFile.load();
  const config = (): Config => configFile.config;

  const state = new StateFolder(repository.state);
  const locations = new OpenLocations(config, clock);
  const monitor = new Monitor({ config, locations, state, clock, log });
  const metrics = new Metrics();
  const failures = new FailureRecords(state);
  const failureLog = new FailureLog(state);
  const board = new WorkBoard(clock);
  const gate = new CaptureGate(daemon.concurrency);
  const onFree = (): void => scheduler.wake();
  const work = new WorkProcess({ config, version, clock });
  const context = { stages: work.stages, clock, gate, replications: new SingleFlight<Replicated>() };
  const policies = (): readonly Policy[] => config().policies;
  const jobs = new JobRunner({ context, policies, monitor, metrics, failures, failureLog, board, clock, log, onFree });
  const holder = `stillpoint daemon on ${hostname()}, process ${String(process.pid)}`;
  const maintenance = new Maintenance({ config, work, state, holder, metrics, failureLog, board, clock, log, onFree });
  const scheduler = new Scheduler(clock, () => [
    ...policies().map((policy) => entryOf(policy, jobs, log)),
    ...maintenance.entries(),
  ]);
  const nextRun = (policy: Policy): number | undefined => scheduler.nextRun(entryOf(policy, jobs, log));
  const history = new HistoryReader({ config, monitor, work, nextRun, clock, log });
  const known = { configFile, jobs, failures, failureLog, board, maintenance, monitor, clock };
  const notifications = new Notifications({
    settings: () => config().daemon.notify,
    concerns: () => concernsOf(known),
    everyObjectiveMet: () => everyObjectiveMet(known),
    state,
    metrics,
    clock,
    log,
  });
  const sources: StatusSources = {
    ...known,
    notifications,
    version,
    started: clock.now(),
    nextRun,
    nextTask: (task) => scheduler.nextRun(maintenance.entry(task)),
    address: () => http.url ?? "",
  };
  const signs = new SignsOfLife({ scheduler, files: nodeFiles, clock });
  const feed = new LiveFeed({ status: () => statusOf(sources), history: () => history.latest, clock, log });
  const http = new HttpFront(makeRoutes({ sources, metrics, signs, history, feed }), log);
  return {
    configFile,
    state,
    locations,
    work,
    monitor,
    jobs,
    failures,
    failureLog,
    maintenance,
    history,
    scheduler,
    notifications,
    http,
    sources,
    signs,
    manager,
    clock,
    log,
  };
}

function entryOf(policy: Policy, jobs: JobRunner, log: Logger): Entry {
  const { name, schedule } = policy;
  return {
    name,
    schedule,
    history: () => jobs.history(policy),
    busy: () => jobs.isCapturing(name),
    start: (lag) => {
      jobs.run(policy, { lag }).catch((error: unknown) => log.error("job not run", { policy: name, error }));
    },
  };
}

function sameListen(before: Config, after: Config): boolean {
  return (
    before.daemon.listen.host === after.daemon.listen.host && before.daemon.listen.port === after.daemon.listen.port
  );
}
