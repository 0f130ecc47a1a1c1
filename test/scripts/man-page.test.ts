import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { type CommandSpec, readCommandLine } from "../../scripts/manual/command-line.ts";
import { manPage } from "../../scripts/manual/man-page.ts";
import { errorTable } from "../../src/errors.ts";

let page = "";
let specs: readonly CommandSpec[] = [];

beforeAll(async () => {
  specs = await readCommandLine();
  page = manPage(specs, "2026-11-22");
});

function rendered(program: string, ...args: string[]): { text: string; warnings: string; missing: boolean } {
  const env = { ...process.env, MANWIDTH: "100", LC_ALL: "C.UTF-8", MAN_KEEP_FORMATTING: "" };
  const { stdout, stderr, error } = spawnSync(program, args, { input: page, encoding: "utf8", env });
  return { text: stdout ?? "", warnings: stderr ?? "", missing: error !== undefined };
}

test("every verb, with its options and examples", () => {
  const bold = (text: string): string => `\n.B ${text.replaceAll("-", "\\-")}\n`;
  for (const { usage, options, examples } of specs.slice(1)) {
    const shown = options.filter(({ long }) => long !== "--help").map(({ flags }) => flags);
    for (const text of [usage, ...shown]) expect(page.includes(bold(text)) ? text : "lacks").toBe(text);
    expect(examples.length > 0 || usage.includes("[command]") ? "examples" : usage).toBe("examples");
  }
});

test("every error code, under its exit status, whose meaning is the manual's", () => {
  const manual = readFileSync(join(import.meta.dirname, "../../docs/operations.md"), "utf8");
  const [, exits = ""] = page.split(".SH EXIT STATUS");
  for (const code of Object.keys(errorTable)) expect(exits).toContain(`.B ${code}\n`);
  const statuses = [...exits.matchAll(/\.B (\d+)\n(.*)\.\n/g)].map(([, status, meaning]) => [
    status,
    meaning?.replaceAll("\\-", "-"),
  ]);
  expect(statuses).toHaveLength(7);
  for (const [status, meaning] of statuses) expect(manual).toContain(`| ${status} | ${meaning} |`);
});

describe("the programs that show it", () => {
  test.skipIf(rendered("mandoc").missing)("mandoc has nothing against it", () => {
    expect(rendered("mandoc", "-Tlint", "-Wwarning").text).toBe("");
  });

  test.skipIf(rendered("man", "--version").missing)(
    "man shows it without a warning, and examples can be copied",
    () => {
      const { text, warnings } = rendered("man", "--warnings", "--local-file", "-");
      expect(warnings).toBe("");
      expect(text).toContain("stillpoint status --json | jq '.points[] | select(.met == false)'");
    },
  );
});
