/**
 * Our keep rules against restic's, on the same points: random times over four years, in clusters, across the changes of
 * the clocks, with tags. Skipped where restic isn't installed.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseKeepRules, parsePoints } from "../../src/policy/simulate.ts";
import type { Point } from "../../src/policy/retention.ts";
import { applyRules } from "../../src/policy/retention.ts";
import { seededRandom } from "../helpers/seeded-random.ts";

const pointCount = 24;
const ruleSets = 12;
const zone = "Europe/Berlin";

function resticVersion(): number | undefined {
  try {
    const [, major, minor] =
      /restic (\d+)\.(\d+)/.exec(execFileSync("restic", ["version"], { encoding: "utf8" })) ?? [];
    return Number(major) * 100 + Number(minor);
  } catch {
    return undefined;
  }
}

const version = resticVersion();

describe.skipIf(version === undefined)("keep rules decide as restic's", () => {
  let folder = "";
  const seeded = seededRandom(20_260_301);
  const random = (): number => seeded.fraction();
  const pick = (count: number): number => Math.floor(random() * count);
  let points: Point[] = [];

  function restic(...argv: string[]): string {
    const env = { ...process.env, TZ: zone, RESTIC_PASSWORD: "test", RESTIC_REPOSITORY: join(folder, "repository") };
    return execFileSync("restic", ["--no-cache", ...argv], { encoding: "utf8", env, maxBuffer: 64 * 2 ** 20 });
  }

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "stillpoint-restic-"));
    restic("init");
    writeFileSync(join(folder, "file"), "content");
    const start = Date.UTC(2021, 11, 20);
    for (let index = 0; index < pointCount; index++) {
      // A third are near a change of the clocks or of the year, the rest anywhere in four years.
      const anchors = [Date.UTC(2022, 2, 27), Date.UTC(2022, 9, 29, 22), Date.UTC(2020, 11, 31), Date.UTC(2023, 0, 1)];
      const near = (anchors[pick(anchors.length)] ?? 0) + pick(2 * 86_400) * 1000;
      const time = index % 3 === 0 ? near : start - pick(4 * 365 * 86_400) * 1000;
      const wall = new Date(time).toLocaleString("sv-SE", { timeZone: zone });
      const tags = ["a", "b", "c"].filter(() => random() < 0.2).flatMap((tag) => ["--tag", tag]);
      restic("backup", "--quiet", "--force", "--time", wall, ...tags, join(folder, "file"));
    }
    points = parsePoints(restic("snapshots", "--json"), "restic");
  }, 300_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** Old versions such as 0.14: the oldest point didn't take a slot that was still free. */
  function keepsOldest(): boolean {
    const oldest = points.toSorted((a, b) => a.time - b.time)[0]?.id ?? "";
    return forget("--keep-yearly", "1000").includes(oldest);
  }

  function forget(...argv: string[]): string[] {
    const [group] = JSON.parse(restic("forget", "--dry-run", "--json", "--no-lock", ...argv)) as [
      { keep: { id: string }[] | null },
    ];
    return (group.keep ?? []).map(({ id }) => id);
  }

  test("for random sets of rules", () => {
    const oldest = keepsOldest();
    for (let round = 0; round < ruleSets; round++) {
      const { yaml, argv } = randomRules(pick, version ?? 0);
      const rules = parseKeepRules(yaml, "keep.yaml");
      const decision = applyRules(points, rules, { now: Date.UTC(2026, 6, 1), timezone: zone });
      const ours = decision.keep.filter(
        ({ reasons }) => oldest || !reasons.every((reason) => reason.startsWith("oldest")),
      );
      expect({ yaml, kept: ours.map(({ id }) => id).toSorted() }).toEqual({ yaml, kept: forget(...argv).toSorted() });
    }
  });
});

function randomRules(pick: (count: number) => number, resticIs: number): { yaml: string; argv: string[] } {
  const yaml: string[] = [];
  const argv: string[] = [];
  for (const rule of ["last", "hourly", "daily", "weekly", "monthly", "yearly"]) {
    if (pick(3) > 0) continue;
    // restic knows -1 since 0.15.
    const count = resticIs >= 15 && pick(8) === 0 ? -1 : 1 + pick(8);
    yaml.push(`${rule}: ${count}`);
    argv.push(`--keep-${rule}`, String(count));
  }
  for (const rule of ["within", "within-hourly", "within-daily", "within-weekly", "within-monthly", "within-yearly"]) {
    if (pick(4) > 0) continue;
    const period = [`${1 + pick(3)}y`, `${1 + pick(14)}m`, `${1 + pick(90)}d`, `${1 + pick(100)}h`]
      .filter(() => pick(2) === 0)
      .join("");
    if (period === "") continue;
    yaml.push(`${rule.replace("-", "_")}: ${period}`);
    argv.push(`--keep-${rule}`, period);
  }
  if (pick(3) === 0 || yaml.length === 0) {
    yaml.push("tags: [[a, b], [c]]");
    argv.push("--keep-tag", "a,b", "--keep-tag", "c");
  }
  return { yaml: yaml.join("\n"), argv };
}
