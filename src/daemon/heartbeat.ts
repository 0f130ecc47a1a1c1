/** Tells the service manager, again and again, that the daemon is alive, and how its work stands. */
import type { Clock } from "../host/clock.ts";
import type { Logger } from "../host/log.ts";
import type { ServiceManager } from "../host/service-manager.ts";
import type { SignsOfLife } from "./signs-of-life.ts";

/** How often, in ms, at least; more often when the service manager is impatient. */
const longestInterval = 10_000;

export interface HeartbeatOptions {
  readonly signs: Pick<SignsOfLife, "probe" | "standstills">;
  /** Undefined when nobody wants to hear it: then the signs are looked at for `/healthz` only. */
  readonly manager: ServiceManager | undefined;
  readonly status: () => string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Until the signal aborts. While something stands still the watchdog isn't fed: systemd then ends the daemon, and starts it again. */
export async function keepBeating(options: HeartbeatOptions, signal: AbortSignal): Promise<void> {
  const { signs, manager, status, clock, log } = options;
  let told = "";
  let standing = "";
  while (!signal.aborted) {
    signs.probe();
    const standstills = signs.standstills.join(" ");
    if (standstills !== standing && standstills !== "") log.error("the daemon stands still", { why: standstills });
    standing = standstills;
    const line = standstills === "" ? status() : standstills;
    const news = [
      ...(line === told ? [] : [`STATUS=${line}`]),
      ...(standstills === "" && manager?.watchdog !== undefined ? ["WATCHDOG=1"] : []),
    ];
    if (news.length > 0) manager?.notify(...news);
    told = line;
    await clock.sleep(Math.min(longestInterval, (manager?.watchdog ?? Infinity) / 4), signal).catch(() => undefined);
  }
}
