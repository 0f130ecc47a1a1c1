import { expect, test } from "vitest";
import { describeProcess } from "../../src/qemu/qmp-peer.ts";
import { mayWriteProtect, whyNoWriteProtect, type WriteProtectFacts } from "../../src/qemu/write-protect-rights.ts";

const tracer = 1n << 19n;
const none: WriteProtectFacts = {
  major: 7,
  capabilities: ~tracer & 0x1ff_ffff_ffffn,
  ownNamespace: false,
  unprivileged: false,
  device: false,
};

test.each<[string, Partial<WriteProtectFacts>, boolean]>([
  ["all rights but the one", {}, false],
  ["the right to trace", { capabilities: tracer }, true],
  ["the right to trace, in a container only", { capabilities: tracer, ownNamespace: true }, false],
  ["the sysctl", { capabilities: 0n, unprivileged: true }, true],
  ["the sysctl, in a container", { ownNamespace: true, unprivileged: true }, true],
  ["the device, and a QEMU that knows it", { major: 8, device: true }, true],
  ["the device, and a QEMU that doesn't", { major: 7, device: true }, false],
  ["no device", { major: 10 }, false],
])("%s", (_, facts, may) => {
  expect(whyNoWriteProtect({ ...none, ...facts }) === undefined).toBe(may);
});

test("the way out is named, and the device only to a QEMU that knows it", () => {
  expect(whyNoWriteProtect(none)).toMatch(/vm\.unprivileged_userfaultfd to 1.*CAP_SYS_PTRACE$/);
  expect(whyNoWriteProtect({ ...none, major: 9 })).toMatch(/\/dev\/userfaultfd$/);
});

test.runIf(process.getuid?.() === 0)("a process of root may", async () => {
  const own = await describeProcess(process.pid);
  expect(own && (await mayWriteProtect(own, { major: 7 }))).toBeUndefined();
});
