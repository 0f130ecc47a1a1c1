import fc from "fast-check";
import { expect, test } from "vitest";
import { isObjectName, requireObjectName, requirePrefix } from "../../src/storage/names.ts";

/** The rule of the storage contract, said in another way. */
function obeysTheContract(name: string): boolean {
  const segments = name.split("/");
  const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  const legal = (part: string): boolean =>
    part !== "" && part !== "." && part !== ".." && part.split("").every((character) => allowed.includes(character));
  return segments.every(legal) && segments[0] !== "tmp";
}

const nearlyNames = fc
  .array(fc.constantFrom("a", "Z", "9", ".", "..", "-", "_", "/", "tmp", " ", "\n", "é", "*"), { maxLength: 8 })
  .map((parts) => parts.join(""));

test("names are what the contract says", () => {
  fc.assert(
    fc.property(nearlyNames, (name) => isObjectName(name) === obeysTheContract(name)),
    { numRuns: 2000 },
  );
  for (const name of ["format", "packs/ab/0", "points/etc/2026-01-01T00.00.00Z-x", "..a", "a..", "tmp2", "a/tmp"]) {
    expect(isObjectName(name)).toBe(true);
    expect(() => requireObjectName(name)).not.toThrow();
  }
  expect(() => requireObjectName("../etc/passwd")).toThrow('Cannot use "../etc/passwd"');
});

test("whatever begins a name is a prefix", () => {
  fc.assert(
    fc.property(nearlyNames.filter(isObjectName), fc.nat(10), (name, length) => {
      requirePrefix(name.slice(0, length));
    }),
  );
  for (const prefix of ["/", "a//", "../", "a/./b", "a b"]) expect(() => requirePrefix(prefix)).toThrow("Cannot use");
});
