import fc from "fast-check";
import { expect, it } from "vitest";
import { SizeHistory, thin } from "../../src/daemon/size-history.ts";
import { StateFolder } from "../../src/job/state-folder.ts";
import { day, hour, minute } from "../../src/policy/units.ts";
import { tempDir } from "../helpers/temp-dir.ts";

it("keeps the first and the latest size, few between them, and none too far from where one was", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: minute, max: 10 * day }), { minLength: 1, maxLength: 400 }), (pauses) => {
      let time = 0;
      let samples: { time: number; bytes: number }[] = [];
      const all: number[] = [];
      for (const pause of pauses) {
        time += pause;
        all.push(time);
        samples = thin([...samples, { time, bytes: time }]);
      }
      expect([samples[0]?.time, samples.at(-1)?.time]).toEqual([all[0], time]);
      expect(samples.length).toBeLessThan(52 + 50 * Math.log(1 + time / (50 * hour)));
      for (const one of all) {
        const nearest = Math.min(...samples.map((kept) => Math.abs(kept.time - one)));
        expect(nearest).toBeLessThanOrEqual(2 * Math.max(hour, (time - one) / 50));
      }
    }),
    { numRuns: 50 },
  );
});

it("is there after a restart, and forgotten when the location is another one", async () => {
  const state = new StateFolder(await tempDir());
  const sizes = new SizeHistory("far", "/far", state);
  await sizes.restore();
  await sizes.note(1000, 10);
  await sizes.note(1000 + 2 * hour, 20);
  await sizes.note(1000 + 2 * hour + minute, 30);
  expect(sizes.samples.map(({ bytes }) => bytes)).toEqual([10, 20, 30]);
  const again = new SizeHistory("far", "/far", state);
  await again.restore();
  expect(again.samples).toEqual(sizes.samples);
  const other = new SizeHistory("far", "/elsewhere", state);
  await other.restore();
  expect(other.samples).toEqual([]);
});

it("forgets what a clock that was ahead has noted", async () => {
  const sizes = new SizeHistory("far", "/far", new StateFolder(await tempDir()));
  await sizes.note(5 * hour, 10);
  await sizes.note(2 * hour, 20);
  expect(sizes.samples).toEqual([{ time: 2 * hour, bytes: 20 }]);
});
