import { expect, test } from "vitest";
import { compileExcludes } from "../../../src/capture/directory/exclude.ts";

test.each([
  // Names, at any depth.
  ["*.tmp", "a.tmp", true],
  ["*.tmp", "deep/down/a.tmp", true],
  ["*.tmp", "a.tmp.txt", false],
  ["*.dpkg-*", "passwd.dpkg-old", true],
  ["core", "score", false],
  ["f?", "f1", true],
  ["f?", "f", false],
  ["f?", "f/", false],
  ["f[0-9]", "f7", true],
  ["f[!0-9]", "f7", false],
  ["f[!0-9]", "fx", true],
  ["a.b", "axb", false],
  ["[*]", "*", true],
  ["[*]", "a", false],
  ["(x)+", "(x)+", true],
  ["ü?", "üß", true],
  // Paths, from the source's folder on.
  ["/cache", "cache", true],
  ["/cache", "var/cache", false],
  ["var/cache", "var/cache", true],
  ["var/cache", "srv/var/cache", false],
  ["home/*/tmp", "home/ann/tmp", true],
  ["home/*/tmp", "home/ann/deep/tmp", false],
  // Any number of steps.
  ["**/tmp", "tmp", true],
  ["**/tmp", "a/b/tmp", true],
  ["home/**/tmp", "home/tmp", true],
  ["home/**/tmp", "home/a/b/tmp", true],
  ["home/**", "home", false],
  ["home/**", "home/a/b", true],
  ["", "a", false],
])("%j leaves out %j: %j", (pattern, path, expected) => {
  expect(compileExcludes([pattern])(path, false)).toBe(expected);
});

test("a slash at the end is for folders only", () => {
  const exclude = compileExcludes(["node_modules/"]);
  expect(exclude("a/node_modules", true)).toBe(true);
  expect(exclude("a/node_modules", false)).toBe(false);
});
