/** Sweeps in made-up histories: with captures and forgets beside them, faulty storages, and the power going at any moment. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BlobStore } from "../../../src/repository/blobs/blob-store.ts";
import { commitPoint, forgetPoint, loadCatalog, recordLasts } from "../../../src/repository/points/catalog.ts";
import { inlineExecutor } from "../../../src/repository/threads/executor.ts";
import type { RecoveryPoint } from "../../../src/repository/points/manifest.ts";
import { repairRepository } from "../../../src/repository/repair/repair.ts";
import type { Repository } from "../../../src/repository/repository.ts";
import { sweep, type SweepOptions, type SweepReport } from "../../../src/repository/sweep/sweep.ts";
import { usualLimits } from "../../../src/repository/sweep/plan.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { endEarly, FaultyStorage, flipBit, type ScriptedFault } from "../../helpers/faulty-storage.ts";
import {
  captureTiny,
  expectedContents,
  makeTestRepository,
  namesOf,
  overriding,
  readTiny,
  reopen,
  storeTiny,
  type TestRepository,
  type TinyContent,
} from "../../helpers/repository.ts";
import { SimulatedCrash } from "../../helpers/simulated-disk.ts";

const hour = 3_600_000;
const grace = 24 * hour;
const limits = { ...usualLimits, smallPack: 600, smallPacks: 3, smallIndexes: 4 };

async function visit(repository: Repository, of = grace, options: Partial<SweepOptions> = {}): Promise<SweepReport> {
  return await sweep(repository, { grace: of, executor: inlineExecutor, limits, ...options });
}

interface Made {
  readonly point: RecoveryPoint;
  readonly content: TinyContent;
}

interface Begun {
  readonly store: BlobStore;
  readonly grace: number;
  /** A point that the capture takes everything over from, unseen; undefined when it looks up each blob. */
  readonly same: Made | undefined;
}

/** What a user and a daemon do, and what must be there because of it. */
class History {
  readonly here: TestRepository;
  #made: Made[] = [];
  #begun: Begun | undefined;

  constructor(here: TestRepository) {
    this.here = here;
  }

  get made(): readonly Made[] {
    return this.#made;
  }

  async keep(content: TinyContent): Promise<void> {
    this.#made.push({ point: await captureTiny(this.here.repository, content), content });
  }

  async begin(of = grace): Promise<void> {
    const store = await BlobStore.load(this.here.repository);
    const newest = this.#made.at(-1);
    const same = newest !== undefined && store.mayRelyOn(newest.point.id) ? newest : undefined;
    this.#begun = { store, grace: of, same };
  }

  /** Ends the capture begun, with the newest point's content or another; one that took too long isn't committed. */
  async end(seed: number): Promise<void> {
    const begun = this.#begun;
    this.#begun = undefined;
    if (begun === undefined) return;
    const { repository, clock } = this.here;
    const { store } = begun;
    const tooOld = async (): Promise<boolean> => store.age > (await store.longestReliance(begun.grace, {}));
    clock.pass(1);
    if (begun.same !== undefined && seed % 2 === 0) {
      const time = new Date(clock.now()).toISOString();
      const manifest = { ...begun.same.point.manifest, time };
      if (!(await tooOld())) {
        this.#made.push({ point: await commitPoint(repository, manifest), content: begun.same.content });
      }
      return;
    }
    const content = contentOf(seed);
    const stored = await storeTiny(repository, content, store);
    if (!(await tooOld())) this.#made.push({ point: await stored.commit(), content });
  }

  /** Forgets a point, but not the very first: a sweep refuses when all that it listed are gone when it reads them. */
  async forget(which: number): Promise<void> {
    if (this.#made.length < 2) return;
    const [gone] = this.#made.splice(1 + (which % (this.#made.length - 1)), 1);
    const { points } = await loadCatalog(this.here.repository);
    const point = points.find(({ id }) => id === gone?.point.id);
    if (point !== undefined) await forgetPoint(this.here.repository, point, "test");
  }
}

/** Whether the points are those that must be there, each with its content. */
async function expectWhole({ here, made }: History, repository = here.repository): Promise<void> {
  const { points } = await loadCatalog(repository);
  expect(points.map(({ id }) => id).sort()).toEqual(made.map(({ point }) => point.id).sort());
  const store = await BlobStore.load(repository);
  for (const { point, content } of made) {
    expect(await readTiny(repository, point, store)).toEqual(expectedContents(content));
  }
}

/** Contents with much in common. */
function contentOf(seed: number): TinyContent {
  const digits = Array.from({ length: 6 }, (_, i) => Math.floor(seed / 3 ** i) % 3);
  return {
    image: digits.map((digit, i) => (digit === 0 ? 0 : 10 * i + digit)),
    files: { a: digits.slice(0, 3).map((d) => 100 + d) },
  };
}

/** Few contents, so that what was forgotten comes back; hours that make and break the grace period. */
const seed = fc.constantFrom(100, 101, 364, 365, 700);
const action = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("begin" as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("end" as const), seed }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("forget" as const), which: fc.nat(2) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("pass" as const), hours: fc.constantFrom(2, 22, 24) }) },
);
type Action = typeof action extends fc.Arbitrary<infer A> ? A : never;

async function act(history: History, one: Action): Promise<void> {
  if (one.kind === "begin") await history.begin();
  else if (one.kind === "end") await history.end(one.seed);
  else if (one.kind === "forget") await history.forget(one.which);
  else history.here.clock.pass(one.hours * hour);
}

/** With one point that has nothing in common with any other, and one of the usual kind. */
async function start(): Promise<History> {
  const history = new History(await makeTestRepository());
  await history.keep({ image: [800, 801] });
  await history.begin();
  await history.end(365);
  return history;
}

/** Every call on the storage may come first to `before`, with its number. */
function interrupting(storage: Storage, before: (call: number) => Promise<void>): Storage {
  let calls = 0;
  return overriding(storage, {
    put: async (...call) => {
      await before(++calls);
      await storage.put(...call);
    },
    get: async (...call) => {
      await before(++calls);
      return await storage.get(...call);
    },
    async *list(...call) {
      await before(++calls);
      yield* storage.list(...call);
    },
    delete: async (...call) => {
      await before(++calls);
      await storage.delete(...call);
    },
  });
}

describe("whatever happens in whatever order", () => {
  const sweeping = fc.record({
    kind: fc.constant("sweep" as const),
    beside: fc.array(action, { maxLength: 4 }),
    at: fc.nat(60),
  });
  const histories = fc.array(fc.oneof({ weight: 4, arbitrary: action }, { weight: 2, arbitrary: sweeping }), {
    minLength: 20,
    maxLength: 40,
  });

  test("every committed point is whole, also with captures and forgets during a sweep", async () => {
    await fc.assert(
      fc.asyncProperty(histories, async (steps) => {
        const history = await start();
        const { repository } = history.here;
        for (const step of steps) {
          if (step.kind !== "sweep") {
            await act(history, step);
            continue;
          }
          const beside = [...step.beside];
          const storage = interrupting(repository.storage, async (call) => {
            if (call < step.at) return;
            const next = beside.shift();
            // Time that passes within a sweep is a matter of minutes: its lease would be lost otherwise.
            if (next !== undefined && next.kind !== "pass") await act(history, next);
          });
          await visit({ ...repository, storage });
          await expectWhole(history);
        }
        await expectWhole(history);
      }),
      { numRuns: 12 },
    );
  });

  test("every committed point is whole, also where machines sweep with different grace periods", async () => {
    const graces = fc.constantFrom(grace, 2 * grace, 3 * grace);
    const step = fc.record({ hours: fc.constantFrom(2, 12, 24), point: fc.boolean(), grace: graces });
    const steps = fc.array(step, { maxLength: 6 });
    const after = (hours: number, days: number, point = false) => ({ hours, point, grace: days * grace });
    await fc.assert(
      fc.asyncProperty(graces, steps, steps, async (own, before, beside) => {
        const history = await start();
        const { clock, repository } = history.here;
        const visitAll = async (visits: typeof beside): Promise<void> => {
          for (const one of visits) {
            clock.pass(one.hours * hour);
            if (one.point) await history.keep({ image: [801, 802] });
            await visit(repository, one.grace);
          }
        };
        await visitAll(before);
        // All that the capture finds there is forgotten at once.
        await history.begin(own);
        await history.forget(0);
        await visitAll(beside);
        await history.end(365);
        await expectWhole(history);
      }),
      {
        numRuns: 12,
        examples: [
          // All sweeps have a shorter grace period than the capture.
          [3 * grace, [], [after(24, 1), after(12, 1), after(12, 1)]],
          // What the first has condemned is deleted by one with a longer one.
          [3 * grace, [], [after(12, 1), after(12, 1), after(24, 3)]],
          // The newest record is of one with a longer one.
          [2 * grace, [after(12, 1), after(12, 1)], [after(2, 1), after(24, 2, true), after(2, 1)]],
        ],
      },
    );
  });

  test("in the end only what is needed takes space, and another sweep changes nothing", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 20 }), async (steps) => {
        const history = await start();
        const { clock, disk, repository } = history.here;
        for (const step of steps) await act(history, step);
        for (let i = 0; i < 4; i++) {
          clock.pass(grace);
          await visit(repository);
        }
        const before = disk.contents();
        clock.pass(grace);
        const last = await visit(repository);
        expect(disk.contents()).toEqual(before);
        expect(last).toMatchObject({ condemned: { packs: 0 }, deleted: { packs: 0 }, kept: [], nextVisit: undefined });
        let stored = 0;
        for await (const { size } of repository.storage.list("packs/")) stored += size;
        expect(last.bytesInUse / stored).toBeGreaterThan(0.4);
        await expectWhole(history);
      }),
      { numRuns: 8 },
    );
  });
});

/** A repository in which each visit has something of everything to do. */
async function eventful(): Promise<History> {
  const history = await start();
  const { clock } = history.here;
  for (const content of [101, 333, 555, 717]) {
    await history.begin();
    await history.end(content);
    clock.pass(hour);
  }
  const indexes = await namesOf(history.here.repository.storage, "index/");
  await storeTiny(history.here.repository, { image: [900, 901] });
  for (const name of await namesOf(history.here.repository.storage, "index/")) {
    if (!indexes.includes(name)) await history.here.repository.storage.delete(name);
  }
  for (const which of [1, 2]) await history.forget(which);
  clock.pass(grace);
  return history;
}

async function packBytes({ storage }: Repository): Promise<number> {
  let bytes = 0;
  for await (const { size } of storage.list("packs/")) bytes += size;
  return bytes;
}

describe("a sweep cut off anywhere", () => {
  test.each(["first visit", "second visit", "late visit"])(
    "%s: every point stays whole, and later visits finish the work",
    async (which) => {
      const history = await eventful();
      const { here } = history;
      if (which === "second visit") {
        await visit(here.repository);
        here.clock.pass(grace);
      }
      if (which === "late visit") {
        await visit(here.repository);
        for (const gone of [1, 1]) await history.forget(gone);
        here.clock.pass(recordLasts);
      }
      const finished = reopen(here, here.disk.copy());
      await visitThrice(finished);
      const target = await packBytes(finished.repository);
      for (let step = 1; ; step++) {
        const disk = here.disk.copy();
        disk.crashAt(step);
        const crash = await visit(reopen(here, disk).repository).catch((error: unknown) => error);
        if (!disk.crashed) break;
        expect(crash).toBeInstanceOf(SimulatedCrash);
        const left = (luck: number): TestRepository =>
          reopen(here, disk.afterCrash({ dropUnsynced: true, seed: luck }));
        // The next one isn't refused, whatever of the last deletions has reached the medium.
        for (let luck = step; luck < step + 4; luck++) await visit(left(luck).repository, grace, { dryRun: true });
        const again = left(step);
        await expectWhole(history, again.repository);
        // The whole rest of the way from every eighth step: it takes long, and most steps leave the same behind.
        if (step % 8 !== 0) continue;
        await visitThrice(again);
        await expectWhole(history, again.repository);
        expect(await packBytes(again.repository)).toBeLessThanOrEqual(target * 1.3);
      }
    },
  );

  async function visitThrice({ repository, clock }: TestRepository): Promise<void> {
    for (let i = 0; i < 4; i++) {
      clock.pass(grace);
      await visit(repository);
    }
  }
});

describe("a storage that misbehaves", () => {
  const faults: readonly (readonly [string, ScriptedFault])[] = [
    ["points end early", { operation: "list", name: /^points/, fault: endEarly(2), times: 9 }],
    ["points are empty", { operation: "list", name: /^points/, fault: endEarly(0), times: 9 }],
    [
      "points break off",
      { operation: "list", name: /^points/, fault: { kind: "break", after: 1, code: "storage_failed" }, times: 9 },
    ],
    ["packs are empty", { operation: "list", name: /^packs/, fault: endEarly(0), times: 9 }],
    ["packs end early", { operation: "list", name: /^packs/, fault: endEarly(1), times: 9 }],
    ["index objects end early", { operation: "list", name: /^index/, fault: endEarly(1), times: 9 }],
    ["sweep records are empty", { operation: "list", name: /^sweeps/, fault: endEarly(0), times: 9 }],
    ["holds are empty", { operation: "list", name: /^(holds|tags|proofs|forgotten)/, fault: endEarly(0), times: 9 }],
    [
      "a manifest can't be read",
      { operation: "get", name: /^points/, fault: { kind: "fail", code: "storage_failed" }, nth: 2 },
    ],
    [
      "a manifest seems to be missing",
      { operation: "get", name: /^points/, fault: { kind: "fail", code: "object_missing" }, nth: 2 },
    ],
    ["a manifest is altered", { operation: "get", name: /^points/, fault: flipBit(900), nth: 2 }],
    ["a node is altered", { operation: "get", name: /^packs/, fault: flipBit(900), nth: 3, times: 99 }],
    ["an index object is altered", { operation: "get", name: /^index/, fault: flipBit(900), nth: 2 }],
    [
      "writes fail",
      { operation: "put", name: /^(packs|index|sweeps)/, fault: { kind: "fail", code: "storage_failed" }, times: 9 },
    ],
    ["writes are lost", { operation: "put", name: /^(packs|index|sweeps)/, fault: { kind: "lose" }, times: 9 }],
    ["writes are torn", { operation: "put", name: /^(packs|index|sweeps)/, fault: { kind: "tear" }, times: 9 }],
    [
      "deletions fail",
      { operation: "delete", name: /^(packs|index)/, fault: { kind: "fail", code: "storage_denied" }, nth: 2 },
    ],
    ["deletions are lost", { operation: "delete", name: /./, fault: { kind: "lose" }, times: 99 }],
  ];

  test.each(faults)("%s: no point loses anything", async (title, fault) => {
    for (const visits of [0, 1]) {
      const history = await eventful();
      const { clock, repository } = history.here;
      for (let i = 0; i < visits; i++) {
        await visit(repository);
        clock.pass(grace);
      }
      const storage = new FaultyStorage(repository.storage, clock);
      storage.script(fault);
      const outcome = await visit({ ...repository, storage }).catch((error: unknown) => error);
      expect(outcome instanceof Error ? outcome.name : "StillpointError").toBe("StillpointError");
      await (title === "writes are torn" ? recover(history) : expectWhole(history));
      for (let i = 0; i < 2; i++) {
        clock.pass(grace);
        await visit(repository);
        await expectWhole(history);
      }
    }
  });

  /** A store that tore what it was given leaves objects that are none: a repair without a replica is enough. */
  async function recover(history: History): Promise<void> {
    const { repository } = history.here;
    const report = await repairRepository(repository, { executor: inlineExecutor, replicas: [] });
    expect(report.lost).toEqual([]);
    await expectWhole(history, repository);
  }

  test.each([
    "points end early",
    "points are empty",
    "points break off",
    "a manifest can't be read",
    "a manifest is altered",
  ])("%s: then nothing is deleted at all", async (title) => {
    const history = await eventful();
    const { clock, repository } = history.here;
    await visit(repository);
    clock.pass(grace);
    const before = await namesOf(repository.storage);
    const storage = new FaultyStorage(repository.storage, clock);
    const [, fault] = faults.find(([name]) => name === title) ?? [];
    if (fault !== undefined) storage.script(fault);
    await expect(visit({ ...repository, storage })).rejects.toHaveProperty("code");
    expect(await namesOf(repository.storage)).toEqual(before);
  });

  test("a second listing that contradicts the first stops it", async () => {
    const history = await eventful();
    const { clock, repository } = history.here;
    clock.pass(hour);
    const point = await captureTiny(repository, { image: [1, 2] });
    clock.pass(hour);
    const storage = new FaultyStorage(repository.storage, clock);
    const hide = {
      kind: "mislist",
      mislist: (infos: { name: string }[]) => infos.filter(({ name }) => name !== point.name),
    } as const;
    storage.script({ operation: "list", name: /^points/, fault: hide as unknown as ScriptedFault["fault"] });
    await expect(visit({ ...repository, storage })).rejects.toMatchObject({ code: "sweep_unsafe" });
  });
});
