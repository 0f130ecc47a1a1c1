import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { carryOutChange, isBlocked, judgeChange } from "../../src/job/retention-change.ts";
import { RetentionRecords } from "../../src/job/retention-records.ts";
import { StateFolder } from "../../src/job/state-folder.ts";
import { excessesOf, fingerprintOf, type RetentionRules } from "../../src/prune/guard-retention.ts";
import { anyRules } from "../policy/arbitraries.ts";
import { rejection } from "../helpers/rejection.ts";
import { SimulatedDisk } from "../helpers/simulated-disk.ts";

const unreplicated = { count: 200, age: 14 * 86_400_000 };
const place = { policy: "nightly", location: "usb" };

function rulesOf(keep: RetentionRules["keep"]): RetentionRules {
  return { keep, timezone: "UTC", unreplicated };
}

function records(): RetentionRecords {
  return new RetentionRecords(new StateFolder("/state", new SimulatedDisk()));
}

/** A plan for one source, as far as the guard looks at it. */
function losing(forgotten: number, points: number, source = "etc") {
  const some = (length: number) => Array.from({ length }, () => ({}) as never);
  return { policy: place.policy, source, keep: some(points - forgotten), remove: some(forgotten), givenUp: [] };
}

interface Step {
  readonly do: "edit" | "prune" | "accept" | "capture";
  readonly last?: number;
  readonly points?: number;
}

describe("a history of edits, prunes and acceptances", () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("edit" as const), last: fc.integer({ min: 1, max: 6 }) }),
    fc.record({ do: fc.constant("prune" as const) }),
    fc.record({ do: fc.constant("accept" as const) }),
    fc.record({ do: fc.constant("capture" as const), points: fc.integer({ min: 1, max: 6 }) }),
  );

  test("no rules that are new and not accepted forget more than the share; all others are carried out", async () => {
    const check = async (steps: readonly Step[], share: number): Promise<void> => {
      const kept = records();
      let [last, points] = [3, 3];
      let usual: number | undefined;
      let accepted: number | undefined;
      for (const one of steps) {
        if (one.do === "edit") last = one.last ?? last;
        if (one.do === "capture") points += one.points ?? 0;
        if (one.do === "accept") {
          await kept.accept(place, { fingerprint: fingerprintOf(rulesOf({ last })), time: 1, by: "root" });
          accepted = last;
        }
        if (one.do !== "prune") continue;
        const forgotten = Math.max(0, points - last);
        const plan = { groups: [losing(forgotten, points)] };
        const change = await judgeChange({ place, share, records: kept }, rulesOf({ last }), plan);
        const allowed = forgotten <= share * points || usual === last || accepted === last;
        let done = false;
        const work = (): Promise<void> => Promise.resolve(void (done = true));
        const error = await carryOutChange(change, work).then(() => undefined, String);
        expect(done).toBe(allowed);
        expect(error === undefined).toBe(allowed);
        accepted = undefined;
        if (!allowed) continue;
        points -= forgotten;
        usual = last;
      }
    };
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 12 }), fc.constantFrom(0.1, 0.5, 1), check), {
      numRuns: 150,
    });
  });
});

describe("what is remembered", () => {
  test("any rules come back as they were", async () => {
    await fc.assert(
      fc.asyncProperty(anyRules, async (keep) => {
        const kept = records();
        await kept.apply(place, { rules: rulesOf(keep), sources: ["etc"] });
        const applied = await kept.applied(place);
        expect(applied?.sources).toEqual(["etc"]);
        expect(fingerprintOf(applied?.rules ?? rulesOf({}))).toBe(fingerprintOf(rulesOf(keep)));
      }),
      { numRuns: 50 },
    );
  });

  test("rules are others when anything that decides is", () => {
    const rules = rulesOf({ daily: 7, tags: [["a"]] });
    const others = [
      rulesOf({ daily: 8, tags: [["a"]] }),
      rulesOf({ weekly: 7, tags: [["a"]] }),
      rulesOf({ daily: 7, tags: [["a"], ["b"]] }),
      rulesOf({ daily: 7, within: { years: 0, months: 0, days: 1, hours: 0 }, tags: [["a"]] }),
      { ...rules, timezone: "Europe/Berlin" },
      { ...rules, unreplicated: { ...unreplicated, count: 1 } },
    ];
    expect(new Set([rules, ...others].map(fingerprintOf)).size).toBe(others.length + 1);
    expect(fingerprintOf(rulesOf({ tags: [["a"]], daily: 7, hourly: 0 }))).toBe(fingerprintOf(rules));
  });

  test("a lost state folder: judged by the share alone", () => {
    expect(excessesOf([losing(5, 10)], rulesOf({ last: 5 }), undefined, 0.5)).toEqual([]);
    expect(excessesOf([losing(6, 10)], rulesOf({ last: 4 }), undefined, 0.5)).toEqual([
      { source: "etc", points: 10, forgotten: 6 },
    ]);
  });
});

test("a source that comes from another policy is new to the rules, however old they are", async () => {
  const kept = records();
  const rules = rulesOf({ last: 2 });
  await kept.apply(place, { rules, sources: ["etc"] });
  const plan = { groups: [losing(8, 10), losing(90, 92, "srv")] };
  const change = await judgeChange({ place, share: 0.5, records: kept }, rules, plan);
  expect(change.excesses).toEqual([{ source: "srv", points: 92, forgotten: 90 }]);
  const error = await rejection(carryOutChange(change, () => Promise.reject(new Error("was carried out"))));
  expect(error).toMatchObject({ code: "retention_guarded" });
  expect(String(error)).toContain("90 of 92 recovery points of srv, more than the 50 % of `retention_guard`");
});

test("work that fails uses nothing up", async () => {
  const kept = records();
  const rules = rulesOf({ last: 1 });
  await kept.accept(place, { fingerprint: fingerprintOf(rules), time: 1, by: "root" });
  const judge = async () => await judgeChange({ place, share: 0.5, records: kept }, rules, { groups: [losing(9, 10)] });
  await rejection(carryOutChange(await judge(), () => Promise.reject(new Error("disk on fire"))));
  expect(isBlocked(await judge())).toBe(false);
  await carryOutChange(await judge(), () => Promise.resolve());
  expect((await judge()).before?.sources).toEqual(["etc"]);
  expect((await judge()).acceptance).toBeUndefined();
});
