import { describe, expect, it } from "vitest";
import { documentOf } from "../../../src/daemon/page/document.ts";
import { rangeNamed, scaleOf, ticksOf } from "../../../src/daemon/page/scale.ts";
import { render } from "../../../src/daemon/page/view.ts";
import { madeHistory, madePoint, madeStatus, statusTime } from "../../helpers/made-status.ts";

/** The text of some HTML, roughly as it is read. */
function textOf(html: string): string {
  return html
    .replaceAll(/<[^>]*>/g, " ")
    .replaceAll(/\s+/g, " ")
    .replaceAll("&lt;", "<");
}

const view = { status: madeStatus(), history: madeHistory, range: "7d" } as const;

describe("the page", () => {
  it("tells ages against objectives, what is kept, what runs next, and what pruning will forget", () => {
    const text = textOf(render(view).text);
    for (const piece of [
      "The objective is met",
      "primary 10m of 1h",
      "next run in 14m",
      "3 points",
      "1 of 3: 77aa22bb of 2026-11-22 05:20",
      "no rule keeps it: last 3",
      "10.0 KiB stored",
      "when asked to",
    ]) {
      expect(text).toContain(piece);
    }
    expect(render(view).text).toContain(
      'aria-label="3 recovery points, the oldest of 2026-11-22, 1 verified, 1 held, objective missed once"',
    );
  });

  it("shows where a replica is filled from, when it isn't the primary, and what isn't locked there", () => {
    const replications = [{ policy: "often", from: "town", unlocked: 3 }];
    const locations = madeStatus().locations.map((one) => ({ ...one, location: "far", replications }));
    const text = textOf(render({ ...view, status: madeStatus({ locations }) }).text);
    expect(text).toMatch(/From +town \(often\) +Not locked +often: 3 points/);
    expect(textOf(render(view).text)).not.toContain("Not locked");
  });

  it("shows what runs with its share, rate and time left, and what waits", () => {
    const none = { source: undefined, location: undefined, done: undefined, total: undefined, rate: undefined };
    const work = [
      {
        ...none,
        stage: "capture",
        policy: "often",
        source: "docs",
        started: statusTime - 5000,
        done: 2048,
        total: 8192,
        rate: 1024,
        timeLeft: 6000,
      },
      { ...none, stage: "capture", policy: "often", source: "mail", started: undefined, timeLeft: undefined },
    ] as const;
    const text = textOf(render({ ...view, status: madeStatus({ work }) }).text);
    expect(text).toContain("Capture of docs (often) 2.0 KiB of 8.0 KiB · 25 % · 1.0 KiB/s · 6s left · for 5s");
    expect(text).toContain("Waiting for their turn: Capture of mail (often)");
  });

  it("says that new rules hold the pruning back, and how it is allowed", () => {
    const history = { ...madeHistory, prunes: madeHistory.prunes.map((one) => ({ ...one, heldBack: true })) };
    const text = textOf(render({ ...view, history }).text);
    expect(text).toContain("held back");
    expect(text).toContain("stillpoint config accept");
  });

  it("says so while the recovery points are still being read, and when nothing is protected", () => {
    expect(render({ ...view, history: undefined }).text).toContain("being read");
    const nothing = madeStatus({ points: [], policies: [], locations: [] });
    expect(render({ ...view, status: nothing }).text).toContain("No policy protects anything yet");
  });

  it("takes no name and no message for anything but text", () => {
    const evil = `"><script>alert(1)</script><svg onload=alert(1)>'&`;
    const error = { code: "internal", message: evil } as const;
    const work = { stage: "capture", policy: evil, source: evil, location: evil, started: 1 } as const;
    const status = madeStatus({
      host: evil,
      version: evil,
      config: { file: evil, current: false, loaded: 0, error },
      notReady: [`${evil} has not been looked at yet.`],
      points: [
        madePoint({ policy: evil, source: evil, location: evil }),
        madePoint({ source: evil, newest: undefined }),
      ],
      policies: [{ policy: evil, sources: [evil], running: true, nextRun: 1, lag: 1, lastJob: undefined }],
      locations: madeStatus().locations.map((one) => ({ ...one, location: evil, reachable: false, error })),
      failures: [
        { stage: "sweep", location: evil, errors: [error], first: 1, last: 1, count: 1 },
        { stage: "check", location: evil, errors: [error], first: 1, last: 1, count: 1, over: 2 },
      ],
      work: [{ ...work, done: 1, total: 2, rate: 1, timeLeft: 1 }],
      notifications: [{ channel: evil, failures: 1, succeeded: 1, error: evil }],
    });
    const history = JSON.parse(
      JSON.stringify(madeHistory).replaceAll(/"(docs|often|primary|last|last 3)"/g, JSON.stringify(evil)),
    );
    const page = documentOf({ status, history, range: "7d" }, { script: "/page/main.js" });
    expect(page).toContain("&lt;script&gt;alert(1)");
    expect(page.match(/<script/g)).toEqual(["<script"]);
    expect(page).not.toContain("<svg onload");
  });

  it("survives absurd times", () => {
    const newest = { ...madePoint().newest, time: 1e300 } as NonNullable<ReturnType<typeof madePoint>["newest"]>;
    const points = [madePoint({ newest, verified: -1e300 })];
    expect(() => render({ ...view, status: madeStatus({ points }) })).not.toThrow();
  });
});

describe("the scale", () => {
  it("is a week unless one of the others is named", () => {
    expect([rangeNamed("30d"), rangeNamed("<b>"), rangeNamed(null)]).toEqual(["30d", "7d", "7d"]);
  });

  it("has ticks at round times, in UTC", () => {
    const labels = (range: "24h" | "7d" | "30d" | "1y"): string[] =>
      ticksOf(scaleOf(range, statusTime)).map(({ label }) => label);
    expect(labels("24h").slice(0, 2)).toEqual(["15:00", "18:00"]);
    expect(labels("7d").slice(0, 2)).toEqual(["Mon 16", "Tue 17"]);
    expect(labels("1y").slice(0, 3)).toEqual(["Dec", "Jan", "Feb"]);
    expect(labels("30d").length).toBeGreaterThan(4);
  });
});
