import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { rescueGuest } from "../../src/qemu/userfaultfd.ts";
import { rejection } from "../helpers/rejection.ts";

test("a process whose memory isn't protected is left alone", async () => {
  expect(await rescueGuest(process.pid)).toEqual({ ranges: 0, bytes: 0 });
});

test("a process that has ended: that is said", async () => {
  const child = spawn("true");
  await once(child, "exit");
  expect(await rejection(rescueGuest(child.pid ?? 0))).toMatchObject({ code: "vm_unreachable" });
});
