import { describe, expect, test } from "vitest";
import { factsOf, type StatusView } from "../../src/cli/status-facts.ts";
import { statusLines } from "../../src/cli/status-screen.ts";
import { wrap } from "../../src/cli/wrap.ts";
import type { DaemonStatus, LocationStatus, PointStatus } from "../../src/daemon/control-protocol.ts";

const hour = 3_600_000;
const now = Date.UTC(2026, 10, 22, 12);

function point(location: string, age: number | undefined, objective: number | undefined = 2 * hour): PointStatus {
  const newest = age === undefined ? undefined : { id: "3f5a91c2d7", time: now - age, consistency: "crash" };
  const sizes = { size: 1, stored: 1, leftOut: 0, duration: 1 };
  return {
    policy: "nightly",
    source: "etc",
    location,
    newest: newest && { ...newest, ...sizes },
    verified: undefined,
    objective,
  };
}

function place(location: string, more: Partial<LocationStatus> = {}): LocationStatus {
  return {
    location,
    reachable: true,
    checked: now,
    error: undefined,
    points: [{ source: "etc", count: 21 }],
    sizeBytes: 5 * 1024 ** 3,
    freeBytes: 100 * 1024 ** 3,
    lastSweep: now - hour,
    lastCheck: now - 24 * hour,
    findings: 0,
    backlog: [],
    replications: [],
    ...more,
  };
}

function view(more: Partial<DaemonStatus> = {}): StatusView {
  const daemon: DaemonStatus = {
    version: "1.2.3",
    host: "host7",
    pid: 812,
    now,
    started: now - 76 * hour,
    address: "http://127.0.0.1:9464",
    config: { file: "/c", current: true, loaded: now, error: undefined },
    notReady: [],
    work: [],
    failures: [],
    notifications: [],
    maintenance: { nextSweep: now + 15 * hour, nextCheck: undefined },
    policies: [
      { policy: "nightly", sources: ["etc"], running: false, nextRun: now + hour, lag: 0, lastJob: undefined },
    ],
    points: [point("primary", hour), point("usb", hour)],
    locations: [place("primary"), place("usb")],
    ...more,
  };
  return { daemon, look: daemon, now };
}

const plain = { style: (_: unknown, text: string) => text, width: undefined };
const marked = { style: (style: string, text: string) => `<${style}>${text}</>`, width: undefined };

describe("one screen", () => {
  test("all is well", () => {
    expect(statusLines(view(), plain).join("\n")).toMatchInlineSnapshot(`
      "Stillpoint on host7: all 2 objectives are met
      version 1.2.3, process 812, for 3d 4h; http://127.0.0.1:9464

      POLICY   SOURCE  LOCATION  NEWEST    TIME (UTC)           AGE  OBJECTIVE
      nightly  etc     primary   3f5a91c2  2026-11-22 11:00:00   1h         2h  ok
      nightly  etc     usb       3f5a91c2  2026-11-22 11:00:00   1h         2h  ok

      Next runs
        nightly  in 1h
        sweep    in 15h
        check    when asked to

      LOCATION  POINTS     SIZE       FREE  LACKS  CHECKED
      primary       21  5.0 GiB  100.0 GiB         1d ago   ok
      usb           21  5.0 GiB  100.0 GiB         1d ago   ok"
    `);
  });

  test("what runs, with a bar, rate and time left", () => {
    const task = { policy: "nightly", source: undefined, location: undefined, started: now - 60_000 };
    const unknown = { done: undefined, total: undefined, rate: undefined, timeLeft: undefined };
    const work = [
      {
        ...task,
        stage: "capture",
        source: "etc",
        done: 1024 ** 3,
        total: 4 * 1024 ** 3,
        rate: 50 * 1024 ** 2,
        timeLeft: 61_000,
      },
      { ...task, stage: "replication", location: "usb", ...unknown, started: undefined },
    ] as const;
    const lines = statusLines(view({ work }), plain);
    expect(lines.slice(lines.indexOf("Running"), lines.indexOf("Next runs"))).toEqual([
      "Running",
      "  capture of etc, nightly      [#####...............]  1.0 GiB of 4.0 GiB, 25 %, 50.0 MiB/s, 1m 1s left  for 1m",
      "  replication to usb, nightly                                                                            waits for its turn",
      "",
    ]);
  });

  test("what is wrong: first in the verdict, then in full, red and in words", () => {
    const lines = statusLines(
      view({
        points: [
          point("primary", 3 * hour),
          point("usb", undefined),
          { ...point("far", 3 * hour), objective: undefined },
        ],
        locations: [
          place("usb", { findings: 2, backlog: [{ policy: "nightly", points: 3, bytes: 1 }] }),
          place("far", { reachable: false, error: { code: "storage_unreachable", message: "No route." } }),
        ],
        notReady: ["The primary can't be read."],
        failures: [
          {
            stage: "prune",
            policy: "nightly",
            location: "usb",
            errors: [{ code: "storage_denied", message: "Cannot\u001B delete.\nMount it." }],
            first: now - hour,
            last: now,
            count: 3,
          },
          { stage: "check", location: "usb", errors: [], first: now, last: now, count: 1, over: now },
        ],
        notifications: [
          { channel: "webhook", failures: 2, succeeded: undefined, error: "Nobody answers." },
          { channel: "ping", failures: 0, succeeded: now, error: undefined },
        ],
      }),
      marked,
    );
    expect(lines[0]).toBe("Stillpoint on <bold>host7</>: <red>2 of 2 objectives missed, 3 things failing</>");
    const text = lines.join("\n");
    expect(text).toContain("<red>The primary can't be read.</>");
    expect(text).toContain("2h  <red>TOO OLD</>");
    expect(text).toContain("<red>NOTHING THERE</>");
    expect(text).toMatch(/far .* 3h {13}<yellow>ok, as last seen: unreachable<\/>/);
    expect(text).toMatch(/usb .* 3 points {2}1d ago {3}<red>DAMAGED: 2 findings<\/>/);
    expect(lines.slice(-8)).toEqual([
      "<bold>Failing</>",
      "  <red>prune of usb, nightly: failed 3 times since 2026-11-22 11:00:00 UTC</>",
      "    Cannot\\u{1b} delete.",
      "    Mount it.",
      "  <red>far can't be reached</>",
      "    No route.",
      "  <red>notices by webhook: the last 2 were not delivered</>",
      "    Nobody answers.",
    ]);
  });

  test("where a replica is filled from, when it isn't the primary, and what isn't locked there", () => {
    const from = (origin: string, unlocked?: number) => [{ policy: "nightly", from: origin, unlocked }];
    const town = place("town", { replications: from("primary", 0) });
    const far = place("far", { replications: from("town", 3) });
    const lines = statusLines(view({ locations: [place("primary"), town, far] }), marked);
    expect(lines.slice(-4)).toEqual([
      "<bold>LOCATION  FROM     POINTS     SIZE       FREE  LACKS  CHECKED</>",
      "primary                21  5.0 GiB  100.0 GiB         1d ago   <green>ok</>",
      "town      primary      21  5.0 GiB  100.0 GiB         1d ago   <green>ok</>",
      "far       town         21  5.0 GiB  100.0 GiB         1d ago   <red>NOT LOCKED: 3 points</>",
    ]);
  });

  test("no daemon: what lacks, and what to do", () => {
    const { look } = view();
    const lines = statusLines({ daemon: undefined, look, now }, plain);
    expect(lines[0]).toBe("No daemon runs: all 2 objectives are met");
    expect(lines[1]).toContain("`stillpoint daemon` starts one");
  });

  test("no line is wider than the terminal", () => {
    const message = "Cannot reach it: ".repeat(20) + "x".repeat(200);
    const failures = [
      {
        stage: "capture" as const,
        policy: "nightly",
        source: "etc",
        errors: [{ code: "internal", message }],
        first: 0,
        last: 0,
        count: 1,
      },
    ];
    const lines = statusLines(view({ failures }), { ...plain, width: 90 });
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(90);
  });
});

test("a refused configuration is something that fails, with its message as it is", () => {
  const message = "/c:4:1: unknown setting\n   x: 1\n   ^\n\nCannot use /c: 1 problem.";
  const config = {
    file: "/c",
    current: false,
    loaded: now - hour,
    error: { code: "config_invalid", message },
  } as const;
  const refused = view({ config });
  expect(statusLines(refused, { ...plain, width: 80 })).toEqual(
    expect.arrayContaining([
      "  configuration refused: the one of 2026-11-22 11:00:00 UTC stays in force",
      "       x: 1",
      "       ^",
    ]),
  );
  expect(factsOf(refused).at(-1)).toBe("all 2 objectives are met, 1 thing failing");
});

test("facts, for where nothing can be redrawn", () => {
  expect(factsOf(view())).toEqual(["all 2 objectives are met"]);
  expect(factsOf(view({ points: [point("primary", 3 * hour)] }))).toEqual([
    "nightly: etc at primary: TOO OLD",
    "the objective is missed",
  ]);
});

describe("wrapping", () => {
  test("between words, and within those that are too long", () => {
    expect(wrap("one two three", 9, "  ")).toEqual(["  one two", "  three"]);
    expect(wrap("abcdefghij k", 6, "  ")).toEqual(["  abcd", "  efgh", "  ij k"]);
    expect(wrap("one two three", undefined, "  ")).toEqual(["  one two three"]);
  });
});
