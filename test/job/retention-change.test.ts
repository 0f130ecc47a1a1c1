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
const at = "/mnt/usb";
const day = 86_400_000;

function rulesOf(keep: RetentionRules["keep"]): RetentionRules {
  return { keep, timezone: "UTC", unreplicated };
}

function records(): RetentionRecords {
  return new RetentionRecords(new StateFolder("/state", new SimulatedDisk()));
}

/** A plan for one source, as far as the guard looks at it; of those kept, `deferred` are kept only for now. */
function losing(forgotten: number, points: number, source = "etc", deferred = 0) {
  const some = (length: number) => ({ length });
  return { source, keep: some(points - forgotten), deferred: some(deferred), remove: some(forgotten), inherited: [] };
}

type Plan = ReturnType<typeof losing>;

/** Prunes by rules with the share of one half, if they may; whether they may. */
async function prunes(kept: RetentionRecords, last: number, plan: Plan, now = 0, where = at): Promise<boolean> {
  const judgement = { place, at: where, now, share: 0.5, records: kept };
  const change = await judgeChange(judgement, rulesOf({ last }), { groups: [plan] });
  if (!isBlocked(change)) await carryOutChange(change, () => Promise.resolve({ complete: true }));
  return !isBlocked(change);
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
      let spent = 0;
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
        const change = await judgeChange({ place, at, now: 0, share, records: kept }, rulesOf({ last }), plan);
        const much = usual !== last && forgotten > 0 && spent + forgotten > share * (points + spent);
        const allowed = !much || accepted === last;
        let done = false;
        const work = (): Promise<{ complete: boolean }> => {
          done = true;
          return Promise.resolve({ complete: true });
        };
        const error = await carryOutChange(change, work).then(() => undefined, String);
        expect(done).toBe(allowed);
        expect(error === undefined).toBe(allowed);
        accepted = undefined;
        if (!allowed) continue;
        points -= forgotten;
        if (much) spent = 0;
        else if (usual !== last) spent += forgotten;
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
        await kept.apply(place, { rules: rulesOf(keep), sources: ["etc"], at, spent: {}, inherited: [] });
        const applied = await kept.applied(place, at);
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
    const change = { rules: rulesOf({ last: 5 }), applied: undefined, now: 0 };
    expect(excessesOf([losing(5, 10, "etc", 5)], change, 0.5)).toEqual([]);
    expect(excessesOf([losing(6, 10)], change, 0.5)).toMatchObject([{ source: "etc", points: 10, forgotten: 6 }]);
  });
});

describe("ways around it", () => {
  test("edits in a row are judged together, for a month, or until one is accepted", async () => {
    const kept = records();
    expect(await prunes(kept, 100, losing(0, 100))).toBe(true);
    expect(await prunes(kept, 60, losing(40, 100), day)).toBe(true);
    expect(await prunes(kept, 40, losing(20, 60), 2 * day)).toBe(false);
    expect(await prunes(kept, 59, losing(1, 60), 2 * day)).toBe(true);
    expect(await prunes(kept, 40, losing(19, 59), 30 * day)).toBe(false);
    expect(await prunes(kept, 40, losing(19, 59), 31 * day)).toBe(true);
    await kept.accept(place, { fingerprint: fingerprintOf(rulesOf({ last: 9 })), time: 1, by: "root" });
    expect(await prunes(kept, 9, losing(31, 40), 32 * day)).toBe(true);
    expect(await prunes(kept, 6, losing(3, 9), 32 * day)).toBe(true);
  });

  test("what rules give up counts, though a lock or a dead replica keeps it for now", async () => {
    const kept = records();
    expect(await prunes(kept, 100, losing(0, 100))).toBe(true);
    expect(await prunes(kept, 2, losing(0, 100, "etc", 98))).toBe(false);
    expect(await prunes(kept, 100, losing(0, 100, "etc", 0))).toBe(true);
    expect(await prunes(kept, 60, losing(0, 100, "etc", 40))).toBe(true);
    expect(await prunes(kept, 60, losing(40, 100))).toBe(true);
    expect(await prunes(kept, 40, losing(20, 60))).toBe(false);
  });

  test("rules that were applied where the location has been meanwhile are new where it was before", async () => {
    const kept = records();
    expect(await prunes(kept, 100, losing(0, 100))).toBe(true);
    expect(await prunes(kept, 2, losing(0, 1), day, "/mnt/another")).toBe(true);
    expect(await prunes(kept, 2, losing(98, 100), 2 * day)).toBe(false);
  });
});

test("a source that comes from another policy is new to the rules, however old they are", async () => {
  const kept = records();
  const rules = rulesOf({ last: 2 });
  await kept.apply(place, { rules, sources: ["etc"], at, spent: {}, inherited: [] });
  const plan = { groups: [losing(8, 10), losing(90, 92, "srv")] };
  const change = await judgeChange({ place, at, now: 0, share: 0.5, records: kept }, rules, plan);
  expect(change.excesses).toMatchObject([{ source: "srv", points: 92, forgotten: 90 }]);
  const error = await rejection(carryOutChange(change, () => Promise.reject(new Error("was carried out"))));
  expect(error).toMatchObject({ code: "retention_guarded" });
  expect(String(error)).toContain("90 of 92 recovery points of srv, more than the 50 % of `retention_guard`");
});

test("what was inherited is judged by itself, also among many points, and when the rules change with it", async () => {
  const kept = records();
  await kept.apply(place, { rules: rulesOf({ last: 100 }), sources: ["etc"], at, spent: {}, inherited: [] });
  const archive = { from: "archive", points: 12, newest: 0, remove: 12, deferred: 0, shared: 0 };
  const plan = { groups: [{ ...losing(12, 112), inherited: [archive] }] };
  for (const last of [100, 101]) {
    const change = await judgeChange({ place, at, now: 0, share: 0.5, records: kept }, rulesOf({ last }), plan);
    expect(change.excesses).toMatchObject([{ source: "etc", from: "archive", points: 12, forgotten: 12 }]);
  }
  const off = await judgeChange({ place, at, now: 0, share: 1, records: kept }, rulesOf({ last: 100 }), plan);
  expect(isBlocked(off)).toBe(false);
});

test.each([
  ["fails", () => Promise.reject(new Error("disk on fire"))],
  ["is left to the next run", () => Promise.resolve({ complete: false })],
])("work that %s uses nothing up", async (_, work) => {
  const kept = records();
  const rules = rulesOf({ last: 1 });
  await kept.accept(place, { fingerprint: fingerprintOf(rules), time: 1, by: "root" });
  const judgement = { place, at, now: 0, share: 0.5, records: kept };
  const judge = async () => await judgeChange(judgement, rules, { groups: [losing(9, 10)] });
  await carryOutChange(await judge(), work).catch(() => undefined);
  expect(await judge()).toMatchObject({ before: undefined, acceptance: { by: "root" } });
  expect(isBlocked(await judge())).toBe(false);
  await carryOutChange(await judge(), () => Promise.resolve({ complete: true }));
  expect((await judge()).before?.sources).toEqual(["etc"]);
  expect((await judge()).acceptance).toBeUndefined();
});
