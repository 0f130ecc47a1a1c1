import { expect, test } from "vitest";
import { inOneInstant } from "../../../src/capture/vm/in-one-instant.ts";
import { Missed } from "../../../src/capture/vm/instant.ts";

type Member = Parameters<typeof inOneInstant>[0][number];
type Phase = "ready" | "pause" | "point" | "resume" | "abandon";

interface Script {
  /** What `ready` says when it may be stopped late. */
  readonly lead?: number;
  /** Thrown by a phase, the first time. */
  readonly fails?: readonly [Phase, Error];
  /** When it stood still, attempt by attempt. */
  readonly taken?: readonly { readonly time: number; readonly pause: number }[];
}

/** Guests that note what is asked of them. */
function makeGuests(scripts: Readonly<Record<string, Script>>): { guests: Member[]; asked: string[] } {
  const asked: string[] = [];
  const guests = Object.entries(scripts).map(([name, { lead = 0, fails, taken = [] }]): Member => {
    let failing = fails;
    let attempts = 0;
    const note = async (phase: Phase, detail: number | boolean | undefined): Promise<void> => {
      asked.push([name, phase, detail].filter((word) => word !== undefined).join(" "));
      const failure = failing?.[0] === phase ? failing[1] : undefined;
      if (failure !== undefined) failing = undefined;
      await Promise.resolve();
      if (failure !== undefined) throw failure;
    };
    return {
      ready: async (late) => {
        attempts += 1;
        await note("ready", late);
        return late ? lead : 0;
      },
      pause: async (wait) => await note("pause", wait),
      point: async () => await note("point", undefined),
      resume: async () => await note("resume", undefined),
      abandon: async () => await note("abandon", undefined),
      get taken() {
        return taken[attempts - 1] ?? { time: 100, pause: 20 };
      },
    };
  });
  return { guests, asked };
}

const phases = (late: boolean, waits: readonly number[]): string[] => [
  `a ready ${String(late)}`,
  `b ready ${String(late)}`,
  ...["a", "b"].map((name, number) => `${name} pause ${String(waits[number])}`),
  "a point",
  "b point",
  "a resume",
  "b resume",
];

test("each phase is of all before the next; the one that needs the longest start begins first", async () => {
  const { guests, asked } = makeGuests({ a: { lead: 40 }, b: { lead: 100 } });
  await inOneInstant(guests);
  expect(asked).toEqual(phases(true, [60, 0]));
});

test("when one was missed, all are let go, and it is tried again", async () => {
  const { guests, asked } = makeGuests({ a: { lead: 40 }, b: { fails: ["point", new Missed("it ran")] } });
  await inOneInstant(guests);
  expect(asked.slice(-10)).toEqual(["a abandon", "b abandon", ...phases(true, [0, 40])]);
});

test("guests that did not stand still at the same time are of no instant; the last time all are stopped first of all", async () => {
  const apart = { time: 200, pause: 20 };
  const { guests, asked } = makeGuests({ a: { lead: 40 }, b: { taken: [apart, apart] } });
  await inOneInstant(guests);
  expect(asked.filter((line) => line.endsWith("abandon"))).toHaveLength(4);
  expect(asked.slice(-8)).toEqual(phases(false, [0, 0]));
  await expect(inOneInstant(makeGuests({ a: {}, b: { taken: [apart, apart, apart] } }).guests)).rejects.toMatchObject({
    code: "vm_failed",
    message: expect.stringContaining("did not all stand still") as string,
  });
});

test("any other failure is the end, though another guest was missed as well", async () => {
  const failure = new Error("QEMU has ended");
  const { guests, asked } = makeGuests({
    a: { fails: ["pause", new Missed("it ran")] },
    b: { fails: ["pause", failure] },
  });
  await expect(inOneInstant(guests)).rejects.toBe(failure);
  expect(asked.at(-1)).toBe("b pause 0");
});
