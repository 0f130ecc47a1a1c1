import { describe, expect, it } from "vitest";
import { ReadAhead } from "../../../src/restore/serve/read-ahead.ts";

const mib = 1024 * 1024;

function following(): { ahead: ReadAhead; prepared: [number, number][] } {
  const prepared: [number, number][] = [];
  const ahead = new ReadAhead((offset, length) => {
    prepared.push([offset / mib, (offset + length) / mib]);
    return Promise.resolve();
  }, 8 * mib);
  return { ahead, prepared };
}

describe("ReadAhead", () => {
  it("stays ahead of a sequential reader, and prepares nothing twice", async () => {
    const { ahead, prepared } = following();
    for (let at = 0; at < 64; at++) {
      ahead.note(at * mib, mib);
      await Promise.resolve();
      await Promise.resolve();
      await Promise.resolve();
    }
    expect(prepared[0]).toEqual([3, 11]);
    for (const [number, [from]] of prepared.entries()) expect(from).toBe(prepared[number - 1]?.[1] ?? 3);
    expect(prepared.at(-1)?.[1]).toBeGreaterThanOrEqual(64);
  });

  it("follows several readers, each by itself, however their requests mix", async () => {
    const { ahead, prepared } = following();
    for (let at = 0; at < 6; at++) for (const start of [0, 1000, 2000]) ahead.note((start + at) * mib, mib);
    await Promise.resolve();
    expect(prepared).toEqual([
      [3, 11],
      [1003, 1011],
      [2003, 2011],
    ]);
  });

  it("lets those who jump about alone", () => {
    const { ahead, prepared } = following();
    for (let number = 0; number < 200; number++) ahead.note(((number * 7919) % 2003) * 16 * mib, mib);
    expect(prepared).toEqual([]);
  });
});
