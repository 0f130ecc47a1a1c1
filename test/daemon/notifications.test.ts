import * as fs from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { Notifications } from "../../src/daemon/notifications.ts";
import { silentLogger } from "../../src/host/log.ts";
import { StateFolder } from "../../src/job/state-folder.ts";
import { Metrics } from "../../src/metrics/metrics.ts";
import type { Concern } from "../../src/notify/notice.ts";
import type { NotifySettings } from "../../src/policy/config.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { type Receiver, startReceiver } from "../helpers/receiver.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const minute = 60_000;
const on = ["failure", "objective_missed", "recovered"] as const;

/** A host with a webhook and a ping, each at a receiver of its own. */
async function host() {
  const folder = await tempDir();
  const webhook = await startReceiver();
  const ping = await startReceiver();
  await fs.writeFile(join(folder, "webhook"), webhook.url);
  await fs.writeFile(join(folder, "ping"), ping.url);
  const http = { caFile: undefined, timeout: 10_000 };
  const settings: NotifySettings = {
    webhook: { ...http, url: { kind: "file", path: join(folder, "webhook") }, headersFile: undefined, on },
    ping: { ...http, url: { kind: "file", path: join(folder, "ping") }, every: 5 * minute },
    email: undefined,
    interval: 5 * minute,
    remind: undefined,
  };
  const world = { trouble: undefined as string | undefined, met: true };
  const clock = new ManualClock();
  const start = async (): Promise<{ notifications: Notifications; stop: () => Promise<void> }> => {
    const notifications = new Notifications({
      settings: () => settings,
      concerns: (): Concern[] => [
        { subject: { kind: "capture", policy: "often", source: "docs" }, event: "failure", trouble: world.trouble },
      ],
      everyObjectiveMet: () => world.met,
      state: new StateFolder(join(folder, "state")),
      metrics: new Metrics(),
      clock,
      log: silentLogger,
    });
    await notifications.records.load();
    const controller = new AbortController();
    const running = notifications.run(controller.signal);
    const stop = async (): Promise<void> => {
      controller.abort();
      await running;
    };
    onTestFinished(stop);
    return { notifications, stop };
  };
  return { webhook, ping, world, clock, start };
}

/** Lets time pass in small steps, so that requests, which take real time, come to their end in between. */
async function pass(clock: ManualClock, notifications: Notifications, ms: number): Promise<void> {
  for (let passed = 0; passed <= ms; passed += 5000) {
    await clock.advance(5000);
    await notifications.idle();
  }
}

function told({ received }: Receiver): string[] {
  return received.map(({ body }) => {
    const { notices } = JSON.parse(body) as { notices: { event: string; kind: string }[] };
    return notices.map(({ event, kind }) => `${event} ${kind}`).join(", ");
  });
}

describe("notifications", () => {
  it("tell a trouble once, over restarts too, and once that it is over", async () => {
    const { webhook, world, clock, start } = await host();
    const first = await start();
    await pass(clock, first.notifications, minute);
    expect(told(webhook)).toEqual([]);
    world.trouble = "failed";
    await pass(clock, first.notifications, 10 * minute);
    expect(told(webhook)).toEqual(["failure capture"]);
    await first.stop();
    const second = await start();
    await pass(clock, second.notifications, 10 * minute);
    world.trouble = undefined;
    await pass(clock, second.notifications, 10 * minute);
    expect(told(webhook)).toEqual(["failure capture", "recovered capture"]);
  });

  it("send one message in each interval at most", async () => {
    const { webhook, world, clock, start } = await host();
    const { notifications } = await start();
    for (let round = 0; round < 60; round++) {
      world.trouble = round % 2 === 0 ? "failed" : undefined;
      await pass(clock, notifications, 25_000);
    }
    expect(webhook.received.length).toBeGreaterThan(2);
    // 60 rounds take half an hour.
    expect(webhook.received.length).toBeLessThanOrEqual(7);
  });

  it("that can't be delivered are tried again less and less often, and tell what is so when they get through", async () => {
    const { webhook, world, clock, start } = await host();
    const { notifications } = await start();
    world.trouble = "failed";
    webhook.status = 500;
    await pass(clock, notifications, 60 * minute);
    const attempts = webhook.received.length;
    expect(attempts).toBeGreaterThan(5);
    expect(attempts).toBeLessThan(12);
    expect(notifications.records.at("webhook").failures).toBe(attempts);
    webhook.status = 200;
    await pass(clock, notifications, 16 * minute);
    expect(webhook.received).toHaveLength(attempts + 1);
    expect(told(webhook).at(-1)).toBe("failure capture");
    expect(notifications.records.at("webhook")).toMatchObject({ failures: 0 });
  });

  it("of a receiver that doesn't answer hold up nobody", async () => {
    const { webhook, ping, world, start } = await host();
    webhook.status = undefined;
    world.trouble = "failed";
    const { notifications, stop } = await start();
    await expect.poll(() => ping.received).toHaveLength(1);
    expect(notifications.records.at("webhook").failures).toBe(0);
    await stop();
  });

  it("ping while every objective is met, and no longer", async () => {
    const { ping, world, clock, start } = await host();
    const { notifications } = await start();
    await pass(clock, notifications, 20 * minute);
    expect(ping.received).toHaveLength(5);
    world.met = false;
    await pass(clock, notifications, 20 * minute);
    expect(ping.received).toHaveLength(5);
    world.met = true;
    await pass(clock, notifications, 5000);
    expect(ping.received).toHaveLength(6);
  });

  it("tell by one channel that another fails", async () => {
    const { webhook, ping, clock, start } = await host();
    ping.status = 404;
    const { notifications } = await start();
    await pass(clock, notifications, minute);
    expect(told(webhook)).toEqual(["failure notification"]);
  });
});
