/** The command line as data, for the manual page and the completions of shells. */
import { EventEmitter } from "node:events";
import type { Argument, Command, Option } from "commander";
import type { Cli } from "../../src/cli/cli.ts";
import { Output } from "../../src/cli/output.ts";
import { loadProgram } from "../../src/cli/program.ts";
import { systemClock } from "../../src/host/clock.ts";

/** What stands in the place of an option's value, or of an argument. */
export type Value =
  | { readonly kind: "none" | "anything" | "file" | "folder" | "policy" | "source" | "location" | "replica" }
  | { readonly kind: "choice"; readonly choices: readonly string[] };

export interface OptionSpec {
  /** `-w, --watch`, as `--help` shows it. */
  readonly flags: string;
  readonly short: string | undefined;
  readonly long: string;
  readonly description: string;
  readonly value: Value;
}

export interface CommandSpec {
  /** Such as `config`, `diff`; empty for the program itself. */
  readonly path: readonly string[];
  /** The heading that `--help` lists it under. */
  readonly group: string;
  readonly usage: string;
  readonly summary: string;
  readonly description: string;
  readonly options: readonly OptionSpec[];
  /** The first argument. */
  readonly argument: Value;
  readonly subcommands: readonly { readonly name: string; readonly summary: string }[];
  /** What its help says after the options: text, then examples, a line each. */
  readonly text: string;
  readonly examples: readonly string[];
}

/** The program itself first, then every verb, each followed by its own. */
export async function readCommandLine(): Promise<CommandSpec[]> {
  const cli: Cli = {
    output: new Output({ stdout: process.stdout, stderr: process.stderr, environment: {} }),
    input: process.stdin,
    clock: systemClock,
    environment: {},
    signal: new AbortController().signal,
    exit: 0,
  };
  return specsOf(await loadProgram(cli), []);
}

function specsOf(command: Command, path: readonly string[]): CommandSpec[] {
  const help = command.createHelp();
  // Neither hidden ones, nor the `help` that commander adds.
  const subcommands = help.visibleCommands(command).filter((sub) => command.commands.includes(sub));
  const [text = "", ...examples] = afterHelp(command).split(/^Examples?:\n/m);
  const own = {
    path,
    group: command.helpGroup() ?? "",
    usage: help.commandUsage(command),
    summary: command.summary(),
    description: command.description(),
    options: help.visibleOptions(command).map((option) => optionSpec(option, help.optionDescription(option))),
    argument: argumentValue(command.registeredArguments[0]),
    subcommands: subcommands.map((sub) => ({ name: sub.name(), summary: sub.summary() })),
    text: text.trim(),
    examples: examples
      .join("\n")
      .split("\n")
      .flatMap((line) => (line.trim() === "" ? [] : [line.trim()])),
  };
  return [own, ...subcommands.flatMap((sub) => specsOf(sub, [...path, sub.name()]))];
}

/** What was added by `addHelpText`, which has no other way to be asked for it. */
function afterHelp(command: Command): string {
  let text = "";
  if (!(command instanceof EventEmitter))
    throw new Error("this version of commander has another way to add to its help");
  command.emit("afterHelp", { error: false, command, write: (piece: string) => void (text += piece) });
  return text;
}

function optionSpec({ flags, short, long, argChoices, required, optional }: Option, description: string): OptionSpec {
  const takes = required || optional;
  const placeholder = /[<[]([^>\]]+)[>\]]/.exec(flags)?.[1] ?? "";
  const value: Value = !takes
    ? { kind: "none" }
    : argChoices !== undefined
      ? { kind: "choice", choices: argChoices }
      : { kind: kindOf(long ?? "", placeholder) };
  return { flags, short, long: long ?? "", description, value };
}

function argumentValue(argument: Argument | undefined): Value {
  if (argument === undefined) return { kind: "none" };
  if (argument.argChoices !== undefined) return { kind: "choice", choices: argument.argChoices };
  return { kind: kindOf("", argument.name()) };
}

function kindOf(long: string, placeholder: string): Exclude<Value["kind"], "choice" | "none"> {
  // A path in a recovery point isn't one on this machine.
  if (long === "--path" || (long === "" && placeholder === "path")) return "anything";
  if (["file", "path", "place"].includes(placeholder)) return "file";
  if (placeholder === "folder") return "folder";
  for (const kind of ["policy", "source", "location", "replica"] as const) {
    if (placeholder === kind || (placeholder === "name" && long === `--${kind}`)) return kind;
  }
  return "anything";
}
