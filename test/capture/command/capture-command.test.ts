import * as fs from "node:fs";
import * as path from "node:path";
import { expect, test } from "vitest";
import { capture, restore } from "../../helpers/capture.ts";
import { rejection } from "../../helpers/rejection.ts";
import { makeTestRepository, type TestRepository } from "../../helpers/repository.ts";
import { tempDir } from "../../helpers/temp-dir.ts";

const timeout = 60_000;
/** Prints 9 MB that don't compress well and are the same each time. */
const dump = ["sh", "-c", "seq 1 1200000"];

function pointsIn({ disk }: TestRepository): string[] {
  return [...disk.contents().keys()].filter((name) => name.includes("/points/"));
}

test("what a program prints comes back; printed again it adds nothing", async () => {
  const tested = await makeTestRepository();
  const { point } = await capture(tested, { kind: "command", run: dump, timeout });
  expect(point.manifest).toMatchObject({
    consistency: "application",
    kind: "command",
    parts: [{ name: "output", kind: "stream" }],
  });
  const target = path.join(await tempDir(), "dump");
  await restore(tested, point, target);
  const lines = Array.from({ length: 1_200_000 }, (_, index) => `${index + 1}\n`);
  expect(fs.readFileSync(target).equals(Buffer.from(lines.join("")))).toBe(true);
  const again = await capture(tested, { kind: "command", run: dump, timeout });
  expect(again.point.manifest.statistics.new).toBe(0);
});

test("a program that prints nothing makes an empty point", async () => {
  const tested = await makeTestRepository();
  const { point } = await capture(tested, { kind: "command", run: ["true"], timeout });
  const target = path.join(await tempDir(), "dump");
  expect(await restore(tested, point, target)).toMatchObject({ complete: true, bytes: 0 });
  expect(fs.readFileSync(target)).toHaveLength(0);
});

test("the environment reaches the program", async () => {
  const tested = await makeTestRepository();
  const { point } = await capture(tested, {
    kind: "command",
    run: ["sh", "-c", "echo $GREETING"],
    environment: { GREETING: "hi" },
    timeout,
  });
  const target = path.join(await tempDir(), "dump");
  await restore(tested, point, target);
  expect(fs.readFileSync(target, "utf8")).toBe("hi\n");
});

test.each([
  ["ends with an error after all its output", ["sh", "-c", "seq 1 500000; exit 3"], "exit status 3"],
  ["is killed", ["sh", "-c", "echo begun; kill -9 $$"], "SIGKILL"],
  ["takes too long", ["sh", "-c", "echo begun; exec sleep 60"], "longer than 0.3 s"],
  ["isn't there", ["/nowhere/dump"], "no such program"],
])("no recovery point when the program %s", async (_, run, reason) => {
  const tested = await makeTestRepository();
  const slow = run.join(" ").includes("sleep");
  const error = await rejection(capture(tested, { kind: "command", run, timeout: slow ? 300 : timeout }));
  expect(error).toMatchObject({ code: "command_failed" });
  expect(error.message).toContain(reason);
  expect(pointsIn(tested)).toEqual([]);
});

test("a cancelled capture ends the program and makes no point", async () => {
  const tested = await makeTestRepository();
  const cancel = new AbortController();
  const running = capture(
    tested,
    { kind: "command", run: ["sh", "-c", "echo x; exec sleep 60"], timeout },
    { signal: cancel.signal },
  );
  setTimeout(() => cancel.abort(), 100);
  expect(await rejection(running)).toMatchObject({ code: "cancelled" });
  expect(pointsIn(tested)).toEqual([]);
});
