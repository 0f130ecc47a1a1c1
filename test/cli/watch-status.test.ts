import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import type { KeyInput } from "../../src/cli/cli.ts";
import { Output } from "../../src/cli/output.ts";
import { watchStatus } from "../../src/cli/watch-status.ts";
import { rejection } from "../helpers/rejection.ts";
import { ManualClock } from "../helpers/manual-clock.ts";

/** A terminal that remembers what was written, and a keyboard. */
function terminal(isTTY = true, more: Record<string, string> = {}) {
  const environment = { NO_COLOR: "1", ...more };
  const written: string[] = [];
  const resized = new Set<() => void>();
  const stdout = {
    isTTY,
    columns: 60,
    rows: 10,
    write: (text: string | Uint8Array) => written.push(String(text)) > 0,
    on: (event: string, listener: (error: Error) => void) => {
      if (event === "resize") resized.add(listener as () => void);
    },
    off: (_: string, listener: () => void) => resized.delete(listener),
  };
  const keys = new PassThrough();
  const modes: boolean[] = [];
  const input: KeyInput = Object.assign(keys, { isTTY, setRawMode: (on: boolean) => modes.push(on) });
  const output = new Output({ stdout, stderr: stdout, environment });
  const stop = new AbortController();
  const clock = new ManualClock(Date.UTC(2026, 10, 22));
  const cli = { output, input, clock, environment, signal: stop.signal, exit: 0 };
  return { cli, clock, written, keys, modes, stop, stdout, resized };
}

type Terminal = ReturnType<typeof terminal>;

/** Points grow older with each look. */
function looking({ clock }: Terminal, objective: number) {
  return () => {
    const newest = { id: "3f5a91c2", time: Date.UTC(2026, 10, 22), consistency: "crash", size: 1, stored: 1 };
    const point = { policy: "p", source: "s", location: "primary", verified: undefined, objective };
    const points = [{ ...point, newest: { ...newest, leftOut: 0, duration: 1 } }];
    return Promise.resolve({ daemon: undefined, look: { points, locations: [] }, now: clock.now() });
  };
}

test("a screen of its own, drawn over and never cleared, until q: then all is as before", async () => {
  const here = terminal();
  const watching = watchStatus(here.cli, looking(here, 60_000));
  await here.clock.advance(0);
  await here.clock.advance(1000);
  await here.clock.advance(1000);
  here.keys.write("xq");
  await watching;
  const [opened, ...frames] = here.written;
  const closed = frames.pop();
  expect(opened).toBe("\u001B[?1049h\u001B[?25l");
  expect(closed).toBe("\u001B[?25h\u001B[?1049l");
  expect(frames.length).toBe(3);
  for (const frame of frames) {
    expect(frame.startsWith("\u001B[?2026h\u001B[H")).toBe(true);
    expect(frame.endsWith("\u001B[J\u001B[?2026l")).toBe(true);
    expect(frame).not.toContain("\u001B[2J");
  }
  expect(frames[0]).toContain(" 0s ");
  expect(frames[2]).toContain(" 2s ");
  expect(here.modes).toEqual([true, false]);
  expect(here.resized.size).toBe(0);
});

test("a resized terminal is drawn at once; what doesn't fit is cut, and said", async () => {
  const here = terminal();
  const watching = watchStatus(here.cli, looking(here, 60_000));
  await here.clock.advance(0);
  Object.assign(here.stdout, { columns: 20, rows: 2 });
  for (const resized of here.resized) resized();
  const lines = (here.written.at(-1) ?? "").split("\r\n");
  expect(lines).toHaveLength(2);
  expect(lines[0]).toContain("No daemon runs: the…\u001B[K");
  expect(lines[1]).toContain("… there is more: ma…");
  here.keys.write("\u0003");
  await watching;
  expect(here.modes).toEqual([true, false]);
});

test("a signal, or a look that fails, gives the terminal back too", async () => {
  const here = terminal();
  const watching = watchStatus(here.cli, looking(here, 60_000));
  await here.clock.advance(0);
  here.stop.abort();
  await watching;
  expect(here.written.at(-1)).toBe("\u001B[?25h\u001B[?1049l");

  const there = terminal();
  let looks = 0;
  const failing = watchStatus(there.cli, async () => {
    looks += 1;
    if (looks > 1) throw new Error("gone");
    return await looking(there, 60_000)();
  });
  const ended = rejection(failing);
  await there.clock.advance(0);
  await there.clock.advance(1000);
  expect(await ended).toMatchObject({ message: "gone" });
  expect(there.written.at(-1)).toBe("\u001B[?25h\u001B[?1049l");
  expect(there.modes).toEqual([true, false]);
});

test.each([
  ["elsewhere", false, {}],
  ["on a dumb terminal", true, { TERM: "dumb" }],
])("%s: only what is new, in plain lines", async (_, isTTY, environment) => {
  const here = terminal(isTTY, environment);
  const watching = watchStatus(here.cli, looking(here, 15_000));
  await here.clock.advance(0);
  for (let second = 0; second <= 30; second++) await here.clock.advance(1000);
  here.stop.abort();
  await watching;
  expect(here.written).toEqual([
    "2026-11-22 00:00:00  the objective is met\n",
    "2026-11-22 00:00:20  p: s at primary: TOO OLD\n",
    "2026-11-22 00:00:20  the objective is missed\n",
  ]);
  expect(here.modes).toEqual([]);
});
