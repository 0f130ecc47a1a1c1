import { describe, expect, it } from "vitest";
import type { DaemonStatus } from "../../../src/daemon/control-protocol.ts";
import type { Failure } from "../../../src/daemon/failure-log.ts";
import { problemsOf, verdictOf } from "../../../src/daemon/page/problems.ts";
import { madePoint, madeStatus, statusTime } from "../../helpers/made-status.ts";

function verdict(status: DaemonStatus): [string, string] {
  const { level, headline } = verdictOf(status, problemsOf(status));
  return [level, headline];
}

const minute = 60_000;
const [location] = madeStatus().locations;
const failure: Failure = {
  stage: "capture",
  policy: "often",
  source: "docs",
  errors: [
    { code: "source_missing", message: "Cannot read docs." },
    { code: "hook_failed", message: "The hook failed." },
  ],
  first: statusTime - 120 * minute,
  last: statusTime - 5 * minute,
  count: 3,
};

describe("the verdict", () => {
  it("is that all is well when every objective is met", () => {
    expect(verdict(madeStatus())).toEqual(["good", "The objective is met"]);
    const points = [madePoint(), madePoint({ location: "far" })];
    expect(verdict(madeStatus({ points }))).toEqual(["good", "All 2 objectives are met"]);
  });

  it("counts missed objectives; what was never captured misses its own", () => {
    const points = [madePoint(), madePoint({ objective: minute }), madePoint({ newest: undefined })];
    expect(verdict(madeStatus({ points }))).toEqual(["bad", "2 of 3 objectives are missed"]);
    expect(verdict(madeStatus({ points: [madePoint({ newest: undefined })] }))).toEqual([
      "bad",
      "The objective is missed",
    ]);
  });

  it("promises nothing where nothing is promised", () => {
    expect(verdict(madeStatus({ points: [madePoint({ objective: undefined })] }))[1]).toContain("no objectives");
    expect(verdict(madeStatus({ points: [] }))).toEqual(["warn", "Nothing is protected yet"]);
  });

  it("is a warning while only a replica is away or failing", () => {
    const error = { code: "storage_unreachable", message: "There is no folder /mnt." } as const;
    const away = { ...location, location: "far", reachable: false, error } as DaemonStatus["locations"][number];
    expect(verdict(madeStatus({ locations: [away] }))).toEqual(["warn", "One thing needs attention"]);
    expect(verdict(madeStatus({ locations: [{ ...away, location: "primary" }] }))[0]).toBe("bad");
    expect(verdict(madeStatus({ failures: [{ ...failure, over: statusTime }] }))[0]).toBe("good");
  });
});

describe("problems", () => {
  it("are told with all that was said, the worst first", () => {
    const error = { code: "config_invalid", message: "stillpoint.yaml:3:1: unknown key" } as const;
    const status = madeStatus({
      config: { ...madeStatus().config, current: false, error },
      failures: [{ ...failure, stage: "replication", location: "far" }, failure],
    });
    expect(problemsOf(status).map(({ level, kind, title, text }) => [level, kind, title, text])).toEqual([
      ["bad", "Config refused", expect.stringContaining("/etc/stillpoint/stillpoint.yaml"), error.message],
      [
        "bad",
        "Failing",
        "Capture of docs (often) failed 3 times in a row since 2h, last 5m ago",
        "Cannot read docs.\nThe hook failed.",
      ],
      ["warn", "Failing", expect.stringContaining("Replication of often to far"), expect.any(String)],
    ]);
  });

  it("stay readable when everything is missed", () => {
    const points = Array.from({ length: 100 }, (_, number) => madePoint({ source: `s${number}`, newest: undefined }));
    const problems = problemsOf(madeStatus({ points }));
    expect(problems).toHaveLength(11);
    expect(problems.at(-1)?.title).toBe("and 90 more, marked below");
  });

  it("tell damage once, by the failed check if that is known", () => {
    const locations = [{ ...location, findings: 2 }] as DaemonStatus["locations"];
    expect(problemsOf(madeStatus({ locations })).map(({ kind }) => kind)).toEqual(["Damage"]);
    const check = { ...failure, stage: "check", location: "primary" } as const;
    expect(problemsOf(madeStatus({ locations, failures: [check] })).map(({ kind }) => kind)).toEqual(["Failing"]);
  });
});
