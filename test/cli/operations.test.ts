/** The manual says what the program does. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { verbGroups } from "../../src/cli/verbs.ts";
import { errorTable, exitStatus } from "../../src/errors.ts";

const manual = readFileSync(join(import.meta.dirname, "../../docs/operations.md"), "utf8");

test("every error code is in the manual, with its exit status and meaning, and no other", () => {
  const rows = [...manual.matchAll(/^\| `(\w+)` \| (\d) \| (.*) \|$/gm)].map(([, code, exit, sentence]) => ({
    code,
    exit,
    sentence,
  }));
  expect(rows).toEqual(
    Object.entries(errorTable).map(([code, { exit, sentence }]) => ({ code, exit: String(exit), sentence })),
  );
});

test("every exit status is in the manual", () => {
  for (const status of Object.values(exitStatus)) expect(manual).toMatch(new RegExp(`^\\| ${status} \\| \\w`, "m"));
});

describe("every command is in the manual", () => {
  test.each(Object.values(verbGroups).flat())("$name", ({ name }) => {
    expect(manual).toMatch(new RegExp(`^\\| .*\`${name}\\b.* \\|`, "m"));
  });
});

test("every link leads somewhere", () => {
  for (const [, target = ""] of manual.matchAll(/\]\(([^)#]+)\)/g)) {
    expect(() => readFileSync(join(import.meta.dirname, "../../docs", target))).not.toThrow();
  }
});
