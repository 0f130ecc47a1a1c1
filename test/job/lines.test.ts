import { expect, it, vi } from "vitest";
import { systemClock } from "../../src/host/clock.ts";
import { Lines } from "../../src/job/lines.ts";
import type { Bandwidth } from "../../src/policy/bandwidth.ts";
import type { Config } from "../../src/policy/config.ts";
import { connectReplica, openPrimary } from "../../src/job/locations.ts";
import { threadedExecutor } from "../../src/job/threads.ts";
import { checkRepository } from "../../src/repository/check/check.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { captureTiny } from "../helpers/repository.ts";
import { makeSite } from "../helpers/site.ts";

function rate(usual: number): Bandwidth {
  return { usual, timezone: "UTC", windows: [] };
}

function configWith(bandwidth: Bandwidth | undefined): Config {
  return { replicas: [{ name: "far", bandwidth }] } as unknown as Config;
}

it("a rate that the configuration changes holds at once for what waits already, and stays when the replica is gone", async () => {
  let config = configWith(rate(1));
  const clock = new ManualClock();
  const lines = new Lines(() => config);
  const waiting = lines.meterOf("far", clock).take(20_000);
  await clock.advance(60_000);
  config = configWith(rate(10_000));
  await clock.advance(4000);
  await waiting;
  config = { replicas: [] } as unknown as Config;
  const start = clock.now();
  await clock.runUntil(lines.meterOf("far", clock).take(20_000));
  expect(clock.now() - start).toBeGreaterThanOrEqual(1000);
  expect(clock.now() - start).toBeLessThanOrEqual(2000);
});

it("a replica has one line, whoever asks for it", () => {
  const lines = new Lines(() => configWith(rate(1)));
  const clock = new ManualClock();
  expect(lines.meterOf("far", clock)).toBe(lines.meterOf("far", clock));
  expect(lines.meterOf("near", clock)).not.toBe(lines.meterOf("far", clock));
});

it("threads take what they read from the same line", async () => {
  const { config } = await makeSite();
  const lines = new Lines(() => config);
  const { repository } = await connectReplica(config, await openPrimary(config), "far", { lines });
  await captureTiny(repository, { image: Array.from({ length: 300 }, (_, number) => number + 1) });
  const take = vi.spyOn(lines.meterOf("far", systemClock), "take");
  const { bytesRead } = await checkRepository(repository, {
    executor: threadedExecutor,
    readData: { group: 1, of: 1 },
  });
  expect(bytesRead).toBeGreaterThan(150_000);
  expect(take.mock.calls.reduce((sum, [bytes]) => sum + bytes, 0)).toBeGreaterThanOrEqual(bytesRead);
});
