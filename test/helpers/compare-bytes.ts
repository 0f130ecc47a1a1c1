/** Bytes are compared as memory is: Vitest goes from one to the next, which takes seconds for some megabytes. */
import { expect } from "vitest";

// Before each file anew, but what is set holds for the whole process.
const done = Symbol.for("stillpoint: bytes are compared as memory is");
if (!Reflect.has(globalThis, done)) {
  Reflect.set(globalThis, done, true);
  expect.addEqualityTesters([
    (one, other) =>
      one instanceof Uint8Array && other instanceof Uint8Array && one.constructor === other.constructor
        ? Buffer.compare(one, other) === 0
        : undefined,
  ]);
}
