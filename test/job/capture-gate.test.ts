import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { expect, it } from "vitest";
import { CaptureGate } from "../../src/job/capture-gate.ts";
import { rejection } from "../helpers/rejection.ts";

/** Work that lasts until it is released. */
function heldWork(): { work: () => Promise<void>; release: () => void; started: () => boolean } {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  let running = false;
  const work = async (): Promise<void> => {
    running = true;
    await promise;
  };
  return { work, release: () => resolve(undefined), started: () => running };
}

it("captures a source once at a time, and lets others pass it", async () => {
  const gate = new CaptureGate(2);
  const [first, again, other] = [heldWork(), heldWork(), heldWork()];
  const all = [gate.run(["a"], first.work), gate.run(["a"], again.work), gate.run(["b"], other.work)];
  await setImmediate();
  expect([first.started(), again.started(), other.started()]).toEqual([true, false, true]);
  first.release();
  await setImmediate();
  expect(again.started()).toBe(true);
  for (const one of [again, other]) one.release();
  await Promise.all(all);
});

it("makes room when the work fails, and when the limit is raised", async () => {
  const gate = new CaptureGate(1);
  await expect(gate.run(["a"], () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  const [first, second] = [heldWork(), heldWork()];
  const all = [gate.run(["a"], first.work), gate.run(["b"], second.work)];
  await setImmediate();
  expect(second.started()).toBe(false);
  gate.limit = 2;
  await setImmediate();
  expect(second.started()).toBe(true);
  first.release();
  second.release();
  await Promise.all(all);
});

it("admits a group when all its sources are free, as one", async () => {
  const gate = new CaptureGate(2);
  const [single, group, third] = [heldWork(), heldWork(), heldWork()];
  const all = [gate.run(["a"], single.work), gate.run(["a", "b"], group.work), gate.run(["c"], third.work)];
  await setImmediate();
  expect([single.started(), group.started(), third.started()]).toEqual([true, false, true]);
  single.release();
  await setImmediate();
  expect(group.started()).toBe(true);
  for (const one of [group, third]) one.release();
  await Promise.all(all);
  await expect(gate.run(["b"], () => Promise.resolve("free"))).resolves.toBe("free");
});

it("lets a cancelled one leave the queue", async () => {
  const gate = new CaptureGate(1);
  const first = heldWork();
  const running = gate.run(["a"], first.work);
  const controller = new AbortController();
  const waiting = gate.run(["b"], () => Promise.resolve(), controller.signal);
  controller.abort();
  expect(await rejection(waiting)).toMatchObject({ code: "cancelled" });
  first.release();
  await running;
  await expect(gate.run(["c"], () => Promise.resolve("done"))).resolves.toBe("done");
});

it("keeps its promises for any sequence of captures", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.tuple(fc.subarray(["a", "b", "c"], { minLength: 1 }), fc.nat(3)), { maxLength: 20 }),
      async (limit, captures) => {
        const gate = new CaptureGate(limit);
        const inside: string[] = [];
        let running = 0;
        let done = 0;
        await Promise.all(
          captures.map(([sources, turns]) =>
            gate.run(sources, async () => {
              for (const source of sources) expect(inside).not.toContain(source);
              inside.push(...sources);
              running += 1;
              expect(running).toBeLessThanOrEqual(limit);
              for (let turn = 0; turn < turns; turn++) await setImmediate();
              for (const source of sources) inside.splice(inside.indexOf(source), 1);
              running -= 1;
              done += 1;
            }),
          ),
        );
        expect(done).toBe(captures.length);
      },
    ),
  );
});
