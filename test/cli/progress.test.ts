import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import { Output } from "../../src/cli/output.ts";
import { Progress, type ProgressFlags } from "../../src/cli/progress.ts";
import { ManualClock } from "../helpers/manual-clock.ts";

function progressOn(
  stream: { isTTY?: boolean; columns?: number },
  flags: ProgressFlags = {},
  environment: Record<string, string> = {},
) {
  const written: string[] = [];
  const clock = new ManualClock();
  const write = (text: string) => written.push(text) > 0;
  const stderr = { ...stream, write, on: () => undefined, off: () => undefined };
  const output = new Output({ stdout: stderr, stderr, environment });
  const cli = {
    output,
    input: new PassThrough(),
    clock,
    environment: {},
    signal: new AbortController().signal,
    exit: 0,
  };
  return { written, clock, progress: new Progress(cli, flags) };
}

const mib = 1024 ** 2;

describe("on a terminal", () => {
  test("one line is rewritten, with share, rate and time left", async () => {
    const { written, clock, progress } = progressOn({ isTTY: true, columns: 80 });
    progress.update("etc", 0, 100 * mib);
    await clock.advance(2000);
    progress.update("etc", 20 * mib, 100 * mib);
    expect(written).toEqual([
      "\retc: 0 B of 100.0 MiB, 0 %\u001B[K",
      "\retc: 20.0 MiB of 100.0 MiB, 20 %, 10.0 MiB/s, 8s left\u001B[K",
    ]);
  });

  test("a console that doesn't know its width gets all of the line", () => {
    const { written, progress } = progressOn({ isTTY: true, columns: 0 });
    progress.update("etc", 0, 100 * mib);
    expect(written).toEqual(["\retc: 0 B of 100.0 MiB, 0 %\u001B[K"]);
  });

  test("ten times a second at most, however often it is told", async () => {
    const { written, clock, progress } = progressOn({ isTTY: true });
    for (let step = 0; step < 1000; step++) {
      progress.update("etc", step, undefined);
      await clock.advance(1);
    }
    expect(written).toHaveLength(10);
  });

  test("never as wide as the terminal, and cleared at the end", () => {
    const { written, progress } = progressOn({ isTTY: true, columns: 20 });
    progress.update("a-source-with-a-long-name", 0, 100);
    progress.end();
    progress.end();
    expect(written).toEqual([`\r${"a-source-with-a-long-name".slice(0, 19)}\u001B[K`, "\r\u001B[K"]);
  });

  test("what is said in between gets a line of its own", () => {
    const { written, progress } = progressOn({ isTTY: true });
    progress.update("etc", 1, undefined);
    progress.note("etc: captured");
    expect(written.slice(1)).toEqual(["\r\u001B[K", "etc: captured\n"]);
  });
});

describe("elsewhere", () => {
  test("a plain line every ten seconds for each piece of work", async () => {
    const { written, clock, progress } = progressOn({});
    for (let second = 0; second < 25; second++) {
      progress.update("etc", second * mib, undefined);
      progress.update("srv", 0, undefined);
      await clock.advance(1000);
    }
    expect(written).toEqual(["etc: 10.0 MiB, 1.0 MiB/s\n", "srv: 0 B\n", "etc: 20.0 MiB, 1.0 MiB/s\n", "srv: 0 B\n"]);
  });
});

test.each([{ quiet: true }, { json: true }])("%j: silence", async (flags) => {
  const { written, clock, progress } = progressOn({ isTTY: true }, flags);
  progress.update("etc", 1, undefined);
  await clock.advance(60_000);
  progress.update("etc", 2, undefined);
  progress.note("etc: captured");
  progress.end();
  expect(written).toEqual([]);
});

test("a terminal that can't rewrite a line gets plain ones", async () => {
  const { written, clock, progress } = progressOn({ isTTY: true }, {}, { TERM: "dumb" });
  progress.update("etc", 0, undefined);
  await clock.advance(10_000);
  progress.update("etc", mib, undefined);
  expect(written).toEqual(["etc: 1.0 MiB, 102.4 KiB/s\n"]);
});

test("points are counted, not measured", async () => {
  const { written, clock, progress } = progressOn({});
  progress.update("forgetting", 0, 40, "points");
  await clock.advance(10_000);
  progress.update("forgetting", 10, 40, "points");
  expect(written).toEqual(["forgetting: 10 of 40, 25 %, 30s left\n"]);
});

test("a total that was only estimated may be passed: then it isn't shown", async () => {
  const { written, clock, progress } = progressOn({});
  progress.update("usb", 0, 10 * mib);
  await clock.advance(10_000);
  progress.update("usb", 11 * mib, 10 * mib);
  expect(written).toEqual(["usb: 11.0 MiB, 1.1 MiB/s\n"]);
});
