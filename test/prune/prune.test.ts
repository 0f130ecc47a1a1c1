import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import type { KeepRules } from "../../src/policy/retention.ts";
import { executePrune } from "../../src/prune/execute-prune.ts";
import { planPrune, type PruneGroup, type PruneInput, type PrunePlan } from "../../src/prune/plan-prune.ts";
import { type CatalogPoint, loadCatalog } from "../../src/repository/points/catalog.ts";
import { putSmallObject } from "../../src/repository/points/small-objects.ts";
import { rejection } from "../helpers/rejection.ts";
import {
  alter,
  captureTiny,
  flipByte,
  makeTestRepository,
  namesOf,
  reopen,
  type TestRepository,
} from "../helpers/repository.ts";
import { SimulatedCrash } from "../helpers/simulated-disk.ts";

const day = 86_400_000;
const cap = { count: 3, age: 7 * day };
let here: TestRepository;

beforeEach(async () => {
  here = await makeTestRepository();
  for (let i = 1; i <= 6; i++) {
    await captureTiny(here.repository, { image: [i, i + 1] });
    here.clock.pass(day);
  }
});

async function catalog(): Promise<readonly CatalogPoint[]> {
  return (await loadCatalog(here.repository)).points;
}

function plan(
  points: readonly CatalogPoint[],
  keep: KeepRules,
  more: Partial<PruneGroup> = {},
  input: Partial<PruneInput> = {},
): PrunePlan {
  const group = { policy: "p", source: "tiny", points, keep, timezone: "UTC", cap, ...more };
  return planPrune({ location: "primary", replica: false, now: here.clock.now(), groups: [group], ...input });
}

async function hold(point: CatalogPoint | undefined): Promise<void> {
  const time = new Date(here.clock.now()).toISOString();
  await putSmallObject(here.repository, "holds", { version: 1, point: point?.id ?? "", time, reason: "held" });
}

describe("a plan", () => {
  test("is executed as it stands, oldest first, with a record of each", async () => {
    const points = await catalog();
    const planned = plan(points, { last: 2 });
    expect(planned.groups[0]?.keep.map(({ reasons }) => reasons)).toEqual([expect.arrayContaining(["last"]), ["last"]]);
    const told: string[] = [];
    const { forgotten } = await executePrune(here.repository, planned, { onForgotten: ({ id }) => void told.push(id) });
    expect(forgotten).toEqual(points.slice(0, 4).map(({ id }) => id));
    expect(told).toEqual(forgotten);
    expect((await catalog()).map(({ id }) => id)).toEqual(points.slice(4).map(({ id }) => id));
    expect(await namesOf(here.repository.storage, "forgotten/")).toEqual(
      forgotten.map((id) => `forgotten/${id}`).sort(),
    );
  });

  test("has every point once, and never leaves a source without one", async () => {
    const points = await catalog();
    const rules = fc.record({ last: fc.nat(7), daily: fc.nat(7) });
    await fc.assert(
      fc.asyncProperty(rules, fc.boolean(), async (keep, replica) => {
        const [group] = (await Promise.resolve(plan(points, keep, {}, { replica }))).groups;
        const kept = group?.keep.map(({ id }) => id) ?? [];
        expect(kept.length).toBeGreaterThan(0);
        expect([...kept, ...(group?.remove ?? []).map(({ id }) => id)].sort()).toEqual(
          points.map(({ id }) => id).sort(),
        );
      }),
    );
  });

  test("keeps what a replica lacks, up to the cap", async () => {
    const points = await catalog();
    const [group] = plan(points, { last: 1 }, { missingAt: () => ["usb"] }).groups;
    expect(group?.keep).toHaveLength(4);
    expect(group?.givenUp).toHaveLength(2);
    expect(group?.keep[1]?.reasons).toEqual(["not yet at usb"]);
  });
});

describe("a hold", () => {
  test("keeps its point, even one that can't be read", async () => {
    const [first, second] = await catalog();
    await hold(first);
    await hold(second);
    await alter(here.disk, `holds/${second?.id ?? ""}`, flipByte(60));
    const { points, damaged } = await loadCatalog(here.repository);
    const planned = plan(points, { last: 1 }, {}, { damaged: damaged.map(({ name }) => name) });
    expect(planned.groups[0]?.keep.map(({ id }) => id)).toEqual([points.at(-1)?.id, second?.id, first?.id]);
  });

  test("placed after the plan was made counts", async () => {
    const points = await catalog();
    const planned = plan(points, { last: 1 });
    await hold(points[2]);
    const { forgotten, held, complete } = await executePrune(here.repository, planned);
    expect(held).toEqual([points[2]?.id]);
    expect(forgotten).toHaveLength(4);
    expect(complete).toBe(true);
  });
});

test("cut off anywhere, it has forgotten each point with a record, or not at all; then it goes on", async () => {
  const points = await catalog();
  const planned = plan(points, { last: 2 });
  for (let step = 1; ; step++) {
    const disk = here.disk.copy();
    disk.crashAt(step);
    const crash = await executePrune(reopen(here, disk).repository, planned).catch((error: unknown) => error);
    if (!disk.crashed) break;
    expect(crash).toBeInstanceOf(SimulatedCrash);
    const again = reopen(here, disk.afterCrash({ dropUnsynced: true, seed: step })).repository;
    const { points: left } = await loadCatalog(again);
    const records = await namesOf(again.storage, "forgotten/");
    for (const { id } of points)
      expect(left.some((point) => point.id === id) || records.includes(`forgotten/${id}`)).toBe(true);
    await executePrune(again, {
      ...planned,
      groups: planned.groups.map((group) => ({
        ...group,
        remove: group.remove.filter(({ id }) => left.some((point) => point.id === id)),
      })),
    });
    expect((await loadCatalog(again)).points.map(({ id }) => id)).toEqual(points.slice(4).map(({ id }) => id));
  }
});

test("an execution stops when its plan doesn't hold any more, and what it did stays", async () => {
  const points = await catalog();
  const answers = [true, true];
  const holds = (): boolean => answers.shift() ?? false;
  const executed = await executePrune(here.repository, plan(points, { last: 1 }), { holds });
  expect(executed).toEqual({ forgotten: points.slice(0, 2).map(({ id }) => id), held: [], complete: false });
  expect(await catalog()).toHaveLength(4);
});

test("a cancelled execution stops, and what it did stays", async () => {
  const planned = plan(await catalog(), { last: 1 });
  const stop = new AbortController();
  const error = await rejection(
    executePrune(here.repository, planned, { signal: stop.signal, onForgotten: () => stop.abort() }),
  );
  expect(error).toMatchObject({ code: "cancelled" });
  expect(await catalog()).toHaveLength(5);
});
