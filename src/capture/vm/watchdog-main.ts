/**
 * The watchdog's process. It outlives the capture that it watches, and
 *
 * - lets the guest run on when it stays paused for too long, through the capture's own connection to QEMU (descriptor 3): that
 *   works when the capture hangs, and whoever else is connected;
 * - rescues the guest when it waits in vain for a page, as it does on QEMU before 10 when a save fails;
 * - when the capture is killed, does both at once and then removes what was left in the guest.
 */
import { closeSync, writeSync } from "node:fs";
import { systemClock as clock } from "../../host/clock.ts";
import { createLogger } from "../../host/log.ts";
import { FaultWatch } from "../../qemu/fault-watch.ts";
import { isAlive } from "../../qemu/qmp-peer.ts";
import { rescueGuest } from "../../qemu/userfaultfd.ts";
import { describeReconciled, reconcile } from "./reconcile.ts";
import type { ToWatchdog, WatchdogSettings } from "./watchdog-protocol.ts";

const log = createLogger({ level: "info", to: "stderr" }).child({ watchdog: process.pid });

/** The capture's connection to QEMU. */
const connection = 3;
/** In ms: a thread that waits that long for a page waits for ever. */
const longestFault = 5000;
/** How often the removal of what was left is tried, when QEMU doesn't answer, and the ms in between. */
const attempts = 60;
const between = 1000;

let settings: WatchdogSettings | undefined;
/** Aborts when the guest runs again; undefined while it isn't paused by us. */
let pause: AbortController | undefined;

// Whoever ends a whole group or service ends the capture too, and then there is work to do.
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => undefined);

process.on("message", (message: ToWatchdog) => {
  if (message.kind === "done") process.exit(0);
  if (message.kind === "watch") watch(message.settings);
  pause?.abort();
  pause = undefined;
  if (message.kind === "begin") {
    pause = new AbortController();
    void limitPause(message.limit, pause.signal);
  }
  process.send?.("ok");
});

process.once("disconnect", () => void takeOver());

function watch(given: WatchdogSettings): void {
  settings = given;
  void watchFaults(given);
}

async function limitPause(limit: number, signal: AbortSignal): Promise<void> {
  try {
    await clock.sleep(limit, signal);
    log.error("the guest has stood still for too long: letting it run", { qmp: settings?.socket, limit });
    // Again and again, since QEMU may be in the midst of a save that ends with the guest paused.
    for (;;) {
      letRun();
      await clock.sleep(1000, signal);
    }
  } catch {
    // It runs again.
  }
}

/** One write is one message; the answer goes to the capture, which expects none and drops it. */
function letRun(): void {
  try {
    writeSync(connection, '{"execute":"cont","id":"watchdog"}\n');
  } catch {
    // QEMU has ended, or takes nothing now.
  }
}

async function watchFaults({ pid, socket }: WatchdogSettings): Promise<void> {
  for (const watched = new FaultWatch(pid); ; await clock.sleep(500)) {
    if ((await watched.look(clock.monotonic())) < longestFault) continue;
    log.error("the guest waits in vain for a page of a save: taking the write protection off", { qmp: socket });
    await rescueGuest(pid).catch((error: unknown) => log.error("the guest could not be rescued", { error }));
  }
}

/** The capture was killed. */
async function takeOver(): Promise<void> {
  if (pause) letRun();
  pause?.abort();
  closeSync(connection);
  if (settings) await cleanUp(settings);
  process.exit(0);
}

async function cleanUp({ socket, spool, guestAgent, ...qemu }: WatchdogSettings): Promise<void> {
  log.warn("the capture was killed: looking after the guest", { qmp: socket });
  for (let attempt = 1; attempt <= attempts && (await isAlive(qemu)); attempt += 1) {
    try {
      const result = await reconcile({ qmp: socket, spool, guestAgent });
      log.info(describeReconciled(result), { qmp: socket });
      if (result.problems.length === 0) return;
    } catch (error) {
      log.warn("the guest can't be spoken to yet", { qmp: socket, error });
    }
    await clock.sleep(between);
  }
}
