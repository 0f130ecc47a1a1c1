/** Guests that a save has left frozen go on: by Stillpoint's own code, and by the script for an administrator in trouble. */
import { spawnSync } from "node:child_process";
import * as path from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { Qmp } from "../../src/qemu/qmp.ts";
import { rescueGuest } from "../../src/qemu/userfaultfd.ts";
import { startCounterGuest } from "../helpers/guest/counter-guest.ts";
import { freeze, startFrozen } from "../helpers/guest/freeze.ts";
import { startLinuxGuest } from "../helpers/guest/linux-guest.ts";
import { type Guest, qemuMajor } from "../helpers/guest/qemu.ts";
import { isRoot, project } from "./host.ts";

const script = path.join(project, "tools/rescue-guest/stillpoint-rescue-guest.py");
const guests: Guest[] = [];

afterEach(async () => {
  for (const guest of guests.splice(0)) await guest.stop();
});

function runScript(...args: string[]): {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
} {
  const { status, stdout, stderr } = spawnSync("/usr/bin/python3", [script, ...args], { encoding: "utf8" });
  return { status, stdout, stderr };
}

async function expectGoesOn(guest: Guest & { ticks(ticks: number): Promise<number> }): Promise<void> {
  await guest.ticks(5);
  await using qmp = await Qmp.connect(guest.qmp);
  expect(await qmp.execute("query-status")).toMatchObject({ status: "running" });
}

// Later ones lift the protection by themselves, so they can't be frozen like this.
describe.runIf(isRoot && qemuMajor() < 10)("a guest frozen by a save whose reader went away", () => {
  test("a Linux, and its QMP with it, goes on after Stillpoint's rescue, and can be rescued again", async () => {
    const guest = await startLinuxGuest();
    guests.push(guest);
    for (let turn = 0; turn < 2; turn += 1) {
      const { count } = await freeze(guest);
      const { ranges, bytes } = await rescueGuest(guest.pid);
      expect(ranges).toBeGreaterThan(0);
      expect(bytes).toBeGreaterThanOrEqual(256 * 1024 * 1024);
      expect(await guest.ticks(5)).toBeGreaterThan(count);
      await expectGoesOn(guest);
      expect(await rescueGuest(guest.pid)).toEqual({ ranges: 0, bytes: 0 });
    }
  });

  test("goes on after the script, which says what it finds before and after", async () => {
    const { guest } = await startFrozen(startCounterGuest);
    guests.push(guest);
    expect(runScript().stdout).toMatch(new RegExp(`^${String(guest.pid)} .*: [0-9]{8,} bytes write-protected$`, "m"));
    expect(runScript(String(guest.pid))).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("the guest goes on"),
    });
    await expectGoesOn(guest);
    expect(runScript().stdout).toMatch(new RegExp(`^${String(guest.pid)} .*: nothing protected$`, "m"));
    expect(runScript(String(guest.pid)).stdout).toContain("no memory is write-protected");
  });

  test("stays frozen without a rescue: the cure is what cures it", async () => {
    const { guest, count } = await startFrozen(startCounterGuest);
    guests.push(guest);
    const asNobody = [
      "--reuid=65534",
      "--regid=65534",
      "--clear-groups",
      "/usr/bin/python3",
      script,
      String(guest.pid),
    ];
    expect(spawnSync("setpriv", asNobody, { encoding: "utf8" })).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("run it as root"),
    });
    await setTimeout(3000);
    expect(guest.count()).toBe(count);
  });
});

test("the script says when there is no such process, and when it is used wrongly", () => {
  expect(runScript("999999999")).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("999999999: No such file"),
  });
  expect(runScript("guest").status).toBe(2);
});
