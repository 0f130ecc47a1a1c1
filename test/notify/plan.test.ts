import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Concern, Notice } from "../../src/notify/notice.ts";
import { keyOf } from "../../src/notify/notice.ts";
import { planNotices, type Told } from "../../src/notify/plan.ts";
import type { NotifyEvent } from "../../src/policy/config.ts";

const everything: readonly NotifyEvent[] = ["failure", "objective_missed", "recovered"];
const hour = 3_600_000;

function capture(trouble: string | undefined, source = "docs"): Concern {
  return { subject: { kind: "capture", policy: "often", source }, event: "failure", trouble };
}

/** Plans again and again, each time with what the last plan left, and gives what was told each time. */
function tell(
  rounds: readonly (readonly Concern[])[],
  settings: { on?: readonly NotifyEvent[]; remind?: number } = {},
): string[][] {
  let told: Told = {};
  return rounds.map((concerns, round) => {
    const { on = everything, remind } = settings;
    const plan = planNotices(concerns, told, { on, remind, now: round * hour });
    ({ told } = plan);
    return plan.notices.map(
      ({ event, reminder, since, text }) =>
        `${event}${reminder ? " again" : ""} since ${String(since / hour)}: ${text}`,
    );
  });
}

describe("a trouble", () => {
  it("is told once, also when it gets worse, and once that it is over", () => {
    expect(
      tell([[capture(undefined)], [capture("a")], [capture("b")], [capture(undefined)], [capture(undefined)]]),
    ).toEqual([
      [],
      ["failure since 1: capture of docs (often): a"],
      [],
      ["recovered since 1: capture of docs (often): all is well again"],
      [],
    ]);
  });

  it("is told again when it comes again, with another id", () => {
    const first = planNotices([capture("a")], {}, { on: everything, remind: undefined, now: 1 });
    const over = planNotices([capture(undefined)], first.told, { on: everything, remind: undefined, now: 2 });
    const second = planNotices([capture("a")], over.told, { on: everything, remind: undefined, now: 3 });
    expect(over.notices[0]?.id).toBe(first.notices[0]?.id);
    expect(second.notices).toHaveLength(1);
    expect(second.notices[0]?.id).not.toBe(first.notices[0]?.id);
  });

  it("that says when it began is told whenever it began anew, and not taken back", () => {
    const deleted = (since: number, trouble: string): Concern => ({
      subject: { kind: "deletion", policy: "often", location: "far" },
      event: "failure",
      trouble,
      since: since * hour,
    });
    expect(tell([[deleted(0, "a")], [deleted(0, "a")], [deleted(2, "b")], [deleted(2, "b")], []])).toEqual([
      ["failure since 0: deletion of often at far: a"],
      [],
      ["failure since 2: deletion of often at far: b"],
      [],
      [],
    ]);
  });

  it("is told again after a while, when that is wanted", () => {
    const rounds = [[capture("a")], [capture("a")], [capture("a")], [capture("a")], [capture(undefined)]];
    expect(tell(rounds, { remind: 2 * hour }).map(([text]) => text?.split(":")[0])).toEqual([
      "failure since 0",
      undefined,
      "failure again since 0",
      undefined,
      "recovered since 0",
    ]);
  });

  it("of a kind that nobody asked for isn't told, nor its end", () => {
    expect(tell([[capture("a")], [capture(undefined)]], { on: ["objective_missed", "recovered"] })).toEqual([[], []]);
  });

  it("is told the next time too, when nobody wants to hear of its end", () => {
    const told = tell([[capture("a")], [capture(undefined)], [capture("b")]], { on: ["failure"] });
    expect(told.map(({ length }) => length)).toEqual([1, 0, 1]);
  });

  it("of something that the configuration doesn't name any more is forgotten: nobody says that it is well", () => {
    expect(tell([[capture("a")], [], [capture(undefined)]]).map(({ length }) => length)).toEqual([1, 0, 0]);
  });
});

it("a message has a hundred notices at most, and nothing is lost by that", () => {
  const names = Array.from({ length: 250 }, (_, index) => `source-${String(index)}`);
  const broken = names.map((name) => capture("away", name));
  const mended = names.map((name) => capture(undefined, name));
  const counts = tell([broken, broken, broken, broken, mended, mended, mended, mended]).map(({ length }) => length);
  expect(counts).toEqual([100, 100, 50, 0, 100, 100, 50, 0]);
});

it("whatever happens, what a receiver believes is what is so, as soon as nothing is left to tell", () => {
  const subjects = ["a", "b", "c"];
  const states = fc.array(fc.tuple(...subjects.map(() => fc.option(fc.constant("broken"), { nil: undefined }))));
  const deliveries = fc.infiniteStream(fc.boolean());
  fc.assert(
    fc.property(states, deliveries, (rounds, delivered) => {
      let told: Told = {};
      const believed = new Set<string>();
      const look = (state: readonly (string | undefined)[], now: number, arrives: boolean): readonly Notice[] => {
        const concerns = state.map((trouble, index) => capture(trouble, subjects[index]));
        const plan = planNotices(concerns, told, { on: everything, remind: undefined, now });
        if (!arrives) return plan.notices;
        ({ told } = plan);
        for (const { event, subject } of plan.notices) {
          const key = keyOf(subject);
          // Never told twice: neither a trouble that is known nor the end of one that isn't.
          expect(believed.has(key)).toBe(event === "recovered");
          if (event === "recovered") believed.delete(key);
          else believed.add(key);
        }
        return plan.notices;
      };
      for (const [now, state] of rounds.entries()) look(state, now, delivered.next().value === true);
      const last = rounds.at(-1) ?? [];
      look(last, rounds.length, true);
      expect(look(last, rounds.length + 1, true)).toEqual([]);
      expect(believed.size).toBe(last.filter((trouble) => trouble !== undefined).length);
    }),
  );
});
