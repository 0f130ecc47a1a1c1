import type { Random } from "../../src/host/random.ts";

/** The same sequence for the same seed. mulberry32 by Tommy Ettinger (public domain): small, and good enough for tests. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const fraction = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { fraction, bytes: (length) => Buffer.from(Array.from({ length }, () => Math.floor(fraction() * 256))) };
}
