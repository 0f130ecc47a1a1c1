/** When a guest is stopped whose memory is saved while it runs. */
import { expect, onTestFinished, test } from "vitest";
import { LateStop } from "../../../src/capture/vm/late-stop.ts";
import type { Fitness } from "../../../src/capture/vm/preflight.ts";
import { Qmp } from "../../../src/qemu/qmp.ts";
import type { RecoveryPoint } from "../../../src/repository/points/manifest.ts";
import { scriptedQmp } from "../../helpers/scripted-qmp.ts";

const mebibyte = 2 ** 20;

interface Case {
  /** What QEMU says of its last save, in ms. */
  readonly last: number | undefined;
  /** What the newest point says of its own. */
  readonly setup?: number;
  readonly ram?: number;
}

async function lateStop({ last, setup, ram = 256 * mebibyte }: Case): Promise<LateStop> {
  const script = await scriptedQmp();
  script.answer = ({ id }, peer) => peer.write(`${JSON.stringify({ return: { "setup-time": last }, id })}\n`);
  const qmp = await Qmp.connect(script.path);
  onTestFinished(async () => await qmp.close());
  const fitness: Fitness = { memory: "background", ram, paused: false };
  const previous = setup === undefined ? undefined : ({ manifest: { machine: { setup } } } as RecoveryPoint);
  return new LateStop({ guest: { qmp }, fitness, previous }, () => Promise.reject(new Error("a rehearsal")));
}

test("by how long the save of the newest point took to begin", async () => {
  expect(await (await lateStop({ last: 200, setup: 200 })).lateness(0.15)).toBe(170);
});

test("not by a save that isn't known to be ours: one of a guest that stands still begins at once", async () => {
  expect(await (await lateStop({ last: 30, setup: 200 })).lateness(0.15)).toBeUndefined();
  expect(await (await lateStop({ last: 200 })).lateness(0.15)).toBeUndefined();
});

test("by an attempt that was missed", async () => {
  const late = await lateStop({ last: 200 });
  late.saved();
  expect(await late.lateness(0.5)).toBe(100);
  expect(await late.lateness(undefined)).toBeUndefined();
});

test("early enough to set the points, however fast the save began", async () => {
  expect(await (await lateStop({ last: 50, setup: 50 })).lateness(0.15)).toBe(20);
  expect(await (await lateStop({ last: 90, setup: 90 })).lateness(0.3)).toBe(30);
});

test("not at all when a save begins fast, or none is known", async () => {
  expect(await (await lateStop({ last: 30, setup: 30 })).lateness(0.15)).toBeUndefined();
  expect(await (await lateStop({ last: undefined })).lateness(0.15)).toBeUndefined();
});

test("a large guest whose last save isn't ours is rehearsed with, and no other", async () => {
  const ram = 1024 * mebibyte;
  await expect((await lateStop({ last: 30, setup: 200, ram })).rehearse()).rejects.toThrow("a rehearsal");
  expect(await (await lateStop({ last: 200, setup: 200, ram })).rehearse()).toEqual([]);
  expect(await (await lateStop({ last: undefined })).rehearse()).toEqual([]);
});
