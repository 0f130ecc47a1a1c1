import { expect, it } from "vitest";
import type { Timeline } from "../../src/daemon/control-protocol.ts";
import { HistoryReader } from "../../src/daemon/history-reader.ts";
import { Monitor } from "../../src/daemon/monitor.ts";
import type { HistoryRequest, ReadHistory } from "../../src/daemon/read-history.ts";
import type { WorkProcess } from "../../src/daemon/work-process.ts";
import { StillpointError } from "../../src/errors.ts";
import { silentLogger } from "../../src/host/log.ts";
import { OpenLocations } from "../../src/job/open-locations.ts";
import { StateFolder } from "../../src/job/state-folder.ts";
import { commitEmpty } from "../helpers/commit-empty.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { makeSite } from "../helpers/site.ts";

const minute = 60_000;

function timeline(location: string, count: number): Timeline {
  return { policy: "often", source: "docs", location, count, verified: 0, held: 0, marks: [], gaps: [] };
}

/** A reader of a site, whose work is answered by `answers`, one after the other. */
async function reader(...answers: (Partial<ReadHistory> | StillpointError)[]) {
  const clock = new ManualClock(Date.UTC(2026, 10, 22));
  const { config, primary } = await makeSite({ clock });
  const locations = new OpenLocations(() => config, clock);
  const state = new StateFolder(config.repository.state);
  const monitor = new Monitor({ config: () => config, locations, state, clock, log: silentLogger });
  await monitor.restore();
  await monitor.look(true);
  const asked: HistoryRequest[] = [];
  const run = (_: string, request: HistoryRequest): Promise<ReadHistory> => {
    asked.push(request);
    const answer = answers[asked.length - 1] ?? {};
    if (answer instanceof StillpointError) return Promise.reject(answer);
    return Promise.resolve({ unread: [], timelines: [], prunes: [], ...answer });
  };
  // Nothing but the work `history` is asked for.
  const work = { run } as unknown as Pick<WorkProcess, "run">;
  const history = new HistoryReader({
    config: () => config,
    monitor,
    work,
    nextRun: () => 7,
    clock,
    log: silentLogger,
  });
  return { clock, primary, monitor, history, asked };
}

it("is read when somebody asks, and again only when something has changed, or after minutes", async () => {
  const { clock, primary, monitor, history, asked } = await reader();
  expect(history.latest).toBeUndefined();
  await Promise.all([history.read(), history.read()]);
  expect(asked).toMatchObject([{ locations: ["primary", "far"], nextRuns: { often: 7 } }]);
  await clock.advance(minute);
  await history.read();
  expect(asked).toHaveLength(1);
  await commitEmpty(primary, { time: clock.now() });
  await monitor.look(false);
  await history.read();
  expect(asked).toHaveLength(2);
  await clock.advance(6 * minute);
  await history.read();
  expect(asked).toHaveLength(3);
});

it("isn't read again at every change while many come", async () => {
  const { clock, primary, monitor, history, asked } = await reader();
  await history.read();
  await commitEmpty(primary, { time: clock.now() });
  await monitor.look(false);
  await history.read();
  expect(asked).toHaveLength(1);
});

it("keeps what was known of a location that can't be read any more", async () => {
  const error = { code: "storage_unreachable", message: "far is away" } as const;
  const { clock, history } = await reader(
    { timelines: [timeline("primary", 1), timeline("far", 1)] },
    { timelines: [timeline("primary", 2)], unread: [{ location: "far", error }] },
    new StillpointError("internal", { what: "The process has ended" }),
  );
  await history.read();
  await clock.advance(6 * minute);
  const second = await history.read();
  expect(second.timelines.map(({ location, count }) => [location, count])).toEqual([
    ["primary", 2],
    ["far", 1],
  ]);
  expect(second.unread).toEqual([{ location: "far", error }]);
  await clock.advance(6 * minute);
  const third = await history.read();
  expect(third.timelines).toEqual(second.timelines);
  expect(third.unread.map(({ location }) => location)).toEqual(["primary", "far"]);
});

it("tells the sizes that the looks at the locations have brought", async () => {
  const { history } = await reader();
  const { sizes } = await history.read();
  expect(sizes.map(({ location, samples }) => [location, samples.length])).toEqual([
    ["primary", 1],
    ["far", 1],
  ]);
});
