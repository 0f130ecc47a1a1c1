/** Randomness, so that a test can own it. */

import * as crypto from "node:crypto";

export interface Random {
  /** `length` bytes from a cryptographically secure source. */
  bytes(length: number): Buffer;
  /** A number at least 0 and below 1. Not for secrets. */
  fraction(): number;
}

export const systemRandom: Random = {
  bytes: (length) => crypto.randomBytes(length),
  fraction: () => Math.random(),
};

/** `length` bytes from the kernel's secure generator: for keys, salts, and names that must not collide. */
export function randomBytes(length: number): Buffer {
  return systemRandom.bytes(length);
}
