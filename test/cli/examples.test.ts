/** What `--help` shows as examples is what the command line takes. */
import { beforeAll, expect, test } from "vitest";
import type { Command } from "commander";
import { type CommandSpec, readCommandLine } from "../../scripts/manual/command-line.ts";
import { Output } from "../../src/cli/output.ts";
import { loadProgram } from "../../src/cli/program.ts";
import { systemClock } from "../../src/host/clock.ts";

const output = new Output({ stdout: process.stdout, stderr: process.stderr, environment: {} });
let specs: readonly CommandSpec[] = [];

beforeAll(async () => {
  specs = await readCommandLine();
});

/** The first command of a line of shell, in words: what is enough for examples. */
function wordsOf(line: string): string[] {
  const words = [...line.matchAll(/'([^']*)'|"([^"]*)"|([^\s'"]+)/g)].map(
    ([, single, double, plain]) => single ?? double ?? plain ?? "",
  );
  const end = words.findIndex((word) => ["|", ">", "<", "&", "&&", "#"].includes(word));
  return end === -1 ? words : words.slice(0, end);
}

/** The command that would run. Throws what commander has against the words. */
async function parsed(words: readonly string[]): Promise<string> {
  const signal = new AbortController().signal;
  const program = await loadProgram({
    output,
    input: process.stdin,
    clock: systemClock,
    environment: {},
    signal,
    exit: 0,
  });
  let ran = "";
  const replaceActions = (command: Command, path: string): void => {
    for (const sub of command.commands) replaceActions(sub, `${path} ${sub.name()}`.trim());
    if (path !== "") command.action(() => void (ran = path));
  };
  replaceActions(program, "");
  await program.parseAsync([...words], { from: "user" });
  return ran;
}

test("every example is one of its verb, and is understood", async () => {
  let examples = 0;
  for (const { path, examples: lines } of specs) {
    for (const line of lines.filter((one) => one.includes("stillpoint "))) {
      const words = wordsOf(line);
      const start = words.findIndex((word) => word === "stillpoint" || word.endsWith("/stillpoint"));
      if (start === -1) continue;
      const ran = await parsed(words.slice(start + 1)).catch((error: unknown) => `${line}: ${String(error)}`);
      // The examples of one verb may use others on the way.
      expect(ran).not.toContain("Error");
      expect(ran).not.toBe("");
      if (ran === path.join(" ")) examples += 1;
    }
  }
  expect(examples).toBeGreaterThan(30);
});

test("what isn't understood is noticed", async () => {
  await expect(parsed(["list", "--frobnicate"])).rejects.toThrow("unknown option");
  await expect(parsed(["config", "diff", "a", "b"])).rejects.toThrow("too many arguments");
});
