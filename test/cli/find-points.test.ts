/** What `latest`, a day and a time mean when clocks were wrong, or somebody forges points. */
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import type { Cli } from "../../src/cli/cli.ts";
import { choosePoint, loadPoint } from "../../src/cli/find-points.ts";
import { Output } from "../../src/cli/output.ts";
import type { Manifest } from "../../src/repository/points/manifest.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { rejection } from "../helpers/rejection.ts";
import { captureTiny, makeTestRepository, withBadSector } from "../helpers/repository.ts";

const hour = 3_600_000;
const now = Date.UTC(2026, 10, 22, 12);
const manifest = { source: "etc" } as Manifest;

/** A point of so many hours ago, and stored as many hours ago. */
function point(id: string, hours: number, stored = hours) {
  return { id, time: now - hours * hour, received: now - stored * hour, manifest };
}

function choose(points: readonly ReturnType<typeof point>[], text = "latest") {
  const stderr = new PassThrough({ encoding: "utf8" });
  const output = new Output({ stdout: new PassThrough(), stderr, environment: {} });
  const { id } = choosePoint({ clock: new ManualClock(now), output }, points, text);
  return { id, said: (stderr.read() as string | null) ?? "" };
}

test.each([
  ["without any doubt", [point("old", 2), point("new", 1)], "new", ""],
  [
    "one from the future is passed over",
    [point("new", 1), point("future0000", -48)],
    "new",
    "without future00 of 2026-11-24 12:00:00 UTC, which claims",
  ],
  [
    "so is one that was stored before it claims to be",
    [point("new", 3), point("forged0000", 1, 2)],
    "new",
    "without forged00",
  ],
  [
    "of several the last is named",
    [point("new", 1), point("a", -1), point("b", -2)],
    "new",
    "without b of 2026-11-22 14:00:00 UTC and 1 more, which claim",
  ],
  ["clocks may differ a little", [point("new", 1), point("newest", -0.05)], "newest", ""],
  ["where every one is from the future, it is this clock that is wrong", [point("a", -1), point("b", -2)], "b", ""],
])("latest: %s", (_, points, id, said) => {
  const chosen = choose(points);
  expect(chosen.id).toBe(id);
  expect(chosen.said).toMatch(said === "" ? /^$/ : new RegExp(said));
});

test("a time passes over what was stored before it claims to be, and its id still names it", () => {
  const points = [point("aaaa0000", 3), point("bbbb0000", 1, 2), point("cccc0000", -48)];
  const chosen = choose(points, "2026-11-22T11:00");
  expect(chosen.id).toBe("aaaa0000");
  expect(chosen.said).toContain("without bbbb0000");
  expect(choose(points, "cccc")).toEqual({ id: "cccc0000", said: "" });
});

test("latest says which newer one can't be read; whoever writes waits until all can be", async () => {
  const { repository, clock } = await makeTestRepository();
  const older = await captureTiny(repository, { image: [1] });
  clock.pass(hour);
  const newer = await captureTiny(repository, { image: [2] }, { previous: older });
  const sick = withBadSector(repository, [newer.name]);
  const load = async (text: string, options = {}) => {
    const stderr = new PassThrough({ encoding: "utf8" });
    const output = new Output({ stdout: new PassThrough(), stderr, environment: {} });
    const { id } = await loadPoint({ clock, output } as Partial<Cli> as Cli, sick, text, options);
    return { id, said: (stderr.read() as string | null) ?? "" };
  };
  const latest = await load("latest");
  expect(latest.id).toBe(older.id);
  expect(latest.said).toContain("That is the recovery point of 2026-11-22 01:00:00 UTC");
  expect(await load(older.id)).toEqual({ id: older.id, said: "" });
  expect(await rejection(load(older.id, { allRead: true }))).toMatchObject({ code: "storage_failed" });
});
