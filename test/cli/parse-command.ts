/** Commands as a shell would take them apart, given to the command line without being run. */
import type { Command } from "commander";
import { Output } from "../../src/cli/output.ts";
import { loadProgram } from "../../src/cli/program.ts";
import { systemClock } from "../../src/host/clock.ts";

const output = new Output({ stdout: process.stdout, stderr: process.stderr, environment: {} });

/** The words behind `stillpoint` in a line of shell, up to a pipe and the like; undefined when it isn't called there. */
export function wordsOf(line: string): string[] | undefined {
  const words = [...line.matchAll(/'([^']*)'|"([^"]*)"|([^\s'"]+)/g)].map(
    ([, single, double, plain]) => single ?? double ?? plain ?? "",
  );
  const start = words.findIndex((word) => word === "stillpoint" || word.endsWith("/stillpoint"));
  if (start === -1) return undefined;
  const end = words.findIndex((word, index) => index > start && ["|", ">", "<", "&", "&&", "#"].includes(word));
  return words.slice(start + 1, end === -1 ? undefined : end);
}

/** The verb that would run, such as `config diff`. Throws what commander has against the words. */
export async function parsed(words: readonly string[]): Promise<string> {
  const { signal } = new AbortController();
  const cli = { output, input: process.stdin, clock: systemClock, environment: {}, signal, exit: 0 };
  const program = await loadProgram(cli);
  let ran = "";
  const replaceActions = (command: Command, path: string): void => {
    for (const sub of command.commands) replaceActions(sub, `${path} ${sub.name()}`.trim());
    if (path !== "") command.action(() => void (ran = path));
  };
  replaceActions(program, "");
  await program.parseAsync([...words], { from: "user" });
  return ran;
}
