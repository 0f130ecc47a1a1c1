/** What the daemon does for the control socket. */
import type { Clock } from "../host/clock.ts";
import type { Logger } from "../host/log.ts";
import { RetentionRecords } from "../job/retention-records.ts";
import type { StateFolder } from "../job/state-folder.ts";
import { testChannels } from "../notify/test-channels.ts";
import { findPolicy, findSource } from "../policy/find-named.ts";
import type { ConfigFile } from "./config-file.ts";
import type { ConfigText } from "./control-protocol.ts";
import type { ControlHandler } from "./control-server.ts";
import type { HistoryReader } from "./history-reader.ts";
import type { JobRunner } from "./job-runner.ts";
import { type StatusSources, statusOf } from "./status.ts";

export interface ControlOptions {
  readonly sources: StatusSources;
  readonly configFile: ConfigFile;
  readonly jobs: JobRunner;
  readonly history: Pick<HistoryReader, "read">;
  readonly state: StateFolder;
  readonly clock: Clock;
  readonly log: Logger;
}

export function makeControlHandler(options: ControlOptions): ControlHandler {
  const { sources, configFile, jobs, history, state, clock, log } = options;
  return async (request, sendEvent) => {
    switch (request.request) {
      case "status":
        return statusOf(sources);
      case "history":
        return await history.read();
      case "reload":
        return { changed: await configFile.reload() };
      case "config":
        return { file: configFile.path, text: configFile.text } satisfies ConfigText;
      case "accept": {
        const { policy, location, fingerprint, by } = request;
        findPolicy(await configFile.settled(), policy);
        await new RetentionRecords(state).accept({ policy, location }, { fingerprint, time: clock.now(), by });
        log.warn("new keep rules accepted: the next prune may forget much", { policy, location, by, fingerprint });
        return null;
      }
      case "notify-test": {
        const { notify } = (await configFile.settled()).daemon;
        return await testChannels(request.channel, notify, { clock, signal: new AbortController().signal });
      }
      case "run": {
        const policy = findPolicy(await configFile.settled(), request.policy);
        const chosen = request.source === undefined ? undefined : [findSource(policy, request.source)];
        return await jobs.run(policy, { sources: chosen, onEvent: sendEvent });
      }
    }
  };
}
